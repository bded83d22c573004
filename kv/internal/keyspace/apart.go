package keyspace

import (
	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// While a forked child lives, new entries go to memory apart from the rest
// (arena.AllocApart), and with cut.ForkedPathCopy the index's too. In the holes
// between old entries they would make the kernel copy a page for almost every
// write and split every huge page; that is what a second save used to cost, when
// the first one had left holes.
//
// What they replaced is freed when the child has gone. Then Gather moves them
// into the holes, or the store would be sparser after every save. Nothing is
// noted for that: the heap tells which blocks lie apart, and a block tells where
// it belongs, an entry by its key and a segment by that of any of its entries.

// apartMax bounds the entries that go apart, in bytes: a larger one takes most
// of the pages that it lies in. So no value's block does, which could not tell
// whose it is.
const apartMax = 2048

// segmentCost is how many entries moving a segment counts as.
const segmentCost = 8

// Gather moves what was written while a forked child lived to where it usually
// is: max entries or so. It does nothing while the shard is part of a cut, or
// while blocks wait to be freed after one, and tells whether there is more to do.
func (t *Table) Gather(max int) (more bool) {
	if t.guard.Mode != cut.None || t.guard.Pending() {
		return t.apart()
	}
	for ; max > 0; max-- {
		ref, ok := t.entries.NextApart()
		if !ok {
			break
		}
		if !t.moveEntry(ref) {
			return false
		}
	}
	for ; max > 0; max -= segmentCost {
		ref, ok := t.index.NextApart()
		if !ok {
			break
		}
		if !t.moveIndex(ref) {
			return false
		}
	}
	return t.apart()
}

// apart tells whether anything lies apart.
func (t *Table) apart() bool {
	_, entries := t.entries.NextApart()
	_, index := t.index.NextApart()
	return entries || index
}

// moveEntry moves the entry at ref to where entries usually are. It returns
// false if there is no room: then it may stay where it is.
func (t *Table) moveEntry(ref arena.Ref) bool {
	to, err := t.entries.Alloc(t.a.Size(ref))
	if err == nil {
		t.moveTo(ref, to)
	}
	return err == nil
}

// moveTo moves the entry at ref to a block of the same size.
func (t *Table) moveTo(ref, to arena.Ref) {
	size := t.a.Size(ref)
	var e Entry
	readEntry(t.a, ref, &e)
	s, i := t.find(t.hasher.Hash(e.Key), ref)
	slot := &s.table()[i]
	copy(t.a.Bytes(to, size), t.a.Bytes(ref, size))
	*slot = makeSlot(to, slotTag(*slot), *slot&ttlBit != 0)
	t.entries.Free(ref)
}

// Evacuate moves up to max entries from runs that hold few into others, so that the
// memory is given back. It does nothing while the shard is part of a cut, or while
// blocks wait to be freed after one, and tells whether there is more to do. Values
// that have blocks of their own stay where they are: a block does not tell whose it is.
func (t *Table) Evacuate(max int) (more bool) {
	if t.guard.Mode != cut.None || t.guard.Pending() {
		return t.guard.Pending()
	}
	for ; max > 0; max-- {
		from, to, ok := t.entries.Evacuate(apartMax)
		if !ok {
			return false
		}
		t.moveTo(from, to)
	}
	return true
}

// find returns where the slot is that refers to the entry at ref, whose key has the hash h.
func (t *Table) find(h uint64, ref arena.Ref) (s seg, slot int) {
	s = t.segmentFor(h)
	tag := tagOf(h, s.depth)
	tab := s.table()
	for i := s.first(tab, tag); i < len(tab) && tab[i] != 0 && slotTag(tab[i]) == tag; i++ {
		if slotRef(tab[i]) == ref {
			return s, i
		}
	}
	panic("keyspace: an entry that no slot refers to")
}

// moveIndex moves the directory or the segment at ref to where the index
// usually is, false as with moveEntry.
func (t *Table) moveIndex(ref arena.Ref) bool {
	if ref == t.dir {
		to, err := t.dupIndex(ref, 8<<t.depth)
		if err == nil {
			t.dir = to
			t.index.Free(ref)
		}
		return err == nil
	}
	s := segmentAt(t.a, ref)
	to, err := t.dupIndex(ref, s.bytes())
	if err != nil {
		return false
	}
	if err := t.link(t.posOf(s), s.depth, to); err != nil {
		t.index.Free(to)
		return false
	}
	t.index.Free(ref)
	return true
}

// posOf returns a position in segment s.
func (t *Table) posOf(s seg) uint64 {
	for _, slot := range s.table() {
		if slot != 0 {
			var e Entry
			readEntry(t.a, slotRef(slot), &e)
			return t.hasher.Hash(e.Key)
		}
	}
	for i, ref := range t.dirWords() { // it is empty: only the directory tells
		if arena.Ref(ref) == s.ref {
			return uint64(i) << 1 << (63 - t.depth)
		}
	}
	panic("keyspace: a segment that is not in the directory")
}
