//go:build linux

package load

import (
	"math/bits"
	"slices"
	"time"
)

// slotLen is the resolution of windows and series.
const slotLen = 100 * time.Millisecond

// Latencies are counted in the buckets of an HdrHistogram of 1 ns to an hour
// with three significant digits: single nanoseconds up to 2048, from there on
// 1024 buckets for each power of two.
const (
	halfBits   = 10
	half       = 1 << halfBits
	maxLatency = int64(time.Hour)
	numBuckets = 33 * half
)

func bucketOf(v int64) uint32 {
	v = max(0, min(v, maxLatency))
	if v < 2*half {
		return uint32(v)
	}
	shift := bits.Len64(uint64(v)) - halfBits - 1
	return uint32(shift)<<halfBits + uint32(v>>shift)
}

// bucketRange returns the smallest and the largest value of a bucket.
func bucketRange(b uint32) (low, high int64) {
	if b < 2*half {
		return int64(b), int64(b)
	}
	shift := b>>halfBits - 1
	low = int64(b-shift<<halfBits) << shift
	return low, low + 1<<shift - 1
}

// count is a bucket that is not empty.
type count struct{ bucket, n uint32 }

// cell is what one operation did in one slot.
type cell struct {
	counts []count // in no order; a bucket may be there twice
	n      int64
	sum    int64 // of the latencies, ns
	max    int64 // ns, exact
}

// slot is 100 ms of all connections.
type slot struct {
	cells    [numOps]cell
	answered int64 // replies in this slot, without probes
	replies  int64 // with probes
	first    int64 // when the first and the last of them came
	last     int64
	gap      int64 // longest time between two of them
}

// crossing is a reply that came in a later slot than its request was due in.
type crossing struct {
	due, came int32 // slots
	op        op
	latency   int64 // ns
}

const slotBlock = 256

// recorder is written to by the loop alone, and read when that has ended.
type recorder struct {
	blocks  []*[slotBlock]slot
	current int // the slot that open has not been stored for
	open    [numOps]dense
	crossed []crossing
	end     int64 // set at the end: what comes later belongs to the current slot
	free    []count
	spare   chan []count
}

// dense counts into all buckets, and knows which it has touched.
type dense struct {
	counts  []uint32
	touched []uint32
	n       int64
	sum     int64
	max     int64
}

const (
	chunk = 64 << 10 // counts in one piece of memory

	// crossings are those that there is memory for at once: some at every end of a
	// slot, and all requests of the seconds in which a server stands still.
	crossings = 128 << 10
)

func newRecorder() *recorder {
	r := &recorder{spare: make(chan []count, 1), free: touchedChunk(8 * chunk)}
	r.crossed = slices.Repeat([]crossing{{latency: 1}}, crossings)[:0] // touched
	for o := range r.open {
		r.open[o] = newDense()
	}
	r.blocks = append(make([]*[slotBlock]slot, 0, slotBlock), new([slotBlock]slot))
	return r
}

func newDense() dense {
	return dense{counts: make([]uint32, numBuckets), touched: make([]uint32, 0, numBuckets)}
}

// touchedChunk returns memory whose page faults have been taken.
func touchedChunk(n int) []count {
	c := make([]count, n)
	for i := range c {
		c[i].n = 1
	}
	return c
}

// supply has memory ready for a recorder in its spare, so that the loop does not
// take the page faults. It ends with done.
func supply(spare chan<- []count, done <-chan struct{}) {
	for {
		c := touchedChunk(chunk)
		select {
		case spare <- c:
		case <-done:
			return
		}
	}
}

func (d *dense) add(v int64) {
	b := bucketOf(v)
	if d.counts[b] == 0 {
		d.touched = append(d.touched, b)
	}
	d.counts[b]++
	d.n++
	d.sum += v
	d.max = max(d.max, v)
}

// reply records a reply that came at now.
func (r *recorder) reply(o op, latency, now int64) {
	s := r.at(now)
	r.latency(o, latency, now)
	if r.end != 0 {
		return
	}
	if s.replies == 0 {
		s.first = now
	} else {
		s.gap = max(s.gap, now-s.last)
	}
	s.last = now
	s.replies++
	if o != opPing {
		s.answered++
	}
}

// whole records an operation of several replies, which are counted already.
func (r *recorder) whole(o op, latency, now int64) {
	r.at(now)
	r.latency(o, latency, now)
}

// unanswered records the age of a request without a reply, at the end.
func (r *recorder) unanswered(o op, age int64) { r.latency(o, age, r.end) }

// latency counts a latency in the current slot. If the request was due in an
// earlier one that is written down: see Recording.Due.
func (r *recorder) latency(o op, latency, now int64) {
	r.open[o].add(latency)
	if due := int(max(0, now-latency) / int64(slotLen)); due < r.current {
		r.crossed = append(r.crossed, crossing{int32(due), int32(r.current), o, latency})
	}
}

// late records that a request was sent at now, so long after its due time.
func (r *recorder) late(lag, now int64) {
	r.at(now)
	r.open[opLag].add(max(0, lag))
}

// at makes the slot of now the current one.
func (r *recorder) at(now int64) *slot {
	if want := int(now / int64(slotLen)); want > r.current && r.end == 0 {
		r.store(r.slot(r.current))
		r.current = want
	}
	return r.slot(r.current)
}

func (r *recorder) slot(i int) *slot {
	for len(r.blocks) <= i/slotBlock {
		r.blocks = append(r.blocks, new([slotBlock]slot))
	}
	return &r.blocks[i/slotBlock][i%slotBlock]
}

// store moves what was counted into the slot s.
func (r *recorder) store(s *slot) {
	for o := range r.open {
		if d := &r.open[o]; d.n > 0 {
			d.moveTo(&s.cells[o], r.take(len(d.touched)))
		}
	}
}

// moveTo adds d to c and clears it; counts is empty and large enough.
func (d *dense) moveTo(c *cell, counts []count) {
	for _, b := range d.touched {
		counts = append(counts, count{b, d.counts[b]})
		d.counts[b] = 0
	}
	if c.n > 0 { // the last slot may be stored into twice
		counts = append(counts, c.counts...)
	}
	c.counts = counts
	c.n += d.n
	c.sum += d.sum
	c.max = max(c.max, d.max)
	d.touched, d.n, d.sum, d.max = d.touched[:0], 0, 0, 0
}

// take returns an empty slice for n counts.
func (r *recorder) take(n int) []count {
	if len(r.free) < n {
		select {
		case r.free = <-r.spare:
		default:
			r.free = make([]count, chunk)
		}
	}
	piece := r.free[:0:n]
	r.free = r.free[n:]
	return piece
}

// foldBelow: a last slot that is shorter is counted with the one before.
const foldBelow = 10 * time.Millisecond

// close ends the recording at now. What is recorded later, replies to requests
// that were sent before and ages of those without one, goes to the last slot
// and counts neither as throughput nor for gaps. A sliver of a last slot is made
// part of the slot before it: who stops at the end of a slot comes a little late.
func (r *recorder) close(now int64) {
	r.at(now)
	if over := now % int64(slotLen); r.current > 0 && over < int64(foldBelow) {
		now -= over
		r.current--
	}
	r.end = max(now, 1)
}

// release gives back what only recording needs.
func (r *recorder) release() { r.open, r.free, r.spare = [numOps]dense{}, nil, nil }
