//go:build linux

package server

import (
	"math"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"kvd/kv/config"
)

// settings are the directives that the loops look at, read once per change.
type settings struct {
	maxClients int
	timeout    int64 // seconds without a command after which a client is closed, 0 = never
	keepAlive  int   // seconds, 0 = off
	protected  bool  // protected-mode is on and there is no password
	hz         int64
	maxBulk    int   // bytes
	queryLimit int64 // bytes
	outHard    int   // bytes of unsent replies, 0 = no limit
	outSoft    int   // the same, allowed for outSoftMs
	outSoftMs  int64
	pauseAt    int // bytes of unsent replies at which a client gets no more commands executed
}

func readSettings(c *config.Config) *settings {
	limit := c.OutputLimit("normal")
	s := &settings{
		maxClients: int(c.Int("maxclients")),
		timeout:    c.Int("timeout"),
		keepAlive:  int(c.Int("tcp-keepalive")),
		protected:  c.Bool("protected-mode") && c.String("requirepass") == "",
		hz:         min(max(c.Int("hz"), 1), 500),
		maxBulk:    int(c.Int("proto-max-bulk-len")),
		queryLimit: c.Int("client-query-buffer-limit"),
		outHard:    clampInt(limit.Hard),
		outSoft:    clampInt(limit.Soft),
		outSoftMs:  limit.SoftSeconds * 1000,
	}
	// A limit is only a limit if a client can reach it: then it is the limit
	// that bounds the memory, and not the pause.
	switch {
	case s.outHard > 0:
		s.pauseAt = math.MaxInt
	case s.outSoft > 0:
		s.pauseAt = min(s.outSoft, math.MaxInt-pauseSize) + pauseSize
	default:
		s.pauseAt = pauseSize
	}
	return s
}

func clampInt(n int64) int { return int(min(max(n, 0), math.MaxInt)) }

// watchConfig registers what must happen when a directive changes at run time.
func (s *Server) watchConfig() {
	reload := func() error {
		s.set.Store(readSettings(s.cfg))
		return nil
	}
	for _, name := range []string{"timeout", "tcp-keepalive", "protected-mode", "requirepass", "hz",
		"proto-max-bulk-len", "client-query-buffer-limit", "client-output-buffer-limit"} {
		s.cfg.OnChange(name, reload)
	}
	s.cfg.OnChange("maxclients", func() error {
		if n := s.cfg.Int("maxclients"); n > int64(s.set.Load().maxClients) {
			if most := s.raiseFileLimit(n); most < n {
				return clientsError(most)
			}
		}
		return reload()
	})
	s.cfg.OnChange("port", func() error {
		if s.rebind() != nil {
			return listenError("Unable to listen on this port. Check server logs.")
		}
		return nil
	})
	s.cfg.OnChange("bind", func() error {
		if s.rebind() != nil {
			return listenError("Failed to bind to specified addresses.")
		}
		return nil
	})
}

// tcpOptions reads the directives of the TCP listeners.
func (s *Server) tcpOptions() tcpOptions {
	bind := s.cfg.Strings("bind")
	for i := range bind {
		bind[i] = strings.Trim(bind[i], `"`) // bind "" is printed with its quotes
	}
	return tcpOptions{
		bind:    bind,
		port:    int(s.cfg.Int("port")),
		backlog: clampInt(s.cfg.Int("tcp-backlog")),
		mark:    int(s.cfg.Int("socket-mark-id")),
	}
}

// loopCount is how many event loops the configuration asks for: io-threads, or
// half the cores if it is 0.
func loopCount(c *config.Config) int {
	if n := int(c.Int("io-threads")); n > 0 {
		return n
	}
	return max(1, runtime.NumCPU()/2)
}

// reservedFiles is how many descriptors are kept for other things than clients,
// as in Redis.
const reservedFiles = 32

// raiseFileLimit tries to make room for n clients and returns for how many
// there is. (The Go runtime has raised the soft limit to the hard one already.)
func (s *Server) raiseFileLimit(n int64) int64 {
	need := uint64(n) + reservedFiles
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		s.log.Warn("Unable to obtain the current NOFILE limit (" + errnoText(err) + "), assuming 1024.")
		return 1024 - reservedFiles
	}
	if lim.Cur >= need {
		return n
	}
	was := lim.Cur
	want := unix.Rlimit{Cur: need, Max: max(lim.Max, need)}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want)
	if err == nil {
		s.logf(levelNotice, "Increased maximum number of open files to %d (it was originally set to %d).", need, was)
		return n
	}
	if lim.Max > was {
		lim.Cur = lim.Max
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &lim) == nil {
			was = lim.Cur
		}
	}
	s.logf(levelWarning, "You requested maxclients of %d requiring at least %d max file descriptors.", n, need)
	s.logf(levelWarning, "Server can't set maximum open files to %d because of OS error: %s.", need, errnoText(err))
	most := max(0, int64(was)-reservedFiles)
	s.logf(levelWarning, "Current maximum open files is %d. maxclients has been reduced to %d to compensate for low ulimit. "+
		"If you need higher maxclients increase 'ulimit -n'.", was, most)
	return most
}
