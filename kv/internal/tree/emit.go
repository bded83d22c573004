package tree

import "kvd/kv/internal/arena"

// inner makes the new nodes of a level above the leaves; above the root it is a new one.
func (b *rebuild) inner(level int) error {
	t, g := b.t, &b.page
	g.reset(true)
	if level >= int(t.Height) {
		if err := b.links(nil); err != nil {
			return err
		}
		return b.emit(level, 0)
	}
	lo, hi := t.node(b.lo[level].ref, level), t.node(b.hi[level].ref, level)
	n, size := b.measure(&lo, &hi, level)
	left, right := b.siblings(level, n+b.nout, size+b.nout*(childSize+slotSize))
	var sep []byte
	if left != 0 {
		nd := t.node(left, level)
		g.addRange(&nd, 0, nd.n)
		up := t.node(b.lo[level+1].ref, level+1)
		sep = up.key(b.lo[level+1].at + 1)
	}
	if at := b.lo[level].at; at > 0 {
		ref, count := lo.child(0)
		if err := b.link(sep, ref, count); err != nil {
			return err
		}
		g.addRange(&lo, 1, at)
		sep = lo.key(at)
	}
	if err := b.links(sep); err != nil {
		return err
	}
	g.addRange(&hi, b.hi[level].at, hi.n)
	if right != 0 {
		nd := t.node(right, level)
		ref, count := nd.child(0)
		up := t.node(b.hi[level+1].ref, level+1)
		if err := b.link(up.key(b.hi[level+1].at-1), ref, count); err != nil {
			return err
		}
		g.addRange(&nd, 1, nd.n)
	}
	return b.emit(level, 0)
}

// links adds records for what was made at the level below; sep is the separator of the
// first.
func (b *rebuild) links(sep []byte) error {
	for i := range b.nout {
		o := &b.out[i]
		if i > 0 {
			sep = b.separator(i)
		}
		if err := b.link(sep, o.ref, o.count); err != nil {
			return err
		}
	}
	return nil
}

// link adds a record of an inner node.
func (b *rebuild) link(sep []byte, ref arena.Ref, count int64) error {
	var far arena.Ref
	if len(sep) > sepMax {
		var err error
		if far, err = b.t.far(sep); err != nil {
			return err
		}
		b.keep(far)
	}
	b.page.addChild(sep, far, ref, count)
	return nil
}

// emit makes nodes of the page: one if all fits, and else about equal ones or, with a
// hint, so that the first ends before that record.
func (b *rebuild) emit(level, hint int) error {
	t, g := b.t, &b.page
	value := t.shape.Value
	if level > 0 {
		value = childSize
	}
	nd := g.view(t.a, value)
	b.nout = 0
	rest := g.size() - headSize
	limit := t.levelLimit(level, g.n, g.size())
	for i := 0; i < g.n; {
		j := g.n
		switch size := headSize + rest; {
		case size <= maxNode, size <= limit && j-i <= fewList:
		case i == 0 && hint > 0:
			if j = hint; limit > maxNode {
				j = g.packEnds(&nd, hint)
			}
		default:
			j = g.cut(&nd, i, rest, limit)
		}
		rest -= g.nodeBytes(&nd, i, j, false) - headSize
		if err := b.make(&nd, i, j, level); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// make makes a node of records i..j of the page.
func (b *rebuild) make(nd *node, i, j, level int) error {
	t, g := b.t, &b.page
	size := g.nodeBytes(nd, i, j, level > 0)
	ref, err := t.alloc(size)
	if err != nil {
		return err
	}
	b.keep(ref)
	room := arena.RoundSize(size)
	block := t.a.Bytes(ref, room)
	g.write(block, nd, i, j, level > 0)
	putHead(block, j-i, size, room)
	o := &b.out[b.nout]
	b.nout++
	o.ref, o.count, o.sep, o.n = ref, int64(j-i), nil, 0
	switch {
	case level > 0:
		o.count = 0
		for k := i; k < j; k++ {
			_, n := nd.child(k)
			o.count += n
		}
		if far, _ := nd.farRefs(i, nd.off(i)); far != 0 {
			_, n := readStub(nd.recs[nd.off(i):])
			o.sep = t.a.Bytes(far, n)
			b.bury(far)
		} else {
			if k := nd.key(i); len(k) > 0 {
				o.n = copy(b.short[b.nout-1][:], k)
			}
		}
	case t.shape.Keyed && i > 0:
		made := t.node(ref, 0)
		o.sep = separator(nd.key(i-1), made.key(0))
	}
	return nil
}

// separator returns the shortest prefix of b that is greater than a, which is less.
func separator(a, b []byte) []byte {
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	return b[: i+1 : i+1]
}

func (b *rebuild) keep(ref arena.Ref) { b.made[b.nmade] = ref; b.nmade++ }
func (b *rebuild) bury(ref arena.Ref) { b.dead[b.ndead] = ref; b.ndead++ }

func (b *rebuild) isDead(ref arena.Ref) bool {
	for _, d := range b.dead[:b.ndead] {
		if d == ref {
			return true
		}
	}
	return false
}

// commit retires what the change has replaced, up to the level top.
func (b *rebuild) commit(top int, r *record) {
	t := b.t
	for level := 0; level <= top; level++ {
		lo := t.node(b.lo[level].ref, level)
		if b.lo[level].ref == b.hi[level].ref {
			b.drop(&lo, b.lo[level].at, b.hi[level].at, level, r)
			continue
		}
		hi := t.node(b.hi[level].ref, level)
		b.drop(&lo, b.lo[level].at, lo.n, level, r)
		b.drop(&hi, 0, b.hi[level].at, level, r)
	}
	for _, ref := range b.dead[:b.ndead] {
		t.retire(ref)
	}
}

// drop retires what records from..to of an old node refer to, but what has been
// carried over or is dead.
func (b *rebuild) drop(nd *node, from, to, level int, r *record) {
	if from >= to {
		return
	}
	for off := nd.off(from); from < to; from++ {
		key, value := nd.farRefs(from, off)
		b.t.retireFar(key, r)
		b.t.retireFar(value, r)
		if level > 0 {
			if ref, _ := nd.child(from); !b.isDead(ref) {
				b.t.free(ref, level-1)
			}
		}
		off = nd.after(from, off)
	}
}
