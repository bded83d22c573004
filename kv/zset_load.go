package kv

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// errZsetRecord is for a Record whose Value is not what Enc says, has a member twice or a score
// that is NaN.
var errZsetRecord = errors.New("kv: a record of a sorted set is damaged")

// loadZset stores a record of a sorted set, or adds it to what is there. The elements may come
// in any order: they are sorted for both trees, so that those that belong together are
// inserted together.
func (c *coll) loadZset(r *Record) error {
	z := Zset{c: *c}
	err := z.load(r)
	*c = z.c
	return err
}

func (z *Zset) load(r *Record) error {
	if r.Enc == EncListpack {
		if packed.Len(r.Value)%2 != 0 {
			return errZsetRecord
		}
		if !z.c.exists && int64(packed.Len(r.Value)/2) <= z.c.tx.s.Limits().ZsetEntries && blockSorted(r.Value) {
			return z.c.setPacked(EncListpack, r.Value)
		}
		return z.addAll(listOfBlock(r.Value))
	}
	f, err := readFlat(TypeZset, r.Value, errZsetRecord)
	switch {
	case err != nil:
		return err
	case z.c.exists && z.c.isTree():
	case !z.c.exists && int64(f.n) > z.c.tx.s.Limits().ZsetEntries:
		if err = z.c.makeBulkTrees(2 * len(r.Value)); err != nil {
			return err
		}
	default:
		return z.addAll(listOfFlat(&f))
	}
	return firstError(z.fillFlat(&f), z.c.save())
}

// fillFlat adds new members to the trees.
func (z *Zset) fillFlat(f *flatValue) error {
	twice, err := z.c.addHashed(f, z.c.tx.s.byHash(f))
	if err == nil && twice {
		err = errZsetRecord
	}
	if err != nil {
		return err
	}
	t := z.c.tree(byScore)
	add := func(key, value []byte, flag bool) error {
		_, err := t.Put(key, value, flag)
		return err
	}
	var b *tree.Builder
	if t.Count == 0 {
		b = tree.NewBuilder(z.c.space(), shapes[TypeZset][byScore])
		add = b.Add
	}
	var buf [setKeyBuffer]byte
	key := buf[:0]
	for _, e := range f.byScore() {
		member, rest := f.at(int(e.off))
		key = append(binary.BigEndian.AppendUint64(key[:0], e.score), member...)
		if err := add(key, nil, e.score == zeroScore && minusZero(readScore(rest))); err != nil {
			if b != nil {
				b.Abort()
			}
			return storeError(err)
		}
	}
	if b != nil {
		return z.c.built(byScore, b)
	}
	return nil
}

// scored is an element of a sorted set: its score in the form of scoreKey, and its offset.
type scored struct {
	score uint64
	off   uint32
}

// zeroScore is the score of 0 and -0 in the form of scoreKey.
const zeroScore = 1 << 63

// byScore returns the elements in the order of the tree of scores. Dumps have them in order,
// ascending or descending, so that there is nothing to sort.
func (f *flatValue) byScore() []scored {
	list := make([]scored, f.n)
	compare := func(a, b scored) int {
		if a.score != b.score {
			return cmp.Compare(a.score, b.score)
		}
		x, _ := f.at(int(a.off))
		y, _ := f.at(int(b.off))
		return bytes.Compare(x, y)
	}
	up, down := true, true
	for i, off := 0, 0; i < len(list); i++ {
		_, rest := f.at(off)
		list[i] = scored{scoreBits(readScore(rest)), uint32(off)}
		if i > 0 {
			c := compare(list[i-1], list[i])
			up, down = up && c < 0, down && c > 0
		}
		off = f.next(off)
	}
	switch {
	case up:
	case down:
		slices.Reverse(list)
	default:
		slices.SortFunc(list, compare)
	}
	return list
}

// addAll adds new members, which count as one change, and saves.
func (z *Zset) addAll(list []ZsetElement) error {
	if len(list) == 0 {
		return nil
	}
	if !z.c.isTree() {
		old := z.block()
		if old != nil {
			list = append(list, listOfBlock(bytes.Clone(old))...)
		}
		if z.fitAll(list) {
			return z.setList(list)
		}
		if err := z.c.makeTrees(EncTree); err != nil {
			return err
		}
	}
	err := z.fill(list, true)
	return firstError(err, z.c.save())
}

// fitAll tells whether a set of these members may lie in one block.
func (z *Zset) fitAll(list []ZsetElement) bool {
	l := z.c.tx.s.Limits()
	if int64(len(list)) > l.ZsetEntries {
		return false
	}
	total := 0
	for i := range list {
		if int64(len(list[i].Member)) > l.ZsetValue {
			return false
		}
		total += len(list[i].Member)
	}
	return total <= maxListpack
}

// setList makes the set one block of the elements.
func (z *Zset) setList(list []ZsetElement) error {
	SortZset(list)
	if hasTwice(list) {
		return errZsetRecord
	}
	b := packed.AppendNew(z.c.tx.scratch())
	var text [32]byte
	for i := range list {
		b = packed.Append(b, list[i].Member)
		b = packed.Append(b, appendScore(text[:0], list[i].Score))
	}
	err := z.c.setPacked(EncListpack, b)
	z.c.tx.keep(b)
	return err
}

// hasTwice tells whether a member stands twice in a short list.
func hasTwice(list []ZsetElement) bool {
	seen := make(map[string]struct{}, len(list))
	for i := range list {
		seen[string(list[i].Member)] = struct{}{}
	}
	return len(seen) < len(list)
}

// fill adds new elements to the trees, and sorts the list for it. A member that is there already
// is an error with strict; without it is left out.
func (z *Zset) fill(list []ZsetElement, strict bool) error {
	type place struct {
		hash uint32
		i    int32
	}
	s := z.c.tx.s
	var buf [setKeyBuffer]byte
	key := buf[:0]
	order := make([]place, len(list))
	for i := range list {
		key = s.appendHashKey(key[:0], list[i].Member)
		order[i] = place{binary.BigEndian.Uint32(key), int32(i)}
	}
	slices.SortFunc(order, func(a, b place) int { return cmp.Compare(a.hash, b.hash) })
	var value [8]byte
	names := z.c.tree(byMember)
	for _, p := range order {
		e := &list[p.i]
		key = append(binary.BigEndian.AppendUint32(key[:0], p.hash), e.Member...)
		binary.LittleEndian.PutUint64(value[:], math.Float64bits(e.Score))
		if !strict {
			if _, there := names.Get(key); there {
				e.Score = math.NaN()
				continue
			}
		}
		added, err := names.Put(key, value[:], false)
		if err != nil {
			return storeError(err)
		}
		if !added {
			return errZsetRecord
		}
	}
	if !strict {
		list = slices.DeleteFunc(list, func(e ZsetElement) bool { return e.Score != e.Score })
	}
	SortZset(list)
	scores := z.c.tree(byScore)
	for i := range list {
		key = append(appendScoreKey(key[:0], list[i].Score), list[i].Member...)
		if _, err := scores.Put(key, nil, minusZero(list[i].Score)); err != nil {
			return storeError(err)
		}
	}
	return nil
}

// blockSorted tells whether the elements of a listpack ascend.
func blockSorted(b []byte) bool {
	list := listOfBlock(b)
	for i := 1; i < len(list); i++ {
		if list[i-1].compare(&list[i]) >= 0 {
			return false
		}
	}
	return true
}

// listOfBlock returns the elements of a listpack, whose memory they share.
func listOfBlock(b []byte) []ZsetElement {
	if b == nil {
		return nil
	}
	list := make([]ZsetElement, 0, packed.Len(b)/2)
	for at := packed.First(b); at >= 0; {
		v := packed.Get(b, at)
		member := v.Text
		if v.IsInt {
			member = v.Append(nil)
		}
		at = packed.Next(b, at)
		list = append(list, ZsetElement{member, scoreAt(b, at)})
		at = packed.Next(b, at)
	}
	return list
}

// listOfFlat returns the elements in a Value of EncFlat, whose memory they share.
func listOfFlat(f *flatValue) []ZsetElement {
	list := make([]ZsetElement, 0, f.n)
	for off := 0; off < len(f.b); off = f.next(off) {
		member, rest := f.at(off)
		list = append(list, ZsetElement{member, readScore(rest)})
	}
	return list
}

// StoreZset makes key hold a sorted set of these elements, whatever it held before, without an
// expiry; no elements delete it. Members must differ and must not lie in the store. The list is
// sorted. It counts as one change, or none if there is nothing to delete. After ErrNoMemory there is
// no such key.
func (tx *Tx) StoreZset(db int, key []byte, list []ZsetElement) error {
	deleted := tx.Delete(db, key)
	if len(list) == 0 {
		return nil
	}
	if deleted {
		tx.MarkChanged(-1)
	}
	var z Zset
	if err := tx.OpenZset(&z, db, key); err != nil {
		return err
	}
	err := z.store(list)
	if err != nil && z.c.exists {
		z.c.remove()
	}
	return err
}

// store adds elements to a set that does not exist.
func (z *Zset) store(list []ZsetElement) error {
	size := 0
	for i := range list {
		size += binary.MaxVarintLen32 + len(list[i].Member) + scoreKeySize
	}
	if int64(len(list)) <= z.c.tx.s.Limits().ZsetEntries || int64(size) > math.MaxUint32 {
		return z.addAll(list)
	}
	f := flatValue{b: make([]byte, 0, size), typ: TypeZset, n: len(list)}
	for i := range list {
		f.b = binary.AppendUvarint(f.b, uint64(len(list[i].Member)))
		f.b = append(f.b, list[i].Member...)
		f.b = binary.LittleEndian.AppendUint64(f.b, math.Float64bits(list[i].Score))
	}
	if err := z.c.makeBulkTrees(2 * len(f.b)); err != nil {
		return err
	}
	return firstError(z.fillFlat(&f), z.c.save())
}
