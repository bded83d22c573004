package kv

import (
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// A string above ChunkedAbove bytes is a tree of chunks, so that a write into it costs one
// chunk, also while a cut is live. All chunks but the last are ChunkSize bytes long. One
// that was zeroes when it was made is kept as an empty record until it is written to: to
// make a string longer costs next to nothing, however far behind its end somebody writes.
// The last one always has all of its bytes, so that the length is known from the number of
// chunks and the last of them.
//
// A string that has become chunks stays so until it is replaced.

// zeroChunk is what an empty record means. It is never written to.
var zeroChunk [ChunkSize]byte

// chunkBytes returns the bytes of a chunk, to be read alone.
func chunkBytes(r *tree.Record) []byte {
	if len(r.Value) == 0 {
		return zeroChunk[:]
	}
	return r.Value
}

// kindChunks is the kind of the entry of a long string.
var kindChunks = keyspace.Kind(uint8(TypeString), uint8(EncChunks))

// chunkedLen returns the length of a string of chunks, in bytes.
func chunkedLen(t *tree.Tree) int64 {
	last, _ := t.At(t.Count - 1)
	return max(t.Count-1, 0)*ChunkSize + int64(len(last.Value))
}

// Chunked tells whether it is a string that lies in chunks: it has no Value, and is read by
// AppendRange or Pieces.
func (it *Item) Chunked() bool { return it.Type == TypeString && it.Encoding == EncChunks }

// chunks returns the tree of a string that is Chunked.
func (it *Item) chunks() tree.Tree {
	return tree.Read(it.a, shapes[TypeString][0], headRoot(it.Value, 0))
}

// AppendRange appends bytes [from, to) of a string, which has them, to dst.
func (it *Item) AppendRange(dst []byte, from, to int64) []byte {
	if !it.Chunked() {
		return append(dst, it.Value[from:to]...)
	}
	if from >= to {
		return dst
	}
	if i := from / ChunkSize; i == (to-1)/ChunkSize {
		t := it.chunks()
		r, _ := t.At(i)
		return append(dst, chunkBytes(&r)[from%ChunkSize:to-i*ChunkSize]...)
	}
	for p := it.Pieces(from, to); p.Next(); {
		dst = append(dst, p.Bytes...)
	}
	return dst
}

// Pieces goes through a part of a string, which need not lie in one piece. A piece ends
// where the string does, or its part, or at a multiple of ChunkSize bytes from the string's
// beginning: so that several strings can be gone through side by side. The zero Pieces
// is empty.
type Pieces struct {
	Bytes []byte // the present piece; borrowed until the string is changed, or its key unlocked

	value  []byte // what is left of a string in one piece
	skip   int    // into the chunk to come
	left   int64  // bytes
	cursor tree.Cursor
	tree   bool
}

// Pieces returns the pieces of bytes [from, to) of a string, which has them.
func (it *Item) Pieces(from, to int64) (p Pieces) {
	if from >= to {
		return p
	}
	if it.Chunked() {
		t := it.chunks()
		return piecesOf(&t, from, to)
	}
	p.left, p.skip = to-from, int(from%ChunkSize)
	p.value = it.Value[from:to]
	return p
}

// piecesOf returns the pieces of bytes [from, to) of a string of chunks.
func piecesOf(t *tree.Tree, from, to int64) (p Pieces) {
	if from < to {
		p.left, p.skip = to-from, int(from%ChunkSize)
		p.cursor, p.tree = t.FromAt(from/ChunkSize), true
	}
	return p
}

// Next goes to the next piece and returns false at the end; then Bytes is empty.
func (p *Pieces) Next() bool {
	p.Bytes = nil
	if p.left <= 0 {
		return false
	}
	n := min(p.left, int64(ChunkSize-p.skip))
	if p.tree {
		var r tree.Record
		p.cursor.Next(&r)
		p.Bytes = chunkBytes(&r)[p.skip:][:n]
	} else {
		p.Bytes, p.value = p.value[:n:n], p.value[n:]
	}
	p.skip = 0
	p.left -= n
	return true
}
