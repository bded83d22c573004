package tree

import "kvd/kv/internal/arena"

// Open returns a tree for reading and changing.
func Open(sp Space, s Shape, r Root) Tree {
	return Tree{Root: r, a: sp.Heap.Arena(), space: sp, shape: s}
}

// Read returns a tree for reading alone.
func Read(a *arena.Arena, s Shape, r Root) Tree { return Tree{Root: r, a: a, shape: s} }

// alloc returns a block that counts as the tree's.
func (t *Tree) alloc(n int) (arena.Ref, error) {
	ref, err := t.space.Heap.Alloc(n)
	if err == nil {
		t.Bytes += int64(arena.RoundSize(n))
		t.space.Guard.Made(ref)
	}
	return ref, err
}

// retire gives up a block that the tree refers to no more.
func (t *Tree) retire(ref arena.Ref) {
	if ref != 0 {
		t.Bytes -= int64(t.a.Size(ref))
		t.space.Guard.Retire(t.space.Heap, ref)
	}
}

// fixed tells whether a node must be copied before it is changed.
func (t *Tree) fixed(ref arena.Ref) bool { return t.space.Guard.Fixed(t.a, ref) }

// far puts b into a block of its own.
func (t *Tree) far(b []byte) (arena.Ref, error) {
	ref, err := t.alloc(len(b))
	if err == nil {
		copy(t.a.Bytes(ref, len(b)), b)
	}
	return ref, err
}

// record is a record of a leaf as it will be stored.
type record struct {
	b                []byte
	flags            int // of its slot
	keyRef, valueRef arena.Ref
	newKey, newValue bool // those blocks were made for it
}

// valueIsFar tells whether a value of n bytes lies far beside a key of k bytes.
func (s *Shape) valueIsFar(k, n int) bool {
	if !s.Keyed {
		return n > inList
	}
	return n > inlineMax || k <= inlineMax && k+n > pairMax
}

// encode makes a record in buf, which has room for it. keyRef and valueRef are blocks
// that hold the key and the value already, or 0. Nothing is left behind on an error.
func (t *Tree) encode(buf, key, value []byte, flag bool, keyRef, valueRef arena.Ref) (r record, err error) {
	r = record{keyRef: keyRef, valueRef: valueRef}
	if t.shape.Keyed && t.shape.Value >= 0 && len(value) != t.shape.Value {
		return r, errValue
	}
	if t.shape.Keyed && len(key) > inlineMax && keyRef == 0 {
		if r.keyRef, err = t.far(key); err != nil {
			return r, err
		}
		r.newKey = true
	}
	if t.shape.valueIsFar(len(key), len(value)) && valueRef == 0 {
		if r.valueRef, err = t.far(value); err != nil {
			t.discard(&r)
			return r, err
		}
		r.newValue = true
	}
	r.flags = recordFlags(r.keyRef != 0, r.valueRef != 0, flag)
	if !t.shape.Keyed {
		r.b = appendListRecord(buf, &r, value)
		return r, nil
	}
	r.b = appendRecord(buf, &r, t.shape.Value, key, value)
	return r, nil
}

func recordFlags(kfar, vfar, flag bool) (f int) {
	if kfar {
		f |= keyFar
	}
	if vfar {
		f |= valueFar
	}
	if flag {
		f |= ownFlag
	}
	return f
}

func appendRecord(b []byte, r *record, fixed int, key, value []byte) []byte {
	if r.keyRef != 0 {
		b = appendStub(b, r.keyRef, len(key))
	} else {
		if fixed < 0 {
			b = appendVarint2(b, len(key))
		}
		b = append(b, key...)
	}
	if r.valueRef != 0 {
		return appendStub(b, r.valueRef, len(value))
	}
	return append(b, value...)
}

func appendListRecord(b []byte, r *record, value []byte) []byte {
	h, n := 0, len(value)
	if r.flags&ownFlag != 0 {
		h = listFlag
	}
	if r.valueRef != 0 {
		b = appendVarint2(b, listFar<<listShift|h)
		return appendStub(b, r.valueRef, n)
	}
	b = appendVarint2(b, n<<listShift|h)
	return append(b, value...)
}

// discard frees what was made for a record that will not be stored.
func (t *Tree) discard(r *record) {
	if r.newKey {
		t.retire(r.keyRef)
	}
	if r.newValue {
		t.retire(r.valueRef)
	}
}

// retireFar retires a far key or value of a record that goes, unless the one that
// comes, if any, has it.
func (t *Tree) retireFar(ref arena.Ref, r *record) {
	if r == nil || ref != r.keyRef && ref != r.valueRef {
		t.retire(ref)
	}
}
