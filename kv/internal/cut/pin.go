package cut

import (
	"sync/atomic"

	"kvd/kv/internal/arena"
)

// Age is the time from a pin, or a few, to the next one: whoever took one of its pins
// may read all blocks that were there then, and not those that came later.
//
// What is given up during an age may be read by its pins and by older ones, so it waits
// for those and no longer: readers that overlap for ever hold back what each of them can
// reach, and not all that was ever replaced.
type Age struct {
	pins   atomic.Int32
	blocks []*deferredBlock
}

// Release gives a pin back. It may be called without a lock, once for each Pin.
func (a *Age) Release() { a.pins.Add(-1) }

// Pin keeps every block of the guard's trees as it is until the returned Age is released:
// writers change copies of them, whatever Mode says, and none is freed. It is independent of cuts.
func (g *Guard) Pin() *Age {
	g.Settle()
	g.fresh = nil // the new pin can reach those too
	if n := len(g.ages); n == 0 || len(g.ages[n-1].blocks) > 0 {
		g.ages = append(g.ages, new(Age))
	}
	a := g.ages[len(g.ages)-1]
	a.pins.Add(1)
	return a
}

// Settle notices which pins were released. What the guard holds still changes in no other
// way, so that all of a change finds it the same.
func (g *Guard) Settle() {
	if len(g.ages) == 0 {
		return
	}
	n := 0
	for n < len(g.ages) && g.ages[n].pins.Load() == 0 {
		g.blocks = append(g.blocks, g.ages[n].blocks...)
		g.ages[n] = nil
		n++
	}
	if g.ages = g.ages[n:]; len(g.ages) == 0 {
		g.ages, g.fresh = nil, nil
	}
}

// Held tells whether there were pins when Settle last looked.
func (g *Guard) Held() bool { return len(g.ages) > 0 }

// Pinned tells whether there are pins now. It takes no lock if nobody changes the guard
// any more.
func (g *Guard) Pinned() bool {
	for _, a := range g.ages {
		if a.pins.Load() != 0 {
			return true
		}
	}
	return false
}

// Made is called with every block that a tree has got.
func (g *Guard) Made(ref arena.Ref) {
	if len(g.ages) == 0 {
		return
	}
	if g.fresh == nil {
		g.fresh = make(map[arena.Ref]struct{})
	}
	g.fresh[ref] = struct{}{}
}

// pinned tells whether some pin may read a block.
func (g *Guard) pinned(ref arena.Ref) bool {
	if len(g.ages) == 0 {
		return false
	}
	_, fresh := g.fresh[ref]
	return !fresh
}
