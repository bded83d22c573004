package kv

import (
	"sync"
	"time"

	"kvd/kv/internal/arena"
)

// reaper has the heaps of big collections that were deleted. They are freed in slices,
// by the cron, without the lock of any shard.
type reaper struct {
	mu     sync.Mutex
	graves []grave
}

// grave is a heap to free, not before its cut has ended.
type grave struct {
	heap *arena.Heap
	cut  uint32
}

// bury has the heap of b freed when no cut can reach it any more.
func (s *Store) bury(b *bigTree) {
	bytes := b.heap.Bytes()
	if bytes == 0 {
		return
	}
	s.buried.Add(bytes)
	if s.live.id != 0 {
		s.kept.Add(bytes)
	}
	s.notePeak()
	s.reaper.mu.Lock()
	s.reaper.graves = append(s.reaper.graves, grave{b.heap, s.live.id})
	s.reaper.mu.Unlock()
}

// reapRuns is how many runs are freed between two looks at the clock.
const reapRuns = 16

// reap frees buried heaps until the time is up, and tells whether none is left, but for
// those that a live cut reaches.
func (s *Store) reap(until time.Time) (done bool) {
	if s.buried.Load() == 0 {
		return true
	}
	for {
		s.stages.gate.RLock() // cuts want every heap to stand still
		heap := s.reaper.next(s.live.id)
		if heap == nil {
			s.stages.gate.RUnlock()
			return true
		}
		was := heap.Bytes()
		more := heap.DropSome(reapRuns)
		s.buried.Add(heap.Bytes() - was)
		if !more {
			s.reaper.remove(heap)
			s.lazyFreed.Add(1)
		}
		s.stages.gate.RUnlock()
		if time.Now().After(until) {
			return false
		}
	}
}

// next returns a heap that the live cut does not reach; nil if there is none.
func (r *reaper) next(live uint32) *arena.Heap {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.graves) - 1; i >= 0; i-- {
		if g := &r.graves[i]; live == 0 || g.cut != live {
			return g.heap
		}
	}
	return nil
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
	return int64(len(s.reaper.graves)), s.lazyFreed.Load()
}
