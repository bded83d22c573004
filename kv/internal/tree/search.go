package tree

import (
	"bytes"
	"encoding/binary"

	"kvd/kv/internal/arena"
)

// word returns the first 8 bytes of a key as a number, zeroes behind a shorter one:
// where the words of two keys differ they are ordered as the keys are.
func word(k []byte) uint64 {
	if len(k) >= 8 {
		return binary.BigEndian.Uint64(k)
	}
	if len(k) >= 4 {
		hi := binary.BigEndian.Uint32(k)
		lo := binary.BigEndian.Uint32(k[len(k)-4:]) << (8 * (8 - len(k)))
		return uint64(hi)<<32 | uint64(lo)
	}
	var w uint64
	for i, c := range k {
		w |= uint64(c) << (56 - 8*i)
	}
	return w
}

// search returns the first record from lo on whose key is not less than key, and
// whether it is key.
func (nd *node) search(lo int, key []byte) (i int, found bool) {
	w := word(key)
	hi := nd.n
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		k := nd.key(m)
		kw := word(k)
		if kw == w {
			switch c := bytes.Compare(k, key); {
			case c == 0:
				return m, true
			case c < 0:
				lo = m + 1
			default:
				hi = m
			}
		} else if kw < w {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo, false
}

// childFor returns which child of an inner node key belongs to.
func (nd *node) childFor(key []byte) int {
	i, found := nd.search(1, key) // the first separator is nothing, whatever was there
	if found {
		return i
	}
	return i - 1
}

// childAt returns the child that has the record at rank, and that record's rank in
// it; count is the number of records in all of them, more than rank.
func (nd *node) childAt(rank, count int64) (i int, ref arena.Ref, within, n int64) {
	if rank < count/2 {
		for ; ; i++ {
			ref, n = nd.child(i)
			if rank < n {
				return i, ref, rank, n
			}
			rank -= n
		}
	}
	for i = nd.n - 1; ; i-- {
		ref, n = nd.child(i)
		if count -= n; rank >= count {
			return i, ref, rank - count, n
		}
	}
}

// Get returns the record with a key.
func (t *Tree) Get(key []byte) (rec Record, ok bool) {
	if t.Height == 0 {
		return rec, false
	}
	ref := t.Node
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		ref, _ = nd.child(nd.childFor(key))
	}
	leaf := t.node(ref, 0)
	i, found := leaf.search(0, key)
	if !found {
		return rec, false
	}
	var p parts
	leaf.read(i, leaf.off(i), &p)
	return p.Record, true
}

// Rank returns the number of records with smaller keys, and whether there is one with
// this.
func (t *Tree) Rank(key []byte) (rank int64, found bool) {
	if t.Height == 0 {
		return 0, false
	}
	ref := t.Node
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i := nd.childFor(key)
		for k := range i {
			_, n := nd.child(k)
			rank += n
		}
		ref, _ = nd.child(i)
	}
	leaf := t.node(ref, 0)
	i, found := leaf.search(0, key)
	return rank + int64(i), found
}

// At returns the record at a rank; there is none if it is negative or not less than
// the count.
func (t *Tree) At(rank int64) (rec Record, ok bool) {
	if rank < 0 || rank >= t.Count {
		return rec, false
	}
	ref, count := t.Node, t.Count
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		_, ref, rank, count = nd.childAt(rank, count)
	}
	leaf := t.node(ref, 0)
	var p parts
	leaf.read(int(rank), leaf.off(int(rank)), &p)
	return p.Record, true
}

// path is the way from a leaf (level 0) to the root: at each level a node, and a
// record in it.
type path [maxHeight]spot

type spot struct {
	ref arena.Ref
	at  int
}

// find makes p the path to the first record whose key is not less than key, which may
// be the end of a leaf.
func (t *Tree) find(p *path, key []byte) (found bool) {
	ref := t.Node
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i := nd.childFor(key)
		p[level] = spot{ref, i}
		ref, _ = nd.child(i)
	}
	leaf := t.node(ref, 0)
	i, found := leaf.search(0, key)
	p[0] = spot{ref, i}
	return found
}

// seek makes p the path to the record at rank, which must exist.
func (t *Tree) seek(p *path, rank int64) {
	ref, count := t.Node, t.Count
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i, next, within, n := nd.childAt(rank, count)
		p[level] = spot{ref, i}
		ref, rank, count = next, within, n
	}
	p[0] = spot{ref, int(rank)}
}
