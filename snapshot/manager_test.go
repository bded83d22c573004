package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// rig is a Manager with a clock and settings that a test changes.
type rig struct {
	*Manager
	t     *testing.T
	s     *kv.Store
	dir   string
	mu    sync.Mutex
	set   Settings
	clock atomic.Int64 // seconds after the true time
	still atomic.Pointer[time.Time]
	log   syncBuffer
	on    []bool // what Loading was called with
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// trap is a log, and what happens before it says something that begins with a text.
type trap struct {
	slog.Handler
	text string
	fn   func()
}

// Handle waits for the function.
func (h *trap) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, h.text) {
		h.fn()
	}
	return h.Handler.Handle(ctx, r)
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newRig(t *testing.T, s *kv.Store, engine Engine) *rig {
	r := &rig{t: t, s: s, dir: t.TempDir()}
	r.set = Settings{Dir: r.dir, Filename: "dump.rdb", Engine: engine, StopWritesOnError: true}
	r.Manager = NewManager(ManagerOptions{Store: s,
		Settings: func() Settings {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.set
		},
		Log:     slog.New(slog.NewTextHandler(&r.log, nil)),
		Loading: func(on bool) { r.on = append(r.on, on) },
		now:     r.now})
	t.Cleanup(r.Close)
	return r
}

func (r *rig) now() time.Time {
	base := time.Now()
	if still := r.still.Load(); still != nil {
		base = *still
	}
	return base.Add(time.Duration(r.clock.Load()) * time.Second)
}

// stopClock has the time go on by what is added to clock alone.
func (r *rig) stopClock() {
	now := time.Now()
	r.still.Store(&now)
}

func (r *rig) change(fn func(s *Settings)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.set)
}

func (r *rig) path() string { return filepath.Join(r.dir, "dump.rdb") }

// wait returns when no save is in progress.
func (r *rig) wait() Info {
	r.t.Helper()
	within(r.t, "the end of the save", func() bool { return !r.Info().BgsaveInProgress })
	return r.Info()
}

// Start is that of Manager, with words; the status is Redis' part of it.
func (r *rig) Start(kind string, schedule bool) (status string, err error) {
	q := Request{Schedule: schedule}
	if kind != "" {
		if q.Engine, err = ParseEngine(kind); err != nil {
			return "", err
		}
	}
	status, err = r.Manager.Start(q)
	status, _, _ = strings.Cut(status, " (engine ")
	return status, err
}

// start begins a background save.
func (r *rig) start(kind string) {
	r.t.Helper()
	if status, err := r.Start(kind, false); err != nil || status != StatusStarted {
		r.t.Fatalf("start: %q %v", status, err)
	}
}

func (r *rig) logged(words ...string) {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.log.String(), w) {
			r.t.Errorf("the log does not say %q:\n%s", w, r.log.String())
		}
	}
}

func TestManagerInfo(t *testing.T) {
	s := bulkStore(t, 8)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		set(t, s, 0, "a", "b", 0)
		set(t, s, 0, "c", "d", 0)
		in := r.Info()
		if in.ChangesSinceLastSave != 2 || in.LastBgsaveSeconds != -1 || in.CurrentBgsaveSeconds != -1 ||
			in.LastType != "none" || in.CurrentType != "none" || !in.LastBgsaveOK || in.LastSaveUnix < time.Now().Unix()-600 {
			t.Errorf("%v, before: %+v", engine, in)
		}
		begun := time.Now().Unix()
		r.clock.Store(100)
		reached, release := r.hold()
		r.start("")
		set(t, s, 0, "after", "the cut", 0)
		in = r.Info()
		if !in.BgsaveInProgress || in.CurrentType != engine.String() || in.CurrentBgsaveSeconds < 0 ||
			in.CurrentSaveKeysTotal != 8002 || in.CurrentSaveKeysDone > 8002 || in.ChangesSinceLastSave != 3 ||
			(engine == Fork) != (in.ChildPID > 0) || engine == Copy && in.CurrentCOWBytes < 8<<20 {
			t.Errorf("%v, during: %+v", engine, in)
		}
		if _, err := r.Start("", false); !errors.Is(err, ErrInProgress) {
			t.Error(err)
		}
		if err := r.Save(); !errors.Is(err, ErrInProgress) {
			t.Error(err)
		}
		reached()
		release()
		in = r.wait()
		if in.ChangesSinceLastSave != 1 || in.LastBgsaveSeconds < 0 || in.CurrentBgsaveSeconds != -1 || in.Saves != 1 ||
			in.LastType != engine.String() || in.CurrentType != "none" || in.LastSaveUnix < begun+100 ||
			in.LastPauseUsec <= 0 || in.LastError != "" || in.ChildPID != 0 || in.CurrentSaveKeysTotal != 0 {
			t.Errorf("%v, after: %+v", engine, in)
		}
		if (engine == Fork) != (in.TotalForks == 1 && in.LatestForkUsec > 0 && in.LastCOWBytes > 0) ||
			engine == Copy && in.LastExtraMemoryPeak < 8<<20 || engine == Thread && in.LastExtraMemoryPeak > 8<<20 {
			t.Errorf("%v, after: %+v", engine, in)
		}
		if _, ok := readDump(t, r.path())[place{0, "after"}]; ok {
			t.Errorf("%v: the dump has a key from after the cut", engine)
		}
		if engine == Fork {
			r.logged("Background saving started by pid ", "Fork CoW for RDB: current ")
		}
		r.logged("DB saved on disk", "Background saving terminated with success", "engine "+engine.String())
		if err := r.Save(); err != nil || r.Info().ChangesSinceLastSave != 0 || r.Info().Saves != 2 {
			t.Errorf("%v: SAVE: %v", engine, err)
		}
		s.DB(0).Delete([]byte("a"), []byte("c"), []byte("after"))
		r.Close()
	}
}

func TestManagerCancel(t *testing.T) {
	s := bulkStore(t, 8)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		if err := r.Cancel(); !errors.Is(err, ErrNoSave) {
			t.Error(err)
		}
		set(t, s, 0, "x", "y", 0)
		r.change(func(s *Settings) { s.RateLimit = 1000 }) // none ends by itself
		r.start("")
		if status, err := r.Start("thread", true); err != nil || status != StatusScheduled || !r.Info().Scheduled {
			t.Error(status, err)
		}
		if err := r.Cancel(); err != nil {
			t.Error(err)
		}
		in := r.Info()
		if in.BgsaveInProgress || in.Scheduled || !in.LastBgsaveOK || in.ChangesSinceLastSave != 1 || in.LastError != "" {
			t.Errorf("%v: %+v", engine, in)
		}
		if list, _ := os.ReadDir(r.dir); len(list) != 0 {
			t.Errorf("%v left %v", engine, list)
		}
		r.start("") // the cut has gone
		r.BeforeFlushAll()
		if list, _ := os.ReadDir(r.dir); len(list) != 0 || r.Info().BgsaveInProgress {
			t.Errorf("%v: FLUSHALL left %v", engine, list)
		}
		r.start("")
		if err := r.Shutdown(true); err != nil {
			t.Error(err)
		}
		if got := readDump(t, r.path()); got[place{0, "x"}].value != "y" {
			t.Errorf("%v: SHUTDOWN SAVE wrote %d keys", engine, len(got))
		}
		r.start("")
		r.Close()
		noTemps(t, r.dir)
		if _, err := r.Start("", false); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestFlushAllSavesTheEmptySet(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	set(t, s, 0, "x", "y", 0)
	r.AfterFlushAll()
	if _, err := os.Stat(r.path()); err == nil {
		t.Error("saved without save points")
	}
	r.change(func(s *Settings) { s.SavePoints = []SavePoint{{900, 1}} })
	if !r.HasSavePoints() {
		t.Error("no save points")
	}
	r.BeforeFlushAll()
	s.DB(0).Flush()
	r.AfterFlushAll()
	if got := readDump(t, r.path()); len(got) != 0 || r.Info().ChangesSinceLastSave != 0 {
		t.Errorf("%v %+v", got, r.Info())
	}
}

func TestSchedule(t *testing.T) {
	s := bulkStore(t, 4)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		r.Run()
		r.Run()
		reached, release := r.hold()
		r.start("")
		if status, err := r.Start("copy", true); err != nil || status != StatusScheduled {
			t.Error(status, err)
		}
		reached()
		release()
		within(t, "the scheduled save", func() bool {
			in := r.Info()
			return in.Saves == 2 && !in.BgsaveInProgress && !in.Scheduled
		})
		if in := r.Info(); in.LastType != "copy" {
			t.Errorf("%+v", in)
		}
		v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Start("", false); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if err := r.Save(); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if status, err := r.Start("", true); err != nil || status != StatusScheduled {
			t.Error(status, err)
		}
		time.Sleep(250 * time.Millisecond) // it is tried, and counted while it is
		within(t, "nothing but attempts", func() bool {
			in := r.Info()
			if !in.LastBgsaveOK || in.LastError != "" {
				t.Fatalf("%+v", in)
			}
			return in.Saves == 2
		})
		v.Close()
		within(t, "the save after the View", func() bool {
			in := r.Info()
			return in.Saves == 3 && !in.BgsaveInProgress && in.LastType == engine.String()
		})
		r.Close()
	}
}

func TestSavePoints(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	r.stopClock()
	r.change(func(s *Settings) { s.SavePoints = []SavePoint{{3600, 1}, {60, 3}} })
	step := func(what string, seconds int64, saves int64) {
		t.Helper()
		r.clock.Add(seconds)
		r.cron()
		if in := r.wait(); in.Saves != saves {
			t.Fatalf("%s: %d saves, want %d", what, in.Saves, saves)
		}
	}
	step("nothing changed", 4000, 0)
	if err := r.Save(); err != nil {
		t.Fatal(err)
	}
	set(t, s, 0, "a", "1", 0)
	set(t, s, 0, "b", "1", 0)
	step("two changes in a minute", 61, 1)
	set(t, s, 0, "c", "1", 0)
	step("three", 0, 2)
	r.logged("3 changes in 60 seconds. Saving...")
	set(t, s, 0, "c", "2", 0)
	step("one change, half an hour", 1800, 2)
	step("one change, an hour", 1801, 3)
	if in := r.Info(); in.ChangesSinceLastSave != 0 {
		t.Errorf("%+v", in)
	}

	// After a failure it is tried again, five seconds later.
	r.change(func(s *Settings) { s.Dir = filepath.Join(r.dir, "missing") })
	set(t, s, 0, "c", "3", 0)
	step("the save fails", 3601, 4)
	in := r.Info()
	if in.LastBgsaveOK || !strings.Contains(in.LastError, "no such file or directory") || in.ChangesSinceLastSave != 1 {
		t.Errorf("%+v", in)
	}
	if reason := r.WriteDenied(); reason != in.LastError {
		t.Errorf("denied: %q", reason)
	}
	step("too early", 4, 4)
	step("fails again", 2, 5)
	r.change(func(s *Settings) { s.StopWritesOnError = false })
	if reason := r.WriteDenied(); reason != "" {
		t.Errorf("denied: %q", reason)
	}
	r.change(func(s *Settings) { s.StopWritesOnError, s.Dir = true, r.dir })
	step("works again", 6, 6)
	if in := r.Info(); !in.LastBgsaveOK || in.LastError != "" || r.WriteDenied() != "" || in.ChangesSinceLastSave != 0 {
		t.Errorf("%+v", in)
	}
	r.logged("Background saving error", "no such file or directory")
}

// Each engine under the load of the exact cut: what changed since the last save
// is what the dump does not have.
func TestChangesSinceLastSave(t *testing.T) {
	for _, engine := range background() {
		s := openStore(t, kv.Options{})
		r := newRig(t, s, engine)
		h := startHammer(s, 8)
		for range 2 {
			r.start("")
			r.wait()
			before := s.Changes()
			since := r.Info().ChangesSinceLastSave
			after := s.Changes()
			cut := r.clean.Load()
			if since < before-cut || since > after-cut {
				t.Errorf("%v: %d changes since the last save, want %d to %d", engine, since, before-cut, after-cut)
			}
			verify(t, r.path(), cut, time.Now().UnixMilli())
		}
		r.start("")
		s.DB(0).Flush() // of one database: the save goes on
		r.wait()
		h.stop()
		if in := r.Info(); !in.LastBgsaveOK || in.Saves != 3 {
			t.Errorf("%v: %+v", engine, in)
		}
		r.Close()
	}
}

func TestManagerFaults(t *testing.T) {
	s := bulkStore(t, 8)
	want := contents(s)
	fail := func(r *rig, words ...string) {
		t.Helper()
		in := r.wait()
		for _, w := range words {
			if !strings.Contains(in.LastError, w) {
				t.Errorf("%v: rdb_last_error %q does not say %q", r.set.Engine, in.LastError, w)
			}
		}
		if in.LastBgsaveOK || in.Saves == 0 {
			t.Errorf("%+v", in)
		}
		noTemps(t, r.dir)
	}
	if !fork.RaceEnabled {
		r := newRig(t, s, Fork)
		for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
			r.change(func(s *Settings) {
				if s.RateLimit = 1000; sig == syscall.SIGSTOP {
					s.ChildTimeout = 600 * time.Millisecond
				}
			})
			r.start("")
			if pid := r.Info().ChildPID; pid != 0 { // or it stood still before
				if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
					t.Fatal(err)
				}
			}
			fail(r, map[syscall.Signal]string{syscall.SIGKILL: "signal 9", syscall.SIGSTOP: "no progress"}[sig])
		}
		r.change(func(s *Settings) { s.RateLimit, s.ChildTimeout = 0, 0 })
		r.start("")
		if in := r.wait(); !in.LastBgsaveOK || !maps.Equal(readDump(t, r.path()), want) {
			t.Errorf("%+v", in)
		}
		r.Close()
	}
	for _, engine := range background() {
		dir := mountTmpfs(t, "size=2m")
		r := newRig(t, s, engine)
		r.dir = dir
		r.change(func(s *Settings) { s.Dir = dir })
		r.start("")
		fail(r, "no space left on device", dir)
		if err := r.Save(); !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=50m"); err != nil {
			t.Fatal(err)
		}
		r.start("")
		if in := r.wait(); !in.LastBgsaveOK || !maps.Equal(readDump(t, r.path()), want) {
			t.Errorf("%+v", in)
		}
		r.Close()
	}
}

// A save that runs keeps the directory that it began with.
func TestDirChangesDuringSave(t *testing.T) {
	s := bulkStore(t, 2)
	for _, engine := range background() {
		r := newRig(t, s, engine)
		other := t.TempDir()
		r.start("")
		r.change(func(s *Settings) { s.Dir = other })
		r.wait()
		if _, err := os.Stat(r.path()); err != nil {
			t.Error(err)
		}
		if list, _ := os.ReadDir(other); len(list) != 0 {
			t.Errorf("%v: %v", engine, list)
		}
		r.Close()
	}
}

func TestManagerLoad(t *testing.T) {
	s, want := mixedStore(t)
	alive := maps.Clone(want)
	maps.DeleteFunc(alive, func(p place, _ item) bool { return strings.HasPrefix(p.key, "dead:") })
	r := newRig(t, openStore(t, kv.Options{}), Thread)
	if err := r.Load(context.Background()); err != nil {
		t.Errorf("without a dump: %v", err)
	}
	if _, err := Save(context.Background(), s, r.path(), Options{Engine: Thread}); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(r.dir, "temp-1-0123456789abcdef.rdb")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	in := r.Info()
	if in.Loading || in.LastLoadKeysLoaded != int64(len(alive)) || in.LastLoadKeysExpired != 50 || in.ChangesSinceLastSave != 0 {
		t.Errorf("%+v", in)
	}
	if !maps.Equal(contents(r.s), alive) {
		t.Error("the stores differ")
	}
	if fmt.Sprint(r.on) != "[true false true false]" {
		t.Errorf("loading %v", r.on)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the left-over is still there")
	}
	r.logged("Loading RDB produced by version 7.0.15", "RDB memory usage when created ", "Done loading RDB, keys loaded: ",
		"keys expired: 50.", "DB loaded from disk: ")
	during := r.load
	during.active = true
	if during.info(&in, time.Now()); in.LoadingRDBUsedMem < int64(len(want)) {
		t.Errorf("the writer of the dump used %d bytes", in.LoadingRDBUsedMem)
	}
	if err := os.WriteFile(r.path(), []byte("REDIS0010"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Load(context.Background()); err == nil || !strings.Contains(err.Error(), r.path()) {
		t.Errorf("a bad dump: %v", err)
	}
}

func TestReload(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	set(t, s, 0, "a", "1", 0)
	set(t, s, 3, "b", "2", 0)
	check := func(what string, err error, want map[place]item, changes int64) {
		t.Helper()
		if got := contents(s); err != nil || !maps.Equal(got, want) || r.Info().ChangesSinceLastSave != changes {
			t.Errorf("%s: %v, %v, %d changes", what, err, got, r.Info().ChangesSinceLastSave)
		}
	}
	both := map[place]item{{0, "a"}: {"1", 0}, {3, "b"}: {"2", 0}}
	check("reload", r.Reload(false, false), both, 0)
	set(t, s, 0, "c", "3", 0)
	check("nosave", r.Reload(true, false), both, 0)
	set(t, s, 0, "a", "other", 0)
	set(t, s, 0, "c", "3", 0)
	three := maps.Clone(both)
	three[place{0, "c"}] = item{"3", 0}
	check("nosave noflush", r.Reload(true, true), three, 0)
	if err := os.Remove(r.path()); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(true, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no dump: %v", err)
	}
	if in := r.Info(); in.Saves != 1 || in.BgsaveInProgress {
		t.Errorf("%+v", in)
	}
	if status, err := r.Start("", false); err != nil {
		t.Error(status, err)
	}
	check("during a save", r.Reload(false, false), three, 0)
}
