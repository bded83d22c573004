package kv

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/tree"
)

// Many elements at a time: they are brought into the order of their tree first, so that an empty
// one is built from left to right, and one that has some gets those of a leaf together. An
// item stands for an element: the hash in front of its key above, below where it is.

// flatValue is a Value of EncFlat that has been looked through.
type flatValue struct {
	b    []byte
	typ  Type // says what follows an element: a value, a score or nothing
	n    int
	long int // the length of the longest element, or value
}

// readFlat looks a Value of EncFlat through: it is well-formed if there is no error, which is damaged,
// or ErrTooLong for an element.
func readFlat(typ Type, b []byte, damaged error) (f flatValue, err error) {
	f = flatValue{b: b, typ: typ}
	if uint64(len(b)) > math.MaxUint32 {
		return f, ErrTooLong
	}
	for at := 0; at < len(b); f.n++ {
		elem, ok := flatAt(b, at)
		if !ok {
			return f, damaged
		}
		at += elem.size
		f.long = max(f.long, elem.n)
		switch typ {
		case TypeHash:
			value, ok := flatAt(b, at)
			if !ok {
				return f, damaged
			}
			at += value.size
			f.long = max(f.long, value.n)
		case TypeZset:
			if len(b)-at < scoreKeySize {
				return f, damaged
			}
			if score := readScore(b[at:]); score != score {
				return f, damaged
			}
			at += scoreKeySize
		}
	}
	if f.long > MaxString {
		return f, ErrTooLong
	}
	return f, nil
}

// flatSpan is a string with its length before it: of n bytes, the last of size.
type flatSpan struct{ n, size int }

func flatAt(b []byte, at int) (s flatSpan, ok bool) {
	if at < len(b) && b[at] < 0x80 {
		n := int(b[at])
		return flatSpan{n, n + 1}, n < len(b)-at
	}
	n, k := binary.Uvarint(b[at:])
	if k <= 0 || n > uint64(len(b)-at-k) {
		return s, false
	}
	return flatSpan{int(n), int(n) + k}, true
}

// at returns the element at an offset, which is one, and what follows it.
func (f *flatValue) at(off int) (elem, rest []byte) {
	s, _ := flatAt(f.b, off)
	end := off + s.size
	return f.b[end-s.n : end], f.b[end:]
}

// next returns the offset behind the element at off and what belongs to it.
func (f *flatValue) next(off int) int {
	s, _ := flatAt(f.b, off)
	off += s.size
	switch f.typ {
	case TypeHash:
		s, _ = flatAt(f.b, off)
		off += s.size
	case TypeZset:
		off += scoreKeySize
	}
	return off
}

// byHash returns an item for each element, its offset in it, in the order of a tree of hashes.
func (s *Store) byHash(f *flatValue) []uint64 {
	items := make([]uint64, f.n)
	for i, off := 0, 0; i < len(items); i++ {
		elem, _ := f.at(off)
		items[i] = s.item(elem, off)
		off = f.next(off)
	}
	return sortItems(items, func(off int) []byte {
		elem, _ := f.at(off)
		return elem
	})
}

// item returns the item of an element.
func (s *Store) item(elem []byte, at int) uint64 {
	return s.hasher.Hash(elem)>>32<<32 | uint64(at)
}

// sortItems sorts items by their hashes, and those that have the same by the bytes of their elements. It
// may return other memory than items has.
func sortItems(items []uint64, elem func(at int) []byte) []uint64 {
	switch {
	case slices.IsSorted(items): // they come from trees
	case len(items) < radixFrom:
		slices.Sort(items)
	default:
		items = radixSort(items)
	}
	for i := 1; i < len(items); i++ {
		if items[i]>>32 != items[i-1]>>32 {
			continue
		}
		from := i - 1
		for i < len(items) && items[i]>>32 == items[from]>>32 {
			i++
		}
		slices.SortFunc(items[from:i], func(a, b uint64) int {
			return bytes.Compare(elem(int(uint32(a))), elem(int(uint32(b))))
		})
	}
	return items
}

// radixFrom is the number of items from which counting their digits is faster than comparing them.
const radixFrom = 512

// radixSort sorts items by their upper halves, a byte at a time from the lowest one.
func radixSort(items []uint64) []uint64 {
	var counts [4][256]int
	for _, x := range items {
		counts[0][uint8(x>>32)]++
		counts[1][uint8(x>>40)]++
		counts[2][uint8(x>>48)]++
		counts[3][uint8(x>>56)]++
	}
	other := make([]uint64, len(items))
	for digit := range counts {
		c := &counts[digit]
		sum := 0
		for i, n := range c {
			c[i] = sum
			sum += n
		}
		shift := 32 + 8*digit
		for _, x := range items {
			d := uint8(x >> shift)
			other[c[d]] = x
			c[d]++
		}
		items, other = other, items
	}
	return items
}

// touchAhead is how many elements are fetched from memory side by side.
const touchAhead = 32

// touch reads a byte of each of the next elements. It is not inlined, or the compiler would leave it out.
//
//go:noinline
func (f *flatValue) touch(items []uint64) (sum byte) {
	for _, it := range items[:min(len(items), touchAhead)] {
		sum += f.b[uint32(it)]
	}
	return sum
}

// mergeShare is how many times as many elements as come a tree may have for a new one to be made of both: from
// there on it takes more time than to put them into it.
const mergeShare = 8

// mergeMax bounds the bytes of a tree that there are two of for a moment.
const mergeMax = 256 << 20

// addHashed adds elements to the first tree of a set, hash or sorted set. One that is there
// already, or comes twice, makes twice true. The caller saves.
func (c *coll) addHashed(f *flatValue, items []uint64) (twice bool, err error) {
	t := c.tree(0)
	if t.Count > int64(len(items))*mergeShare || t.Bytes > mergeMax {
		return c.eachHashed(f, items, t.Put)
	}
	m := merger{b: tree.NewBuilder(c.space(), shapes[c.typ][0]), from: t.FromAt(0)}
	m.more = m.from.Next(&m.rec)
	twice, err = c.eachHashed(f, items, m.add)
	if err == nil {
		err = m.rest()
	}
	var root tree.Root
	if err == nil {
		root, err = m.b.Root()
	}
	switch {
	case err == nil:
		t.Free()
		t.Root = root
		return twice, nil
	case t.Count > 0: // there may be no room for a second tree
		m.b.Abort()
		return c.eachHashed(f, items, t.Put)
	}
	m.b.Abort()
	return twice, storeError(err)
}

// merger makes a tree of the records of another one and of new ones, which come in order.
type merger struct {
	b    *tree.Builder
	from tree.Cursor
	rec  tree.Record // the next one of the other tree
	more bool        // there is one
}

// add adds a record, which is left out if the other tree has it.
func (m *merger) add(key, value []byte, flag bool) (added bool, err error) {
	for m.more {
		c := bytes.Compare(m.rec.Key, key)
		if c == 0 {
			return false, nil
		}
		if c > 0 {
			break
		}
		if err = m.take(); err != nil {
			return false, err
		}
	}
	return true, m.b.Add(key, value, flag)
}

func (m *merger) take() error {
	err := m.b.Add(m.rec.Key, m.rec.Value, m.rec.Flag)
	m.more = m.from.Next(&m.rec)
	return err
}

// rest adds what is left of the other tree.
func (m *merger) rest() error {
	for m.more {
		if err := m.take(); err != nil {
			return err
		}
	}
	return nil
}

// eachHashed adds the elements by add. One that comes twice makes twice true, and so does one that add
// does not add.
func (c *coll) eachHashed(f *flatValue, items []uint64, add func(key, value []byte, flag bool) (bool, error)) (twice bool, err error) {
	var room [setKeyBuffer]byte
	key, last := room[:0], uint64(math.MaxUint64)
	for i, it := range items {
		if i%touchAhead == 0 {
			f.touch(items[i:])
		}
		elem, value := f.at(int(uint32(it)))
		if it>>32 == last && bytes.Equal(key[hashKeySize:], elem) {
			twice = true
			continue
		}
		last = it >> 32
		switch c.typ {
		case TypeSet:
			value = nil
		case TypeZset:
			value = value[:scoreKeySize]
		default:
			s, _ := flatAt(value, 0)
			value = value[s.size-s.n : s.size]
		}
		key = append(binary.BigEndian.AppendUint32(key[:0], uint32(last)), elem...)
		added, err := add(key, value, false)
		if err != nil {
			return twice, storeError(err)
		}
		twice = twice || !added
	}
	return twice, nil
}

// built makes what a builder has made one of the trees, which is empty.
func (c *coll) built(i int, b *tree.Builder) error {
	root, err := b.Root()
	if err != nil {
		b.Abort()
		return storeError(err)
	}
	c.tree(i).Root = root
	return nil
}

// makeBulkTrees is makeTrees for what will be filled with about so many bytes: if they are many, the
// trees get their own heap now, and need not be copied into one. It is for a key that does not exist; save
// must follow, whatever happens.
func (c *coll) makeBulkTrees(size int) error {
	if err := c.makeTrees(EncTree); err != nil || size <= promoteAt {
		return err
	}
	heap := c.tx.s.arena.NewHeap(arena.Data)
	c.big = c.tx.s.newBig(c.sh, c.db, heap, &c.id)
	for i := range shapes[c.typ] {
		c.roots[i] = tree.Open(tree.Space{Heap: heap, Guard: &c.big.guard}, shapes[c.typ][i], tree.Root{})
	}
	return nil
}
