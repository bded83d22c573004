package kv

import (
	"slices"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// fitsBlock tells whether a list with so many elements and bytes may lie in one block.
func (l *List) fitsBlock(elems int64, bytes int) bool {
	size := l.c.tx.s.Limits().ListSize
	return bytes <= maxListBlock && (size < 0 || elems <= max(size, 1))
}

// packedRoom is more than a listpack needs for an element besides its bytes.
const packedRoom = 11

// Push adds elements, one after the other, at an end. It counts as many changes. After an
// error, ErrNoMemory or ErrTooLong, nothing has changed, except that of several elements
// the first may be there, where not even taking them away again finds memory.
func (l *List) Push(end End, elems [][]byte) error {
	if len(elems) == 0 {
		return nil
	}
	if !l.isTree() {
		if bytes := l.packedBytes(elems); l.fitsBlock(l.Len()+int64(len(elems)), bytes) {
			b := l.copyBlock()
			for _, e := range elems {
				if end == Left {
					b = packed.Insert(b, packed.First(b), e)
				} else {
					b = packed.Append(b, e)
				}
			}
			return l.storeBlock(b, len(elems))
		}
		return l.toTree(int64(len(elems)), func() error { return l.pushTree(end, elems) })
	}
	if err := l.pushTree(end, elems); err != nil {
		return firstError(err, l.saved(0))
	}
	return l.saved(int64(len(elems)))
}

// packedBytes returns at least the bytes of the block with elements added.
func (l *List) packedBytes(elems [][]byte) int {
	n := len(l.c.packed())
	for _, e := range elems {
		n += len(e) + packedRoom
		if n > maxListBlock {
			break
		}
	}
	return n
}

// copyBlock returns the block in memory of the Tx, an empty one if there is no list.
func (l *List) copyBlock() []byte {
	if !l.c.exists {
		return packed.AppendNew(l.c.tx.scratch())
	}
	return append(l.c.tx.scratch(), l.c.packed()...)
}

// storeBlock makes b the list. It counts as so many changes.
func (l *List) storeBlock(b []byte, changes int) error {
	l.c.tx.keep(b)
	if err := l.c.setPacked(EncListpack, b); err != nil {
		return err
	}
	l.c.tx.MarkChanged(int64(changes) - 1)
	return nil
}

// saved keeps the changes of the tree, which count as so many.
func (l *List) saved(changes int64) error {
	if err := l.c.save(); err != nil {
		return err
	}
	l.c.tx.MarkChanged(changes - 1)
	return nil
}

// dropped deletes the list, which has lost its last elements: so many changes.
func (l *List) dropped(changes int64) {
	l.c.remove()
	l.c.tx.MarkChanged(changes - 1)
}

// toTree makes the list, which is a block or not there, a tree with a change, which counts as
// so many. After an error the list is what it was.
func (l *List) toTree(changes int64, change func() error) error {
	l.c.startTrees()
	err := l.fillTree()
	if err == nil {
		err = change()
	}
	if err != nil {
		l.c.freeTrees()
		return err
	}
	if err = l.c.becomeTrees(EncTree); err != nil {
		return err
	}
	return l.saved(changes)
}

// fillTree puts the elements of the block, if there is one, into an empty tree.
func (l *List) fillTree() error {
	if !l.c.exists {
		return nil
	}
	b, t := l.c.packed(), l.c.tree(0)
	var buf [8]byte
	for at := packed.First(b); at >= 0; at = packed.Next(b, at) {
		v := packed.Get(b, at)
		value := v.Text
		if v.IsInt {
			value = appendListInt(buf[:0], v.Int)
		}
		if err := t.InsertAt(t.Count, value, v.IsInt); err != nil {
			return storeError(err)
		}
	}
	return nil
}

// pushTree adds elements to the tree. After an error it is as it was.
func (l *List) pushTree(end End, elems [][]byte) error {
	t := l.c.tree(0)
	var buf [8]byte
	for i, e := range elems {
		value, isInt := listRecord(&buf, e)
		rank := int64(0)
		if end == Right {
			rank = t.Count
		}
		if err := t.InsertAt(rank, value, isInt); err != nil {
			if end == Right {
				rank = t.Count - int64(i)
			}
			// What cannot be undone for want of memory stays.
			_ = t.DeleteRange(rank, int64(i))
			return storeError(err)
		}
	}
	return nil
}

// Pop removes n elements at an end, or as many as there are, and counts as many changes.
func (l *List) Pop(end End, n int64) error {
	from := int64(0)
	if end == Right {
		from = max(l.Len()-n, 0)
	}
	return l.cut(from, n)
}

// cut removes n elements, or as many as there are, from index from on.
func (l *List) cut(from, n int64) error {
	has := l.Len()
	n = min(n, has-from)
	switch {
	case n <= 0:
		return nil
	case n == has:
		l.dropped(n)
		return nil
	case l.c.isTree():
		if err := l.c.tree(0).DeleteRange(from, n); err != nil {
			return firstError(storeError(err), l.saved(0))
		}
		return l.saved(n)
	}
	b := l.copyBlock()
	return l.storeBlock(packed.Delete(b, packed.Seek(b, int(from)), int(n)), int(n))
}

// Trim keeps the elements from index from to index to, both included, both counted from
// the end if negative, and returns how many others it has removed. The key counts as
// touched in any case.
func (l *List) Trim(from, to int64) (removed int64, err error) {
	n := l.Len()
	if from < 0 {
		from = max(from+n, 0)
	}
	if to < 0 {
		to += n
	}
	to = min(to, n-1)
	switch {
	case n == 0:
		return 0, nil
	case from > to:
		l.dropped(n)
		return n, nil
	}
	right := n - 1 - to
	if from+right == 0 {
		return 0, l.touch()
	}
	if err = l.cut(to+1, right); err != nil {
		return 0, err
	}
	return from + right, l.cut(0, from)
}

// touch tells the watchers of the key that it has changed, though it has not.
func (l *List) touch() error {
	if l.c.isTree() {
		return l.saved(0)
	}
	return l.storeBlock(l.copyBlock(), 0)
}

// Set replaces the element with that index, -1 being the last one; false if there is none.
func (l *List) Set(i int64, elem []byte) (ok bool, err error) {
	if i, ok = l.index(i); !ok {
		return false, nil
	}
	if !l.c.isTree() {
		if l.fitsBlock(l.Len(), l.packedBytes([][]byte{elem})) {
			b := l.copyBlock()
			return true, l.storeBlock(packed.Replace(b, packed.Seek(b, int(i)), elem), 1)
		}
		return true, l.toTree(1, func() error { return l.setTree(i, elem) })
	}
	if err = l.setTree(i, elem); err != nil {
		return true, firstError(err, l.saved(0))
	}
	return true, l.saved(1)
}

func (l *List) setTree(i int64, elem []byte) error {
	var buf [8]byte
	value, isInt := listRecord(&buf, elem)
	return storeError(l.c.tree(0).SetAt(i, value, isInt))
}

// Insert adds elem before index i; at the end if that is the length.
func (l *List) Insert(i int64, elem []byte) error {
	switch i {
	case 0:
		return l.Push(Left, [][]byte{elem})
	case l.Len():
		return l.Push(Right, [][]byte{elem})
	}
	if !l.c.isTree() {
		if l.fitsBlock(l.Len()+1, l.packedBytes([][]byte{elem})) {
			b := l.copyBlock()
			return l.storeBlock(packed.Insert(b, packed.Seek(b, int(i)), elem), 1)
		}
		return l.toTree(1, func() error { return l.insertTree(i, elem) })
	}
	if err := l.insertTree(i, elem); err != nil {
		return firstError(err, l.saved(0))
	}
	return l.saved(1)
}

func (l *List) insertTree(i int64, elem []byte) error {
	var buf [8]byte
	value, isInt := listRecord(&buf, elem)
	return storeError(l.c.tree(0).InsertAt(i, value, isInt))
}

// Remove removes elements that equal elem, at most limit of them, beginning at an end, and
// returns how many. It counts as many changes.
func (l *List) Remove(elem []byte, end End, limit int64) (removed int64, err error) {
	var at []int64
	l.Find(elem, end == Right, l.Len(), func(i int64) bool {
		at = append(at, i)
		return int64(len(at)) < limit
	})
	removed = int64(len(at))
	if removed == 0 {
		return 0, nil
	}
	if end == Left {
		slices.Reverse(at)
	}
	switch {
	case removed == l.Len():
		l.dropped(removed)
		return removed, nil
	case l.c.isTree():
		if err = l.removeTree(at); err != nil {
			return 0, firstError(err, l.saved(0))
		}
		return removed, l.saved(removed)
	}
	b := l.copyBlock()
	for _, i := range at {
		b = packed.Delete(b, packed.Seek(b, int(i)), 1)
	}
	return removed, l.storeBlock(b, int(removed))
}

// removeTree removes the elements with those indexes, which descend. So many that a new
// tree of the others takes less time are removed that way.
func (l *List) removeTree(at []int64) error {
	t := l.c.tree(0)
	if int64(len(at)) > t.Count/rebuildShare {
		return l.rebuildWithout(at)
	}
	for i := 0; i < len(at); {
		n := 1
		for i+n < len(at) && at[i+n] == at[i]-int64(n) {
			n++
		}
		if err := t.DeleteRange(at[i]-int64(n)+1, int64(n)); err != nil {
			return storeError(err) // what is gone is gone
		}
		i += n
	}
	return nil
}

// rebuildShare is the share of elements above whose reciprocal a new tree is made.
const rebuildShare = 8

// rebuildWithout makes a new tree of all elements but those with the indexes at, which
// descend.
func (l *List) rebuildWithout(at []int64) error {
	t := l.c.tree(0)
	b := tree.NewBuilder(l.c.space(), shapes[TypeList][0])
	cur := t.FromAt(0)
	var r tree.Record
	last := len(at) - 1
	for i := int64(0); cur.Next(&r); i++ {
		if last >= 0 && at[last] == i {
			last--
			continue
		}
		if err := b.Add(nil, r.Value, r.Flag); err != nil {
			b.Abort()
			return storeError(err)
		}
	}
	root, err := b.Root()
	if err != nil {
		return storeError(err)
	}
	t.Free()
	t.Root = root
	return nil
}
