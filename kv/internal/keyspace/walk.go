package keyspace

import "kvd/kv/internal/arena"

// Root is what a cut remembers of a table: enough to walk it.
type Root struct {
	dir     arena.Ref
	depth   uint8
	Count   int64
	Expires int64
	// Extended is the number of hashes whose fields may expire.
	Extended int64
}

// Root returns the present root.
func (t *Table) Root() Root { return Root{t.dir, t.depth, t.count, t.expires, t.ext} }

// Walker visits every entry that can be reached from a root, whatever happens
// to the table meanwhile. It allocates nothing, takes no lock and runs in the
// forked child too. The zero Walker has nothing to visit.
type Walker struct {
	a     *arena.Arena
	dir   arena.Ref
	words uint64
	next  uint64 // directory entry of the next segment
	step  uint8
	seg   arena.Ref
	slot  int
}

// Walk returns a walker over root.
func Walk(a *arena.Arena, root Root) Walker {
	w := Walker{a: a, dir: root.dir}
	if root.dir != 0 {
		w.words = 1 << root.depth
		w.step = root.depth
	}
	return w
}

// An entry is asked for twice before its turn, so that the memory system fetches it while others
// are encoded: its head this many slots ahead, and the rest, whose size is known from the head, when
// that has come.
const (
	headAhead = 32
	restAhead = 16
	// restMax is how much of a value is fetched; behind that the processor sees where a reader goes.
	restMax = 512
)

// Next decodes the next entry into e and returns false at the end.
func (w *Walker) Next(e *Entry) bool {
	for {
		if w.seg != 0 {
			tab := segmentAt(w.a, w.seg).table()
			for w.slot < len(tab) {
				i := w.slot
				w.slot++
				w.fetch(tab, i)
				if tab[i] != 0 {
					readEntry(w.a, slotRef(tab[i]), e)
					return true
				}
			}
		}
		if w.next >= w.words {
			w.seg = 0
			return false
		}
		w.seg = arena.Ref(w.a.Words(w.dir, int(w.words))[w.next])
		w.slot = 0
		w.next += 1 << (w.step - segmentAt(w.a, w.seg).depth)
		tab := segmentAt(w.a, w.seg).table()
		for _, s := range tab[:min(headAhead, len(tab))] {
			if s != 0 {
				w.a.Prefetch(slotRef(s), 1)
			}
		}
	}
}

// fetch asks for what will soon be read of a segment whose slot i has its turn.
func (w *Walker) fetch(tab []uint64, i int) {
	if j := i + headAhead; j < len(tab) && tab[j] != 0 {
		w.a.Prefetch(slotRef(tab[j]), 1)
	}
	if j := i + restAhead; j < len(tab) && tab[j] != 0 {
		fetchEntry(w.a, slotRef(tab[j]))
	}
}

// fetchEntry asks for an entry and its value. The head is read.
func fetchEntry(a *arena.Arena, ref arena.Ref) {
	var e Entry
	readEntry(a, ref, &e)
	if e.external != 0 {
		a.Prefetch(e.external, min(len(e.Value), restMax))
	} else {
		a.Prefetch(ref, e.head+min(len(e.Value), restMax))
	}
}

// Copier deep-copies tables into memory of its own, for the COPY engine.
type Copier struct {
	heap  *arena.Heap
	room  arena.Ref
	left  int
	Bytes int64

	// Trees is called with the head of the trees of a copied entry, to make it that of
	// copies.
	Trees func(kind uint8, head []byte) error
}

// NewCopier returns a copier whose memory comes from a.
func NewCopier(a *arena.Arena) *Copier { return &Copier{heap: a.NewHeap(arena.Data)} }

// Free gives all copies back.
func (c *Copier) Free() {
	c.heap.Drop()
	c.room, c.left, c.Bytes = 0, 0, 0
}

// Heap returns the copier's heap, for consistency checks.
func (c *Copier) Heap() *arena.Heap { return c.heap }

func (c *Copier) alloc(n int) (arena.Ref, error) {
	n = (n + 7) &^ 7
	if n > arena.ChunkSize/4 {
		c.Bytes += int64(arena.RoundSize(n))
		return c.heap.Alloc(n)
	}
	if n > c.left {
		ref, err := c.heap.Alloc(arena.ChunkSize)
		if err != nil {
			return 0, err
		}
		c.room, c.left = ref, arena.ChunkSize
		c.Bytes += arena.ChunkSize
	}
	ref := c.room
	c.room += arena.Ref(n)
	c.left -= n
	return ref, nil
}

func (c *Copier) dup(a *arena.Arena, ref arena.Ref, n int) (arena.Ref, error) {
	to, err := c.alloc(n)
	if err == nil {
		copy(a.Bytes(to, n), a.Bytes(ref, n))
	}
	return to, err
}

// Copy copies everything that can be reached from the table's root.
func (c *Copier) Copy(t *Table) (Root, error) {
	root := t.Root()
	if t.dir == 0 {
		return root, nil
	}
	var err error
	if root.dir, err = c.dup(t.a, t.dir, 8<<t.depth); err != nil {
		return Root{}, err
	}
	dir := t.a.Words(root.dir, 1<<t.depth)
	for i := 0; i < len(dir); {
		s := segmentAt(t.a, arena.Ref(dir[i]))
		ref, err := c.copySegment(t.a, s)
		if err != nil {
			return Root{}, err
		}
		for n := 1 << (t.depth - s.depth); n > 0; n-- {
			dir[i] = uint64(ref)
			i++
		}
	}
	return root, nil
}

func (c *Copier) copySegment(a *arena.Arena, s seg) (arena.Ref, error) {
	ref, err := c.dup(a, s.ref, s.bytes())
	if err != nil {
		return 0, err
	}
	tab := segmentAt(a, ref).table()
	var e Entry
	for i, slot := range tab {
		if slot == 0 {
			continue
		}
		readEntry(a, slotRef(slot), &e)
		size, head := entrySize(len(e.Key), len(e.Value), e.ExpireAt != 0)
		to, err := c.dup(a, slotRef(slot), size)
		if err != nil {
			return 0, err
		}
		if e.external != 0 {
			ext, err := c.dup(a, e.external, len(e.Value))
			if err != nil {
				return 0, err
			}
			putRef(a.Bytes(to, size)[head:], ext)
		}
		if HasTrees(e.Kind) && c.Trees != nil {
			if err := c.Trees(e.Kind, a.Bytes(to, size)[head:]); err != nil {
				return 0, err
			}
		}
		tab[i] = uint64(to)<<refShift | slot&(1<<refShift-1)
	}
	return ref, nil
}
