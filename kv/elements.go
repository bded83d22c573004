package kv

import (
	"encoding/binary"
	"math"
)

// Element is one element of a collection. Its slices are borrowed: they are valid until
// the next one is asked for, or as long as what it was got from, whichever is first.
type Element struct {
	Member   []byte // of a list or set, the field of a hash, the member of a sorted set, a chunk of a long string
	Value    []byte // of a hash
	Score    float64
	ExpireAt int64 // of a hash's field: Unix milliseconds; NoExpiry if none
}

// Elements goes through a collection. It allocates nothing and takes no lock; from a
// ModeFork View it is for the child.
type Elements struct{}

// Next decodes the next element into e and returns false at the end.
func (it *Elements) Next(e *Element) bool { panic("elements") }

// Len returns the number of elements: of a string, its bytes; of a stream, its entries.
func (it *Item) Len() int64 { panic("elements") }

// Elements returns an iterator.
func (it *Item) Elements() Elements { panic("elements") }

// Packed returns the one block of a small collection.
func (it *Item) Packed() (b []byte, ok bool) { panic("elements") }

// Len returns the number of elements: of a string, its bytes; of a stream, its entries.
func (e *Entry) Len() int64 { panic("elements") }

// Elements returns an iterator.
func (e *Entry) Elements() Elements { panic("elements") }

// Packed returns the one block of a small collection.
func (e *Entry) Packed() (b []byte, ok bool) { panic("elements") }

// scoreKeySize is the length of a score in the key of a sorted set's tree.
const scoreKeySize = 8

// appendScoreKey appends 8 bytes that are ordered as scores are. -0 is 0.
func appendScoreKey(dst []byte, score float64) []byte {
	if score == 0 {
		score = 0
	}
	b := math.Float64bits(score)
	if b>>63 != 0 {
		b = ^b
	} else {
		b |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, b)
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
