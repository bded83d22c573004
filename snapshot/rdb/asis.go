package rdb

import (
	"bytes"
	"hash/maphash"
	"math"
	"strconv"

	"kvd/kv/packed"
)

// This file judges blocks that go to the store as they lie.

// The errors of values, in Redis' words where it has some.
const (
	errDupHash     = "duplicate hash fields detected"
	errDupSet      = "duplicate set members detected"
	errDupZset     = "duplicate zset fields detected"
	errNaN         = "zset with NAN score detected"
	errScore       = "zset score is no number"
	errOdd         = "block ends inside an element"
	errFieldExpiry = "field expiry is out of range"
)

// maxFieldExpiry is the latest expiry of a field that Redis takes: 48 bits, less some.
const maxFieldExpiry = 1<<48 - 4

// distinct finds elements that are there twice in a listpack: a table of the elements that were seen,
// by hash, with open addressing.
type distinct struct {
	seed  maphash.Seed
	table []int32 // offset in the block of an element, 0 for none
	text  [2][]byte
}

// reset prepares for n elements.
func (s *distinct) reset(n int) {
	size := 8
	for size < 2*n {
		size *= 2
	}
	if cap(s.table) < size {
		s.table = make([]int32, size)
		s.seed = maphash.MakeSeed()
	}
	s.table = s.table[:size]
	clear(s.table)
}

// add adds the element of b at offset at and reports whether it was there.
func (s *distinct) add(b []byte, at int) (twice bool) {
	v := packed.Get(b, at)
	elem := v.Text
	if v.IsInt {
		s.text[0] = strconv.AppendInt(s.text[0][:0], v.Int, 10)
		elem = s.text[0]
	}
	mask := uint64(len(s.table) - 1)
	for i := maphash.Bytes(s.seed, elem) & mask; ; i = (i + 1) & mask {
		if s.table[i] == 0 {
			s.table[i] = int32(at)
			return false
		}
		w := packed.Get(b, int(s.table[i]))
		other := w.Text
		if w.IsInt {
			s.text[1] = strconv.AppendInt(s.text[1][:0], w.Int, 10)
			other = s.text[1]
		}
		if bytes.Equal(elem, other) {
			return true
		}
	}
}

// fewPairs is the number of elements up to which comparing each with each is fastest.
const fewPairs = 12

// repeats reports whether an element of the listpack b is there twice, looking at every step-th of its n.
func (s *distinct) repeats(b []byte, n, step int) bool {
	if n/step <= fewPairs {
		return repeatsFew(b, step)
	}
	s.reset(n / step)
	for at := packed.First(b); at >= 0; at = skip(b, at, step) {
		if s.add(b, at) {
			return true
		}
	}
	return false
}

func repeatsFew(b []byte, step int) bool {
	var seen [fewPairs]packed.Value
	n := 0
	for at := packed.First(b); at >= 0; at = skip(b, at, step) {
		v := packed.Get(b, at)
		for i := range seen[:n] {
			if sameValue(&v, &seen[i]) {
				return true
			}
		}
		seen[n] = v
		n++
	}
	return false
}

// sameValue compares what two elements stand for: a number may be held as its text.
func sameValue(a, b *packed.Value) bool {
	switch {
	case a.IsInt && b.IsInt:
		return a.Int == b.Int
	case a.IsInt:
		return a.Equal(b.Text)
	case b.IsInt:
		return b.Equal(a.Text)
	}
	return bytes.Equal(a.Text, b.Text)
}

// skip returns the offset of the element n places behind that at at, -1 if there is none.
func skip(b []byte, at, n int) int {
	for ; n > 0 && at >= 0; n-- {
		at = packed.Next(b, at)
	}
	return at
}

// judge looks through a listpack of pairs, or triplets with an expiry, or single elements. It returns the
// number of elements of the collection and whether the block can be kept as it lies; what is "" if
// nothing is wrong.
func (d *Decoder) judge(class Class, ttl bool, b []byte) (n int, keep bool, what string) {
	n, err := packed.Validate(b)
	if err != nil {
		return 0, false, errListpack.Error()
	}
	step, dup := 1, errDupSet
	switch {
	case ttl:
		step, dup = 3, errDupHash
	case class == ClassHash:
		step, dup = 2, errDupHash
	case class == ClassZset:
		step, dup = 2, errDupZset
	}
	if n%step != 0 {
		return 0, false, errOdd
	}
	if class != ClassList && d.seen.repeats(b, n, step) {
		return 0, false, dup
	}
	keep = true
	switch {
	case ttl:
		what = judgeExpiries(b)
	case class == ClassZset:
		keep, what = judgeScores(b)
	}
	return n / step, keep, what
}

// judgeExpiries looks at the third of each three elements.
func judgeExpiries(b []byte) (what string) {
	for at := skip(b, packed.First(b), 2); at >= 0; at = skip(b, at, 3) {
		if v := packed.Get(b, at); !v.IsInt || v.Int < 0 || v.Int > maxFieldExpiry {
			return errFieldExpiry
		}
	}
	return ""
}

// judgeScores looks at the second of each two elements, and whether they are in order.
func judgeScores(b []byte) (sorted bool, what string) {
	var last packed.Value
	sorted = true
	lastScore := math.Inf(-1)
	for at := packed.First(b); at >= 0; {
		member := packed.Get(b, at)
		at = packed.Next(b, at)
		v := packed.Get(b, at)
		score, ok := listpackScore(&v)
		switch {
		case !ok:
			return false, errScore
		case score != score:
			return false, errNaN
		case score < lastScore, score == lastScore && !lessValue(&last, &member):
			sorted = false
		}
		last, lastScore = member, score
		at = packed.Next(b, at)
	}
	return sorted, ""
}

// listpackScore returns a score as it stands in a listpack.
func listpackScore(v *packed.Value) (score float64, ok bool) {
	if v.IsInt {
		return float64(v.Int), true
	}
	return parseScore(v.Text)
}

// maxScoreText is the longest text of a score that Redis reads, in bytes.
const maxScoreText = 127

func parseScore(text []byte) (score float64, ok bool) {
	if len(text) > maxScoreText {
		return 0, false
	}
	score, err := strconv.ParseFloat(string(text), 64)
	return score, err == nil || math.IsInf(score, 0)
}

// lessValue compares members as bytes.
func lessValue(a, b *packed.Value) bool {
	var x, y [20]byte
	s, t := a.Text, b.Text
	if a.IsInt {
		s = strconv.AppendInt(x[:0], a.Int, 10)
	}
	if b.IsInt {
		t = strconv.AppendInt(y[:0], b.Int, 10)
	}
	return bytes.Compare(s, t) < 0
}
