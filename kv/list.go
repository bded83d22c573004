package kv

import (
	"bytes"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// End is an end of a list.
type End uint8

// The ends of a list: its first element is on the left.
const (
	Left End = iota
	Right
)

// List is a list at a key of a Tx. While it is small it lies in one block, a listpack. A
// bigger one is a tree in the order of the elements, which finds an element in the middle
// as fast as one at an end.
//
//	var l kv.List
//	if err := tx.OpenList(&l, db, key); err != nil {
//		return err // ErrWrongType
//	}
//	err := l.Push(kv.Right, elems)
//
// It is valid until the Tx unlocks or the key is changed by other means. A key that does
// not exist is an empty list; Push makes it. A list that becomes empty is deleted.
//
// What a packed.Value of an element points to is borrowed from the store: valid until
// the list is changed.
type List struct{ c coll }

// maxListBlock bounds the bytes of a list in one block, whatever the limits say: every
// change copies it, and an element in the middle is found step by step. From here on a tree
// takes less time (BenchmarkList).
const maxListBlock = 2 << 10

// OpenList makes l the list at key and notes the key's use. It returns ErrWrongType if the
// key holds something else.
func (tx *Tx) OpenList(l *List, db int, key []byte) error { return tx.open(&l.c, db, key, TypeList) }

// Exists tells whether the key exists.
func (l *List) Exists() bool { return l.c.exists }

// isTree tells whether the list is a tree.
func (l *List) isTree() bool { return l.c.exists && l.c.isTree() }

// Len returns the number of elements.
func (l *List) Len() int64 {
	switch {
	case !l.c.exists:
		return 0
	case l.c.isTree():
		return l.c.tree(0).Count
	}
	return int64(packed.Len(l.c.packed()))
}

// index returns i, or i counted from the end if it is negative; ok is false if there is no
// such element.
func (l *List) index(i int64) (at int64, ok bool) {
	n := l.Len()
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}

// At returns the element with that index; -1 is the last one.
func (l *List) At(i int64) (v packed.Value, ok bool) {
	i, ok = l.index(i)
	if !ok {
		return v, false
	}
	if l.c.isTree() {
		r, _ := l.c.tree(0).At(i)
		return listValue(&r), true
	}
	b := l.c.packed()
	return packed.Get(b, packed.Seek(b, int(i))), true
}

// Range calls fn with n elements from index from on, or as many as there are, until it
// returns false. from must not be negative. fn must not change the list.
func (l *List) Range(from, n int64, fn func(v *packed.Value) bool) {
	if n <= 0 || from >= l.Len() {
		return
	}
	var v packed.Value // it escapes to fn: one for all elements
	if l.c.isTree() {
		cur := l.c.tree(0).FromAt(from)
		var r tree.Record
		for ; n > 0 && cur.Next(&r); n-- {
			if v = listValue(&r); !fn(&v) {
				return
			}
		}
		return
	}
	b := l.c.packed()
	for at := packed.Seek(b, int(from)); n > 0 && at >= 0; n-- {
		if v = packed.Get(b, at); !fn(&v) {
			return
		}
		at = packed.Next(b, at)
	}
}

// Back is Range to the left: n elements, beginning with the one at index from.
func (l *List) Back(from, n int64, fn func(v *packed.Value) bool) {
	if n <= 0 || from < 0 || from >= l.Len() {
		return
	}
	var v packed.Value // as in Range
	if l.c.isTree() {
		cur := l.c.tree(0).FromAt(from + 1)
		var r tree.Record
		for ; n > 0 && cur.Prev(&r); n-- {
			if v = listValue(&r); !fn(&v) {
				return
			}
		}
		return
	}
	b := l.c.packed()
	for at := packed.Seek(b, int(from)); n > 0 && at >= 0; n-- {
		if v = packed.Get(b, at); !fn(&v) {
			return
		}
		at = packed.Prev(b, at)
	}
}

// Ends calls fn with the n elements that Pop would remove, in its order.
func (l *List) Ends(end End, n int64, fn func(v *packed.Value)) {
	each := func(v *packed.Value) bool {
		fn(v)
		return true
	}
	if end == Left {
		l.Range(0, n, each)
	} else {
		l.Back(l.Len()-1, n, each)
	}
}

// Find calls fn with the index of each element that equals elem, until it returns false. It
// looks at no more than limit elements, from the left, or from the right with back.
func (l *List) Find(elem []byte, back bool, limit int64, fn func(i int64) bool) {
	n, i, step := l.Len(), int64(0), int64(1)
	if back {
		i, step = n-1, -1
	}
	if l.isTree() {
		l.findInTree(elem, i, step, min(n, limit), fn)
		return
	}
	look := func(v *packed.Value) bool {
		if v.Equal(elem) && !fn(i) {
			return false
		}
		i += step
		return true
	}
	if back {
		l.Back(n-1, limit, look)
	} else {
		l.Range(0, limit, look)
	}
}

// findInTree is Find for a tree, where equal elements have equal records: it looks at n
// elements from index i on.
func (l *List) findInTree(elem []byte, i, step, n int64, fn func(i int64) bool) {
	var buf [8]byte
	value, isInt := listRecord(&buf, elem)
	from := i
	if step < 0 {
		from++
	}
	cur := l.c.tree(0).FromAt(from)
	var r tree.Record
	for ; n > 0; n-- {
		if step > 0 {
			cur.Next(&r)
		} else {
			cur.Prev(&r)
		}
		if r.Flag == isInt && bytes.Equal(r.Value, value) && !fn(i) {
			return
		}
		i += step
	}
}

// appendListInt appends an integer as a list's tree holds it: the fewest bytes of its two's
// complement, the lowest first. See listValue.
func appendListInt(dst []byte, n int64) []byte {
	for {
		dst = append(dst, byte(n))
		if n >= -128 && n < 128 {
			return dst
		}
		n >>= 8
	}
}

// listRecord returns what a list's tree holds for an element. buf is where an integer
// goes.
func listRecord(buf *[8]byte, elem []byte) (value []byte, isInt bool) {
	if n, ok := packed.ParseInt(elem); ok {
		return appendListInt(buf[:0], n), true
	}
	return elem, false
}
