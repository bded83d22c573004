package tree

import (
	"errors"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
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
			root, err := h.rebuild(Space{Heap: build, Guard: h.guard}, failed%2 == 0)
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

// hog takes all memory that an arena has for a heap, in blocks of it. It returns them.
func hog(h *arena.Heap) (refs []arena.Ref) {
	for n := 64 << 20; n > 0; n = n * 7 / 8 {
		for {
			ref, err := h.Alloc(n)
			if err != nil {
				break
			}
			refs = append(refs, ref)
		}
	}
	return refs
}

// Where there is no memory at all, everything can be deleted all the same: in any order,
// in ranges, and from the ends.
func TestDeleteWithoutMemory(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		for round, m := range []cut.Mode{cut.None, cut.None, cut.None, cut.ForkedInPlace} {
			h := newHarness(t, seed+uint64(100*round), s, z)
			for range 1500 {
				if s.Keyed {
					h.put()
				} else {
					h.insertAt()
				}
			}
			most := []int{1, 20, 400, 20}[round]
			if m != cut.None {
				h.heap.Arena().BeginCut()
				h.guard.Mode = m
			}
			hogged := hog(h.heap)
			for len(h.model) > 0 {
				n := min(1+h.rng.IntN(most), len(h.model))
				from := h.rng.IntN(len(h.model) - n + 1)
				switch h.rng.IntN(4) {
				case 0:
					from = 0
				case 1:
					from = len(h.model) - n
				}
				h.deleteAt(from, n)
				if len(h.model)%16 == 0 || most > 1 {
					h.compare(h.root, h.model)
					hogged = append(hogged, hog(h.heap)...)
				}
			}
			for _, ref := range hogged {
				h.heap.Free(ref)
			}
			h.endCut()
		}
	})
}

// deleteAt deletes n records from i on, one by its key if they have any.
func (h *harness) deleteAt(i, n int) {
	t := h.tree()
	var err error
	if n == 1 && h.shape.Keyed {
		_, err = t.Delete([]byte(h.model[i].key))
	} else {
		err = t.DeleteRange(int64(i), int64(n))
	}
	if !h.undeleted(err, t.Root) {
		h.model = append(h.model[:i], h.model[i+n:]...)
	}
}
