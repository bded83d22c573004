package kv

import (
	"strconv"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// Set is a set at a key of a Tx. While it is small it lies in one block: an intset if
// all members are the text of integers, else a listpack. A bigger one is a tree in the
// order of the members' hashes.
//
//	var s kv.Set
//	if err := tx.OpenSet(&s, db, key); err != nil {
//		return err // ErrWrongType
//	}
//	n, err := s.Add(members)
//
// It is valid until the Tx unlocks or the key is changed by other means. A key that does
// not exist is an empty set; Add makes it. A set that becomes empty is deleted.
type Set struct {
	c     coll
	plain bool // Add makes no intset
}

// maxSetBlock bounds the bytes of a set in one block, whatever the limits say: every
// change copies it.
const maxSetBlock = 16 << 20

// OpenSet makes s the set at key and notes the key's use. It returns ErrWrongType if the key
// holds something else.
func (tx *Tx) OpenSet(s *Set, db int, key []byte) error { return tx.open(&s.c, db, key, TypeSet) }

// Exists tells whether the key exists.
func (s *Set) Exists() bool { return s.c.exists }

// isTree tells whether the set is a tree.
func (s *Set) isTree() bool { return s.c.exists && s.c.isTree() }

// Len returns the number of members.
func (s *Set) Len() int64 {
	switch {
	case !s.c.exists:
		return 0
	case s.c.isTree():
		return s.c.tree(0).Count
	case s.c.enc == EncIntset:
		return int64(packed.IntsetLen(s.c.packed()))
	}
	return int64(packed.Len(s.c.packed()))
}

// Has tells whether member is in the set.
func (s *Set) Has(member []byte) bool {
	if !s.c.exists {
		return false
	}
	if s.c.isTree() {
		var buf [setKeyBuffer]byte
		_, ok := s.c.tree(0).Get(s.c.tx.s.appendHashKey(buf[:0], member))
		return ok
	}
	return setBlockHas(s.c.packed(), s.c.enc, member)
}

// setKeyBuffer is room for the tree's key of most members.
const setKeyBuffer = 128

// setBlockHas tells whether member is in a set that is one block.
func setBlockHas(b []byte, enc Encoding, member []byte) bool {
	if enc == EncIntset {
		n, ok := setInteger(member)
		if ok {
			_, ok = packed.IntsetFind(b, n)
		}
		return ok
	}
	return packed.Find(b, packed.First(b), member, 0) >= 0
}

// setInteger returns the number that a member is the canonical text of.
func setInteger(member []byte) (n int64, ok bool) {
	if !isInt(member) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(member), 10, 64)
	return n, err == nil
}

// Each calls fn with every member, in any order, until it returns false. What v points to is
// borrowed until fn returns; fn must not change the set.
func (s *Set) Each(fn func(v *packed.Value) bool) {
	if !s.c.exists {
		return
	}
	if !s.c.isTree() {
		eachOfSetBlock(s.c.packed(), s.c.enc, fn)
		return
	}
	cur := s.c.tree(0).FromAt(0)
	var r tree.Record
	var v packed.Value // it escapes to fn: one for all members
	for cur.Next(&r) {
		if v = setMember(&r); !fn(&v) {
			return
		}
	}
}

// setMember returns the member of a record of the tree.
func setMember(r *tree.Record) packed.Value { return packed.Value{Text: r.Key[hashKeySize:]} }

// eachOfSetBlock is Each for a set that is one block.
func eachOfSetBlock(b []byte, enc Encoding, fn func(v *packed.Value) bool) {
	var v packed.Value
	if enc == EncIntset {
		for i := range packed.IntsetLen(b) {
			if v = (packed.Value{Int: packed.IntsetAt(b, i), IsInt: true}); !fn(&v) {
				return
			}
		}
		return
	}
	for at := packed.First(b); at >= 0; at = packed.Next(b, at) {
		if v = packed.Get(b, at); !fn(&v) {
			return
		}
	}
}

// Scan calls fn with members from cursor on, 0 to begin, at least count of them if there are
// as many, and returns the cursor to go on with, 0 at the end; see scanHashed. A set in one
// block is visited as a whole.
func (s *Set) Scan(cursor uint64, count int, fn func(v *packed.Value)) (next uint64) {
	if s.isTree() {
		var v packed.Value
		return s.c.scanHashed(cursor, count, func(r *tree.Record) {
			v = setMember(r)
			fn(&v)
		})
	}
	s.Each(func(v *packed.Value) bool {
		fn(v)
		return true
	})
	return 0
}

// At returns the member of a rank in the set's own order, 0 <= rank < Len. It is borrowed.
func (s *Set) At(rank int64) packed.Value {
	if s.c.isTree() {
		r, _ := s.c.tree(0).At(rank)
		return setMember(&r)
	}
	b := s.c.packed()
	if s.c.enc == EncIntset {
		return packed.Value{Int: packed.IntsetAt(b, int(rank)), IsInt: true}
	}
	return packed.Get(b, packed.Seek(b, int(rank)))
}
