package kv

import (
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fillStage loads n keys "stage:i" into a database of a stage.
func fillStage(t testing.TB, st *Stage, db, n int) {
	t.Helper()
	var recs []Record
	for i := range n {
		r := Record{DB: db, Key: fmt.Appendf(nil, "stage:%d", i), Value: fmt.Appendf(nil, "new%d", i)}
		if i%10 == 0 {
			r.ExpireAt = time.Now().UnixMilli() + 1_000_000
		}
		if i%100 == 0 {
			r.Value = make([]byte, 5000)
		}
		recs = append(recs, r)
	}
	if _, err := st.NewLoader().Add(recs, false); err != nil {
		t.Fatal(err)
	}
}

func mustCheck(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

// runBytes returns what the arena's runs take.
func runBytes(s *Store) int64 { return s.arena.Stats().RunBytes }

func TestStageIsAside(t *testing.T) {
	s := openStore(t, Options{Shards: 8, Databases: 4})
	for i := range 3000 {
		set(t, s, i%2, fmt.Sprint("old:", i), "value", NoExpiry)
	}
	changes, before, runs := s.Changes(), s.Memory(), runBytes(s)
	st := s.NewStage()
	if err := st.Reserve(1, 5000); err != nil {
		t.Fatal(err)
	}
	fillStage(t, st, 1, 5000)
	fillStage(t, st, 3, 100)
	mustCheck(t, s)
	m := s.Memory()
	if st.Databases() != 4 || st.Len(1) != 5000 || st.Len(3) != 100 || s.Len(1) != 1500 || s.Len(3) != 0 ||
		s.Changes() != changes || m.Entries != before.Entries || m.Index != before.Index {
		t.Errorf("the stage shows: %d %d keys, %+v, before %+v", s.Len(1), s.Len(3), m, before)
	}
	if m.Staged != st.Bytes() || m.Staged < 5000*16 || m.Used < m.Entries+m.Index+m.Staged {
		t.Errorf("staged are %d, %d: %+v", st.Bytes(), m.Staged, m)
	}
	if _, ok := s.DB(1).Get([]byte("stage:1")); ok {
		t.Error("a staged key is seen")
	}
	st.Close()
	st.Close()
	mustCheck(t, s)
	if m := s.Memory(); m.Staged != 0 || m.Entries != before.Entries || runBytes(s) != runs {
		t.Errorf("after Close: %+v, runs of %d bytes, before %+v, %d", m, runBytes(s), before, runs)
	}
}

func TestStageSwap(t *testing.T) {
	s := openStore(t, Options{Shards: 8, Databases: 4})
	for i := range 3000 {
		set(t, s, i%3, fmt.Sprint("old:", i), "value", NoExpiry)
	}
	st := s.NewStage()
	fillStage(t, st, 1, 5000)
	fillStage(t, st, 3, 100)
	staged := st.Bytes()
	changes := s.Changes()
	if out, in := st.Swap(1); out != 1000 || in != 5000 {
		t.Errorf("one database: %d went, %d came", out, in)
	}
	mustCheck(t, s)
	if s.Len(0) != 1000 || s.Len(1) != 5000 || s.Expires(1) != 500 || s.Len(2) != 1000 || s.Len(3) != 0 ||
		s.Changes()-changes != 6000 {
		t.Errorf("%d %d %d %d keys, %d changes", s.Len(0), s.Len(1), s.Len(2), s.Len(3), s.Changes()-changes)
	}
	if m := s.Memory(); m.Staged >= staged || m.Staged == 0 {
		t.Errorf("staged were %d, now are %d", staged, m.Staged)
	}
	if v, ok := s.DB(1).Get([]byte("stage:7")); !ok || string(v) != "new7" {
		t.Errorf("%q %v", v, ok)
	}
	for i := range 6000 { // the table is the store's in every way
		set(t, s, 1, fmt.Sprint("stage:", i), "changed", NoExpiry)
	}
	for i := range 5500 {
		s.DB(1).Delete(fmt.Appendf(nil, "stage:%d", i))
	}
	mustCheck(t, s)
	if out, in := st.Swap(); out != 2500 || in != 1100 { // what was exchanged comes back
		t.Errorf("all: %d went, %d came", out, in)
	}
	if s.Len(0) != 0 || s.Len(1) != 1000 || s.Len(2) != 0 || s.Len(3) != 100 {
		t.Errorf("%d %d %d %d keys", s.Len(0), s.Len(1), s.Len(2), s.Len(3))
	}
	mustCheck(t, s)
	st.Close()
	s.DB(1).Flush()
	s.DB(3).Flush()
	mustCheck(t, s)
	until(t, "what was flushed is freed", func() bool { return s.Memory().Freeing == 0 })
	if m := s.Memory(); m.Entries != 0 || m.Index != 0 || m.Staged != 0 || runBytes(s) != 0 {
		t.Errorf("an empty store: %+v, runs of %d bytes", m, runBytes(s))
	}
}

// viewKeys returns what a View shows, but for shards that were released.
func viewKeys(v *View, released ...int) map[string]string {
	out := map[string]string{}
	var e Entry
	for i := range v.Shards() {
		if slices.Contains(released, i) {
			continue
		}
		for w := v.Walk(i); w.Next(&e); {
			out[fmt.Sprint(e.DB, " ", string(e.Key))] = string(e.Value)
		}
	}
	return out
}

// TestSwapUnderAView: the View shows what was there at the cut, writes and the swap
// notwithstanding, and everything is freed afterwards.
func TestSwapUnderAView(t *testing.T) {
	for _, mode := range []Mode{ModeThread, ModeFork, ModeCopy} {
		s := openStore(t, Options{Shards: 8, Databases: 2})
		want := map[string]string{}
		for i := range 4000 {
			key, val := fmt.Sprint("old:", i), fmt.Sprint("v", i)
			set(t, s, i%2, key, val, NoExpiry)
			want[fmt.Sprint(i%2, " ", key)] = val
		}
		st := s.NewStage()
		fillStage(t, st, 0, 2000) // part before the cut, part after
		v, err := s.Freeze(FreezeOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		if mode != ModeFork { // its cut is held still by the kernel, for the child alone
			for i := range 2000 {
				set(t, s, i%2, fmt.Sprint("old:", i), "later", NoExpiry)
			}
		}
		fillStage(t, st, 1, 3000)
		var released []int
		if mode != ModeCopy {
			released = []int{3} // a shard that the saver is done with
			v.Release(3)
		}
		st.Swap()
		for i := range 2000 {
			set(t, s, 0, fmt.Sprint("stage:", i), "later still", NoExpiry)
		}
		st.Close()
		mustCheck(t, s)
		if s.Len(0) != 2000 || s.Len(1) != 3000 {
			t.Errorf("mode %d: %d, %d keys", mode, s.Len(0), s.Len(1))
		}
		if m := s.Memory(); m.Staged != 0 || (mode != ModeCopy) != (m.Deferred > 0) {
			t.Errorf("mode %d: %+v", mode, m)
		}
		got := viewKeys(v, released...)
		for k, val := range want {
			if slices.Contains(released, s.hasher.Shard(s.hasher.Hash([]byte(k[2:])))) {
				continue
			}
			if got[k] != val {
				t.Fatalf("mode %d: the view has %q for %q, want %q", mode, got[k], k, val)
			}
			delete(got, k)
		}
		if len(got) != 0 {
			t.Errorf("mode %d: the view has %d keys more", mode, len(got))
		}
		v.Close()
		s.settle()
		mustCheck(t, s)
		s.DB(0).Flush()
		s.DB(1).Flush()
		s.settle()
		until(t, "what was flushed is freed", func() bool { return s.Memory().Freeing == 0 })
		if m := s.Memory(); m.Entries != 0 || m.Deferred != 0 || runBytes(s) != 0 {
			t.Errorf("mode %d: left are %+v, runs of %d bytes", mode, m, runBytes(s))
		}
	}
}

// TestSwapThenCut: what was swapped in is the store's in a later cut, what was swapped out
// is not.
func TestSwapThenCut(t *testing.T) {
	s := openStore(t, Options{Shards: 4, Databases: 1})
	for i := range 3000 {
		set(t, s, 0, fmt.Sprint("stage:", i), "old", NoExpiry)
	}
	st := s.NewStage()
	fillStage(t, st, 0, 2000)
	st.Swap()
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	want := viewKeys(v)
	for i := range 2000 {
		set(t, s, 0, fmt.Sprint("stage:", i), "changed", NoExpiry)
	}
	kept := s.Memory().Deferred
	recs := make([]Record, 3000)
	for i := range recs {
		recs[i] = Record{Key: fmt.Append(nil, "stage:", i), Value: make([]byte, 100)}
	}
	if _, err := st.NewLoader().Add(recs, true); err != nil {
		t.Fatal(err)
	}
	if now := s.Memory().Deferred; kept == 0 || now != kept {
		t.Errorf("%d bytes are kept for the view, with what the stage did %d", kept, now)
	}
	if got := viewKeys(v); len(want) != 2000 || !maps.Equal(got, want) {
		t.Errorf("the view has %d keys, at the cut it had %d", len(got), len(want))
	}
	v.Close()
	st.Close()
}

func TestSwapTouchesWatchers(t *testing.T) {
	s := openStore(t, Options{Shards: 4, Databases: 2})
	tx := s.NewTx()
	for _, c := range []struct {
		name          string
		before, after bool
		swapped       int
		dirty         bool
	}{
		{"in neither", false, false, 0, false},
		{"goes", true, false, 0, true},
		{"comes", false, true, 0, true},
		{"in both", true, true, 0, true},
		{"of another database", true, true, 1, false},
	} {
		s.DB(0).Flush()
		if c.before {
			set(t, s, 0, "k", "v", NoExpiry)
		}
		st := s.NewStage()
		fillStage(t, st, 0, 50)
		if c.after {
			if _, err := st.NewLoader().Add([]Record{{Key: []byte("k")}}, false); err != nil {
				t.Fatal(err)
			}
		}
		var w Watcher
		tx.LockKey([]byte("k"))
		tx.Watch(0, []byte("k"), &w)
		tx.Unlock()
		st.Swap(c.swapped)
		st.Close()
		tx.LockKey([]byte("k"))
		if got := tx.WatchBroken(&w); got != c.dirty {
			t.Errorf("%s: broken is %v", c.name, got)
		}
		tx.Unlock()
		s.Unwatch(&w)
	}
}

// TestStageAmongOthers fills stages while clients write, Views come and go and the store
// is checked. The race detector has a say.
func TestStageAmongOthers(t *testing.T) {
	s := openStore(t, Options{Shards: 8, Databases: 2})
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewSource(int64(w)))
			for !stop.Load() {
				key := fmt.Appendf(nil, "stage:%d", rng.Intn(4000))
				_ = s.DB(rng.Intn(2)).Set(key, key)
				s.DB(rng.Intn(2)).Get(key)
				s.DB(rng.Intn(2)).Delete(key)
			}
		})
	}
	wg.Go(func() {
		for n := 0; !stop.Load(); n++ {
			v, err := s.Freeze(FreezeOptions{Mode: []Mode{ModeThread, ModeCopy, ModeLocked, ModeFork}[n%4]})
			if err != nil {
				t.Error(err)
				return
			}
			if v.mode != ModeFork {
				viewKeys(v)
			}
			v.Close()
			if err := s.Check(); err != nil {
				t.Error(err)
				return
			}
			s.Memory()
		}
	})
	for round := range 8 {
		st := s.NewStage()
		var loaders sync.WaitGroup
		for db := range 2 {
			loaders.Go(func() {
				for n := range 10 {
					var recs []Record
					for i := range 300 {
						recs = append(recs, Record{DB: db, Key: fmt.Appendf(nil, "stage:%d", n*300+i), Value: make([]byte, rand.Intn(3000))})
					}
					if _, err := st.NewLoader().Add(recs, false); err != nil {
						t.Error(err)
					}
				}
			})
		}
		loaders.Wait()
		if round%4 != 3 {
			if _, in := st.Swap(); in != 6000 {
				t.Errorf("%d keys came", in)
			}
		}
		st.Close()
	}
	stop.Store(true)
	wg.Wait()
}

// TestStageNoMemory: a stage that does not fit leaves the store as it was.
func TestStageNoMemory(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 4, Databases: 2})
	for i := range 2000 {
		set(t, s, 0, fmt.Sprint(i), "value", NoExpiry)
	}
	h := takeAll(s)
	for range 100 {
		h.spare(0)
		h.spare(1)
	}
	before, runs := s.Memory(), runBytes(s)
	st := s.NewStage()
	if err := st.Reserve(1, 1<<20); !errors.Is(err, ErrNoMemory) {
		t.Errorf("reserve: %v", err)
	}
	l := st.NewLoader()
	var err error
	for i := 0; err == nil; i++ {
		_, err = l.Add([]Record{{Key: fmt.Append(nil, i), Value: make([]byte, 1000)}}, false)
	}
	if !errors.Is(err, ErrNoMemory) {
		t.Error(err)
	}
	st.Close()
	if m := s.Memory(); m.Staged != 0 || m.Entries != before.Entries || m.Index != before.Index || runBytes(s) != runs || s.Len(0) != 2000 {
		t.Errorf("%+v, %d; before %+v, %d", m, runBytes(s), before, runs)
	}
	h.drop()
	mustCheck(t, s)
}
