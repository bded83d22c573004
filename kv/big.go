package kv

import (
	"fmt"
	"math"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// A collection whose trees take more than promoteAt bytes has a heap of its own: so
// deleting it costs one entry in a list, whatever its size, and renaming it to a key of
// another shard hands the heap over. Smaller ones have their nodes in their table's heap,
// where they are freed and copied node by node.
const promoteAt = 256 << 10

// bigTree is what the head of such a collection's trees refers to by a number.
type bigTree struct {
	heap  *arena.Heap
	guard cut.Guard

	// cut is the cut that guard.Mode belongs to, and home the shard whose walk reaches
	// the collection: where it was when the cut was taken, wherever it is now.
	cut  uint32
	home *shard

	bytes, deferred int64 // published of heap and guard
	listed          bool  // in bigs.pending
}

// bigs are the big collections of a shard.
type bigs struct {
	of       []map[uint32]*bigTree // by database
	bytes    int64                 // of all heaps
	deferred int64                 // of all guards
	pending  []*bigTree            // that may have blocks to free, now or when a pin is released
}

// liveCut is the cut that holds writers to its rules; id 0: none.
type liveCut struct {
	id   uint32
	mode cut.Mode
}

// sync brings the guard up to date. The lock of sh, where b is, is held.
func (b *bigTree) sync(s *Store, sh *shard) {
	if b.cut != s.live.id {
		b.cut, b.home = s.live.id, sh
		b.guard.Mode = s.live.mode
		if sh.staged { // no cut reaches it
			b.guard.Mode = cut.None
		}
	}
	if b.guard.Mode != cut.None && b.home.passed.Load() == b.cut {
		b.guard.Mode = cut.None
	}
	b.guard.Settle()
}

// waits tells whether b has blocks that wait to be freed, or pins that may make some wait.
func (b *bigTree) waits() bool { return b.guard.Pending() || b.guard.Held() }

// enter is called before b is used. It frees a little of what waited for a cut.
func (b *bigTree) enter(s *Store, sh *shard) {
	b.sync(s, sh)
	if b.guard.Mode == cut.None && b.guard.Pending() {
		b.guard.Drain(drainSlice)
		sh.note(s, b)
	}
}

// note publishes what has changed in b.
func (sh *shard) note(s *Store, b *bigTree) {
	if d := b.heap.Bytes() - b.bytes; d != 0 {
		b.bytes += d
		sh.bigs.bytes += d
		sh.entries.Add(d)
	}
	sh.bigs.deferred += b.guard.DeferredBytes - b.deferred
	b.deferred = b.guard.DeferredBytes
	if b.waits() && !b.listed {
		b.listed = true
		sh.bigs.pending = append(sh.bigs.pending, b)
	}
	s.noteDeferred(sh)
}

// drainBigs frees up to n deferred blocks of big collections whose cut has passed and whose
// pins were released, and tells whether there are more of them.
func (sh *shard) drainBigs(s *Store, n int) (more bool) {
	g := &sh.bigs
	for i := 0; i < len(g.pending); {
		b := g.pending[i]
		b.sync(s, sh)
		switch {
		case b.guard.Mode != cut.None, b.guard.Held() && !b.guard.Pending():
			i++
		case n <= 0:
			return true
		case b.guard.Drain(n):
			n = 0
			sh.note(s, b)
		default:
			n -= drainSlice
			sh.note(s, b)
			if b.guard.Held() {
				i++
			} else {
				g.unlist(i)
			}
		}
	}
	return false
}

func (g *bigs) unlist(i int) {
	last := len(g.pending) - 1
	g.pending[i].listed = false
	g.pending[i] = g.pending[last]
	g.pending[last] = nil
	g.pending = g.pending[:last]
}

func (g *bigs) appendHeaps(heaps []*arena.Heap) []*arena.Heap {
	for _, m := range g.of {
		for _, b := range m {
			heaps = append(heaps, b.heap)
		}
	}
	return heaps
}

// add makes b a collection of the shard.
func (sh *shard) addBig(db int, id uint32, b *bigTree) {
	if sh.bigs.of[db] == nil {
		sh.bigs.of[db] = make(map[uint32]*bigTree)
	}
	sh.bigs.of[db][id] = b
	sh.bigs.bytes += b.bytes
	sh.bigs.deferred += b.deferred
	sh.entries.Add(b.bytes)
	if b.waits() {
		b.listed = true
		sh.bigs.pending = append(sh.bigs.pending, b)
	}
}

// takeBig takes a collection out of the shard.
func (sh *shard) takeBig(s *Store, db int, id uint32) *bigTree {
	b := sh.bigs.of[db][id]
	delete(sh.bigs.of[db], id)
	sh.forget(b)
	s.noteDeferred(sh)
	return b
}

// forget takes what b has out of the shard's figures.
func (sh *shard) forget(b *bigTree) {
	sh.bigs.bytes -= b.bytes
	sh.bigs.deferred -= b.deferred
	sh.entries.Add(-b.bytes)
	if b.listed {
		for i, p := range sh.bigs.pending {
			if p == b {
				sh.bigs.unlist(i)
				break
			}
		}
	}
}

// buryBigs has all big collections of a database freed in the background.
func (sh *shard) buryBigs(s *Store, db int) {
	m := sh.bigs.of[db]
	if len(m) == 0 {
		return
	}
	sh.bigs.of[db] = nil
	for _, b := range m {
		sh.forget(b)
		s.bury(b)
	}
	s.noteDeferred(sh)
}

// swapBigs exchanges the big collections of two shards, one of a stage, which no cut may
// reach. All locks are held.
func swapBigs(sh, from *shard, db int) {
	out, in := sh.bigs.of[db], from.bigs.of[db]
	sh.bigs.of[db], from.bigs.of[db] = nil, nil
	for _, b := range out {
		sh.forget(b)
	}
	for _, b := range in {
		from.forget(b)
	}
	for id, b := range in {
		sh.addBig(db, id, b)
	}
	for id, b := range out {
		from.addBig(db, id, b)
	}
}

// detachBigs takes the heaps of a database's big collections, for the caller to free: they are a
// stage's, which nobody reads.
func (sh *shard) detachBigs(db int, heaps []*arena.Heap, bytes interface{ Add(int64) int64 }) []*arena.Heap {
	for _, b := range sh.bigs.of[db] {
		sh.forget(b)
		bytes.Add(b.heap.Bytes())
		heaps = append(heaps, b.heap)
	}
	sh.bigs.of[db] = nil
	return heaps
}

// own makes a table drop the trees of its entries by way of this shard.
func (sh *shard) own(s *Store, db int, t *keyspace.Table) {
	if t == nil {
		return
	}
	t.OnDrop(func(kind uint8, head []byte) { sh.dropTrees(s, db, t, Type(keyspace.KindType(kind)), head) })
}

// dropTrees frees the trees of an entry that goes.
func (sh *shard) dropTrees(s *Store, db int, t *keyspace.Table, typ Type, head []byte) {
	if id := headID(head); id != 0 {
		s.bury(sh.takeBig(s, db, id))
		return
	}
	for i := range shapes[typ] {
		tr := tree.Open(tree.Space{Heap: t.Nodes(), Guard: &sh.guard}, shapes[typ][i], headRoot(head, i))
		tr.Free()
	}
}

// checkTrees verifies all trees of a table, and that nothing else is in their heaps.
func (sh *shard) checkTrees(s *Store, db int, t *keyspace.Table) (err error) {
	blocks, found := int64(0), 0
	t.Scan(0, math.MaxInt, func(e *keyspace.Entry) {
		typ := Type(e.Type())
		if err != nil || !hasTrees(typ, Encoding(e.Encoding())) {
			return
		}
		var n int64
		if n, err = s.checkTreesOf(e); err != nil {
			return
		}
		id := headID(e.Value)
		if id == 0 {
			blocks += n
			return
		}
		found++
		b := sh.bigs.of[db][id]
		if b == nil {
			err = fmt.Errorf("kv: the %s at %q has no heap", typ, e.Key)
		} else if have := b.heap.Blocks() - b.guard.Waiting(b.heap); have != n {
			err = fmt.Errorf("kv: the heap of the %s at %q holds %d blocks, its trees have %d", typ, e.Key, have, n)
		}
	})
	if err != nil {
		return err
	}
	if n := len(sh.bigs.of[db]); n != found {
		return fmt.Errorf("kv: %d big collections, keys have %d", n, found)
	}
	if have := t.Nodes().Blocks() - sh.guard.Waiting(t.Nodes()); have != blocks {
		return fmt.Errorf("kv: the heap of nodes holds %d blocks, the trees have %d", have, blocks)
	}
	return nil
}

// checkTreesOf verifies the trees of an entry and returns the number of their blocks.
func (s *Store) checkTreesOf(e *keyspace.Entry) (blocks int64, err error) {
	typ := Type(e.Type())
	for i := range shapes[typ] {
		tr := tree.Read(s.arena, shapes[typ][i], headRoot(e.Value, i))
		n, err := tr.Check()
		if err != nil {
			return 0, fmt.Errorf("kv: tree %d of the %s at %q: %w", i, typ, e.Key, err)
		}
		blocks += n
	}
	return blocks, nil
}
