package tree

import "kvd/kv/internal/arena"

// prune deletes records lo..hi, not all there are, without any memory: nodes are
// written in place, keep blocks that are larger than they need, and join none of their
// neighbours. It is for a full arena where nothing on the paths to both ends must be copied, and
// cannot fail.
func (t *Tree) prune(lo, hi int64) {
	t.pruneNode(t.Node, int(t.Height)-1, lo, hi)
	t.Count -= hi - lo
	t.lower()
}

// pruneNode deletes records lo..hi, some but not all, of those below a node.
func (t *Tree) pruneNode(ref arena.Ref, level int, lo, hi int64) {
	nd := t.node(ref, level)
	if level == 0 {
		off := nd.off(int(lo))
		for i := int(lo); i < int(hi); i++ {
			t.retireRecord(&nd, i, off)
			off = nd.after(i, off)
		}
		t.remove(ref, &nd, level, int(lo), int(hi))
		return
	}
	first, end := 0, 0 // of the children that go
	for i := range nd.n {
		child, n := nd.child(i)
		switch from, to := max(lo, 0), min(hi, n); {
		case from >= to:
		case to-from < n:
			t.pruneNode(child, level-1, from, to)
			nd.setChild(i, child, n-(to-from))
		default:
			t.retireRecord(&nd, i, nd.off(i))
			t.free(child, level-1)
			if end == 0 {
				first = i
			}
			end = i + 1
		}
		lo, hi = lo-n, hi-n
	}
	if end > 0 {
		t.remove(ref, &nd, level, first, end)
	}
}

// retireRecord retires the blocks that a record refers to, besides a child.
func (t *Tree) retireRecord(nd *node, i, off int) {
	key, value := nd.farRefs(i, off)
	t.retire(key)
	t.retire(value)
}

// remove takes records i..j out of the node at ref, in its block. What is the first
// record of an inner node then loses its separator.
func (t *Tree) remove(ref arena.Ref, nd *node, level, i, j int) {
	b := t.a.Bytes(ref, nd.room())
	from, to, size := nd.off(i), nd.off(j), nd.size()
	heads := level > 0 && i == 0
	if heads {
		t.retireRecord(nd, j, to)
		to = nd.off(j+1) - childSize
	}
	n := nd.n - (j - i)
	old := headSize + len(nd.slots)
	base := old
	if nd.slots != nil {
		base = headSize + slotSize*n
		s := b[headSize:base]
		copy(s[slotSize*i:], nd.slots[slotSize*j:])
		if heads {
			le.PutUint16(s, 0)
			i++
		}
		addSlots(s[slotSize*i:], from-to)
		copy(b[base:], b[old:old+from])
	}
	copy(b[base+from:], b[old+to:size])
	putHead(b, n, base+from+size-old-to, nd.room())
}

// rank returns how many records are before the place that a path leads to.
func (t *Tree) rank(p *path) (rank int64) {
	for level := 1; level < int(t.Height); level++ {
		nd := t.node(p[level].ref, level)
		for i := range p[level].at {
			_, n := nd.child(i)
			rank += n
		}
	}
	return rank + int64(p[0].at)
}
