package tree

import "kvd/kv/internal/arena"

// copies are the new blocks of the nodes of a path, 0 where the old one stays.
type copies [maxHeight]arena.Ref

// splice replaces the records of a leaf from p[0].at up to end, one or none, by r or,
// if that is nil, nothing. Nothing has changed on an error.
func (t *Tree) splice(p *path, end int, r *record) error {
	at := p[0].at
	leaf := t.node(p[0].ref, 0)
	from := leaf.off(at)
	to := from
	if end > at {
		to = leaf.after(at, from)
	}
	delta := at - end
	size := leaf.size() - (to - from)
	if r != nil {
		delta++
		size += len(r.b)
	}
	if t.shape.Keyed {
		size += delta * slotSize
	}
	n := leaf.n + delta
	must := n == 0 || size > leaf.size() && !t.shape.fits(n, size)
	if must || size < leaf.size() && size < t.minFill(0, n, size) && t.mayJoin(p, n, size) {
		hi := *p
		hi[0].at = end
		for level := 1; level < int(t.Height); level++ {
			hi[level].at++
		}
		err := t.restructure(p, &hi, r, int64(delta))
		if err == nil || must {
			return err
		}
		// There is no memory for the join; it may be left out.
	}
	return t.spliceOne(p, &leaf, edit{at: at, end: end, from: from, to: to, size: size, delta: delta, r: r})
}

// edit is a change of one leaf: records at..end, which are the bytes from..to among
// its records, become r.
type edit struct {
	at, end, from, to int
	size              int // of the leaf afterwards
	delta             int // records more
	r                 *record
}

// spliceOne is splice where the leaf stays one.
func (t *Tree) spliceOne(p *path, leaf *node, e edit) error {
	var kref, vref arena.Ref
	if e.end > e.at {
		kref, vref = leaf.farRefs(e.at, e.from)
	}
	old, ref := p[0].ref, p[0].ref
	room := 0
	switch shrinks := e.size < leaf.size(); {
	case e.size > leaf.room():
		room = e.size
		if e.end == e.at {
			room = t.roomFor(p, leaf.n+e.delta, e.size)
		}
	case shrinks && arena.RoundSize(e.size) <= leaf.room()*7/8, t.fixed(old):
		room = e.size
	}
	if room != 0 {
		to, err := t.alloc(room)
		switch {
		case err == nil:
			ref = to
		case e.size > leaf.room() || t.fixed(old):
			return err
		}
	}
	if err := t.relink(p, 1, ref, int64(e.delta)); err != nil {
		if ref != old {
			t.retire(ref)
		}
		return err
	}
	if ref == old {
		e.inPlace(t, old, leaf)
	} else {
		e.into(t, ref, arena.RoundSize(room), leaf)
		t.retire(old)
	}
	t.retireFar(kref, e.r)
	t.retireFar(vref, e.r)
	return nil
}

// roomFor returns the size of a new block for a leaf of n records and size bytes that
// grows: twice as much at the ends of the tree, where it will soon be full.
func (t *Tree) roomFor(p *path, n, size int) int {
	first, last := p[0].at == 0, p[0].at == t.nodeCount(p[0].ref)
	for level := 1; level < int(t.Height) && (first || last); level++ {
		first = first && p[level].at == 0
		last = last && p[level].at == t.nodeCount(p[level].ref)-1
	}
	if first || last {
		return min(2*size, t.shape.limit(n, size))
	}
	return size
}

// inPlace writes the leaf to its own block.
func (e *edit) inPlace(t *Tree, ref arena.Ref, leaf *node) {
	b := t.a.Bytes(ref, leaf.room())
	n := leaf.n + e.delta
	old := headSize + len(leaf.slots) // where the records begin
	base := old
	if leaf.slots != nil {
		base += slotSize * e.delta
	}
	size := leaf.size()
	var rb []byte
	if e.r != nil {
		rb = e.r.b
	}
	grow := len(rb) - (e.to - e.from)
	at := headSize + slotSize*e.at
	if base < old { // the slots first: the records will lie over the last one
		copy(b[at:], b[at+slotSize:old])
		copy(b[base:], b[old:old+e.from])
	}
	if grow != 0 || base != old {
		copy(b[base+e.from+len(rb):], b[old+e.to:size])
	}
	if base > old {
		copy(b[base:], b[old:old+e.from])
		copy(b[at+slotSize:], b[at:old])
	}
	copy(b[base+e.from:], rb)
	if leaf.slots != nil {
		e.fixSlots(b[headSize:base:base], grow)
	}
	putHead(b, n, e.size, leaf.room())
}

// fixSlots sets the slot of the new record, and moves the offsets behind it.
func (e *edit) fixSlots(s []byte, grow int) {
	i := slotSize * e.at
	if e.r != nil {
		le.PutUint16(s[i:], uint16(e.from|e.r.flags))
		i += slotSize
	}
	addSlots(s[i:], grow)
}

// addSlots adds d to the offset of every slot, four at a time: no sum leaves the bits
// of its slot, and what is borrowed from a slot by a negative d is given back by it.
func addSlots(s []byte, d int) {
	if d == 0 {
		return
	}
	if d > 0 {
		four := uint64(d) * 0x0001_0001_0001_0001
		for ; len(s) >= 8; s = s[8:] {
			le.PutUint64(s, le.Uint64(s)+four)
		}
	} else {
		four := uint64(-d) * 0x0001_0001_0001_0001
		for ; len(s) >= 8; s = s[8:] {
			le.PutUint64(s, le.Uint64(s)-four)
		}
	}
	for ; len(s) > 0; s = s[slotSize:] {
		le.PutUint16(s, le.Uint16(s)+uint16(d))
	}
}

// into writes the leaf to another block.
func (e *edit) into(t *Tree, ref arena.Ref, room int, leaf *node) {
	b := t.a.Bytes(ref, room)
	n := leaf.n + e.delta
	putHead(b, n, e.size, room)
	w := b[headSize:]
	if leaf.slots != nil {
		s := w[:slotSize*n]
		at := slotSize * e.at
		copy(s, leaf.slots[:at])
		grow := e.from - e.to
		next := at
		if e.r != nil {
			next += slotSize
			grow += len(e.r.b)
		}
		copy(s[next:], leaf.slots[slotSize*e.end:])
		e.fixSlots(s, grow)
		w = w[len(s):]
	}
	w = w[copy(w, leaf.recs[:e.from]):]
	if e.r != nil {
		w = w[copy(w, e.r.b):]
	}
	copy(w, leaf.recs[e.to:])
}

// relink makes the nodes of a path from level on refer to ref below, with delta records
// more. Nothing has changed on an error.
func (t *Tree) relink(p *path, level int, ref arena.Ref, delta int64) error {
	if ref == p[level-1].ref && delta == 0 {
		return nil
	}
	var c copies
	if t.space.Guard.Copies() {
		if err := t.copyPath(p, level, &c); err != nil {
			return err
		}
	}
	for l := level; l < int(t.Height); l++ {
		if ref == p[l-1].ref && delta == 0 {
			return nil
		}
		ref = t.setLink(p, l, c[l], ref, delta)
	}
	t.Node = ref
	t.Count += delta
	return nil
}

// setLink makes the node of a path at a level, or its copy, refer to ref, and returns
// which of the two it is.
func (t *Tree) setLink(p *path, level int, dup, ref arena.Ref, delta int64) arena.Ref {
	own := p[level].ref
	if dup != 0 {
		t.retire(own)
		own = dup
	}
	b := t.a.Bytes(own+arena.Ref(p[level].link), childSize)
	_, count := getChild(b)
	putChild(b, ref, count+delta)
	return own
}

// copyPath copies the nodes of a path from level on that are fixed.
func (t *Tree) copyPath(p *path, level int, c *copies) error {
	for l := level; l < int(t.Height); l++ {
		if !t.fixed(p[l].ref) {
			continue
		}
		size := t.nodeSize(p[l].ref)
		ref, err := t.alloc(size)
		if err != nil {
			for ; l >= level; l-- {
				t.retire(c[l])
			}
			return err
		}
		b := t.a.Bytes(ref, size)
		copy(b, t.a.Bytes(p[l].ref, size))
		putHead(b, t.nodeCount(p[l].ref), size, arena.RoundSize(size))
		c[l] = ref
	}
	return nil
}
