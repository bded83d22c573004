package kv

import (
	"encoding/binary"
	"math"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// Element is one element of a collection. Small integers are held as such, so that
// the parts are packed.Value, whose Append gives their text. What they point to is borrowed:
// valid until the next change of the store, or as long as the View.
type Element struct {
	Member   packed.Value // of a list or set, the field of a hash, the member of a sorted set, a chunk of a long string
	Value    packed.Value // of a hash
	Score    float64
	ExpireAt int64 // of a hash's field: Unix milliseconds; NoExpiry if none
}

// Elements goes through a collection that is not a stream: a list and a long string in
// order, a sorted set by score, others in any order. It allocates nothing and takes no
// lock; from a ModeFork View it is for the child. The zero Elements is empty.
type Elements struct {
	typ    Type
	enc    Encoding
	block  []byte
	at     int // in block: offset of an element of a listpack, -1 at the end; index in an intset
	cursor tree.Cursor
}

// elementsOf returns an iterator over a value.
func elementsOf(a *arena.Arena, typ Type, enc Encoding, value []byte) (it Elements) {
	it.typ, it.enc = typ, enc
	if hasTrees(typ, enc) {
		i := 0
		if typ == TypeZset {
			i = 1
		}
		t := tree.Read(a, shapes[typ][i], headRoot(value, i))
		it.cursor = t.FromAt(0)
		return it
	}
	it.block = value
	if typ != TypeSet || enc != EncIntset {
		it.at = packed.First(value)
	}
	return it
}

// Next decodes the next element into e and returns false at the end.
func (it *Elements) Next(e *Element) bool {
	switch {
	case hasTrees(it.typ, it.enc):
		return it.nextRecord(e)
	case it.typ == TypeSet && it.enc == EncIntset:
		if it.at >= packed.IntsetLen(it.block) {
			return false
		}
		e.Member = packed.Value{Int: packed.IntsetAt(it.block, it.at), IsInt: true}
		it.at++
		return true
	}
	return it.nextPacked(e)
}

func (it *Elements) nextPacked(e *Element) bool {
	if it.block == nil || it.at < 0 {
		return false
	}
	e.Member = it.take()
	switch it.typ {
	case TypeHash:
		e.Value = it.take()
		e.ExpireAt = NoExpiry
		if it.enc == EncListpackEx {
			at := it.take()
			e.ExpireAt = at.Int
		}
	case TypeZset:
		score := it.take()
		e.Score = packedScore(&score)
	}
	return true
}

// take returns the element of the listpack at it.at and goes behind it.
func (it *Elements) take() (v packed.Value) {
	if it.at >= 0 {
		v = packed.Get(it.block, it.at)
		it.at = packed.Next(it.block, it.at)
	}
	return v
}

func (it *Elements) nextRecord(e *Element) bool {
	var r tree.Record
	if !it.cursor.Next(&r) {
		return false
	}
	switch it.typ {
	case TypeList:
		e.Member = listValue(&r)
	case TypeString:
		e.Member = packed.Value{Text: chunkBytes(&r)}
	case TypeZset:
		e.Member = packed.Value{Text: r.Key[scoreKeySize:]}
		e.Score = scoreOf(r.Key)
		if r.Flag {
			e.Score = math.Copysign(0, -1)
		}
	case TypeSet:
		e.Member = packed.Value{Text: r.Key[hashKeySize:]}
	case TypeHash:
		e.Member = packed.Value{Text: r.Key[hashKeySize:]}
		e.ExpireAt = NoExpiry
		if r.Flag {
			e.ExpireAt = int64(binary.LittleEndian.Uint64(r.Value))
			r.Value = r.Value[8:]
		}
		e.Value = packed.Value{Text: r.Value}
	}
	return true
}

// listValue returns an element of a list's tree.
func listValue(r *tree.Record) packed.Value {
	if !r.Flag {
		return packed.Value{Text: r.Value}
	}
	n := int64(0)
	for i := len(r.Value) - 1; i >= 0; i-- {
		n = n<<8 | int64(r.Value[i])
	}
	shift := 64 - 8*len(r.Value)
	return packed.Value{Int: n << shift >> shift, IsInt: true}
}

// lenOf returns the number of elements of a value: of a string, its bytes; of a stream,
// its entries.
func lenOf(a *arena.Arena, typ Type, enc Encoding, value []byte) int64 {
	switch {
	case typ == TypeString && enc == EncChunks:
		t := tree.Read(a, shapes[TypeString][0], headRoot(value, 0))
		return chunkedLen(&t)
	case typ == TypeString:
		return int64(len(value))
	case typ == TypeStream:
		return streamLen(headTail(value, typ))
	case hasTrees(typ, enc):
		r := headRoot(value, 0)
		return r.Count
	case typ == TypeSet && enc == EncIntset:
		return int64(packed.IntsetLen(value))
	}
	n := int64(packed.Len(value))
	switch {
	case typ == TypeZset, typ == TypeHash && enc == EncListpack:
		return n / 2
	case typ == TypeHash:
		return n / 3
	}
	return n
}

// blockOf returns the one block of a small collection.
func blockOf(typ Type, enc Encoding, value []byte) ([]byte, bool) {
	if typ == TypeString || hasTrees(typ, enc) {
		return nil, false
	}
	return value, true
}

// Len returns the number of elements: of a string, its bytes; of a stream, its entries.
func (it *Item) Len() int64 { return lenOf(it.a, it.Type, it.Encoding, it.Value) }

// Elements returns an iterator.
func (it *Item) Elements() Elements { return elementsOf(it.a, it.Type, it.Encoding, it.Value) }

// Packed returns the one block of a small collection.
func (it *Item) Packed() (b []byte, ok bool) { return blockOf(it.Type, it.Encoding, it.Value) }

// Bytes returns about how many bytes the key takes in the store, without its place in the index.
func (e *Entry) Bytes() int64 {
	const head = 12 // of the entry, and what its block has to spare
	n := int64(len(e.Key)+len(e.Value)) + head
	if hasTrees(e.Type, e.Encoding) {
		for i := range shapes[e.Type] {
			root := headRoot(e.Value, i)
			n += root.Bytes
		}
	}
	return n
}

// Len returns the number of elements: of a string, its bytes; of a stream, its entries.
func (e *Entry) Len() int64 { return lenOf(e.a, e.Type, e.Encoding, e.Value) }

// Elements returns an iterator.
func (e *Entry) Elements() Elements { return elementsOf(e.a, e.Type, e.Encoding, e.Value) }

// Packed returns the one block of a small collection.
func (e *Entry) Packed() (b []byte, ok bool) { return blockOf(e.Type, e.Encoding, e.Value) }

// Sizes, in bytes, of what stands in front of a member in the keys of trees: a hash, so
// that members are in an order that does not depend on the store's history, or a score.
const (
	hashKeySize  = 4
	scoreKeySize = 8
)

// appendHashKey appends the key of a field or member in a tree that is ordered by hashes.
func (s *Store) appendHashKey(dst, elem []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.hasher.Hash(elem)>>32))
	return append(dst, elem...)
}

// appendScoreKey appends 8 bytes that are ordered as scores are. -0 is 0: the record's
// Flag tells them apart.
func appendScoreKey(dst []byte, score float64) []byte {
	return binary.BigEndian.AppendUint64(dst, scoreBits(score))
}

// scoreBits is appendScoreKey as a number.
func scoreBits(score float64) uint64 {
	b := math.Float64bits(score)
	switch {
	case score == 0:
		return 1 << 63
	case b>>63 != 0:
		return ^b
	}
	return b | 1<<63
}

// scoreOf returns the score in front of a key.
func scoreOf(key []byte) float64 {
	b := binary.BigEndian.Uint64(key)
	if b>>63 != 0 {
		b &^= 1 << 63
	} else {
		b = ^b
	}
	return math.Float64frombits(b)
}

// packedScore returns a score as it stands in a listpack.
func packedScore(v *packed.Value) float64 {
	if v.IsInt {
		return float64(v.Int)
	}
	return parseScore(v.Text)
}
