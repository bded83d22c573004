package rdb

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// LZF as in liblzf. The compressed bytes are a sequence of
//
//	000nnnnn, n+1 bytes              literals, 1 … 32
//	nnnooooo oooooooo                n+2 bytes (n = 1 … 6) from o+1 bytes back
//	111ooooo nnnnnnnn oooooooo       n+9 bytes from o+1 bytes back
const (
	lzfMaxLit = 1 << 5
	lzfMaxOff = 1 << 13
	lzfMaxRef = 1<<8 + 1<<3

	// lzfMaxRatio bounds how much longer than the compressed bytes the original can be: 264 / 3.
	lzfMaxRatio = lzfMaxRef / 3

	// lzfTail is how close to the end of the input no match is looked for, so that eight bytes
	// can be loaded everywhere.
	lzfTail = 8

	lzfHashBits = 14
	// lzfSmallBits of the hash are used for inputs up to lzfSmall bytes: a small part of the table, which
	// stays in the first-level cache.
	lzfSmallBits = 10
	lzfSmall     = 1 << 10
	// lzfSkipBits: after 2^lzfSkipBits misses in a row the search takes steps of two bytes, and then they
	// grow faster and faster, up to lzfMaxStep: what has had no match for a hundred bytes is not worth
	// the time, but text behind it is still found.
	lzfSkipBits = 4
	lzfMaxStep  = 16
)

// ErrLZF means compressed bytes that are damaged, or that do not expand to the length they should.
var ErrLZF = errors.New("invalid LZF compressed data")

// LZFTable is the compressor's hash table. The zero value is ready, one table serves any number of
// inputs one after the other, and it holds no pointers.
type LZFTable struct {
	// base is added to the positions in pos and grows with each input by its length and more than
	// the reach of a reference: what earlier inputs left in the table is then out of reach, and the
	// table need not be cleared.
	base uint32
	pos  [1 << lzfHashBits]uint32
}

func load32(p []byte, i int) uint32 { return binary.LittleEndian.Uint32(p[i:]) }
func load64(p []byte, i int) uint64 { return binary.LittleEndian.Uint64(p[i:]) }

// start makes room for an input of n bytes and returns the number of its position 0.
func (t *LZFTable) start(n int) uint32 {
	if t.base < lzfMaxOff+1 || uint64(t.base)+uint64(n)+lzfMaxOff+1 > 1<<32-1 {
		clear(t.pos[:])
		t.base = lzfMaxOff + 1
	}
	base := t.base
	t.base += uint32(n) + lzfMaxOff + 1
	return base
}

// CompressLZF compresses src into dst and returns the length of the result, or 0 if it does not fit
// dst: pass a dst that is shorter than src to have only what pays. src is at most 1 GiB (0 beyond)
// and does not overlap dst. It does not allocate.
//
// It takes matches of four bytes and more; those of three, which the format has too, save next to
// nothing and cost a third of the speed.
func CompressLZF(dst, src []byte, t *LZFTable) int {
	if len(src) > 1<<30 {
		return 0
	}
	base := t.start(len(src))
	mask := uint32(1<<lzfHashBits - 1)
	if len(src) <= lzfSmall {
		mask = 1<<lzfSmallBits - 1
	}
	op, anchor, ip := 0, 0, 0
	for {
		found, dist := t.find(src, ip, base, mask)
		if dist == 0 {
			break
		}
		ip = found
		ref := ip - dist
		diff := load64(src, ref) ^ load64(src, ip)
		n := bits.TrailingZeros64(diff) >> 3
		if diff == 0 {
			n = lzfMatchLen(src, ref, ip)
		}
		for ip > anchor && ref > 0 && src[ip-1] == src[ref-1] && n < lzfMaxRef {
			ip, ref, n = ip-1, ref-1, n+1
		}
		if op = lzfLiterals(dst, op, src, anchor, ip); op < 0 || op+3 > len(dst) {
			return 0
		}
		op = lzfReference(dst, op, n, dist)
		ip += n
		anchor = ip
		if ip < len(src)-lzfTail {
			*t.slot(load32(src, ip-2), mask) = base + uint32(ip-2)
		}
	}
	return max(lzfLiterals(dst, op, src, anchor, len(src)), 0)
}

// find looks from ip on for four bytes that the table has seen. It returns where they are, and how far
// back the others; a distance of 0 means that there are none.
//
// It is a function of its own so that all its variables stay in registers, which makes it
// twice as fast.
//
//go:noinline
func (t *LZFTable) find(src []byte, ip int, base, mask uint32) (found, dist int) {
	limit := len(src) - lzfTail
	for step := 1 << lzfSkipBits; ip < limit; step = min(step+step>>lzfSkipBits, lzfMaxStep<<lzfSkipBits) {
		cur := load32(src, ip)
		slot := t.slot(cur, mask)
		at := base + uint32(ip)
		back := at - *slot
		*slot = at
		if back <= lzfMaxOff && load32(src, ip-int(back)) == cur {
			return ip, int(back)
		}
		ip += step >> lzfSkipBits
	}
	return 0, 0
}

// slot returns where the table keeps the position of four bytes.
func (t *LZFTable) slot(four, mask uint32) *uint32 {
	h := four * 0x9e3779b1 >> (32 - lzfHashBits)
	return &t.pos[h&mask&(1<<lzfHashBits-1)]
}

// lzfMatchLen returns how many bytes at ref and ip are equal, at most lzfMaxRef. The first eight are.
func lzfMatchLen(src []byte, ref, ip int) int {
	n, end := 8, min(lzfMaxRef, len(src)-ip)
	for n+8 <= end {
		if d := load64(src, ref+n) ^ load64(src, ip+n); d != 0 {
			return n + bits.TrailingZeros64(d)>>3
		}
		n += 8
	}
	for n < end && src[ref+n] == src[ip+n] {
		n++
	}
	return n
}

// lzfReference writes a reference at op, where three bytes are free, and returns the new op.
func lzfReference(dst []byte, op, n, dist int) int {
	n, dist = n-2, dist-1
	// Without a branch: lengths vary, and to guess wrong costs more than a byte written in vain.
	long := int(uint(6-n) >> 63)
	dst[op] = byte(min(n, 7)<<5 | dist>>8)
	dst[op+1] = byte(n - 7)
	dst[op+1+long] = byte(dist)
	return op + 2 + long
}

// lzfLiterals writes src[from:to] as literals at op and returns the new op, -1 if they do not fit.
func lzfLiterals(dst []byte, op int, src []byte, from, to int) int {
	if n := to - from; n+(n+lzfMaxLit-1)/lzfMaxLit > len(dst)-op {
		return -1 // found out before the copying
	}
	for from < to {
		n := min(to-from, lzfMaxLit)
		dst[op] = byte(n - 1)
		if op+1+lzfMaxLit <= len(dst) && from+lzfMaxLit <= len(src) {
			// A move of constant size is a few instructions. What it writes too much is overwritten.
			*(*[lzfMaxLit]byte)(dst[op+1:]) = [lzfMaxLit]byte(src[from:])
		} else {
			copy(dst[op+1:], src[from:from+n])
		}
		op += 1 + n
		from += n
	}
	return op
}

// DecompressLZF expands src into dst, which must have exactly the length of the original; anything
// else is [ErrLZF]. The input is not trusted. It does not allocate.
func DecompressLZF(dst, src []byte) error {
	ip, op := 0, 0
	for ip < len(src) {
		ctrl := int(src[ip])
		ip++
		if ctrl < lzfMaxLit {
			n := ctrl + 1
			if n > len(src)-ip || n > len(dst)-op {
				return ErrLZF
			}
			if ip+lzfMaxLit <= len(src) && op+lzfMaxLit <= len(dst) {
				*(*[lzfMaxLit]byte)(dst[op:]) = [lzfMaxLit]byte(src[ip:])
			} else {
				copy(dst[op:], src[ip:ip+n])
			}
			ip, op = ip+n, op+n
			continue
		}
		n := ctrl >> 5
		if n == 7 {
			if ip >= len(src) {
				return ErrLZF
			}
			n += int(src[ip])
			ip++
		}
		n += 2
		if ip >= len(src) {
			return ErrLZF
		}
		ref := op - ctrl&0x1f<<8 - int(src[ip]) - 1
		ip++
		if ref < 0 || n > len(dst)-op {
			return ErrLZF
		}
		lzfCopy(dst, ref, op, n)
		op += n
	}
	if op != len(dst) {
		return ErrLZF
	}
	return nil
}

// lzfCopy copies n bytes from ref to op > ref within dst, byte after byte as far as a reader can
// tell: the two may overlap, and then the bytes in front of op repeat.
func lzfCopy(dst []byte, ref, op, n int) {
	if op-ref >= 8 && op+n+8 <= len(dst) {
		for i := 0; i < n; i += 8 {
			binary.LittleEndian.PutUint64(dst[op+i:], binary.LittleEndian.Uint64(dst[ref+i:]))
		}
		return
	}
	// Each copy doubles what repeats, so an overlap costs few calls.
	for n > 0 {
		m := copy(dst[op:op+n], dst[ref:op])
		op, n = op+m, n-m
	}
}
