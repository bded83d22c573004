// Package cut is a shard's side of the live cut of a background save, and a big string's side
// of its readers (Pin): which memory writers must leave alone, and what they have replaced
// and is to be freed later.
package cut

import "kvd/kv/internal/arena"

// Mode says what holds the live cut still.
type Mode uint8

// The modes. In every mode but None, memory that the cut can reach is not
// freed before the cut has passed.
const (
	None           Mode = iota
	PathCopy            // writers copy segments and entries that the cut can reach
	Forked              // the kernel copies; entries are replaced, segments written in place
	ForkedInPlace       // the kernel copies; everything is written in place
	ForkedPathCopy      // as PathCopy, but what is new goes apart; the kernel copies little
)

// Copies tells whether writers copy segments and nodes rather than write to them.
func (m Mode) Copies() bool { return m == PathCopy || m == ForkedPathCopy }

// Overwrites tells whether writers write to entries and values that the cut can reach.
func (m Mode) Overwrites() bool { return m == None || m == ForkedInPlace }

// Guard is a shard's side of the live cut: what writers must not touch, and
// what they have replaced. It is changed under the shard's lock.
type Guard struct {
	Mode Mode

	blocks  []*deferredBlock
	dropped []*arena.Heap // whole heaps, of flushed tables
	held    []heldBytes   // by heap, what is in blocks and ages

	ages  []*Age                 // the oldest first; none without pins
	fresh map[arena.Ref]struct{} // blocks that were made since the newest pin

	hidden int // entries that are to be removed when the cut has passed

	DeferredBytes int64 // waiting for the cut to pass, or for pins
}

// deferredBlock holds references that wait to be freed; a list of blocks rather
// than one slice, so that no append under the lock copies a long list.
type deferredBlock struct {
	n    int
	refs [254]deferred
}

type deferred struct {
	heap *arena.Heap
	ref  arena.Ref
}

// heldBytes is how much of a heap waits to be freed. A shard has few heaps of which
// anything does: two for each database in use.
type heldBytes struct {
	heap  *arena.Heap
	bytes int64
}

// heldOf returns the count for a heap.
func (g *Guard) heldOf(h *arena.Heap) *int64 {
	for i := range g.held {
		if g.held[i].heap == h {
			return &g.held[i].bytes
		}
	}
	g.held = append(g.held, heldBytes{heap: h})
	return &g.held[len(g.held)-1].bytes
}

// Copies tells whether there are nodes that must be copied before they are changed.
func (g *Guard) Copies() bool { return g.Mode.Copies() || len(g.ages) > 0 }

// Fixed tells whether a node of an index or of a tree must be copied before it is
// changed.
func (g *Guard) Fixed(a *arena.Arena, ref arena.Ref) bool {
	return g.Copies() && g.fixed(a, ref)
}

func (g *Guard) fixed(a *arena.Arena, ref arena.Ref) bool {
	return g.Mode.Copies() && a.Shared(ref) || g.pinned(ref)
}

// Protected tells the same of an entry, or of the block of a value.
func (g *Guard) Protected(a *arena.Arena, ref arena.Ref) bool {
	return (!g.Mode.Overwrites() || len(g.ages) > 0) && g.protected(a, ref)
}

func (g *Guard) protected(a *arena.Arena, ref arena.Ref) bool {
	return !g.Mode.Overwrites() && a.Shared(ref) || g.pinned(ref)
}

// Retire frees a block that nothing refers to any more: now or, if the live cut or a pin can
// reach it, when that has passed.
func (g *Guard) Retire(h *arena.Heap, ref arena.Ref) {
	if n := len(g.ages); n > 0 {
		if g.pinned(ref) {
			g.later(&g.ages[n-1].blocks, h, ref)
			return
		}
		delete(g.fresh, ref)
	}
	if g.Mode != None && h.Arena().Shared(ref) {
		g.later(&g.blocks, h, ref)
	} else {
		h.Free(ref)
	}
}

func (g *Guard) later(list *[]*deferredBlock, h *arena.Heap, ref arena.Ref) {
	n := len(*list)
	if n == 0 || (*list)[n-1].n == len((*list)[n-1].refs) {
		*list = append(*list, new(deferredBlock))
		n++
	}
	b := (*list)[n-1]
	b.refs[b.n] = deferred{h, ref}
	b.n++
	size := int64(h.Arena().Size(ref))
	g.DeferredBytes += size
	*g.heldOf(h) += size
}

// DropLater frees a whole heap once the cut has passed. What waits of it already is
// freed before: looking for that here, with all locks held maybe, would take long.
func (g *Guard) DropLater(h *arena.Heap) {
	g.dropped = append(g.dropped, h)
	g.DeferredBytes += h.Bytes() - *g.heldOf(h)
}

// Pending tells whether anything waits to be freed that no pin can reach.
func (g *Guard) Pending() bool { return len(g.blocks) > 0 || len(g.dropped) > 0 || g.hidden > 0 }

// Hide counts an entry of so many bytes of a heap that nobody finds any more. Its owner removes it
// when the cut has passed, before Drain.
func (g *Guard) Hide(h *arena.Heap, bytes int64) {
	g.hidden++
	g.DeferredBytes += bytes
	*g.heldOf(h) += bytes
}

// Unhide counts that such an entry is being removed.
func (g *Guard) Unhide(h *arena.Heap, bytes int64) {
	g.hidden--
	g.DeferredBytes -= bytes
	*g.heldOf(h) -= bytes
}

// Forget counts n such entries no more, which go with their heap.
func (g *Guard) Forget(n int) { g.hidden -= n }

// runBlocks is about how many times as long it takes to drop a run of a heap as to
// free a block.
const runBlocks = 8

// Drain frees at most max blocks, or as much of dropped heaps as takes about that
// long, of what waited for the cut, which must have passed this shard. It returns
// false when nothing is left.
func (g *Guard) Drain(max int) bool {
	for max > 0 && len(g.blocks) > 0 {
		b := g.blocks[len(g.blocks)-1]
		for ; b.n > 0 && max > 0; max-- {
			b.n--
			d := b.refs[b.n]
			size := int64(d.heap.Arena().Size(d.ref))
			g.DeferredBytes -= size
			*g.heldOf(d.heap) -= size
			d.heap.Free(d.ref)
		}
		if b.n == 0 {
			g.blocks[len(g.blocks)-1] = nil
			g.blocks = g.blocks[:len(g.blocks)-1]
		}
	}
	if len(g.blocks) > 0 {
		return true
	}
	g.blocks = nil
	if len(g.ages) == 0 {
		g.held = nil
	}
	for ; max > 0 && len(g.dropped) > 0; max -= runBlocks {
		last := len(g.dropped) - 1
		h := g.dropped[last]
		bytes := h.Bytes()
		if !h.DropSome(1) {
			g.dropped[last] = nil
			g.dropped = g.dropped[:last]
		}
		g.DeferredBytes -= bytes - h.Bytes()
	}
	if len(g.dropped) == 0 {
		g.dropped = nil
	}
	return g.Pending()
}

// Heaps returns the heaps that wait to be dropped, for consistency checks.
func (g *Guard) Heaps() []*arena.Heap { return g.dropped }

// Waiting counts the deferred blocks of a heap, for consistency checks.
func (g *Guard) Waiting(h *arena.Heap) (n int64) {
	n = waiting(g.blocks, h)
	for _, a := range g.ages {
		n += waiting(a.blocks, h)
	}
	return n
}

func waiting(list []*deferredBlock, h *arena.Heap) (n int64) {
	for _, b := range list {
		for _, d := range b.refs[:b.n] {
			if d.heap == h {
				n++
			}
		}
	}
	return n
}
