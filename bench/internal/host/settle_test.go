//go:build linux

package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"kvd/bench/internal/noise"
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
func TestSettleLooks(t *testing.T) {
	const every = time.Millisecond
	server, looks := &Server{}, 0
	used := []int64{0, 10, 11, 21, 22, 23} // calm once, and then twice
	waited, err := server.settle(t.Context(), noise.Patience, every, func() int64 { looks++; return used[looks-1] })
	if err != nil || looks != len(used) || waited < settleCalm*every {
		t.Errorf("settled after %v with %d looks, %v", waited, looks, err)
	}
	const patience = 20 * every
	ticks := int64(0)
	if waited, err := server.settle(t.Context(), patience, every, func() int64 { ticks += 10; return ticks }); err != nil || waited < patience {
		t.Errorf("gave up after %v, %v", waited, err)
	}
}

// The same with processes.
func TestSettle(t *testing.T) {
	t.Setenv(roleEnv, "burner")
	ctx := limit(t, 2*noise.Patience)
	burner := process(t, exec.Command(os.Args[0]))
	wait(t, func() bool { return burner.ticks() >= 15 }) // of 20
	if waited, err := burner.Settle(ctx, noise.Patience); err != nil || waited < settleCalm*settleEvery {
		t.Errorf("settled after %v, %v", waited, err)
	}
	ended := process(t, exec.Command("true"))
	<-ended.done
	if _, err := ended.Settle(ctx, noise.Patience); err == nil {
		t.Error("a server that has ended has settled")
	}
}

// A server must not begin in its directory, which may be one that this very process
// serves: the runtime would wait for the child, and the child for the runtime.
func TestStartsOutsideItsDirectory(t *testing.T) {
	t.Setenv(roleEnv, "peer")
	logs := t.TempDir()
	s, err := Start(limit(t, noise.Patience), Launch{Bin: os.Args[0], Peer: true, Args: []string{"nothing"}, Dir: t.TempDir(), Log: filepath.Join(logs, "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if dir, err := os.Readlink("/proc/" + strconv.Itoa(s.PID) + "/cwd"); err != nil || dir != logs {
		t.Errorf("it runs in %s, not in %s, %v", dir, logs, err)
	}
}
