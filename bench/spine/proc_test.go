//go:build linux

package spine

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	waitLimit = 10 * time.Minute      // for anything a server does
	pollEvery = 2 * time.Millisecond  // while waiting for it
	tick      = 10 * time.Millisecond // of /proc/PID/stat
)

// harness is one measurement's surroundings. What it starts and creates goes
// away with the test or benchmark.
type harness struct {
	testing.TB
	kvdBin, redisBin string
	scale            float64
	rounds           int
}

func newHarness(tb testing.TB, scale float64, rounds int) *harness {
	tb.Helper()
	h := &harness{TB: tb, redisBin: oracle(tb, "redis-server"), scale: scale, rounds: rounds}
	h.kvdBin = os.Getenv("KVD_BIN")
	if h.kvdBin == "" {
		var err error
		if h.kvdBin, err = buildKvd(); err != nil {
			tb.Fatal(err)
		}
	}
	return h
}

// oracle finds one of Redis' programs, or skips the test where there is none.
func oracle(tb testing.TB, name string) string {
	tb.Helper()
	bin, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	return bin
}

var buildKvd = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(tempRoot, "kvd")
	if out, err := exec.Command("go", "build", "-o", bin, "kvd/cmd/kvd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build kvd/cmd/kvd: %w\n%s", err, out)
	}
	return bin, nil
})

// count scales a full count of keys or requests.
func (h *harness) count(full int) int { return max(1000, int(float64(full)*h.scale)) }

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// dir creates a temporary directory; its path is short enough for a socket.
func (h *harness) dir() string {
	h.Helper()
	d, err := os.MkdirTemp(tempRoot, "")
	h.must(err)
	h.Cleanup(func() { _ = os.RemoveAll(d) })
	return d
}

// server is a running kvd or redis-server.
type server struct {
	h       *harness
	cmd     *exec.Cmd
	dir     string        // holds socket, log and dump.rdb
	port    string        // on 127.0.0.1
	started time.Duration // from the start of the process to its first PONG
	methods []string      // that BGSAVE knows by name
}

func (h *harness) kvd(dir string, args ...string) *server {
	s := h.start(h.kvdBin, dir, args...)
	if !strings.Contains(filepath.Base(h.kvdBin), "redis-server") {
		s.methods = []string{"FORK", "THREAD", "COPY"}
	}
	return s
}

func (h *harness) redis(dir string, args ...string) *server {
	return h.start(h.redisBin, dir, args...)
}

// start runs a server in dir and waits until it has loaded the dump there.
func (h *harness) start(bin, dir string, args ...string) *server {
	h.Helper()
	s := &server{h: h, dir: dir, port: freePort(h)}
	base := []string{"--port", s.port, "--bind", "127.0.0.1", "--unixsocket", s.socket(), "--dir", dir,
		"--logfile", filepath.Join(dir, "log"), "--save", ""}
	s.cmd = exec.Command(bin, append(base, args...)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begin := time.Now()
	h.must(spawn(s.cmd))
	h.Cleanup(s.stop)
	for deadline := begin.Add(waitLimit); !s.ready(); time.Sleep(pollEvery) {
		if dead := !s.alive(); dead || time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			h.Fatalf("%s does not come up (exited: %v); its log:\n%s", bin, dead, log)
		}
	}
	s.started = time.Since(begin)
	return s
}

// spawn starts cmd from a thread that lives as long as this process: the signal
// at the parent's death is bound to the thread that started the child.
func spawn(cmd *exec.Cmd) error {
	result := make(chan error)
	spawner() <- func() { result <- cmd.Start() }
	return <-result
}

var spawner = sync.OnceValue(func() chan func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (s *server) socket() string { return filepath.Join(s.dir, "sock") }

func (s *server) dumpFile() string { return filepath.Join(s.dir, "dump.rdb") }

func (s *server) ready() bool {
	c, err := net.Dial("unix", s.socket())
	if err != nil {
		return false
	}
	client := newClient(c)
	defer client.close()
	reply, err := client.do("PING")
	return err == nil && reply == "PONG"
}

// alive tells a running server from one that has exited and was not waited for.
func (s *server) alive() bool {
	stat, err := s.stat()
	return err == nil && stat[0] != "Z"
}

// stop kills the server: nothing in its memory is wanted any more.
func (s *server) stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// stat returns the fields of /proc/PID/stat from the third one, the state, on.
func (s *server) stat() ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])), err
}

// cpu returns the CPU time the server has used, user and system.
func (s *server) cpu() time.Duration {
	s.h.Helper()
	f, err := s.stat()
	s.h.must(err)
	var ticks int
	for _, field := range []int{14, 15} { // utime, stime
		n, err := strconv.Atoi(f[field-3])
		s.h.must(err)
		ticks += n
	}
	return time.Duration(ticks) * tick
}

// rss returns the server's resident memory in bytes.
func (s *server) rss() float64 {
	s.h.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	s.h.must(err)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			s.h.must(err)
			return kib * 1024
		}
	}
	s.h.Fatal("no VmRSS")
	return 0
}

// run executes one of Redis' programs to its end and returns its output.
func (h *harness) run(name string, args ...string) string {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, oracle(h, name), args...).CombinedOutput()
	if err != nil {
		h.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
