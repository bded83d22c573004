package tree

import "kvd/kv/internal/arena"

// Cursor is a place between two records. It is a value, which may be copied, and valid
// until the tree is changed. It works in the forked child too.
type Cursor struct {
	t  Tree
	lv [maxHeight]uint64 // by level: the node's ref, and above it the record's index
	n  int32             // records of the leaf
	at int32             // the next one of them
	// off is where the record at begins in a leaf of a list.
	off  int32
	leaf node // the leaf, open: a walk would open it for every record otherwise
}

const (
	spotShift = 48
	spotMask  = 1<<spotShift - 1
)

// From returns the place before the first record whose key is not less than key.
func (t *Tree) From(key []byte) (c Cursor) {
	c.t = Tree{Root: t.Root, a: t.a, shape: t.shape}
	if t.Height == 0 {
		return c
	}
	ref, h := t.Node, newHunt(key)
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i := h.child(&nd)
		c.lv[level] = uint64(ref) | uint64(i)<<spotShift
		ref, _ = nd.child(i)
	}
	leaf := c.enter(ref)
	i, _ := leaf.search(0, &h)
	c.at = int32(i)
	return c
}

// FromAt returns the place before the record at a rank, 0 to Count.
func (t *Tree) FromAt(rank int64) (c Cursor) {
	c.t = Tree{Root: t.Root, a: t.a, shape: t.shape}
	if t.Height == 0 {
		return c
	}
	end := rank >= t.Count
	if end {
		rank = t.Count - 1
	}
	ref, count := t.Node, t.Count
	for level := int(t.Height) - 1; level > 0; level-- {
		nd := t.node(ref, level)
		i, next, within, n := nd.childAt(rank, count)
		c.lv[level] = uint64(ref) | uint64(i)<<spotShift
		ref, rank, count = next, within, n
	}
	leaf := c.enter(ref)
	if end {
		rank++
	}
	c.at = int32(rank)
	c.off = int32(leaf.off(int(rank)))
	return c
}

// enter makes the leaf at ref that of the cursor.
func (c *Cursor) enter(ref arena.Ref) *node {
	c.lv[0] = uint64(ref)
	c.leaf = c.t.node(ref, 0)
	c.n, c.at, c.off = int32(c.leaf.n), 0, 0
	return &c.leaf
}

// step goes to the next leaf, or the one before if by is -1; false if there is none.
func (c *Cursor) step(by int) bool {
	height := int(c.t.Height)
	for level := 1; level < height; level++ {
		ref := arena.Ref(c.lv[level] & spotMask)
		i := int(c.lv[level]>>spotShift) + by
		nd := c.t.node(ref, level)
		if i < 0 || i >= nd.n {
			continue
		}
		for {
			c.lv[level] = uint64(ref) | uint64(i)<<spotShift
			ref, _ = nd.child(i)
			if level--; level == 0 {
				c.enter(ref)
				return true
			}
			nd = c.t.node(ref, level)
			i = 0
			if by < 0 {
				i = nd.n - 1
			}
		}
	}
	return false
}

// Next moves forward over a record and returns it; false at the end.
func (c *Cursor) Next(r *Record) bool {
	if c.at >= c.n && !c.step(1) {
		return false
	}
	leaf := &c.leaf
	off := int(c.off)
	if leaf.slots != nil {
		off = leaf.off(int(c.at))
	}
	var p parts
	leaf.read(int(c.at), off, &p)
	c.at++
	c.off = int32(p.to)
	*r = p.Record
	return true
}

// Prev moves back over a record and returns it; false at the beginning.
func (c *Cursor) Prev(r *Record) bool {
	if c.at == 0 {
		if !c.step(-1) {
			return false
		}
		c.at = c.n
	}
	leaf := &c.leaf
	c.at--
	off := leaf.off(int(c.at))
	c.off = int32(off)
	var p parts
	leaf.read(int(c.at), off, &p)
	*r = p.Record
	return true
}
