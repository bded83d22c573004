package tree

import (
	"testing"

	"kvd/kv/internal/arena"
)

// Check finds what is wrong with a tree.
func TestCheckFinds(t *testing.T) {
	leafOf := func(w *Tree) arena.Ref {
		var p path
		w.seek(&p, w.Count/2)
		return p[0].ref
	}
	flip := func(w *Tree, ref arena.Ref, off int, by byte) { w.a.Bytes(ref, off+1)[off] += by }
	for name, harm := range map[string]func(w *Tree){
		"count of the root":       func(w *Tree) { w.Count++ },
		"bytes":                   func(w *Tree) { w.Bytes += 8 },
		"count in an inner node":  func(w *Tree) { flip(w, w.Node, w.nodeSize(w.Node)-6, 1) },
		"first separator":         func(w *Tree) { nd := w.node(w.Node, int(w.Height)-1); nd.slots[slotSize]++ },
		"separator":               func(w *Tree) { nd := w.node(w.Node, int(w.Height)-1); nd.key(2)[0]-- },
		"order of keys in a leaf": func(w *Tree) { nd := w.node(leafOf(w), 0); nd.key(5)[2] += 9 },
		"slot":                    func(w *Tree) { flip(w, leafOf(w), headSize+6, 1) },
		"far flag":                func(w *Tree) { flip(w, leafOf(w), headSize+7, 0x40) },
		"records of a leaf":       func(w *Tree) { flip(w, leafOf(w), 0, 0xff) },
		"size of a leaf's block":  func(w *Tree) { flip(w, leafOf(w), 3, 0x40) },
	} {
		t.Run(name, func(t *testing.T) {
			w := built(t, benchSpace(t), Shape{true, 8}, 20000)
			if _, err := w.Check(); err != nil {
				t.Fatal(err)
			}
			harm(&w)
			defer func() {
				if r := recover(); r != nil {
					t.Logf("a panic: %v", r) // it reads what it is told to read
				}
			}()
			if _, err := w.Check(); err == nil {
				t.Error("Check finds nothing")
			} else {
				t.Log(err)
			}
		})
	}
}

// Mistakes of a caller are errors, and change nothing.
func TestMistakes(t *testing.T) {
	w := built(t, benchSpace(t), Shape{true, 8}, 10)
	before := w.Root
	_, put := w.Put([]byte("k"), nil, false)
	_, again := w.Put([]byte{0, 0, 0, 7}, make([]byte, 9), false)
	_, edit := w.Edit(3, 7)
	_, far := w.Edit(3, 700)
	_, none := w.Edit(10, 8)
	for i, err := range []error{
		put, again, edit, far, none,
		w.SetAt(10, make([]byte, 8), false), w.SetAt(1, make([]byte, 1), false),
		w.InsertAt(11, make([]byte, 8), false), w.DeleteRange(-1, 2),
	} {
		if err == nil {
			t.Errorf("mistake %d is none", i)
		}
	}
	if _, err := w.Check(); err != nil || w.Root != before {
		t.Errorf("%v, %+v, before %+v", err, w.Root, before)
	}
}
