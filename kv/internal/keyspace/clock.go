package keyspace

import (
	"encoding/binary"
	"math/bits"
)

// Access clocks tell how long a key has not been used, in one byte a slot. They
// are side memory: a read that sets one does not touch a data page.
//
// A segment keeps a base time (in the side bytes of its header). A clock below
// clockOld is the second after the base at which the key was used; one of
// clockOld and more stands for an age before the base, five steps to
// a doubling, from under a second to about a year. When a key is used more
// than clockOld seconds after the base, the base moves to now and all
// clocks of the segment are rewritten; the ages between two steps are rounded up or
// down at random, so that repeated rewriting does not make them drift.
const (
	clockOld   = 128
	clockSteps = 5
)

// ages[i] is the age in seconds that clock clockOld+i stands for.
var ages = makeAges()

func makeAges() (t [256 - clockOld]uint32) {
	frac := [clockSteps]float64{1, 1.1487, 1.3195, 1.5157, 1.7411} // 2^(i/5)
	for i := range t {
		t[i] = uint32(frac[i%clockSteps] * float64(uint64(1)<<(i/clockSteps)))
		if i > 0 && t[i] <= t[i-1] { // the first steps are single seconds
			t[i] = t[i-1] + 1
		}
	}
	return t
}

// encodeAge returns the clock for an age in seconds before the base. noise
// decides which way the rest is rounded.
func encodeAge(age uint32, noise uint32) byte {
	if age == 0 {
		return 0
	}
	lo, hi := 0, len(ages)-1
	for lo < hi { // the last step that is not above age
		mid := (lo + hi + 1) / 2
		if ages[mid] <= age {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	if lo+1 < len(ages) && age > ages[lo] {
		if gap := ages[lo+1] - ages[lo]; noise%gap < age-ages[lo] {
			lo++
		}
	}
	return byte(clockOld + lo)
}

func (t *Table) clockBase(s seg) []byte { return t.a.Side(s.ref, 32) }

// newestUse returns the last use that the clocks of s tell of, or their base if
// all are older.
func (t *Table) newestUse(s seg) uint32 {
	clk := s.clocks(t.a)
	newest := byte(0)
	for i, slot := range s.table() {
		if slot != 0 && clk[i] < clockOld {
			newest = max(newest, clk[i])
		}
	}
	return binary.LittleEndian.Uint32(t.clockBase(s)) + uint32(newest)
}

func (t *Table) initClock(s seg, now uint32) {
	binary.LittleEndian.PutUint32(t.clockBase(s), now)
}

// lastUse returns when the key of a clock was used, in Unix seconds.
func lastUse(base uint32, clock byte) uint32 {
	if clock < clockOld {
		return base + uint32(clock)
	}
	return base - min(ages[clock-clockOld], base)
}

// touch sets the clock of slot i to now (Unix seconds).
func (t *Table) touch(s seg, i int, now uint32) {
	base := binary.LittleEndian.Uint32(t.clockBase(s))
	if now-base >= clockOld {
		if int32(now-base) < 0 { // the system's clock went back
			now = base
		} else {
			t.rebase(s, now)
			base = now
		}
	}
	t.a.Side(s.ref+headerSize, int(s.slots)*8)[i] = byte(now - base)
}

// rebase moves the base of s to now.
func (t *Table) rebase(s seg, now uint32) {
	b := t.clockBase(s)
	base := binary.LittleEndian.Uint32(b)
	clk := s.clocks(t.a)
	noise := now
	for i, slot := range s.table() {
		if slot != 0 {
			noise = bits.RotateLeft32(noise*2654435761+1, 13)
			clk[i] = encodeAge(now-min(lastUse(base, clk[i]), now), noise)
		}
	}
	binary.LittleEndian.PutUint32(b, now)
}

// setIdle makes slot i look as if it was last used idle seconds before now.
func (t *Table) setIdle(s seg, i int, now, idle uint32) {
	t.rebase(s, now)
	s.clocks(t.a)[i] = encodeAge(idle, 0)
}

// idle returns how many seconds ago slot i was used.
func (t *Table) idle(s seg, i int, now uint32) uint32 {
	base := binary.LittleEndian.Uint32(t.clockBase(s))
	return now - min(lastUse(base, s.clocks(t.a)[i]), now)
}
