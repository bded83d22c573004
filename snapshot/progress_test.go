package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kvd/kv"
)

// While a save runs INFO and the log tell how far it is, and afterwards what
// became of it.
func TestProgress(t *testing.T) {
	s := bulkStore(t, 4)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		r.stopClock()
		// The first buffer is encoded, and then it stands still.
		r.change(func(s *Settings) { s.RateLimit, s.Threads, s.MemoryLimit, s.NoCompress = 1000, 1, -25, true })
		in := r.Info()
		if in.CurrentPhase != "" || in.CurrentETASeconds != -1 || in.LastVerified != "" || in.LastReason != "" || in.LastSeconds != 0 {
			t.Errorf("%v, before: %+v", engine, in)
		}
		if _, err := r.Manager.Start(Request{Reason: "the test"}); err != nil {
			t.Fatal(err)
		}
		sv := r.saving()
		within(t, "the writing of the first buffer", func() bool {
			if sv.phase.Load() != phaseWriting {
				return false
			}
			if sv.job == nil {
				return sv.crew.file.size() > 1<<19
			}
			_, written, _ := sv.job.Progress()
			return written > 0
		})
		progressing(t, r, engine)
		if err := r.Cancel(); err != nil {
			t.Fatal(err)
		}
		if in = r.Info(); in.LastReason != "the test" || in.LastVerified != "no" || !in.LastBgsaveOK || in.LastError != "" ||
			in.CurrentETASeconds != -1 || in.LastKeys == 4000 {
			t.Errorf("%v, cancelled: %+v", engine, in)
		}

		// One that comes to its end, a thousand seconds later.
		r.change(func(s *Settings) { s.RateLimit = 0 })
		reached, release := r.hold()
		if _, err := r.Manager.Start(Request{Reason: "all"}); err != nil {
			t.Fatal(err)
		}
		reached()
		r.clock.Add(1000)
		release()
		in = r.wait()
		info, err := os.Stat(r.path())
		if err != nil {
			t.Fatal(err)
		}
		if in.CurrentPhase != "" || in.CurrentReason != "" || in.CurrentETASeconds != -1 || in.CurrentLimitBytes != 0 ||
			in.LastReason != "all" || in.LastVerified != "yes" || in.LastKeys != 4000 || in.LastBytes != info.Size() ||
			in.LastSeconds <= 0 || in.LastSeconds > 2*patience.Seconds() || in.LastVerifySeconds <= 0 || in.LastVerifySeconds > in.LastSeconds ||
			in.LastBgsaveSeconds != 1000 || in.LastAutoReason != "" || in.LastLimitReached || in.LastError != "" {
			t.Errorf("%v, after: %+v", engine, in)
		}
		r.logged("(engine "+engine.String()+", asked for by all, to dump.rdb, cut ", " 4000 keys, ", "verified (yes) in ")

		// One that fails.
		r.change(func(s *Settings) { s.RateLimit = 0; s.Dir += "/missing" })
		if _, err := r.Manager.Start(Request{}); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		if in = r.Info(); in.LastBgsaveOK || in.LastError == "" || in.LastVerified != "no" || in.LastKeys != 0 || in.BgsaveInProgress ||
			in.LastType != engine.String() || in.CurrentETASeconds != -1 {
			t.Errorf("%v, failed: %+v", engine, in)
		}
		r.Close()
	}
}

// saving returns the save in progress.
func (r *rig) saving() *saving {
	r.Manager.mu.Lock()
	defer r.Manager.mu.Unlock()
	return r.run.saving
}

// progressing looks at a save that stands still, with a quarter of 4000 keys done.
func progressing(t *testing.T, r *rig, engine Engine) {
	t.Helper()
	in := r.Info()
	if in.CurrentPhase != "writing" || in.CurrentReason != "the test" || in.CurrentSaveKeysTotal != 4000 || in.CurrentETASeconds != 0 ||
		in.CurrentLimitBytes != MinMemoryLimit || in.CurrentThrottled != 0 || in.CurrentName != "" {
		t.Errorf("%v, during: %+v", engine, in)
	}
	r.cron()
	if strings.Contains(r.log.String(), "Background saving: ") {
		t.Errorf("%v: progress is told at once: %s", engine, r.log.String())
	}
	// As if it had taken so long for what there is.
	r.clock.Store(1000)
	in = r.Info()
	f := in.CurrentShare
	if keys := float64(in.CurrentSaveKeysDone) / 4000; math.Abs(f-keys) > 0.1 {
		t.Errorf("%v: %.2f are done, and %.2f of the keys, all of which are equal", engine, f, keys)
	}
	if want := 1000 * (1 - f) / f; math.Abs(float64(in.CurrentETASeconds)-want) > 1 || in.CurrentBgsaveSeconds != 1000 ||
		in.CurrentSaveKeysDone < 900 || in.CurrentSaveKeysDone > 1100 {
		t.Errorf("%v: %v s left after %v s, with %.2f done: want %v", engine, in.CurrentETASeconds, in.CurrentBgsaveSeconds, f, want)
	}
	r.cron()
	r.cron()
	r.clock.Add(9)
	r.cron()
	r.clock.Add(2)
	r.cron()
	if n := strings.Count(r.log.String(), "Background saving: writing, "); n != 2 {
		t.Errorf("%v: progress is told %d times:\n%s", engine, n, r.log.String())
	}
	r.logged(" of 4000 keys, extra memory ", " seconds left")
}

// The latency monitor hears of all that clients may have waited for.
func TestLatencyEvents(t *testing.T) {
	s := openStore(t, kv.Options{})
	set(t, s, 0, "a", "b", 0)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		var mu sync.Mutex
		events := map[string]time.Duration{}
		r.o.Latency = func(event string, d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			events[event] = d
		}
		r.start("")
		in := r.wait()
		if err := r.Save(); err != nil {
			t.Error(err)
		}
		want := map[Engine][]string{Fork: {"fork", "save-cut"}, Thread: {"save-cut", "save-thread"}, Copy: {"save-cut"}}[engine]
		if engine == Fork {
			delete(events, "cow-fault") // it may be too quick for that
		}
		if got := slices.Sorted(maps.Keys(events)); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", engine, got, want)
		}
		if usec(events["save-cut"]) != in.LastPauseUsec || engine == Fork && usec(events["fork"]) != in.LatestForkUsec {
			t.Errorf("%v: %v, %+v", engine, events, in)
		}
		r.Close()
	}
}

// A hook is told where a save would have gone, of whatever kind it was.
func TestHookOfFailedSave(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	out := filepath.Join(r.dir, "out")
	missing := filepath.Join(r.dir, "missing")
	r.change(func(s *Settings) {
		s.Dir, s.Hook = missing, "echo $KVD_SAVE_RESULT $KVD_SAVE_PATH $KVD_SAVE_ENGINE >>"+out
	})
	for n, fn := range []func() error{
		func() error { _, err := r.Start("", false); return err },
		r.Save,
		func() error { _, err := r.Manager.Start(Request{Name: "x"}); return err },
	} {
		if err := fn(); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		within(t, "the hook", func() bool {
			b, _ := os.ReadFile(out)
			return bytes.Count(b, []byte("\n")) > n
		})
	}
	b, _ := os.ReadFile(out)
	if want := fmt.Sprintf("error %s/dump.rdb thread\nerror %[1]s/dump.rdb foreground\nerror %[1]s/x.rdb thread\n", missing); string(b) != want {
		t.Errorf("the hooks say\n%swant\n%s", b, want)
	}
}

// How fast saves are is not learned from those of one database.
func TestExpectedSecondsOfOneDatabase(t *testing.T) {
	s := openStore(t, kv.Options{})
	set(t, s, 0, "a", "b", 0)
	r := newRig(t, s, Thread)
	r.start("")
	r.wait()
	was := r.stat.savedIn
	r.start("")
	if r.wait(); r.stat.savedIn == was || r.stat.savedData != dataBytes(s) {
		t.Errorf("%d bytes in %v s, as before", r.stat.savedData, was)
	}
	was = r.stat.savedIn
	zero := 0
	if _, err := r.Manager.Start(Request{DB: &zero}); err != nil {
		t.Fatal(err)
	}
	if r.wait(); r.stat.savedIn != was {
		t.Errorf("%v s, were %v", r.stat.savedIn, was)
	}
}

// Before anything is written nobody knows how long it takes, and in the end it is
// only the disk.
func TestETA(t *testing.T) {
	s := openStore(t, kv.Options{})
	for i := range 100 {
		set(t, s, 0, string(rune('a'+i)), "", 0)
	}
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	sv := &saving{view: v, dump: dump{view: v, only: -1}}
	for _, c := range []struct{ keys, seconds, want int64 }{{0, 50, -1}, {1, 1, 99}, {50, 30, 30}, {99, 990, 10}, {100, 5, 0}} {
		sv.keys.Store(c.keys)
		if got := sv.eta(time.Duration(c.seconds) * time.Second); got != c.want {
			t.Errorf("%d keys in %d s: %d s left, want %d", c.keys, c.seconds, got, c.want)
		}
	}
	sv.keys.Store(50)
	for phase, name := range map[int32]string{phaseCut: "cut", phaseWriting: "writing", phaseSyncing: "syncing", phaseVerifying: "verifying"} {
		sv.phase.Store(phase)
		if got := sv.eta(time.Minute); (got == 0) != (phase >= phaseSyncing) || sv.stage() != name {
			t.Errorf("%s: %d s left", sv.stage(), got)
		}
	}
}
