package tree

import (
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// Beside a cut, a record that Put has been to can be deleted without memory, even if it is the last one of
// its leaf; and so can what was added behind the last one.
func TestDeleteUnsharedWithoutMemory(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		h := newHarness(t, seed, s, z)
		for range 500 {
			if s.Keyed {
				h.put()
			} else {
				h.insertAt()
			}
		}
		h.beginCut(cut.PathCopy)
		for len(h.model) > 0 {
			i := h.rng.IntN(len(h.model))
			e := h.model[i]
			w := h.tree()
			var err error
			n := 1
			if s.Keyed {
				_, err = w.Put([]byte(e.key), []byte(e.value), e.flag)
			} else { // new ones at the end, and all the same one of the others goes
				i = len(h.model)
				for n = 0; n < 5 && err == nil; n++ {
					err = w.InsertAt(w.Count, []byte(e.value), e.flag)
					h.model = append(h.model, e)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			h.root = w.Root
			hogged := hog(h.heap)
			if s.Keyed {
				_, err = w.Delete([]byte(e.key))
			} else {
				err = w.DeleteRange(int64(i), int64(n))
			}
			if err != nil {
				t.Fatalf("with %d records left: %v", len(h.model), err)
			}
			h.root = w.Root
			h.model = append(h.model[:i], h.model[i+n:]...)
			h.free(hogged)
			if !s.Keyed {
				if err := w.DeleteRange(w.Count-1, 1); err != nil {
					t.Fatal(err)
				}
				h.root, h.model = w.Root, h.model[:len(h.model)-1]
			}
			if len(h.model)%64 == 0 {
				h.compare(h.root, h.model)
			}
		}
		h.endCut()
	})
}

func (h *harness) free(refs []arena.Ref) {
	for _, ref := range refs {
		h.heap.Free(ref)
	}
}
