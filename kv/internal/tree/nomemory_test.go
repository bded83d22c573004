package tree

import (
	"errors"
	"testing"

	"kvd/kv/internal/arena"
)

// A full arena gives back a page at a time, until a tree of some levels is built and
// copied; what fails on the way leaves nothing behind.
func TestBuildWithoutMemory(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		h := newHarness(t, seed, s, z)
		for range 4000 {
			if s.Keyed {
				h.put()
			} else {
				h.insertAt()
			}
		}
		a := h.heap.Arena()
		pages := fillButPages(t, a)
		build := a.NewHeap(arena.Data)
		failed := 0
		for {
			root, err := h.rebuild(Space{build, h.guard}, failed%2 == 0)
			if err == nil {
				h.compare(root, h.model)
				break
			}
			if !errors.Is(err, arena.ErrNoMemory) || build.Blocks() != 0 {
				t.Fatalf("%v, %d blocks are left", err, build.Blocks())
			}
			failed++
			pages()
		}
		clone := a.NewHeap(arena.Data)
		w := h.tree()
		for {
			root, err := w.Clone(clone)
			if err == nil {
				h.compare(root, h.model)
				break
			}
			if !errors.Is(err, arena.ErrNoMemory) || clone.Blocks() != 0 {
				t.Fatalf("%v, %d blocks are left", err, clone.Blocks())
			}
			failed++
			pages()
		}
		if failed == 0 {
			t.Errorf("memory ran out %d times", failed)
		}
		h.all()
	})
}

// rebuild builds the model's tree. If again is set, Root is tried twice.
func (h *harness) rebuild(sp Space, again bool) (Root, error) {
	b := NewBuilder(sp, h.shape)
	defer b.Abort()
	for _, e := range h.model {
		if err := b.Add([]byte(e.key), []byte(e.value), e.flag); err != nil {
			return Root{}, err
		}
	}
	root, err := b.Root()
	if err != nil && again {
		return b.Root()
	}
	return root, err
}

// fillButPages fills an arena. Each call of what it returns gives a few pages back.
func fillButPages(t *testing.T, a *arena.Arena) func() {
	var refs []arena.Ref
	room := a.NewHeap(arena.Data)
	for range 500 {
		ref, err := room.Alloc(arena.MaxSmall + 1)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	fill(t, a)
	return func() {
		if len(refs) == 0 {
			t.Fatal("no pages are left")
		}
		room.Free(refs[len(refs)-1])
		refs = refs[:len(refs)-1]
	}
}
