package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kvd/kv"
)

// loadRig returns a Manager over old data, and a snapshot "new" in its directory.
func loadRig(t *testing.T, megabytes int) (r *rig, data map[place]item) {
	from := bulkStore(t, megabytes)
	r = newRig(t, oldData(t, kv.Options{}), Thread)
	if _, err := Save(context.Background(), from, filepath.Join(r.dir, "new.rdb"), Options{Engine: Thread, Verify: VerifyNo}); err != nil {
		t.Fatal(err)
	}
	return r, contents(from)
}

// While a snapshot is loaded no save begins, and INFO tells of it.
func TestManagerRestore(t *testing.T) {
	r, want := loadRig(t, 1)
	r.Run()
	before := r.Info()
	tx := r.s.NewTx()
	tx.LockAll() // so that the exchange must wait
	ended := make(chan error)
	go func() {
		n, err := r.Restore("new", nil, 0)
		if n != int64(len(want)) {
			t.Errorf("%d keys, want %d", n, len(want))
		}
		ended <- err
	}()
	within(t, "the load", func() bool { return r.Info().AsyncLoading })
	in := r.Info()
	if in.Loading || in.BgsaveInProgress || in.Saves != before.Saves {
		t.Errorf("%+v", in)
	}
	if _, err := r.Start("", false); !errors.Is(err, ErrInProgress) {
		t.Error("BGSAVE:", err)
	}
	if err := r.Save(); !errors.Is(err, ErrInProgress) {
		t.Error("SAVE:", err)
	}
	if _, err := r.Restore("new", nil, 0); !errors.Is(err, ErrInProgress) {
		t.Error("another:", err)
	}
	if err := r.Cancel(); !errors.Is(err, ErrNoSave) {
		t.Error("cancel:", err)
	}
	if status, err := r.Start("", true); err != nil || status != StatusScheduled {
		t.Error(status, err)
	}
	tx.Unlock()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !maps.Equal(contents(r.s), want) {
		t.Error("the data are not the snapshot's")
	}
	within(t, "the scheduled save", func() bool { in := r.Info(); return in.Saves == 1 && !in.BgsaveInProgress })
	if in := r.Info(); in.AsyncLoading || in.ChangesSinceLastSave != 0 || !maps.Equal(readDump(t, r.path()), want) {
		t.Errorf("%+v", in)
	}
	r.logged("Loading snapshot new.rdb", fmt.Sprintf("Snapshot new.rdb loaded, keys loaded: %d", len(want)))

	reached, release := r.hold()
	r.start("")
	reached()
	if _, err := r.Restore("new", nil, 0); !errors.Is(err, ErrInProgress) {
		t.Error("during a save:", err)
	}
	release()
	r.wait()
	r.Close()
	if _, err := r.Restore("new", nil, 0); !errors.Is(err, ErrClosed) {
		t.Error("closed:", err)
	}
}

// What cannot be loaded changes nothing.
func TestManagerRestoreFails(t *testing.T) {
	r, _ := loadRig(t, 1)
	want, changes := contents(r.s), r.s.Changes()
	file := filepath.Join(r.dir, "new.rdb")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"short": b[:len(b)-2000], "empty": {}, "foreign": []byte("PK\x03\x04 not a dump"),
		"flipped": append(append(slices.Clone(b[:len(b)/2]), b[len(b)/2]^1), b[len(b)/2+1:]...)} {
		if err := os.WriteFile(filepath.Join(r.dir, name+".rdb"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := 1
	for _, name := range []string{"short", "empty", "foreign", "flipped", "missing", "../new", ""} {
		for _, db := range []*int{nil, &one} {
			if n, err := r.Restore(name, db, 2); err == nil || n != 0 || name != "" && !strings.Contains(err.Error(), name) {
				t.Errorf("%q: %d keys, %v", name, n, err)
			}
		}
	}
	for _, c := range [][2]int{{-1, 0}, {0, -1}, {0, 16}} {
		if _, err := r.Restore("new", &c[0], c[1]); !errors.Is(err, ErrNoDB) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if !maps.Equal(contents(r.s), want) || r.s.Changes() != changes {
		t.Error("the data have changed")
	}
	in := r.Info()
	if in.AsyncLoading || in.Saves != 0 || !in.LastBgsaveOK || in.LastError != "" {
		t.Errorf("%+v", in)
	}
	r.logged("The data stay as they are: ")
	r.start("")
	if in := r.wait(); !in.LastBgsaveOK {
		t.Errorf("%+v", in)
	}
}

// A server that ends does not wait for a load.
func TestShutdownEndsRestore(t *testing.T) {
	r, _ := loadRig(t, 1)
	want := contents(r.s)
	// The load does not come to its end before it is cancelled.
	r.o.Log = slog.New(&trap{r.o.Log.Handler(), "Loading snapshot", func() {
		r.Manager.mu.Lock()
		ctx := r.run.ctx
		r.Manager.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(patience):
			t.Error("the load is not cancelled")
		}
	}})
	for _, end := range []func() error{func() error { return r.Shutdown(true) }, func() error { r.Close(); return nil }} {
		ended := make(chan error)
		go func() { _, err := r.Restore("new", nil, 0); ended <- err }()
		within(t, "the load", func() bool { return r.Info().AsyncLoading })
		if err := end(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, ErrCancelled) {
			t.Fatal(err)
		}
		if !maps.Equal(contents(r.s), want) {
			t.Error("the data have changed")
		}
	}
	if !maps.Equal(readDump(t, r.path()), want) {
		t.Error("SHUTDOWN saved something else")
	}
	noTemps(t, r.dir)
}
