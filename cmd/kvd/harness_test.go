//go:build linux

package main

import (
	"bufio"
	"bytes"
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
	"testing"
	"time"
)

// The integration harness: kvd is built once and run as a process of its own.
//
//	k := start(t, "--save", "900 1")
//	c := k.dial()
//	c.want("OK", "SET", "a", "b")

// built is the kvd binary of this test run.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// long tells whether the tests may take their time.
func long() bool { return os.Getenv("KVD_LONG") == "1" }

// scaled is n in a normal run and many under KVD_LONG.
func scaled(n, many int) int {
	if long() {
		return many
	}
	return n
}

func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "kvdbin"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "kvd")
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", built.path, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// oracle returns the path of a program that not every machine has. Without it
// the test is skipped, or fails if KVD_REQUIRE_ORACLES is set.
func oracle(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name+": "+err.Error())
	}
	return path
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// output is what a process printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// proc is a running kvd or redis-server.
type proc struct {
	t    testing.TB
	cmd  *exec.Cmd
	dir  string
	sock string
	args []string
	out  *output
	ends chan struct{} // closed when the process has ended
	code int           // exit status, valid then; -1 after a signal
	kvd  bool
}

// shortDir returns a new directory with a path that is short enough for a unix
// socket. It goes when the test ends.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kvd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// start starts kvd in a new directory, on a unix socket only, without save
// points and with DEBUG; args come last and win. It waits for the ready line.
func start(t testing.TB, args ...string) *proc {
	t.Helper()
	return startIn(t, shortDir(t), args...)
}

func startIn(t testing.TB, dir string, args ...string) *proc {
	t.Helper()
	k := launch(t, dir, nil, args...)
	k.waitReady()
	return k
}

func baseArgs(dir string) []string {
	return []string{"--port", "0", "--unixsocket", filepath.Join(dir, "s"), "--save", "", "--dir", dir,
		"--enable-debug-command", "yes", "--enable-protected-configs", "yes"}
}

// launch is startIn with additions to the environment and without the wait.
func launch(t testing.TB, dir string, env []string, args ...string) *proc {
	t.Helper()
	k := &proc{t: t, dir: dir, sock: filepath.Join(dir, "s"), args: append(baseArgs(dir), args...), kvd: true}
	k.run(exec.Command(binary(t), k.args...), env)
	return k
}

// startRedis starts a redis-server in dir like startIn.
func startRedis(t testing.TB, dir string, args ...string) *proc {
	t.Helper()
	bin := oracle(t, "redis-server")
	k := &proc{t: t, dir: dir, sock: filepath.Join(dir, "r")}
	k.args = append([]string{"--port", "0", "--unixsocket", k.sock, "--save", "", "--dir", dir,
		"--enable-debug-command", "yes", "--enable-protected-configs", "yes"}, args...)
	k.run(exec.Command(bin, k.args...), nil)
	k.waitReady()
	return k
}

func (k *proc) run(cmd *exec.Cmd, env []string) {
	k.t.Helper()
	k.cmd, k.out, k.ends = cmd, &output{}, make(chan struct{})
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = k.out, k.out
	cmd.WaitDelay = time.Second // a child that saves may hold the pipe
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		k.code = cmd.ProcessState.ExitCode()
		close(k.ends)
	}()
	k.t.Cleanup(func() {
		k.kill()
		out := k.out.String()
		for _, bad := range []string{"panic:", "fatal error:", "unexpected fault address"} {
			if k.kvd && strings.Contains(out, bad) {
				k.t.Errorf("the server crashed:\n%s", tail(out, 6000))
			}
		}
		if k.t.Failed() {
			k.t.Logf("log of %s:\n%s", filepath.Base(cmd.Path), tail(out, 3000))
		}
	})
}

func tail(s string, n int) string {
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return s
}

const readyLine = "Ready to accept connections"

func (k *proc) waitReady() {
	k.t.Helper()
	if k.kvd {
		k.waitLog(readyLine)
	} else {
		k.waitLog("eady to accept connections") // redis-server has other words for a unix socket
	}
}

// waitLog waits for a line in the output.
func (k *proc) waitLog(text string) {
	k.t.Helper()
	within(k.t, 60*time.Second, "the line "+strconv.Quote(text), func() bool {
		if strings.Contains(k.out.String(), text) {
			return true
		}
		select {
		case <-k.ends:
			k.t.Fatalf("the server ended with %d before it printed %q", k.code, text)
		default:
		}
		return false
	})
}

// within fails the test if done does not become true in time.
func within(t testing.TB, d time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !done(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", d, what)
		}
	}
}

func (k *proc) pid() int { return k.cmd.Process.Pid }

func (k *proc) alive() bool {
	select {
	case <-k.ends:
		return false
	default:
		return true
	}
}

// kill ends the process at once.
func (k *proc) kill() {
	if k.alive() {
		_ = k.cmd.Process.Kill()
		<-k.ends
	}
}

// wait waits for the end of the process and returns its exit status.
func (k *proc) wait() int {
	k.t.Helper()
	select {
	case <-k.ends:
	case <-time.After(30 * time.Second):
		_ = k.cmd.Process.Signal(syscall.SIGABRT)
		time.Sleep(time.Second)
		k.t.Fatalf("the server did not end:\n%s", tail(k.out.String(), 20000))
	}
	return k.code
}

// signal sends sig and waits for the end.
func (k *proc) signal(sig syscall.Signal) int {
	k.t.Helper()
	if err := k.cmd.Process.Signal(sig); err != nil {
		k.t.Fatal(err)
	}
	return k.wait()
}

// again starts the server again with the same arguments, in the same place.
func (k *proc) again(more ...string) *proc {
	k.t.Helper()
	return startIn(k.t, k.dir, append(k.args[len(baseArgs(k.dir)):], more...)...)
}

// failStart runs kvd, which must end by itself with an error, and returns what
// it printed.
func failStart(t testing.TB, dir string, args ...string) string {
	t.Helper()
	k := launch(t, dir, nil, args...)
	if code := k.wait(); code <= 0 {
		t.Errorf("exit status %d for %q", code, args)
	}
	return k.out.String()
}

// freePort returns a TCP port that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// conn is a raw client.
type conn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (k *proc) dial() *conn { k.t.Helper(); return dial(k.t, "unix", k.sock) }

func dial(t testing.TB, network, addr string) *conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &conn{c, t, bufio.NewReaderSize(c, 64<<10)}
}

func appendCommand(b []byte, args ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n", len(a))
		b = append(append(b, a...), '\r', '\n')
	}
	return b
}

// send sends bytes as they are.
func (c *conn) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// ioTimeout is how long a reply may take.
const ioTimeout = 60 * time.Second

// tryRaw sends a command and returns the reply's bytes.
func (c *conn) tryRaw(args ...string) (string, error) {
	if _, err := c.Write(appendCommand(nil, args...)); err != nil {
		return "", err
	}
	return c.readRaw()
}

func (c *conn) readRaw() (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(ioTimeout))
	var b bytes.Buffer
	err := copyReply(c.r, &b)
	return b.String(), err
}

// copyReply copies one whole reply of either protocol version to b.
func copyReply(r *bufio.Reader, b *bytes.Buffer) error {
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
		if err := copyReply(r, b); err != nil {
			return err
		}
	}
	return nil
}

// do sends a command and returns the reply as text: simple strings, bulks and
// numbers as they are, errors with their -, null as (nil), arrays in brackets.
func (c *conn) do(args ...string) string {
	c.t.Helper()
	s, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%.200q: %v", args, err)
	}
	return s
}

// try is do for goroutines, which must not end the test.
func (c *conn) try(args ...string) (string, error) {
	raw, err := c.tryRaw(args...)
	if err != nil {
		return "", err
	}
	return textOf(bufio.NewReader(strings.NewReader(raw)))
}

// read returns the next reply as text.
func (c *conn) read() string {
	c.t.Helper()
	raw, err := c.readRaw()
	if err != nil {
		c.t.Fatal(err)
	}
	s, _ := textOf(bufio.NewReader(strings.NewReader(raw)))
	return s
}

func textOf(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		if n < 0 {
			return "(nil)", nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		return string(b[:n]), nil
	case '*':
		if n < 0 {
			return "(nil)", nil
		}
		parts := make([]string, n)
		for i := range parts {
			if parts[i], err = textOf(r); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, " ") + "]", nil
	case '-':
		return line, nil
	case '+', ':':
		return line[1:], nil
	}
	return "", errors.New("reply " + strconv.Quote(line))
}

// want sends a command and compares the reply's text.
func (c *conn) want(reply string, args ...string) {
	c.t.Helper()
	if got := c.do(args...); got != reply {
		c.t.Errorf("%.200q: %.300q, want %.300q", args, got, reply)
	}
}

// wantMatch is want for a regular expression.
func (c *conn) wantMatch(pattern string, args ...string) {
	c.t.Helper()
	if got := c.do(args...); !regexp.MustCompile(pattern).MatchString(got) {
		c.t.Errorf("%.200q: %.300q does not match %q", args, got, pattern)
	}
}

// info returns a field of INFO.
func (c *conn) info(field string) string {
	c.t.Helper()
	return infoField(c.do("INFO", "everything"), field)
}

func infoField(text, field string) string {
	for line := range strings.SplitSeq(text, "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return v
		}
	}
	return "(no " + field + ")"
}

func (c *conn) infoInt(field string) int64 {
	c.t.Helper()
	s := c.info(field)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		c.t.Fatalf("%s is %q", field, s)
	}
	return n
}

// waitSaved waits until no save runs and returns the status of the last one.
func (c *conn) waitSaved() string {
	c.t.Helper()
	within(c.t, 120*time.Second, "the end of the save", func() bool { return c.info("rdb_bgsave_in_progress") == "0" })
	return c.info("rdb_last_bgsave_status")
}

// populate makes n keys prefix:0 … of size random bytes, which do not compress.
func (c *conn) populate(prefix string, n, size int) {
	c.t.Helper()
	state := uint64(88172645463325252)
	value := make([]byte, size)
	const batch = 500
	for i := 0; i < n; i += batch {
		var b []byte
		m := min(batch, n-i)
		for j := range m {
			for k := range value {
				state ^= state << 13
				state ^= state >> 7
				state ^= state << 17
				value[k] = byte(state)
			}
			b = appendCommand(b, "SET", prefix+":"+strconv.Itoa(i+j), string(value))
		}
		c.send(b)
		for range m {
			if got := c.read(); got != "OK" {
				c.t.Fatal(got)
			}
		}
	}
}

// procField returns a field of /proc/PID/status in its own unit.
func procField(t testing.TB, pid int, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no %s in /proc/%d/status", name, pid)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// children returns the pids of a process' children.
func children(pid int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range files {
		b, _ := os.ReadFile(name)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// tryDial is dial that returns nil while nobody listens.
func (k *proc) tryDial() *conn {
	c, err := net.Dial("unix", k.sock)
	if err != nil {
		return nil
	}
	k.t.Cleanup(func() { _ = c.Close() })
	return &conn{c, k.t, bufio.NewReaderSize(c, 64<<10)}
}
