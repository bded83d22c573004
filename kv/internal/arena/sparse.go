package arena

// A run goes back when its last block is freed, and a chunk when its last run is.
// After many deletions, or when values were replaced by others of another size, a
// heap may have holes everywhere. Evacuate empties runs into the holes of others,
// a block at a time: those at the highest addresses if it can, while new runs are
// made at the lowest ones, so that it is whole chunks that become free.

const (
	// sparseShare: a class is evacuated while more than one of so many slots is free.
	sparseShare = 20
	// sparseLook is how many runs are looked at for the best one to empty,
	// destLook for the best one to fill.
	sparseLook = 64
	destLook   = 8
)

// Evacuate takes a block of at most maxSize bytes from a run that should go, and
// returns it with a new block of the same size in another run. The caller moves
// the content and frees the old one. It returns false when no class of blocks is
// sparse, or what is free cannot take what is in any run.
func (h *Heap) Evacuate(maxSize int) (from, to Ref, ok bool) {
	r := &h.a.runs[h.leaving]
	if h.leaving == 0 || !h.movable(r, maxSize) { // others were at work meanwhile
		if h.leaving = h.newest(maxSize); h.leaving == 0 {
			h.leaving = h.sparsest(maxSize)
		}
		if h.leaving == 0 {
			return 0, 0, false
		}
		r = &h.a.runs[h.leaving]
	}
	return r.block(r.firstUsed()), h.take(h.dest(r.class)), true
}

// dest returns the lowest of the first runs of a class that have room and are not
// the one that is emptied.
func (h *Heap) dest(class uint8) (best uint32) {
	for id, n := h.partial[class], 0; id != 0 && n < destLook; id, n = h.a.runs[id].next, n+1 {
		if id != h.leaving && (best == 0 || h.a.runs[id].page < h.a.runs[best].page) {
			best = id
		}
	}
	return best
}

// sparse tells whether too many slots of a class are free.
func (h *Heap) sparse(c int) bool { return h.free[c]*sparseShare > h.slots[c] }

// movable tells whether a run's class is sparse and what is in the run has room in
// others of its class.
func (h *Heap) movable(r *run, maxSize int) bool {
	return r.class != largeClass && int(r.slotSize) <= maxSize && h.sparse(int(r.class)) &&
		h.free[r.class]-uint32(r.nfree) >= uint32(r.nslots-r.nfree)
}

// newest returns the highest of the newest runs that can go, or 0.
func (h *Heap) newest(maxSize int) (best uint32) {
	for id, n := h.all[0], 0; id != 0 && n < sparseLook; id, n = h.a.runs[id].allNext, n+1 {
		if r := &h.a.runs[id]; h.movable(r, maxSize) && (best == 0 || r.page > h.a.runs[best].page) {
			best = id
		}
	}
	return best
}

// sparsest returns the run with the greatest share of free slots of the first ones
// of a class that have any, if it can go, or 0.
func (h *Heap) sparsest(maxSize int) uint32 {
	for c := range numClasses {
		if int(classes[c].size) > maxSize {
			break
		}
		if !h.sparse(c) {
			continue
		}
		best := h.partial[c]
		for id, n := best, 0; id != 0 && n < sparseLook; id, n = h.a.runs[id].next, n+1 {
			r, b := &h.a.runs[id], &h.a.runs[best]
			if int(r.nfree)*int(b.nslots) > int(b.nfree)*int(r.nslots) {
				best = id
			}
		}
		if best != 0 && h.movable(&h.a.runs[best], maxSize) {
			return best
		}
	}
	return 0
}
