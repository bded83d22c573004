package command

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// hll is a HyperLogLog as a string, in Redis' format:
//
//	"HYLL"  encoding  3 bytes unused  cardinality 8 bytes LE  registers
//
// The top bit of the cardinality says that it is out of date. There are 16384
// registers of 6 bits. Dense, they lie one after the other, the lowest bits first.
// Sparse, they are runs:
//
//	00llllll           l+1 registers are 0
//	01llllll llllllll  l+1 registers are 0 (big endian)
//	1vvvvvll           l+1 registers are v+1
//
// Who writes to one goes by the same rules as Redis, so that the same commands give
// the same bytes.
type hll []byte

const (
	hllMagic     = "HYLL"
	hllDense     = 0
	hllSparse    = 1
	hllHeader    = 16
	hllIndexBits = 14
	hllRegisters = 1 << hllIndexBits
	hllRankBits  = 64 - hllIndexBits
	hllDenseSize = hllHeader + hllRegisters*6/8
	hllSeed      = 0xadc83b19

	// What one sparse run can say.
	hllZeroMax  = 64
	hllXZeroMax = hllRegisters
	hllRunMax   = 4
	hllRankMax  = 32

	hllStale = 1 << 7 // in the last byte of the cardinality
	hllAlpha = 0.721347520444481703680
)

// hllRegs has a byte for each register.
type hllRegs [hllRegisters]uint8

// newHLL appends an empty HyperLogLog, whose cardinality is known to be 0.
func newHLL(dst []byte) hll {
	dst = append(dst, hllMagic...)
	dst = append(dst, hllSparse, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return appendZeroRun(dst, hllRegisters)
}

// isHLL tells whether b is one by its header and length.
func isHLL(b []byte) bool {
	return len(b) >= hllHeader && string(b[:4]) == hllMagic && b[4] <= hllSparse &&
		(b[4] != hllDense || len(b) == hllDenseSize)
}

func (h hll) dense() bool   { return h[4] == hllDense }
func (h hll) runs() []byte  { return h[hllHeader:] }
func (h hll) setStale()     { h[hllHeader-1] |= hllStale }
func (h hll) isStale() bool { return h[hllHeader-1]&hllStale != 0 }

func (h hll) cached() int64     { return int64(binary.LittleEndian.Uint64(h[8:])) }
func (h hll) setCached(n int64) { binary.LittleEndian.PutUint64(h[8:], uint64(n)) }

// hllPlace returns the register of an element, and the number that it holds at least
// when it has seen the element: 1..51.
func hllPlace(elem []byte) (index int, rank uint8) {
	h := murmur64(elem, hllSeed)
	return int(h & (hllRegisters - 1)), uint8(bits.TrailingZeros64(h>>hllIndexBits|1<<hllRankBits)) + 1
}

// murmur64 is MurmurHash64A (Austin Appleby, public domain).
func murmur64(b []byte, seed uint64) uint64 {
	const m = 0xc6a4a7935bd1e995
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		k ^= k >> 47
		h = (h ^ k*m) * m
	}
	if len(b) > 0 {
		var rest [8]byte
		copy(rest[:], b)
		h = (h ^ binary.LittleEndian.Uint64(rest[:])) * m
	}
	h ^= h >> 47
	h *= m
	return h ^ h>>47
}

// denseAt returns register i of dense registers.
func denseAt(r []byte, i int) uint8 {
	at, shift := i*6/8, uint(i*6%8)
	v := uint(r[at])
	if shift > 2 {
		v |= uint(r[at+1]) << 8
	}
	return uint8(v>>shift) & 63
}

// setDense sets register i of dense registers.
func setDense(r []byte, i int, rank uint8) {
	at, shift := i*6/8, uint(i*6%8)
	v, mask := uint(rank)<<shift, uint(63)<<shift
	r[at] = r[at]&^byte(mask) | byte(v)
	if shift > 2 {
		r[at+1] = r[at+1]&^byte(mask>>8) | byte(v>>8)
	}
}

// readRun decodes the run in front of b: n registers of one rank, and its size in
// bytes, 0 if b ends within it.
func readRun(b []byte) (rank uint8, n, size int) {
	switch c := b[0]; {
	case c&0x80 != 0:
		return c>>2&31 + 1, int(c&3) + 1, 1
	case c&0x40 == 0:
		return 0, int(c&63) + 1, 1
	case len(b) < 2:
		return 0, 0, 0
	default:
		return 0, (int(c&63)<<8 | int(b[1])) + 1, 2
	}
}

func appendZeroRun(dst []byte, n int) []byte {
	if n > hllZeroMax {
		return append(dst, 0x40|byte((n-1)>>8), byte(n-1))
	}
	return append(dst, byte(n-1))
}

func rankRun(rank uint8, n int) byte { return 0x80 | (rank-1)<<2 | byte(n-1) }

// unpack raises the registers to those of h where these are higher. It returns false
// if h is corrupt.
func (h hll) unpack(regs *hllRegs) bool {
	if h.dense() {
		r := h.runs()
		for i := 0; i < hllRegisters; i += 4 { // three bytes
			at := i / 4 * 3
			v := uint32(r[at]) | uint32(r[at+1])<<8 | uint32(r[at+2])<<16
			for j := range 4 {
				regs[i+j] = max(regs[i+j], uint8(v>>(6*j))&63)
			}
		}
		return true
	}
	i := 0
	for b := h.runs(); len(b) > 0; {
		rank, n, size := readRun(b)
		if size == 0 || i+n > hllRegisters {
			return false
		}
		if rank > 0 {
			for j := i; j < i+n; j++ {
				regs[j] = max(regs[j], rank)
			}
		}
		i += n
		b = b[size:]
	}
	return i == hllRegisters
}

// toDense returns h with dense registers, in memory of its own; false if h is corrupt.
func (h hll) toDense() (hll, bool) {
	if h.dense() {
		return h, true
	}
	var regs hllRegs
	if !h.unpack(&regs) {
		return h, false
	}
	d := make(hll, hllDenseSize)
	copy(d, h[:hllHeader])
	d[4] = hllDense
	for i, rank := range regs {
		if rank > 0 {
			setDense(d.runs(), i, rank)
		}
	}
	return d, true
}

// raise makes register i at least rank. It returns the string, which may have moved
// or become dense, and whether it has changed; ok is false if it is corrupt. A sparse
// one that would become longer than limit bytes becomes dense.
func (h hll) raise(i int, rank uint8, limit int64) (_ hll, changed, ok bool) {
	if h.dense() {
		r := h.runs()
		if denseAt(r, i) >= rank {
			return h, false, true
		}
		setDense(r, i, rank)
		return h, true, true
	}
	if rank <= hllRankMax {
		var fits bool
		if h, changed, fits, ok = h.raiseSparse(i, rank, limit); fits || !ok {
			return h, changed, ok
		}
	}
	d, ok := h.toDense()
	if !ok {
		return h, false, false
	}
	return d.raise(i, rank, limit)
}

// raiseSparse is raise for a sparse h; fits is false if it must become dense first.
func (h hll) raiseSparse(i int, rank uint8, limit int64) (_ hll, changed, fits, ok bool) {
	at, before, first := hllHeader, -1, 0 // the run, the one in front of it, its first register
	var old uint8
	var n, size int
	for {
		if at >= len(h) {
			return h, false, true, false
		}
		if old, n, size = readRun(h[at:]); size == 0 {
			return h, false, true, false
		}
		if i < first+n {
			break
		}
		before, at, first = at, at+size, first+n
	}
	if old >= rank {
		return h, false, true, true
	}
	if n == 1 && size == 1 {
		h[at] = rankRun(rank, 1)
	} else {
		var parts [5]byte
		seq := splitRun(parts[:0], old, rank, i-first, n)
		grow := len(seq) - size
		if grow > 0 && int64(len(h)+grow) > limit {
			return h, false, false, true
		}
		end := len(h)
		if grow > 0 {
			h = append(h, parts[:grow]...)
		}
		copy(h[at+len(seq):], h[at+size:end])
		copy(h[at:], seq)
		h = h[:end+grow]
	}
	if before < 0 {
		before = at
	}
	h = h.joinRuns(before)
	h.setStale()
	return h, true, true, true
}

// splitRun appends what becomes of a run of n registers when one of them, k registers
// behind its first, is raised to rank.
func splitRun(dst []byte, old, rank uint8, k, n int) []byte {
	run := func(n int) {
		switch {
		case n == 0:
		case old == 0:
			dst = appendZeroRun(dst, n)
		default:
			dst = append(dst, rankRun(old, n))
		}
	}
	run(k)
	dst = append(dst, rankRun(rank, 1))
	run(n - k - 1)
	return dst
}

// joinRuns joins neighbours of one rank where that makes the string shorter. It looks at
// five runs from at on, as Redis does.
func (h hll) joinRuns(at int) hll {
	for range 5 {
		if at >= len(h) {
			break
		}
		rank, n, size := readRun(h[at:])
		if rank > 0 && at+1 < len(h) {
			if next, m, _ := readRun(h[at+1:]); next == rank && n+m <= hllRunMax {
				h[at+1] = rankRun(rank, n+m)
				h = append(h[:at], h[at+1:]...)
				continue
			}
		}
		at += max(size, 1)
	}
	return h
}

// hllHisto counts registers by what they hold.
type hllHisto [64]int

// addDense counts dense registers. Neighbours go to different counts: they are often
// equal, and one count would be waited for.
func (c *hllHisto) addDense(r []byte) {
	var other hllHisto
	for at := 0; at+3 <= len(r); at += 3 {
		v := uint32(r[at]) | uint32(r[at+1])<<8 | uint32(r[at+2])<<16
		c[v&63]++
		other[v>>6&63]++
		c[v>>12&63]++
		other[v>>18&63]++
	}
	for i, n := range other {
		c[i] += n
	}
}

// count returns the estimated cardinality; false if h is corrupt.
func (h hll) count() (int64, bool) {
	var histo hllHisto
	if h.dense() {
		histo.addDense(h.runs())
		return histo.estimate(), true
	}
	total := 0
	for b := h.runs(); len(b) > 0; {
		rank, n, size := readRun(b)
		if size == 0 {
			return 0, false
		}
		histo[rank] += n
		total += n
		b = b[size:]
	}
	if total != hllRegisters {
		return 0, false
	}
	return histo.estimate(), true
}

func (r *hllRegs) count() int64 {
	var histo, other hllHisto
	for i := 0; i < hllRegisters; i += 2 {
		histo[r[i]&63]++
		other[r[i+1]&63]++
	}
	for i, n := range other {
		histo[i] += n
	}
	return histo.estimate()
}

// estimate is the estimator of Otmar Ertl, "New cardinality estimation algorithms for
// HyperLogLog sketches", arXiv:1702.01284, algorithm 6. Products are rounded before they
// are added (the conversions say so): the last bit must be the same on every processor.
func (c *hllHisto) estimate() int64 {
	const m = float64(hllRegisters)
	z := m * ertlTau((m-float64(c[hllRankBits+1]))/m)
	for j := hllRankBits; j >= 1; j-- {
		z += float64(c[j])
		z *= 0.5
	}
	z += float64(m * ertlSigma(float64(c[0])/m))
	return int64(math.Round(hllAlpha * m * m / z))
}

func ertlTau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		last := z
		y *= 0.5
		d := 1 - x
		z -= float64(float64(d*d) * y)
		if z == last {
			return z / 3
		}
	}
}

func ertlSigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		last := z
		z += float64(x * y)
		y += y
		if z == last {
			return z
		}
	}
}
