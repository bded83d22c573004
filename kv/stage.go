package kv

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
)

// Stage is a set of databases beside those of a store, in the same memory, which
// nobody sees. Loaders fill it while the store serves; Swap puts it in the place of the
// store's databases, all at once; Close frees what is in it then: what was not
// swapped, or what the store had before. Its bytes count as used (Memory.Staged).
//
// Loaders may work on a Stage at the same time; Swap and Close are for when they are done.
type Stage struct {
	s       *Store
	shards  []shard
	closing sync.Once

	heaps   []*arena.Heap // being freed; changed with the gate held
	freeing atomic.Int64  // their bytes
}

// stages are the open stages of a store.
type stages struct {
	// gate stands for the locks of all their heaps. Who changes one holds it for reading,
	// those who need all of them to stand still (a cut when it begins and ends, Swap,
	// Check) for writing. It is taken before any shard's lock, so that nobody waits for it
	// who has locked out clients.
	gate sync.RWMutex
	mu   sync.Mutex
	open []*Stage
}

// lockCut is lockAll for those who begin or end a cut, or look at the whole arena.
func (s *Store) lockCut() {
	s.stages.gate.Lock()
	s.lockAll()
}

func (s *Store) unlockCut() {
	s.unlockAll()
	s.stages.gate.Unlock()
}

// NewStage returns an empty Stage with as many databases as s. It must be closed, before
// the store is.
func (s *Store) NewStage() *Stage {
	st := &Stage{s: s, shards: make([]shard, len(s.shards))}
	for i := range st.shards {
		st.shards[i].init(s.dbs)
		st.shards[i].staged = true
	}
	s.stages.mu.Lock()
	s.stages.open = append(s.stages.open, st)
	s.stages.mu.Unlock()
	return st
}

// Databases returns the number of databases, which is the store's.
func (st *Stage) Databases() int { return st.s.dbs }

// Len returns the number of keys of a database of the stage.
func (st *Stage) Len(db int) (n int64) {
	for i := range st.shards {
		n += st.shards[i].lens[db].keys.Load()
	}
	return n
}

// Bytes returns the memory that the stage takes.
func (st *Stage) Bytes() int64 {
	n := st.freeing.Load()
	for i := range st.shards {
		n += st.shards[i].entries.Load() + st.shards[i].index.Load()
	}
	return n
}

// Reserve is Store.Reserve for a database of the stage.
func (st *Stage) Reserve(db int, n int64) error {
	st.s.stages.gate.RLock()
	defer st.s.stages.gate.RUnlock()
	return st.s.reserve(st.shards, db, n)
}

// NewLoader returns a loader that fills the stage.
func (st *Stage) NewLoader() *Loader {
	l := st.s.NewLoader()
	l.shards, l.gate = st.shards, &st.s.stages.gate
	return l
}

// Swap exchanges databases of the stage with those of the store that have the same
// numbers, all of them if none is named: nobody sees some exchanged and others not.
// It locks every shard for a time that depends on the number of shards and
// databases, not of keys. A live View keeps what it has. Keys that are watched and
// exist before or afterwards count as changed; Changes grows by the number of keys
// that went and of those that came, which Swap returns. The caller must hold no lock.
func (st *Stage) Swap(dbs ...int) (removed, loaded int64) {
	s := st.s
	if len(dbs) == 0 {
		for db := range s.dbs {
			dbs = append(dbs, db)
		}
	}
	if s.deferred.Load() != 0 { // a table that something is held back of cannot move
		for !s.freeDeferred(time.Now()) {
			continue
		}
	}
	s.lockCut()
	defer s.unlockCut()
	for _, db := range dbs {
		for n := range s.shards {
			out, in := st.swapTable(n, db)
			removed, loaded = removed+out, loaded+in
		}
		s.avgTTL[db].Store(0)
	}
	return removed, loaded
}

// swapTable exchanges one table. All locks are held.
func (st *Stage) swapTable(n, db int) (removed, loaded int64) {
	s, sh, from := st.s, &st.s.shards[n], &st.shards[n]
	if sh.tables[db] == nil && from.tables[db] == nil {
		return 0, 0
	}
	old, fresh := sh.table(s, db), from.table(s, db)
	removed, loaded = old.Len(), fresh.Len()
	sh.flushWatchers(db, old, fresh)
	if sh.holdsBack(s, db) { // then the shard keeps its memory until the cut has passed
		old.ClearLater()
		sh.buryBigs(s, db)
	}
	swapBigs(sh, from, db)
	sh.fields[db], from.fields[db] = from.fields[db], sh.fields[db]
	sh.tables[db], from.tables[db] = fresh, old
	fresh.SetGuard(&sh.guard)
	old.SetGuard(&from.guard)
	sh.own(s, db, fresh)
	from.own(s, db, old)
	if sh.sweeps != nil {
		sh.sweeps[db] = keyspace.Sweep{}
	}
	s.publish(sh, db, fresh)
	sh.recount()
	s.publish(from, db, old)
	from.recount()
	sh.changes.Add(removed + loaded)
	return removed, loaded
}

// holdsBack tells whether a cut may reach keys of a database, or something of them waits to be
// freed after one. A big collection may have come from a shard that the cut has not passed.
func (sh *shard) holdsBack(s *Store, db int) bool {
	return sh.guard.Mode != cut.None || sh.guard.Pending() ||
		len(sh.bigs.of[db]) > 0 && (s.live.id != 0 || len(sh.bigs.pending) > 0)
}

// dropRuns is how many runs, of up to 64 KiB mostly, Close frees at a time.
const dropRuns = 128

// Close frees what is in the stage, in small pieces and without locking the store's
// shards. Close may be called again.
func (st *Stage) Close() error {
	st.closing.Do(func() {
		gate := &st.s.stages.gate
		gate.RLock()
		for i := range st.shards {
			st.detach(&st.shards[i])
		}
		gate.RUnlock()
		for more := true; more; {
			gate.RLock()
			more = st.dropSome()
			gate.RUnlock()
		}
		all := &st.s.stages
		all.mu.Lock()
		i := slices.Index(all.open, st)
		all.open = slices.Delete(all.open, i, i+1)
		all.mu.Unlock()
	})
	return nil
}

// detach takes the heaps out of the tables of a shard.
func (st *Stage) detach(sh *shard) {
	for db, t := range sh.tables {
		if t == nil {
			continue
		}
		st.freeing.Add(t.EntryBytes() + t.IndexBytes())
		st.heaps = append(st.heaps, t.Detach()...)
		st.heaps = sh.detachBigs(db, st.heaps, &st.freeing)
		st.s.publish(sh, db, t)
	}
}

// dropSome frees some runs of what was detached.
func (st *Stage) dropSome() (more bool) {
	n := len(st.heaps)
	if n == 0 {
		st.freeing.Store(0) // what was rounded
		return false
	}
	h := st.heaps[n-1]
	bytes := h.Bytes()
	if !h.DropSome(dropRuns) {
		st.heaps[n-1] = nil
		st.heaps = st.heaps[:n-1]
	}
	st.freeing.Add(h.Bytes() - bytes)
	return true
}

// stagedBytes returns the bytes of all stages.
func (s *Store) stagedBytes() (n int64) {
	s.stages.mu.Lock()
	defer s.stages.mu.Unlock()
	for _, st := range s.stages.open {
		n += st.Bytes()
	}
	return n
}

// checkStages verifies the stages and returns their heaps. The gate is held.
func (s *Store) checkStages() (heaps []*arena.Heap, err error) {
	s.stages.mu.Lock()
	defer s.stages.mu.Unlock()
	for _, st := range s.stages.open {
		heaps = append(heaps, st.heaps...)
		for i := range st.shards {
			if err := st.shards[i].check(s); err != nil {
				return nil, err
			}
			for _, t := range st.shards[i].tables {
				if t != nil {
					heaps = append(heaps, t.Heaps()...)
				}
			}
			heaps = st.shards[i].bigs.appendHeaps(heaps)
		}
	}
	return heaps, nil
}
