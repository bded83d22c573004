package kv

import (
	"encoding/binary"
	"math/rand/v2"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// HashFields goes through the fields of a Hash that have not expired: those of a small hash in the
// order in which they were added, others in any. It is valid until the hash is changed.
type HashFields struct {
	it  Elements
	now int64
}

// Next decodes the next field into e: Member is its name. It returns false at the end.
func (f *HashFields) Next(e *Element) bool {
	for f.it.Next(e) {
		if e.ExpireAt == NoExpiry || e.ExpireAt > f.now {
			return true
		}
	}
	return false
}

// Fields returns an iterator that is before the first field.
func (h *Hash) Fields() HashFields { return HashFields{it: h.elements(), now: h.now} }

// elements goes through all fields.
func (h *Hash) elements() Elements {
	if h.c.isTree() {
		return h.fromRank(0)
	}
	b := h.bytes()
	if b == nil {
		return Elements{}
	}
	return h.fromOffset(packed.First(b))
}

func (h *Hash) fromRank(rank int64) Elements {
	return Elements{typ: TypeHash, enc: EncTree, cursor: h.c.tree(0).FromAt(rank)}
}

func (h *Hash) fromOffset(at int) Elements {
	enc := EncListpack
	if h.ttls {
		enc = EncListpackEx
	}
	return Elements{typ: TypeHash, enc: enc, block: h.bytes(), at: at}
}

// Scan visits fields, at least count of them if there are as many, from a cursor on; 0 starts. It
// returns the cursor to go on with, 0 at the end. A field that is there during a whole scan is
// visited, and only once as long as the hash stays a big one. fn gets borrowed slices and must not use the store.
func (h *Hash) Scan(cursor uint64, count int, fn func(e *Element)) (next uint64) {
	var e Element
	if !h.c.isTree() {
		for it := h.Fields(); it.Next(&e); {
			fn(&e)
		}
		return 0
	}
	// A cursor is 1 and the hash of the first field that is to be visited; fields with
	// the same hash are visited together.
	if cursor > 1<<32 {
		return 0
	}
	var from [hashKeySize]byte
	binary.BigEndian.PutUint32(from[:], uint32(max(cursor, 1)-1))
	c := h.c.tree(0).From(from[:])
	last := uint32(0)
	for n := 0; ; n++ {
		var r tree.Record
		if !c.Next(&r) {
			return 0
		}
		hash := binary.BigEndian.Uint32(r.Key)
		if n >= count && hash != last {
			return uint64(hash) + 1
		}
		last = hash
		at, value := fieldRecord(&r)
		if h.gone(at) {
			continue
		}
		e = Element{Member: packed.Value{Text: r.Key[hashKeySize:]}, Value: packed.Value{Text: value}, ExpireAt: at}
		fn(&e)
	}
}

// at decodes the i-th field, and tells whether it has not expired.
func (h *Hash) at(i int64, e *Element) bool {
	var it Elements
	if h.c.isTree() {
		it = h.fromRank(i)
	} else {
		it = h.fromOffset(packed.Seek(h.bytes(), int(i)*h.width()))
	}
	return it.Next(e) && !h.gone(e.ExpireAt)
}

// Random decodes a field into e, each with the same probability; false if there is none.
func (h *Hash) Random(e *Element) bool {
	live, all := h.Len(), h.all()
	if live == 0 {
		return false
	}
	if live > all/4 { // few tries are in vain
		for !h.at(rand.Int64N(all), e) {
			continue
		}
		return true
	}
	it := h.Fields()
	for n := rand.Int64N(live); n >= 0; n-- {
		it.Next(e)
	}
	return true
}

// Sample visits n different fields that are chosen at random, all if there are not so many. fn
// gets borrowed slices and must not use the store.
func (h *Hash) Sample(n int64, fn func(e *Element)) {
	var e Element
	live, all := h.Len(), h.all()
	n = min(n, live)
	if n < live/16 && live > all/4 { // a field is seldom met again
		seen := make(map[int64]struct{}, n)
		for int64(len(seen)) < n {
			i := rand.Int64N(all)
			if _, ok := seen[i]; ok || !h.at(i, &e) {
				continue
			}
			seen[i] = struct{}{}
			fn(&e)
		}
		return
	}
	// Each is taken with the probability that as many are chosen as are to come.
	it := h.Fields()
	for ; n > 0 && it.Next(&e); live-- {
		if rand.Int64N(live) < n {
			fn(&e)
			n--
		}
	}
}

// FieldsExpire tells whether it is a hash of which fields have, or had, an expiry.
func (it *Item) FieldsExpire() bool {
	switch {
	case it.Type != TypeHash:
		return false
	case hasTrees(it.Type, it.Encoding):
		return binary.LittleEndian.Uint64(headTail(it.Value, TypeHash)) != 0
	}
	return it.Encoding == EncListpackEx
}
