package keyspace

import "kvd/kv/internal/arena"

// A removal changes a segment or, where a cut can reach that, a copy of it. If there is no memory
// for the copy, the entry is hidden instead: it stays in its slot, in this segment and in those that
// take its place, but nobody finds it there, and it is removed when the cut has passed. So a key can
// be deleted however little memory there is.

// Hide is Remove, or Take if keepTrees is set, for who finds no memory: it needs none of the arena's.
// The key is gone for everybody but the cut that is live. The table's guard has something to
// free (Pending) until Purge has removed the rest of the entry.
func (t *Table) Hide(p Pos, keepTrees bool) {
	var e Entry
	readEntry(t.a, p.entry, &e)
	t.count--
	if e.ExpireAt != 0 {
		t.expires--
	}
	t.noteKind(e.Kind, 0)
	if !keepTrees {
		t.dropTrees(&e)
	}
	if t.hidden == nil {
		t.hidden = make(map[arena.Ref]struct{})
	}
	t.hidden[p.entry] = struct{}{}
	t.guard.Hide(t.entries, t.blockBytes(p.entry))
}

// isHidden tells whether the entry at ref, which a slot refers to, is none any more.
func (t *Table) isHidden(ref arena.Ref) bool {
	if t.hidden == nil {
		return false
	}
	_, hidden := t.hidden[ref]
	return hidden
}

// Purge removes what is left of up to max hidden entries and returns max less their number. The cut
// must have passed the shard.
func (t *Table) Purge(max int) int {
	for ref := range t.hidden {
		if max <= 0 {
			return max
		}
		max--
		t.guard.Unhide(t.entries, t.blockBytes(ref))
		delete(t.hidden, ref)
		var e Entry
		readEntry(t.a, ref, &e)
		pos := t.hasher.Hash(e.Key)
		s, i := t.find(pos, ref)
		t.takeSlot(s, i)
		t.retireEntry(ref)
		t.shrink(pos, s)
	}
	t.hidden = nil
	return max
}

// blockBytes returns the bytes of the blocks of an entry.
func (t *Table) blockBytes(ref arena.Ref) int64 {
	var e Entry
	readEntry(t.a, ref, &e)
	n := t.a.Size(ref)
	if e.external != 0 {
		n += t.a.Size(e.external)
	}
	return int64(n)
}
