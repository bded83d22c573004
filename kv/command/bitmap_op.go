package command

import (
	"crypto/subtle"
	"encoding/binary"

	"kvd/kv"
)

type bitOp uint8

const (
	bitAnd bitOp = iota
	bitOr
	bitXor
	bitNot
)

func parseBitOp(arg []byte) (op bitOp, ok bool) {
	switch word := option(arg); {
	case is(word, "and"):
		return bitAnd, true
	case is(word, "or"):
		return bitOr, true
	case is(word, "xor"):
		return bitXor, true
	case is(word, "not"):
		return bitNot, true
	}
	return 0, false
}

func cmdBitop(x *Ctx) {
	op, ok := parseBitOp(x.Args[1])
	if !ok {
		x.Err(errSyntax)
		return
	}
	dest, keys := x.Args[2], x.Args[3:]
	if op == bitNot && len(keys) != 1 {
		x.Err(errBitopNot)
		return
	}
	var room [8]kv.Pieces
	sources, size := room[:0], int64(0)
	for _, key := range keys {
		it, found := x.lookupRead(key)
		if !found {
			sources = append(sources, kv.Pieces{})
			continue
		}
		if x.wrongType(it) {
			return
		}
		sources = append(sources, it.Pieces(0, it.Len()))
		size = max(size, it.Len())
	}
	if size == 0 {
		x.Tx.Delete(x.Client.db, dest)
		x.Int(0)
		return
	}
	err := x.Tx.FillString(x.Client.db, dest, size, kv.NoExpiry, func(dst []byte, _ int64) []byte {
		return op.combine(dst, sources)
	})
	if err != nil {
		x.storeErr(err)
		return
	}
	x.Int(size)
}

// combine makes the next piece of the result out of the next pieces of all sources: nil
// if it is zeroes. Where a source has ended it is zeroes.
func (op bitOp) combine(dst []byte, sources []kv.Pieces) []byte {
	zero, begun := true, false
	for i := range sources {
		src := &sources[i]
		if !src.Next() { // Bytes is empty
			if op == bitAnd {
				zero = true
				begun = true
				for j := range sources[i+1:] {
					sources[i+1+j].Next()
				}
				break
			}
			continue
		}
		zero = false
		switch {
		case op == bitNot:
			invert(dst, src.Bytes)
		case !begun:
			clear(dst[copy(dst, src.Bytes):])
		default:
			op.apply(dst, src.Bytes)
		}
		begun = true
	}
	if zero && op != bitNot {
		return nil
	}
	return dst
}

func invert(dst, src []byte) {
	i := 0
	for ; i+8 <= len(src); i += 8 {
		binary.NativeEndian.PutUint64(dst[i:], ^binary.NativeEndian.Uint64(src[i:]))
	}
	for ; i < len(src); i++ {
		dst[i] = ^src[i]
	}
}

// apply makes dst what the operation gives for it and src, which may be shorter.
func (op bitOp) apply(dst, src []byte) {
	n := len(src)
	switch i := 0; op {
	case bitAnd:
		for ; i+8 <= n; i += 8 {
			binary.NativeEndian.PutUint64(dst[i:], binary.NativeEndian.Uint64(dst[i:])&binary.NativeEndian.Uint64(src[i:]))
		}
		for ; i < n; i++ {
			dst[i] &= src[i]
		}
		clear(dst[n:])
	case bitOr:
		for ; i+8 <= n; i += 8 {
			binary.NativeEndian.PutUint64(dst[i:], binary.NativeEndian.Uint64(dst[i:])|binary.NativeEndian.Uint64(src[i:]))
		}
		for ; i < n; i++ {
			dst[i] |= src[i]
		}
	case bitXor:
		subtle.XORBytes(dst, dst[:n], src)
	}
}
