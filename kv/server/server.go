//go:build linux

// Package server serves Redis clients: event loops, listeners, and the limits
// on what a client may take.
//
//	listeners ──accept──► loop 0 ──► the loop with the fewest clients
//
//	loop:  epoll ─► recv into the loop's buffer ─► resp.Parser ─► command.Ctx.Do
//	         ▲                                                        │ replies in the
//	         └───────────── one send per connection and round ◄───────┘ loop's buffer
//
// A loop is one goroutine locked to its OS thread. Its connections belong to
// it alone; other goroutines send it messages (loop.post), which an eventfd
// announces. So nothing of a connection is locked, and a command runs to its
// end on its loop.
//
// The system calls on the way of a command are raw ones, which the Go scheduler
// does not see (sys.go); this is one of the packages that may use unsafe. It
// imports kv/command, kv/config and kv/resp.
//
// Invariants:
//   - An idle client owns no buffers.
//   - A client whose unsent replies exceed pauseSize gets no commands executed
//     (unless client-output-buffer-limit says when it is to be closed instead).
//   - A socket is taken out of epoll before it is closed, and its events carry
//     a generation: a forked child may hold a copy of it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv/command"
	"kvd/kv/config"
)

// Log levels: Redis' four, as levels of slog.
const (
	levelVerbose = slog.LevelDebug + 2
	levelNotice  = slog.LevelInfo
	levelWarning = slog.LevelWarn
)

// engineTick is the time between two calls of Engine.Cron, in milliseconds.
const engineTick = 100

// Server serves the clients of one Engine. Its methods are safe for concurrent
// use, but for the order New, Listen, Serve.
type Server struct {
	engine *command.Engine
	cfg    *config.Config
	log    *slog.Logger
	start  time.Time
	set    atomic.Pointer[settings]

	loops     []*loop
	clients   registry
	attackLog atomic.Int64
	nextTick  int64 // of Engine.Cron; belongs to loop 0
	litter    litter

	mu        sync.Mutex // guards what follows
	listeners []listener
	tcp       tcpOptions // of the TCP ones among them
	gen       uint32     // of the listeners
	muted     bool       // accepting is suspended: no descriptors were left
	held      *hold      // the loops are being held
	state     uint8
}

// States of a server.
const (
	isNew uint8 = iota
	isListening
	isServing
	isClosed
)

var _ command.Clients = (*Server)(nil)

// New returns a server that is not listening yet, and makes it the engine's
// Clients. It registers itself with cfg for the directives that may change. The
// level of verbose messages is slog.LevelDebug+2.
//
// The caller should set GOMAXPROCS to cores + Loops() + 1, so that a background
// save takes no processor away from a loop, and before Serve: loops take less
// CPU time then.
func New(engine *command.Engine, cfg *config.Config, log *slog.Logger) *Server {
	s := &Server{engine: engine, cfg: cfg, log: log, start: time.Now()}
	s.clients.init()
	s.set.Store(readSettings(cfg))
	s.watchConfig()
	engine.Clients = s
	return s
}

// Loops returns the number of event loops: io-threads, or half the cores.
func (s *Server) Loops() int { return loopCount(s.cfg) }

// Listen raises the limit on open files as far as maxclients needs (or lowers
// maxclients), and opens the sockets of port, bind and unixsocket. The error's
// text is a line for the log. Clients that connect wait until Serve is called.
func (s *Server) Listen() error {
	if err := s.fitClients(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != isNew {
		return errors.New("server: Listen was called before")
	}
	s.tcp = s.tcpOptions()
	s.checkBacklog(s.tcp.backlog)
	list, err := listenTCP(s.tcp, s.logSkipped)
	if err != nil {
		return err
	}
	if path := s.cfg.String("unixsocket"); path != "" {
		ln, err := listenUnix(path, unixPerm(s.cfg), s.tcp.backlog)
		if err != nil {
			closeListeners(list)
			return err
		}
		list = append(list, ln)
	}
	if len(list) == 0 {
		return listenError("Configured to not listen anywhere, exiting.")
	}
	for i := range s.Loops() {
		l, err := newLoop(s, i)
		if err != nil {
			closeListeners(list)
			s.closeLoops()
			return fmt.Errorf("creating an event loop: %w", err)
		}
		s.loops = append(s.loops, l)
	}
	s.listeners, s.state = list, isListening
	return nil
}

// unixPerm is unixsocketperm, which is written in octal digits.
func unixPerm(c *config.Config) uint32 {
	n, err := strconv.ParseUint(c.String("unixsocketperm"), 8, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// fitClients makes room for maxclients open files, or lowers maxclients.
func (s *Server) fitClients() error {
	n := s.cfg.Int("maxclients")
	most := s.raiseFileLimit(n)
	if most >= n {
		return nil
	}
	if most < 1 {
		return listenError(fmt.Sprintf("Your current 'ulimit -n' of %d is not enough for the server to start. "+
			"Please increase your open file limit to at least %d. Exiting.", most+reservedFiles, n+reservedFiles))
	}
	return s.cfg.Set([]config.Pair{{Name: "maxclients", Value: strconv.FormatInt(most, 10)}})
}

// checkBacklog warns if the kernel will not honour tcp-backlog.
func (s *Server) checkBacklog(backlog int) {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return
	}
	if most, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && most > 0 && most < backlog {
		s.logf(levelWarning, "WARNING: The TCP backlog setting of %d cannot be enforced because "+
			"/proc/sys/net/core/somaxconn is set to the lower value of %d.", backlog, most)
	}
}

func (s *Server) logSkipped(err error) { s.log.Warn("Warning: " + err.Error()) }

func (s *Server) logf(level slog.Level, format string, args ...any) {
	ctx := context.Background()
	if s.log.Enabled(ctx, level) {
		s.log.Log(ctx, level, fmt.Sprintf(format, args...))
	}
}

// Serve runs the event loops until Close is called.
func (s *Server) Serve() error {
	s.mu.Lock()
	if s.state != isListening {
		closed := s.state == isClosed
		s.mu.Unlock()
		if closed {
			return nil
		}
		return errors.New("server: Serve was called before Listen, or twice")
	}
	s.state = isServing
	err := s.watchListeners()
	for _, l := range s.loops {
		go l.run()
	}
	s.mu.Unlock()
	if err != nil {
		_ = s.Close(context.Background())
	}
	for _, l := range s.loops {
		<-l.closed
	}
	s.closeLoops()
	return err
}

func (s *Server) closeLoops() {
	for _, l := range s.loops {
		l.closeFDs()
	}
}

// Close stops accepting, removes the unix socket, writes to each client what
// its socket takes at once, and closes all connections. It waits for the loops
// to end until ctx is done, whose error it returns. It may be called from a
// command, whose loop is not waited for. Further calls do nothing but wait.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	was := s.state
	s.state = isClosed
	s.endHold()
	if was == isServing || was == isListening {
		s.dropListeners(s.listeners)
		for _, ln := range s.listeners {
			if ln.unix {
				s.log.Info("Removing the unix socket file.")
				_ = unix.Unlink(ln.path)
			}
		}
		s.listeners = nil
		s.gen++
	}
	s.mu.Unlock()
	if was == isListening {
		s.closeLoops()
		for _, l := range s.loops {
			close(l.closed)
		}
	}
	own := s.current()
	for _, l := range s.loops {
		if l == own {
			l.stop()
		} else {
			l.post(message{what: msgStop})
		}
	}
	for _, l := range s.loops {
		if l == own {
			continue
		}
		select {
		case <-l.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// current returns the loop on whose thread the caller runs, or nil.
func (s *Server) current() *loop {
	tid := int64(unix.Gettid())
	for _, l := range s.loops {
		if l.tid.Load() == tid {
			return l
		}
	}
	return nil
}

// Addrs returns what the server listens on: "127.0.0.1:6379", "[::1]:6379", or
// the path of the unix socket.
func (s *Server) Addrs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, ln := range s.listeners {
		out = append(out, ln.addr)
	}
	return out
}

// cron is the server's tick, on loop 0.
func (s *Server) cron(now int64) {
	if now >= s.nextTick {
		s.nextTick = now + engineTick
		s.engine.Cron()
	}
	s.litter.clear(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.muted {
		s.setAccepting(true)
	}
}
