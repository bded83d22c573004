//go:build linux

package load

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"kvd/bench/internal/result"
)

// Recording is what a generator recorded. It does not change any more.
type Recording struct {
	// Unanswered requests, probes among them: their ages are in the last slot.
	Unanswered int64
	// Misses are reads of one item that found none: after a Fill with the same
	// Spec there should be none. (Under Latest a new key may be read a moment
	// too early.)
	Misses int64

	rec *recorder
}

// End is when the recording ended, since the start. The last slot may be cut
// short, or have a sliver of up to 10 ms beyond 100.
func (r *Recording) End() time.Duration { return time.Duration(r.rec.end) }

// series are what windows and series are reported by: every operation and the
// two roll-ups.
var series = func() map[string][]op {
	out := map[string][]op{}
	for o := range numOps {
		out[ops[o].name] = []op{o}
		switch ops[o].class {
		case classRead:
			out["read"] = append(out["read"], o)
		case classWrite:
			out["write"] = append(out["write"], o)
		case classNone:
		}
	}
	return out
}()

// Window is what all connections together saw from one moment to another, since
// the start. Both are rounded to slots, and to the end of the recording; From
// and To of the result are what became of them. Operations that did not occur
// are absent. Without any slot in between it is a window without figures.
//
// Among the operations is "lag": how late the generator itself sent what was due
// in the window. Latencies below it say nothing of the server.
//
// Throughput counts commands, without probes: a read-modify-write is two of
// them, and so is LPUSH with LTRIM. The gap is the longest time between two
// replies, those to probes included; of one that reaches beyond the window only
// the part inside counts.
func (r *Recording) Window(from, to time.Duration) *result.Window { return r.window(from, to, false) }

// Due is Window, with the latencies also of the requests that were due in it and
// were answered after it, or never. Of a server that stands still beyond the end of a
// window the window alone would have nothing to tell. (Of a request that was
// due before the window and answered in it both tell.)
func (r *Recording) Due(from, to time.Duration) *result.Window { return r.window(from, to, true) }

func (r *Recording) window(from, to time.Duration, due bool) *result.Window {
	first, last := r.round(from), r.round(to)
	begin, end := int64(first)*int64(slotLen), min(int64(last)*int64(slotLen), r.rec.end)
	if last == r.slots() {
		end = r.rec.end
	}
	w := &result.Window{FromSec: seconds(begin), ToSec: seconds(max(begin, end)), Ops: map[string]result.Latencies{}}
	if end <= begin {
		return w
	}
	var answered int64
	for i := first; i < last; i++ {
		answered += r.rec.slot(i).answered
	}
	w.OpsPerSecond = float64(answered) / seconds(end-begin)
	w.LongestGapSec = seconds(r.gap(first, last, begin, end))
	for name, members := range series {
		if l, ok := r.latencies(first, last, members, due); ok {
			w.Ops[name] = l
		}
	}
	return w
}

// Series are the figures of every slot, by operation and roll-up as in Window.
func (r *Recording) Series() *result.Series {
	s := &result.Series{StepSec: slotLen.Seconds(), Ops: map[string]*result.OpSeries{}}
	var scratch []count
	for name, members := range series {
		n := r.slots()
		o := &result.OpSeries{Count: make([]int64, n), P50Usec: make([]float64, n), P99Usec: make([]float64, n), MaxUsec: make([]float64, n)}
		var total int64
		for i := range n {
			var sum cell
			scratch, sum = r.merge(scratch[:0], i, i+1, members)
			if total += sum.n; sum.n == 0 {
				continue
			}
			o.Count[i], o.MaxUsec[i] = sum.n, usec(sum.max)
			o.P50Usec[i] = quantile(scratch, sum, 0.50)
			o.P99Usec[i] = quantile(scratch, sum, 0.99)
		}
		if total > 0 {
			s.Ops[name] = o
		}
	}
	return s
}

// LagP99 is how late, in microseconds at the 99th percentile, the generator
// itself sent requests that had a due time, probes among them; not ok if there
// were none. What waited for room in a socket or queue is left out.
func (r *Recording) LagP99() (usec float64, ok bool) { return r.Lag(0.99) }

// Lag is LagP99 at another quantile, from 0 to 1.
func (r *Recording) Lag(q float64) (usec float64, ok bool) {
	counts, sum := r.merge(nil, 0, r.slots(), []op{opLag})
	if sum.n == 0 {
		return 0, false
	}
	return quantile(counts, sum, q), true
}

// slots is the number of slots, the last of which may be short or long.
func (r *Recording) slots() int { return r.rec.current + 1 }

// round returns the slot boundary that is next to t, for the end and all beyond
// the end of the last slot.
func (r *Recording) round(t time.Duration) int {
	if t >= r.End() {
		return r.slots()
	}
	return max(0, min(int(t.Round(slotLen)/slotLen), r.slots()))
}

// gap is the longest time without a reply in the slots from first to before
// last, which lie between begin and end.
func (r *Recording) gap(first, last int, begin, end int64) int64 {
	var longest int64
	before := begin
	for i := first; i < last; i++ {
		if s := r.rec.slot(i); s.replies > 0 {
			longest = max(longest, s.gap, s.first-before)
			before = s.last
		}
	}
	return max(longest, end-before)
}

// merge adds the cells of operations in slots into counts, sorted by bucket; a
// bucket may be there several times.
func (r *Recording) merge(counts []count, first, last int, members []op) ([]count, cell) {
	var sum cell
	for i := first; i < last; i++ {
		s := r.rec.slot(i)
		for _, o := range members {
			c := &s.cells[o]
			counts = append(counts, c.counts...)
			sum.n += c.n
			sum.sum += c.sum
			sum.max = max(sum.max, c.max)
		}
	}
	byBucket(counts)
	return counts, sum
}

// addCrossed adds the requests that were due in the slots from first to before
// last and answered later.
func (r *Recording) addCrossed(counts []count, sum *cell, first, last int, members []op) []count {
	for _, c := range r.rec.crossed {
		if int(c.due) < first || int(c.due) >= last || int(c.came) < last || !slices.Contains(members, c.op) {
			continue
		}
		counts = append(counts, count{bucketOf(c.latency), 1})
		sum.n++
		sum.sum += c.latency
		sum.max = max(sum.max, c.latency)
	}
	byBucket(counts)
	return counts
}

func byBucket(counts []count) {
	slices.SortFunc(counts, func(a, b count) int { return cmp.Compare(a.bucket, b.bucket) })
}

func (r *Recording) latencies(first, last int, members []op, due bool) (result.Latencies, bool) {
	counts, sum := r.merge(nil, first, last, members)
	if due {
		counts = r.addCrossed(counts, &sum, first, last, members)
	}
	if sum.n == 0 {
		return result.Latencies{}, false
	}
	l := result.Latencies{
		Count:     sum.n,
		MeanUsec:  float64(sum.sum) / float64(sum.n) / nsPerUsec,
		P50Usec:   quantile(counts, sum, 0.50),
		P90Usec:   quantile(counts, sum, 0.90),
		P99Usec:   quantile(counts, sum, 0.99),
		P999Usec:  quantile(counts, sum, 0.999),
		P9999Usec: quantile(counts, sum, 0.9999),
		MaxUsec:   usec(sum.max),
	}
	l.Histogram = histogram(counts)
	return l, true
}

// histogram encodes counts as an HdrHistogram of nanoseconds.
func histogram(counts []count) string {
	h := hdrhistogram.New(1, maxLatency, 3)
	for _, c := range counts {
		low, _ := bucketRange(c.bucket)
		_ = h.RecordValues(low, int64(c.n)) // its range is that of the buckets
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "" // it writes to memory only, and the version is known
	}
	return string(b)
}

// quantile is the value that a share q of the latencies is not above, in
// microseconds: the upper end of its bucket, as HdrHistogram has it, but never
// above the exact maximum. counts is sorted.
func quantile(counts []count, sum cell, q float64) float64 {
	left := int64(math.Ceil(q * float64(sum.n)))
	for _, c := range counts {
		if left -= int64(c.n); left <= 0 {
			_, high := bucketRange(c.bucket)
			return usec(min(high, sum.max))
		}
	}
	return usec(sum.max)
}

const nsPerUsec = 1e3

func usec(ns int64) float64 { return float64(ns) / nsPerUsec }

func seconds(ns int64) float64 { return float64(ns) / float64(time.Second) }
