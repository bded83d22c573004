package kv

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"kvd/kv/internal/arena"
)

// hog takes all memory that a store has left and gives some back page by page,
// for the index and for entries.
type hog struct {
	heaps [2]*arena.Heap
	pages [2][]arena.Ref
}

func takeAll(s *Store) *hog {
	h := &hog{heaps: [2]*arena.Heap{s.arena.NewHeap(arena.Data), s.arena.NewHeap(arena.Index)}}
	for k, heap := range h.heaps {
		for range 2 * arena.ChunkSize / arena.PageSize {
			if ref, err := heap.Alloc(arena.PageSize); err == nil {
				h.pages[k] = append(h.pages[k], ref)
			}
		}
	}
	for took := false; ; time.Sleep(time.Millisecond) {
		// A chunk that is being touched or discarded belongs to nobody meanwhile, and is free again.
		settled := took && s.arena.Stats().Resident == s.arena.Reserved()-arena.ChunkSize // the first one stays empty
		took = true
		for _, heap := range h.heaps {
			h.takeRest(heap)
		}
		if settled {
			return h
		}
	}
}

// takeRest has a heap take what is free, such as what has become so in the background.
func (h *hog) takeRest(heap *arena.Heap) {
	for n := 1 << 29; n >= arena.PageSize; {
		if _, err := heap.Alloc(n); err != nil {
			n /= 2
		}
	}
}

// spare gives a page back.
func (h *hog) spare(kind int) {
	if n := len(h.pages[kind]); n > 0 {
		h.heaps[kind].Free(h.pages[kind][n-1])
		h.pages[kind] = h.pages[kind][:n-1]
	}
}

func (h *hog) drop() {
	h.heaps[0].Drop()
	h.heaps[1].Drop()
}

// TestNoMemory has every operation fail half-way: what an error reports is
// undone, what is published stays true, and a cut is not touched.
func TestNoMemory(t *testing.T) {
	for _, mode := range []Mode{ModeThread, ModeFork, 0} {
		s := openStore(t, Options{Reserve: 1 << 30, Shards: 4, Databases: 2})
		rng := rand.New(rand.NewSource(int64(mode)))
		for i := range 6000 {
			set(t, s, 0, fmt.Sprint(i), string(make([]byte, rng.Intn(3000))), int64(i%2)<<50)
		}
		var v *View
		if mode != 0 {
			var err error
			if v, err = s.Freeze(FreezeOptions{Mode: mode}); err != nil {
				t.Fatal(err)
			}
		}
		h := takeAll(s)
		failed := 0
		for step := range 20000 {
			if step%20 == 0 {
				h.spare(rng.Intn(2))
			}
			if !anything(s, rng) {
				failed++
			}
			if step%500 == 0 {
				checkShards(t, s)
			}
		}
		if failed < 100 {
			t.Errorf("mode %d: only %d operations failed", mode, failed)
		}
		checkShards(t, s)
		if mode == ModeThread {
			n := 0
			var e Entry
			for i := range v.Shards() {
				for w := v.Walk(i); w.Next(&e); n++ {
					for _, c := range e.Value {
						if c != 0 {
							t.Fatalf("key %q of the view was written to", e.Key)
						}
					}
				}
			}
			if n != 6000 {
				t.Errorf("the view shows %d keys", n)
			}
		}
		h.drop()
		if v != nil {
			v.Close()
		}
	}
}

// TestFailedGrowth lets the index grow a page at a time: a directory may double,
// for a segment that then finds no memory to split.
func TestFailedGrowth(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 1})
	h := takeAll(s)
	defer h.drop()
	for range 100 {
		h.spare(0)
	}
	for i := range 8000 {
		for s.DB(0).Set(fmt.Append(nil, i), nil) != nil {
			checkShards(t, s)
			h.spare(1)
		}
		for { // what has become free since
			ref, err := h.heaps[1].Alloc(arena.PageSize)
			if err != nil {
				break
			}
			h.pages[1] = append(h.pages[1], ref)
		}
	}
}

func checkShards(t *testing.T, s *Store) {
	t.Helper()
	s.lockAll()
	defer s.unlockAll()
	for i := range s.shards {
		if err := s.shards[i].check(s); err != nil {
			t.Fatal(err)
		}
	}
}

// anything runs a random operation and tells whether it succeeded.
func anything(s *Store, rng *rand.Rand) bool {
	key := fmt.Append(nil, rng.Intn(40000))
	val := make([]byte, rng.Intn(1<<rng.Intn(14)))
	for i := range val {
		val[i] = 1
	}
	if rng.Intn(4) == 0 {
		_, err := s.NewLoader().Add([]Record{{Key: key, Value: val, DB: rng.Intn(2)}}, true)
		return err == nil
	}
	tx := s.NewTx()
	tx.LockKey(key)
	defer tx.Unlock()
	db := rng.Intn(2)
	switch rng.Intn(3) {
	case 0:
		it, _ := tx.Peek(db, key)
		b, err := tx.EditString(db, key, len(it.Value)+len(val))
		for i := range b {
			b[i] = 1
		}
		return err == nil
	case 1:
		return !tx.Exists(db, key) || tx.SetExpire(db, key, rng.Int63n(2)<<50)
	}
	return tx.SetString(db, key, val, EncRaw, rng.Int63n(2)<<50) == nil
}
