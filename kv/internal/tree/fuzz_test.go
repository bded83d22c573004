package tree

import (
	"testing"

	"kvd/kv/internal/cut"
)

// FuzzTree takes its input for a list of operations: three bytes say what tree it is,
// and every other one what is done, to it and to the model.
func FuzzTree(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte{3, 2, 9, 0, 0, 0, 0, 0, 0, 6, 0, 0, 3, 3, 1, 7, 2})
	f.Add([]byte{2, 3, 5, 0, 16, 32, 48, 64, 80, 6, 0, 16, 3, 1, 7, 2, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 3 || len(ops) > 2000 {
			return
		}
		s, z := shapes[int(ops[0])%len(shapes)], manySizes[int(ops[1])%len(manySizes)]
		h := newHarness(t, uint64(ops[2]), s, z)
		for _, op := range ops[3:] {
			h.fuzzStep(op)
		}
		if h.old != nil {
			h.endCut()
		}
		h.all()
	})
}

func (h *harness) fuzzStep(op byte) {
	much := int(op>>3) + 1 // 1..32
	switch op & 7 {
	case 0, 1:
		for range much {
			if h.shape.Keyed {
				h.put()
			} else {
				h.insertAt()
			}
		}
	case 2:
		h.edit()
	case 3:
		h.deleteRange(much * much)
	case 4:
		if h.shape.Keyed {
			h.delete()
		} else {
			h.deleteRange(1)
		}
	case 5:
		h.setAt()
	case 6:
		if h.old == nil {
			h.beginCut(cut.PathCopy)
		} else {
			h.endCut()
		}
	case 7:
		h.read()
		h.all()
	}
}
