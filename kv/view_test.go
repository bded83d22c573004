package kv

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFreezeErrorLeavesNothing(t *testing.T) {
	s := openStore(t, Options{})
	set(t, s, 0, "k", "v", NoExpiry)
	boom := fmt.Errorf("boom")
	for _, mode := range []Mode{ModeThread, ModeFork, ModeCopy, ModeLocked} {
		for steps := range 3 {
			_, err := s.Freeze(FreezeOptions{Mode: mode, Around: func(v *View, hold func() error, release func()) error {
				if steps > 0 {
					if err := hold(); err != nil {
						return err
					}
				}
				if steps > 1 {
					release()
				}
				return boom
			}})
			if err != boom {
				t.Fatalf("got %v", err)
			}
			for i := range s.shards {
				if !s.shards[i].mu.TryLock() {
					t.Fatalf("mode %d, after %d steps: shard %d is locked", mode, steps, i)
				}
				s.shards[i].mu.Unlock()
			}
			set(t, s, 0, "k", "w", NoExpiry)
		}
	}
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	v.Close()
}

// deferredBytes returns how much waits to be freed, without entering a shard.
func deferredBytes(s *Store) (n int64) {
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += s.shards[i].guard.DeferredBytes
		s.shards[i].mu.Unlock()
	}
	return n
}

// TestAllLocksFreeNothing: whoever holds every lock, as the end of a View does,
// leaves the freeing to those who hold one.
func TestAllLocksFreeNothing(t *testing.T) {
	s := openStore(t, Options{Shards: 4})
	for range 100 { // in some of them the cron is not there in between
		for i := range 2000 {
			set(t, s, 0, fmt.Sprint(i), "some value", NoExpiry)
		}
		v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			set(t, s, 0, fmt.Sprint(i), "another value", NoExpiry)
		}
		before := deferredBytes(s)
		for i := range v.Shards() {
			v.Release(i)
		}
		s.lockAll()
		after := int64(0)
		for i := range s.shards {
			after += s.shards[i].guard.DeferredBytes
		}
		s.unlockAll()
		v.Close()
		if before > 0 && after == before {
			return
		}
		t.Logf("%d bytes were deferred, then %d", before, after)
	}
	t.Error("what was deferred was freed under all locks")
}

// TestIndexOfDeletedKeys: a cut keeps the index from shrinking; if all keys are
// deleted under it, their index goes when it has passed.
func TestIndexOfDeletedKeys(t *testing.T) {
	for _, mode := range []Mode{ModeThread, ModeFork} {
		s := openStore(t, Options{Shards: 4})
		for i := range 20000 {
			set(t, s, 0, fmt.Sprint(i), "some value", NoExpiry)
		}
		v, err := s.Freeze(FreezeOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20000 {
			s.DB(0).Delete(fmt.Append(nil, i))
		}
		v.Close()
		s.settle()
		if m := s.Memory(); m.Index != 0 || m.Entries != 0 {
			t.Errorf("mode %d: an empty store has %d bytes of index, %d of entries", mode, m.Index, m.Entries)
		}
	}
}

// TestRetained: the bytes that each shard keeps add up to the extra memory, are 0
// in a shard that nobody wrote, and again when all was freed.
func TestRetained(t *testing.T) {
	for _, mode := range []Mode{ModeThread, ModeFork} {
		s := openStore(t, Options{Shards: 4})
		for i := range 4000 {
			set(t, s, 0, fmt.Sprint(i), "some value", NoExpiry)
		}
		v, err := s.Freeze(FreezeOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		quiet := s.hasher.Shard(s.hasher.Hash([]byte("0")))
		for i := range 4000 {
			if k := fmt.Sprint(i); s.hasher.Shard(s.hasher.Hash([]byte(k))) != quiet {
				set(t, s, 0, k, "another value", NoExpiry)
			}
		}
		sum := int64(0)
		for i := range v.Shards() {
			n := v.Retained(i)
			if (n == 0) != (i == quiet) {
				t.Errorf("mode %d: shard %d keeps %d bytes, the quiet one is %d", mode, i, n, quiet)
			}
			sum += n
		}
		if sum != s.deferred.Load() || sum < 3000*16 {
			t.Errorf("mode %d: the shards keep %d bytes, the store %d", mode, sum, s.deferred.Load())
		}
		tx := s.NewTx()
		tx.LockAll()
		tx.FlushDB(0)
		tx.Unlock()
		if n := v.Retained(quiet); n == 0 {
			t.Errorf("mode %d: a flushed shard keeps nothing", mode)
		}
		v.Close()
		s.settle()
		for i := range v.Shards() {
			if n := v.Retained(i); n != 0 {
				t.Errorf("mode %d: %d bytes of shard %d are left", mode, n, i)
			}
		}
	}
}

// TestWalkDB: the walkers over single databases visit together what the walker
// over all does, each its own, and allocate nothing.
func TestWalkDB(t *testing.T) {
	s := openStore(t, Options{Shards: 4, Databases: 4})
	for i := range 900 {
		set(t, s, []int{0, 2, 3}[i%3], fmt.Sprint(i), "v", NoExpiry)
	}
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for db := range 4 {
		n, want := int64(0), int64(300)
		if db == 1 {
			want = 0
		}
		var e Entry
		walk := func() {
			n = 0
			for shard := range v.Shards() {
				for w := v.WalkDB(shard, db); w.Next(&e); n++ {
					if e.DB != db {
						t.Fatalf("a walk of database %d visits %d", db, e.DB)
					}
				}
			}
		}
		if a := allocations(3, walk); a != 0 {
			t.Errorf("a walk allocates %v times", a)
		}
		if n != want {
			t.Errorf("%d keys of database %d, want %d", n, db, want)
		}
	}
	var e Entry
	w := v.WalkDB(0, 0)
	for w.Next(&e) {
	}
	for range 2 {
		if w.Next(&e) {
			t.Error("a walk goes on behind its end")
		}
	}
}

// TestReserve: the writers' reserve counts as used and as extra memory of the View,
// there is none in an empty store, and what a child would lack stops Freeze.
func TestReserve(t *testing.T) {
	s := openStore(t, Options{})
	freeze := func() *View {
		t.Helper()
		v, err := s.Freeze(FreezeOptions{Mode: ModeFork})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := freeze()
	if n := s.Memory().Reserve; n != 0 {
		t.Errorf("an empty store has a reserve of %d bytes", n)
	}
	v.Close()
	value := make([]byte, 30<<10)
	for i := range 6000 {
		if err := s.DB(0).Set(fmt.Append(nil, i), value); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []FreezeOptions{{Mode: ModeThread}, {Mode: ModeFork, WritePolicy: WriteInPlace}} {
		v, err := s.Freeze(o)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Memory().Reserve; n != 0 {
			t.Errorf("%+v: a reserve of %d bytes", o, n)
		}
		v.Close()
	}
	v = freeze()
	m := s.Memory()
	if m.Reserve == 0 || m.Reserve > m.Entries/50 {
		t.Errorf("a reserve of %d bytes for %d", m.Reserve, m.Entries)
	}
	if m.Used != m.Entries+m.Index+m.Deferred+m.Copy+m.Staged+m.Overhead+m.Reserve+m.GoHeap {
		t.Errorf("used memory is not the sum: %+v", m)
	}
	if now, peak := v.ExtraBytes(); now != m.Reserve || peak != now {
		t.Errorf("extra memory %d, %d at its peak, want the reserve of %d", now, peak, m.Reserve)
	}
	set(t, s, 0, "0", "v", NoExpiry)
	deferred := s.Memory().Deferred
	if now, peak := v.ExtraBytes(); deferred == 0 || now != deferred+s.Memory().Reserve || peak < now {
		t.Errorf("extra memory %d, %d at its peak, with %d deferred and a reserve of %d", now, peak, deferred, m.Reserve)
	}
	v.Close()
	if n := s.Memory().Reserve; n != 0 {
		t.Errorf("a reserve of %d bytes without a View", n)
	}

	failing := true
	s.arena.SetMadvise(func(b []byte, advice int) error {
		if failing && advice == unix.MADV_DOFORK {
			return unix.ENOMEM
		}
		return unix.Madvise(b, advice)
	})
	defer s.arena.SetMadvise(nil)
	freeze().Close()
	if _, err := s.Freeze(FreezeOptions{Mode: ModeFork}); !errors.Is(err, unix.ENOMEM) {
		t.Fatalf("a child that lacks memory: %v", err)
	}
	if v, err := s.Freeze(FreezeOptions{Mode: ModeThread}); err != nil {
		t.Error(err)
	} else {
		v.Close()
	}
	failing = false
	freeze().Close()
	boom := errors.New("boom")
	if _, err := s.Freeze(FreezeOptions{Mode: ModeFork, Around: func(*View, func() error, func()) error { return boom }}); err != boom {
		t.Fatal(err)
	}
	if n := s.Memory().Reserve; n != 0 {
		t.Errorf("a reserve of %d bytes after a cut that came to nothing", n)
	}
}
