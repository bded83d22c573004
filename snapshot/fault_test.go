package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// bulkStore returns a store of some megabytes of noise, whose save takes a while.
func bulkStore(t testing.TB, megabytes int) *kv.Store {
	s := openStore(t, kv.Options{})
	noise := make([]byte, 1000)
	for i := range megabytes * 1000 {
		for j := range noise {
			noise[j] = byte(rand.Uint32())
		}
		set(t, s, i%2, fmt.Sprint("bulk:", i), string(noise), 0)
	}
	return s
}

// oldDump writes a small dump to path and returns a check that it is still there.
func oldDump(t testing.TB, path string) (intact func()) {
	t.Helper()
	s := openStore(t, kv.Options{})
	set(t, s, 0, "old", "dump", 0)
	if _, err := Save(context.Background(), s, path, Options{Engine: Thread}); err != nil {
		t.Fatal(err)
	}
	want := contents(s)
	return func() {
		t.Helper()
		if !maps.Equal(readDump(t, path), want) {
			t.Error("the old dump has changed")
		}
		noTemps(t, filepath.Dir(path))
	}
}

func TestPathErrors(t *testing.T) {
	s := openStore(t, kv.Options{})
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	for _, engine := range engines() {
		for path, want := range map[string]error{
			filepath.Join(file, "dump.rdb"):           unix.ENOTDIR,
			filepath.Join(dir, "missing", "dump.rdb"): unix.ENOENT,
			dir:                   unix.EISDIR,
			"/proc/self/dump.rdb": unix.ENOENT,
			filepath.Join(dir, strings.Repeat("x", 300)): unix.ENAMETOOLONG,
		} {
			_, err := Save(context.Background(), s, path, Options{Engine: engine})
			if !errors.Is(err, want) && path != "/proc/self/dump.rdb" || err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%v to %.80s: %v, want %v", engine, path, err, want)
			}
		}
	}
	sameDescriptors(t, before)
	noTemps(t, dir)
}

// mountTmpfs mounts a small file system, or skips the test where that is not
// permitted.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("mount:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error("unmount (a descriptor is open?):", err)
		}
	})
	return dir
}

// A full disk fails the save with that reason, and the next one works when there is room.
func TestDiskFull(t *testing.T) {
	dir := mountTmpfs(t, "size=2m")
	path := filepath.Join(dir, "dump.rdb")
	intact := oldDump(t, path)
	s := bulkStore(t, 4)
	for _, engine := range engines() {
		_, err := Save(context.Background(), s, path, Options{Engine: engine})
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v", engine, err)
		}
		intact()
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=50m"); err != nil {
		t.Fatal(err)
	}
	for _, engine := range engines() {
		if _, err := Save(context.Background(), s, path, Options{Engine: engine}); err != nil {
			t.Error(err)
		}
		if !maps.Equal(readDump(t, path), contents(s)) {
			t.Errorf("%v: the dump differs", engine)
		}
	}
}

func TestReadOnlyDir(t *testing.T) {
	dir := mountTmpfs(t, "size=2m")
	path := filepath.Join(dir, "dump.rdb")
	intact := oldDump(t, path)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, kv.Options{})
	for _, engine := range engines() {
		if _, err := Save(context.Background(), s, path, Options{Engine: engine}); !errors.Is(err, unix.EROFS) {
			t.Errorf("%v: %v", engine, err)
		}
		intact()
	}
}

// A save that is cancelled at any moment leaves the old dump, no file, no View.
func TestCancelledContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dump.rdb")
	s := bulkStore(t, 8)
	intact := oldDump(t, path)
	cause := errors.New("enough")
	before := descriptors(t)
	for _, engine := range engines() {
		cancelled := 0
		for i := range 12 {
			ctx, cancel := context.WithCancelCause(context.Background())
			if i == 0 {
				cancel(cause)
			} else {
				time.AfterFunc(time.Duration(i)*2*time.Millisecond, func() { cancel(cause) })
			}
			o := Options{Engine: engine}
			if i == 1 {
				o.RateLimit = 1000 // whatever the others come to, this one does not end by itself
			}
			_, err := Save(ctx, s, path, o)
			if errors.Is(err, cause) {
				cancelled++
				intact()
			} else if err != nil {
				t.Fatal(err)
			} else {
				intact = oldDump(t, path)
			}
			cancel(nil)
		}
		if cancelled < 2 {
			t.Errorf("%v: cancelled %d times", engine, cancelled)
		}
	}
	sameDescriptors(t, before)
}

// A child that is killed at any moment: the old dump or the new one.
func TestKilledChild(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	path := filepath.Join(t.TempDir(), "dump.rdb")
	s := bulkStore(t, 8)
	want := contents(s)
	rounds, killed := 20, 0
	if os.Getenv("KVD_LONG") == "1" {
		rounds = 400
	}
	for i := range rounds {
		intact := oldDump(t, path)
		forker := fork.New()
		o := Options{Engine: Fork}
		if i == 0 {
			o.RateLimit = 1000 // whatever the others come to, this one does not end by itself
		}
		sv, err := begin(s, path, o, forker)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			killChild(sv.job.Pid(), time.Duration(rand.IntN(20_000))*time.Microsecond)
		}()
		_, err = sv.finish(context.Background())
		<-gone
		forker.Close()
		if err != nil {
			killed++
			if !strings.Contains(err.Error(), "signal 9") {
				t.Errorf("killed: %v", err)
			}
			intact()
		} else if !maps.Equal(readDump(t, path), want) {
			t.Error("a dump that is neither the old nor the new one")
		}
	}
	t.Logf("%d of %d children were killed in time", killed, rounds)
	if killed == 0 {
		t.Error("none was killed in time")
	}
}

// A child that stands still is killed, and the error says so.
func TestStoppedChild(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	path := filepath.Join(t.TempDir(), "dump.rdb")
	intact := oldDump(t, path)
	s := bulkStore(t, 8)
	forker := fork.New()
	defer forker.Close()
	sv, err := begin(s, path, Options{Engine: Fork, RateLimit: 1000, ChildTimeout: 200 * time.Millisecond}, forker)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(sv.job.Pid(), syscall.SIGSTOP); err != nil && err != syscall.ESRCH { // it stood still before
		t.Fatal(err)
	}
	if _, err = sv.finish(context.Background()); !errors.Is(err, fork.ErrStalled) {
		t.Fatalf("stopped: %v", err)
	}
	intact()
	if _, err := Save(context.Background(), s, path, Options{}); err != nil {
		t.Error("the next save:", err)
	}
}

// The directory is moved while a save runs: the dump is in it all the same.
func TestMovedDir(t *testing.T) {
	s := bulkStore(t, 2)
	for _, engine := range engines() {
		parent := t.TempDir()
		dir := filepath.Join(parent, "a")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		forker := fork.New()
		sv, err := begin(s, filepath.Join(dir, "dump.rdb"), Options{Engine: engine}, forker)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, filepath.Join(parent, "b")); err != nil {
			t.Fatal(err)
		}
		if _, err := sv.finish(context.Background()); err != nil {
			t.Fatal(err)
		}
		forker.Close()
		if !maps.Equal(readDump(t, filepath.Join(parent, "b", "dump.rdb")), contents(s)) {
			t.Errorf("%v: the dump differs", engine)
		}
		noTemps(t, filepath.Join(parent, "b"))
	}
}

func TestBusy(t *testing.T) {
	s := openStore(t, kv.Options{})
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, engine := range engines() {
		if _, err := Save(context.Background(), s, filepath.Join(dir, "x"), Options{Engine: engine}); !errors.Is(err, kv.ErrBusy) {
			t.Errorf("%v: %v", engine, err)
		}
	}
	v.Close()
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
}

// RemoveStale takes what nobody writes any more, and nothing else.
func TestRemoveStale(t *testing.T) {
	dir := t.TempDir()
	live, err := createFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"temp-1-0123456789abcdef.rdb", "temp-1.rdb", "dump.rdb", "temp-1-0123456789abcdef.rdb2"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := RemoveStale(dir)
	if err != nil || len(removed) != 1 || removed[0] != "temp-1-0123456789abcdef.rdb" {
		t.Errorf("%v %v", removed, err)
	}
	if _, err := os.Stat(live.f.Name()); err != nil {
		t.Error("the live file is gone:", err)
	}
	live.abort()
	live.abort()
	if err := live.commit(); err != nil {
		t.Error("commit after abort:", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 3 {
		t.Errorf("%v", list)
	}
	if _, err := RemoveStale(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
