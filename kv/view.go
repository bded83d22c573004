package kv

import (
	"sync"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// Mode is how a View is held still.
type Mode uint8

// The modes of Freeze.
const (
	// ModeThread: writers copy, under their shard's lock, what the View can
	// still reach and they are about to change.
	ModeThread Mode = iota + 1
	// ModeFork: Around clones the process; the child walks, the kernel
	// copies pages. The parent replaces values instead of overwriting them and
	// frees nothing that the child can see.
	ModeFork
	// ModeCopy: everything is copied while the locks are held.
	ModeCopy
	// ModeLocked: the locks are held until Close; nobody can write meanwhile.
	ModeLocked
)

// WritePolicy is how the parent writes while the child of a ModeFork View lives.
// Under every policy what the child can see is not freed before it has gone, so
// that no room that it shares is used again.
type WritePolicy uint8

// The write policies.
const (
	// WriteValues: a new value goes to memory apart from what the child
	// shares; the index is written in place. It is so dense that its pages are
	// copied once by the kernel and then take every further write.
	WriteValues WritePolicy = iota
	// WriteInPlace: everything is written in place, and the kernel copies a page
	// for nearly every key. It takes the least memory of the store's own.
	WriteInPlace
	// WritePathCopy: the index is copied too, a segment at a time as in
	// ModeThread, and the copies lie apart: the kernel copies next to nothing,
	// and the store what the kernel would have.
	WritePathCopy
)

// mode returns the same in the terms of the keyspace.
func (p WritePolicy) mode() cut.Mode {
	switch p {
	case WriteInPlace:
		return cut.ForkedInPlace
	case WritePathCopy:
		return cut.ForkedPathCopy
	}
	return cut.Forked
}

// FreezeOptions say how to take a View.
type FreezeOptions struct {
	Mode Mode
	// WritePolicy is for ModeFork.
	WritePolicy WritePolicy
	// Around, if set, is called to take the cut: it must call hold, which
	// locks every shard and completes the View, then, if that returned nil, do
	// what must happen at the cut (clone the process), then call release, both
	// on one goroutine. An error that it returns makes Freeze give up. In
	// between every writer waits.
	Around func(v *View, hold func() error, release func()) error
}

// View is the state of a store at one instant, the cut. It stays as it is,
// whatever happens to the store, until Close.
type View struct {
	s       *Store
	mode    Mode
	policy  WritePolicy
	id      uint32
	roots   [][]keyspace.Root // by shard and database
	keys    []int64           // by database
	ext     []int64           // of them hashes whose fields may expire
	expires []int64
	changes int64
	start   time.Time
	pause   time.Duration
	held    bool // every shard is locked
	cutting bool // the arena has a live cut
	copier  *keyspace.Copier
	closing sync.Once
}

// Freeze takes a View. It returns ErrBusy if one is live, ErrNoMemory, what
// Around returned, or with ModeFork why a child would lack some of the memory
// (the kernel has refused to undo what an earlier Freeze asked of it). The caller must hold no lock of the store.
func (s *Store) Freeze(o FreezeOptions) (*View, error) {
	v := &View{
		s: s, mode: o.Mode, policy: o.WritePolicy,
		roots:   make([][]keyspace.Root, len(s.shards)),
		keys:    make([]int64, s.dbs),
		ext:     make([]int64, s.dbs),
		expires: make([]int64, s.dbs),
	}
	for i := range v.roots {
		v.roots[i] = make([]keyspace.Root, s.dbs)
	}
	if !s.cut.CompareAndSwap(nil, v) {
		return nil, ErrBusy
	}
	s.settle()
	around := o.Around
	if around == nil {
		around = func(_ *View, hold func() error, release func()) error {
			err := hold()
			if err == nil {
				release()
			}
			return err
		}
	}
	if v.mode == ModeFork {
		s.gatherAll()
		s.arena.HoldCollapse() // the clone would wait for it, and the child's memory is shared
		prepare := s.arena.PrepareFork
		if v.policy == WriteInPlace {
			prepare = s.arena.ShowReserve // it would not use one
		}
		if err := prepare(); err != nil {
			v.abort()
			return nil, err
		}
	}
	if err := around(v, v.hold, v.release); err != nil {
		v.abort()
		return nil, err
	}
	return v, nil
}

// hold locks every shard and takes the cut; on an error nothing is locked.
func (v *View) hold() error {
	v.s.cloning.Store(v.mode == ModeFork)
	v.s.lockCut()
	v.start = time.Now()
	err := v.take()
	if err != nil {
		v.s.unlockCut()
		v.s.cloning.Store(false)
	}
	v.held = err == nil
	return err
}

// release ends what hold began.
func (v *View) release() {
	v.pause = time.Since(v.start)
	if v.mode != ModeLocked {
		v.held = false
		v.s.unlockCut()
	}
	if v.s.cloning.Swap(false) {
		arena.Nap(cloneRest)
	}
	v.showReserve()
}

// cloneRest is how long the forking thread leaves the processors to those who waited for
// it: every page that one of several running threads changes first costs an interrupt of
// the others.
const cloneRest = 3 * time.Millisecond

// showReserve makes what was kept from the child part of the next one. If that
// fails, Freeze tries it again and says why it can go no further.
func (v *View) showReserve() {
	if v.mode == ModeFork {
		_ = v.s.arena.ShowReserve()
	}
}

// abort takes back a cut that came to nothing.
func (v *View) abort() {
	if v.cutting && !v.held {
		v.s.lockCut()
		v.held = true
	}
	if v.held {
		v.endCut()
		v.s.unlockCut()
	}
	v.freeCopy()
	v.endFork()
	v.s.cut.Store(nil)
}

// endFork ends what Freeze has prepared for a child, which has gone.
func (v *View) endFork() {
	if v.mode == ModeFork {
		v.s.scattered.Store(true)
		v.s.sparse.Store(true)
		v.showReserve()
		v.s.arena.GiveReserve()
		v.s.arena.ReleaseCollapse()
	}
}

// settle frees all that an earlier cut left behind, so that what is deferred
// from now on belongs to the new one.
func (s *Store) settle() {
	for i := range s.shards {
		sh := &s.shards[i]
		for more := true; more; {
			sh.mu.Lock()
			s.enter(sh)
			more = sh.notice() && s.drain(sh, 1024)
			sh.mu.Unlock()
		}
	}
}

// gatherAll moves what was written beside an earlier child, if the cron has not come to
// it: what lies apart at a cut stays there while its child lives, and saves in a
// row would leave more and more of it. It rests as long as it works, so that nobody
// waits for the processor.
func (s *Store) gatherAll() {
	for s.scattered.Swap(false) && !s.move(time.Now(), (*keyspace.Table).Gather) {
		s.scattered.Store(true)
		time.Sleep(tidySlice)
	}
}

// take remembers the roots. All locks are held.
func (v *View) take() error {
	s := v.s
	s.cutID++
	v.id = s.cutID
	s.extraPeak.Store(s.arena.ReserveBytes())
	if v.mode == ModeCopy {
		v.copier = keyspace.NewCopier(s.arena)
		v.copier.Trees = v.copyTrees
	}
	for i := range s.shards {
		sh := &s.shards[i]
		v.changes += sh.changes.Load()
		for db, t := range sh.tables {
			if t == nil {
				continue
			}
			root := t.Root()
			if v.copier != nil {
				var err error
				if root, err = v.copier.Copy(t); err != nil {
					return ErrNoMemory
				}
				s.copyBytes.Store(v.copier.Bytes)
			}
			v.roots[i][db] = root
			v.keys[db] += root.Count
			v.expires[db] += root.Expires
			v.ext[db] += root.Extended
		}
	}
	mode := cut.None
	switch v.mode {
	case ModeThread:
		mode = cut.PathCopy
	case ModeFork:
		mode = v.policy.mode()
	}
	if mode != cut.None {
		s.arena.BeginCut()
		v.cutting = true
		s.live = liveCut{v.id, mode}
		for i := range s.shards {
			sh := &s.shards[i]
			sh.guard.Mode, sh.cutID = mode, v.id
		}
	}
	return nil
}

// endCut lets the writers write everywhere again. All locks are held.
func (v *View) endCut() {
	if !v.cutting {
		return
	}
	for i := range v.s.shards {
		v.s.shards[i].guard.Mode = cut.None
	}
	v.s.live = liveCut{}
	v.s.kept.Store(0)
	v.s.arena.EndCut()
}

// copyTrees makes head that of copies of its trees.
func (v *View) copyTrees(kind uint8, head []byte) error {
	typ := Type(keyspace.KindType(kind))
	for i := range shapes[typ] {
		t := tree.Read(v.s.arena, shapes[typ][i], headRoot(head, i))
		root, err := t.Clone(v.copier.Heap())
		if err != nil {
			return err
		}
		v.copier.Bytes += root.Bytes
		setHeadRoot(head, i, root)
	}
	return nil
}

func (v *View) freeCopy() {
	if v.copier != nil {
		v.copier.Free()
		v.s.copyBytes.Store(0)
	}
}

// Close ends the View. Nobody may walk it any more. What was kept for it is
// freed in small pieces afterwards. Close may be called again.
func (v *View) Close() error {
	v.closing.Do(func() {
		if v.mode == ModeLocked {
			v.s.unlockCut()
		} else {
			v.s.lockCut()
			v.endCut()
			v.s.unlockCut()
			v.freeCopy()
			v.endFork()
		}
		v.s.cut.Store(nil)
	})
	return nil
}

// Pause returns how long the locks were held for the cut.
func (v *View) Pause() time.Duration { return v.pause }

// Changes returns Store.Changes as of the cut.
func (v *View) Changes() int64 { return v.changes }

// Counts returns how many keys, and how many with an expiry, a database had at
// the cut, expired but undeleted ones included.
func (v *View) Counts(db int) (keys, expires int64) { return v.keys[db], v.expires[db] }

// FieldExpiries returns how many hashes of a database, at the cut, may have fields that
// expire.
func (v *View) FieldExpiries(db int) int64 { return v.ext[db] }

// Databases returns the number of databases.
func (v *View) Databases() int { return v.s.dbs }

// Shards returns the number of shards, the units of Walk and Release.
func (v *View) Shards() int { return len(v.roots) }

// Release says that a shard will not be walked any more: its writers stop
// copying. It is an atomic store, for the goroutine that walks.
func (v *View) Release(shard int) { v.s.shards[shard].passed.Store(v.id) }

// ExtraBytes returns the memory that the View costs beyond the store's own,
// now and at its peak: what was replaced or deleted since the cut and is kept,
// the old halves of path copies included (ModeThread, ModeFork), what stands
// ready for the writers (ModeFork, Memory.Reserve), or the copy (ModeCopy). What
// the kernel copies for a child is not in it.
func (v *View) ExtraBytes() (now, peak int64) {
	if v.copier != nil {
		return v.copier.Bytes, v.copier.Bytes
	}
	if v.mode == ModeLocked {
		return 0, 0
	}
	now = v.s.deferred.Load() + v.s.kept.Load() + v.s.arena.ReserveBytes()
	return now, max(now, v.s.extraPeak.Load())
}

// Retained returns how many bytes of one shard are kept for the View, or still
// wait to be freed after it: what was replaced or deleted since the cut. It is
// an atomic load.
func (v *View) Retained(shard int) int64 { return v.s.shards[shard].retained.Load() }

// Entry is one key of a View. Key and Value are borrowed: they stay as they are
// until the shard is released or the View closed.
type Entry struct {
	DB       int
	Type     Type
	Encoding Encoding
	Key      []byte
	Value    []byte
	ExpireAt int64 // Unix milliseconds; NoExpiry if none

	a *arena.Arena
}

// Walker visits the keys of one shard of a View. It allocates nothing and takes
// no lock; in ModeFork it is for the child.
type Walker struct {
	v     *View
	shard int
	db    int
	end   int // the database behind the last one
	w     keyspace.Walker
}

// Walk returns a walker over a shard, database by database.
func (v *View) Walk(shard int) Walker {
	return Walker{v: v, shard: shard, db: -1, end: len(v.roots[shard])}
}

// WalkDB returns a walker over one database of a shard.
func (v *View) WalkDB(shard, db int) Walker {
	return Walker{v: v, shard: shard, db: db - 1, end: db + 1}
}

// Next decodes the next key into e and returns false at the end.
func (w *Walker) Next(e *Entry) bool {
	var k keyspace.Entry
	for !w.w.Next(&k) {
		if w.db++; w.db >= w.end {
			w.db--
			return false
		}
		w.w = keyspace.Walk(w.v.s.arena, w.v.roots[w.shard][w.db])
	}
	e.DB, e.Type, e.Encoding = w.db, Type(k.Type()), Encoding(k.Encoding())
	e.Key, e.Value, e.ExpireAt, e.a = k.Key, k.Value, k.ExpireAt, w.v.s.arena
	return true
}
