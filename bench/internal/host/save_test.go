//go:build linux

package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
)

// clock returns a clock that begins now.
func clock() func() time.Duration {
	begin := time.Now()
	return func() time.Duration { return time.Since(begin) }
}

func saveOf(t *testing.T, s *Server, command ...string) *result.Save {
	t.Helper()
	ctx := limit(t, noise.Patience)
	v, err := s.Bgsave(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	save, err := v.Wait(ctx, clock())
	if err != nil {
		t.Fatal(err)
	}
	return save
}

func TestSave(t *testing.T) {
	for _, c := range []struct {
		name      string
		bin       func(*testing.T) string
		command   []string
		held      bool
		clone     bool
		tellsMore bool
	}{
		{"redis", redisBin, []string{"BGSAVE"}, true, true, true},
		{"kvd fork", kvdBin, []string{"BGSAVE", "FORK"}, true, true, true},
		{"kvd thread", kvdBin, []string{"BGSAVE", "THREAD"}, true, false, true},
		{"kvd copy", kvdBin, []string{"BGSAVE", "COPY"}, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := launch(t, c.bin(t), "--enable-debug-command", "yes")
			do(t, s, "DEBUG", "POPULATE", "100000")
			if strings.HasPrefix(c.name, "kvd") {
				saveOf(t, s, "BGSAVE", "FORK") // what INFO tells of this one must not be told of the next
			}
			now := clock()
			ctx := limit(t, noise.Patience)
			time.Sleep(10 * time.Millisecond)
			v, err := s.Bgsave(ctx, c.command)
			if err != nil {
				t.Fatal(err)
			}
			save, err := v.Wait(ctx, now)
			if err != nil {
				t.Fatal(err)
			}
			st, err := os.Stat(filepath.Join(s.Dir, "dump.rdb"))
			if err != nil || save.Bytes != st.Size() {
				t.Errorf("%d bytes; %v", save.Bytes, err)
			}
			if save.AtSec < 0.01 || save.Seconds <= 0 || save.EndSec != save.AtSec+save.Seconds || now().Seconds() < save.EndSec {
				t.Errorf("times: %+v", save)
			}
			if save.Command != strings.Join(c.command, " ") || save.Error != "" {
				t.Errorf("%+v", save)
			}
			if (save.HeldUsec != nil) != c.held || (save.CloneUsec != nil) != c.clone || (save.ReportedExtra != nil) != c.tellsMore {
				t.Errorf("held %v, clone %v, extra %v", save.HeldUsec, save.CloneUsec, save.ReportedExtra)
			}
			if c.clone && *save.CloneUsec <= 0 {
				t.Errorf("clone %v", *save.CloneUsec)
			}
		})
	}
}

func TestSaveFails(t *testing.T) {
	both(t, nil, func(t *testing.T, s *Server) {
		do(t, s, "SET", "a", "b")
		dump := filepath.Join(s.Dir, "dump.rdb")
		if err := os.MkdirAll(filepath.Join(dump, "full"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Bgsave(t.Context(), []string{"BGSAVE"}); err != nil { // kvd sees it in time
			contains(t, err, "refuses BGSAVE", "directory")
		} else {
			wait(t, func() bool { info, err := s.Info(); return err == nil && over(info) })
			save := saveOf(t, s, "BGSAVE")
			contains(t, errors.New(save.Error), "rdb_last_bgsave_status:err", "directory")
			if save.HeldUsec != nil || save.CloneUsec != nil || save.Bytes != 0 {
				t.Errorf("a failed save has figures: %+v", save)
			}
		}
		if err := os.RemoveAll(dump); err != nil {
			t.Fatal(err)
		}
		if save := saveOf(t, s, "BGSAVE"); save.Error != "" || save.Bytes == 0 {
			t.Errorf("after a failed save: %+v", save)
		}
		_, err := s.Bgsave(t.Context(), []string{"BGSAVE", "NONSENSE"})
		contains(t, err, "refuses BGSAVE NONSENSE", "ERR")
	})
}

// slowSave starts a save that takes a minute or more, so that it can be disturbed.
func slowSave(t *testing.T, s *Server) *Saving {
	t.Helper()
	command := []string{"BGSAVE", "FORK"}
	if strings.HasPrefix(s.Version(), "redis") {
		do(t, s, "CONFIG", "SET", "rdb-key-save-delay", "4000")
		command = command[:1]
	} else {
		do(t, s, "CONFIG", "SET", "save-rate-limit", "100000")
	}
	do(t, s, "DEBUG", "POPULATE", "20000", "k", "500")
	v, err := s.Bgsave(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestChildKilledDuringSave(t *testing.T) {
	both(t, []string{"--enable-debug-command", "yes"}, func(t *testing.T, s *Server) {
		v := slowSave(t, s)
		family := descendants(s.PID)
		if len(family) != 1 {
			t.Fatalf("children: %v", family)
		}
		_ = syscall.Kill(family[0], syscall.SIGKILL)
		save, err := v.Wait(limit(t, noise.Patience), clock())
		if err != nil {
			t.Fatal(err)
		}
		t.Log(save.Error)
		contains(t, errors.New(save.Error), "rdb_last_bgsave_status:err", "signal")
	})
}

func TestServerKilledDuringSave(t *testing.T) {
	both(t, []string{"--enable-debug-command", "yes"}, func(t *testing.T, s *Server) {
		v := slowSave(t, s)
		family := descendants(s.PID)
		_ = syscall.Kill(s.PID, syscall.SIGKILL)
		save, err := v.Wait(limit(t, noise.Patience), clock())
		t.Log(err)
		contains(t, err, "BGSAVE", "the process has ended: signal: killed")
		if save == nil || save.Error == "" || save.EndSec < save.AtSec {
			t.Errorf("%+v", save)
		}
		s.Stop()
		for _, pid := range family {
			wantGone(t, pid)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	both(t, []string{"--enable-debug-command", "yes"}, func(t *testing.T, s *Server) {
		v := slowSave(t, s)
		save, err := v.Wait(limit(t, 20*time.Millisecond), clock())
		contains(t, err, "deadline exceeded")
		if save == nil || save.Error == "" {
			t.Errorf("%+v", save)
		}
	})
}
