package kv

import (
	"sync/atomic"

	"kvd/kv/internal/cut"
	"kvd/kv/internal/tree"
)

// Pin is a part of a long string as it was when Tx.Pin was called, to be read without a
// lock: whatever becomes of the key, writers leave the bytes alone until Release. What
// they replace or delete meanwhile is kept, and counts as memory that is deferred or
// being freed, so who pins should get on with it.
//
// All but Release is for one goroutine at a time. The store must not be closed before
// all of its pins are released.
type Pin struct {
	age      *cut.Age
	released atomic.Bool
	t        tree.Tree
	at, end  int64
}

// Pin pins bytes [from, to) of the string at key, which has them. It returns false if there is
// no string at key or a short one, whose bytes are best copied: all above 256 KiB are long.
// It takes no time to speak of, whatever the length.
func (tx *Tx) Pin(db int, key []byte, from, to int64) (*Pin, bool) {
	t, h, pos, ok := tx.find(db, key)
	if !ok {
		return nil, false
	}
	kind, head := t.Value(pos)
	if kind != kindChunks || headID(head) == 0 {
		return nil, false
	}
	sh := tx.shard(h)
	b := sh.bigs.of[db][headID(head)]
	b.sync(tx.s, sh)
	p := &Pin{age: b.guard.Pin(), t: tree.Read(tx.s.arena, shapes[TypeString][0], headRoot(head, 0)), at: from, end: to}
	sh.note(tx.s, b)
	return p, true
}

// Left returns the number of bytes from the present position to the end.
func (p *Pin) Left() int64 { return p.end - p.at }

// Skip moves the position n bytes on; n must not exceed Left.
func (p *Pin) Skip(n int64) { p.at += n }

// Pieces returns the pieces from the present position to the end, which it does not move.
// Their bytes are borrowed until Release. It must not be called after Release.
func (p *Pin) Pieces() Pieces { return piecesOf(&p.t, p.at, p.end) }

// Release lets writers use the memory again. Any goroutine may call it, under any lock,
// and more than once.
func (p *Pin) Release() {
	if !p.released.Swap(true) {
		p.age.Release()
	}
}
