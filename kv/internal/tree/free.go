package tree

import (
	"math"

	"kvd/kv/internal/arena"
)

// Free retires all blocks. The tree is empty then.
func (t *Tree) Free() { t.FreeSome(math.MaxInt) }

// FreeSome retires blocks of a tree that nobody will use any more, about max, and tells
// whether there are more. Its Root may be kept between two calls, but is of no other
// use than for the next one. It takes no memory, and writes to no node.
func (t *Tree) FreeSome(max int) (more bool) {
	if t.Height == 0 {
		return false
	}
	t.Count = t.freeTail(t.Node, int(t.Height)-1, t.Count, &max)
	if t.Count > 0 {
		return true
	}
	t.Root = Root{}
	return false
}

// freeTail retires, from the end on, what is left of a subtree of which only the first
// left records still exist, and returns how many remain.
func (t *Tree) freeTail(ref arena.Ref, level int, left int64, max *int) int64 {
	nd := t.node(ref, level)
	if level == 0 {
		for i, off := 0, 0; i < nd.n; i++ {
			t.freeFar(&nd, i, off, max)
			off = nd.after(i, off)
		}
	} else {
		i, before := 0, int64(0) // the last child that is left, and the records before it
		for ; ; i++ {
			_, n := nd.child(i)
			if before+n >= left {
				break
			}
			before += n
		}
		for ; ; i-- {
			child, _ := nd.child(i)
			if rest := t.freeTail(child, level-1, left-before, max); rest > 0 {
				return before + rest
			}
			t.freeFar(&nd, i, nd.off(i), max)
			if i == 0 {
				break
			}
			left = before
			_, n := nd.child(i - 1)
			before -= n
			if *max <= 0 {
				return left
			}
		}
	}
	t.retire(ref)
	*max--
	return 0
}

func (t *Tree) freeFar(nd *node, i, off int, max *int) {
	key, value := nd.farRefs(i, off)
	for _, ref := range [...]arena.Ref{key, value} {
		if ref != 0 {
			t.retire(ref)
			*max--
		}
	}
}

// free retires a subtree.
func (t *Tree) free(ref arena.Ref, level int) {
	nd := t.node(ref, level)
	for i, off := 0, 0; i < nd.n; i++ {
		key, value := nd.farRefs(i, off)
		t.retire(key)
		t.retire(value)
		if level > 0 {
			child, _ := nd.child(i)
			t.free(child, level-1)
		}
		off = nd.after(i, off)
	}
	t.retire(ref)
}
