// Package keyspace is the key index of one shard and database: an extendible
// hash whose segments grow before they split, in the arena.
//
//	directory (2^depth words)      segment (1 .. 8 KiB)
//	+---+---+---+---+              +--------+----------------------------+
//	| . | . | . | . |----+         | header | slots in order of their tag|
//	+---+---+---+---+    +-------> +--------+----------------------------+
//	                                           |
//	       slot: ref (48 bits) | tag (15) | has-expiry (1)
//	                  |
//	                  +--> entry: flags, [expiry], lengths, key, value
//
// # Where a key is
//
// The low bits of a key's 64-bit hash choose its shard. From the top it is
// read as the directory's bits, then 15 bits of tag. Within a segment the slots
// are kept in ascending order of their tags by linear probing: a slot stands at
// its home position (the tag scaled to the segment's size) or behind it, with
// no empty slot in between. So the whole table is one sequence in hash order:
// a scan cursor is a position in that order, which neither growth nor splits
// disturb, growing a segment is one linear pass that reads no key, and a look-up
// ends at the first larger tag.
//
// A segment grows in steps of 1 KiB up to 8 KiB, then it splits in two; only it,
// so there is never a rehash of everything. All hashes being alike, segments
// of a table fill at about the same time; growing in small steps keeps the
// average load above 80 %, and shards of different sizes (see NewHasher)
// see to it that not all tables of a store grow at once. Segments shrink and
// merge when keys are deleted, unless a cut is live.
//
// # Invariants
//
//  1. Memory that the live cut can still reach is not written. Guard says
//     which cut that is; writable and replace are the only ways to a
//     segment's or an entry's bytes.
//  2. A reader writes nothing into data pages. Access clocks, one byte a
//     slot, are side memory of the segment (arena.Side).
//  3. Every change of the tree happens under the shard's lock. A Walker over
//     the roots of a cut needs none.
//
// The package may use unsafe (to lay the segment header over arena memory).
package keyspace
