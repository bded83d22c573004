package kv

import (
	"encoding/binary"
	"math"

	"kvd/kv/internal/tree"
)

// scanHashed visits records of the first tree, one in order of hashes, from a cursor on; 0
// starts. It ends with the first hash after count records, so that it visits all
// records of one hash or none, and returns the cursor to go on with, 0 at the end. An
// element that is there during a whole scan is visited exactly once. A cursor is a hash
// plus one, less than 1<<33.
func (c *coll) scanHashed(cursor uint64, count int, fn func(r *tree.Record)) (next uint64) {
	if cursor > math.MaxUint32+1 {
		return 0
	}
	var from [hashKeySize]byte
	if cursor > 0 {
		binary.BigEndian.PutUint32(from[:], uint32(cursor-1))
	}
	cur := c.tree(0).From(from[:])
	var r tree.Record
	var last uint32
	for n := 0; cur.Next(&r); n++ {
		hash := binary.BigEndian.Uint32(r.Key)
		if n >= max(count, 1) && hash != last {
			return uint64(hash) + 1
		}
		last = hash
		fn(&r)
	}
	return 0
}
