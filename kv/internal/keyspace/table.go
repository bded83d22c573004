package keyspace

import (
	"hash/maphash"

	"kvd/kv/internal/arena"
)

// Table is the index of one shard and database. The zero directory is an empty
// table, which has no memory in the arena. All methods need the shard's lock.
type Table struct {
	a       *arena.Arena
	entries *arena.Heap
	index   *arena.Heap
	guard   *Guard
	hasher  Hasher

	dir     arena.Ref // 1<<depth references to segments
	depth   uint8
	deep    int // segments whose own depth is the directory's
	count   int64
	expires int64

	keyBuf  []byte // a key that is being overwritten by itself
	fetched byte   // see distribute
}

// Hasher hashes keys and knows how many top bits of a hash are the shard's.
type Hasher struct {
	Seed      maphash.Seed
	ShardBits uint8
}

// Hash returns the hash of a key.
func (h *Hasher) Hash(key []byte) uint64 { return maphash.Bytes(h.Seed, key) }

// Shard returns the number of the shard that a hash belongs to.
func (h *Hasher) Shard(hash uint64) int { return int(hash >> (64 - h.ShardBits)) }

// maxDepth bounds the directory, so that a scan position fits in 47 bits.
const maxDepth = 32

// NewTable returns an empty table.
func NewTable(a *arena.Arena, hasher Hasher, guard *Guard) *Table {
	return &Table{
		a: a, hasher: hasher, guard: guard,
		entries: a.NewHeap(arena.Data), index: a.NewHeap(arena.Index),
	}
}

// Pos is where a key was found. It is valid until the next write to the table.
type Pos struct {
	seg   seg
	slot  int
	entry arena.Ref
}

// Len returns the number of keys, expired ones that are not deleted included.
func (t *Table) Len() int64 { return t.count }

// Expires returns the number of keys that have an expiry.
func (t *Table) Expires() int64 { return t.expires }

// EntryBytes and IndexBytes return the bytes that blocks of entries and of the
// index take, access clocks included.
func (t *Table) EntryBytes() int64 { return t.entries.Bytes() }

// IndexBytes returns the bytes of directory, segments and access clocks.
func (t *Table) IndexBytes() int64 {
	return t.index.Bytes() + t.index.Bytes()/arena.SideRatio
}

// Heaps returns the heaps of the table, for consistency checks.
func (t *Table) Heaps() []*arena.Heap { return []*arena.Heap{t.entries, t.index} }

// rest returns a hash without the shard's bits, left-aligned: the position of
// its key in the table's order.
func (t *Table) rest(h uint64) uint64 { return h << t.hasher.ShardBits }

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
	pos := t.rest(h)
	s := t.segmentFor(pos)
	tag := tagOf(pos, s.depth)
	tab := s.table()
	for i := s.first(tab, tag); i < len(tab); i++ {
		slot := tab[i]
		if slot == 0 || slotTag(slot) != tag {
			break
		}
		if keyEquals(t.a, slotRef(slot), key) {
			return Pos{s, i, slotRef(slot)}, true
		}
	}
	return p, false
}

// Read decodes the entry at p. Key and Value are borrowed until the next write
// to the table.
func (t *Table) Read(p Pos, e *Entry) { readEntry(t.a, p.entry, e) }

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
	var e Entry
	readEntry(t.a, p.entry, &e)
	n := t.a.Size(p.entry) + 8 + 1
	if e.external != 0 {
		n += t.a.Size(e.external)
	}
	return int64(n)
}

// protected tells whether a block must not be written because the live cut can
// reach it.
func (t *Table) protected(ref arena.Ref) bool {
	return t.guard.Mode != None && t.a.Shared(ref)
}

// retire frees a block that the table no longer refers to, now or, if the live
// cut can reach it, when that has passed.
func (t *Table) retire(h *arena.Heap, ref arena.Ref) {
	if t.protected(ref) {
		t.guard.defer_(h, ref)
	} else {
		h.Free(ref)
	}
}

func (t *Table) retireEntry(ref arena.Ref) {
	var e Entry
	readEntry(t.a, ref, &e)
	if e.external != 0 {
		t.retire(t.entries, e.external)
	}
	t.retire(t.entries, ref)
}

// Clear empties the table at once, in time proportional to its memory's runs,
// not to its keys.
func (t *Table) Clear() {
	if t.guard.Mode != None || t.guard.Pending() {
		t.guard.DropLater(t.entries)
		t.guard.DropLater(t.index)
	} else {
		t.entries.Drop()
		t.index.Drop()
	}
	*t = *NewTable(t.a, t.hasher, t.guard)
}

// Has tells whether the table has a key, expired or not.
func (t *Table) Has(key []byte) bool {
	_, ok := t.Lookup(t.hasher.Hash(key), key)
	return ok
}
