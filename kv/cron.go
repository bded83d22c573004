package kv

import (
	"time"

	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
)

// The cron runs ten times a second: it keeps the coarse clock, deletes expired
// keys, and frees what a cut left behind in shards that nobody uses.
const cronInterval = 100 * time.Millisecond

// What a cut left behind is tidied up a tenth of the time, in slices so short that
// a client who waits for the processor does not notice.
const (
	tidyInterval = 10 * time.Millisecond
	tidySlice    = time.Millisecond
)

// How long one round of the sweep may take: little when it finds nothing, a
// quarter of the time when more than staleLimit percent of what it looks at has
// expired, as in Redis.
const (
	sweepIdle  = time.Millisecond
	sweepBusy  = 25 * time.Millisecond
	staleLimit = 10
)

// How much is freed while the sweep holds a shard's lock: so many bytes of trees, for which a
// tenth of a millisecond is enough, or sixteen heaps of big collections.
const (
	sweepBytes = 512 << 10
	sweepHeap  = sweepBytes / 16
)

func (s *Store) cron() {
	defer s.stopped.Done()
	tick := time.NewTicker(cronInterval)
	defer tick.Stop()
	tidy := time.NewTimer(tidyInterval)
	defer tidy.Stop()
	for round := 0; ; {
		select {
		case <-s.stop:
			return
		case <-tidy.C:
		case <-tick.C:
			now := s.clock() // before the check: what expires after HoldExpiry is left alone
			s.coarse.Store(now / 1000)
			if s.expiring.Load() && !s.holding.Load() {
				s.sweep(now)
				s.expireFields(now, sweepBusy)
			}
			if round++; round%10 == 0 {
				s.Memory() // notes the peak
			}
		}
		if !s.tidy() {
			tidy.Reset(tidyInterval)
		}
	}
}

// moveSlice is how many entries are moved under a shard's lock at a time.
const moveSlice = 32

// tidy frees deferred blocks of idle shards, a slice at a time, then moves
// what was written beside a forked child into the room, and then empties runs
// of memory that hold little. It tells whether all is tidy, or has to wait for a
// live View.
func (s *Store) tidy() bool {
	start := time.Now()
	if s.deferred.Load() != 0 && !s.freeDeferred(start) || !s.reap(start.Add(tidySlice)) {
		return false
	}
	if s.scattered.Swap(false) && !s.move(start, (*keyspace.Table).Gather) {
		s.scattered.Store(true)
		return s.cut.Load() != nil
	}
	if s.sparse.Swap(false) && !s.move(start, (*keyspace.Table).Evacuate) {
		s.sparse.Store(true)
		return s.cut.Load() != nil
	}
	return true
}

// move has some of each table moved until that has no more to do, and tells whether
// it got through all shards.
func (s *Store) move(start time.Time, some func(t *keyspace.Table, n int) (more bool)) bool {
	for i := range s.shards {
		sh := &s.shards[i]
		for more := true; more; {
			sh.mu.Lock()
			s.enter(sh)
			if sh.guard.Mode != cut.None {
				sh.mu.Unlock()
				return false
			}
			more = sh.move(moveSlice, some)
			sh.mu.Unlock()
			if time.Since(start) > tidySlice {
				return false
			}
		}
	}
	return true
}

// move has some of one table moved, and tells whether there may be more.
func (sh *shard) move(n int, some func(t *keyspace.Table, n int) (more bool)) bool {
	for _, t := range sh.tables {
		if t != nil && some(t, n) {
			return true
		}
	}
	return false
}

// freeDeferred tells whether it got through all shards.
func (s *Store) freeDeferred(start time.Time) bool {
	for i := range s.shards {
		sh := &s.shards[i]
		for more := true; more; {
			sh.mu.Lock()
			s.enter(sh)
			more = sh.notice() && s.drain(sh, drainSlice)
			sh.mu.Unlock()
			if time.Since(start) > tidySlice {
				return false
			}
		}
	}
	return true
}

// sweep looks for keys that have expired by now, segment by segment, and holds a shard's
// lock for one segment at a time.
func (s *Store) sweep(now int64) {
	start := time.Now()
	var looked, expired int64
	for range len(s.shards) * s.dbs {
		// Each table in turn; the next round goes on where this one ends.
		sh, db := &s.shards[s.nextSweep%len(s.shards)], s.nextSweep/len(s.shards)
		for wrapped := sh.lens[db].expires.Load() == 0; !wrapped; {
			var n, k int64
			n, k, wrapped = s.sweepSegment(sh, db, now)
			looked, expired = looked+n, expired+k
			limit := sweepIdle
			if expired*100 > looked*staleLimit {
				limit = sweepBusy
			}
			if time.Since(start) > limit {
				s.noteStale(looked, expired)
				return
			}
		}
		s.nextSweep = (s.nextSweep + 1) % (len(s.shards) * s.dbs)
	}
	s.noteStale(looked, expired)
}

// noteStale keeps a running average, as Redis does.
func (s *Store) noteStale(looked, expired int64) {
	share := int64(0)
	if looked > 0 {
		share = expired * 10000 / looked
	}
	s.stalePercent.Store((share*5 + s.stalePercent.Load()*95) / 100)
}

func (s *Store) sweepSegment(sh *shard, db int, now int64) (looked, expired int64, wrapped bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.enter(sh)
	t := sh.tables[db]
	if t == nil {
		return 0, 0, true
	}
	if sh.sweeps == nil {
		sh.sweeps = make([]keyspace.Sweep, s.dbs)
	}
	sw := &sh.sweeps[db]
	before := *sw
	cost := int64(0)
	n, wrapped, _ := t.Expire(sw, now, func(e *keyspace.Entry) {
		sh.touchWatchers(db, e.Key, false)
		if keyspace.HasTrees(e.Kind) {
			cost += dropCost(Type(e.Type()), e.Value)
			sw.Enough = cost >= sweepBytes
		}
	})
	s.expired.Add(int64(n))
	s.publish(sh, db, t)
	if seen := sw.Seen - before.Seen; seen > 0 {
		avg := (sw.TTLs - before.TTLs) / seen
		old := s.avgTTL[db].Load()
		if old == 0 {
			old = avg
		}
		s.avgTTL[db].Store((old*49 + avg) / 50)
	}
	return sw.Looked - before.Looked, int64(n), wrapped
}

// dropCost returns the bytes of blocks that are freed one by one with a head's trees, or what
// burying their heap counts as.
func dropCost(typ Type, head []byte) (bytes int64) {
	if headID(head) != 0 {
		return sweepHeap
	}
	for i := range shapes[typ] {
		r := headRoot(head, i)
		bytes += r.Bytes
	}
	return bytes
}
