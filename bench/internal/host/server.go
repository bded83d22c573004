//go:build linux

package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	pollEvery   = 2 * time.Millisecond
	stopGrace   = 5 * time.Second // from SIGTERM to SIGKILL
	portTries   = 5               // another process may take the port that was free
	tailBytes   = 4 << 10
	tailLines   = 20
	attachLimit = 10 * time.Second // for a server that accepts and says nothing

	processEnded = "the process has ended"
	portInUse    = "the port is in use"
)

// endPatience is for a process whose connection has broken: on a busy machine it is
// waited for a while after that.
var endPatience = time.Second

// Launch says how to start a server. The address is 127.0.0.1 and a free port.
type Launch struct {
	Name string // in messages; Bin's name by default
	Bin  string // a path, or a name to look up in PATH
	// Args follow what the package passes itself, so that they win: --port,
	// --dir, and for a server with Redis' options also --bind 127.0.0.1 and
	// --save "".
	Args []string
	// Peer: Bin takes Args first (a subcommand and its options), then --port
	// and --dir, and no option of Redis.
	Peer bool
	Dir  string // of its data; created if it is missing
	Log  string // file for its output, appended to; Dir/server.log by default. Its directory is the server's first one
	Port int    // 0: chosen
}

// Server is a running server.
type Server struct {
	Name     string
	Addr     string // host:port
	PID      int    // 0: remote
	Remote   bool   // not started here: there is INFO, but no /proc and no files
	Dir      string // of its data, absolute; "" if remote
	StartSec float64

	version string
	peer    bool
	dump    string // path of the file that a save replaces; "" if there is none to be seen
	log     string
	logFrom int64 // where this server's part of the log begins

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for; nil if remote
	once sync.Once     // of the end

	mu   sync.Mutex
	conn *client // of Do, nil until needed
}

// Start starts a server and waits until it answers PING and has loaded its
// data; StartSec is the time from the start of the process until then. ctx
// bounds the waiting, not the life of the server. A server that does not come
// up is gone when Start returns; the error has the end of its log.
func Start(ctx context.Context, l Launch) (*Server, error) {
	l.Name = cmp.Or(l.Name, filepath.Base(l.Bin))
	bin, err := exec.LookPath(l.Bin)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", l.Name, err)
	}
	if l.Bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if l.Dir == "" {
		return nil, fmt.Errorf("%s cannot be started: it has no directory for its data", l.Name)
	}
	if l.Dir, err = filepath.Abs(l.Dir); err != nil {
		return nil, err
	}
	if err = os.MkdirAll(l.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", l.Name, err)
	}
	for try := 1; ; try++ {
		s, err := start(ctx, l)
		if err == nil || l.Port != 0 || try == portTries {
			return s, err
		}
		// Either the server says so, or who has the port has answered before it could.
		if text := strings.ToLower(err.Error()); !strings.Contains(text, "address already in use") && !strings.Contains(text, portInUse) {
			return s, err
		}
	}
}

func start(ctx context.Context, l Launch) (*Server, error) {
	port := l.Port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	s := &Server{Name: l.Name, peer: l.Peer, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Dir: l.Dir,
		log: cmp.Or(l.Log, filepath.Join(l.Dir, "server.log")), done: make(chan struct{})}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", l.Name, err)
	}
	defer func() { _ = log.Close() }()
	if s.logFrom, err = log.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(l.Bin, l.arguments(port)...)
	// Not l.Dir: that may lie on a disk that this process serves (see slowdisk), and
	// the runtime holds still until the child has gone there.
	s.cmd.Dir = filepath.Dir(s.log)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	begin := time.Now()
	if err := Spawn(s.cmd); err != nil {
		return nil, fmt.Errorf("%s cannot be started: %w", l.Name, err)
	}
	s.PID = s.cmd.Process.Pid
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	if err := s.comeUp(ctx, begin); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%s does not come up at %s: %w%s", s.Name, s.Addr, err, s.logAppendix())
	}
	return s, nil
}

func (l *Launch) arguments(port int) []string {
	own := []string{"--port", strconv.Itoa(port), "--dir", l.Dir}
	if l.Peer {
		return append(append([]string{}, l.Args...), own...)
	}
	own = append(own, "--bind", "127.0.0.1", "--save", "")
	return append(own, l.Args...)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// comeUp waits until the server answers and has loaded, and looks at what it is.
func (s *Server) comeUp(ctx context.Context, begin time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // whoever else has the port must not keep us waiting
		select {
		case <-s.done:
			cancel(s.exit())
		case <-ctx.Done():
		}
	}()
	for {
		ready, err := s.ready(ctx, begin)
		if ready || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return s.notReady(ctx)
		case <-time.After(pollEvery):
		}
	}
}

func (s *Server) notReady(ctx context.Context) error {
	err := context.Cause(ctx)
	if s.exited() {
		return s.exit()
	}
	return fmt.Errorf("no answer: %w", err)
}

// ready asks once. An error is final.
func (s *Server) ready(ctx context.Context, begin time.Time) (bool, error) {
	reply, err := s.ask(ctx, "PING")
	if err != nil || reply != "PONG" {
		return false, nil
	}
	took := time.Since(begin)
	info, err := s.InfoContext(ctx)
	if err != nil || info["loading"] == "1" {
		return false, nil
	}
	if err := s.checkPID(info["process_id"]); err != nil {
		return false, err
	}
	s.StartSec = took.Seconds()
	s.learn(ctx, info)
	return true, nil
}

// checkPID makes sure that who answers is who was started, or, where that was a
// script, a descendant of it.
func (s *Server) checkPID(told string) error {
	pid, err := strconv.Atoi(told)
	if err != nil || pid == s.PID {
		return nil
	}
	for _, d := range descendants(s.PID) {
		if d == pid {
			s.PID = pid
			return nil
		}
	}
	return fmt.Errorf(portInUse+": process %d answers there, not %d", pid, s.PID)
}

// learn takes the version and, of a server on this machine, where it saves.
func (s *Server) learn(ctx context.Context, info map[string]string) {
	s.version = versionOf(info)
	if s.peer && info["pebble_version"] == "" { // it holds no data and saves none
		s.version = "peer"
		return
	}
	if s.Remote {
		return
	}
	dir, file := s.config(ctx, "dir"), s.config(ctx, "dbfilename")
	if dir == "" || !filepath.IsAbs(dir) {
		dir = filepath.Join(s.Dir, dir)
	}
	s.dump = filepath.Join(dir, cmp.Or(file, "dump.rdb"))
}

// config returns a value of CONFIG GET, "" if the server has none.
func (s *Server) config(ctx context.Context, name string) string {
	reply, err := s.DoContext(ctx, "CONFIG", "GET", name)
	if err != nil {
		return ""
	}
	if pair, ok := reply.([]any); ok && len(pair) == 2 {
		v, _ := pair[1].(string)
		return v
	}
	return ""
}

// Attach connects to a server that runs already, here or elsewhere. All that can
// be known of it is what it tells.
func Attach(ctx context.Context, name, addr string) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, attachLimit)
	defer cancel()
	s := &Server{Name: name, Addr: addr, Remote: true}
	info, err := s.InfoContext(ctx)
	var refused ReplyError
	if errors.As(err, &refused) && strings.HasPrefix(string(refused), "NOAUTH") {
		err = fmt.Errorf("it wants a password, and there is no way to give one: %w", err)
	}
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s at %s does not answer: %w", name, addr, err)
	}
	if info["loading"] == "1" {
		s.Stop()
		return nil, fmt.Errorf("%s at %s is still loading its data", name, addr)
	}
	s.learn(ctx, info)
	return s, nil
}

// Version says what the server calls itself: "redis 7.0.15", "kvd 0.1.0". A peer
// that is no database is "peer".
func (s *Server) Version() string { return s.version }

// versionOf: the others give redis_version too, for the sake of clients.
func versionOf(info map[string]string) string {
	for _, name := range []string{"kvd", "pebble", "valkey", "redis"} {
		if v := info[name+"_version"]; v != "" {
			return name + " " + v
		}
	}
	return "unknown"
}

func (s *Server) exited() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// exit says how the process ended; call it after that.
func (s *Server) exit() error {
	return fmt.Errorf("%s: %v", processEnded, s.cmd.ProcessState)
}

// explain adds the server's end to an error of a connection to it.
func (s *Server) explain(err error) error {
	if s.Remote || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	select { // the connection breaks a moment before the process can be waited for
	case <-s.done:
		return fmt.Errorf("%w; %w", s.exit(), err)
	case <-time.After(endPatience):
		return err
	}
}

// Explain adds to an error that a client of the server met how the process ended
// and what it said last, if it has ended and the error does not say so already.
func (s *Server) Explain(err error) error {
	if err == nil || s.Remote || strings.Contains(err.Error(), processEnded) {
		return err
	}
	if err = s.explain(err); !s.exited() {
		return err
	}
	if words := lastWords(s.LogTail()); words != "" {
		return fmt.Errorf("%w; it logged: %s", err, words)
	}
	return err
}

var complaint = regexp.MustCompile(`(?i)\b(panic|fatal|error|err)\b`)

// lastWords returns the line of the end of a log that says why the server ended: the
// first complaint, as a stack or a report follows it.
func lastWords(log string) string {
	for line := range strings.Lines(log) {
		if complaint.MatchString(line) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// Alive tells whether the process runs; of a remote server, whether it answers
// within ten seconds.
func (s *Server) Alive() bool {
	if !s.Remote {
		return !s.exited()
	}
	ctx, cancel := context.WithTimeout(context.Background(), attachLimit)
	defer cancel()
	_, err := s.DoContext(ctx, "PING")
	return err == nil
}

// Stop ends the server: it is asked to, and killed when it has not gone after
// five seconds. A remote one is only disconnected from. Idempotent.
func (s *Server) Stop() { s.end(stopGrace) }

// Kill ends the server and its children by SIGKILL. Idempotent.
func (s *Server) Kill() { s.end(0) }

func (s *Server) end(grace time.Duration) {
	s.once.Do(func() {
		if !s.Remote {
			s.endProcess(grace)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != nil {
			s.conn.close()
			s.conn = nil
		}
	})
}

func (s *Server) endProcess(grace time.Duration) {
	// redis-server's child does not end with it, and kvd's has a group of its own.
	family := descendants(s.cmd.Process.Pid)
	if grace > 0 && !s.exited() {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(grace):
		}
	}
	for _, pid := range family {
		if startedBy(pid, s.cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// LogTail returns the last lines of what this server has printed, at most 4 KiB.
func (s *Server) LogTail() string {
	if s.log == "" {
		return ""
	}
	text := s.logSince(s.logFrom)
	text = text[max(0, len(text)-tailBytes):]
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// logSince returns what was printed since the log had the given size, of a long
// part its end.
func (s *Server) logSince(from int64) string {
	f, err := os.Open(s.log)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from = max(from, size-16*tailBytes)
	if from >= size {
		return ""
	}
	b := make([]byte, size-from)
	n, _ := f.ReadAt(b, from)
	return string(b[:n])
}

func (s *Server) logSize() int64 {
	st, err := os.Stat(s.log)
	if err != nil {
		return 0
	}
	return st.Size()
}

func (s *Server) logAppendix() string {
	if tail := s.LogTail(); tail != "" {
		return "; its log ends:\n" + tail
	}
	return "; it logged nothing"
}
