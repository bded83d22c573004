package tree

import "kvd/kv/internal/arena"

// rebuild is a change after which there are other nodes than before: splits, joins, and
// whatever a deleted range leaves. It goes up from the leaves and makes at each
// level the nodes that replace those on two paths (which may be one) and all between
// them, until a level remains as it is but for one link. Nothing that the tree refers
// to is written before everything is there; then the old nodes are retired.
type rebuild struct {
	t      *Tree
	lo, hi path  // of what goes: from lo[level].at in its node to hi[level].at, without it
	delta  int64 // records more

	page  page
	out   [maxOut]output // what was made at the level
	nout  int
	made  [8 * maxHeight]arena.Ref // in all, for an error
	dead  [8 * maxHeight]arena.Ref // nodes and separators that go when it is done
	nmade int
	ndead int
}

// maxOut is how many nodes two can become: with a record or three separators more, and
// none of them as full as it could be.
const maxOut = 4

// output is a node that was made, and its separator from what is before it.
type output struct {
	ref   arena.Ref
	count int64
	sep   []byte // in the arena
	short [sepMax]byte
	n     int // of short, where sep is nil
}

func (o *output) separator() []byte {
	if o.sep != nil {
		return o.sep
	}
	return o.short[:o.n]
}

// run replaces everything between the two paths by r, or nothing.
func (b *rebuild) run(r *record) error {
	t, level := b.t, 0
	err := b.leaves(r)
	for ; err == nil; level++ {
		if level >= int(t.Height)-1 && b.nout <= 1 {
			break
		}
		if level < int(t.Height)-1 && b.nout == 1 &&
			b.lo[level+1].ref == b.hi[level+1].ref && b.hi[level+1].at-b.lo[level+1].at == 1 {
			if err = t.relink(&b.lo, level+1, b.out[0].ref, b.delta); err == nil {
				b.commit(level, r)
				return nil
			}
			break
		}
		err = b.inner(level + 1)
	}
	if err != nil {
		for _, ref := range b.made[:b.nmade] {
			t.retire(ref)
		}
		return err
	}
	// The root is another one.
	top := min(level, int(t.Height)-1)
	b.commit(top, r)
	t.Node, t.Height, t.Count = 0, 0, t.Count+b.delta
	if b.nout == 1 {
		t.Node, t.Height = b.out[0].ref, uint8(level+1)
	}
	t.lower()
	return nil
}

// lower drops roots that have one child.
func (t *Tree) lower() {
	for t.Height > 1 && t.nodeCount(t.Node) == 1 {
		nd := t.node(t.Node, int(t.Height)-1)
		ref, _ := nd.child(0)
		t.retire(t.Node)
		t.Node = ref
		t.Height--
	}
}

// leaves makes the new leaves.
func (b *rebuild) leaves(r *record) error {
	t, g := b.t, &b.page
	g.reset(t.shape.Keyed)
	lo, hi := t.node(b.lo[0].ref, 0), t.node(b.hi[0].ref, 0)
	size := b.measure(&lo, &hi, 0)
	if r != nil {
		size += len(r.b) + slotSize
	}
	left, right := b.siblings(0, size)
	if left != 0 {
		nd := t.node(left, 0)
		g.addRange(&nd, 0, nd.n)
	}
	g.addRange(&lo, 0, b.lo[0].at)
	hint := 0
	if r != nil {
		// Behind the last record or before the first of a full leaf: that stays as it
		// is, for records that come in order leave full leaves then.
		if b.lo[0].at == lo.n {
			hint = g.n
		}
		g.add(r.b, r.flags)
		if b.hi[0].at == 0 {
			hint = g.n
		}
	}
	g.addRange(&hi, b.hi[0].at, hi.n)
	if right != 0 {
		nd := t.node(right, 0)
		g.addRange(&nd, 0, nd.n)
	}
	return b.emit(0, hint)
}

// measure returns about how large a node of all that stays in lo and hi would be.
func (b *rebuild) measure(lo, hi *node, level int) int {
	size := headSize + lo.off(b.lo[level].at) + hi.off(hi.n) - hi.off(b.hi[level].at)
	if lo.slots != nil {
		size += slotSize * (b.lo[level].at + hi.n - b.hi[level].at)
	}
	return size
}

// siblings returns a neighbour that the new node of a level, which would be size bytes,
// joins: the one to the left or that to the right, or none. What goes at the
// level above then includes it. All old nodes of the level are dead.
func (b *rebuild) siblings(level, size int) (left, right arena.Ref) {
	t := b.t
	b.bury(b.lo[level].ref)
	if ref := b.hi[level].ref; ref != b.lo[level].ref {
		b.bury(ref)
	}
	if level == int(t.Height)-1 || size >= minFill || size <= headSize {
		return 0, 0
	}
	lo, hi := &b.lo[level+1], &b.hi[level+1]
	if lo.at > 0 {
		nd := t.node(lo.ref, level+1)
		if ref, _ := nd.child(lo.at - 1); t.nodeSize(ref)+size <= joinMax {
			lo.at--
			b.bury(ref)
			return ref, 0
		}
	}
	nd := t.node(hi.ref, level+1)
	if hi.at < nd.n {
		if ref, _ := nd.child(hi.at); t.nodeSize(ref)+size <= joinMax {
			hi.at++
			b.bury(ref)
			return 0, ref
		}
	}
	return 0, 0
}

// mayJoin tells whether the leaf of a path, made size bytes long, would join a
// neighbour.
func (t *Tree) mayJoin(p *path, size int) bool {
	if t.Height == 1 {
		return false
	}
	nd := t.node(p[1].ref, 1)
	if at := p[1].at; at > 0 {
		if ref, _ := nd.child(at - 1); t.nodeSize(ref)+size <= joinMax {
			return true
		}
	}
	if at := p[1].at + 1; at < nd.n {
		if ref, _ := nd.child(at); t.nodeSize(ref)+size <= joinMax {
			return true
		}
	}
	return false
}
