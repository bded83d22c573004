package arena

// A run goes back when its last block is freed. After many deletions a heap may have
// runs with a block here and there. Evacuate empties the sparsest of them, a block
// at a time, into the others.

const (
	// sparseShare: a class is evacuated while more than one of so many slots is free.
	sparseShare = 8
	// sparseLook is how many runs are looked at for the sparsest one.
	sparseLook = 64
)

// Evacuate takes a block that lies in a sparse run, and has at most maxSize bytes,
// and returns it with a new block of the same size in another run. The caller moves
// the content and frees the old one. It returns false when no class of blocks is
// sparse, or what is free cannot take what is in any run.
func (h *Heap) Evacuate(maxSize int) (from, to Ref, ok bool) {
	r := &h.a.runs[h.leaving]
	if h.leaving == 0 || !h.sparse(int(r.class)) || !h.fits(r) { // others were at work meanwhile
		if h.leaving = h.sparsest(maxSize); h.leaving == 0 {
			return 0, 0, false
		}
		r = &h.a.runs[h.leaving]
	}
	dest := h.partial[r.class]
	if dest == h.leaving {
		dest = r.next
	}
	return r.block(r.firstUsed()), h.take(dest), true
}

// sparse tells whether too many slots of a class are free.
func (h *Heap) sparse(c int) bool { return h.free[c]*sparseShare > h.slots[c] }

// fits tells whether what is in a run has room in the others of its class.
func (h *Heap) fits(r *run) bool { return h.free[r.class]-uint32(r.nfree) >= uint32(r.nslots-r.nfree) }

// sparsest returns the run with the greatest share of free slots, of the first ones
// of a sparse class that have any, if all that is in it has room elsewhere.
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
		if best != 0 && h.fits(&h.a.runs[best]) {
			return best
		}
	}
	return 0
}
