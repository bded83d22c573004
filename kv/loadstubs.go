package kv

import "kvd/kv/internal/keyspace"

func (c *coll) loadString(r *Record) error {
	return c.tx.putAt(&place{c.sh, c.t, c.db, c.h, c.key}, &keyspace.Value{
		Kind: keyspace.Kind(uint8(TypeString), uint8(EncodingOf(r.Value))), Data: r.Value, ExpireAt: c.expireAt,
	})
}
