package kv

import (
	"encoding/binary"

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
	if err := s.c.makeBulkTrees(len(members.text) + hashKeySize*members.Len()); err != nil {
		return err
	}
	err := firstError(s.fill(members), s.c.save())
	if err != nil {
		s.c.remove()
		s.c.tx.MarkChanged(-1)
	}
	return err
}

// fill makes members the tree, which is empty.
func (s *Set) fill(members *Members) error {
	b := tree.NewBuilder(s.c.space(), shapes[TypeSet][0])
	var buf [setKeyBuffer]byte
	key := buf[:0]
	items := make([]uint64, members.Len())
	for i := range items {
		items[i] = s.c.tx.s.item(members.At(i), i)
	}
	for _, it := range sortItems(items, members.At) {
		key = binary.BigEndian.AppendUint32(key[:0], uint32(it>>32))
		key = append(key, members.At(int(uint32(it)))...)
		if err := b.Add(key, nil, false); err != nil {
			b.Abort()
			return storeError(err)
		}
	}
	return s.c.built(0, b)
}
