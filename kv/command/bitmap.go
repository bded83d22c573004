package command

import (
	"encoding/binary"
	"math/bits"

	"kvd/kv"
	"kvd/kv/resp"
)

// Bit 0 of a string is the highest bit of its first byte. Behind the end of a string all
// bits are 0.

const (
	errBitOffset   = "ERR bit offset is not an integer or out of range"
	errBitValue    = "ERR bit is not an integer or out of range"
	errBitArgument = "ERR The bit argument must be 1 or 0."
	errBitopNot    = "ERR BITOP NOT must be called with a single source key."
)

// bitOffset reads the place of a bit. "#n" is the n-th integer of width bits, if width
// is not 0. ok is false after an error.
func (x *Ctx) bitOffset(arg []byte, width int64) (offset int64, ok bool) {
	number := arg
	counted := width > 0 && len(arg) > 0 && arg[0] == '#'
	if counted {
		number = arg[1:]
	}
	offset, ok = resp.ParseInt(number)
	if counted {
		offset *= width
	}
	if !ok || offset < 0 || offset>>3 >= minBulkLimit && offset>>3 >= x.Config.Int("proto-max-bulk-len") {
		x.Err(errBitOffset)
		return 0, false
	}
	return offset, true
}

// byteAt returns byte i of the string in it, 0 behind its end.
func byteAt(it *kv.Item, i int64) byte {
	if i >= it.Len() {
		return 0
	}
	var buf [1]byte
	it.AppendRange(buf[:0], i, i+1)
	return buf[0]
}

func cmdGetbit(x *Ctx) {
	offset, ok := x.bitOffset(x.Args[2], 0)
	if !ok {
		return
	}
	it, found := x.lookupRead(x.Args[1])
	if !found {
		x.Int(0)
		return
	}
	if !x.wrongType(it) {
		x.Int(int64(byteAt(&it, offset>>3) >> (7 - offset&7) & 1))
	}
}

func cmdSetbit(x *Ctx) {
	key := x.Args[1]
	offset, ok := x.bitOffset(x.Args[2], 0)
	if !ok {
		return
	}
	on, ok := resp.ParseInt(x.Args[3])
	if !ok || on&^1 != 0 {
		x.Err(errBitValue)
		return
	}
	it, found := x.lookupWrite(key)
	if found && x.wrongType(it) {
		return
	}
	at := offset >> 3
	var old byte
	shift := uint(7 - offset&7)
	if found && at < it.Len() {
		old = byteAt(&it, at)
		if int64(old>>shift&1) == on {
			if x.makeRaw(key, &it) {
				x.Int(on)
			}
			return
		}
	}
	x.Scratch = append(x.Scratch[:0], old&^(1<<shift)|byte(on)<<shift)
	if _, err := x.Tx.WriteAt(x.Client.db, key, at, x.Scratch); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(int64(old >> shift & 1))
}

// bitRange is a part of a string: bits [from, to).
type bitRange struct{ from, to int64 }

// bitRange reads a range of a string of size bytes: args are start, end and the unit,
// of which the last ones may be missing. The unit is read before the ends are used if
// there is an end. ok is false after an error.
func (x *Ctx) bitRange(size int64, start, end int64, unit []byte) (r bitRange, ok bool) {
	total, scale := size, int64(8)
	switch {
	case unit == nil || is(option(unit), "byte"):
	case is(option(unit), "bit"):
		total, scale = 8*size, 1
	default:
		x.Err(errSyntax)
		return r, false
	}
	if start < 0 {
		start = max(start+total, 0)
	}
	if end < 0 {
		end = max(end+total, 0)
	}
	end = min(end, total-1)
	if start > end {
		return bitRange{}, true
	}
	return bitRange{start * scale, (end + 1) * scale}, true
}

// edges splits a range into whole bytes [from, to) and the bits in front of and behind
// them, which a mask selects of a byte each.
func (r bitRange) edges() (from, to int64, first, last byte) {
	first, last = byte(0xff)>>(r.from&7), ^(byte(0xff) >> (r.to & 7))
	from, to = r.from>>3, r.to>>3
	if from == to { // all in one byte, or nothing
		return from, to, first & last, 0
	}
	if r.from&7 == 0 {
		return from, to, 0, last
	}
	return from + 1, to, first, last
}

func cmdBitcount(x *Ctx) {
	it, found := x.lookupRead(x.Args[1])
	if !found {
		x.Int(0)
		return
	}
	if x.wrongType(it) {
		return
	}
	r := bitRange{0, 8 * it.Len()}
	switch n := len(x.Args); n {
	case 2:
	case 4, 5:
		start, ok := x.parseInt(x.Args[2])
		if !ok {
			return
		}
		end, ok := x.parseInt(x.Args[3])
		if !ok {
			return
		}
		if start < 0 && end < 0 && start > end {
			x.Int(0)
			return
		}
		var unit []byte
		if n == 5 {
			unit = x.Args[4]
		}
		if r, ok = x.bitRange(it.Len(), start, end, unit); !ok {
			return
		}
	default:
		x.Err(errSyntax)
		return
	}
	from, to, first, last := r.edges()
	n := 0
	if first != 0 {
		n += bits.OnesCount8(byteAt(&it, r.from>>3) & first)
	}
	if last != 0 {
		n += bits.OnesCount8(byteAt(&it, to) & last)
	}
	for p := it.Pieces(from, to); p.Next(); {
		n += onesCount(p.Bytes)
	}
	x.Int(int64(n))
}

// onesCount returns how many bits of b are set.
func onesCount(b []byte) (n int) {
	for ; len(b) >= 32; b = b[32:] {
		n += bits.OnesCount64(binary.NativeEndian.Uint64(b)) + bits.OnesCount64(binary.NativeEndian.Uint64(b[8:])) +
			bits.OnesCount64(binary.NativeEndian.Uint64(b[16:])) + bits.OnesCount64(binary.NativeEndian.Uint64(b[24:]))
	}
	for _, c := range b {
		n += bits.OnesCount8(c)
	}
	return n
}

func cmdBitpos(x *Ctx) {
	bit, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	if bit&^1 != 0 {
		x.Err(errBitArgument)
		return
	}
	it, found := x.lookupRead(x.Args[1])
	if !found {
		x.Int(-bit)
		return
	}
	if x.wrongType(it) {
		return
	}
	start, end, n := int64(0), it.Len()-1, len(x.Args)
	if n > 6 {
		x.Err(errSyntax)
		return
	}
	if n > 3 {
		if start, ok = x.parseInt(x.Args[3]); !ok {
			return
		}
	}
	var unit []byte
	if n == 6 {
		if unit = x.Args[5]; !is(option(unit), "bit") && !is(option(unit), "byte") {
			x.Err(errSyntax)
			return
		}
	}
	if n > 4 {
		if end, ok = x.parseInt(x.Args[4]); !ok {
			return
		}
	}
	r, ok := x.bitRange(it.Len(), start, end, unit)
	if !ok {
		return
	}
	at := findBit(&it, r, byte(bit))
	if at < 0 && bit == 0 && n <= 4 && r.to > r.from {
		at = 8 * it.Len() // the zeroes behind the end
	}
	x.Int(at)
}

// findBit returns the place of the first bit of a range that is set, or clear; -1 if there
// is none.
func findBit(it *kv.Item, r bitRange, bit byte) int64 {
	flip := bit - 1 // looked for is the first 1 in b ^ flip
	from, to, first, last := r.edges()
	if first != 0 {
		if b := (byteAt(it, r.from>>3) ^ flip) & first; b != 0 {
			return r.from&^7 + int64(bits.LeadingZeros8(b))
		}
	}
	at := from
	for p := it.Pieces(from, to); p.Next(); at += int64(len(p.Bytes)) {
		if i := firstOne(p.Bytes, flip); i >= 0 {
			return 8*at + int64(i)
		}
	}
	if last != 0 {
		if b := (byteAt(it, to) ^ flip) & last; b != 0 {
			return 8*to + int64(bits.LeadingZeros8(b))
		}
	}
	return -1
}

// firstOne returns the place of the first bit of b that is 1 when every byte is xored with
// flip, 0 or 255; -1 if there is none.
func firstOne(b []byte, flip byte) int {
	mask := uint64(0)
	if flip != 0 {
		mask = ^mask
	}
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if w := binary.BigEndian.Uint64(b[i:]) ^ mask; w != 0 {
			return 8*i + bits.LeadingZeros64(w)
		}
	}
	for ; i < len(b); i++ {
		if c := b[i] ^ flip; c != 0 {
			return 8*i + bits.LeadingZeros8(c)
		}
	}
	return -1
}
