package tree

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

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

// hunt is the search for a key from the root down: its word, and those of two keys
// that everything in the node lies between. Most trees are ordered by what is spread
// evenly (hashes, scores, times), so that a key's place can be guessed from them. A
// probe of a node that is not in the cache costs more than the division. At the ends of
// the tree, where nothing is known of the keys beyond, the last record is looked at
// first, which is also the fastest for keys that come in order, and then the first.
type hunt struct {
	key       []byte
	w, wl, wh uint64
}

func newHunt(key []byte) hunt { return hunt{key, word(key), 0, math.MaxUint64} }

// guesses is how many probes there are before the rest is halved.
const guesses = 4

// search returns the first record from lo on whose key is not less than the hunt's, and
// whether it is that.
func (nd *node) search(lo int, h *hunt) (i int, found bool) {
	hi := nd.n
	wl, wh := h.wl, h.wh
	for try := 0; lo < hi; try++ {
		m := int(uint(lo+hi) >> 1)
		switch {
		case wh == math.MaxUint64:
			m = hi - 1
		case wl == 0:
			m = lo
		case try < guesses && wl < h.w && h.w < wh:
			s := bits.LeadingZeros64(wh - wl)
			d, x := (wh-wl)<<s>>32, (h.w-wl)<<s>>32
			m = min(lo+int(x*uint64(hi-lo)/d), hi-1)
		}
		k := nd.key(m)
		kw := word(k)
		c := 0
		if kw == h.w {
			if c = bytes.Compare(k, h.key); c == 0 {
				return m, true
			}
		}
		if kw < h.w || c < 0 {
			lo, wl = m+1, max(kw, 1)
		} else {
			hi, wh = m, min(kw, math.MaxUint64-1)
		}
	}
	return lo, false
}

// child returns which child of an inner node the hunt's key belongs to, and goes on
// to it.
func (h *hunt) child(nd *node) int {
	i, found := nd.search(1, h) // the first separator is nothing, whatever was there
	if !found {
		i--
	}
	if i > 0 {
		h.wl = word(nd.key(i))
	}
	if i+1 < nd.n {
		h.wh = word(nd.key(i + 1))
	}
	return i
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
	ref, h := t.Node, newHunt(key)
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		ref, _ = nd.child(h.child(&nd))
	}
	leaf := t.node(ref, 0)
	i, found := leaf.search(0, &h)
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
	ref, h := t.Node, newHunt(key)
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i := h.child(&nd)
		for k := range i {
			_, n := nd.child(k)
			rank += n
		}
		ref, _ = nd.child(i)
	}
	leaf := t.node(ref, 0)
	i, found := leaf.search(0, &h)
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
	ref  arena.Ref
	at   int
	link int // where in the node's block the link to the child stands
}

// find makes p the path to the first record whose key is not less than key, which may
// be the end of a leaf.
func (t *Tree) find(p *path, key []byte) (found bool) {
	ref, h := t.Node, newHunt(key)
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i := h.child(&nd)
		p[level] = spot{ref, i, nd.link(i)}
		ref, _ = nd.child(i)
	}
	leaf := t.node(ref, 0)
	i, found := leaf.search(0, &h)
	p[0] = spot{ref: ref, at: i}
	return found
}

// seek makes p the path to the record at rank, which must exist.
func (t *Tree) seek(p *path, rank int64) {
	ref, count := t.Node, t.Count
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i, next, within, n := nd.childAt(rank, count)
		p[level] = spot{ref, i, nd.link(i)}
		ref, rank, count = next, within, n
	}
	p[0] = spot{ref: ref, at: int(rank)}
}
