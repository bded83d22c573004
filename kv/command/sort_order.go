package command

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"kvd/kv/packed"
	"kvd/kv/resp"
)

// sortKey stands for an element while there is sorting: what it is sorted by as a number, and where it
// is. Numbers that are equal say nothing: what they stand for is compared.
type sortKey struct {
	number uint64
	at     uint32
}

// sorter orders the elements of a list.
type sorter struct {
	list  []*sortItem
	alpha bool
	by    bool // with alpha: by the items' texts
	whole bool
	desc  bool
}

// orderBy returns the elements from, … to-1 of a list that is sorted as Redis does it. Elements that it
// takes for equal, which differ only where they are not looked at, keep their order; but with BY and LIMIT
// they come as window happens to leave them.
func orderBy(o *sortOptions, list []*sortItem, from, to int64) []*sortItem {
	s := sorter{list: list, alpha: o.alpha, by: o.by != nil, whole: o.store != nil, desc: o.desc}
	keys := make([]sortKey, len(list))
	for i := range list {
		keys[i] = sortKey{s.number(list[i]), uint32(i)}
		if s.desc {
			keys[i].number = ^keys[i].number
		}
	}
	const fewTimes = 8
	switch {
	case s.alpha && s.by && to-from < int64(len(keys)):
		s.window(keys, int(from), int(to))
	case to < int64(len(keys))/fewTimes:
		keys = s.lowest(keys, int(to))
		fallthrough
	default:
		slices.SortFunc(keys, s.compare)
	}
	sorted := make([]*sortItem, 0, to-from)
	for _, k := range keys[from:to] {
		sorted = append(sorted, list[k.at])
	}
	return sorted
}

// number returns a number that is in the order in which item is sorted, as far as 64 bits tell.
func (s *sorter) number(item *sortItem) (n uint64) {
	if !s.alpha {
		return orderedBits(item.score)
	}
	var buf [32]byte
	var first [8]byte
	copy(first[:], s.text(item, buf[:0]))
	return binary.BigEndian.Uint64(first[:])
}

// orderedBits returns a number for f so that those of smaller ones are smaller.
func orderedBits(f float64) uint64 {
	if f == 0 {
		f = 0 // and not -0
	}
	bits := math.Float64bits(f)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

// text returns the text that item is sorted by with ALPHA, nil if there is none, in buf if it is a number.
// Redis uses strcoll when it does not store, which ends at a zero byte.
func (s *sorter) text(item *sortItem, buf []byte) []byte {
	t := item.text
	if !s.by {
		t = textOf(&item.elem, buf)
	}
	if t != nil && !s.whole {
		t = option(t)
	}
	return t
}

// compare is order that never takes two elements for equal: the one that came first is the lesser.
func (s *sorter) compare(a, b sortKey) int {
	if c := s.order(a, b); c != 0 {
		return c
	}
	return cmp.Compare(a.at, b.at)
}

// order orders by what elements are sorted by: by score, and by text where that is equal; or by text, what
// is missing first.
func (s *sorter) order(a, b sortKey) int {
	if a.number != b.number {
		return cmp.Compare(a.number, b.number)
	}
	x, y := s.list[a.at], s.list[b.at]
	var bufX, bufY [32]byte // an integer, or nothing
	c := 0
	if s.alpha {
		c = compareTexts(s.text(x, bufX[:0]), s.text(y, bufY[:0]))
	} else {
		c = bytes.Compare(textOf(&x.elem, bufX[:0]), textOf(&y.elem, bufY[:0]))
	}
	if s.desc {
		return -c
	}
	return c
}

// lowest returns the n keys that come first, in any order. The first n places are a heap with the last of
// them on top, in exchange for which others come in.
func (s *sorter) lowest(keys []sortKey, n int) []sortKey {
	heap := keys[:n]
	for i := n/2 - 1; i >= 0; i-- {
		s.sink(heap, i)
	}
	for _, k := range keys[n:] {
		if n > 0 && s.compare(k, heap[0]) < 0 {
			heap[0] = k
			s.sink(heap, 0)
		}
	}
	return heap
}

// sink brings the key at i of a heap to where it belongs among those below it.
func (s *sorter) sink(heap []sortKey, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && s.compare(heap[child], heap[child+1]) < 0 {
			child++
		}
		if s.compare(heap[i], heap[child]) >= 0 {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// textOf returns an element's text, in buf if it is a number.
func textOf(v *packed.Value, buf []byte) []byte {
	if v.IsInt {
		return v.Append(buf)
	}
	return v.Text
}

// compareTexts orders by bytes, what is missing first.
func compareTexts(a, b []byte) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return bytes.Compare(a, b)
}

// sortScore reads a number as C's strtod does, which Redis uses here: like ParseFloat, but blanks
// may stand in front, the text ends at a zero byte and may be empty.
func sortScore(text []byte) (score float64, ok bool) {
	text = option(text)
	if len(text) == 0 {
		return 0, true
	}
	text = bytes.TrimLeft(text, " \t\n\v\f\r")
	score, ok = resp.ParseFloat(text)
	const smallestNormal = 0x1p-1022
	if ok && score != 0 && math.Abs(score) < smallestNormal {
		// strtod reports a number without all of its digits, if it is that small.
		r, read := new(big.Rat).SetString(string(text))
		if !read {
			return 0, false
		}
		_, ok = r.Float64()
	}
	return score, ok
}
