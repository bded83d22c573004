//go:build linux

package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/kv/config"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(serveEnv); path != "" {
		serveForever(path)
	}
	goleak.VerifyTestMain(m)
}

// noSaver is a Saver that never has anything to do.
type noSaver struct{}

func (noSaver) Save() error                        { return nil }
func (noSaver) Start(string, bool) (string, error) { return "Background saving started", nil }
func (noSaver) Cancel() error                      { return nil }
func (noSaver) BeforeFlushAll()                    {}
func (noSaver) AfterFlushAll()                     {}
func (noSaver) Reload(bool, bool) error            { return nil }
func (noSaver) WriteDenied() string                { return "" }
func (noSaver) Info() command.SaveInfo             { return command.SaveInfo{LastBgsaveOK: true} }

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

type testServer struct {
	*Server
	t    testing.TB
	cfg  *config.Config
	log  *logBuffer
	addr string
}

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// newServer makes a server that is not listening, on a free loopback port
// unless args say otherwise.
func newServer(t testing.TB, args ...string) *testServer {
	t.Helper()
	port := freePort(t)
	base := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--enable-debug-command", "yes", "--save", ""}
	cfg := config.New()
	if err := cfg.Load("", strings.NewReader(""), append(base, args...)); err != nil {
		t.Fatal(err)
	}
	store, err := kv.Open(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	logs := &logBuffer{}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engine := command.NewEngine(store, cfg, log)
	engine.Saver = noSaver{}
	s := New(engine, cfg, log)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &testServer{Server: s, t: t, cfg: cfg, log: logs, addr: "127.0.0.1:" + strconv.Itoa(port)}
}

// startServer is newServer, listening and serving until the test ends.
func startServer(t testing.TB, args ...string) *testServer {
	t.Helper()
	s := newServer(t, args...)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error("Close:", err)
		}
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
		if n := s.Count(); n != 0 {
			t.Errorf("%d clients left", n)
		}
	})
	return s
}

// wire is a raw client.
type wire struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, network, addr string) *wire {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	w := &wire{Conn: c, t: t, r: bufio.NewReader(c)}
	t.Cleanup(func() { _ = c.Close() })
	return w
}

func (s *testServer) dial() *wire { s.t.Helper(); return dial(s.t, "tcp", s.addr) }

func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.Conn, s); err != nil {
		w.t.Fatal(err)
	}
}

// line reads a line without its end.
func (w *wire) line() string {
	w.t.Helper()
	s, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("read %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// reply reads a simple reply or a bulk string.
func (w *wire) reply() string {
	w.t.Helper()
	s := w.line()
	if s[0] != '$' || s == "$-1" {
		return s
	}
	n, err := strconv.Atoi(s[1:])
	if err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatal(err)
	}
	return string(b[:n])
}

// do sends a command and reads its reply.
func (w *wire) do(args ...string) string {
	w.t.Helper()
	w.send(encode(args...))
	return w.reply()
}

// ended checks that the server has closed the connection.
func (w *wire) ended() {
	w.t.Helper()
	if b, err := io.ReadAll(w.r); err != nil && !strings.Contains(err.Error(), "reset") {
		w.t.Fatalf("the connection is still open: %q, %v", b, err)
	} else if len(b) > 0 {
		w.t.Fatalf("unexpected %.100q", b)
	}
}

func (w *wire) want(want string) {
	w.t.Helper()
	if got := w.reply(); got != want {
		w.t.Fatalf("got %.200q, want %.200q", got, want)
	}
}

func encode(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// eventually waits for what another thread is about to do.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatal("not in 10 s: " + what)
}

func TestPipeline(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	const n = 20000 // several reads and several turns
	var b strings.Builder
	for i := range n {
		b.WriteString(encode("SET", "k"+strconv.Itoa(i%100), strconv.Itoa(i)))
		b.WriteString(encode("GET", "k"+strconv.Itoa(i%100)))
	}
	go func() { _, _ = io.WriteString(w.Conn, b.String()) }()
	for i := range n {
		w.want("+OK")
		w.want(strconv.Itoa(i))
	}
}

func TestByteByByte(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	for _, b := range []byte(encode("SET", "key", "value\r\n") + "\r\nPING\r\n" + encode("GET", "key")) {
		w.send(string([]byte{b}))
		time.Sleep(time.Millisecond)
	}
	w.want("+OK")
	w.want("+PONG")
	w.want("value\r\n")
}

func TestManyArguments(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	const pairs = 500_000
	args := make([]string, 0, 2*pairs+1)
	args = append(args, "MSET")
	for i := range pairs {
		k := strconv.Itoa(i)
		args = append(args, k, k)
	}
	if got := w.do(args...); got != "+OK" {
		t.Fatal(got)
	}
	if got := w.do("DBSIZE"); got != ":"+strconv.Itoa(pairs) {
		t.Fatal(got)
	}
	if got := w.do("GET", "499999"); got != "499999" {
		t.Fatal(got)
	}
}

func TestBigValue(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	big := strings.Repeat("0123456789abcdef", 64<<20/16)
	w.send(encode("SET", "big", big) + encode("STRLEN", "big") + encode("PING"))
	w.want("+OK")
	w.want(":" + strconv.Itoa(len(big)))
	w.want("+PONG")
	if w.do("GET", "big") != big {
		t.Fatal("the value has changed")
	}
	eventually(t, "buffers given back", func() bool { return s.mem(t, 0) == connBytes })
}

// mem returns the memory that the server counts for its i-th client.
func (s *testServer) mem(t *testing.T, i int) (n int64) {
	t.Helper()
	s.Each(func(c *command.Client) bool {
		n = c.TotalMem.Load()
		i--
		return i >= 0
	})
	return n
}

func TestInline(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	w.send("SET a \"x y\"\r\nGET a\nPING\r\n\r\n")
	w.want("+OK")
	w.want("x y")
	w.want("+PONG")
}

func TestQuit(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	w.send(encode("PING") + encode("QUIT") + encode("SET", "a", "1"))
	w.want("+PONG")
	w.want("+OK")
	w.ended()
	if got := s.dial().do("GET", "a"); got != "$-1" {
		t.Fatal("a command after QUIT was run")
	}
}

// TestHalfClosed sends a pipeline and closes the sending side: all replies come.
func TestHalfClosed(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	value := strings.Repeat("v", 10_000)
	w.do("SET", "k", value)
	const n = 2000 // 20 MB of replies
	w.send(strings.Repeat(encode("GET", "k"), n))
	if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	for range n {
		w.want(value)
	}
	w.ended()
	eventually(t, "client gone", func() bool { return s.Count() == 0 })
}

// TestWritesFirst sends a pipeline whose replies do not fit into any buffer
// before it reads the first one, as simple clients do.
func TestWritesFirst(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	value := strings.Repeat("v", 100)
	w.do("SET", "k", value)
	const n = 700_000 // 75 MB of replies, 15 MB of requests
	w.send(strings.Repeat(encode("GET", "k"), n))
	for range n {
		w.want(value)
	}
}

func TestReset(t *testing.T) {
	s := startServer(t)
	for range 20 {
		w := s.dial()
		w.send(strings.Repeat(encode("PING"), 1000))
		_ = w.Conn.(*net.TCPConn).SetLinger(0)
		_ = w.Close()
	}
	eventually(t, "clients gone", func() bool { return s.Count() == 0 })
	if got := s.dial().do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestManyConnections(t *testing.T) {
	s := startServer(t, "--io-threads", "3")
	before := openFiles(t)
	for range 4 {
		var list []*wire
		for range 500 {
			list = append(list, s.dial())
		}
		for _, w := range list {
			w.send(encode("PING"))
		}
		for _, w := range list {
			w.want("+PONG")
		}
		if n := s.Count(); n != 500 {
			t.Fatalf("%d clients", n)
		}
		last := int64(0)
		s.Each(func(c *command.Client) bool {
			if c.ID <= last {
				t.Errorf("client %d after %d", c.ID, last)
			}
			last = c.ID
			return true
		})
		for _, l := range s.loops {
			if n := l.load.Load(); n < 150 || n > 180 {
				t.Errorf("loop %d has %d of 500 clients", l.id, n)
			}
		}
		for _, w := range list {
			_ = w.Close()
		}
		eventually(t, "clients gone", func() bool { return s.Count() == 0 })
	}
	eventually(t, "descriptors closed", func() bool { return openFiles(t) <= before })
}

func TestKillAcrossLoops(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	a, b := s.dial(), s.dial() // one on each loop
	id := b.do("CLIENT", "ID")[1:]
	a.send(encode("CLIENT", "KILL", "ID", id) + encode("CLIENT", "LIST"))
	a.want(":1")
	if list := a.reply(); strings.Contains(list, "id="+id+" ") {
		t.Fatal("the killed client is still listed: " + list)
	}
	b.ended()
	own := a.do("CLIENT", "ID")[1:]
	a.send(encode("CLIENT", "KILL", "ID", own, "SKIPME", "no") + encode("PING"))
	a.want(":1")
	a.ended()
	eventually(t, "clients gone", func() bool { return s.Count() == 0 && s.loops[0].load.Load()+s.loops[1].load.Load() == 0 })
}

func TestPause(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	a, b, c := s.dial(), s.dial(), s.dial()
	if got := a.do("CLIENT", "PAUSE", "100000", "WRITE"); got != "+OK" {
		t.Fatal(got)
	}
	b.send(encode("GET", "k") + encode("SET", "k", "1") + encode("GET", "k"))
	c.send(encode("SET", "k", "2"))
	b.want("$-1")
	time.Sleep(30 * time.Millisecond)
	b.send(encode("PING"))
	_ = c.Close() // a client that goes while it is paused is not run
	eventually(t, "client gone", func() bool { return s.Count() == 2 })
	if got := a.do("GET", "k"); got != "$-1" {
		t.Fatal("a paused command was run:", got)
	}
	if got := a.do("CLIENT", "UNPAUSE"); got != "+OK" {
		t.Fatal(got)
	}
	b.want("+OK")
	b.want("1")
	b.want("+PONG")
	// A pause that ends by itself.
	start := time.Now()
	a.do("CLIENT", "PAUSE", "150", "WRITE")
	if got := b.do("SET", "k", "3"); got != "+OK" {
		t.Fatal(got)
	}
	if d := time.Since(start); d < 140*time.Millisecond || d > time.Second {
		t.Fatal("the pause took", d)
	}
}

// TestGeneration gives a loop an event of a connection that is gone, as a
// forked child's copy of its socket would: the slot's new user is not touched.
func TestGeneration(t *testing.T) {
	s := newServer(t)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	l := s.loops[0] // it does not run: this test is its thread
	l.round()
	adopt := func() (*conn, int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{fd: fds[0], loop: l}
		c.client = s.engine.NewClient(command.ClientOptions{Owner: c})
		s.clients.add(c)
		l.load.Add(1)
		l.adopt(c)
		return c, fds[1]
	}
	gone, peer := adopt()
	_ = unix.Close(peer)
	event := &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLHUP, Fd: int32(gone.slot), Pad: int32(gone.gen)}
	l.event(event)
	if !gone.closed {
		t.Fatal("its own event did not close the client")
	}
	next, peer := adopt()
	defer unix.Close(peer)
	if next.slot != gone.slot {
		t.Fatal("the slot is not reused")
	}
	event.Events = unix.EPOLLHUP
	l.event(event)
	if next.closed {
		t.Fatal("an old event closed the new client")
	}
	l.close(next)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownFromCommand(t *testing.T) {
	s := newServer(t, "--io-threads", "2")
	s.engine.Shutdown = func(command.ShutdownOptions) error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return s.Close(ctx)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	a, b := s.dial(), s.dial()
	b.do("PING")
	a.do("PING")
	b.send(encode("SHUTDOWN", "NOSAVE"))
	a.ended()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Fatal("the port is still open")
	}
}
