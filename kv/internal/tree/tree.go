package tree

import (
	"encoding/binary"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// Shape says how the records of a tree are ordered and laid out. It is the same
// during a tree's life and is not stored.
type Shape struct {
	// Keyed trees are ordered by the bytes of their keys (bytes.Compare), which are
	// unique. Others are lists: their records have no keys, only positions.
	Keyed bool
	// Value is the length of every value in bytes, -1 if it varies.
	Value int
}

// Record is an element of a tree. Key and Value are borrowed from the arena: valid
// until the tree is changed.
type Record struct {
	Key   []byte
	Value []byte
	Flag  bool // the owner's, stored with the record at no cost
}

// Root is all that must be remembered of a tree. The zero Root is an empty tree, which
// has no memory.
type Root struct {
	Node   arena.Ref
	Height uint8 // levels of nodes; 0 if it is empty
	Count  int64 // records
	Bytes  int64 // of all blocks, as the arena rounds them
}

// RootSize is the length of a Root in memory, in bytes.
const RootSize = 24

// Put writes r to b, which has RootSize bytes.
func (r *Root) Put(b []byte) {
	binary.LittleEndian.PutUint64(b, uint64(r.Node)|uint64(r.Height)<<56)
	binary.LittleEndian.PutUint64(b[8:], uint64(r.Count))
	binary.LittleEndian.PutUint64(b[16:], uint64(r.Bytes))
}

// ReadRoot reads what Put has written.
func ReadRoot(b []byte) Root {
	w := binary.LittleEndian.Uint64(b)
	return Root{
		Node: arena.Ref(w & (1<<56 - 1)), Height: uint8(w >> 56),
		Count: int64(binary.LittleEndian.Uint64(b[8:])), Bytes: int64(binary.LittleEndian.Uint64(b[16:])),
	}
}

// Space is where a tree's blocks come from, and what protects those that a live cut
// can reach. The lock of the heap's owner must be held.
type Space struct {
	Heap  *arena.Heap
	Guard *cut.Guard
	Owner Owner // nil if the Root can be remembered in any case
}

// Owner is who remembers the Root of a tree.
type Owner interface {
	// Ready is called before every change of the tree, or of a builder of what will replace
	// it, which is not made if Ready returns an error. Else the owner needs no memory afterwards
	// to remember the Root. Free alone does not ask.
	Ready() error
}

// Tree is a tree that is open. It is a small value for the stack; who has changed it
// remembers its Root afterwards.
type Tree struct {
	Root
	a     *arena.Arena
	space Space
	shape Shape
}

// ready makes sure that the tree's Root can be remembered when it has changed.
func (t *Tree) ready() error {
	if t.space.Owner == nil {
		return nil
	}
	return t.space.Owner.Ready()
}
