//go:build linux

package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/peer"
)

func init() {
	roles["peer"] = func() { os.Exit(peer.Main(os.Args[1:])) }
}

func launchPeer(t testing.TB, args ...string) *Server {
	t.Helper()
	t.Setenv(roleEnv, "peer")
	s, err := Start(limit(t, noise.Patience), Launch{Name: args[0], Bin: os.Args[0], Peer: true, Args: args, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Pebble saves to a directory or a file.
func TestSaveOfPebble(t *testing.T) {
	s := launchPeer(t, "pebble", "--sync=no", "--memtable-mb", "1")
	value := strings.Repeat("value", 1600)
	for i := range 1000 { // more than all memtables hold: some are tables by the end
		do(t, s, "SET", fmt.Sprint("key:", i), value)
	}
	for i, c := range []struct{ kind, name string }{
		{"CHECKPOINT", "checkpoint-1"}, {"RDB", "dump.rdb"}, {"CHECKPOINT", "checkpoint-2"}, {"RDB", "dump.rdb"},
	} {
		save := saveOf(t, s, "BGSAVE", c.kind)
		if save.Error != "" || save.Bytes <= 0 || save.Seconds <= 0 || save.CloneUsec != nil {
			t.Errorf("%d: %+v", i, save)
		}
		if linked := save.SharedBytes > 0; linked != (c.kind == "CHECKPOINT") {
			t.Errorf("%d: %s: %d bytes are links", i, c.kind, save.SharedBytes)
		}
		if _, err := os.Stat(filepath.Join(s.Dir, c.name)); err != nil {
			t.Error(err)
		}
	}
	if v := s.Version(); !strings.HasPrefix(v, "pebble v2") {
		t.Errorf("version %q", v)
	}
}

// The leaking canary, seen from outside: a save without a file, and its 100 MB.
func TestSaveOfCanary(t *testing.T) {
	s := launchPeer(t, "leak", "--save-ms", "400")
	noise.Attempts(t, 5, func(t *noise.T) { seeLeak(t, s) })
}

func seeLeak(t *noise.T, s *Server) {
	now, ctx := clock(), limit(t, noise.Patience)
	m := NewSampler(s, now, 20*time.Millisecond)
	m.Pause()
	v, err := s.Bgsave(ctx, []string{"BGSAVE"})
	if err != nil {
		t.Fatal(err)
	}
	m.Resume()
	save, err := v.Wait(ctx, now)
	if err != nil || save.Error != "" {
		t.Fatal(err, save)
	}
	Summarize(m.Stop(), save)
	if save.Seconds < 0.4 { // and the taking
		t.Fatalf("%+v", save)
	}
	if save.ExtraMemoryBytes == nil {
		t.Errorf("no sample during the save: %+v", save)
		return
	}
	near(t, "extra memory", float64(*save.ExtraMemoryBytes)/1e6, 102, 5)
	if save.CopiedBytes != nil || save.ChildFaults != nil || s.Version() != "peer" {
		t.Errorf("%+v, %s", save, s.Version())
	}
}
