//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// TestMain has more tests run at a time than there are cores, since most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told {
		_ = flag.Set("test.parallel", "6")
	}
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

// output is what a process printed so far. It is a file and not a pipe: what the process has printed
// before it replies, or ends, is there then, with nobody in between who must come to run first.
type output struct{ f *os.File }

func newOutput(t testing.TB) *output {
	t.Helper()
	f, err := os.CreateTemp("", "kvdout")
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(f.Name())
	t.Cleanup(func() { _ = f.Close() })
	return &output{f}
}

func (o *output) String() string {
	b, _ := io.ReadAll(io.NewSectionReader(o.f, 0, 1<<40))
	return string(b)
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
	k.cmd, k.out, k.ends = cmd, newOutput(k.t), make(chan struct{})
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = k.out.f, k.out.f
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
	within(k.t, "the line "+strconv.Quote(text), func() bool {
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

// patience is how long anything may take that must happen: the machine may have other work.
const patience = 90 * time.Second

// within fails the test if done does not become true at all.
func within(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// ended tells whether a process has ended. One that init has not buried yet has.
func ended(pid int) bool { return syscall.Kill(pid, 0) != nil || isZombie(pid) }

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
	case <-time.After(patience):
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

// lastPort is the last one that freePort has returned. It lies below those that the system gives to
// connections and to whoever asks for any port, so that none of them takes one that is free for a moment.
var lastPort atomic.Int64

const portLow, portHigh = 12_000, 32_000

func init() { lastPort.Store(portLow + rand.Int64N(portHigh-portLow)) }

// freePort returns a TCP port that nobody listens on, each once.
func freePort(t testing.TB) string {
	t.Helper()
	for range portHigh - portLow {
		port := strconv.FormatInt(portLow+lastPort.Add(1)%(portHigh-portLow), 10)
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
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
