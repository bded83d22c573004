//go:build linux

package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// process starts a command as if it were a server; it goes with the test.
func process(t *testing.T, cmd *exec.Cmd) *Server {
	t.Helper()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Server{PID: cmd.Process.Pid, cmd: cmd, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(s.done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-s.done })
	return s
}

// What a server still has to do is waited for, but not for ever.
func TestSettle(t *testing.T) {
	t.Setenv(roleEnv, "burner")
	ctx := limit(t, 20*time.Second)
	burner := process(t, exec.Command(os.Args[0]))
	wait(t, func() bool { return burner.ticks() > 0 })
	if waited, err := burner.Settle(ctx, 20*time.Second); err != nil || burner.ticks() < 15 || waited < settleCalm*settleEvery {
		t.Errorf("settled after %v with %d ticks of 20, %v", waited, burner.ticks(), err)
	}
	const patience = 300 * time.Millisecond
	endless := process(t, exec.Command("sh", "-c", "while :; do :; done"))
	wait(t, func() bool { return endless.ticks() > 0 })
	if waited, err := endless.Settle(ctx, patience); err != nil || waited < patience {
		t.Errorf("gave up after %v, %v", waited, err)
	}
	ended := process(t, exec.Command("true"))
	<-ended.done
	if _, err := ended.Settle(ctx, 20*time.Second); err == nil {
		t.Error("a server that has ended has settled")
	}
}

// A server must not begin in its directory, which may be one that this very process
// serves: the runtime would wait for the child, and the child for the runtime.
func TestStartsOutsideItsDirectory(t *testing.T) {
	t.Setenv(roleEnv, "peer")
	logs := t.TempDir()
	s, err := Start(limit(t, 20*time.Second), Launch{Bin: os.Args[0], Peer: true, Args: []string{"nothing"}, Dir: t.TempDir(), Log: filepath.Join(logs, "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if dir, err := os.Readlink("/proc/" + strconv.Itoa(s.PID) + "/cwd"); err != nil || dir != logs {
		t.Errorf("it runs in %s, not in %s, %v", dir, logs, err)
	}
}
