//go:build linux

package load

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// TestBuckets: the recorder's buckets are those of the histogram that it is
// turned into, so that nothing is rounded twice.
func TestBuckets(t *testing.T) {
	h := hdrhistogram.New(1, maxLatency, 3)
	check := func(v int64) {
		t.Helper()
		b := bucketOf(v)
		low, high := bucketRange(b)
		if low > v || high < v || b >= numBuckets {
			t.Errorf("%d is in bucket %d, which has %d to %d", v, b, low, high)
		}
		if !h.ValuesAreEquivalent(low, high) || h.ValuesAreEquivalent(high, high+1) {
			t.Errorf("bucket %d has %d to %d; HdrHistogram sees that otherwise", b, low, high)
		}
		if v > 2048 && float64(high-low) > float64(v)/1000 {
			t.Errorf("%d to %d is no three digits", low, high)
		}
	}
	for _, v := range []int64{0, 1, 2046, 2047, 2048, 2049, 4095, 4096, 4097, maxLatency - 1, maxLatency} {
		check(v)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		check(r.Int64N(1 << (1 + r.IntN(41))))
	}
	if bucketOf(-1) != 0 || bucketOf(1<<62) != bucketOf(maxLatency) {
		t.Error("what is out of range must go to its ends")
	}
}

// recorded makes a Recording of replies at the given times, in ms, each with a
// latency of 1 ms, that ends at end.
func recorded(end time.Duration, at ...int64) *Recording {
	r := newRecorder()
	for _, ms := range at {
		r.reply(opSet, int64(time.Millisecond), ms*int64(time.Millisecond))
	}
	r.close(int64(end))
	return &Recording{rec: r}
}

func (r *Recording) finish() *Recording {
	r.rec.store(r.rec.slot(r.rec.current))
	r.rec.release()
	return r
}

func TestGaps(t *testing.T) {
	const ms = time.Millisecond
	rec := recorded(1050*ms, 10, 20, 150, 160, 390, 391, 820, 830).finish()
	for _, c := range []struct {
		from, to time.Duration
		gap      time.Duration
		count    int64
	}{
		{0, 1050 * ms, 429 * ms, 8},          // 391 to 820
		{0, 2 * time.Second, 429 * ms, 8},    // cut to the end
		{0, 300 * ms, 140 * ms, 4},           // 160 to the window's end
		{0, 200 * ms, 130 * ms, 4},           // 20 to 150
		{200 * ms, 400 * ms, 190 * ms, 2},    // its beginning to 390
		{410 * ms, 780 * ms, 400 * ms, 0},    // nothing: all of 400 to 800
		{900 * ms, time.Second, 100 * ms, 0}, // nothing
		{900 * ms, 1100 * ms, 150 * ms, 0},   // up to the end of the recording
		{800 * ms, time.Hour, 220 * ms, 2},   // the last reply to the end
		{100 * ms, 140 * ms, 0, 0},           // rounded to nothing
		{500 * ms, 300 * ms, 0, 0},           // backwards
		{time.Hour, 2 * time.Hour, 0, 0},     // beyond
		{-time.Second, 100 * ms, 80 * ms, 2}, // from the start
		{149 * ms, 251 * ms, 140 * ms, 2},    // 100 to 300: 160 to its end
	} {
		w := rec.Window(c.from, c.to)
		if got := time.Duration(w.LongestGapSec*1e9 + 0.5); got != c.gap || w.Ops["set"].Count != c.count || w.Ops["write"].Count != c.count {
			t.Errorf("%v to %v: gap %v with %d replies, want %v with %d", c.from, c.to, got, w.Ops["set"].Count, c.gap, c.count)
		}
	}
	if w := rec.Window(149*ms, 251*ms); w.FromSec != 0.1 || w.ToSec != 0.3 || w.OpsPerSecond != 10 {
		t.Errorf("%+v", w)
	}
	if w := rec.Window(900*ms, time.Hour); w.ToSec != 1.05 {
		t.Errorf("a window up to %v s of 1.05", w.ToSec)
	}
	checkRecording(t, rec)
}

// TestEnd: what comes after the end is in the last slot and in no throughput,
// and a sliver of a slot becomes part of the one before.
func TestEnd(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		end, want time.Duration
		slots     int
	}{{204 * ms, 200 * ms, 2}, {200 * ms, 200 * ms, 2}, {250 * ms, 250 * ms, 3}, {4 * ms, 4 * ms, 1}} {
		rec := recorded(c.end, 1, 2, 3)
		rec.rec.reply(opSet, int64(400*ms), int64(c.end+300*ms))
		rec.rec.unanswered(opSet, int64(700*ms))
		rec.finish()
		w, s := rec.Window(0, rec.End()), rec.Series()
		if rec.End() != c.want || len(s.Ops["set"].Count) != c.slots {
			t.Errorf("an end at %v: %v with %d slots", c.end, rec.End(), len(s.Ops["set"].Count))
		}
		if l := w.Ops["set"]; l.Count != 5 || l.MaxUsec != 700_000 || l.MeanUsec != (3*1000+400_000+700_000)/5. {
			t.Errorf("%+v", l)
		}
		if answered := w.OpsPerSecond * rec.End().Seconds(); answered < 2.99 || answered > 3.01 {
			t.Errorf("throughput counts %v of 3 replies", answered)
		}
		if last := s.Ops["set"].MaxUsec[c.slots-1]; last != 700_000 {
			t.Errorf("the last slot's maximum is %v µs", last)
		}
		checkRecording(t, rec)
	}
}

// TestDue: a server answers until 250 ms, stands still, and answers at 1150 ms
// what was due every 100 ms meanwhile. A request that is due at 1160 ms is never answered.
func TestDue(t *testing.T) {
	const ms = time.Millisecond
	r := newRecorder()
	for at := 50 * ms; at <= 250*ms; at += 100 * ms {
		r.reply(opSet, int64(ms), int64(at))
	}
	for at := 350 * ms; at < 1150*ms; at += 100 * ms {
		r.reply(opSet, int64(1150*ms-at), int64(1150*ms))
	}
	r.close(int64(1250 * ms))
	r.unanswered(opSet, int64(90*ms))
	rec := (&Recording{rec: r}).finish()
	for _, c := range []struct {
		from, to       time.Duration
		answered, due  int64
		maxOf, maxOfIt time.Duration // answered in the window, and due in it too
	}{
		{0, 300 * ms, 3, 3, ms, ms},
		{300 * ms, 600 * ms, 0, 3, 0, 800 * ms},
		{200 * ms, 600 * ms, 1, 4, ms, 800 * ms},
		{600 * ms, 1200 * ms, 8, 9, 800 * ms, 800 * ms}, // the last is the one that is never answered
		{0, 1300 * ms, 12, 12, 800 * ms, 800 * ms},
	} {
		w, d := rec.Window(c.from, c.to).Ops["write"], rec.Due(c.from, c.to).Ops["write"]
		if w.Count != c.answered || d.Count != c.due || w.MaxUsec != usec(int64(c.maxOf)) || d.MaxUsec != usec(int64(c.maxOfIt)) {
			t.Errorf("%v to %v: %d answered, longest %v µs; %d with those that were due, longest %v µs; want %+v",
				c.from, c.to, w.Count, w.MaxUsec, d.Count, d.MaxUsec, c)
		}
	}
	checkRecording(t, rec)
}

// TestManySlots goes through several blocks of slots and chunks of counts.
func TestManySlots(t *testing.T) {
	r := newRecorder()
	rng := rand.New(rand.NewPCG(3, 4))
	h := hdrhistogram.New(1, maxLatency, 3)
	const n, slots = 400_000, 3*slotBlock + 7
	var top int64
	for i := range int64(n) {
		v := rng.Int64N(1 << (10 + rng.IntN(25)))
		r.reply(opGet, v, i*slots*int64(slotLen)/n)
		_ = h.RecordValue(v)
		top = max(top, v)
	}
	r.close(slots * int64(slotLen))
	rec := (&Recording{rec: r}).finish()
	l := rec.Window(0, rec.End()).Ops["read"]
	got := decode(t, l)
	if !got.Equals(h) {
		t.Error("the histogram is not that of all values")
	}
	if l.MaxUsec != usec(top) {
		t.Errorf("maximum %v µs, want %v", l.MaxUsec, usec(top))
	}
	if len(rec.Series().Ops["get"].Count) != slots {
		t.Errorf("%d slots", len(rec.Series().Ops["get"].Count))
	}
	checkRecording(t, rec)
}

// TestLagIsOfItsWindow: a generator that is late during a save only must not pass
// for one that is on time, however long the rest is.
func TestLagIsOfItsWindow(t *testing.T) {
	const ms = time.Millisecond
	r := newRecorder()
	for i := range int64(1000) {
		r.late(int64(ms), i*int64(ms))
	}
	r.late(int64(30*ms), int64(1050*ms))
	r.reply(opSet, int64(ms), int64(1060*ms))
	r.close(int64(1100 * ms))
	rec := (&Recording{rec: r}).finish()
	for _, c := range []struct {
		from, to time.Duration
		count    int64
		usec     float64
	}{{0, 1000 * ms, 1000, 1000}, {1000 * ms, 1100 * ms, 1, 30_000}} {
		l := rec.Window(c.from, c.to).Ops["lag"]
		if l.Count != c.count || l.MaxUsec != c.usec || l.P99Usec != c.usec {
			t.Errorf("%v to %v: %+v", c.from, c.to, l)
		}
	}
	if p99, ok := rec.LagP99(); !ok || p99 < 1000 || p99 > 1002 {
		t.Errorf("of the whole: %v", p99)
	}
	if w := rec.Window(0, rec.End()); w.Ops["write"].Count != 1 || w.OpsPerSecond > 1 {
		t.Errorf("the lag counts as requests: %+v", w)
	}
	checkRecording(t, rec)
}
