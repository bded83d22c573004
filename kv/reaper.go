package kv

import (
	"sync"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
)

// reaper has the heaps of big collections that were deleted, and of flushed tables. They are
// freed in slices, by the cron, without the lock of any shard.
type reaper struct {
	mu     sync.Mutex
	graves []grave
}

// grave is a heap to free, not before its cut has ended and its pins were released.
type grave struct {
	heap *arena.Heap
	cut  uint32     // 0: none reaches it
	big  *cut.Guard // of a big collection, which nobody changes any more; nil of a table
}

// bury has the heap of b freed when no cut and no pin can reach it any more.
func (s *Store) bury(b *bigTree) { s.buryHeap(grave{b.heap, s.live.id, &b.guard}) }

// buryTable empties a table, and has what was in it freed: by its guard if that holds anything
// of the shard back.
func (s *Store) buryTable(sh *shard, t *keyspace.Table) {
	if sh.guard.Mode != cut.None || sh.guard.Pending() {
		t.Clear()
		return
	}
	for _, heap := range t.Detach() {
		s.buryHeap(grave{heap: heap})
	}
}

func (s *Store) buryHeap(g grave) {
	bytes := g.heap.Bytes()
	if bytes == 0 {
		return
	}
	s.buried.Add(bytes)
	if g.cut != 0 {
		s.kept.Add(bytes)
	}
	s.notePeak()
	s.reaper.mu.Lock()
	s.reaper.graves = append(s.reaper.graves, g)
	s.reaper.mu.Unlock()
}

// reapRuns is how many runs are freed between two looks at the clock.
const reapRuns = 16

// reap frees buried heaps until the time is up, and tells whether none is left, but for
// those that a live cut or a pin reaches.
func (s *Store) reap(until time.Time) (done bool) {
	if s.buried.Load() == 0 {
		return true
	}
	for {
		s.stages.gate.RLock() // cuts want every heap to stand still
		g, ok := s.reaper.next(s.live.id)
		if !ok {
			s.stages.gate.RUnlock()
			return true
		}
		heap := g.heap
		was := heap.Bytes()
		more := heap.DropSome(reapRuns)
		s.buried.Add(heap.Bytes() - was)
		if !more {
			s.reaper.remove(heap)
			if g.big != nil {
				s.lazyFreed.Add(1)
			}
		}
		s.stages.gate.RUnlock()
		if time.Now().After(until) {
			return false
		}
	}
}

// next returns a heap that neither the live cut nor a pin reaches; false if there is none.
func (r *reaper) next(live uint32) (grave, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.graves) - 1; i >= 0; i-- {
		if g := &r.graves[i]; (live == 0 || g.cut != live) && (g.big == nil || !g.big.Pinned()) {
			return *g, true
		}
	}
	return grave{}, false
}

func (r *reaper) remove(heap *arena.Heap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.graves {
		if r.graves[i].heap == heap {
			last := len(r.graves) - 1
			r.graves[i] = r.graves[last]
			r.graves[last] = grave{}
			r.graves = r.graves[:last]
			return
		}
	}
}

func (r *reaper) appendHeaps(heaps []*arena.Heap) []*arena.Heap {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.graves {
		heaps = append(heaps, r.graves[i].heap)
	}
	return heaps
}

// LazyFree returns how many big collections were deleted and are still being freed, and
// how many were freed since Open.
func (s *Store) LazyFree() (pending, freed int64) {
	s.reaper.mu.Lock()
	defer s.reaper.mu.Unlock()
	for i := range s.reaper.graves {
		if s.reaper.graves[i].big != nil {
			pending++
		}
	}
	return pending, s.lazyFreed.Load()
}
