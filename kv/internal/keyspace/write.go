package keyspace

import (
	"encoding/binary"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// Value is what Insert and Replace store. Kind is made by the function Kind.
type Value struct {
	Kind     uint8
	Data     []byte
	ExpireAt int64 // Unix milliseconds, 0 for none
}

// allocEntry returns a block for an entry of size bytes. While a forked child
// lives it lies apart from what the child shares, see apart.go.
func (t *Table) allocEntry(size int) (arena.Ref, error) {
	if m := t.guard.Mode; size <= apartMax && (m == cut.Forked || m == cut.ForkedPathCopy) {
		if ref, err := t.entries.AllocApart(size); err == nil {
			return ref, nil
		} // without a chunk for that there may still be room among the others
	}
	return t.entries.Alloc(size)
}

// newEntry writes a new entry (and its value's block, if it needs one).
func (t *Table) newEntry(key []byte, v *Value) (arena.Ref, error) {
	size, head := entrySize(len(key), len(v.Data), v.ExpireAt != 0)
	ref, err := t.allocEntry(size)
	if err != nil {
		return 0, err
	}
	b := t.a.Bytes(ref, size)
	writeHead(b, v.Kind, key, len(v.Data), v.ExpireAt)
	if len(v.Data) <= inlineMax {
		copy(b[head:], v.Data)
		return ref, nil
	}
	ext, err := t.entries.Alloc(len(v.Data))
	if err != nil {
		t.entries.Free(ref)
		return 0, err
	}
	copy(t.a.Bytes(ext, len(v.Data)), v.Data)
	putRef(b[head:], ext)
	return ref, nil
}

// Insert adds a key that is not in the table. now is in Unix seconds.
func (t *Table) Insert(h uint64, key []byte, v *Value, now uint32) error {
	ref, err := t.newEntry(key, v)
	if err != nil {
		return err
	}
	if err := t.place(h, ref, v.ExpireAt, now); err != nil {
		t.retireEntry(ref)
		return err
	}
	return nil
}

// place puts a new entry into the index.
func (t *Table) place(h uint64, ref arena.Ref, expireAt int64, now uint32) error {
	pos := h
	if t.dir == 0 {
		if err := t.create(now); err != nil {
			return err
		}
	}
	for {
		s := t.segmentFor(pos)
		if int(s.count) < limit(int(s.homes)) {
			var err error
			if s, err = t.writable(pos, s); err != nil {
				return err
			}
			t.freshen(s, now)
			clock := byte(now - binary.LittleEndian.Uint32(t.clockBase(s)))
			slot := makeSlot(ref, tagOf(pos, s.depth), expireAt != 0)
			if s.insert(s.table(), s.clocks(t.a), slot, clock) {
				t.count++
				t.noteKind(0, t.a.Byte(ref, 0)&(typeMask|encMask<<encShift))
				if expireAt != 0 {
					t.expires++
					s.expires++
					s.noteExpiry(expireAt)
				}
				return nil
			}
		}
		if err := t.grow(pos, s); err != nil {
			return err
		}
	}
}

// freshen makes sure that a clock of now can be expressed in s.
func (t *Table) freshen(s seg, now uint32) {
	base := t.clockBase(s)
	if d := now - binary.LittleEndian.Uint32(base); d >= clockOld {
		t.rebase(s, now)
	}
}

// Rewrite gives the key at p, whose hash is h, a changed head of the same trees, or of
// what has taken their place; it keeps its expiry.
func (t *Table) Rewrite(h uint64, p Pos, kind uint8, head []byte, now uint32) error {
	var e Entry
	readEntry(t.a, p.entry, &e)
	if len(head) == len(e.Value) && e.external == 0 && !t.guard.Protected(t.a, p.entry) {
		b := t.a.Bytes(p.entry, e.head+len(head))
		t.noteKind(e.Kind, kind)
		b[0] = b[0]&^(typeMask|encMask<<encShift) | kind
		copy(b[e.head:], head)
		t.touch(p.seg, p.slot, now)
		return nil
	}
	return t.replace(h, p, &Value{Kind: kind, Data: head, ExpireAt: e.ExpireAt}, now, true)
}

// noteKind counts that an entry of one kind becomes one of another, 0 meaning none.
func (t *Table) noteKind(old, kind uint8) {
	if extended(old) {
		t.ext--
	}
	if extended(kind) {
		t.ext++
	}
}

// Replace gives the key at p, whose hash is h, another value and expiry. The trees of
// the value that it had are dropped.
func (t *Table) Replace(h uint64, p Pos, v *Value, now uint32) error {
	return t.replace(h, p, v, now, false)
}

func (t *Table) replace(h uint64, p Pos, v *Value, now uint32, keepTrees bool) error {
	var e Entry
	readEntry(t.a, p.entry, &e)
	size, _ := entrySize(len(e.Key), len(v.Data), v.ExpireAt != 0)
	free := !t.guard.Protected(t.a, p.entry)
	if len(v.Data) <= inlineMax && e.external == 0 && arena.RoundSize(size) == t.a.Size(p.entry) && free {
		return t.overwrite(h, p, &e, v, now, keepTrees)
	}
	ref, err := t.newEntry(e.Key, v)
	switch {
	case err == nil:
	case free && t.takes(p.entry, &e, size, v):
		return t.overwrite(h, p, &e, v, now, keepTrees)
	case free && t.turns(&e, size, v):
		return t.moveIn(h, p, &e, size, v, now)
	default:
		return err
	}
	if err := t.repoint(h, p, ref, e.ExpireAt, v.ExpireAt, now); err != nil {
		t.retireEntry(ref)
		return err
	}
	t.noteKind(e.Kind, v.Kind)
	if !keepTrees {
		t.dropTrees(&e)
	}
	t.retireEntry(p.entry)
	return nil
}

// takes tells whether the blocks of an entry have room for one of size bytes with another value, which
// lies in the second block if the present one does: where memory is short, what becomes smaller stays
// where it is.
func (t *Table) takes(ref arena.Ref, e *Entry, size int, v *Value) bool {
	inline := len(v.Data) <= inlineMax
	if e.external == 0 {
		return inline && size <= t.a.Size(ref)
	}
	return !inline && size <= t.a.Size(ref) && len(v.Data) <= t.a.Size(e.external) && !t.guard.Protected(t.a, e.external)
}

// turns tells whether the block of a value has room for the whole entry of size bytes when its value is so
// short that it stands in it.
func (t *Table) turns(e *Entry, size int, v *Value) bool {
	return e.external != 0 && len(v.Data) <= inlineMax && size <= t.a.Size(e.external) && !t.guard.Protected(t.a, e.external)
}

// moveIn is replace where the block of the value becomes the entry.
func (t *Table) moveIn(h uint64, p Pos, e *Entry, size int, v *Value, now uint32) error {
	if err := t.repoint(h, p, e.external, e.ExpireAt, v.ExpireAt, now); err != nil {
		return err
	}
	t.noteKind(e.Kind, v.Kind)
	b := t.a.Bytes(e.external, size)
	writeHead(b, v.Kind, e.Key, len(v.Data), v.ExpireAt)
	copy(b[size-len(v.Data):], v.Data)
	t.guard.Retire(t.entries, p.entry)
	return nil
}

// overwrite is replace where the new entry goes into the blocks of the old one.
func (t *Table) overwrite(h uint64, p Pos, e *Entry, v *Value, now uint32, keepTrees bool) error {
	if err := t.repoint(h, p, p.entry, e.ExpireAt, v.ExpireAt, now); err != nil {
		return err
	}
	if !keepTrees {
		t.dropTrees(e)
	}
	t.noteKind(e.Kind, v.Kind)
	size, head := entrySize(len(e.Key), len(v.Data), v.ExpireAt != 0)
	b := t.a.Bytes(p.entry, size)
	if head != e.head || v.ExpireAt != e.ExpireAt {
		t.keyBuf = append(t.keyBuf[:0], e.Key...)
		writeHead(b, v.Kind, t.keyBuf, len(v.Data), v.ExpireAt)
	} else {
		b[0] = b[0]&^(typeMask|encMask<<encShift) | v.Kind
		putLen(b, len(e.Key), len(v.Data))
	}
	if e.external == 0 {
		copy(b[head:], v.Data)
		return nil
	}
	putRef(b[head:], e.external)
	copy(t.a.Bytes(e.external, len(v.Data)), v.Data)
	return nil
}

// putLen overwrites the value's length in an entry whose head keeps its length.
func putLen(b []byte, klen, vlen int) {
	off := 1
	if b[0]&flagExpiry != 0 {
		off = 9
	}
	binary.PutUvarint(b[off+uvarintLen(uint64(klen)):], uint64(vlen))
}

// repoint makes the slot at p refer to ref and keeps the counts of expiries.
func (t *Table) repoint(h uint64, p Pos, ref arena.Ref, oldExpiry, expiry int64, now uint32) error {
	s := p.seg
	if ref != p.entry || oldExpiry != expiry {
		var err error
		if s, err = t.writable(h, s); err != nil {
			return err
		}
		tab := s.table()
		tab[p.slot] = makeSlot(ref, slotTag(tab[p.slot]), expiry != 0)
		if oldExpiry != 0 {
			t.expires--
			s.expires--
		}
		if expiry != 0 {
			t.expires++
			s.expires++
			s.noteExpiry(expiry)
		}
	}
	t.touch(s, p.slot, now)
	return nil
}

// SetExpiry changes the expiry of the key at p; 0 removes it.
func (t *Table) SetExpiry(h uint64, p Pos, at int64, now uint32) error {
	var e Entry
	readEntry(t.a, p.entry, &e)
	if e.ExpireAt == at {
		return nil
	}
	if e.ExpireAt != 0 && at != 0 && !t.guard.Protected(t.a, p.entry) {
		if err := t.repoint(h, p, p.entry, e.ExpireAt, at, now); err != nil {
			return err
		}
		setExpiry(t.a, p.entry, at)
		return nil
	}
	size, head := entrySize(len(e.Key), len(e.Value), at != 0)
	ref, err := t.allocEntry(size)
	if err != nil {
		return err
	}
	b := t.a.Bytes(ref, size)
	writeHead(b, e.Kind, e.Key, len(e.Value), at)
	if e.external != 0 { // the value's block changes hands
		putRef(b[head:], e.external)
	} else {
		copy(b[head:], e.Value)
	}
	if err := t.repoint(h, p, ref, e.ExpireAt, at, now); err != nil {
		t.entries.Free(ref)
		return err
	}
	t.guard.Retire(t.entries, p.entry)
	return nil
}

// maxSpare bounds the room that Extend leaves behind a growing value.
const maxSpare = 1 << 20

// Extend makes the value of the key at p size bytes long, no less than now, new
// bytes zero, and returns it, writable until the next call on the table.
func (t *Table) Extend(h uint64, p Pos, kind uint8, size int, now uint32) ([]byte, error) {
	var e Entry
	readEntry(t.a, p.entry, &e)
	old := len(e.Value)
	total, head := entrySize(len(e.Key), size, e.ExpireAt != 0)
	stays := head == e.head && total <= t.a.Size(p.entry) && !t.guard.Protected(t.a, p.entry)
	switch {
	case stays && size <= inlineMax:
		b := t.a.Bytes(p.entry, total)
		b[0] = b[0]&^(typeMask|encMask<<encShift) | kind
		putLen(b, len(e.Key), size)
		clear(b[head+old:])
		t.touch(p.seg, p.slot, now)
		return b[head:], nil
	case stays && e.external != 0 && size <= t.a.Size(e.external) && !t.guard.Protected(t.a, e.external):
		b := t.a.Bytes(p.entry, total)
		b[0] = b[0]&^(typeMask|encMask<<encShift) | kind
		putLen(b, len(e.Key), size)
		v := t.a.Bytes(e.external, size)
		clear(v[old:])
		t.touch(p.seg, p.slot, now)
		return v, nil
	}
	return t.extendCopy(h, p, &e, kind, size, now)
}

func (t *Table) extendCopy(h uint64, p Pos, e *Entry, kind uint8, size int, now uint32) ([]byte, error) {
	total, head := entrySize(len(e.Key), size, e.ExpireAt != 0)
	ref, err := t.allocEntry(total)
	if err != nil {
		return nil, err
	}
	b := t.a.Bytes(ref, total)
	writeHead(b, kind, e.Key, size, e.ExpireAt)
	v := b[head:]
	if size > inlineMax {
		room := size
		if size > len(e.Value) { // it grows: leave room for the next time
			room += min(size, maxSpare)
		}
		ext, err := t.entries.Alloc(room)
		if err != nil {
			t.entries.Free(ref)
			return nil, err
		}
		putRef(v, ext)
		v = t.a.Bytes(ext, size)
	}
	clear(v[copy(v, e.Value):])
	if err := t.repoint(h, p, ref, e.ExpireAt, e.ExpireAt, now); err != nil {
		t.retireEntry(ref)
		return nil, err
	}
	t.retireEntry(p.entry)
	return v, nil
}

// Remove deletes the key at p, whose hash is h. It fails only where a cut can reach the index, and
// has changed nothing then: Hide does not.
func (t *Table) Remove(h uint64, p Pos) error { return t.remove(h, p, false) }

// Take is Remove for an entry whose trees live on elsewhere.
func (t *Table) Take(h uint64, p Pos) error { return t.remove(h, p, true) }

func (t *Table) remove(pos uint64, p Pos, keepTrees bool) error {
	s, err := t.removeAt(pos, p.seg, p.slot, keepTrees)
	if err != nil {
		return err
	}
	t.shrink(pos, s)
	return nil
}

// removeAt deletes slot i of s, the segment of pos, and returns the segment,
// which may be a copy.
func (t *Table) removeAt(pos uint64, s seg, i int, keepTrees bool) (seg, error) {
	s, err := t.writable(pos, s)
	if err != nil {
		return s, err
	}
	slot := t.takeSlot(s, i)
	t.count--
	if slot&ttlBit != 0 {
		t.expires--
	}
	ref := slotRef(slot)
	t.noteKind(t.a.Byte(ref, 0)&(typeMask|encMask<<encShift), 0)
	if keepTrees {
		t.retireEntry(ref)
	} else {
		t.dropEntry(ref)
	}
	return s, nil
}

// takeSlot takes slot i out of s, which is writable, and returns it.
func (t *Table) takeSlot(s seg, i int) uint64 {
	tab := s.table()
	slot := tab[i]
	s.remove(tab, s.clocks(t.a), i)
	if slot&ttlBit != 0 {
		if s.expires--; s.expires == 0 {
			s.expireAt = 0
		}
	}
	return slot
}
