package command

import (
	"bytes"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// The commands that take elements from the first list that has some, or carry one from
// list to list, and those of them that wait.

func cmdLmove(x *Ctx) {
	if from, to, ok := x.parseEnds(); ok {
		x.move(from, to)
	}
}

func cmdRpoplpush(x *Ctx) { x.move(kv.Right, kv.Left) }

// parseEnds reads the two ends of LMOVE and BLMOVE.
func (x *Ctx) parseEnds() (from, to kv.End, ok bool) {
	if from, ok = x.parseEnd(x.Args[3]); ok {
		to, ok = x.parseEnd(x.Args[4])
	}
	return from, to, ok
}

// move carries an element from one end of the list at Args[1] to one of that at Args[2],
// and replies it. If there is none it replies null.
func (x *Ctx) move(from, to kv.End) {
	var src kv.List
	if x.openList(&src, x.Args[1]) {
		if src.Exists() {
			x.carry(&src, from, to)
		} else {
			x.Null()
		}
	}
}

// carry is move for a list that exists. It counts as one change.
func (x *Ctx) carry(src *kv.List, from, to kv.End) {
	var other kv.List
	dst := src
	if !bytes.Equal(x.Args[1], x.Args[2]) {
		if dst = &other; !x.openList(dst, x.Args[2]) {
			return
		}
	}
	x.Scratch = x.Scratch[:0]
	src.Ends(from, 1, func(v *packed.Value) { x.Scratch = v.Append(x.Scratch) })
	elem := x.Scratch
	// In one list the new element may come before the old: they are the same.
	if err := dst.Push(to, [][]byte{elem}); err != nil {
		x.storeErr(err)
		return
	}
	if err := src.Pop(from, 1); err != nil {
		_ = dst.Pop(to, 1) // there is memory again for what was pushed
		x.storeErr(err)
		return
	}
	x.Tx.MarkChanged(-1)
	x.Bulk(elem)
}

// popFirst takes elements from the first of the keys that has some, and replies the key
// and the element, or with many the key and an array of elements. It returns false, and has
// replied nothing, if none has.
func (x *Ctx) popFirst(keys [][]byte, end kv.End, count int64, many bool) bool {
	for _, key := range keys {
		if !x.awaits(key) {
			continue
		}
		var l kv.List
		if !x.openList(&l, key) {
			return true
		}
		if l.Exists() {
			at := len(x.Client.Out)
			x.Array(2)
			x.Bulk(key)
			x.popElements(&l, end, count, at, many)
			return true
		}
	}
	return false
}

func cmdBlpop(x *Ctx) { x.blockingPop(kv.Left) }
func cmdBrpop(x *Ctx) { x.blockingPop(kv.Right) }

func (x *Ctx) blockingPop(end kv.End) {
	last := len(x.Args) - 1
	timeout, ok := x.parseTimeout(x.Args[last], inSeconds)
	if !ok {
		return
	}
	keys := x.Args[1:last]
	if !x.popFirst(keys, end, 1, false) {
		x.block(blocking{typ: kv.TypeList, timeout: timeout, keys: keys})
	}
}

// parseMpop reads "numkeys key … LEFT|RIGHT [COUNT n]", which begins at argument i.
func (x *Ctx) parseMpop(i int) (keys [][]byte, end kv.End, count int64, ok bool) {
	n, ok := x.parseAtLeast(x.Args[i], 1, errNumKeys)
	if !ok {
		return nil, 0, 0, false
	}
	i++
	if n >= int64(len(x.Args)-i) {
		x.Err(errSyntax)
		return nil, 0, 0, false
	}
	keys = x.Args[i : i+int(n)]
	i += int(n)
	if end, ok = x.parseEnd(x.Args[i]); !ok {
		return nil, 0, 0, false
	}
	for i++; i < len(x.Args); i += 2 {
		if count != 0 || !is(option(x.Args[i]), "count") || i+1 == len(x.Args) {
			x.Err(errSyntax)
			return nil, 0, 0, false
		}
		if count, ok = x.parseAtLeast(x.Args[i+1], 1, errPopCount); !ok {
			return nil, 0, 0, false
		}
	}
	return keys, end, max(count, 1), true
}

func cmdLmpop(x *Ctx) {
	if keys, end, count, ok := x.parseMpop(1); ok && !x.popFirst(keys, end, count, true) {
		x.NullArray()
	}
}

func cmdBlmpop(x *Ctx) {
	keys, end, count, ok := x.parseMpop(2)
	if !ok {
		return
	}
	timeout, ok := x.parseTimeout(x.Args[1], inSeconds)
	if ok && !x.popFirst(keys, end, count, true) {
		x.block(blocking{typ: kv.TypeList, timeout: timeout, keys: keys})
	}
}

func cmdBlmove(x *Ctx) {
	if from, to, ok := x.parseEnds(); ok {
		x.blockingMove(from, to, x.Args[5])
	}
}

func cmdBrpoplpush(x *Ctx) { x.blockingMove(kv.Right, kv.Left, x.Args[3]) }

func (x *Ctx) blockingMove(from, to kv.End, wait []byte) {
	timeout, ok := x.parseTimeout(wait, inSeconds)
	if !ok {
		return
	}
	var src kv.List
	if !x.openList(&src, x.Args[1]) {
		return
	}
	if src.Exists() {
		x.carry(&src, from, to)
		return
	}
	x.block(blocking{typ: kv.TypeList, timeout: timeout, keys: x.Args[1:2], also: x.Args[2:3], null: true})
}

// mpopKeys returns the keys of "numkeys key …" at argument i.
func mpopKeys(i int) func(args [][]byte) [][]byte {
	return func(args [][]byte) [][]byte {
		if i >= len(args) {
			return nil
		}
		n, ok := resp.ParseInt(args[i])
		if !ok || n < 1 || n > int64(len(args)-i-1) {
			return nil
		}
		return args[i+1 : i+1+int(n)]
	}
}
