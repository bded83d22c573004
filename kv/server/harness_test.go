//go:build linux

package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/kv/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient runs the tests, and then waits for goroutines that are about to end: goleak itself gives
// them less than half a second.
type patient struct{ *testing.M }

func (p patient) Run() int {
	code := p.M.Run()
	for end := time.Now().Add(patience); goleak.Find() != nil && time.Now().Before(end); {
	}
	return code
}

// patience is how long a test waits for what must happen: far longer than a busy machine holds
// anything up.
const patience = 60 * time.Second

// noSaver is a Saver that never has anything to do.
type noSaver struct{}

func (noSaver) Save() error                               { return nil }
func (noSaver) Start(command.SaveRequest) (string, error) { return "Background saving started", nil }
func (noSaver) Check(command.SaveRequest) error           { return nil }
func (noSaver) Cancel() error                             { return nil }
func (noSaver) BeforeFlushAll()                           {}
func (noSaver) AfterFlushAll()                            {}
func (noSaver) Reload(bool, bool) error                   { return nil }
func (noSaver) WriteDenied() string                       { return "" }
func (noSaver) Info() command.SaveInfo                    { return command.SaveInfo{LastBgsaveOK: true} }

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

// freePort returns a port that nobody listens on. It is none of those that the system gives to
// connections, so that it is still free a moment later.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
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
		ctx, cancel := context.WithTimeout(context.Background(), patience)
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
	_ = c.SetDeadline(time.Now().Add(2 * patience))
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
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in ", patience, ": ", what)
		}
	}
}

// long tells whether the tests may take their time.
func long() bool { return os.Getenv("KVD_LONG") == "1" }
