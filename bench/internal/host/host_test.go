//go:build linux

package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kvd/bench/internal/noise"
)

// roleEnv makes the test binary another program: see roles.
const roleEnv = "KVD_HOST_TEST_ROLE"

// roles are processes that tests need.
var roles = map[string]func(){
	"deaf":   deaf,
	"parent": parent,
	"memory": memory,
	"burner": burner,
}

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleEnv)]; role != nil {
		role()
		os.Exit(0)
	}
	code := m.Run()
	removeKvd()
	os.Exit(code)
}

// removeKvd removes what buildKvd has built.
var removeKvd = func() {}

// buildKvd builds kvd once in a test binary, when a test first wants it.
var buildKvd = sync.OnceValues(func() (path string, err error) {
	path, removeKvd, err = BuildKvd(context.Background())
	return path, err
})

func redisBin(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return bin
}

func kvdBin(t *testing.T) string {
	t.Helper()
	bin, err := buildKvd()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func limit(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// launch starts a server that goes with the test.
func launch(t *testing.T, bin string, args ...string) *Server {
	t.Helper()
	s, err := Start(limit(t, time.Minute), Launch{Bin: bin, Dir: t.TempDir(), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// both runs a test against redis-server and kvd.
func both(t *testing.T, args []string, test func(t *testing.T, s *Server)) {
	for name, bin := range map[string]func(*testing.T) string{"redis": redisBin, "kvd": kvdBin} {
		t.Run(name, func(t *testing.T) { test(t, launch(t, bin(t), args...)) })
	}
}

func do(t *testing.T, s *Server, args ...string) any {
	t.Helper()
	reply, err := s.Do(args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// contains checks that an error is there and has all the words.
func contains(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}

func wantGone(t *testing.T, pid int) {
	t.Helper()
	noise.Wait(t, fmt.Sprintf("the end of process %d", pid), func() bool {
		st, err := readStat(pid)
		return err != nil || st.state == "Z"
	})
}

func TestStartAndStop(t *testing.T) {
	both(t, nil, func(t *testing.T, s *Server) {
		if !s.Alive() || s.Remote || s.PID == 0 || s.StartSec <= 0 || s.StartSec > noise.Patience.Seconds() {
			t.Errorf("%+v", s)
		}
		if name, v, ok := strings.Cut(s.Version(), " "); !ok || name != filepath.Base(t.Name()) || v == "" {
			t.Errorf("version %q", s.Version())
		}
		if do(t, s, "SET", "a", "b") != "OK" || do(t, s, "GET", "a") != "b" || do(t, s, "GET", "none") != nil || do(t, s, "DBSIZE") != int64(1) {
			t.Error("odd replies")
		}
		if _, err := s.Do("NOSUCH"); err == nil || !strings.HasPrefix(err.Error(), "ERR unknown command") {
			t.Errorf("NOSUCH: %v", err)
		}
		if !strings.Contains(s.LogTail(), "Ready to accept connections") {
			t.Errorf("log: %s", s.LogTail())
		}
		if u, err := s.Usage(); err != nil || u.RssBytes < mib || u.MinorFaults == 0 {
			t.Errorf("%+v, %v", u, err)
		}
		s.Stop()
		s.Kill()
		if _, err := s.Usage(); err == nil || s.Alive() {
			t.Error("alive after Stop")
		}
		_, err := s.Do("PING")
		contains(t, err, "the process has ended")
	})
}

// A server that starts on a dump is ready when it has loaded it.
func TestStartLoads(t *testing.T) {
	const keys = 100_000
	both(t, []string{"--enable-debug-command", "yes"}, func(t *testing.T, s *Server) {
		do(t, s, "DEBUG", "POPULATE", strconv.Itoa(keys))
		do(t, s, "SAVE")
		empty := s.StartSec
		s.Stop()
		again, err := Start(limit(t, time.Minute), Launch{Bin: s.cmd.Path, Dir: s.Dir})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Stop()
		if n := do(t, again, "DBSIZE"); n != int64(keys) {
			t.Errorf("%v keys", n)
		}
		t.Logf("empty %.3f s, with %d keys %.3f s", empty, keys, again.StartSec)
	})
}

func TestStartFails(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsleep 600 &\necho $! >child\necho going at once\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		l     Launch
		role  string
		words []string
	}{
		{"missing", Launch{Bin: "no-such-server"}, "", []string{"no-such-server cannot be started", "not found"}},
		{"missing path", Launch{Bin: "/nowhere/redis-server"}, "", []string{"cannot be started", "no such file"}},
		{"no directory", Launch{Bin: "sh", Dir: "-"}, "", []string{"no directory"}},
		{"exits at once", Launch{Bin: script}, "", []string{"exit status 3", "going at once"}},
		{"says nothing", Launch{Bin: self, Peer: true}, "deaf", []string{"no answer", "deadline exceeded", "I am deaf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(roleEnv, c.role)
			if c.l.Dir == "" {
				c.l.Dir = t.TempDir()
			} else {
				c.l.Dir = ""
			}
			ctx, cancel := context.WithCancelCause(limit(t, noise.Patience))
			defer cancel(nil)
			if c.role == "deaf" {
				go func() { // it would take for ever
					for ctx.Err() == nil {
						if log, _ := os.ReadFile(filepath.Join(c.l.Dir, "server.log")); bytes.Contains(log, []byte("deaf")) {
							cancel(context.DeadlineExceeded)
						}
						time.Sleep(pollEvery)
					}
				}()
			}
			s, err := Start(ctx, c.l)
			if s != nil {
				s.Stop()
			}
			contains(t, err, c.words...)
			if b, err := os.ReadFile(filepath.Join(c.l.Dir, "child")); err == nil { // an orphan of it
				pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
				wantGone(t, pid)
			}
		})
	}
}

// deaf listens on the port it is given and never says a word.
func deaf() {
	signal.Ignore(syscall.SIGTERM)
	for i, arg := range os.Args {
		if arg == "--port" {
			if l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[i+1]); err == nil {
				defer func() { _ = l.Close() }()
			}
		}
	}
	fmt.Println("I am deaf")
	select {}
}

// A directive that the server does not know is told in its own words.
func TestUnknownDirective(t *testing.T) {
	for name, bin := range map[string]func(*testing.T) string{"redis": redisBin, "kvd": kvdBin} {
		t.Run(name, func(t *testing.T) {
			_, err := Start(limit(t, noise.Patience), Launch{Name: "valkey", Bin: bin(t), Dir: t.TempDir(),
				Args: []string{"--forkless-infrastructure-enabled", "yes", "--bgsave-default-method", "forkless"}})
			contains(t, err, "valkey does not come up", "the process has ended", "forkless-infrastructure-enabled")
		})
	}
}

// Who answers on the port must be the process that was started.
func TestPortInUse(t *testing.T) {
	both(t, nil, func(t *testing.T, s *Server) {
		_, port, _ := net.SplitHostPort(s.Addr)
		n, _ := strconv.Atoi(port)
		other, err := Start(limit(t, noise.Patience), Launch{Bin: s.cmd.Path, Dir: t.TempDir(), Port: n})
		if other != nil {
			other.Stop()
		}
		contains(t, err, "in use")
	})
}

// A wrapper script is fine: the figures are those of the server below it.
func TestWrapperScript(t *testing.T) {
	script := filepath.Join(t.TempDir(), "wrapper")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+redisBin(t)+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := launch(t, script)
	if s.PID == s.cmd.Process.Pid {
		t.Error("PID is the script's")
	}
	s.Stop()
	wantGone(t, s.PID)
}

// parent starts a server and waits to be killed.
func parent() {
	s, err := Start(context.Background(), Launch{Bin: "redis-server", Dir: os.Getenv("DIR")})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID)
	select {}
}

func TestServersDieWithTheirParent(t *testing.T) {
	redisBin(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=parent", "DIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscan(out, &pid)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	wantGone(t, pid)
}

// What a client of a server met says how the server ended, once.
func TestExplain(t *testing.T) {
	both(t, nil, func(t *testing.T, s *Server) {
		defer func(d time.Duration) { endPatience = d }(endPatience)
		endPatience = time.Millisecond
		broken := errors.New("connection reset")
		if err := s.Explain(broken); err != broken {
			t.Errorf("a server that runs: %v", err)
		}
		endPatience = noise.Patience
		_ = syscall.Kill(s.PID, syscall.SIGKILL)
		err := s.Explain(broken)
		contains(t, err, "the process has ended: signal: killed", "connection reset")
		if again := s.Explain(err); again != err {
			t.Errorf("explained twice: %v", again)
		}
		if s.Explain(nil) != nil {
			t.Error("an error where there was none")
		}
	})
}

func TestLastWords(t *testing.T) {
	for log, want := range map[string]string{
		"Ready\npanic: nil map\n\ngoroutine 1 [running]:\nmain.main()\n": "panic: nil map",
		"level=INFO msg=open\nlevel=ERROR msg=\"no space\"\n":            `level=ERROR msg="no space"`,
		"Ready to accept connections\nterror\n":                          "",
	} {
		if got := lastWords(log); got != want {
			t.Errorf("%q: %q, want %q", log, got, want)
		}
	}
}

// A server that stands still does not keep the caller, and a late reply is not
// taken for that of the next command.
// stopped tells whether every thread of a process stands still: the signal is on
// its way to them when kill returns.
func stopped(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range stats {
		b, _ := os.ReadFile(path)
		if !bytes.Contains(b, []byte(") T ")) {
			return false
		}
	}
	return err == nil && len(stats) > 0
}

func TestStoppedServer(t *testing.T) {
	both(t, nil, func(t *testing.T, s *Server) {
		if err := syscall.Kill(s.PID, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		wait(t, func() bool { return stopped(s.PID) })
		_, err := s.DoContext(limit(t, 100*time.Millisecond), "ECHO", "late")
		contains(t, err, "deadline exceeded")
		_ = syscall.Kill(s.PID, syscall.SIGCONT)
		if reply := do(t, s, "ECHO", "now"); reply != "now" {
			t.Errorf("%v", reply)
		}
	})
}

func TestAttach(t *testing.T) {
	both(t, nil, func(t *testing.T, s *Server) {
		r, err := Attach(t.Context(), "there", s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Remote || r.Version() != s.Version() || !r.Alive() || r.PID != 0 || r.Dir != "" {
			t.Errorf("%+v", r)
		}
		save := saveOf(t, r, "BGSAVE")
		// Redis does not say how large the file is, and it cannot be looked at.
		info, err := r.Info()
		if err != nil {
			t.Fatal(err)
		}
		if _, tells := info["rdb_last_save_bytes"]; save.Error != "" || save.Seconds <= 0 || tells != (save.Bytes > 0) {
			t.Errorf("%+v", save)
		}
		samples := NewSampler(r, clock(), time.Millisecond)
		samples.Pause()
		samples.Resume()
		if list := samples.Stop(); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		r.Stop()
		if !s.Alive() {
			t.Error("Stop of an attached server ended it")
		}
		s.Kill()
		_, err = Attach(t.Context(), "there", s.Addr)
		contains(t, err, "there at "+s.Addr, "refused")
	})
}
