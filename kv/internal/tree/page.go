package tree

import "kvd/kv/internal/arena"

// Limits of a page: two nodes, a record, three separators; or two small nodes.
const (
	pageBytes = 3072
	pageSlots = 1024
)

// page is where the records of nodes that are rebuilt are put together.
type page struct {
	slots   [pageSlots * slotSize]byte
	recs    [pageBytes]byte
	n, used int
	slotted bool
}

func (g *page) reset(slotted bool) { g.n, g.used, g.slotted = 0, 0, slotted }

// view looks at the page as at a node.
func (g *page) view(a *arena.Arena, value int) node {
	nd := node{a: a, n: g.n, value: value, recs: g.recs[:g.used]}
	if g.slotted {
		nd.slots = g.slots[:slotSize*g.n]
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
		s := g.slots[slotSize*g.n:][:slotSize*(to-from)]
		copy(s, nd.slots[slotSize*from:])
		addSlots(s, g.used-first)
	}
	g.used += copy(g.recs[g.used:g.used+last-first], nd.recs[first:last])
	g.n += to - from
}

// add appends a record.
func (g *page) add(b []byte, flags int) {
	if g.slotted {
		le.PutUint16(g.slots[slotSize*g.n:], uint16(g.used|flags))
	}
	g.used += copy(g.recs[g.used:g.used+len(b)], b)
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
// records take rest bytes from there on: about as many as the others will have.
func (g *page) cut(nd *node, i, rest int) int {
	nodes := (rest + maxNode - headSize - 1) / (maxNode - headSize)
	target := rest / nodes
	used := 0
	for off := nd.off(i); ; i++ {
		next := nd.after(i, off)
		size := next - off
		if g.slotted {
			size += slotSize
		}
		if headSize+used+size > maxNode {
			return i
		}
		if used += size; used >= target {
			return i + 1
		}
		off = next
	}
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
