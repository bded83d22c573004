package arena

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// TestEvacuate frees blocks at random and has what is left moved together, with other
// blocks taken and freed in between: nothing is lost, and in the end the runs are
// as few as blocks of their sizes need.
func TestEvacuate(t *testing.T) {
	a := newArena(t)
	h := a.NewHeap(Data)
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{16, 80, 300, 2048, 3000}
	const maxSize = 2048
	blocks := map[Ref]uint64{} // the mark at its beginning
	alloc := func() {
		size := sizes[rng.IntN(len(sizes))]
		ref, err := h.Alloc(size)
		if err != nil {
			t.Fatal(err)
		}
		mark := rng.Uint64()
		binary.LittleEndian.PutUint64(a.Bytes(ref, size), mark)
		blocks[ref] = mark
	}
	free := func(ref Ref) {
		h.Free(ref)
		delete(blocks, ref)
	}
	check := func() {
		t.Helper()
		for ref, mark := range blocks {
			if got := binary.LittleEndian.Uint64(a.Bytes(ref, 8)); got != mark {
				t.Fatalf("block %#x was overwritten", ref)
			}
		}
		if err := a.Check([]*Heap{h}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20_000 {
		alloc()
	}
	if _, _, ok := h.Evacuate(maxSize); ok {
		t.Error("a dense heap is evacuated")
	}
	for ref := range blocks {
		if rng.IntN(3) > 0 {
			free(ref)
		}
	}
	large := 0
	for ref := range blocks {
		if a.Size(ref) > maxSize {
			large++
		}
	}
	before, moved := a.Stats().RunBytes, 0
	for {
		from, to, ok := h.Evacuate(maxSize)
		if !ok {
			break
		}
		if a.Size(from) != a.Size(to) || a.Size(from) > maxSize || blocks[to] != 0 || blocks[from] == 0 {
			t.Fatalf("a block of %d bytes, marked %x, goes to one of %d, marked %x", a.Size(from), blocks[from], a.Size(to), blocks[to])
		}
		copy(a.Bytes(to, a.Size(to)), a.Bytes(from, a.Size(from)))
		blocks[to] = blocks[from]
		free(from)
		if moved++; moved%10 == 0 && moved < 2000 { // others are at work
			alloc()
			for ref := range blocks {
				free(ref)
				break
			}
		}
		if moved%1000 == 0 {
			check()
		}
	}
	check()
	for c := range numClasses {
		if int(classes[c].size) > maxSize {
			break
		}
		// What is left may be in runs that are larger than the rest has room for.
		if run := uint32(classes[c].pages[maxRunLog]) * PageSize / classes[c].size; h.free[c]*sparseShare > h.slots[c]+run*sparseShare {
			t.Errorf("%d of %d slots of %d bytes are free", h.free[c], h.slots[c], classes[c].size)
		}
	}
	t.Logf("%d blocks moved, runs %d -> %d KB, %d large blocks", moved, before>>10, a.Stats().RunBytes>>10, large)
}

// TestEvacuateForgetsItsRun: the run that is emptied may go, and its record be that
// of another heap's run, between two calls.
func TestEvacuateForgetsItsRun(t *testing.T) {
	a := newArena(t)
	h := a.NewHeap(Data)
	var refs []Ref
	for range 2000 {
		ref, err := h.Alloc(100)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	live := map[Ref]bool{}
	for i, ref := range refs {
		if live[ref] = i%4 == 0; !live[ref] {
			h.Free(ref)
		}
	}
	from, to, ok := h.Evacuate(104)
	if !ok {
		t.Fatal("nothing to do")
	}
	h.Free(from)
	live[from], live[to] = false, true
	leaving := a.pageRun[from>>pageShift]
	for ref, yes := range live {
		if yes && a.pageRun[ref>>pageShift] == leaving {
			h.Free(ref)
			live[ref] = false
		}
	}
	h2 := a.NewHeap(Data)
	other, err := h2.Alloc(100) // takes the record
	if err != nil || a.pageRun[other>>pageShift] != leaving {
		t.Fatal("the record of the run is not used again", err)
	}
	if from, _, ok := h.Evacuate(104); ok && !live[from] {
		t.Errorf("block %#x is not the heap's", from)
	}
	if err := a.Check([]*Heap{h, h2}); err != nil {
		t.Error(err)
	}
}
