package tree

import "kvd/kv/internal/arena"

// Open returns a tree for reading and changing.
func Open(sp Space, s Shape, r Root) Tree {
	return Tree{Root: r, a: sp.Heap.Arena(), space: sp, shape: s}
}

// Read returns a tree for reading alone.
func Read(a *arena.Arena, s Shape, r Root) Tree { return Tree{Root: r, a: a, shape: s} }

func (t *Tree) Get(key []byte) (rec Record, ok bool)                     { panic("tree") }
func (t *Tree) Rank(key []byte) (rank int64, found bool)                 { panic("tree") }
func (t *Tree) At(rank int64) (rec Record, ok bool)                      { panic("tree") }
func (t *Tree) Put(key, value []byte, flag bool) (added bool, err error) { panic("tree") }
func (t *Tree) Delete(key []byte) (deleted bool, err error)              { panic("tree") }
func (t *Tree) InsertAt(rank int64, value []byte, flag bool) error       { panic("tree") }
func (t *Tree) SetAt(rank int64, value []byte, flag bool) error          { panic("tree") }
func (t *Tree) DeleteRange(from, n int64) error                          { panic("tree") }
func (t *Tree) Edit(rank int64, n int) ([]byte, error)                   { panic("tree") }
func (t *Tree) Free()                                                    { panic("tree") }
func (t *Tree) Clone(to *arena.Heap) (Root, error)                       { panic("tree") }
func (t *Tree) Check() (blocks int64, err error)                         { panic("tree") }
func (t *Tree) From(key []byte) Cursor                                   { panic("tree") }
func (t *Tree) FromAt(rank int64) Cursor                                 { panic("tree") }

// Cursor is a place between two records.
type Cursor struct{}

func (c *Cursor) Next(r *Record) bool { panic("tree") }
func (c *Cursor) Prev(r *Record) bool { panic("tree") }

// Builder makes a tree of records that come in order.
type Builder struct{}

func NewBuilder(sp Space, s Shape) *Builder               { panic("tree") }
func (b *Builder) Add(key, value []byte, flag bool) error { panic("tree") }
func (b *Builder) Root() (Root, error)                    { panic("tree") }
func (b *Builder) Abort()                                 { panic("tree") }
