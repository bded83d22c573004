package keyspace

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

// copies tells whether writers copy segments rather than write to them.
func (m Mode) copies() bool { return m == PathCopy || m == ForkedPathCopy }

// overwrites tells whether writers write to entries that the cut can reach.
func (m Mode) overwrites() bool { return m == None || m == ForkedInPlace }

// Guard is a shard's side of the live cut: what writers must not touch, and
// what they have replaced. It is changed under the shard's lock.
type Guard struct {
	Mode Mode

	blocks  []*deferredBlock
	dropped []*arena.Heap // whole heaps, of flushed tables

	DeferredBytes int64 // waiting for the cut to pass
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

func (g *Guard) defer_(h *arena.Heap, ref arena.Ref) {
	n := len(g.blocks)
	if n == 0 || g.blocks[n-1].n == len(g.blocks[n-1].refs) {
		g.blocks = append(g.blocks, new(deferredBlock))
		n++
	}
	b := g.blocks[n-1]
	b.refs[b.n] = deferred{h, ref}
	b.n++
	g.DeferredBytes += int64(h.Arena().Size(ref))
}

// DropLater frees a whole heap once the cut has passed, with what waits of it.
func (g *Guard) DropLater(h *arena.Heap) {
	for _, b := range g.blocks {
		kept := 0
		for _, d := range b.refs[:b.n] {
			if d.heap == h {
				g.DeferredBytes -= int64(h.Arena().Size(d.ref))
				continue
			}
			b.refs[kept] = d
			kept++
		}
		b.n = kept
	}
	g.dropped = append(g.dropped, h)
	g.DeferredBytes += h.Bytes()
}

// Pending tells whether anything waits to be freed.
func (g *Guard) Pending() bool { return len(g.blocks) > 0 || len(g.dropped) > 0 }

// Drain frees at most max blocks of what waited for the cut, which must have
// passed this shard. It returns false when nothing is left.
func (g *Guard) Drain(max int) bool {
	for max > 0 && len(g.blocks) > 0 {
		b := g.blocks[len(g.blocks)-1]
		for ; b.n > 0 && max > 0; max-- {
			b.n--
			d := b.refs[b.n]
			g.DeferredBytes -= int64(d.heap.Arena().Size(d.ref))
			d.heap.Free(d.ref)
		}
		if b.n == 0 {
			g.blocks[len(g.blocks)-1] = nil
			g.blocks = g.blocks[:len(g.blocks)-1]
		}
	}
	if len(g.blocks) == 0 {
		g.blocks = nil
		for _, h := range g.dropped {
			g.DeferredBytes -= h.Bytes()
			h.Drop()
		}
		g.dropped = nil
	}
	return g.Pending()
}

// Heaps returns the heaps that wait to be dropped, for consistency checks.
func (g *Guard) Heaps() []*arena.Heap { return g.dropped }
