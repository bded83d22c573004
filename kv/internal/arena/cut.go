package arena

// BeginCut starts a cut: every block that is allocated now is shared by it.
// Every heap's lock must be held, and no other cut be live.
func (a *Arena) BeginCut() {
	if a.live {
		panic("arena: a cut is live already")
	}
	a.epoch++
	a.live = true
}

// EndCut ends the cut. Every heap's lock must be held.
func (a *Arena) EndCut() { a.live = false }

// Shared tells whether the allocated block at ref was allocated at the cut that
// is live; false if none is. The owning heap's lock must be held.
func (a *Arena) Shared(ref Ref) bool {
	if !a.live {
		return false
	}
	r := &a.runs[a.pageRun[ref>>pageShift]]
	if r.cutEpoch != a.epoch {
		return true // nothing in this run has changed since the cut
	}
	slot := uint32(0)
	if r.class != largeClass {
		slot = r.slotOf(ref)
	}
	return r.cut[slot/64]>>(slot%64)&1 != 0
}

// keepCut is called before a run's bitmap changes.
func (a *Arena) keepCut(r *run) {
	if a.live && r.cutEpoch != a.epoch {
		r.cut = r.used
		r.cutEpoch = a.epoch
	}
}
