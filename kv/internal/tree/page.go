package tree

import "kvd/kv/internal/arena"

// Limits of a page: two leaves of a list and a record; or, where there are slots, two
// nodes, and a record or what links to the nodes made below.
const (
	largePage = 2*maxList + recordMax
	smallPage = pageSlots*slotSize + 3072
	pageSlots = 1024
)

// page is where the records of nodes that are rebuilt are put together.
type page struct {
	buf     []byte // the slots, if there are any, and the records
	base    int    // where these begin
	n, used int
	slotted bool
}

func (g *page) reset(slotted bool) {
	g.base, g.n, g.used, g.slotted = 0, 0, 0, slotted
	if slotted {
		g.base = pageSlots * slotSize
	}
}

// view looks at the page as at a node.
func (g *page) view(a *arena.Arena, value int) node {
	nd := node{a: a, n: g.n, value: value, recs: g.buf[g.base : g.base+g.used]}
	if g.slotted {
		nd.slots = g.buf[:slotSize*g.n]
	}
	return nd
}

// size is that of a node with the page's records.
func (g *page) size() int {
	if !g.slotted {
		return headSize + g.used
	}
	return headSize + slotSize*g.n + g.used
}

// addRange appends records from..to of a node.
func (g *page) addRange(nd *node, from, to int) {
	if from >= to {
		return
	}
	first := nd.off(from)
	last := nd.off(to)
	if g.slotted {
		s := g.buf[slotSize*g.n : slotSize*(g.n+to-from) : g.base]
		copy(s, nd.slots[slotSize*from:])
		addSlots(s, g.used-first)
	}
	g.used += copy(g.buf[g.base+g.used:][:last-first], nd.recs[first:last])
	g.n += to - from
}

// add appends a record.
func (g *page) add(b []byte, flags int) {
	if g.slotted {
		le.PutUint16(g.buf[slotSize*g.n:g.base], uint16(g.used|flags))
	}
	g.used += copy(g.buf[g.base+g.used:][:len(b)], b)
	g.n++
}

// addChild appends a record of an inner node whose separator is sep or, if it is long,
// in the block far.
func (g *page) addChild(sep []byte, far arena.Ref, ref arena.Ref, count int64) {
	var b [sepMax + childSize]byte
	n, flags := 0, 0
	if far != 0 {
		n, flags = len(appendStub(b[:0], far, len(sep))), keyFar
	} else {
		n = copy(b[:sepMax], sep)
	}
	putChild(b[n:], ref, count)
	g.add(b[:n+childSize], flags)
}

// cut returns where a node should end that begins with record i of the page, whose
// records take rest bytes from there on: about as many as the others will have. No node
// has more than limit bytes.
func (g *page) cut(nd *node, i, rest, limit int) int {
	nodes := (rest + limit - headSize - 1) / (limit - headSize)
	target := rest / nodes
	used, first := 0, i
	for off := nd.off(i); i < nd.n; i++ {
		next := nd.after(i, off)
		size := next - off
		if g.slotted {
			size += slotSize
		}
		if all := headSize + used + size; all > limit || all > maxNode && i-first == fewList {
			return i
		}
		if used += size; used >= target {
			return i + 1
		}
		off = next
	}
	return i
}

// pack returns where a leaf of a list that is left full should end, which begins with
// record i and could take all before j; or, if back is set, where it should begin, which
// ends with j: what a block of its size has to spare for the number of its records is
// the least then.
func (g *page) pack(nd *node, i, j int, back bool) int {
	first, last := nd.off(i), nd.off(j)
	least, best, of := (last-first)*3/4, 0, 0
	at := i
	if !back {
		at = j
	}
	for k, off := i, first; k <= j; k++ {
		n, size := k-i, off-first
		if back {
			n, size = j-k, last-off
		}
		if room := arena.RoundSize(headSize + size); n > 0 && size >= least && (best == 0 || room*of < best*n) {
			at, best, of = k, room, n
		}
		if k < j {
			off = nd.after(k, off)
		}
	}
	return at
}

// packEnds is pack for what remains of a full leaf behind which or before which a record
// was added, and returns where the first of both leaves ends.
func (g *page) packEnds(nd *node, hint int) int {
	if hint == 1 {
		return g.pack(nd, hint, g.n, true)
	}
	return g.pack(nd, 0, hint, false)
}

// shift drops the first j records, which have no slots.
func (g *page) shift(nd *node, j int) {
	g.used = copy(nd.recs, nd.recs[nd.off(j):])
	g.n -= j
}

// write makes a node of records i..j in a block of room bytes, and returns its content
// size; for an inner node the first record loses its separator.
func (g *page) write(b []byte, nd *node, i, j int, inner bool) {
	first, last := nd.off(i), nd.off(j)
	skip := first // where the bytes that stay begin
	if inner {
		skip = nd.off(i+1) - childSize
	}
	n := j - i
	w := b[headSize:]
	if g.slotted {
		s := w[:slotSize*n]
		copy(s, nd.slots[slotSize*i:])
		addSlots(s[slotSize:], -skip)
		if inner {
			le.PutUint16(s, 0)
		} else {
			le.PutUint16(s, le.Uint16(s)&^offMask)
		}
		w = w[len(s):]
	}
	copy(w, nd.recs[skip:last])
}

// nodeBytes returns the content size of the node that write makes.
func (g *page) nodeBytes(nd *node, i, j int, inner bool) int {
	size := headSize + nd.off(j) - nd.off(i)
	if g.slotted {
		size += slotSize * (j - i)
	}
	if inner {
		size -= nd.off(i+1) - childSize - nd.off(i)
	}
	return size
}
