package kv

import (
	"cmp"
	"encoding/binary"
	"math"
	"strconv"
)

// StreamID is the ID of a stream's entry: a time and a number within it. The zero ID is
// below all others and is never that of an entry.
type StreamID struct {
	Ms, Seq uint64
}

// MaxStreamID is above all other IDs.
var MaxStreamID = StreamID{math.MaxUint64, math.MaxUint64}

// streamIDSize is the length of an ID in a tree's key: big-endian, so that keys are
// ordered as IDs are. It is Redis' form as well.
const streamIDSize = 16

// Compare returns -1, 0 or 1 as id is below, equal to or above other.
func (id StreamID) Compare(other StreamID) int {
	if c := cmp.Compare(id.Ms, other.Ms); c != 0 {
		return c
	}
	return cmp.Compare(id.Seq, other.Seq)
}

// Next returns the ID that follows; false if there is none.
func (id StreamID) Next() (StreamID, bool) {
	switch {
	case id.Seq != math.MaxUint64:
		return StreamID{id.Ms, id.Seq + 1}, true
	case id.Ms != math.MaxUint64:
		return StreamID{id.Ms + 1, 0}, true
	}
	return StreamID{}, false
}

// Prev returns the ID before; false if there is none.
func (id StreamID) Prev() (StreamID, bool) {
	switch {
	case id.Seq != 0:
		return StreamID{id.Ms, id.Seq - 1}, true
	case id.Ms != 0:
		return StreamID{id.Ms - 1, math.MaxUint64}, true
	}
	return StreamID{}, false
}

// Append appends the ID's text, such as 1700000000000-0.
func (id StreamID) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, id.Ms, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.Seq, 10)
}

// appendKey appends the 16 bytes that stand for the ID in a key.
func (id StreamID) appendKey(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, id.Ms)
	return binary.BigEndian.AppendUint64(dst, id.Seq)
}

// streamIDOf returns the ID in the first 16 bytes of key.
func streamIDOf(key []byte) StreamID {
	return StreamID{binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:])}
}
