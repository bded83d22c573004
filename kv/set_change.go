package kv

import (
	"strconv"

	"kvd/kv/packed"
)

// setBlock is a set in one block that is being changed, in scratch memory.
type setBlock struct {
	b   []byte
	enc Encoding
	len int
	lim *Limits
}

// block copies the set, which is no tree, for changing. One that does not exist is an empty intset.
func (s *Set) block() setBlock {
	k := setBlock{lim: s.c.tx.s.Limits(), enc: EncIntset, len: int(s.Len())}
	switch {
	case !s.c.exists && s.plain:
		k.enc, k.b = EncListpack, packed.AppendNew(s.c.tx.scratch())
		return k
	case !s.c.exists:
		k.b = packed.AppendIntset(s.c.tx.scratch())
		return k
	}
	k.enc, k.b = s.c.enc, append(s.c.tx.scratch(), s.c.packed()...)
	return k
}

// add adds a member and tells whether it was not there. full says that the block cannot
// take it: the set must become a tree, and has not changed.
func (k *setBlock) add(member []byte) (added, full bool) {
	if k.enc == EncIntset {
		n, isInt := setInteger(member)
		if isInt {
			if _, found := packed.IntsetFind(k.b, n); found {
				return false, false
			}
			if int64(k.len) < k.lim.SetIntset && len(k.b) < maxSetBlock {
				k.b, _ = packed.IntsetAdd(k.b, n)
				k.len++
				return true, false
			}
		}
		if !k.toListpack() {
			return false, true
		}
	} else if packed.Find(k.b, packed.First(k.b), member, 0) >= 0 {
		return false, false
	}
	if int64(k.len) >= k.lim.SetEntries || int64(len(member)) > k.lim.SetValue || len(k.b)+len(member) > maxSetBlock {
		return false, true
	}
	k.b = packed.Append(k.b, member)
	k.len++
	return true, false
}

// toListpack makes an intset a listpack, if the limits allow one with one more member.
func (k *setBlock) toListpack() bool {
	if int64(k.len) >= k.lim.SetEntries {
		return false
	}
	if k.len > 0 {
		var first, last [20]byte
		longest := max(len(strconv.AppendInt(first[:0], packed.IntsetAt(k.b, 0), 10)),
			len(strconv.AppendInt(last[:0], packed.IntsetAt(k.b, k.len-1), 10)))
		if int64(longest) > k.lim.SetValue {
			return false
		}
	}
	b := packed.NewListpack()
	for i := range k.len {
		b = packed.AppendInt(b, packed.IntsetAt(k.b, i))
	}
	k.b, k.enc = b, EncListpack
	return true
}

// remove removes a member and tells whether it was there.
func (k *setBlock) remove(member []byte) (removed bool) {
	if k.enc == EncIntset {
		if n, ok := setInteger(member); ok {
			k.b, removed = packed.IntsetDelete(k.b, n)
		}
	} else if at := packed.Find(k.b, packed.First(k.b), member, 0); at >= 0 {
		k.b, removed = packed.Delete(k.b, at, 1), true
	}
	if removed {
		k.len--
	}
	return removed
}

// Add adds members and returns how many were not there. Each counts as a change. After
// ErrNoMemory those counted have been added.
func (s *Set) Add(members [][]byte) (added int64, err error) {
	if len(members) == 1 && s.Has(members[0]) { // nothing is copied for it
		return 0, nil
	}
	added, err = s.add(eachOf(members))
	if added > 0 {
		s.c.tx.MarkChanged(added - 1)
	}
	return added, err
}

// eachOf returns a function that returns members one by one.
func eachOf(members [][]byte) func() (member []byte, ok bool) {
	return func() (member []byte, ok bool) {
		if len(members) == 0 {
			return nil, false
		}
		member, members = members[0], members[1:]
		return member, true
	}
}

// add is Add for the members that next returns; all of them are one change.
func (s *Set) add(next func() (member []byte, ok bool)) (added int64, err error) {
	if s.isTree() {
		if added, err = s.addToTree(next); added > 0 {
			err = firstError(err, s.c.save())
		}
		return added, err
	}
	k := s.block()
	defer func() { s.c.tx.keep(k.b) }()
	for member, ok := next(); ok; member, ok = next() {
		isNew, full := k.add(member)
		if full {
			return s.addOverflow(&k, added, member, next)
		}
		if isNew {
			added++
		}
	}
	if added == 0 {
		return 0, nil
	}
	if err = s.c.setPacked(k.enc, k.b); err != nil {
		return 0, err
	}
	return added, nil
}

// addOverflow makes a block that has become too big a tree and goes on with member.
func (s *Set) addOverflow(k *setBlock, added int64, member []byte, next func() ([]byte, bool)) (int64, error) {
	if err := s.toTree(k); err != nil {
		return 0, err
	}
	first := true
	more, err := s.addToTree(func() ([]byte, bool) {
		if first {
			first = false
			return member, true
		}
		return next()
	})
	if s.c.tree(0).Count == 0 { // no memory for the first one
		s.c.remove()
		s.c.tx.MarkChanged(-1)
		return 0, err
	}
	return added + more, firstError(err, s.c.save())
}

// toTree makes the set a tree of the members of a block, which the caller saves. After ErrNoMemory
// the set is what it was.
func (s *Set) toTree(k *setBlock) (err error) {
	s.c.startTrees()
	t := s.c.tree(0)
	var text []byte
	var buf [setKeyBuffer]byte
	key := buf[:0]
	eachOfSetBlock(k.b, k.enc, func(v *packed.Value) bool {
		text = v.Append(text[:0])
		key = s.c.tx.s.appendHashKey(key[:0], text)
		_, err = t.Put(key, nil, false)
		return err == nil
	})
	if err != nil {
		s.c.freeTrees()
		return storeError(err)
	}
	return s.c.becomeTrees(EncTree)
}

// addToTree adds members to a tree, which the caller saves.
func (s *Set) addToTree(next func() (member []byte, ok bool)) (added int64, err error) {
	t, copies := s.c.tree(0), s.c.copies()
	var buf [setKeyBuffer]byte
	key := buf[:0]
	for member, ok := next(); ok; member, ok = next() {
		if len(member) > MaxString {
			return added, ErrTooLong
		}
		key = s.c.tx.s.appendHashKey(key[:0], member)
		// Put would copy the nodes that a cut holds for a member that is there as well, and
		// who has added none saves none.
		if copies {
			if _, found := t.Get(key); found {
				continue
			}
		}
		isNew, err := t.Put(key, nil, false)
		if err != nil {
			return added, storeError(err)
		}
		if isNew {
			added++
		}
	}
	return added, nil
}

// firstError returns the first of two errors that is one.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Remove removes members and returns how many were there. Each counts as a change.
func (s *Set) Remove(members [][]byte) (removed int64, err error) {
	if !s.c.exists || len(members) == 1 && !s.Has(members[0]) {
		return 0, nil
	}
	if s.c.isTree() {
		removed, err = s.removeFromTree(members)
	} else {
		removed, err = s.removeFromBlock(members)
	}
	if removed > 0 {
		s.c.tx.MarkChanged(removed - 1)
	}
	return removed, err
}

func (s *Set) removeFromTree(members [][]byte) (removed int64, err error) {
	t := s.c.tree(0)
	var buf [setKeyBuffer]byte
	key := buf[:0]
	for _, m := range members {
		key = s.c.tx.s.appendHashKey(key[:0], m)
		found, e := t.Delete(key)
		if e != nil {
			err = storeError(e)
			break
		}
		if found {
			removed++
		}
	}
	if removed > 0 {
		err = firstError(err, s.saveTree())
	}
	return removed, err
}

// saveTree ends a change of the tree.
func (s *Set) saveTree() error {
	empty := s.c.tree(0).Count == 0
	err := s.c.save()
	if empty && err == nil {
		s.c.remove()
		s.c.tx.MarkChanged(-1)
	}
	return err
}

func (s *Set) removeFromBlock(members [][]byte) (removed int64, err error) {
	k := s.block()
	defer func() { s.c.tx.keep(k.b) }()
	for _, m := range members {
		if k.remove(m) {
			removed++
		}
	}
	if removed == 0 {
		return 0, nil
	}
	return removed, s.saveBlock(&k)
}

// saveBlock ends a change of the block.
func (s *Set) saveBlock(k *setBlock) error {
	if k.len == 0 {
		s.c.remove()
		return nil
	}
	return s.c.setPacked(k.enc, k.b)
}
