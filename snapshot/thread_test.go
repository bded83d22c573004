package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// niceness returns that of a thread, 0 for the calling one.
func niceness(t *testing.T, tid int) int {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	if err != nil {
		t.Error(err)
	}
	return 20 - raw
}

// The snapshot thread is nicer than the process, is not its first thread, and no
// thread of the process stays nice.
func TestThreadIsNice(t *testing.T) {
	before := niceness(t, os.Getpid())
	for range 20 {
		tid, during := 0, 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			onOwnThread(func() {
				lowerPriority(threadNice)
				tid, during = unix.Gettid(), niceness(t, 0)
			})
		}()
		<-done
		if during != min(before+threadNice, 19) || tid == os.Getpid() {
			t.Errorf("niceness %d on thread %d, the process %d has %d", during, tid, os.Getpid(), before)
		}
		if now := niceness(t, os.Getpid()); now != before {
			t.Errorf("the process has niceness %d", now)
		}
	}
}

// Writers stop copying what the walker has passed, and a save that is cancelled
// does not walk to the end.
func TestReleaseAndStop(t *testing.T) {
	s := openStore(t, kv.Options{})
	for i := range 10_000 {
		set(t, s, 0, fmt.Sprint("key:", i), "some value of some length", 0)
	}
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	sv := &saving{dump: dump{view: v, only: -1, sized: make([]bool, s.Databases())}}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	sv.crew = newCrew(&sv.dump, &laneFile{f: null, stop: &sv.stop}, make([]byte, 3*bufferSize), 3, rdb.EncoderOptions{}, &sv.keys, &sv.stop)
	set(t, s, 0, "key:1", "changed", 0)
	if now, _ := v.ExtraBytes(); now == 0 {
		t.Error("a change during a save keeps nothing")
	}
	if err := sv.crew.write(); err != nil || sv.keys.Load() != 10_000 {
		t.Error(err, sv.keys.Load())
	}
	_, before := v.ExtraBytes()
	for i := range 10_000 {
		set(t, s, 0, fmt.Sprint("key:", i), "another", 0)
	}
	if _, peak := v.ExtraBytes(); peak != before {
		t.Errorf("writers kept %d bytes after the walk", peak-before)
	}
	v.Close()

	forker := fork.New()
	defer forker.Close()
	for _, engine := range []Engine{Thread, Copy, Foreground} {
		sv, err := begin(s, filepath.Join(t.TempDir(), "dump.rdb"), Options{Engine: engine, Threads: 1}, forker)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("enough")
		cancel(cause)
		sv.cancel()
		if _, err := sv.finish(ctx); !errors.Is(err, cause) || sv.keys.Load() > keysPerReport {
			t.Errorf("%v: %v after %d keys", engine, err, sv.keys.Load())
		}
	}
}
