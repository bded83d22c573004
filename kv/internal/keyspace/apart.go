package keyspace

import "kvd/kv/internal/arena"

// While a forked child lives, new entries go to memory apart from the rest
// (arena.AllocApart). In the holes between old entries they would make the
// kernel copy a page for almost every write and split every huge page; that is
// what a second save used to cost, when the first one had left holes.
//
// What they replaced is freed when the child has gone. Then Gather moves them
// into the holes, or the store would be sparser after every save. The table
// notes the hashes of the keys; a hash whose key has gone or was written again
// does no harm.

// apartMax bounds the entries that go apart, in bytes: a larger one takes most
// of the pages that it lies in.
const apartMax = 2048

type apartBlock struct {
	n      int
	hashes [510]uint64
}

// noteApart notes the hash of a key whose new entry is at ref.
func (t *Table) noteApart(h uint64, ref arena.Ref) {
	if t.guard.Mode != Forked || !t.a.IsApart(ref) {
		return
	}
	n := len(t.apart)
	if n == 0 || t.apart[n-1].n == len(t.apart[n-1].hashes) {
		t.apart = append(t.apart, new(apartBlock))
		n++
	}
	b := t.apart[n-1]
	b.hashes[b.n] = h
	b.n++
}

// Gather moves up to max entries that were written while a forked child lived
// to where entries usually are. It does nothing while the shard is part of a
// cut, and tells whether there is more to do.
func (t *Table) Gather(max int) (more bool) {
	for ; max > 0 && len(t.apart) > 0 && t.guard.Mode == None; max-- {
		last := len(t.apart) - 1
		b := t.apart[last]
		b.n--
		t.gather(b.hashes[b.n])
		if b.n == 0 {
			t.apart[last] = nil
			t.apart = t.apart[:last]
		}
	}
	if len(t.apart) == 0 {
		t.apart = nil
	}
	return len(t.apart) > 0
}

// gather moves the entries with the given hash's tag that lie apart.
func (t *Table) gather(h uint64) {
	if t.dir == 0 {
		return
	}
	s := t.segmentFor(h)
	tag := tagOf(h, s.depth)
	tab := s.table()
	for i := s.first(tab, tag); i < len(tab) && tab[i] != 0 && slotTag(tab[i]) == tag; i++ {
		ref := slotRef(tab[i])
		if !t.a.IsApart(ref) {
			continue
		}
		size := t.a.Size(ref)
		to, err := t.entries.Alloc(size)
		if err != nil {
			return // it may stay where it is
		}
		copy(t.a.Bytes(to, size), t.a.Bytes(ref, size))
		tab[i] = makeSlot(to, tag, tab[i]&ttlBit != 0)
		t.entries.Free(ref)
	}
}
