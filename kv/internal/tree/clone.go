package tree

import (
	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// Clone copies the tree into a heap, which may be of another arena: every node into a
// block that fits it. It returns the copy's Root; on an error there is no copy.
func (t *Tree) Clone(to *arena.Heap) (Root, error) {
	if t.Height == 0 {
		return Root{}, nil
	}
	// All of it is new: no cut can reach it, so its guard is none.
	c := cloner{from: t, to: Tree{a: to.Arena(), space: Space{Heap: to, Guard: new(cut.Guard)}, shape: t.shape}}
	ref, err := c.clone(t.Node, int(t.Height)-1)
	if err != nil {
		return Root{}, err
	}
	return Root{Node: ref, Height: t.Height, Count: t.Count, Bytes: c.to.Bytes}, nil
}

type cloner struct {
	from *Tree
	to   Tree
}

// clone copies a subtree.
func (c *cloner) clone(old arena.Ref, level int) (arena.Ref, error) {
	from := c.from.node(old, level)
	size := from.size()
	ref, err := c.to.alloc(size)
	if err != nil {
		return 0, err
	}
	b := c.to.a.Bytes(ref, size)
	copy(b, c.from.a.Bytes(old, size))
	putHead(b, from.n, size, arena.RoundSize(size))
	nd := c.to.node(ref, level)
	for i, off := 0, 0; i < nd.n; i++ {
		if err := c.record(&from, &nd, i, off, level); err != nil {
			c.undo(&nd, i, level)
			c.to.retire(ref)
			return 0, err
		}
		off = nd.after(i, off)
	}
	return ref, nil
}

// record copies what record i of a node refers to.
func (c *cloner) record(from, nd *node, i, off, level int) error {
	key, value := from.farRefs(i, off)
	if key != 0 {
		if err := c.stub(from, nd.recs[off:]); err != nil {
			return err
		}
	}
	if value != 0 {
		if err := c.stub(from, nd.recs[nd.after(i, off)-stubSize:]); err != nil {
			c.undoKey(nd, i, off)
			return err
		}
	}
	if level > 0 {
		child, count := from.child(i)
		ref, err := c.clone(child, level-1)
		if err != nil {
			c.undoKey(nd, i, off)
			return err
		}
		nd.setChild(i, ref, count)
	}
	return nil
}

// stub copies what a stub refers to, and makes it refer to the copy.
func (c *cloner) stub(from *node, b []byte) error {
	old, n := readStub(b)
	ref, err := c.to.far(from.a.Bytes(old, n))
	if err == nil {
		appendStub(b[:0], ref, n)
	}
	return err
}

func (c *cloner) undoKey(nd *node, i, off int) {
	key, _ := nd.farRefs(i, off)
	c.to.retire(key)
}

// undo frees what the first n records of a copy refer to.
func (c *cloner) undo(nd *node, n, level int) {
	for i, off := 0, 0; i < n; i++ {
		key, value := nd.farRefs(i, off)
		c.to.retire(key)
		c.to.retire(value)
		if level > 0 {
			ref, _ := nd.child(i)
			c.to.free(ref, level-1)
		}
		off = nd.after(i, off)
	}
}
