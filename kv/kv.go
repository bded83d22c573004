// Package kv is kvd's store: an in-memory keyspace that can be frozen at an
// instant and walked while it goes on changing. It knows nothing of servers,
// protocols or files; package snapshot saves a Store to a file and loads it.
//
//	s, err := kv.Open(kv.Options{})
//	db := s.DB(0)
//	err = db.Set([]byte("greeting"), []byte("hello"))
//	val, ok := db.Get([]byte("greeting"))
//
// # Concurrency
//
// A Store is safe for concurrent use. Keys are spread over shards by a seeded
// hash, each with its own lock. Operations on several keys take the locks of
// all their shards first (Update, Tx), so they are atomic, for other
// operations and for every View.
//
// # Frozen views
//
// Freeze takes a cut: it locks every shard for some microseconds, remembers the
// roots of the trees and lets go. Memory that was allocated at the cut is not
// written while the View can reach it: writers copy what they are about to
// change, or, in a forked child, the kernel does. One View may be live at a time.
package kv

import (
	"fmt"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
)

// Options configure a Store. The zero value is the default.
type Options struct {
	// Databases is the number of databases, 16 if zero.
	Databases int
	// Shards is the number of shards, at most 1024; 64 if zero.
	Shards int
	// Reserve is the address range to reserve, in bytes; 1 TiB, or what the
	// system grants, if zero. It costs no memory.
	Reserve uint64
	// Clock returns the Unix time in milliseconds; for tests.
	Clock func() int64
}

// Store is a set of numbered databases. See the package comment.
type Store struct {
	arena  *arena.Arena
	hasher keyspace.Hasher
	shards []shard
	dbs    int
	clock  func() int64
	coarse atomic.Int64 // Unix seconds, for access clocks; set by the cron

	expiring     atomic.Bool // the active sweep is on
	holding      atomic.Bool // expired keys are not deleted at all
	expired      atomic.Int64
	stalePercent atomic.Int64   // expired keys among those with an expiry, in 1/100 %
	avgTTL       []atomic.Int64 // by database, milliseconds
	nextSweep    int            // the cron's

	scattered atomic.Bool  // entries may lie apart, see keyspace.Table.Gather
	sparse    atomic.Bool  // and runs be sparse, see keyspace.Table.Evacuate
	deferred  atomic.Int64 // bytes that wait for the cut to pass
	extraPeak atomic.Int64 // of deferred and the arena's reserve since the cut
	copyBytes atomic.Int64 // the COPY engine's copy
	live      liveCut      // guarded by all locks
	reaper    reaper
	buried    atomic.Int64 // bytes that the reaper has yet to free
	kept      atomic.Int64 // of them, bytes that were buried since the live cut
	lazyFreed atomic.Int64 // collections that it has freed
	lastBig   atomic.Uint32
	fields    fieldSweep
	peak      atomic.Int64 // of Memory().Used

	limits  atomic.Pointer[Limits]
	stages  stages
	cut     atomic.Pointer[View] // the live one
	cloning atomic.Bool          // all locks are, or will be, held for a clone
	cutID   uint32
	txs     sync.Pool
	stop    chan struct{}
	stopped sync.WaitGroup
	closed  atomic.Bool
}

// shard is a part of every database. All but the atomics is guarded by mu.
type shard struct {
	mu       sync.Mutex
	guard    cut.Guard
	tables   []*keyspace.Table // by database, nil until used
	sweeps   []keyspace.Sweep
	watchers map[watchKey][]*watched
	cutID    uint32 // of the cut that guard.Mode belongs to

	passed   atomic.Uint32 // the newest cut whose saver is done with the shard
	changes  atomic.Int64
	entries  atomic.Int64 // bytes, deferred ones included
	index    atomic.Int64
	retained atomic.Int64 // guard.DeferredBytes and bigs.deferred
	lens     []dbLen
	shown    []shown // by database, the parts of entries and index
	bigs     bigs
	fields   []*fieldTimers // by database
	staged   bool           // it is a Stage's
	_        [64]byte       // the next shard's lock is on another cache line
}

type dbLen struct{ keys, expires atomic.Int64 }

// Open returns an empty store.
func Open(o Options) (*Store, error) {
	if o.Databases <= 0 {
		o.Databases = 16
	}
	if o.Shards <= 0 {
		o.Shards = 64
	}
	o.Shards = min(o.Shards, keyspace.MaxShards)
	a, err := arena.New(o.Reserve)
	if err != nil {
		return nil, err
	}
	s := &Store{
		arena:  a,
		hasher: keyspace.NewHasher(o.Shards),
		shards: make([]shard, o.Shards),
		dbs:    o.Databases,
		clock:  o.Clock,
		avgTTL: make([]atomic.Int64, o.Databases),
		stop:   make(chan struct{}),
	}
	if s.clock == nil {
		s.clock = func() int64 { return time.Now().UnixMilli() }
	}
	s.SetLimits(DefaultLimits())
	s.txs.New = func() any { return s.NewTx() }
	for i := range s.shards {
		s.shards[i].init(o.Databases)
	}
	s.expiring.Store(true)
	s.coarse.Store(s.clock() / 1000)
	s.stopped.Add(1)
	go s.cron()
	return s, nil
}

// Close frees all memory. No operation may be under way, no View be live, and
// nothing borrowed from the store be used afterwards.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return ErrClosed
	}
	close(s.stop)
	s.stopped.Wait()
	return s.arena.Close()
}

// Databases returns the number of databases.
func (s *Store) Databases() int { return s.dbs }

// Len returns the number of keys of a database, expired ones that are not yet
// deleted included. It takes no locks.
func (s *Store) Len(db int) (n int64) {
	for i := range s.shards {
		n += s.shards[i].lens[db].keys.Load()
	}
	return n
}

// Expires returns the number of keys of a database that have an expiry.
func (s *Store) Expires(db int) (n int64) {
	for i := range s.shards {
		n += s.shards[i].lens[db].expires.Load()
	}
	return n
}

// AvgTTL returns an estimate of the mean time to live, in milliseconds, of the
// keys of a database that expire; 0 if unknown.
func (s *Store) AvgTTL(db int) int64 { return s.avgTTL[db].Load() }

// Changes returns the number of modifications since Open.
func (s *Store) Changes() (n int64) {
	for i := range s.shards {
		n += s.shards[i].changes.Load()
	}
	return n
}

// ExpiredKeys returns how many keys were deleted because they had expired.
func (s *Store) ExpiredKeys() int64 { return s.expired.Load() }

// ExpiredStalePercent returns an estimate of how many of the keys with an
// expiry have expired but are not deleted, in percent.
func (s *Store) ExpiredStalePercent() float64 { return float64(s.stalePercent.Load()) / 100 }

// ResetStats zeroes ExpiredKeys, ExpiredFields and what LazyFree has freed.
func (s *Store) ResetStats() {
	s.expired.Store(0)
	s.fields.removed.Store(0)
	s.lazyFreed.Store(0)
}

// SetActiveExpire turns the background search for expired keys on or off.
func (s *Store) SetActiveExpire(on bool) { s.expiring.Store(on) }

// HoldExpiry makes the store keep expired keys, which nobody sees all the same,
// until it is called with false: CLIENT PAUSE promises that nothing changes.
func (s *Store) HoldExpiry(on bool) { s.holding.Store(on) }

// ActiveExpire tells whether the background search for expired keys is on.
func (s *Store) ActiveExpire() bool { return s.expiring.Load() }

// Memory is how much memory the store takes, in bytes, by purpose.
type Memory struct {
	Used     int64 // sum of the following
	Entries  int64 // keys and values, rounded up to their size classes
	Index    int64 // directories, segments, access clocks
	Deferred int64 // replaced or deleted, held for the live View
	Copy     int64 // the copy of a ModeCopy View
	Staged   int64 // of stages: loaded beside the data, or replaced and being freed
	Freeing  int64 // of flushed databases and big collections that were deleted and are freed in slices
	Overhead int64 // the allocator's tables
	// Reserve stands ready for what is written beside the child of a ModeFork View,
	// which does not get it: 0 without one and in a small store, at most 2 % of
	// the data else. Like Deferred and Copy it is not to be counted for eviction,
	// or a save would empty a store that is full.
	Reserve int64
	GoHeap  int64 // objects on the Go heap, of the whole program

	Peak     int64 // the highest Used that was seen, ten times a second
	Resident int64 // arena memory that the system has given, used or not
	Ahead    int64 // of that, touched ahead of use
	Huge     bool  // the system gives huge pages

	// HugeShare is the share of Resident that is mapped by huge pages, 0 to 1,
	// and RecollapsePending what is to be mapped so again: as they were when
	// the background search that follows a ModeFork View looked.
	HugeShare         float64
	RecollapsePending int64
	Recollapsed       int64         // mapped so again, since Open
	RecollapseLongest time.Duration // the longest single step of that
}

// Memory returns the present figures. It takes no shard's lock.
func (s *Store) Memory() Memory {
	var m Memory
	for i := range s.shards {
		m.Entries += s.shards[i].entries.Load()
		m.Index += s.shards[i].index.Load()
	}
	m.Deferred = s.deferred.Load()
	m.Entries -= m.Deferred
	m.Copy = s.copyBytes.Load()
	m.Staged = s.stagedBytes()
	m.Freeing = s.buried.Load()
	a := s.arena.Stats()
	m.Overhead, m.Reserve, m.Huge = a.Tables, a.Reserve, a.Huge
	m.Resident, m.Ahead = a.Resident, a.Ahead
	if a.Huge && a.Resident > 0 {
		m.HugeShare = 1 - float64(min(a.Split, a.Resident))/float64(a.Resident)
	}
	m.RecollapsePending, m.Recollapsed, m.RecollapseLongest = a.Split, a.Joined, a.JoinLongest
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	m.GoHeap = int64(sample[0].Value.Uint64())
	m.Used = m.Entries + m.Index + m.Deferred + m.Copy + m.Staged + m.Freeing + m.Overhead + m.Reserve + m.GoHeap
	if m.Used > s.peak.Load() {
		s.peak.Store(m.Used)
	}
	m.Peak = s.peak.Load()
	return m
}

// DefaultRecollapseRate is what SetRecollapseRate is at first: a GB in four
// seconds.
const DefaultRecollapseRate = arena.DefaultCollapseRate

// SetRecollapseRate sets how many bytes per second are mapped by huge pages again
// after a ModeFork View, whose child makes the kernel split them where the store
// is written; 0 leaves them split, and the next clone takes longer. One step
// is 2 MiB, during which a page fault in the store's memory waits.
func (s *Store) SetRecollapseRate(bytesPerSecond int64) { s.arena.SetCollapseRate(bytesPerSecond) }

// RecollapseOff returns why this system leaves split huge pages as they are, ""
// if it does not.
func (s *Store) RecollapseOff() string { return s.arena.CollapseOff() }

// HoldRecollapse stops the joining of huge pages until release is called, once:
// for a forked child that lives longer than its View. Freeze and Close of a
// ModeFork View do it by themselves.
func (s *Store) HoldRecollapse() (release func()) {
	s.arena.HoldCollapse()
	return s.arena.ReleaseCollapse
}

// Check verifies every structure of the store and returns the first broken
// invariant. It takes all locks; it is for tests and DEBUG.
func (s *Store) Check() error {
	s.lockCut()
	defer s.unlockCut()
	heaps, err := s.checkStages()
	if err != nil {
		return err
	}
	deferred := int64(0)
	for i := range s.shards {
		sh := &s.shards[i]
		if err := sh.check(s); err != nil {
			return err
		}
		waits := sh.guard.DeferredBytes + sh.bigs.deferred
		if n := sh.retained.Load(); n != waits {
			return fmt.Errorf("kv: %d bytes of shard %d are deferred, published are %d", waits, i, n)
		}
		deferred += waits
		for _, t := range sh.tables {
			if t != nil {
				heaps = append(heaps, t.Heaps()...)
			}
		}
		heaps = append(heaps, sh.guard.Heaps()...)
		heaps = sh.bigs.appendHeaps(heaps)
	}
	heaps = s.reaper.appendHeaps(heaps)
	if n := s.deferred.Load(); n != deferred {
		return fmt.Errorf("kv: %d bytes are deferred, published are %d", deferred, n)
	}
	if v := s.cut.Load(); v != nil && v.copier != nil {
		heaps = append(heaps, v.copier.Heap())
	}
	return s.arena.Check(heaps)
}

// check verifies the tables of a shard and what is published of them.
func (sh *shard) check(s *Store) error {
	for db, t := range sh.tables {
		if t == nil {
			continue
		}
		if err := t.Check(); err != nil {
			return err
		}
		if err := sh.checkTrees(s, db, t); err != nil {
			return err
		}
		keys, expires := sh.lens[db].keys.Load(), sh.lens[db].expires.Load()
		if t.Len() != keys || t.Expires() != expires {
			return fmt.Errorf("kv: %d keys, %d with an expiry, published are %d and %d", t.Len(), t.Expires(), keys, expires)
		}
	}
	entries, index := sh.bytes()
	if e, i := sh.entries.Load(), sh.index.Load(); e != entries || i != index {
		return fmt.Errorf("kv: %d bytes of entries, %d of the index, published are %d and %d", entries, index, e, i)
	}
	return nil
}

// table returns the table of a database for writing, made if need be.
func (sh *shard) table(s *Store, db int) *keyspace.Table {
	t := sh.tables[db]
	if t == nil {
		t = keyspace.NewTable(s.arena, s.hasher, &sh.guard)
		sh.own(s, db, t)
		sh.tables[db] = t
	}
	return t
}

// init makes room for so many databases.
func (sh *shard) init(dbs int) {
	sh.tables = make([]*keyspace.Table, dbs)
	sh.lens = make([]dbLen, dbs)
	sh.shown = make([]shown, dbs)
	sh.bigs.of = make([]map[uint32]*bigTree, dbs)
	sh.fields = newTimers(dbs)
}

// lock locks a shard for a client. While the process is being cloned, who finds it locked
// naps, rather than wait in the Go scheduler: afterwards the first change of every page that
// the runtime uses makes the kernel copy it, and to be woken by way of the scheduler
// takes dozens of those, milliseconds.
func (s *Store) lock(sh *shard) {
	for !sh.mu.TryLock() {
		if !s.cloning.Load() {
			sh.mu.Lock()
			return
		}
		arena.Nap(cloneNap)
	}
}

// cloneNap is how long lock naps.
const cloneNap = 20 * time.Microsecond

// lockAll takes every lock. It waits for no shard while it holds another: one
// that is busy with a long command would make everybody queue.
func (s *Store) lockAll() {
	const patience = 2000
	for try := 0; ; try++ {
		n := 0
		for n < len(s.shards) && s.shards[n].mu.TryLock() {
			n++
		}
		if n == len(s.shards) {
			break
		}
		if try > patience { // somebody is always busy: queue after all
			for ; n < len(s.shards); n++ {
				s.shards[n].mu.Lock()
			}
			break
		}
		busy := &s.shards[n]
		for n--; n >= 0; n-- {
			s.shards[n].mu.Unlock()
		}
		s.lock(busy) // it is only waited for
		busy.mu.Unlock()
	}
	// Freeing, as enter does, would add up while everybody waits.
	for i := range s.shards {
		s.shards[i].notice()
	}
}

func (s *Store) unlockAll() {
	for i := range s.shards {
		s.shards[i].mu.Unlock()
	}
}

// drainSlice is how many deferred blocks a user of a shard frees in passing.
const drainSlice = 32

// enter is called after a shard was locked. It notices that the cut has passed
// the shard, and frees a little of what waited for that.
func (s *Store) enter(sh *shard) {
	if sh.notice() {
		s.drain(sh, drainSlice)
	}
}

// notice ends the shard's part of a cut that has passed it. It tells whether
// anything may be freed that waited for that.
func (sh *shard) notice() bool {
	if sh.guard.Mode != cut.None {
		if sh.passed.Load() != sh.cutID {
			return false
		}
		sh.guard.Mode = cut.None
	}
	return sh.guard.Pending() || len(sh.bigs.pending) > 0
}

// drain frees up to n deferred blocks of a shard that the cut has passed.
func (s *Store) drain(sh *shard, n int) (more bool) {
	n = sh.purge(n)
	if more = n <= 0 || sh.guard.Drain(n); !more {
		more = sh.drainBigs(s, n)
		sh.clearEmpty()
	}
	s.noteDeferred(sh)
	sh.recount()
	return more
}

// purge removes up to n entries that a deletion could only hide, and returns n less their number.
func (sh *shard) purge(n int) int {
	for _, t := range sh.tables {
		if t != nil {
			n = t.Purge(n)
		}
	}
	return n
}

// clearEmpty gives back the index of tables whose keys were all deleted under a
// cut, which keeps an index from shrinking.
func (sh *shard) clearEmpty() {
	for _, t := range sh.tables {
		if t != nil && t.Len() == 0 {
			t.Clear()
		}
	}
}

// bytes returns the bytes of all tables of a shard, and of the flushed ones that
// wait for the cut as entries.
func (sh *shard) bytes() (entries, index int64) {
	for _, t := range sh.tables {
		if t != nil {
			entries += t.EntryBytes()
			index += t.IndexBytes()
		}
	}
	for _, h := range sh.guard.Heaps() {
		entries += h.Bytes()
	}
	return entries + sh.bigs.bytes, index
}

// recount publishes the bytes of all tables of a shard.
func (sh *shard) recount() {
	entries, index := sh.bytes()
	sh.entries.Store(entries)
	sh.index.Store(index)
	for db, t := range sh.tables {
		if t != nil {
			sh.shown[db] = shown{t.EntryBytes(), t.IndexBytes()}
		}
	}
}

// shown is what is published of a table.
type shown struct{ entries, index int64 }

// publish makes known what has changed in table t of database db.
func (s *Store) publish(sh *shard, db int, t *keyspace.Table) {
	if l := &sh.lens[db]; l.keys.Load() != t.Len() {
		l.keys.Store(t.Len())
	}
	if l := &sh.lens[db]; l.expires.Load() != t.Expires() {
		l.expires.Store(t.Expires())
	}
	was := &sh.shown[db]
	if d := t.EntryBytes() - was.entries; d != 0 {
		was.entries += d
		sh.entries.Add(d)
	}
	if d := t.IndexBytes() - was.index; d != 0 {
		was.index += d
		sh.index.Add(d)
	}
	s.noteDeferred(sh)
}

// noteDeferred publishes how much of a shard is deferred.
func (s *Store) noteDeferred(sh *shard) {
	waits := sh.guard.DeferredBytes + sh.bigs.deferred
	d := waits - sh.retained.Load()
	if d == 0 {
		return
	}
	sh.retained.Store(waits)
	s.deferred.Add(d)
	s.notePeak()
}

// notePeak keeps the most that the live View has cost.
func (s *Store) notePeak() {
	now := s.deferred.Load() + s.kept.Load() + s.arena.ReserveBytes()
	for peak := s.extraPeak.Load(); now > peak; peak = s.extraPeak.Load() {
		if s.extraPeak.CompareAndSwap(peak, now) {
			break
		}
	}
}
