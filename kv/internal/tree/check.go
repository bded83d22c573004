package tree

import (
	"bytes"
	"fmt"

	"kvd/kv/internal/arena"
)

// Check verifies the whole tree: order, separators, counts, sizes, the limits of what
// lies in nodes, and Bytes. It returns the number of blocks.
func (t *Tree) Check() (blocks int64, err error) {
	if t.Height == 0 {
		if t.Root != (Root{}) {
			return 0, fmt.Errorf("tree: an empty tree with the root %+v", t.Root)
		}
		return 0, nil
	}
	c := checker{t: t}
	n, err := c.node(t.Node, int(t.Height)-1, nil, nil)
	switch {
	case err != nil:
		return 0, err
	case t.Height > 1 && t.nodeCount(t.Node) == 1:
		return 0, fmt.Errorf("tree: a root of %d levels with one child", t.Height)
	case n != t.Count:
		return 0, fmt.Errorf("tree: %d records, and a count of %d", n, t.Count)
	case c.bytes != t.Bytes:
		return 0, fmt.Errorf("tree: %d bytes in blocks, and a count of %d", c.bytes, t.Bytes)
	}
	return c.blocks, nil
}

type checker struct {
	t      *Tree
	blocks int64
	bytes  int64
	used   int64 // bytes of content, for tests
}

func (c *checker) block(ref arena.Ref, used int) error {
	size := c.t.a.Size(ref)
	c.blocks++
	c.bytes += int64(size)
	c.used += int64(used)
	if used > size {
		return fmt.Errorf("tree: %d bytes in a block of %d", used, size)
	}
	return nil
}

// node checks a subtree whose keys are in [min, max), nil: any, and counts its records.
func (c *checker) node(ref arena.Ref, level int, min, max []byte) (records int64, err error) {
	nd := c.t.node(ref, level)
	if err := c.block(ref, nd.size()); err != nil {
		return 0, err
	}
	if nd.room() != c.t.a.Size(ref) {
		return 0, fmt.Errorf("tree: a node of %d bytes in a block of %d", nd.room(), c.t.a.Size(ref))
	}
	if nd.n == 0 || nd.size() > maxNode && (c.t.shape.Keyed || level > 0 || nd.n > fewList) {
		return 0, fmt.Errorf("tree: a node with %d records, %d bytes", nd.n, nd.size())
	}
	off := 0
	for i := range nd.n {
		if nd.slots != nil && nd.off(i) != off {
			return 0, fmt.Errorf("tree: record %d at %d, not %d", i, nd.off(i), off)
		}
		next := nd.after(i, off)
		if next > len(nd.recs) || next < off {
			return 0, fmt.Errorf("tree: a record up to %d of %d bytes", next, len(nd.recs))
		}
		n := int64(1)
		if level > 0 {
			n, err = c.child(&nd, i, level, min, max)
		} else {
			err = c.record(&nd, i, off, min, max)
		}
		if err != nil {
			return 0, err
		}
		records += n
		off = next
	}
	if off != len(nd.recs) {
		return 0, fmt.Errorf("tree: records of %d bytes in %d", off, len(nd.recs))
	}
	return records, nil
}

// child checks record i of an inner node.
func (c *checker) child(nd *node, i, level int, min, max []byte) (int64, error) {
	key, value := nd.farRefs(i, nd.off(i))
	sep := nd.key(i)
	switch {
	case value != 0 || (key != 0) != (len(sep) > sepMax):
		return 0, fmt.Errorf("tree: a separator of %d bytes, far: %v", len(sep), key != 0)
	case i == 0 && len(sep) > 0:
		return 0, fmt.Errorf("tree: the first separator is %q", sep)
	case key != 0:
		if err := c.block(key, len(sep)); err != nil {
			return 0, err
		}
	}
	if i > 0 && c.t.shape.Keyed {
		if min != nil && bytes.Compare(sep, min) <= 0 || max != nil && bytes.Compare(sep, max) >= 0 {
			return 0, fmt.Errorf("tree: separator %q not between %q and %q", sep, min, max)
		}
		min = sep
	}
	if i+1 < nd.n && c.t.shape.Keyed {
		max = nd.key(i + 1)
	}
	ref, count := nd.child(i)
	n, err := c.node(ref, level-1, min, max)
	if err == nil && n != count {
		err = fmt.Errorf("tree: %d records below, and a count of %d", n, count)
	}
	return n, err
}

// record checks record i of a leaf.
func (c *checker) record(nd *node, i, off int, min, max []byte) error {
	var p parts
	nd.read(i, off, &p)
	if p.keyRef != 0 {
		if err := c.block(p.keyRef, len(p.Key)); err != nil {
			return err
		}
	}
	if p.valueRef != 0 {
		if err := c.block(p.valueRef, len(p.Value)); err != nil {
			return err
		}
	}
	switch k, v := len(p.Key), len(p.Value); {
	case (p.keyRef != 0) != (k > inlineMax) || (p.valueRef != 0) != c.t.shape.valueIsFar(k, v):
		return fmt.Errorf("tree: a key of %d and a value of %d bytes, far: %v, %v", k, v, p.keyRef != 0, p.valueRef != 0)
	case c.t.shape.Keyed && c.t.shape.Value >= 0 && v != c.t.shape.Value:
		return fmt.Errorf("tree: a value of %d bytes, not %d", v, c.t.shape.Value)
	case !c.t.shape.Keyed:
		return nil
	case i > 0 && bytes.Compare(nd.key(i-1), p.Key) >= 0:
		return fmt.Errorf("tree: key %q behind %q", p.Key, nd.key(i-1))
	case min != nil && bytes.Compare(p.Key, min) < 0 || max != nil && bytes.Compare(p.Key, max) >= 0:
		return fmt.Errorf("tree: key %q not between %q and %q", p.Key, min, max)
	}
	return nil
}
