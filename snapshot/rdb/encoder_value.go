package rdb

import (
	"encoding/binary"
	"math"
	"strconv"

	"kvd/kv/packed"
)

// This file writes values piece by piece, for collections and long strings. It runs in the forked
// child: see the package comment.
//
//	Key, then of a list, say: Len(n) and n times Str

// Key begins a record: expiry (Unix milliseconds, 0 for none), type and key. What its value consists
// of must follow.
func (e *Encoder) Key(t Type, key []byte, expireAtMs int64) error {
	if err := e.reserve(1 + 8 + 1); err != nil {
		return err
	}
	b := e.buf[:e.n]
	if expireAtMs != 0 {
		b = AppendExpireMs(b, expireAtMs)
	}
	e.n = len(append(b, byte(t)))
	return e.Str(key)
}

// Type begins a value without a key, as in a DUMP payload.
func (e *Encoder) Type(t Type) error {
	if err := e.reserve(1); err != nil {
		return err
	}
	e.n = len(append(e.buf[:e.n], byte(t)))
	return nil
}

// Len writes a length.
func (e *Encoder) Len(n uint64) error {
	if err := e.reserve(MaxLenSize); err != nil {
		return err
	}
	e.n = len(AppendLen(e.buf[:e.n], n))
	return nil
}

// Str writes a string.
func (e *Encoder) Str(s []byte) error { return e.bytes(s) }

// Value writes an element as a string.
func (e *Encoder) Value(v *packed.Value) error {
	if !v.IsInt {
		return e.bytes(v.Text)
	}
	if err := e.reserve(1 + maxDecimal); err != nil {
		return err
	}
	if v.Int == int64(int32(v.Int)) {
		e.n = len(appendInt(e.buf[:e.n], int32(v.Int)))
		return nil
	}
	b := strconv.AppendInt(append(e.buf[:e.n], 0), v.Int, 10)
	b[e.n] = byte(len(b) - e.n - 1)
	e.n = len(b)
	return nil
}

// maxDecimal is the length of the longest int64 in decimal.
const maxDecimal = 20

// Uint64 writes eight bytes, little endian.
func (e *Encoder) Uint64(n uint64) error {
	if err := e.reserve(8); err != nil {
		return err
	}
	e.n = len(binary.LittleEndian.AppendUint64(e.buf[:e.n], n))
	return nil
}

// Score writes a score in binary.
func (e *Encoder) Score(score float64) error { return e.Uint64(math.Float64bits(score)) }

// Raw writes bytes as they are; b is at most a quarter of MinEncoderBuffer long.
func (e *Encoder) Raw(b []byte) error {
	if err := e.reserve(len(b)); err != nil {
		return err
	}
	e.n = len(append(e.buf[:e.n], b...))
	return nil
}

// BeginString begins a string of n bytes that comes in parts, by Part: all of n, and then EndString.
func (e *Encoder) BeginString(n int64) error {
	// One that fits half of the buffer twice is put together at its end, and compressed from there.
	e.partN, e.partAt = 0, 0
	if e.table != nil && n > minCompress && int(n)+maxStringHead <= len(e.buf)/2 {
		if err := e.Flush(); err != nil {
			return err
		}
		e.partAt = len(e.buf) - int(n)
		return nil
	}
	return e.Len(uint64(n))
}

// Part writes a part of a string.
func (e *Encoder) Part(b []byte) error {
	if e.partAt > 0 {
		e.partN += copy(e.buf[e.partAt+e.partN:], b)
		return nil
	}
	for len(b) > 0 {
		if err := e.reserve(min(len(b), MinEncoderBuffer/2)); err != nil {
			return err
		}
		n := copy(e.buf[e.n:], b)
		e.n += n
		b = b[n:]
	}
	return nil
}

// EndString ends a string in parts.
func (e *Encoder) EndString() error {
	if e.partAt > 0 {
		s := e.buf[e.partAt : e.partAt+e.partN]
		e.n = len(AppendString(e.buf[:e.n:e.partAt], s, e.table))
		e.partAt = 0
	}
	return e.Err()
}

// Lists are written as nodes of some 8 KiB, a listpack each, which other servers load as they lie. Their
// number stands in front: all elements go through CountNode first, then Len(Nodes()), then all go through
// AddNode, and EndNodes.

// nodeSize is the size of a node, and the length in bytes from which an element is a node of its own.
const nodeSize = 8 << 10

// nodeBound returns how many bytes v takes in a listpack, at most.
func nodeBound(v *packed.Value) int {
	switch n := len(v.Text); {
	case v.IsInt && v.Int == int64(int16(v.Int)):
		return 4
	case v.IsInt && v.Int == int64(int32(v.Int)):
		return 6
	case v.IsInt:
		return 10
	case n < 64:
		return n + 2
	case n < 4096:
		return n + 4
	default:
		return n + 5 + 5
	}
}

// StartNodes prepares for the elements of a list, both times.
func (e *Encoder) StartNodes() { e.nodes, e.nodeN, e.nodeUsed = 0, 0, 0 }

// CountNode counts the node that v needs, if it needs one.
func (e *Encoder) CountNode(v *packed.Value) {
	n := nodeBound(v)
	switch {
	case n > nodeSize:
		e.nodes++
		e.nodeUsed = 0
	case e.nodeUsed == 0 || e.nodeUsed+n > nodeSize:
		e.nodes++
		e.nodeUsed = n
	default:
		e.nodeUsed += n
	}
}

// Nodes returns how many nodes were counted.
func (e *Encoder) Nodes() uint64 { return e.nodes }

// AddNode adds v to the node, or to a new one after writing that.
func (e *Encoder) AddNode(v *packed.Value) error {
	n := nodeBound(v)
	if e.nodeUsed+n > nodeSize {
		if err := e.EndNodes(); err != nil {
			return err
		}
	}
	if n > nodeSize {
		if err := e.Len(nodePlain); err != nil {
			return err
		}
		return e.bytes(v.Text)
	}
	if e.nodeUsed == 0 {
		e.nodeN = len(packed.AppendNew(e.node[:0]))
	}
	e.nodeUsed += n
	if v.IsInt {
		e.nodeN = len(packed.AppendInt(e.node[:e.nodeN], v.Int))
	} else {
		e.nodeN = len(packed.Append(e.node[:e.nodeN], v.Text))
	}
	return nil
}

// EndNodes writes the last node.
func (e *Encoder) EndNodes() error {
	if e.nodeUsed == 0 {
		return nil
	}
	e.nodeUsed = 0
	return e.PackedNode(e.node[:e.nodeN])
}

// PackedNode writes a node that is a listpack.
func (e *Encoder) PackedNode(listpack []byte) error {
	if err := e.Len(nodePacked); err != nil {
		return err
	}
	return e.bytes(listpack)
}
