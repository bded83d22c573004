package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kvd/kv"
)

// Somebody may have made what a dead server left the dump, to see what is in it.
func TestDumpNamedLikeALeftOver(t *testing.T) {
	r := newRig(t, oldData(t, kv.Options{}), Thread)
	const name, other = "temp-1-0123456789abcdef.rdb", "temp-2-0123456789abcdef.rdb"
	r.change(func(s *Settings) { s.Filename = name })
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, other), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	next := newRig(t, openStore(t, kv.Options{}), Thread)
	next.change(func(s *Settings) { s.Dir, s.Filename = r.dir, name })
	if err := next.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if in := next.Info(); in.LastLoadKeysLoaded == 0 {
		t.Error("nothing was loaded")
	}
	next.start("thread")
	next.wait()
	if got := names(t, r.dir); !slices.Equal(got, []string{name}) {
		t.Errorf("left: %q", got)
	}
}

// A save point that lies farther away than a time.Duration can tell is not reached at once.
func TestSavePointInTheFarFuture(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	set(t, s, 0, "key", "value", 0)
	for _, seconds := range []int64{3600, 1<<63 - 1, 9223372037, 18446744074, 27670116111} {
		if p := r.due([]SavePoint{{seconds, 1}}, 2*time.Second); p != nil {
			t.Errorf("%d seconds are reached after 2", seconds)
		}
	}
	for _, p := range []struct {
		since   time.Duration
		reached bool
	}{{time.Second, false}, {time.Second + 1, true}} {
		if got := r.due([]SavePoint{{1, 1}}, p.since) != nil; got != p.reached {
			t.Errorf("after %v: %v", p.since, got)
		}
	}
}

// When the clock is put back, the dumps that are made from then on are newer than those from
// before, whatever their names say.
func TestKeepsTheLastWhenTheClockGoesBack(t *testing.T) {
	for keep := 1; keep <= 5; keep++ {
		r := newRig(t, oldData(t, kv.Options{}), Thread)
		r.stopClock()
		r.change(func(s *Settings) { s.Keep = keep })
		var made []string
		for i, clock := range []int64{0, 60, 120, 30, 90, 61, -3600, -3540, -3600} {
			r.clock.Store(clock)
			name := keptFile("dump.rdb", r.now(), 1)
			if slices.Contains(made[max(0, i-keep):], name) { // it is still there
				name = keptFile("dump.rdb", r.now(), 2)
			}
			made = append(made, name)
			r.start("thread")
			r.wait()
			want := append([]string{"dump.rdb"}, made[max(0, i+1-keep):]...)
			got := names(t, r.dir)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("keep %d, after %d saves:\n%q, want\n%q", keep, i+1, got, want)
			}
		}
		// Of another dump there are as many.
		r.change(func(s *Settings) { s.Filename = "other.rdb" })
		r.start("thread")
		r.wait()
		if got := names(t, r.dir); len(got) != keep+3 {
			t.Errorf("keep %d: %q", keep, got)
		}
	}
}

// Who cannot save since a snapshot is being loaded is told so.
func TestBusyWithALoad(t *testing.T) {
	r, _ := loadRig(t, 1)
	tx := r.s.NewTx()
	tx.LockAll() // so that the exchange must wait
	ended := make(chan error)
	go func() {
		_, err := r.Restore("new", nil, 0)
		ended <- err
	}()
	within(t, "the load", func() bool { return r.Info().AsyncLoading })
	_, err := r.Start("", false)
	_, again := r.Restore("new", nil, 0)
	for _, err := range []error{err, again, r.Save()} {
		if !errors.Is(err, ErrRestoring) || !errors.Is(err, ErrInProgress) {
			t.Error(err)
		}
	}
	tx.Unlock()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	reached, release := r.hold()
	r.start("")
	reached()
	if _, err := r.Start("", false); errors.Is(err, ErrRestoring) || !errors.Is(err, ErrInProgress) {
		t.Error(err)
	}
	release()
	r.wait()
}

// Who is in a hurry does not wait for a hook.
func TestShutdownNowWaitsForNoHook(t *testing.T) {
	noChildren(t)
	r := newRig(t, oldData(t, kv.Options{}), Thread)
	started := filepath.Join(r.dir, "started")
	r.change(func(s *Settings) {
		s.Hook, s.HookTimeout = "echo $$ > "+started+"; exec sleep 100000", 24*time.Hour
	})
	r.start("thread")
	within(t, "the hook", func() bool { text, _ := os.ReadFile(started); return len(text) > 1 })
	if err := r.ShutdownNow(true); err != nil {
		t.Error(err)
	}
	if alive(t, started) {
		t.Error("the hook runs on")
	}
}
