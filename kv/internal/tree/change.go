package tree

import (
	"errors"

	"kvd/kv/internal/arena"
)

// Mistakes of the caller.
var (
	errRank  = errors.New("tree: no record at this rank")
	errValue = errors.New("tree: a value that has not the length of all")
)

// Put gives the record with a key a value and a flag, and adds it if there is none.
func (t *Tree) Put(key, value []byte, flag bool) (added bool, err error) {
	if err := t.ready(); err != nil {
		return false, err
	}
	var p path
	if t.Height == 0 || !t.find(&p, key) {
		return true, t.insert(&p, key, value, flag)
	}
	return false, t.set(&p, value, flag)
}

// InsertAt puts a new record before the one at a rank, or behind the last one: rank is
// 0 to Count.
func (t *Tree) InsertAt(rank int64, value []byte, flag bool) error {
	if rank < 0 || rank > t.Count {
		return errRank
	}
	if err := t.ready(); err != nil {
		return err
	}
	var p path
	t.seekEdge(&p, rank)
	return t.insert(&p, nil, value, flag)
}

// seekEdge makes p the path to the place behind the record before rank: the end of a
// leaf rather than the beginning of the next one.
func (t *Tree) seekEdge(p *path, rank int64) {
	switch {
	case t.Height == 0:
	case rank == 0:
		t.seek(p, 0)
	default:
		t.seek(p, rank-1)
		p[0].at++
	}
}

// insert puts a record at the end of a path.
func (t *Tree) insert(p *path, key, value []byte, flag bool) error {
	return t.store(p, &change{end: p[0].at, key: key, value: value, flag: flag})
}

// change is a record that comes to where a path leads, in the place of those up to end.
type change struct {
	end              int
	key, value       []byte
	flag             bool
	keyRef, valueRef arena.Ref // of blocks that hold the key and the value already, or 0
}

// store makes a change.
func (t *Tree) store(p *path, c *change) error {
	if !t.shape.Keyed && len(c.value) > pairMax && len(c.value) <= inList {
		return t.storeLong(p, c)
	}
	var buf [shortMax]byte
	return t.storeWith(buf[:0], p, c)
}

// storeLong is store with a larger frame.
//
//go:noinline
func (t *Tree) storeLong(p *path, c *change) error {
	var buf [recordMax]byte
	return t.storeWith(buf[:0], p, c)
}

// storeWith is store, with room for the record.
func (t *Tree) storeWith(buf []byte, p *path, c *change) error {
	r, err := t.encode(buf, c.key, c.value, c.flag, c.keyRef, c.valueRef)
	if err != nil {
		return err
	}
	if t.Height == 0 {
		err = t.plant(&r)
	} else {
		err = t.splice(p, c.end, &r)
	}
	if err != nil {
		t.discard(&r)
	}
	return err
}

// plant makes the first leaf.
func (t *Tree) plant(r *record) error {
	size := headSize + len(r.b)
	if t.shape.Keyed {
		size += slotSize
	}
	ref, err := t.alloc(size)
	if err != nil {
		return err
	}
	room := arena.RoundSize(size)
	b := t.a.Bytes(ref, room)
	putHead(b, 1, size, room)
	if t.shape.Keyed {
		le.PutUint16(b[headSize:], uint16(r.flags))
	}
	copy(b[size-len(r.b):], r.b)
	t.Node, t.Height, t.Count = ref, 1, 1
	return nil
}

// SetAt gives the record at a rank a value and a flag.
func (t *Tree) SetAt(rank int64, value []byte, flag bool) error {
	if rank < 0 || rank >= t.Count {
		return errRank
	}
	if err := t.ready(); err != nil {
		return err
	}
	var p path
	t.seek(&p, rank)
	return t.set(&p, value, flag)
}

// set gives the record that a path leads to a value and a flag.
func (t *Tree) set(p *path, value []byte, flag bool) error {
	var old parts
	leaf := t.node(p[0].ref, 0)
	leaf.read(p[0].at, leaf.off(p[0].at), &old)
	if old.valueRef != 0 && t.reusable(old.valueRef, len(old.Key), len(value)) {
		if err := t.replace(p, &old, len(value), value, flag, old.valueRef); err != nil {
			return err
		}
		copy(t.a.Bytes(old.valueRef, len(value)), value)
		return nil
	}
	if old.valueRef == 0 && len(value) == len(old.Value) && flag == old.Flag && !t.fixed(p[0].ref) {
		copy(old.Value, value)
		return nil
	}
	return t.replace(p, &old, len(value), value, flag, 0)
}

// reusable tells whether the block of a value can take one of n bytes beside a key
// of k bytes in its place, and is not far too large for it.
func (t *Tree) reusable(ref arena.Ref, k, n int) bool {
	size := t.a.Size(ref)
	return t.shape.valueIsFar(k, n) && n <= size && n > size/2 && !t.space.Guard.Protected(t.a, ref)
}

// replace changes a record. If valueRef is not 0, its value of n bytes lies there, and
// value is not looked at.
func (t *Tree) replace(p *path, old *parts, n int, value []byte, flag bool, valueRef arena.Ref) error {
	if valueRef != 0 {
		if n == len(old.Value) && flag == old.Flag {
			return nil
		}
		value = t.a.Bytes(valueRef, n)
	}
	return t.store(p, &change{p[0].at + 1, old.Key, value, flag, old.keyRef, valueRef})
}

// Edit makes the value of the record at a rank n bytes long and returns it, writable
// until the next call. Bytes that it had stay, new ones are undefined.
func (t *Tree) Edit(rank int64, n int) ([]byte, error) {
	if rank < 0 || rank >= t.Count {
		return nil, errRank
	}
	if err := t.ready(); err != nil {
		return nil, err
	}
	var p path
	t.seek(&p, rank)
	var old parts
	leaf := t.node(p[0].ref, 0)
	leaf.read(p[0].at, leaf.off(p[0].at), &old)
	switch {
	case old.valueRef != 0 && t.reusable(old.valueRef, len(old.Key), n):
		if err := t.replace(&p, &old, n, nil, old.Flag, old.valueRef); err != nil {
			return nil, err
		}
		return t.a.Bytes(old.valueRef, n), nil
	case t.shape.valueIsFar(len(old.Key), n):
		ref, err := t.alloc(n)
		if err != nil {
			return nil, err
		}
		b := t.a.Bytes(ref, n)
		copy(b, old.Value)
		if err := t.store(&p, &change{p[0].at + 1, old.Key, b, old.Flag, old.keyRef, ref}); err != nil {
			t.retire(ref)
			return nil, err
		}
		return b, nil
	case old.valueRef != 0 || n != len(old.Value) || t.fixed(p[0].ref):
		var buf [max(inlineMax, pairMax, inList)]byte
		copy(buf[:n], old.Value)
		if err := t.replace(&p, &old, n, buf[:n], old.Flag, 0); err != nil {
			return nil, err
		}
		t.seek(&p, rank)
		leaf = t.node(p[0].ref, 0)
		leaf.read(p[0].at, leaf.off(p[0].at), &old)
	}
	return old.Value, nil
}

// Delete removes the record with a key, if there is one. It fails, with
// arena.ErrNoMemory, only where nodes must be copied for a cut or a pin, or the owner is not ready.
func (t *Tree) Delete(key []byte) (deleted bool, err error) {
	var p path
	if t.Height == 0 || !t.find(&p, key) {
		return false, nil
	}
	if err := t.ready(); err != nil {
		return false, err
	}
	if err := t.splice(&p, p[0].at+1, nil); err != nil {
		return false, err
	}
	return true, nil
}

// DeleteRange removes n records from a rank on, as many as there are. It fails for want
// of memory only where Delete does.
func (t *Tree) DeleteRange(from, n int64) error {
	if from < 0 {
		return errRank
	}
	if n = min(n, t.Count-from); n <= 0 {
		return nil
	}
	if err := t.ready(); err != nil {
		return err
	}
	if n == t.Count {
		t.Free()
		return nil
	}
	var lo path
	t.seek(&lo, from)
	if n == 1 {
		return t.splice(&lo, lo[0].at+1, nil)
	}
	var hi path
	t.seek(&hi, from+n-1)
	for level := range int(t.Height) {
		hi[level].at++
	}
	return t.restructure(&lo, &hi, nil, -n)
}
