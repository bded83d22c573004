package arena

// DropSome frees every block of up to max runs and tells whether there are more. A heap
// that nobody uses any more is freed by it in small pieces.
func (h *Heap) DropSome(max int) (more bool) {
	for list := range h.all {
		for ; h.all[list] != 0; max-- {
			if max <= 0 {
				return true
			}
			h.dropRun(h.all[list])
		}
	}
	return false
}

// dropRun frees every block of a run.
func (h *Heap) dropRun(id uint32) {
	r := &h.a.runs[id]
	if r.class == largeClass {
		h.bytes -= int64(r.npages) * PageSize
		h.blocks--
	} else {
		used := int64(r.nslots - r.nfree)
		h.bytes -= used * int64(r.slotSize)
		h.blocks -= used
		h.count[r.class]--
		if r.listed {
			h.unlist(id, r)
		}
	}
	h.release(id, r)
}
