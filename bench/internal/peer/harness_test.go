//go:build linux

package peer

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"kvd/bench/internal/noise"
)

// The tests run peers as they are run in earnest: as processes. The test binary
// is one when its first argument says so.

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// process is a running peer.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  *lockedBuffer
	addr string
	done chan struct{} // closed when it has ended
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var address = regexp.MustCompile(`Ready to accept connections.* address=(\S+)`)

// launch starts a peer and waits until it is ready or has ended (addr is "" then).
func launch(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], append([]string{"peer"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its exit status is in ProcessState
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %q:\n%.4000s", args, p.log)
		}
	})
	for deadline := time.Now().Add(noise.Patience); ; {
		if m := address.FindStringSubmatch(p.log.String()); m != nil {
			p.addr = m[1]
			return p
		}
		select {
		case <-p.done:
			return p
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready:\n%s", p.log)
		}
	}
}

// start is launch for a peer that must get ready. Somebody else may take the port that it
// found free.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	for try := 1; ; try++ {
		p := launch(t, args...)
		if p.addr != "" {
			return p
		}
		if try == portTries || !strings.Contains(p.log.String(), syscall.EADDRINUSE.Error()) {
			t.Fatalf("%q has ended:\n%s", args, p.log)
		}
	}
}

// portTries is how often a port is looked for.
const portTries = 5

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// terminate asks it to end and returns its exit status.
func (p *process) terminate() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return p.status()
}

// status waits for the end.
func (p *process) status() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(noise.Patience):
		p.t.Fatalf("it does not end:\n%s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// client is a connection.
type client struct {
	t testing.TB
	redis.Conn
}

func (p *process) dial() *client {
	p.t.Helper()
	c, err := redis.Dial("tcp", p.addr, redis.DialConnectTimeout(noise.Patience), redis.DialReadTimeout(noise.Patience))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return &client{p.t, c}
}

// do sends a command; an error reply comes back as text.
func (c *client) do(args ...string) any {
	c.t.Helper()
	rest := make([]any, len(args)-1)
	for i, a := range args[1:] {
		rest[i] = a
	}
	v, err := c.Do(args[0], rest...)
	if e, ok := err.(redis.Error); ok {
		return "-" + string(e)
	}
	if err != nil {
		c.t.Fatalf("%q: %v", args, err)
	}
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return v
}

// want checks a reply, printed.
func (c *client) want(want string, args ...string) {
	c.t.Helper()
	if got := fmt.Sprint(c.do(args...)); got != want {
		c.t.Errorf("%.100q: %.200q, want %q", args, got, want)
	}
}

// info returns a field of INFO.
func (c *client) info(name string) string {
	c.t.Helper()
	text, _ := c.do("INFO").(string)
	for line := range strings.SplitSeq(text, "\r\n") {
		if n, value, ok := strings.Cut(line, ":"); ok && n == name {
			return value
		}
	}
	c.t.Fatalf("INFO has no %s:\n%s", name, text)
	return ""
}

// save does BGSAVE and returns its status and error when it has ended.
func (c *client) save(args ...string) (status, problem string) {
	c.t.Helper()
	if got := c.do(append([]string{"BGSAVE"}, args...)...); got != textStarted {
		c.t.Fatalf("BGSAVE %q: %v", args, got)
	}
	for deadline := time.Now().Add(noise.Patience); c.info("rdb_bgsave_in_progress") == "1"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatal("the save does not end")
		}
	}
	return c.info("rdb_last_bgsave_status"), c.info("rdb_last_error")
}

// oracle returns the path of a program of Redis.
func oracle(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}
