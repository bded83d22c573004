package keyspace

import (
	"fmt"

	"kvd/kv/internal/arena"
)

// Check walks the whole table and returns the first broken invariant: order of
// tags, no gap between a slot and its home, tags and has-expiry bits that fit
// the entries, counts, directory ranges, and that the heaps hold nothing else
// than what the table and the deferred list refer to.
func (t *Table) Check() error {
	var c checker
	if t.dir != 0 {
		c.blocks++ // the directory
		for i := uint64(0); i < 1<<t.depth; {
			s := segmentAt(t.a, arena.Ref(t.dirWords()[i]))
			if s.depth > t.depth {
				return fmt.Errorf("keyspace: segment of depth %d in a directory of depth %d", s.depth, t.depth)
			}
			n := uint64(1) << (t.depth - s.depth)
			if i%n != 0 {
				return fmt.Errorf("keyspace: directory entry %d starts a range of %d", i, n)
			}
			for k := range n {
				if t.dirWords()[i+k] != uint64(s.ref) {
					return fmt.Errorf("keyspace: directory entry %d is not that of its segment", i+k)
				}
			}
			if s.depth == t.depth {
				c.deep++
			}
			if err := c.segment(t, s, i<<1<<(63-t.depth)); err != nil {
				return err
			}
			i += n
		}
	}
	if c.hidden != len(t.hidden) {
		return fmt.Errorf("keyspace: %d of %d hidden entries are there", c.hidden, len(t.hidden))
	}
	if c.ext != t.ext {
		return fmt.Errorf("keyspace: %d entries of an extended kind, counted are %d", c.ext, t.ext)
	}
	if c.count != t.count || c.expires != t.expires || c.deep != t.deep {
		return fmt.Errorf("keyspace: %d keys, %d with expiry, %d deep segments; counted are %d, %d, %d",
			c.count, c.expires, c.deep, t.count, t.expires, t.deep)
	}
	have := t.entries.Blocks() + t.index.Blocks() - t.guard.Waiting(t.entries) - t.guard.Waiting(t.index)
	if have != c.blocks {
		return fmt.Errorf("keyspace: the heaps hold %d blocks, the table refers to %d", have, c.blocks)
	}
	return nil
}

type checker struct {
	count, expires int64
	ext            int64
	blocks         int64
	deep           int
	hidden         int
}

func (c *checker) segment(t *Table, s seg, prefix uint64) error {
	c.blocks++
	count, expires := 0, 0  // hidden ones included
	shown, expiring := 0, 0 // these aside
	tab := s.table()
	prev := 0 // position after the last slot
	var last uint64
	for i, slot := range tab {
		if slot == 0 {
			continue
		}
		tag := slotTag(slot)
		hp := home(tag, s.homes)
		if tag < last || i < hp {
			return fmt.Errorf("keyspace: slot %d with tag %d is out of order", i, tag)
		}
		if i > hp && prev != i {
			return fmt.Errorf("keyspace: gap between slot %d and its home %d", i, hp)
		}
		last, prev = tag, i+1
		var e Entry
		readEntry(t.a, slotRef(slot), &e)
		pos := t.hasher.Hash(e.Key)
		if tagOf(pos, s.depth) != tag || s.depth > 0 && pos>>(64-s.depth) != prefix>>(64-s.depth) {
			return fmt.Errorf("keyspace: key %q is in the wrong place", e.Key)
		}
		if (slot&ttlBit != 0) != (e.ExpireAt != 0) {
			return fmt.Errorf("keyspace: key %q expires at %d, its slot says otherwise", e.Key, e.ExpireAt)
		}
		count++
		hidden := t.isHidden(slotRef(slot))
		if hidden {
			c.hidden++
		} else {
			shown++
		}
		if extended(e.Kind) && !hidden {
			c.ext++
		}
		c.blocks++
		if e.external != 0 {
			c.blocks++
		}
		if e.ExpireAt != 0 {
			expires++
			if !hidden {
				expiring++
			}
			if !hidden && (s.expireAt == 0 || e.ExpireAt < s.expireAt) {
				return fmt.Errorf("keyspace: key %q expires before its segment's bound", e.Key)
			}
		}
	}
	if count != int(s.count) || expires != int(s.expires) {
		return fmt.Errorf("keyspace: segment has %d keys, %d with expiry; counted are %d, %d", count, expires, s.count, s.expires)
	}
	c.count += int64(shown)
	c.expires += int64(expiring)
	return nil
}
