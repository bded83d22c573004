package arena

import (
	"math/bits"
)

// run is the record of a run of pages with slots of one size. It stands in a
// table outside the data and never moves. Guarded by the owning heap's lock.
type run struct {
	page       uint32 // first page
	npages     uint32
	slotSize   uint32
	cutEpoch   uint32 // cut holds the bitmap as of this cut
	born       uint32 // the newest cut when the run was made
	next, prev uint32 // among the heap's runs of the class with free slots
	allNext    uint32 // among all runs of the heap, apart or not
	allPrev    uint32
	nslots     uint16
	nfree      uint16
	hint       uint8 // no free slot in a word below this one
	class      uint8
	listed     bool // in the list of runs with free slots
	apart      bool // of AllocApart
	used       [mapWords]uint64
	cut        [mapWords]uint64
}

// Heap is the set of runs of one owner. It is not safe for concurrent use: the
// owner's lock guards it.
type Heap struct {
	a       *Arena
	kind    Kind
	partial [numClasses]uint32 // runs with free slots, newest first
	apart   [numClasses]uint32 // the same, of AllocApart
	count   [numClasses]uint32 // runs of the class
	slots   [numClasses]uint32 // of them, but those of AllocApart
	free    [numClasses]uint32 // of those slots
	leaving uint32             // the run that Evacuate empties, or 0
	all     [2]uint32          // lists of all runs: ordinary ones, those of AllocApart
	bytes   int64              // in allocated slots
	blocks  int64
}

// NewHeap returns an empty heap, which costs nothing in the arena.
func (a *Arena) NewHeap(kind Kind) *Heap { return &Heap{a: a, kind: kind} }

// Arena returns the arena that the heap's blocks are in.
func (h *Heap) Arena() *Arena { return h.a }

// Bytes returns the size of all allocated blocks, slots rounded up to their
// class.
func (h *Heap) Bytes() int64 { return h.bytes }

// Blocks returns the number of allocated blocks.
func (h *Heap) Blocks() int64 { return h.blocks }

// Alloc returns a block of at least n bytes, 8-aligned, its content undefined.
func (h *Heap) Alloc(n int) (Ref, error) {
	if n > MaxSmall {
		return h.allocLarge(n)
	}
	c := classOf(n)
	id := h.partial[c]
	if id == 0 {
		var err error
		if id, err = h.newRun(c, h.kind); err != nil {
			return 0, err
		}
	}
	return h.take(id), nil
}

// AllocApart is Alloc for blocks that are written while a forked child lives: they
// lie in chunks of their own, close together, so that few pages are copied
// for them and no huge page of old data is split. They should be moved to
// memory of Alloc when the child has gone (NextApart tells which), or they would
// make the next child share these chunks. n must not exceed MaxSmall.
func (h *Heap) AllocApart(n int) (Ref, error) {
	c := classOf(n)
	id := h.apart[c]
	if id == 0 || h.a.runs[id].born != h.a.epoch { // the child shares what is older
		var err error
		if id, err = h.newRun(c, apart); err != nil {
			return 0, err
		}
	}
	return h.take(id), nil
}

// NextApart returns some block of AllocApart that is allocated, and whether there
// is any. Who frees what it returns comes to the end of them.
func (h *Heap) NextApart() (Ref, bool) {
	id := h.all[1]
	if id == 0 {
		return 0, false
	}
	r := &h.a.runs[id]
	return r.block(r.firstUsed()), true
}

// firstUsed returns the first slot that is allocated in a run that has one.
func (r *run) firstUsed() int {
	w := 0
	for r.used[w] == 0 {
		w++
	}
	return w*64 + bits.TrailingZeros64(r.used[w])
}

func (r *run) block(slot int) Ref {
	return Ref(uint64(r.page)<<pageShift + uint64(slot)*uint64(r.slotSize))
}

// take takes a free slot of a run that has one.
func (h *Heap) take(id uint32) Ref {
	r := &h.a.runs[id]
	w := r.hint
	for r.used[w] == ^uint64(0) {
		w++
	}
	r.hint = w
	b := bits.TrailingZeros64(^r.used[w])
	h.a.keepCut(r)
	r.used[w] |= 1 << b
	if !r.apart {
		h.free[r.class]--
	}
	if r.nfree--; r.nfree == 0 {
		h.unlist(id, r)
	}
	h.bytes += int64(r.slotSize)
	h.blocks++
	return r.block(int(w)*64 + b)
}

func (h *Heap) newRun(c int, kind Kind) (uint32, error) {
	// A heap's runs grow with it: 1, 2, 4 … pages once it has 4, 8, 16 … runs.
	log := min(max(bits.Len32(h.count[c])-2, 0), maxRunLog)
	if kind == apart {
		log = min(log, apartLog)
	}
	n := int(classes[c].pages[log])
	if kind == Data {
		// An index segment may be a run of its own, so that its pages are free
		// for others when it has grown; values stay, and share a record.
		for n*PageSize < dataSlots*int(classes[c].size) {
			n *= 2
		}
	}
	page, ok := h.a.allocPages(n, kind)
	if !ok {
		return 0, ErrNoMemory
	}
	id := h.a.takeRun()
	size := int(classes[c].size)
	slots := n * PageSize / size
	h.a.initRun(id, page, n, size, slots, c)
	h.a.runs[id].apart = kind == apart
	for p := range uint32(n) {
		h.a.pageRun[page+p] = id
	}
	h.count[c]++
	if kind != apart {
		h.slots[c] += uint32(slots)
		h.free[c] += uint32(slots)
	}
	h.linkAll(id)
	h.list(id, &h.a.runs[id])
	return id, nil
}

func (h *Heap) allocLarge(n int) (Ref, error) {
	pages := (n + PageSize - 1) / PageSize
	if uint64(n) > h.a.size {
		return 0, ErrNoMemory
	}
	page, ok := h.a.allocPages(pages, h.kind)
	if !ok {
		return 0, ErrNoMemory
	}
	id := h.a.takeRun()
	// slotSize does not fit larger blocks than 4 GiB; npages tells the size.
	h.a.initRun(id, page, pages, 0, 1, largeClass)
	h.a.pageRun[page] = id
	r := &h.a.runs[id]
	r.used[0] |= 1
	r.nfree = 0
	h.linkAll(id)
	h.bytes += int64(pages) * PageSize
	h.blocks++
	return Ref(uint64(page) << pageShift), nil
}

// Free takes back the block at ref. The data are not written to.
func (h *Heap) Free(ref Ref) {
	id := h.a.pageRun[ref>>pageShift]
	r := &h.a.runs[id]
	h.blocks--
	if r.class == largeClass {
		h.bytes -= int64(r.npages) * PageSize
		h.release(id, r)
		return
	}
	slot := r.slotOf(ref)
	w, bit := slot/64, uint64(1)<<(slot%64)
	if r.used[w]&bit == 0 {
		panic("arena: block freed twice")
	}
	h.a.keepCut(r)
	r.used[w] &^= bit
	r.hint = min(r.hint, uint8(w))
	h.bytes -= int64(r.slotSize)
	r.nfree++
	if !r.apart {
		h.free[r.class]++
	}
	if !r.listed {
		h.list(id, r)
	}
	// An empty run is given back at once: a heap that kept one for each class
	// that its index segments grew through would waste more than they take.
	if r.nfree == r.nslots {
		h.unlist(id, r)
		h.count[r.class]--
		h.release(id, r)
	}
}

// Size returns the number of bytes that the block at ref takes.
func (a *Arena) Size(ref Ref) int {
	r := &a.runs[a.pageRun[ref>>pageShift]]
	if r.class == largeClass {
		return int(r.npages) * PageSize
	}
	return int(r.slotSize)
}

func (r *run) slotOf(ref Ref) uint32 {
	delta := uint64(ref) - uint64(r.page)<<pageShift
	return uint32(delta * classes[r.class].inv >> 40)
}

// Drop frees every block at once: O(runs), not O(blocks).
func (h *Heap) Drop() {
	for _, id := range h.all {
		for id != 0 {
			r := &h.a.runs[id]
			next := r.allNext
			h.a.freePages(r.page, int(r.npages))
			h.a.giveRun(id)
			id = next
		}
	}
	*h = Heap{a: h.a, kind: h.kind}
}

// release gives the run's pages and its record back.
func (h *Heap) release(id uint32, r *run) {
	if r.class != largeClass && !r.apart {
		h.slots[r.class] -= uint32(r.nslots)
		h.free[r.class] -= uint32(r.nfree)
	}
	if h.leaving == id {
		h.leaving = 0
	}
	if r.allPrev != 0 {
		h.a.runs[r.allPrev].allNext = r.allNext
	} else {
		*h.allHead(r) = r.allNext
	}
	if r.allNext != 0 {
		h.a.runs[r.allNext].allPrev = r.allPrev
	}
	h.a.freePages(r.page, int(r.npages))
	h.a.giveRun(id)
}

func (h *Heap) linkAll(id uint32) {
	r := &h.a.runs[id]
	head := h.allHead(r)
	r.allNext = *head
	if *head != 0 {
		h.a.runs[*head].allPrev = id
	}
	*head = id
}

// allHead returns the head of the list of all runs that the run belongs to.
func (h *Heap) allHead(r *run) *uint32 {
	if r.apart {
		return &h.all[1]
	}
	return &h.all[0]
}

// list puts a run that has free slots at the head of its class.
func (h *Heap) list(id uint32, r *run) {
	head := h.head(r)
	r.next, r.prev, r.listed = *head, 0, true
	if *head != 0 {
		h.a.runs[*head].prev = id
	}
	*head = id
}

// head returns the head of the list that the run belongs to.
func (h *Heap) head(r *run) *uint32 {
	if r.apart {
		return &h.apart[r.class]
	}
	return &h.partial[r.class]
}

func (h *Heap) unlist(id uint32, r *run) {
	if r.prev != 0 {
		h.a.runs[r.prev].next = r.next
	} else {
		*h.head(r) = r.next
	}
	if r.next != 0 {
		h.a.runs[r.next].prev = r.prev
	}
	r.next, r.prev, r.listed = 0, 0, false
}

func (a *Arena) initRun(id, page uint32, npages, size, slots, class int) {
	a.runs[id] = run{
		page: page, npages: uint32(npages), slotSize: uint32(size),
		nslots: uint16(slots), nfree: uint16(slots), class: uint8(class),
		cutEpoch: a.epoch, // a run made after a cut held nothing at the cut
		born:     a.epoch,
	}
	r := &a.runs[id]
	if w := slots / 64; w < mapWords { // slots that do not exist are used
		r.used[w] = ^uint64(0) << (slots % 64)
		for w++; w < mapWords; w++ {
			r.used[w] = ^uint64(0)
		}
	}
}

func (a *Arena) takeRun() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.freeRuns); n > 0 {
		id := a.freeRuns[n-1]
		a.freeRuns = a.freeRuns[:n-1]
		return id
	}
	a.topRun++
	return a.topRun - 1
}

func (a *Arena) giveRun(id uint32) {
	a.mu.Lock()
	a.freeRuns = append(a.freeRuns, id)
	a.mu.Unlock()
}
