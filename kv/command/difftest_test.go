package command

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kvd/kv"
	"kvd/kv/config"
)

// The differential harness: the same command goes to an engine of this package
// and to a real redis-server, and the raw replies are compared.
//
//	p := newPair(t)
//	p.same("SET", "a", "b")

// oracle is the redis-server of the test binary, started at first use.
var oracle struct {
	once sync.Once
	cmd  *exec.Cmd
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" { // half of the time went into collecting a few megabytes
		debug.SetGCPercent(800)
	}
	code := m.Run()
	if oracle.cmd != nil {
		oracle.cmd.Process.Kill()
		oracle.cmd.Wait()
	}
	if oracle.dir != "" {
		os.RemoveAll(oracle.dir)
	}
	os.Exit(code)
}

func startOracle() {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		oracle.err = err
		return
	}
	if oracle.dir, oracle.err = os.MkdirTemp("", "kvdtest"); oracle.err != nil {
		return
	}
	oracle.path = filepath.Join(oracle.dir, "s")
	oracle.cmd = exec.Command(bin, "--port", "0", "--unixsocket", oracle.path, "--save", "",
		"--enable-debug-command", "yes", "--dir", oracle.dir)
	if oracle.err = oracle.cmd.Start(); oracle.err != nil {
		oracle.cmd = nil
		return
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", oracle.path); err == nil {
			c.Close()
			return
		}
	}
	oracle.err = fmt.Errorf("redis-server did not open %s", oracle.path)
}

// patience is how long a test waits for what must happen: far longer than a busy machine holds
// anything up.
const patience = 60 * time.Second

// await waits for what another goroutine or another process is about to do.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not after ", patience, ": ", what)
		}
	}
}

// attempts is for what is measured in real time, which a busy machine may spoil: try returns what
// is wrong, and only what is wrong each time is a failure. Scale doubles from one attempt to
// the next, for those who sleep.
func attempts(t testing.TB, try func(scale int) (wrong string)) {
	t.Helper()
	for scale := 1; ; scale *= 2 {
		wrong := try(scale)
		if wrong == "" {
			return
		}
		if scale == 32 {
			t.Error(wrong)
			return
		}
		t.Log("once more, after ", wrong)
	}
}

// pair is an engine and a redis-server that get the same commands. A second
// pair on the same servers (other) is a second client of both.
type pair struct {
	t      testing.TB
	theirs *redisConn
	x      *Ctx
	c      *Client
	world  *fakeWorld
}

// newPair returns a new engine with an empty store and a connection to an
// emptied redis-server. Without redis-server the test is skipped, or fails if
// KVD_REQUIRE_ORACLES is set.
func newPair(t testing.TB) *pair {
	t.Helper()
	oracle.once.Do(startOracle)
	if oracle.err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal("redis-server: ", oracle.err)
		}
		t.Skip("redis-server: ", oracle.err)
	}
	p := alone(newWorld(t))
	p.theirs = dialOracle(t)
	for _, cmd := range []string{"FLUSHALL", "CONFIG RESETSTAT", "SCRIPT FLUSH"} {
		p.theirs.do(t, strings.Fields(cmd)...)
	}
	return p
}

// alone is a client of a world, for tests without a redis-server.
func alone(w *fakeWorld) *pair { return &pair{t: w.t, x: w.e.NewCtx(), c: w.connect(), world: w} }

// other returns a second client of both servers.
func (p *pair) other() *pair {
	o := *p
	o.theirs, o.c = dialOracle(p.t), p.world.connect()
	return &o
}

// same sends a command to both and compares the replies; it returns ours.
func (p *pair) same(args ...string) string {
	p.t.Helper()
	ours, theirs := p.both(args...)
	if ours != theirs {
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
	}
	return ours
}

// line is same for a command written as a line; words are split at blanks.
func (p *pair) line(cmd string) string {
	p.t.Helper()
	return p.same(strings.Fields(cmd)...)
}

// both sends a command to both and returns the raw replies.
func (p *pair) both(args ...string) (ours, theirs string) {
	p.t.Helper()
	return p.ours(args...), p.theirs.do(p.t, args...)
}

// ours sends a command to kvd alone.
func (p *pair) ours(args ...string) string { return doString(p.x, p.c, args...) }

// doString runs one command for c and takes its reply.
func doString(x *Ctx, c *Client, args ...string) string {
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	x.BeginRound()
	outcome := x.Do(c, b)
	for outcome == Postponed && c.errand != nil { // the server waits for Wake
		time.Sleep(50 * time.Microsecond)
		outcome = x.Do(c, b)
	}
	x.EndRound()
	if outcome == Postponed {
		return "postponed"
	}
	reply := string(c.Out)
	c.Out = c.Out[:0]
	for i := range b { // what a handler keeps of its arguments must be a copy
		for j := range b[i] {
			b[i][j] = 0xEE
		}
	}
	return reply
}

// redisConn is a raw connection to the redis-server.
type redisConn struct {
	net.Conn
	r *bufio.Reader
}

func dialOracle(t testing.TB) *redisConn {
	t.Helper()
	c, err := net.Dial("unix", oracle.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &redisConn{c, bufio.NewReader(c)}
}

func (c *redisConn) send(t testing.TB, args ...string) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
}

func (c *redisConn) do(t testing.TB, args ...string) string {
	t.Helper()
	c.send(t, args...)
	c.SetReadDeadline(time.Now().Add(patience))
	var b bytes.Buffer
	if err := readReply(c.r, &b); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return b.String()
}

// readReply copies one whole reply of either protocol version to b.
func readReply(r *bufio.Reader, b *bytes.Buffer) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	b.WriteString(line)
	n, _ := strconv.Atoi(strings.TrimRight(line[1:], "\r\n"))
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			_, err = io.CopyN(b, r, int64(n+2))
		}
		return err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return nil
	}
	for range n {
		if err := readReply(r, b); err != nil {
			return err
		}
	}
	return nil
}

// fakeWorld is what the program and the server are to an engine.
type fakeWorld struct {
	t       testing.TB
	e       *Engine
	clients []*Client
	killed  []*Client
	wakes   atomic.Int64
	clock   *atomic.Int64 // nil: the real time

	mu        sync.Mutex
	unblocked []*Client
	denied    string
	info      SaveInfo
	started   []string
	requests  []SaveRequest
	calls     []string
	saveErr   error
	hold      chan struct{} // if set, Start and BeforeFlushAll wait for it
}

// newWorld returns an engine with an empty store, DEBUG allowed.
func newWorld(t testing.TB, options ...string) *fakeWorld {
	t.Helper()
	return newWorldAt(t, nil, options...)
}

// stopped returns a clock that only the test moves, by adding milliseconds.
func stopped() *atomic.Int64 {
	clock := new(atomic.Int64)
	clock.Store(time.Now().UnixMilli())
	return clock
}

// newWorldAt is newWorld with a clock of its own for what expires, if that is not nil.
func newWorldAt(t testing.TB, clock *atomic.Int64, options ...string) *fakeWorld {
	t.Helper()
	var o kv.Options
	if clock != nil {
		o.Clock = clock.Load
	}
	store, err := kv.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.New()
	if err := cfg.Load("", nil, append([]string{"--enable-debug-command", "yes"}, options...)); err != nil {
		t.Fatal(err)
	}
	w := &fakeWorld{t: t, clock: clock, e: NewEngine(store, cfg, slog.New(slog.DiscardHandler))}
	w.e.Saver, w.e.Clients = w, w
	w.info.LastBgsaveOK, w.info.LastBgsaveSeconds, w.info.CurrentBgsaveSeconds = true, -1, -1
	w.info.CurrentType, w.info.LastType = "none", "none"
	t.Cleanup(func() {
		if err := store.Check(); err != nil {
			t.Error("the store is damaged: ", err)
		}
		store.Close()
	})
	return w
}

func (w *fakeWorld) connect() *Client {
	c := w.e.NewClient(ClientOptions{FD: 8 + len(w.clients), Addr: "/s:0", LAddr: "/s:0", Unix: true, Local: true})
	w.clients = append(w.clients, c)
	return c
}

func (w *fakeWorld) Each(fn func(*Client) bool) {
	for _, c := range w.clients {
		if !fn(c) {
			return
		}
	}
}
func (w *fakeWorld) Count() int     { return len(w.clients) }
func (w *fakeWorld) Kill(c *Client) { w.killed = append(w.killed, c) }
func (w *fakeWorld) Wake()          { w.wakes.Add(1) }
func (w *fakeWorld) Unblock(c *Client) {
	w.mu.Lock()
	w.unblocked = append(w.unblocked, c)
	w.mu.Unlock()
}

// released tells whether a client was unblocked since it was asked last.
func (w *fakeWorld) released(c *Client) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.unblocked)
	w.unblocked = slices.DeleteFunc(w.unblocked, func(o *Client) bool { return o == c })
	return len(w.unblocked) < n
}

func (w *fakeWorld) Save() error { w.calls = append(w.calls, "save"); return w.saveErr }
func (w *fakeWorld) Start(r SaveRequest) (string, error) {
	if w.hold != nil {
		<-w.hold
	}
	w.requests = append(w.requests, r)
	w.started = append(w.started, fmt.Sprint(r.Kind, ",", r.Schedule))
	return "Background saving started", w.saveErr
}
func (w *fakeWorld) Check(r SaveRequest) error {
	if r.Name == "bad/name" {
		return errors.New("a name has no slash")
	}
	return nil
}
func (w *fakeWorld) Cancel() error { w.calls = append(w.calls, "cancel"); return w.saveErr }
func (w *fakeWorld) BeforeFlushAll() {
	if w.hold != nil {
		<-w.hold
	}
	w.calls = append(w.calls, "before")
}
func (w *fakeWorld) AfterFlushAll()      { w.calls = append(w.calls, "after") }
func (w *fakeWorld) WriteDenied() string { return w.denied }
func (w *fakeWorld) Info() SaveInfo      { return w.info }
func (w *fakeWorld) Reload(noSave, noFlush bool) error {
	w.calls = append(w.calls, fmt.Sprint("reload ", noSave, noFlush))
	return w.saveErr
}
