package kv

import "slices"

// Holds tells whether the shard of a key is locked.
func (tx *Tx) Holds(key []byte) bool {
	if tx.all {
		return true
	}
	_, found := slices.BinarySearch(tx.held, uint16(tx.s.hasher.Shard(tx.s.hasher.Hash(key))))
	return found
}
