package kv

import (
	"bytes"
	"slices"

	"kvd/kv/internal/tree"
)

// StoreSet makes key hold a set of members, without an expiry, whatever it held before; no
// members delete it. It counts as one change, or none if there is nothing to delete. After
// ErrNoMemory the key is gone.
func (tx *Tx) StoreSet(db int, key []byte, members *Members) error {
	deleted := tx.Delete(db, key)
	if members.Len() == 0 {
		return nil
	}
	if deleted {
		tx.MarkChanged(-1)
	}
	var s Set
	if err := tx.OpenSet(&s, db, key); err != nil {
		return err
	}
	if members.Len() >= setBulk {
		lim := tx.s.Limits()
		if int64(members.Len()) > max(lim.SetIntset, lim.SetEntries) {
			return s.build(members)
		}
	}
	s.plain = members.Plain
	i := 0
	_, err := s.add(func() (member []byte, ok bool) {
		if i == members.Len() {
			return nil, false
		}
		i++
		return members.At(i - 1), true
	})
	return err
}

// setBulk is the number of members above which it pays to bring them into the order of the
// tree first.
const setBulk = 1000

// build makes a set that does not exist a tree of members.
func (s *Set) build(members *Members) error {
	if err := s.c.makeTrees(EncTree); err != nil {
		return err
	}
	b := tree.NewBuilder(s.c.space(), shapes[TypeSet][0])
	var buf [setKeyBuffer]byte
	key := buf[:0]
	for _, i := range s.c.tx.s.hashOrder(members.Len(), members.At) {
		key = s.c.tx.s.appendHashKey(key[:0], members.At(i))
		if err := b.Add(key, nil, false); err != nil {
			b.Abort()
			s.c.remove()
			s.c.tx.MarkChanged(-1)
			return storeError(err)
		}
	}
	root, err := b.Root()
	if err != nil {
		s.c.remove()
		s.c.tx.MarkChanged(-1)
		return storeError(err)
	}
	s.c.tree(0).Root = root
	return s.c.save()
}

// hashOrder returns the indexes of n members in the order of their keys in a tree.
func (s *Store) hashOrder(n int, at func(i int) []byte) []int {
	type item struct {
		hash uint32
		i    int32
	}
	items := make([]item, n)
	for i := range items {
		items[i] = item{uint32(s.hasher.Hash(at(i)) >> 32), int32(i)}
	}
	slices.SortFunc(items, func(a, b item) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return bytes.Compare(at(int(a.i)), at(int(b.i)))
	})
	order := make([]int, n)
	for i := range items {
		order[i] = int(items[i].i)
	}
	return order
}
