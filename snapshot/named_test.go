package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kvd/kv"
)

// ofDB returns what of a store is in one database.
func ofDB(all map[place]item, db int) map[place]item {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(p place, _ item) bool { return p.db != db })
	return all
}

// hold has the next save stop before its verification. The first function waits
// until it is there, the second lets it go on.
func (r *rig) hold() (reached, release func()) {
	at, goOn := make(chan bool), make(chan bool)
	r.o.synced = func(*os.File) { at <- true; <-goOn }
	return func() { <-at; r.o.synced = nil }, func() { close(goOn) }
}

// A named snapshot, or one of a database, is a file of its own and nothing else.
func TestNamedSnapshots(t *testing.T) {
	s := openStore(t, kv.Options{})
	for i := range 500 {
		set(t, s, i%3, fmt.Sprint("key:", i), fmt.Sprint(i), 0)
	}
	two := 2
	for _, engine := range background() {
		r := newRig(t, s, engine)
		intact := oldDump(t, r.path())
		r.change(func(s *Settings) { s.SavePoints = []SavePoint{{60, 1}} })
		set(t, s, 0, "changed", engine.String(), 0)
		all := contents(s)
		before := r.Info()
		r.clock.Store(1000)
		unmoved := func(what string) {
			t.Helper()
			in := r.Info()
			if in.ChangesSinceLastSave != before.ChangesSinceLastSave || in.LastSaveUnix != before.LastSaveUnix || r.WriteDenied() != "" {
				t.Errorf("%v, %s: %+v", engine, what, in)
			}
			intact()
		}
		for file, q := range map[string]Request{
			"x.rdb":           {Name: "x", Reason: "BGSAVE TO x"},
			"y.rdb":           {Name: "y.rdb", DB: &two, Reason: "BGSAVE TO y DB 2"},
			"dump-db2.rdb":    {DB: &two},
			"dump-weekly.rdb": {Name: "dump-weekly"},
		} {
			want := all
			if q.DB != nil {
				want = ofDB(all, two)
			}
			reached, release := r.hold()
			status, err := r.Manager.Start(q)
			if err != nil || status != fmt.Sprintf("Background saving started (engine %v) to %s", engine, file) {
				t.Fatalf("%s: %q %v", file, status, err)
			}
			reached()
			in := r.Info()
			if name := strings.TrimSuffix(in.CurrentName, ".rdb") + ".rdb"; name != file || in.CurrentSaveKeysTotal != int64(len(want)) {
				t.Errorf("%v, %s: %+v", engine, file, in)
			}
			release()
			in = r.wait()
			reason := q.Reason
			if reason == "" {
				reason = "BGSAVE"
			}
			if !in.LastBgsaveOK || in.LastReason != reason || in.LastKeys != int64(len(want)) || in.CurrentName != "" {
				t.Errorf("%v, %s: %+v", engine, file, in)
			}
			if !maps.Equal(readDump(t, filepath.Join(r.dir, file)), want) {
				t.Errorf("%v: %s is not what was asked for", engine, file)
			}
			unmoved(file)
			r.logged(", asked for by "+reason+",", "to "+file+", ")
		}
		saves := r.Info().Saves
		for _, name := range []string{"dump", "dump.rdb", "../x", "a/b", ".x", "temp-1", "dump-20260131T235959.123Z", strings.Repeat("n", 300), "é"} {
			if _, err := r.Manager.Start(Request{Name: name}); err == nil {
				t.Errorf("%v: saved to %q", engine, name)
			}
		}
		for _, db := range []int{-1, 16, 1 << 40} {
			if _, err := r.Manager.Start(Request{DB: &db, Schedule: true}); !errors.Is(err, ErrNoDB) {
				t.Errorf("%v: database %d: %v", engine, db, err)
			}
		}
		if in := r.Info(); in.Saves != saves || !in.LastBgsaveOK {
			t.Errorf("%v: %+v", engine, in)
		}
		// One that fails is told of, but writes are only denied for the dump's sake.
		r.change(func(s *Settings) { s.Dir = filepath.Join(r.dir, "missing") })
		if _, err := r.Manager.Start(Request{Name: "x"}); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		if in := r.Info(); in.LastBgsaveOK || in.LastError == "" {
			t.Errorf("%v: %+v", engine, in)
		}
		unmoved("a failure")
		if _, err := r.Manager.Start(Request{}); !errors.Is(err, os.ErrNotExist) || r.WriteDenied() == "" {
			t.Error(err)
		}
		r.change(func(s *Settings) { s.Dir = r.dir })
		if _, err := r.Manager.Start(Request{Name: "x"}); err != nil {
			t.Error(err)
		}
		if in := r.wait(); in.LastBgsaveOK || in.LastError != r.WriteDenied() || in.LastError == "" {
			t.Errorf("%v: a named snapshot is not the dump: %+v, denied %q", engine, in, r.WriteDenied())
		}
		r.start("")
		if in := r.wait(); in.ChangesSinceLastSave != 0 || in.LastSaveUnix < before.LastSaveUnix+990 || r.WriteDenied() != "" {
			t.Errorf("%v: %+v", engine, in)
		}
		r.Close()
	}
}

// Saves that wait do not displace each other, unless they go to the same place.
func TestScheduledInOrder(t *testing.T) {
	s := openStore(t, kv.Options{})
	set(t, s, 0, "a", "1", 0)
	set(t, s, 1, "b", "2", 0)
	r := newRig(t, s, Thread)
	reached, release := r.hold()
	r.start("")
	reached()
	one := 1
	for _, q := range []Request{{Reason: "old"}, {Name: "x"}, {DB: &one}, {Reason: "new"}, {Name: "x", DB: &one}} {
		q.Schedule = true
		if status, err := r.Manager.Start(q); err != nil || status != StatusScheduled {
			t.Error(status, err)
		}
	}
	release()
	r.wait()
	for i, reason := range []string{"new", "BGSAVE", "BGSAVE"} {
		if !r.Info().Scheduled {
			t.Error("nothing is scheduled")
		}
		r.cron()
		if in := r.wait(); in.Saves != int64(i+2) || in.LastReason != reason {
			t.Errorf("%d: %+v", i, in)
		}
	}
	r.cron()
	if in := r.wait(); in.Saves != 4 || in.Scheduled {
		t.Errorf("%+v", in)
	}
	for file, keys := range map[string]int{"dump.rdb": 2, "x.rdb": 1, "dump-db1.rdb": 1} {
		if n := len(readDump(t, filepath.Join(r.dir, file))); n != keys {
			t.Errorf("%s has %d keys", file, n)
		}
	}
	if err := r.Cancel(); !errors.Is(err, ErrNoSave) {
		t.Error(err)
	}

	reached, release = r.hold()
	r.start("")
	reached()
	for i := range maxScheduled + 10 {
		status, err := r.Manager.Start(Request{Name: fmt.Sprint("x", i), Schedule: true})
		if i < maxScheduled && (err != nil || status != StatusScheduled) || i >= maxScheduled && !errors.Is(err, ErrInProgress) {
			t.Errorf("%d: %q %v", i, status, err)
		}
	}
	if _, err := r.Manager.Start(Request{Name: "x7", Schedule: true}); err != nil {
		t.Error("one that waits already:", err)
	}
	release()
	if err := r.Cancel(); err != nil || r.Info().Scheduled {
		t.Error("some wait still:", err)
	}
}

// keptFiles returns the names of the dumps that were kept, the oldest first.
func (r *rig) keptFiles() (files []string) {
	list, err := r.List()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, info := range list {
		if info.Kind == SnapshotKept {
			files = append(files, info.File)
		}
	}
	slices.Sort(files)
	return files
}

func TestKeepThree(t *testing.T) {
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	r.change(func(s *Settings) { s.Keep, s.Verify = 3, VerifyNo })
	var all []string
	for i := range 6 {
		set(t, s, 0, "n", fmt.Sprint(i), 0)
		r.clock.Add(1)
		if i == 4 {
			if err := r.Save(); err != nil { // in the foreground too
				t.Fatal(err)
			}
		} else {
			r.start("")
			if in := r.wait(); !in.LastBgsaveOK || in.LastVerified != "yes" {
				t.Errorf("save %d: what replaces older dumps must be verified: %+v", i, in)
			}
		}
		files := r.keptFiles()
		if len(files) != min(i+1, 3) || len(all) > 0 && files[len(files)-1] <= all[len(all)-1] {
			t.Fatalf("save %d: kept %v after %v", i, files, all)
		}
		all = append(all, files[len(files)-1])
	}
	if files := r.keptFiles(); !slices.Equal(files, all[3:]) {
		t.Errorf("kept %v of %v", files, all)
	}
	for i, file := range all[3:] {
		if got := readDump(t, filepath.Join(r.dir, file))[place{0, "n"}].value; got != fmt.Sprint(i+3) {
			t.Errorf("%s has %q", file, got)
		}
		if rep, err := r.VerifySnapshot(context.Background(), file); err != nil || rep.Keys != 1 {
			t.Errorf("%s: %+v %v", file, rep, err)
		}
	}
	newest, err := os.Stat(filepath.Join(r.dir, all[5]))
	if err != nil {
		t.Fatal(err)
	}
	if dump, err := os.Stat(r.path()); err != nil || !os.SameFile(dump, newest) {
		t.Error("the newest is not the dump:", err)
	}
	r.logged("Removed "+all[0]+": save-keep is 3", "Removed "+all[2])
	if strings.Contains(r.log.String(), "Removed "+all[3]) {
		t.Error("one too many is said to be removed")
	}

	// Neither other snapshots nor failures remove any.
	if _, err := r.Manager.Start(Request{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	r.wait()
	r.o.synced = func(f *os.File) { flip(t, f, 0) }
	r.start("")
	if in := r.wait(); in.LastBgsaveOK || !slices.Equal(r.keptFiles(), all[3:]) {
		t.Errorf("kept %v; %+v", r.keptFiles(), in)
	}
}

// What goes wrong with older dumps is a warning; the new one stands.
func TestKeepFails(t *testing.T) {
	s := openStore(t, kv.Options{})
	set(t, s, 0, "a", "b", 0)
	r := newRig(t, s, Thread)
	long := strings.Repeat("d", 240) + ".rdb" // with the time it is too long for a name
	r.change(func(s *Settings) { s.Filename, s.Keep = long, 2 })
	r.start("")
	if in := r.wait(); !in.LastBgsaveOK || in.LastError != "" || in.ChangesSinceLastSave != 0 {
		t.Errorf("%+v", in)
	}
	if n := len(readDump(t, filepath.Join(r.dir, long))); n != 1 {
		t.Errorf("%d keys", n)
	}
	r.logged("level=WARN", "Background saving: keep ", "file name too long", "Background saving terminated with success")
	noTemps(t, r.dir)

	r.change(func(s *Settings) { s.Filename, s.Keep = "dump.rdb", 1 })
	r.start("")
	r.wait()
	old := r.keptFiles()
	if len(old) != 1 {
		t.Fatal(old)
	}
	path := filepath.Join(r.dir, old[0])
	if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("mount:", err)
	}
	defer func() { _ = unix.Unmount(path, unix.MNT_DETACH) }()
	r.clock.Add(1)
	r.start("")
	if in := r.wait(); !in.LastBgsaveOK || in.LastError != "" || len(r.keptFiles()) != 2 {
		t.Errorf("%+v, kept %v", in, r.keptFiles())
	}
	r.logged("save-keep: remove "+path, "device or resource busy")
	if err := unix.Unmount(path, 0); err != nil {
		t.Fatal(err)
	}
	r.clock.Add(1)
	r.start("")
	if r.wait(); len(r.keptFiles()) != 1 {
		t.Errorf("kept %v", r.keptFiles())
	}
}

// A time of save-cron makes one save, whatever is in its way.
func TestSaveCron(t *testing.T) {
	const year = 366 * 24 * 3600
	s := openStore(t, kv.Options{})
	r := newRig(t, s, Thread)
	r.stopClock()
	step := func(what string, seconds, saves int64, reason string) {
		t.Helper()
		r.clock.Add(seconds)
		r.cron()
		if in := r.wait(); in.Saves != saves || in.LastReason != reason {
			t.Fatalf("%s: %d saves, want %d; the last by %q", what, in.Saves, saves, in.LastReason)
		}
	}
	const yearly = `save-cron "@yearly"`
	step("no expression", year, 0, "")
	r.change(func(s *Settings) { s.Cron = "@yearly" })
	step("not due yet", 0, 0, "")
	step("due", year, 1, yearly) // though nothing has changed
	step("not twice", 0, 1, yearly)
	r.logged("asked for by save-cron")
	step("many times at once", 5*year, 2, yearly)
	step("count as one", 0, 2, yearly)

	reached, release := r.hold()
	r.start("")
	reached()
	r.clock.Add(year)
	r.cron()
	r.clock.Add(year)
	r.cron()
	if _, err := r.Manager.Start(Request{Name: "x", Schedule: true}); err != nil {
		t.Fatal(err)
	}
	release()
	r.wait()
	step("the named one first, which is no dump", 0, 4, "BGSAVE")
	step("it was due while a save ran", 0, 5, yearly)
	step("once", 0, 5, yearly)

	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	step("another snapshot is live", year, 5, yearly)
	v.Close()
	step("it has gone", 0, 6, yearly)
	step("once", 0, 6, yearly)

	r.change(func(s *Settings) { s.SavePoints = []SavePoint{{60, 1}} })
	set(t, s, 0, "a", "b", 0)
	step("a save point at the same time", year, 7, "1 changes in 60 seconds")
	step("saves for both", 0, 7, "1 changes in 60 seconds")

	r.change(func(s *Settings) { s.Dir = filepath.Join(r.dir, "missing") })
	step("fails", year, 8, yearly)
	r.clock.Add(year)
	r.cron()
	if in := r.Info(); in.Saves != 9 || in.LastBgsaveOK {
		t.Errorf("%+v", in)
	}
	r.change(func(s *Settings) { s.Dir, s.Cron = r.dir, "61 * * * *" })
	for range 5 {
		step("nonsense", year, 9, yearly)
	}
	if n := strings.Count(r.log.String(), "61 * * * *"); n != 1 {
		t.Errorf("the log tells %d times of the bad expression:\n%s", n, r.log.String())
	}
	r.change(func(s *Settings) { s.Cron = "" })
	step("no more", year, 9, yearly)
}
