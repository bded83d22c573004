package kv

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// bigSets fills a store with sets that have heaps of their own.
func bigSets(t *testing.T, s *Store, n int) {
	t.Helper()
	tx := s.NewTx()
	tx.LockAll()
	defer tx.Unlock()
	for i := range n {
		addMembers(t, tx, 0, fmt.Sprint("big:", i), 0, 20_000)
	}
}

// Stages are swapped in and out while a View is live that has passed some shards, or all of them.
func TestSwapOfBigsBesideView(t *testing.T) {
	for passed := range 5 {
		s := openStore(t, Options{Shards: 4})
		bigSets(t, s, 8)
		v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
		if err != nil {
			t.Fatal(err)
		}
		for i := range passed {
			v.Release(i)
		}
		st := s.NewStage()
		for range 2 {
			st.Swap()
			mustCheck(t, s)
		}
		v.Close()
		st.Close()
		mustCheck(t, s)
	}
}

// A big collection that lost its elements one by one leaves nothing that waits to be freed.
func TestEmptiedBigIsGone(t *testing.T) {
	s := openStore(t, Options{})
	bigSets(t, s, 1)
	tx := s.NewTx()
	key := []byte("big:0")
	tx.LockKey(key)
	var set Set
	if err := tx.OpenSet(&set, 0, key); err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		if n, err := set.Remove([][]byte{member(i)}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	tx.Unlock()
	until(t, "nothing waits to be freed", func() bool { n, _ := s.LazyFree(); return n == 0 })
}

// What was deleted before the cut is not a cost of the View.
func TestExtraBytesWithoutOldGraves(t *testing.T) {
	s := openStore(t, Options{})
	bigSets(t, s, 15)
	s.DB(0).Flush()
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if now, peak := v.ExtraBytes(); now != 0 || peak != 0 {
		t.Errorf("%d bytes are kept for a View that nothing was written beside, at most %d", now, peak)
	}
	bigSets(t, s, 1)
	s.DB(0).Flush()
	if now, peak := v.ExtraBytes(); now == 0 || peak < now {
		t.Errorf("what was deleted beside a View counts as %d bytes, at most %d", now, peak)
	}
}

// What is flushed is freed without the locks, and what has expired a few trees at a time.
func TestFreedInSlices(t *testing.T) {
	now := new(atomic.Int64)
	now.Store(1000)
	s := openStore(t, Options{Shards: 1, Clock: now.Load})
	s.SetActiveExpire(false)
	tx := s.NewTx()
	const sets, size = 300, 1000
	fill := func() {
		tx.LockAll()
		defer tx.Unlock()
		for i := range sets {
			key := fmt.Sprint("set:", i)
			addMembers(t, tx, 0, key, 0, size)
			tx.SetExpire(0, []byte(key), 2000)
		}
	}
	fill()
	before := s.Memory().Entries
	now.Store(3000)
	for calls := 0; s.Len(0) > 0; calls++ {
		was := s.Memory().Entries
		s.sweepSegment(&s.shards[0], 0, now.Load())
		if freed := was - s.Memory().Entries; freed > 3*sweepBytes/2 || calls > sets {
			t.Fatalf("%d bytes were freed by call %d, under one lock", freed, calls)
		}
	}
	now.Store(1000)
	freeing := int64(0)
	for attempts := 0; freeing < before/2; attempts++ { // the cron may come in between
		if attempts == 20 {
			t.Fatalf("of %d bytes %d are being freed", before, freeing)
		}
		fill()
		tx.LockAll()
		tx.FlushAll()
		m := s.Memory()
		if freeing = m.Freeing; m.Entries != 0 || m.Index != 0 {
			t.Errorf("%d bytes of entries, %d of the index", m.Entries, m.Index)
		}
		tx.Unlock()
	}
	mustCheck(t, s)
	if n, _ := s.LazyFree(); n != 0 {
		t.Errorf("%d big collections are being freed", n)
	}
	until(t, "all is freed", func() bool { return s.Memory().Freeing == 0 })
}
