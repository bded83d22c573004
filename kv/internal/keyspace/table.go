package keyspace

import (
	"hash/maphash"
	"math"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// Table is the index of one shard and database. The zero directory is an empty
// table, which has no memory in the arena. All methods need the shard's lock.
type Table struct {
	a       *arena.Arena
	entries *arena.Heap
	index   *arena.Heap
	nodes   *arena.Heap // of trees that have no heap of their own
	drop    func(kind uint8, head []byte)
	guard   *cut.Guard
	hasher  Hasher

	dir     arena.Ref // 1<<depth references to segments
	depth   uint8
	deep    int // segments whose own depth is the directory's
	count   int64
	expires int64
	ext     int64 // entries of an extended kind

	hidden  map[arena.Ref]struct{} // see Hide; nil if there are none
	keyBuf  []byte                 // a key that is being overwritten by itself
	fetched byte                   // see distribute
}

// Hasher hashes keys. The low bits of a hash choose the shard, the high ones the
// place in it.
type Hasher struct {
	seed   maphash.Seed
	shards *[shardSlots]uint16
}

// shardSlots is the number of values of the bits of a hash that choose a shard.
const shardSlots = 4096

// NewHasher returns a hasher with a random seed for so many shards, at most
// MaxShards.
//
// The shards' shares of the hashes are not equal: they run from 1 to 2, so that
// the tables of a store are at different points between two splits of their
// segments. With equal shares all segments of a store would be fullest at the
// same time, and the memory of all old ones be free, in holes, just after.
func NewHasher(shards int) Hasher {
	h := Hasher{maphash.MakeSeed(), new([shardSlots]uint16)}
	total := 0.0
	for i := range shards {
		total += math.Exp2(float64(i) / float64(shards))
	}
	sum, from := 0.0, 0
	for i := range shards {
		sum += math.Exp2(float64(i) / float64(shards))
		to := max(int(sum/total*shardSlots+0.5), from+1)
		to = min(to, shardSlots-(shards-1-i))
		for ; from < to; from++ {
			h.shards[from] = uint16(i)
		}
	}
	return h
}

// Hash returns the hash of a key.
func (h *Hasher) Hash(key []byte) uint64 { return maphash.Bytes(h.seed, key) }

// Share returns what part of all hashes belongs to a shard.
func (h *Hasher) Share(shard int) float64 {
	n := 0
	for _, s := range h.shards {
		if int(s) == shard {
			n++
		}
	}
	return float64(n) / shardSlots
}

// Shard returns the number of the shard that a hash belongs to.
func (h *Hasher) Shard(hash uint64) int { return int(h.shards[hash%shardSlots]) }

// MaxShards is the largest number of shards.
const MaxShards = 1024

// maxDepth bounds the directory. The position of a key in its table's order is
// its hash, and a scan stops at positions of maxDepth+tagBits bits: that leaves
// room for the number of a shard in a cursor of 53 bits.
const maxDepth = 28

// NewTable returns an empty table.
func NewTable(a *arena.Arena, hasher Hasher, guard *cut.Guard) *Table {
	return &Table{
		a: a, hasher: hasher, guard: guard,
		entries: a.NewHeap(arena.Data), index: a.NewHeap(arena.Index), nodes: a.NewHeap(arena.Data),
	}
}

// Pos is where a key was found. It is valid until the next write to the table.
type Pos struct {
	seg   seg
	slot  int
	entry arena.Ref
}

// Valid tells whether p is a place, which the zero Pos is not.
func (p *Pos) Valid() bool { return p.entry != 0 }

// Len returns the number of keys, expired ones that are not deleted included.
func (t *Table) Len() int64 { return t.count }

// Expires returns the number of keys that have an expiry.
func (t *Table) Expires() int64 { return t.expires }

// OnDrop has fn called with the head of the trees of each entry (see HasTrees) that is
// deleted or replaced, before its blocks are freed. Clear and Detach do not call it.
func (t *Table) OnDrop(fn func(kind uint8, head []byte)) { t.drop = fn }

// Nodes returns the heap for the blocks of the entries' trees. What is in it goes when
// the table is emptied.
func (t *Table) Nodes() *arena.Heap { return t.nodes }

// EntryBytes and IndexBytes return the bytes that blocks of entries, with those of Nodes,
// and of the index take, access clocks included.
func (t *Table) EntryBytes() int64 { return t.entries.Bytes() + t.nodes.Bytes() }

// IndexBytes returns the bytes of directory, segments and access clocks.
func (t *Table) IndexBytes() int64 {
	return t.index.Bytes() + t.index.Bytes()/arena.SideRatio
}

// Heaps returns the heaps of the table, for consistency checks.
func (t *Table) Heaps() []*arena.Heap { return []*arena.Heap{t.entries, t.index, t.nodes} }

func dirIndex(pos uint64, depth uint8) uint64 {
	return pos >> 1 >> (63 - depth) // depth may be 0
}

func tagOf(pos uint64, depth uint8) uint64 { return pos << depth >> (64 - tagBits) }

func (t *Table) dirWords() []uint64 { return t.a.Words(t.dir, 1<<t.depth) }

func (t *Table) segmentFor(pos uint64) seg {
	ref := t.a.Words(t.dir, 1<<t.depth)[dirIndex(pos, t.depth)]
	return segmentAt(t.a, arena.Ref(ref))
}

// Lookup finds a key by its hash and bytes.
func (t *Table) Lookup(h uint64, key []byte) (p Pos, ok bool) {
	if t.dir == 0 {
		return p, false
	}
	s := t.segmentFor(h)
	tag := tagOf(h, s.depth)
	tab := s.table()
	for i := s.first(tab, tag); i < len(tab); i++ {
		slot := tab[i]
		if slot == 0 || slotTag(slot) != tag {
			break
		}
		if keyEquals(t.a, slotRef(slot), key) && !t.isHidden(slotRef(slot)) {
			return Pos{s, i, slotRef(slot)}, true
		}
	}
	return p, false
}

// Read decodes the entry at p. Key and Value are borrowed until the next write
// to the table.
func (t *Table) Read(p Pos, e *Entry) { readEntry(t.a, p.entry, e) }

// Value returns the kind and the value of the entry at p, borrowed like Read's.
func (t *Table) Value(p Pos) (kind uint8, value []byte) {
	var e Entry
	readEntry(t.a, p.entry, &e)
	return e.Kind, e.Value
}

// ExpireAt returns the expiry of the entry at p without decoding the rest.
func (t *Table) ExpireAt(p Pos) int64 {
	if p.seg.table()[p.slot]&ttlBit == 0 {
		return 0
	}
	var e Entry
	readEntry(t.a, p.entry, &e)
	return e.ExpireAt
}

// Touch notes that the key at p was used now (Unix seconds).
func (t *Table) Touch(p Pos, now uint32) { t.touch(p.seg, p.slot, now) }

// Idle returns the seconds since the key at p was used.
func (t *Table) Idle(p Pos, now uint32) uint32 { return t.idle(p.seg, p.slot, now) }

// SetIdle makes the key at p look unused for idle seconds.
func (t *Table) SetIdle(p Pos, now, idle uint32) { t.setIdle(p.seg, p.slot, now, idle) }

// Size returns the bytes that the key at p takes: its blocks and its slot.
func (t *Table) Size(p Pos) int64 {
	return t.blockBytes(p.entry) + 8 + 1
}

// dropEntry frees an entry with all that it owns.
func (t *Table) dropEntry(ref arena.Ref) {
	var e Entry
	readEntry(t.a, ref, &e)
	t.dropTrees(&e)
	t.retireEntry(ref)
}

// dropTrees frees the trees of an entry.
func (t *Table) dropTrees(e *Entry) {
	if HasTrees(e.Kind) && t.drop != nil {
		t.drop(e.Kind, e.Value)
	}
}

// retireEntry frees the blocks of an entry, but not its trees.
func (t *Table) retireEntry(ref arena.Ref) {
	var e Entry
	readEntry(t.a, ref, &e)
	if e.external != 0 {
		t.guard.Retire(t.entries, e.external)
	}
	t.guard.Retire(t.entries, ref)
}

// Clear empties the table at once, in time proportional to its memory's runs,
// not to its keys.
func (t *Table) Clear() {
	if t.dir == 0 {
		return // it has no memory; a cut need not keep its heaps
	}
	if t.guard.Mode != cut.None || t.guard.Pending() {
		t.ClearLater()
		return
	}
	for _, h := range t.Heaps() {
		h.Drop()
	}
	t.reset()
}

// ClearLater is Clear that leaves the freeing to the guard, in any case.
func (t *Table) ClearLater() {
	if t.dir == 0 {
		return
	}
	for _, h := range t.Heaps() {
		if h.Blocks() > 0 {
			t.guard.DropLater(h)
		}
	}
	t.reset()
}

// reset makes the table a new one, with the same owner.
func (t *Table) reset() {
	drop := t.drop
	t.guard.Forget(len(t.hidden))
	*t = *NewTable(t.a, t.hasher, t.guard)
	t.drop = drop
}

// Has tells whether the table has a key, expired or not.
func (t *Table) Has(key []byte) bool {
	_, ok := t.Lookup(t.hasher.Hash(key), key)
	return ok
}

// Prefetch reads what Insert will need for a hash, so that the memory system
// fetches the lines of many keys side by side. The result means nothing; use it
// so that the compiler keeps the reads.
func (t *Table) Prefetch(h uint64) byte {
	if t.dir == 0 {
		return 0
	}
	s := t.segmentFor(h)
	i := home(tagOf(h, s.depth), s.homes)
	tab := s.table()
	side := s.clocks(t.a)
	return byte(tab[i]) ^ byte(tab[min(i+8, len(tab)-1)]) ^ side[i] ^ t.clockBase(s)[0]
}
