package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// A sorted set lies in one listpack of member, score, …, ascending by score and then by the
// bytes of the member; or in two trees:
//
//	byMember  hash4 ‖ member → the score's 8 bytes, little-endian
//	byScore   scoreKey ‖ member, flagged if the score is -0
//
// The position of a member, its rank, is its position in the listpack or in byScore. Every
// kind of range, by rank, by score or by member, is turned into a range of ranks first.
const (
	byMember = 0
	byScore  = 1
)

// ErrNotANumber is returned where a score would become NaN.
var ErrNotANumber = errors.New("kv: the score is not a number")

// Zset is the sorted set at one key of a Tx, or the empty one that could be there. The zero
// value is for Tx.OpenZset. It is valid until the Tx unlocks or the key is changed by other
// means. Changes are seen by its own methods at once; Save ends them.
type Zset struct {
	c       coll
	work    []byte // the listpack that changes are made in; nil if there were none
	changed bool
	gone    bool   // all members were removed at once
	text    []byte // room for the text of a member that is a number
}

// ZsetElement is a member with its score. Member is borrowed: it is valid until the next
// element is asked for, or the set is changed.
type ZsetElement struct {
	Member []byte
	Score  float64
}

// compare orders elements as a sorted set does.
func (e *ZsetElement) compare(o *ZsetElement) int {
	switch {
	case e.Score < o.Score:
		return -1
	case e.Score > o.Score:
		return 1
	}
	return bytes.Compare(e.Member, o.Member)
}

// SortZset sorts elements as a sorted set does.
func SortZset(list []ZsetElement) {
	slices.SortFunc(list, func(a, b ZsetElement) int { return a.compare(&b) })
}

// OpenZset makes z, whatever it was, the sorted set at key and notes that it was used. It returns ErrWrongType
// if key holds something else.
func (tx *Tx) OpenZset(z *Zset, db int, key []byte) error {
	*z = Zset{text: z.text[:0]}
	return tx.open(&z.c, db, key, TypeZset)
}

// Exists tells whether there is such a key.
func (z *Zset) Exists() bool { return z.c.exists }

// Len returns the number of members.
func (z *Zset) Len() int64 {
	if z.gone {
		return 0
	}
	if z.c.isTree() {
		return z.c.tree(byScore).Count
	}
	b := z.block()
	if b == nil {
		return 0
	}
	return int64(packed.Len(b)) / 2
}

// block returns the listpack as it is now; nil if there is none.
func (z *Zset) block() []byte {
	if z.work != nil {
		return z.work
	}
	if !z.c.exists {
		return nil
	}
	return z.c.packed()
}

// Score returns the score of a member.
func (z *Zset) Score(member []byte) (score float64, ok bool) {
	if z.c.isTree() {
		key := z.c.tx.s.appendHashKey(z.c.tx.scratch(), member)
		rec, ok := z.c.tree(byMember).Get(key)
		if ok {
			score = readScore(rec.Value)
		}
		z.c.tx.keep(key)
		return score, ok
	}
	b := z.block()
	if b == nil {
		return 0, false
	}
	at := packed.Find(b, packed.First(b), member, 1)
	if at < 0 {
		return 0, false
	}
	return scoreAt(b, packed.Next(b, at)), true
}

// Rank returns the number of elements in front of a member, and its score.
func (z *Zset) Rank(member []byte) (rank int64, score float64, ok bool) {
	if z.c.isTree() {
		if score, ok = z.Score(member); !ok {
			return 0, 0, false
		}
		key := append(appendScoreKey(z.c.tx.scratch(), score), member...)
		rank, _ = z.c.tree(byScore).Rank(key)
		z.c.tx.keep(key)
		return rank, score, true
	}
	b := z.block()
	if b == nil {
		return 0, 0, false
	}
	for at := packed.First(b); at >= 0; rank++ {
		v := packed.Get(b, at)
		at = packed.Next(b, at)
		if v.Equal(member) {
			return rank, scoreAt(b, at), true
		}
		at = packed.Next(b, at)
	}
	return 0, 0, false
}

// minusZero tells whether a score is -0, which is ordered as 0.
func minusZero(f float64) bool { return f == 0 && math.Signbit(f) }

func readScore(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }

// scoreAt returns the score at offset at of a listpack. What another program has written is
// read as C does it: what is not a number is 0.
func scoreAt(b []byte, at int) float64 {
	v := packed.Get(b, at)
	if v.IsInt {
		return float64(v.Int)
	}
	f, err := strconv.ParseFloat(string(v.Text), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || f != f {
		return 0
	}
	return f
}

// appendScore appends the text of a score in a listpack, as Redis writes it there: integers up
// to 2^62 as such, which makes 0 of -0, others with 17 digits.
func appendScore(dst []byte, f float64) []byte {
	const limit = 1 << 62
	if f >= -limit && f <= limit && f == math.Trunc(f) {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return appendFloat(dst, f)
}

// appendFloat appends a double as C's %.17g writes it.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case f > math.MaxFloat64:
		return append(dst, "inf"...)
	case f < -math.MaxFloat64:
		return append(dst, "-inf"...)
	}
	return strconv.AppendFloat(dst, f, 'g', 17, 64)
}

// AppendScanned appends a score as ZSCAN shows it: of a set in one block as it stands there.
func (z *Zset) AppendScanned(dst []byte, score float64) []byte {
	if z.c.isTree() {
		return appendFloat(dst, score)
	}
	return appendScore(dst, score)
}

// ZsetCursor is a place between two elements of a sorted set. It is valid until the set is changed.
type ZsetCursor struct {
	z     *Zset
	block []byte
	at    int // in block: of the next element, len(block) at the end
	tree  tree.Cursor
}

// At returns a cursor that stands before the element with that rank, 0 to Len.
func (z *Zset) At(rank int64) ZsetCursor {
	c := ZsetCursor{z: z}
	if z.c.isTree() {
		c.tree = z.c.tree(byScore).FromAt(rank)
		return c
	}
	c.block = z.block()
	if c.block == nil {
		return c
	}
	if c.at = packed.Seek(c.block, int(rank)*2); c.at < 0 {
		c.at = len(c.block)
	}
	return c
}

// Next moves the cursor over the next element and returns it; false at the end.
func (c *ZsetCursor) Next(e *ZsetElement) bool {
	if c.z.c.isTree() {
		var rec tree.Record
		return c.tree.Next(&rec) && elementOf(e, &rec)
	}
	if c.at >= len(c.block) {
		return false
	}
	at := packed.Next(c.block, c.at)
	c.z.packedElement(e, c.block, c.at, at)
	if c.at = packed.Next(c.block, at); c.at < 0 {
		c.at = len(c.block)
	}
	return true
}

// Prev moves the cursor back over the element before it and returns that; false at the beginning.
func (c *ZsetCursor) Prev(e *ZsetElement) bool {
	if c.z.c.isTree() {
		var rec tree.Record
		return c.tree.Prev(&rec) && elementOf(e, &rec)
	}
	if len(c.block) == 0 {
		return false
	}
	score := -1
	if c.at >= len(c.block) {
		score = packed.Last(c.block)
	} else {
		score = packed.Prev(c.block, c.at)
	}
	if score < 0 {
		return false
	}
	c.at = packed.Prev(c.block, score)
	c.z.packedElement(e, c.block, c.at, score)
	return true
}

// elementOf makes an element of a record of byScore. Its key does not tell 0 from -0, but its Flag.
func elementOf(e *ZsetElement, rec *tree.Record) bool {
	e.Member, e.Score = rec.Key[scoreKeySize:], scoreOf(rec.Key)
	if rec.Flag {
		e.Score = math.Copysign(0, -1)
	}
	return true
}

func (z *Zset) packedElement(e *ZsetElement, b []byte, member, score int) {
	v := packed.Get(b, member)
	if e.Member = v.Text; v.IsInt {
		z.text = strconv.AppendInt(z.text[:0], v.Int, 10)
		e.Member = z.text
	}
	e.Score = scoreAt(b, score)
}

// Scan visits elements from a cursor on, 0 to begin, at least count of them if there are as many,
// and returns the cursor to go on with, 0 at the end; see scanHashed. A set in one block is
// visited as a whole.
func (z *Zset) Scan(cursor uint64, count int, visit func(e *ZsetElement)) (next uint64) {
	var e ZsetElement
	if z.c.isTree() {
		return z.c.scanHashed(cursor, count, func(r *tree.Record) {
			e.Member, e.Score = r.Key[hashKeySize:], readScore(r.Value)
			visit(&e)
		})
	}
	for c := z.At(0); c.Next(&e); {
		visit(&e)
	}
	return 0
}
