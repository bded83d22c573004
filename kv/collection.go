package kv

import (
	"kvd/kv/internal/keyspace"
	"kvd/kv/internal/tree"
)

// coll is a collection at one key of a Tx.
type coll struct {
	tx       *Tx
	db       int
	key      []byte
	sh       *shard
	t        *keyspace.Table
	exists   bool
	enc      Encoding
	expireAt int64
	value    []byte
}

func (tx *Tx) open(c *coll, db int, key []byte, typ Type) error { panic("coll") }
func (c *coll) isTree() bool                                    { return c.enc == EncTree }
func (c *coll) packed() []byte                                  { return c.value }
func (c *coll) setPacked(enc Encoding, b []byte) error          { panic("coll") }
func (c *coll) makeTrees(enc Encoding) error                    { panic("coll") }
func (c *coll) tree(i int) *tree.Tree                           { panic("coll") }
func (c *coll) tail() []byte                                    { panic("coll") }
func (c *coll) save() error                                     { panic("coll") }
func (c *coll) remove()                                         { panic("coll") }
func (tx *Tx) scratch() []byte                                  { return nil }
func (tx *Tx) keep(b []byte)                                    {}
func (s *Store) appendHashKey(dst, elem []byte) []byte          { panic("coll") }
