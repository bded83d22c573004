package kv

import (
	"bytes"
	"encoding/binary"

	"kvd/kv/packed"
)

// ScoreRange is a range of scores. The ends belong to it unless they are excluded.
type ScoreRange struct {
	Min, Max     float64
	MinEx, MaxEx bool
}

// below tells whether a score lies in front of the range, above whether behind it.
func (r *ScoreRange) below(f float64) bool { return f < r.Min || r.MinEx && f == r.Min }
func (r *ScoreRange) above(f float64) bool { return f > r.Max || r.MaxEx && f == r.Max }

// ScoreRange returns the ranks of the elements in a range, from the first to before to; from
// is not less than to if there are none.
func (z *Zset) ScoreRange(r *ScoreRange) (from, to int64) {
	if z.c.isTree() {
		return z.scoreRank(r.Min, r.MinEx), z.scoreRank(r.Max, !r.MaxEx)
	}
	if r.Min > r.Max || r.Min == r.Max && (r.MinEx || r.MaxEx) {
		return 0, 0
	}
	b := z.block()
	if b == nil {
		return 0, 0
	}
	for at := packed.First(b); at >= 0; to++ {
		at = packed.Next(b, at)
		switch f := scoreAt(b, at); {
		case r.above(f):
			return from, to
		case r.below(f):
			from++
		}
		at = packed.Next(b, at)
	}
	return from, to
}

// scoreRank returns the number of elements with smaller scores, or with scores up to this one.
func (z *Zset) scoreRank(score float64, included bool) (rank int64) {
	var buf [scoreKeySize]byte
	key := appendScoreKey(buf[:0], score)
	if included { // no key of a score is all ones: that would be a NaN
		binary.BigEndian.PutUint64(key, binary.BigEndian.Uint64(key)+1)
	}
	rank, _ = z.c.tree(byScore).Rank(key)
	return rank
}

// LexBound is an end of a range of members.
type LexBound struct {
	Text      []byte
	Exclusive bool
	Infinite  int // -1 is in front of every member, 1 behind; Text does not count then
}

// compare orders a member and a bound.
func (b *LexBound) compare(member []byte) int {
	if b.Infinite != 0 {
		return -b.Infinite
	}
	return bytes.Compare(member, b.Text)
}

// LexRange is a range of members, for sets whose members have the same score.
type LexRange struct{ Min, Max LexBound }

func (r *LexRange) below(member []byte) bool {
	n := r.Min.compare(member)
	return n < 0 || n == 0 && r.Min.Exclusive
}

func (r *LexRange) above(member []byte) bool {
	n := r.Max.compare(member)
	return n > 0 || n == 0 && r.Max.Exclusive
}

// empty tells whether no member can be in the range.
func (r *LexRange) empty() bool {
	if r.Min.Infinite != 0 || r.Max.Infinite != 0 {
		return r.Min.Infinite >= r.Max.Infinite
	}
	n := bytes.Compare(r.Min.Text, r.Max.Text)
	return n > 0 || n == 0 && (r.Min.Exclusive || r.Max.Exclusive)
}

// LexRange returns the ranks of the members in a range, from the first to before to; from is
// not less than to if there are none. If the scores differ the members may be any, though
// those of a set in one block are the ones that Redis finds: with reverse, looking from the end.
func (z *Zset) LexRange(r *LexRange, reverse bool) (from, to int64) {
	n := z.Len()
	if n == 0 || r.empty() {
		return 0, 0
	}
	if z.c.isTree() {
		return z.lexRank(&r.Min, r.Min.Exclusive), z.lexRank(&r.Max, !r.Max.Exclusive)
	}
	first, last := z.At(0), z.At(n)
	var e ZsetElement
	if last.Prev(&e) && r.below(e.Member) || first.Next(&e) && r.above(e.Member) {
		return 0, 0
	}
	if reverse {
		to = n
		c := z.At(n)
		for c.Prev(&e) && r.above(e.Member) {
			to--
		}
		for from = to; from > 0 && !r.below(e.Member); c.Prev(&e) {
			from--
		}
		return from, to
	}
	c := z.At(0)
	for c.Next(&e) && r.below(e.Member) {
		from++
	}
	for to = from; to < n && !r.above(e.Member); c.Next(&e) {
		to++
	}
	return from, to
}

// lexRank returns the number of members in front of a bound, which have the score of the first
// element, or of those in front of what comes after it.
func (z *Zset) lexRank(b *LexBound, included bool) int64 {
	t := z.c.tree(byScore)
	switch b.Infinite {
	case -1:
		return 0
	case 1:
		return t.Count
	}
	first, _ := t.At(0)
	key := append(z.c.tx.scratch(), first.Key[:scoreKeySize]...)
	key = append(key, b.Text...)
	rank, found := t.Rank(key)
	z.c.tx.keep(key)
	if found && included {
		rank++
	}
	return rank
}

// RemoveRange removes n elements from the one with that rank on; all of them only as the last
// change before Save, which then takes no longer than for one. The error is ErrNoMemory.
func (z *Zset) RemoveRange(from, n int64) error {
	if n <= 0 {
		return nil
	}
	if n >= z.Len() {
		z.gone, z.changed = true, true
		return nil
	}
	if z.c.isTree() {
		return z.removeFromTrees(from, n)
	}
	z.edit()
	z.work = packed.Delete(z.work, packed.Seek(z.work, int(from)*2), int(n)*2)
	return nil
}
