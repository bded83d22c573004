package command

import (
	"encoding/binary"
	"math"

	"kvd/kv"
	"kvd/kv/resp"
)

const (
	errBitfieldType     = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
	errBitfieldOverflow = "ERR Invalid OVERFLOW type specified"
	errBitfieldReadOnly = "ERR BITFIELD_RO only supports the GET subcommand"
)

type bitfieldKind uint8

const (
	bitfieldGet bitfieldKind = iota
	bitfieldSet
	bitfieldIncrby
)

type overflowMode uint8

const (
	overflowWrap overflowMode = iota
	overflowSat
	overflowFail
)

// bitfieldOp is one operation of BITFIELD.
type bitfieldOp struct {
	kind     bitfieldKind
	overflow overflowMode
	signed   bool
	width    int64 // bits, 1 to 64
	offset   int64 // of its first bit
	value    int64 // to set or to add
}

// parse reads the operation at args and returns how many arguments it takes. ok is false
// after an error.
func (o *bitfieldOp) parse(x *Ctx, args [][]byte) (n int, ok bool) {
	switch word := option(args[0]); {
	case is(word, "get") && len(args) > 2:
		o.kind, n = bitfieldGet, 3
	case is(word, "set") && len(args) > 3:
		o.kind, n = bitfieldSet, 4
	case is(word, "incrby") && len(args) > 3:
		o.kind, n = bitfieldIncrby, 4
	default:
		x.Err(errSyntax)
		return 0, false
	}
	if !o.parseType(option(args[1])) {
		x.Err(errBitfieldType)
		return 0, false
	}
	if o.offset, ok = x.bitOffset(args[2], o.width); !ok {
		return 0, false
	}
	if n == 4 {
		if o.value, ok = x.parseInt(args[3]); !ok {
			return 0, false
		}
	}
	return n, true
}

func (o *bitfieldOp) parseType(arg []byte) (ok bool) {
	if len(arg) == 0 || arg[0] != 'i' && arg[0] != 'u' {
		return false
	}
	o.signed = arg[0] == 'i'
	o.width, ok = resp.ParseInt(arg[1:])
	return ok && o.width >= 1 && (o.width < 64 || o.width == 64 && o.signed)
}

// parseOverflow reads the argument of OVERFLOW.
func parseOverflow(arg []byte) (m overflowMode, ok bool) {
	switch word := option(arg); {
	case is(word, "wrap"):
		return overflowWrap, true
	case is(word, "sat"):
		return overflowSat, true
	case is(word, "fail"):
		return overflowFail, true
	}
	return 0, false
}

func cmdBitfield(x *Ctx)   { x.bitfield(false) }
func cmdBitfieldRO(x *Ctx) { x.bitfield(true) }

func (x *Ctx) bitfield(readOnly bool) {
	var room [8]bitfieldOp
	ops, mode, end := room[:0], overflowWrap, int64(0) // end: behind the last bit that is written
	for args := x.Args[2:]; len(args) > 0; {
		if is(option(args[0]), "overflow") && len(args) > 1 {
			var ok bool
			if mode, ok = parseOverflow(args[1]); !ok {
				x.Err(errBitfieldOverflow)
				return
			}
			args = args[2:]
			continue
		}
		o := bitfieldOp{overflow: mode}
		n, ok := o.parse(x, args)
		if !ok {
			return
		}
		if o.kind != bitfieldGet {
			end = max(end, o.offset+o.width)
		}
		ops = append(ops, o)
		args = args[n:]
	}
	if end == 0 {
		if it, found := x.lookupRead(x.Args[1]); !found || !x.wrongType(it) {
			x.Array(len(ops))
			for i := range ops {
				x.Int(ops[i].number(ops[i].read(&it)))
			}
		}
		return
	}
	if readOnly {
		x.Err(errBitfieldReadOnly)
		return
	}
	x.bitfieldWrite(ops, (end+7)>>3)
}

// bitfieldWrite runs operations for which the string must have size bytes.
func (x *Ctx) bitfieldWrite(ops []bitfieldOp, size int64) {
	key, db := x.Args[1], x.Client.db
	it, found := x.lookupWrite(key)
	if found && x.wrongType(it) {
		return
	}
	grown, writes := !found || it.Len() < size, int64(0)
	if grown {
		x.Scratch = append(x.Scratch[:0], 0)
		if _, err := x.Tx.WriteAt(db, key, size-1, x.Scratch); err != nil {
			x.storeErr(err)
			return
		}
		writes++
		it, _ = x.Tx.Peek(db, key)
	} else if !x.makeRaw(key, &it) {
		return
	}
	at, changes := len(x.Client.Out), int64(0)
	x.Array(len(ops))
	for i := range ops {
		o := &ops[i]
		if writes > 0 || i == 0 {
			it, _ = x.Tx.Peek(db, key) // what was borrowed has moved, maybe
		}
		old := o.read(&it)
		if o.kind == bitfieldGet {
			x.Int(o.number(old))
			continue
		}
		now, ok := o.result(old)
		if !ok {
			x.Null()
			continue
		}
		if o.kind == bitfieldSet {
			x.Int(o.number(old))
		} else {
			x.Int(o.number(now))
		}
		if now != old {
			if err := o.write(x, &it, now); err != nil {
				x.Client.Out = x.Client.Out[:at]
				x.storeErr(err)
				return
			}
			writes++
		}
		if grown || now != old {
			changes++
		}
	}
	x.Tx.MarkChanged(changes - writes)
}

// window reads the bytes that the integer lies in and returns them with their place:
// nine at most, zeroes behind the end of the string.
func (o *bitfieldOp) window(it *kv.Item) (b [16]byte, at int64) {
	at = o.offset >> 3
	if end := min(at+9, it.Len()); at < end {
		it.AppendRange(b[:0], at, end)
	}
	return b, at
}

// read returns the integer as its bits stand there, the last one lowest.
func (o *bitfieldOp) read(it *kv.Item) uint64 {
	if it.Type == kv.TypeNone {
		return 0
	}
	b, _ := o.window(it)
	shift := uint(o.offset & 7)
	w := binary.BigEndian.Uint64(b[:])<<shift | uint64(b[8])>>(8-shift)
	return w >> (64 - uint(o.width))
}

// write stores the integer into the string, which is long enough.
func (o *bitfieldOp) write(x *Ctx, it *kv.Item, v uint64) error {
	b, at := o.window(it)
	shift := uint(o.offset & 7)
	v <<= 64 - uint(o.width)
	mask := uint64(math.MaxUint64) << (64 - uint(o.width))
	w := binary.BigEndian.Uint64(b[:])
	binary.BigEndian.PutUint64(b[:], w&^(mask>>shift)|v>>shift)
	b[8] = b[8]&^byte(mask<<(8-shift)) | byte(v<<(8-shift))
	n := (int64(shift) + o.width + 7) >> 3
	x.Scratch = append(x.Scratch[:0], b[:n]...)
	_, err := x.Tx.WriteAt(x.Client.db, x.Args[1], at, x.Scratch)
	return err
}

// number returns the integer that the bits mean.
func (o *bitfieldOp) number(v uint64) int64 {
	if !o.signed {
		return int64(v)
	}
	shift := 64 - uint(o.width)
	return int64(v<<shift) >> shift
}

// mask returns the bits that the integer has.
func (o *bitfieldOp) mask() uint64 { return math.MaxUint64 >> (64 - uint(o.width)) }

// result returns the bits of what SET or INCRBY makes of the present ones; false if it
// does not fit and OVERFLOW FAIL is in force.
func (o *bitfieldOp) result(old uint64) (v uint64, ok bool) {
	base, delta := o.number(old), o.value
	if o.kind == bitfieldSet {
		base, delta = o.value, 0
	}
	over := 0
	if o.signed {
		over = o.overSigned(base, delta)
	} else {
		over = o.overUnsigned(uint64(base), delta)
	}
	switch {
	case over == 0 || o.overflow == overflowWrap:
		return uint64(base+delta) & o.mask(), true
	case o.overflow == overflowFail:
		return 0, false
	case o.signed && over > 0:
		return o.mask() >> 1, true
	case o.signed:
		return o.mask() &^ (o.mask() >> 1), true
	case over > 0:
		return o.mask(), true
	}
	return 0, true
}

// overSigned tells whether base+delta is above what a signed integer of the width can be
// (1), or below (-1). The differences may wrap around: what Redis makes of a number that is
// too low for 63 bits by more than they hold is too high, and so it is here.
func (o *bitfieldOp) overSigned(base, delta int64) int {
	high := int64(o.mask() >> 1)
	low := -high - 1
	up, down := high-base, low-base
	switch {
	case base > high, o.width != 64 && delta > up, base >= 0 && delta > 0 && delta > up:
		return 1
	case base < low, o.width != 64 && delta < down, base < 0 && delta < 0 && delta < down:
		return -1
	}
	return 0
}

// overUnsigned is overSigned for unsigned integers, which have 63 bits at most.
func (o *bitfieldOp) overUnsigned(base uint64, delta int64) int {
	high := o.mask()
	switch {
	case base > high, delta > 0 && uint64(delta) > high-base:
		return 1
	case delta < 0 && uint64(-delta) > base:
		return -1
	}
	return 0
}

// bitfieldKeyFlags returns what BITFIELD does with its key: as Redis, it counts as a
// write if it is not understood.
func bitfieldKeyFlags(args [][]byte) KeyFlags {
	for args = args[min(2, len(args)):]; len(args) > 0; {
		word := option(args[0])
		switch {
		case is(word, "get") && len(args) > 2:
			args = args[3:]
		case is(word, "overflow") && len(args) > 1:
			args = args[2:]
		default:
			return KeyRW | KeyAccess | KeyUpdate
		}
	}
	return KeyRO | KeyAccess
}
