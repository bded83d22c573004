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
	out   [maxOut]output         // what was made at the level
	short [maxKeyed][sepMax]byte // separators of those
	nout  int
	made  [8 * maxHeight]arena.Ref // in all, for an error
	dead  [8 * maxHeight]arena.Ref // nodes and separators that go when it is done
	nmade int
	ndead int
}

// restructure replaces everything between two paths by r or, if that is nil, nothing,
// where there will be other nodes than before; delta is how many records more there
// are then. What is only deleted needs no memory where nothing on the paths must be copied. A
// small leaf that grows joins no neighbour, however large.
func (t *Tree) restructure(lo, hi *path, r *record, delta int64) (err error) {
	if t.shape.Keyed || delta > 0 && t.nodeSize(lo[0].ref) <= maxNode {
		err = t.rebuildSmall(lo, hi, r, delta)
	} else {
		err = t.rebuildLarge(lo, hi, r, delta)
	}
	if err != nil && r == nil && !t.anyFixed(lo) && !t.anyFixed(hi) {
		from := t.rank(lo)
		t.prune(from, from-delta)
		return nil
	}
	return err
}

// anyFixed tells whether a node of a path must be copied before it is changed.
func (t *Tree) anyFixed(p *path) bool {
	for level := 0; level < int(t.Height) && t.space.Guard.Copies(); level++ {
		if t.fixed(p[level].ref) {
			return true
		}
	}
	return false
}

// rebuildSmall is a function of its own for its large frame.
//
//go:noinline
func (t *Tree) rebuildSmall(lo, hi *path, r *record, delta int64) error {
	var buf [smallPage]byte
	b := rebuild{t: t, lo: *lo, hi: *hi, delta: delta}
	b.page.buf = buf[:]
	return b.run(r)
}

// rebuildLarge is rebuildSmall for two large leaves.
//
//go:noinline
func (t *Tree) rebuildLarge(lo, hi *path, r *record, delta int64) error {
	var buf [largePage]byte
	b := rebuild{t: t, lo: *lo, hi: *hi, delta: delta}
	b.page.buf = buf[:]
	return b.run(r)
}

// maxKeyed is how many nodes two can become that have keys or separators: with a record
// or three separators more, and none of them as full as it could be. Two leaves of a
// list whose elements differ much can become more of them: any two that follow each
// other have more than maxNode - headSize bytes.
const (
	maxKeyed = 4
	maxOut   = 2*(largePage/(maxNode-headSize)+1) + 1
)

// output is a node that was made, and its separator from what is before it.
type output struct {
	ref   arena.Ref
	count int64
	sep   []byte // in the arena
	n     int    // where that is nil: of the short one
}

// separator returns that of node i of those that were made.
func (b *rebuild) separator(i int) []byte {
	o := &b.out[i]
	if o.sep != nil || o.n == 0 {
		return o.sep
	}
	return b.short[i][:o.n]
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
	n, size := b.measure(&lo, &hi, 0)
	if r != nil {
		n++
		size += len(r.b) + slotSize
	}
	left, right := b.siblings(0, n, size)
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

// measure returns how many records would be, and about how many bytes, in a node of all
// that stays in lo and hi.
func (b *rebuild) measure(lo, hi *node, level int) (n, size int) {
	n = b.lo[level].at + hi.n - b.hi[level].at
	size = headSize + lo.off(b.lo[level].at) + hi.off(hi.n) - hi.off(b.hi[level].at)
	if lo.slots != nil {
		size += slotSize * n
	}
	return n, size
}

// siblings returns a neighbour that the new node of a level, which would be n records of
// size bytes, joins: the one to the left or that to the right, or none. What goes at the
// level above then includes it. All old nodes of the level are dead.
func (b *rebuild) siblings(level, n, size int) (left, right arena.Ref) {
	t := b.t
	b.bury(b.lo[level].ref)
	if ref := b.hi[level].ref; ref != b.lo[level].ref {
		b.bury(ref)
	}
	if level == int(t.Height)-1 || size >= t.minFill(level, n, size) || size <= headSize {
		return 0, 0
	}
	lo, hi := &b.lo[level+1], &b.hi[level+1]
	if lo.at > 0 {
		nd := t.node(lo.ref, level+1)
		if ref, _ := nd.child(lo.at - 1); t.joins(ref, level, n, size) {
			lo.at--
			b.bury(ref)
			return ref, 0
		}
	}
	nd := t.node(hi.ref, level+1)
	if hi.at < nd.n {
		if ref, _ := nd.child(hi.at); t.joins(ref, level, n, size) {
			hi.at++
			b.bury(ref)
			return 0, ref
		}
	}
	return 0, 0
}

// minFill returns the bytes below which a node of n records and size bytes looks for a
// neighbour.
func (t *Tree) minFill(level, n, size int) int { return t.levelLimit(level, n, size) * minFill / 16 }

// joins tells whether the node at ref becomes one with n records of size bytes.
func (t *Tree) joins(ref arena.Ref, level, n, size int) bool {
	n += t.nodeCount(ref)
	size += t.nodeSize(ref)
	return size <= t.levelLimit(level, n, size)*joinMax/16 && (size <= maxNode || n <= fewList)
}

// mayJoin tells whether the leaf of a path, made n records of size bytes, would join
// a neighbour.
func (t *Tree) mayJoin(p *path, n, size int) bool {
	if t.Height == 1 {
		return false
	}
	nd := t.node(p[1].ref, 1)
	if at := p[1].at; at > 0 {
		if ref, _ := nd.child(at - 1); t.joins(ref, 0, n, size) {
			return true
		}
	}
	if at := p[1].at + 1; at < nd.n {
		if ref, _ := nd.child(at); t.joins(ref, 0, n, size) {
			return true
		}
	}
	return false
}
