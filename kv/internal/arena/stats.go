package arena

import (
	"fmt"
	"math/bits"
	"time"
	"unsafe"
)

// Stats is the state of the page allocator. All sizes are in bytes.
type Stats struct {
	RunBytes int64 // pages in runs, whether their slots are used or not
	Resident int64 // chunks touched and not given back
	Ahead    int64 // of those, touched ahead of use or kept for reuse
	Reserve  int64 // of those, for AllocApart and not used yet, see PrepareFork
	Tables   int64 // bookkeeping outside the data pages, an upper bound
	Apart    int64 // of RunBytes, in runs of AllocApart
	Huge     bool  // the system gives huge pages

	Split       int64         // resident chunks not mapped as one huge page, when they were last looked at
	Joined      int64         // bytes that were split and are joined again, since New
	JoinLongest time.Duration // the longest call that joined a chunk
}

// Stats returns the present state.
func (a *Arena) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	var r run
	return Stats{
		RunBytes: a.inUse * PageSize,
		Resident: int64(a.resident) * ChunkSize,
		Ahead:    int64(len(a.ready)+len(a.empty)) * ChunkSize,
		Reserve:  int64(len(a.reserve.chunks)) * ChunkSize,
		Tables:   int64(a.topRun)*int64(unsafe.Sizeof(r)) + int64(a.top)*(pagesPerChunk*4+chunkWords*8+3),
		Apart:    a.apartPages * PageSize,
		Huge:     a.hugeOff == "",

		Split:       a.collapser.split.Load() * ChunkSize,
		Joined:      a.collapser.joined.Load() * ChunkSize,
		JoinLongest: time.Duration(a.collapser.longest.Load()),
	}
}

// Check verifies the whole arena against the heaps that exist and returns the
// first inconsistency. Every heap's lock must be held.
func (a *Arena) Check(heaps []*Heap) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	owned := make(map[uint32]bool)
	inUse := int64(0)
	taken := make(map[uint32]uint32) // page -> run
	for _, h := range heaps {
		if err := h.check(owned, taken, &inUse); err != nil {
			return err
		}
	}
	if inUse != a.inUse {
		return fmt.Errorf("arena: runs have %d pages, %d are counted", inUse, a.inUse)
	}
	return a.checkChunks(taken)
}

func (h *Heap) check(owned map[uint32]bool, taken map[uint32]uint32, inUse *int64) error {
	a := h.a
	var bytes, blocks int64
	var count, slots, free [numClasses + 1]uint32
	for list, id := range h.all {
		for ; id != 0; id = a.runs[id].allNext {
			r := &a.runs[id]
			if owned[id] {
				return fmt.Errorf("arena: run %d has two owners", id)
			}
			owned[id] = true
			count[r.class]++
			if list == 0 {
				slots[r.class] += uint32(r.nslots)
				free[r.class] += uint32(r.nfree)
			}
			*inUse += int64(r.npages)
			if r.apart != (list == 1) {
				return fmt.Errorf("arena: run %d: apart is %v, it is in list %d", id, r.apart, list)
			}
			used, err := h.checkRun(id, taken)
			if err != nil {
				return err
			}
			blocks += int64(used)
			bytes += int64(used) * int64(a.Size(Ref(r.page)<<pageShift))
		}
	}
	if bytes != h.bytes || blocks != h.blocks {
		return fmt.Errorf("arena: heap has %d bytes in %d blocks, counts %d in %d", bytes, blocks, h.bytes, h.blocks)
	}
	for c := range numClasses {
		if count[c] != h.count[c] {
			return fmt.Errorf("arena: heap has %d runs of class %d, counts %d", count[c], c, h.count[c])
		}
		if slots[c] != h.slots[c] || free[c] != h.free[c] {
			return fmt.Errorf("arena: class %d of a heap has %d slots, %d of them free; counted are %d and %d", c, slots[c], free[c], h.slots[c], h.free[c])
		}
	}
	return nil
}

// checkRun verifies a run and returns how many slots are allocated.
func (h *Heap) checkRun(id uint32, taken map[uint32]uint32) (used int, err error) {
	a := h.a
	r := &a.runs[id]
	if r.apart != (kindOf(a.chunkState[chunkOf(r.page)]) == apart) {
		return 0, fmt.Errorf("arena: run %d: apart is %v, its chunk's state %d", id, r.apart, a.chunkState[chunkOf(r.page)])
	}
	for p := r.page; p < r.page+r.npages; p++ {
		if other, ok := taken[p]; ok {
			return 0, fmt.Errorf("arena: page %d is in runs %d and %d", p, id, other)
		}
		taken[p] = id
		if (r.class != largeClass || p == r.page) && a.pageRun[p] != id {
			return 0, fmt.Errorf("arena: page %d of run %d names run %d", p, id, a.pageRun[p])
		}
	}
	if r.class == largeClass {
		return 1, nil
	}
	used = -(maxSlots - int(r.nslots))
	for i, w := range r.used {
		used += bits.OnesCount64(w)
		if i < int(r.hint) && w != ^uint64(0) {
			return 0, fmt.Errorf("arena: run %d has a free slot below its hint", id)
		}
	}
	if used != int(r.nslots)-int(r.nfree) {
		return 0, fmt.Errorf("arena: run %d has %d slots used, %d are counted", id, used, r.nslots-r.nfree)
	}
	if r.listed != (r.nfree > 0) {
		return 0, fmt.Errorf("arena: run %d with %d free slots: listed is %v", id, r.nfree, r.listed)
	}
	return used, nil
}

func (a *Arena) checkChunks(taken map[uint32]uint32) error {
	for c := range a.top {
		if a.chunkState[c] == chunkBusy {
			continue
		}
		for p := range pagesPerChunk {
			page := uint32(c*pagesPerChunk + p)
			free := a.chunkFree[c][p/64]>>(p%64)&1 != 0
			_, used := taken[page]
			if free == used {
				return fmt.Errorf("arena: page %d of chunk %d: free %v, in a run %v", page, c, free, used)
			}
		}
		if got := longestFree(&a.chunkFree[c]); got != a.chunkMax[c] {
			return fmt.Errorf("arena: chunk %d has %d free pages in a row, noted are %d", c, got, a.chunkMax[c])
		}
	}
	return nil
}
