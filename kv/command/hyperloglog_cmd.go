package command

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"kvd/kv"
)

const (
	errNoHLL         = "WRONGTYPE Key is not a valid HyperLogLog string value."
	errCorruptHLL    = "INVALIDOBJ Corrupted HLL object detected"
	errPFDebugKey    = "ERR The specified key does not exist"
	errPFDebugSparse = "ERR HLL encoding is not sparse"
	errPFDebugSub    = "ERR Unknown PFDEBUG subcommand '%s'"
	errPFDebugArity  = "ERR Wrong number of arguments for the '%s' subcommand"
	errPFSelfTest    = "ERR TESTFAILED %s"
)

// hllOf returns the HyperLogLog in it, borrowed from the store as a rule, or replies
// the error.
func (x *Ctx) hllOf(it *kv.Item) (hll, bool) {
	if x.wrongType(*it) {
		return nil, false
	}
	b := x.contents(it)
	if !isHLL(b) {
		x.Err(errNoHLL)
		return nil, false
	}
	if it.Encoding == kv.EncEmbstr { // makeRaw may move it
		x.Scratch = append(x.Scratch[:0], b...)
		b = x.Scratch
	}
	return b, true
}

// storeHLL makes key hold h, which keeps its expiry. It returns false after an error.
func (x *Ctx) storeHLL(key []byte, h hll) bool {
	if err := x.Tx.SetString(x.Client.db, key, h, kv.EncRaw, kv.KeepExpiry); err != nil {
		x.storeErr(err)
		return false
	}
	return true
}

// hllCopy returns a copy of h that may be written to and can grow by a little.
func (x *Ctx) hllCopy(h hll) hll {
	x.Scratch = append(append(x.Scratch[:0], h...), 0, 0, 0)
	return x.Scratch[:len(h)]
}

func cmdPfadd(x *Ctx) {
	key := x.Args[1]
	it, found := x.lookupWrite(key)
	var h hll
	updates := int64(0)
	if found {
		b, ok := x.hllOf(&it)
		if !ok {
			return
		}
		if b.dense() {
			x.addDense(key, &it, b)
			return
		}
		h = x.hllCopy(b)
	} else {
		x.Scratch = newHLL(x.Scratch[:0])
		h = x.Scratch
		updates++
	}
	limit := x.Config.Int("hll-sparse-max-bytes")
	for _, elem := range x.Args[2:] {
		i, rank := hllPlace(elem)
		var changed, ok bool
		if h, changed, ok = h.raise(i, rank, limit); !ok {
			x.Err(errCorruptHLL)
			return
		}
		if changed {
			updates++
		}
	}
	if updates == 0 {
		if x.makeRaw(key, &it) {
			x.Int(0)
		}
		return
	}
	h.setStale()
	if x.storeHLL(key, h) {
		x.Tx.MarkChanged(updates - 1)
		x.Int(1)
	}
}

// addDense is PFADD for a dense HyperLogLog, which is changed where it lies.
func (x *Ctx) addDense(key []byte, it *kv.Item, h hll) {
	elems, updates := x.Args[2:], int64(0)
	for len(elems) > 0 {
		if i, rank := hllPlace(elems[0]); denseAt(h.runs(), i) < rank {
			break
		}
		elems = elems[1:]
	}
	if len(elems) == 0 {
		if x.makeRaw(key, it) {
			x.Int(0)
		}
		return
	}
	b, err := x.Tx.EditString(x.Client.db, key, hllDenseSize)
	if err != nil {
		x.storeErr(err)
		return
	}
	h = b
	for _, elem := range elems {
		if i, rank := hllPlace(elem); denseAt(h.runs(), i) < rank {
			setDense(h.runs(), i, rank)
			updates++
		}
	}
	h.setStale()
	x.Tx.MarkChanged(updates - 1)
	x.Int(1)
}

func cmdPfcount(x *Ctx) {
	if len(x.Args) > 2 {
		var regs hllRegs
		if _, ok := x.merge(&regs, x.Args[1:]); ok {
			x.Int(regs.count())
		}
		return
	}
	key := x.Args[1]
	it, found := x.lookupRead(key)
	if !found {
		x.Int(0)
		return
	}
	h, ok := x.hllOf(&it)
	if !ok || !x.makeRaw(key, &it) {
		return
	}
	if !h.isStale() {
		x.Int(h.cached())
		return
	}
	n, ok := h.count()
	if !ok {
		x.Err(errCorruptHLL)
		return
	}
	x.Scratch = append(x.Scratch[:0], h[:hllHeader]...)
	hll(x.Scratch).setCached(n)
	if _, err := x.Tx.WriteAt(x.Client.db, key, 0, x.Scratch); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(n)
}

// merge raises regs to those of all HyperLogLogs at keys. ok is false after an error.
func (x *Ctx) merge(regs *hllRegs, keys [][]byte) (dense, ok bool) {
	for _, key := range keys {
		it, found := x.lookupRead(key)
		if !found {
			continue
		}
		h, ok := x.hllOf(&it)
		if !ok {
			return false, false
		}
		dense = dense || h.dense()
		if !h.unpack(regs) {
			x.Err(errCorruptHLL)
			return false, false
		}
	}
	return dense, true
}

func cmdPfmerge(x *Ctx) {
	key := x.Args[1]
	var regs hllRegs
	dense, ok := x.merge(&regs, x.Args[1:])
	if !ok {
		return
	}
	var h hll
	if it, found := x.lookupWrite(key); found {
		h = x.hllCopy(x.contents(&it))
	} else {
		x.Scratch = newHLL(x.Scratch[:0])
		h = x.Scratch
	}
	if dense {
		h, _ = h.toDense() // it was unpacked just now
	}
	limit := x.Config.Int("hll-sparse-max-bytes")
	for i, rank := range regs {
		if rank > 0 {
			h, _, _ = h.raise(i, rank, limit)
		}
	}
	h.setStale()
	if x.storeHLL(key, h) {
		x.OK()
	}
}

func cmdPfdebug(x *Ctx) {
	sub, key := x.Args[1], x.Args[2]
	it, found := x.lookupWrite(key)
	if !found {
		x.Err(errPFDebugKey)
		return
	}
	h, ok := x.hllOf(&it)
	if !ok || !x.makeRaw(key, &it) {
		return
	}
	switch word := option(sub); {
	case is(word, "getreg"):
		if _, ok := x.makeDense(key, h); !ok {
			return
		}
		var regs hllRegs
		h.unpack(&regs)
		x.Array(hllRegisters)
		for _, rank := range regs {
			x.Int(int64(rank))
		}
	case is(word, "decode"):
		if h.dense() {
			x.Err(errPFDebugSparse)
			return
		}
		x.Bulk(h.decode())
	case is(word, "encoding"):
		if h.dense() {
			x.Simple("dense")
		} else {
			x.Simple("sparse")
		}
	case is(word, "todense"):
		if changed, ok := x.makeDense(key, h); ok {
			x.Bool01(changed)
		}
	default:
		x.Errf(errPFDebugSub, cText(sub, len(sub)))
	}
}

// makeDense makes the HyperLogLog at key dense. ok is false after an error.
func (x *Ctx) makeDense(key []byte, h hll) (changed, ok bool) {
	if h.dense() {
		return false, true
	}
	d, ok := h.toDense()
	if !ok {
		x.Err(errCorruptHLL)
		return false, false
	}
	return true, x.storeHLL(key, d)
}

// decode returns the runs of a sparse HyperLogLog in the words of PFDEBUG DECODE.
func (h hll) decode() []byte {
	var out []byte
	for b := h.runs(); len(b) > 0; {
		rank, n, size := readRun(b)
		switch {
		case size == 0:
			return out
		case rank > 0:
			out = fmt.Appendf(out, "v:%d,%d ", rank, n)
		case size == 2:
			out = fmt.Appendf(out, "Z:%d ", n)
		default:
			out = fmt.Appendf(out, "z:%d ", n)
		}
		b = b[size:]
	}
	return bytes.TrimRight(out, " ")
}

// cmdPfselftest tries the registers and the estimates: dense and sparse must agree, and
// the error be within what the number of registers allows.
func cmdPfselftest(x *Ctx) {
	if why := hllSelfTest(); why != "" {
		x.Errf(errPFSelfTest, why)
		return
	}
	x.OK()
}

// hllTestElements is how many elements the self-test counts. It takes some 20 ms, during
// which one event loop does nothing else.
const hllTestElements = 1_000_000

// hllTestSparse is how many of them the sparse form counts too, which is slow when long.
const hllTestSparse = 1000

func hllSelfTest() string {
	r := make([]byte, hllDenseSize-hllHeader)
	for i := range hllRegisters {
		setDense(r, i, uint8(i*7&63))
	}
	for i := range hllRegisters {
		if denseAt(r, i) != uint8(i*7&63) {
			return "Register " + strconv.Itoa(i) + " holds another value than was set"
		}
	}
	sparse := newHLL(nil)
	dense, _ := newHLL(nil).toDense()
	var elem []byte
	for n, checkpoint := int64(1), int64(1); n <= hllTestElements; n++ {
		elem = strconv.AppendInt(append(elem[:0], "element:"...), n, 10)
		i, rank := hllPlace(elem)
		dense, _, _ = dense.raise(i, rank, 0)
		if n <= hllTestSparse {
			sparse, _, _ = sparse.raise(i, rank, math.MaxInt64)
		}
		if n != checkpoint {
			continue
		}
		checkpoint *= 10
		estimate, _ := dense.count()
		if also, ok := sparse.count(); n <= hllTestSparse && (!ok || also != estimate) {
			return fmt.Sprintf("dense and sparse disagree at %d elements", n)
		}
		if miss := math.Abs(float64(estimate - n)); miss > hllTestError*float64(n) && miss > 1 {
			return fmt.Sprintf("%d is too far from %d", estimate, n)
		}
	}
	return ""
}

// hllTestError is six times the standard error, 1.04/sqrt(registers).
const hllTestError = 6 * 1.04 / 128
