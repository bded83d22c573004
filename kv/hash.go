package kv

import (
	"encoding/binary"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// Hash is the hash at one key, open for as long as its Tx holds the key's lock and nothing
// else changes the key. It is a value for the caller's stack.
//
//	var h kv.Hash
//	if err := tx.OpenHash(&h, 0, key); err != nil {
//		return err // kv.ErrWrongType
//	}
//	visits, ok := h.Get([]byte("visits"))
//	…
//	if _, err := h.Set([]byte("name"), []byte("Ada"), kv.NoExpiry); err != nil {
//		return err
//	}
//	return h.Save()
//
// Changes are kept when Save is called, once, after the last of them; until then only the Hash
// itself may be asked. A key without a hash is like one with an empty hash: the first field makes the key, and
// it goes with the last. Each field may have an expiry of its own, a Unix time in milliseconds;
// one that has passed makes the field as good as deleted.
//
// Field names and values are copied. They may be of any length up to MaxString, and must not be
// borrowed from the store.
type Hash struct {
	c       coll
	now     int64
	block   []byte // of a packed hash the changed copy, in the Tx's scratch; nil: nothing has changed
	ttls    bool   // the block has an expiry for each field
	touched bool   // a tree may not be as its head says
	strays  bool   // the second tree may have times at which nothing expires
	changes int64
	expired int64 // fields removed because they had expired
}

// OpenHash looks a hash up and notes that it was used. It returns ErrWrongType if the key holds
// a value of another type.
func (tx *Tx) OpenHash(h *Hash, db int, key []byte) error { return h.open(tx, db, key, true) }

func (h *Hash) open(tx *Tx, db int, key []byte, use bool) (err error) {
	if h.c.tx != nil { // it has been used before
		*h = Hash{}
	}
	h.now = tx.Now()
	if use {
		err = tx.open(&h.c, db, key, TypeHash)
	} else {
		err = tx.peek(&h.c, db, key, TypeHash)
	}
	h.attach()
	return err
}

// The tail of a big hash is 0 if none of its fields expires, or when the first does, which may
// be too early, and whether there are strays.
const straysBit = 1 << 63

// attach notes what the open collection is.
func (h *Hash) attach() {
	switch {
	case !h.c.exists:
	case h.c.isTree():
		h.strays = binary.LittleEndian.Uint64(h.c.tail())&straysBit != 0
	default:
		h.ttls = h.c.enc == EncListpackEx
	}
}

// setTail is the way back.
func (h *Hash) setTail() {
	tail := uint64(h.nextExpiry())
	if h.strays && tail != 0 {
		tail |= straysBit
	}
	binary.LittleEndian.PutUint64(h.c.tail(), tail)
}

// peek is open for who does not use the value: it leaves the access clock alone.
func (tx *Tx) peek(c *coll, db int, key []byte, typ Type) error {
	t, hash, p, ok := tx.find(db, key)
	c.tx, c.sh, c.t, c.db, c.key, c.h, c.typ = tx, tx.shard(hash), t, db, key, hash, typ
	if !ok {
		return nil
	}
	return c.read(p)
}

// Exists tells whether the key holds a hash, even if all of its fields have expired.
func (h *Hash) Exists() bool { return h.c.exists }

// bytes returns the listpack of a packed hash; nil if it has none yet.
func (h *Hash) bytes() []byte {
	if h.block != nil {
		return h.block
	}
	return h.c.packed()
}

// width is the number of elements of the listpack that a field takes.
func (h *Hash) width() int {
	if h.ttls {
		return 3
	}
	return 2
}

// gone tells whether an expiry has passed.
func (h *Hash) gone(at int64) bool { return at != NoExpiry && at <= h.now }

// Get returns the value of a field. It is borrowed, valid until the hash is changed or the Tx
// unlocks.
func (h *Hash) Get(field []byte) (v packed.Value, ok bool) {
	v, at, ok := h.find(field)
	if !ok || h.gone(at) {
		return packed.Value{}, false
	}
	return v, true
}

// Expiry returns when a field expires, NoExpiry if it does not; false if there is none.
func (h *Hash) Expiry(field []byte) (at int64, ok bool) {
	_, at, ok = h.find(field)
	if !ok || h.gone(at) {
		return NoExpiry, false
	}
	return at, true
}

// find returns a field, expired or not.
func (h *Hash) find(field []byte) (v packed.Value, at int64, ok bool) {
	if h.c.isTree() {
		key := h.c.tx.s.appendHashKey(h.c.tx.scratch(), field)
		rec, ok := h.c.tree(0).Get(key)
		h.c.tx.keep(key)
		if !ok {
			return v, NoExpiry, false
		}
		at, text := fieldRecord(&rec)
		return packed.Value{Text: text}, at, true
	}
	b := h.bytes()
	if b == nil {
		return v, NoExpiry, false
	}
	pos := packed.Find(b, packed.First(b), field, h.width()-1)
	if pos < 0 {
		return v, NoExpiry, false
	}
	pos = packed.Next(b, pos)
	v = packed.Get(b, pos)
	if h.ttls {
		ttl := packed.Get(b, packed.Next(b, pos))
		at = ttl.Int
	}
	return v, at, true
}

// fieldRecord returns what a record of the fields' tree says.
func fieldRecord(r *tree.Record) (at int64, value []byte) {
	if !r.Flag {
		return NoExpiry, r.Value
	}
	return int64(binary.LittleEndian.Uint64(r.Value)), r.Value[8:]
}

// Len returns the number of fields.
func (h *Hash) Len() int64 {
	switch {
	case h.c.isTree() && !h.strays:
		return h.c.tree(0).Count - h.due()
	case h.c.isTree():
	case h.bytes() == nil:
		return 0
	case !h.ttls:
		return int64(packed.Len(h.bytes()) / 2)
	}
	n := int64(0)
	it := h.Fields()
	for e := (Element{}); it.Next(&e); {
		n++
	}
	return n
}

// all returns the number of fields, expired ones included.
func (h *Hash) all() int64 {
	if h.c.isTree() {
		return h.c.tree(0).Count
	}
	if h.bytes() == nil {
		return 0
	}
	return int64(packed.Len(h.bytes()) / h.width())
}

// due returns the number of expired fields in the trees.
func (h *Hash) due() int64 {
	t := h.c.tree(1)
	if t.Count == 0 {
		return 0
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(h.now+1))
	n, _ := t.Rank(key[:])
	return n
}

// nextExpiry returns when the next field expires, or the first one did; NoExpiry if none does.
func (h *Hash) nextExpiry() int64 {
	if h.c.isTree() {
		rec, ok := h.c.tree(1).At(0)
		if !ok {
			return NoExpiry
		}
		return int64(binary.BigEndian.Uint64(rec.Key))
	}
	next := NoExpiry
	if !h.ttls {
		return next
	}
	it := h.elements()
	for e := (Element{}); it.Next(&e); {
		if e.ExpireAt != NoExpiry && (next == NoExpiry || e.ExpireAt < next) {
			next = e.ExpireAt
		}
	}
	return next
}

// Save keeps the changes that were made. Each Set, SetExpiry and Delete that did something counts as one
// change of the store. It returns ErrNoMemory or ErrTooLong, and then a hash that is small enough to lie
// in one block is as it was before.
func (h *Hash) Save() error {
	tx := h.c.tx
	block := h.block
	h.block = nil
	defer tx.keep(block)
	if h.changes == 0 && h.expired == 0 && !h.touched {
		return nil
	}
	if h.ttls && !h.c.isTree() && packed.First(block) >= 0 {
		h.block = block
		h.dropTTLs()
		block, h.block = h.block, nil
	}
	var err error
	switch {
	case h.c.isTree():
		h.setTail()
		if err = h.c.save(); err == nil && h.c.tree(0).Count == 0 {
			h.c.remove() // which needs the head as it is now
			h.changes--
		}
	case packed.First(block) < 0:
		h.c.remove()
	case h.ttls:
		err = h.c.setPacked(EncListpackEx, block)
	default:
		err = h.c.setPacked(EncListpack, block)
	}
	if err != nil {
		h.ttls = !h.c.isTree() && h.c.enc == EncListpackEx
		return err
	}
	if h.changes != 1 {
		tx.MarkChanged(h.changes - 1) // what the collection has counted
	}
	tx.s.fields.removed.Add(h.expired)
	h.changes, h.expired, h.touched = 0, 0, false
	if h.c.exists {
		h.noteTimer()
	}
	return nil
}

// noteTimer makes the search for expired fields know the hash.
func (h *Hash) noteTimer() {
	if next := h.nextExpiry(); next != NoExpiry {
		h.c.sh.fields[h.c.db].note(h.c.key, next)
		if used := &h.c.tx.s.fields.used; !used.Load() {
			used.Store(true)
		}
	}
}

// HashGet returns the value of a field of the hash at key, borrowed until the Tx unlocks or the
// key is changed. It returns ErrWrongType if the key holds something else.
func (tx *Tx) HashGet(db int, key, field []byte) (v packed.Value, ok bool, err error) {
	var h Hash
	if err = tx.OpenHash(&h, db, key); err != nil {
		return v, false, err
	}
	v, ok = h.Get(field)
	return v, ok, nil
}

// HashSet sets fields, which stand before their values in pairs, and returns how many of them
// are new. They do not expire. It returns ErrWrongType, or ErrNoMemory: then some of the pairs may
// have been set.
func (tx *Tx) HashSet(db int, key []byte, pairs ...[]byte) (added int, err error) {
	var h Hash
	if err = tx.OpenHash(&h, db, key); err != nil {
		return 0, err
	}
	for ; len(pairs) > 1; pairs = pairs[2:] {
		var fresh bool
		if fresh, err = h.Set(pairs[0], pairs[1], NoExpiry); err != nil {
			break
		}
		if fresh {
			added++
		}
	}
	if saveErr := h.Save(); err == nil {
		err = saveErr
	}
	return added, err
}

// HashDelete removes fields and returns how many there were. It returns ErrWrongType, or
// ErrNoMemory: then some may have been removed.
func (tx *Tx) HashDelete(db int, key []byte, fields ...[]byte) (deleted int, err error) {
	var h Hash
	if err = tx.OpenHash(&h, db, key); err != nil {
		return 0, err
	}
	for _, f := range fields {
		var ok bool
		if ok, err = h.Delete(f); err != nil {
			break
		}
		if ok {
			deleted++
		}
	}
	if saveErr := h.Save(); err == nil {
		err = saveErr
	}
	return deleted, err
}

// HashLen returns the number of fields of the hash at key, 0 if there is none, or ErrWrongType.
func (tx *Tx) HashLen(db int, key []byte) (n int64, err error) {
	var h Hash
	if err = tx.OpenHash(&h, db, key); err != nil {
		return 0, err
	}
	return h.Len(), nil
}

// HashScan visits fields of the hash at key: see Hash.Scan. It returns ErrWrongType if the key
// holds something else.
func (tx *Tx) HashScan(db int, key []byte, cursor uint64, count int, fn func(e *Element)) (next uint64, err error) {
	var h Hash
	if err = tx.OpenHash(&h, db, key); err != nil {
		return 0, err
	}
	return h.Scan(cursor, count, fn), nil
}
