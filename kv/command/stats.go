package command

import (
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counting costs the commands next to nothing: a loop counts in plain fields
// of its own (counters) and adds them to what others may read (published)
// under its own mutex once a round.

// counters are those of one loop since its last EndRound.
type counters struct {
	cmds     []cmdCount // by Spec.id
	touched  []uint16   // the ids with something in cmds
	samples  []sample   // one per command, for the latency percentiles
	codes    map[string]int64
	commands int64
	errs     int64
	hits     int64
	misses   int64

	servedErrs int64 // replied to blocked clients while commands of others ran

	reads, writes         int64 // system calls
	readBytes, writeBytes int64
}

type cmdCount struct{ calls, nanos, rejected, failed int64 }

type sample struct {
	id, bucket uint16
	n          uint32
}

// published are a loop's counters as others read them.
type published struct {
	mu       sync.Mutex
	cmds     []cmdCount
	latency  []*histogram // by Spec.id; nil until the first sample
	codes    map[string]int64
	commands int64
	errs     int64
	hits     int64
	misses   int64

	reads, writes         int64
	readBytes, writeBytes int64
}

// maxSamples bounds how many commands a loop counts before it publishes.
const maxSamples = 4096

func (n *counters) init(specs int) {
	n.cmds = make([]cmdCount, specs)
	n.codes = map[string]int64{}
}

func (p *published) init(specs int) {
	p.cmds = make([]cmdCount, specs)
	p.latency = make([]*histogram, specs)
	p.codes = map[string]int64{}
}

func (n *counters) at(s *Spec) *cmdCount {
	c := &n.cmds[s.id]
	if c.calls|c.rejected == 0 {
		n.touched = append(n.touched, uint16(s.id))
	}
	return c
}

// record counts calls of a command that took nanos together.
func (x *Ctx) record(s *Spec, calls, nanos int64) {
	n := &x.local
	c := n.at(s)
	c.calls += calls
	c.nanos += nanos
	n.commands += calls
	n.samples = append(n.samples, sample{uint16(s.id), uint16(bucketOf(nanos / calls)), uint32(calls)})
	if nanos >= x.state.latency.threshold.Load() {
		x.commandLatency(s, nanos)
	}
	if len(n.samples) == maxSamples {
		x.flushStats()
	}
}

// countFailure counts a call as failed if it has replied an error since errs of
// them were counted.
func (x *Ctx) countFailure(s *Spec, errs int64) {
	if x.local.errs != errs {
		x.local.at(s).failed++
	}
}

// reject counts a command that was refused.
func (n *counters) reject(s *Spec) { n.at(s).rejected++ }

// countError counts an error reply by its code.
func (n *counters) countError(text string) {
	code, _, _ := strings.Cut(text, " ")
	n.codes[code]++
	n.errs++
}

// CountRead counts a read of n bytes from a client's socket.
func (x *Ctx) CountRead(n int) {
	x.local.reads++
	x.local.readBytes += int64(n)
}

// CountWrite counts a write of n bytes to a client's socket.
func (x *Ctx) CountWrite(n int) {
	x.local.writes++
	x.local.writeBytes += int64(n)
}

// flushStats publishes x's counters.
func (x *Ctx) flushStats() {
	n, p := &x.local, &x.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range n.touched {
		d, t := &n.cmds[id], &p.cmds[id]
		t.calls += d.calls
		t.nanos += d.nanos
		t.rejected += d.rejected
		t.failed += d.failed
		*d = cmdCount{}
	}
	n.touched = n.touched[:0]
	if !x.state.trackLatency.Load() {
		n.samples = n.samples[:0]
	}
	for _, s := range n.samples {
		h := p.latency[s.id]
		if h == nil {
			h = new(histogram)
			p.latency[s.id] = h
		}
		h[s.bucket] += uint64(s.n)
	}
	n.samples = n.samples[:0]
	if len(n.codes) > 0 {
		for code, k := range n.codes {
			p.codes[code] += k
		}
		clear(n.codes)
	}
	p.commands, n.commands = p.commands+n.commands, 0
	p.errs, n.errs, n.servedErrs = p.errs+n.errs+n.servedErrs, 0, 0
	p.hits, n.hits = p.hits+n.hits, 0
	p.misses, n.misses = p.misses+n.misses, 0
	p.reads, n.reads = p.reads+n.reads, 0
	p.writes, n.writes = p.writes+n.writes, 0
	p.readBytes, n.readBytes = p.readBytes+n.readBytes, 0
	p.writeBytes, n.writeBytes = p.writeBytes+n.writeBytes, 0
}

// histogram counts durations with two significant digits: the top 8 bits of
// the nanoseconds decide, as in Redis' latency tracking.
type histogram [maxBucket + 1]uint64

const (
	maxLatency = int64(time.Second)
	maxBucket  = 22*128 + 255
)

// bucketOf returns the bucket of a duration in nanoseconds, clamped to 1 s.
func bucketOf(nanos int64) int {
	v := uint64(min(max(nanos, 1), maxLatency))
	shift := max(bits.Len64(v)-8, 0)
	return shift*128 + int(v>>shift)
}

// bucketMax returns the longest duration of a bucket in nanoseconds.
func bucketMax(b int) int64 {
	if b < 256 {
		return int64(b)
	}
	shift := b/128 - 1
	return int64(b-shift*128+1)<<shift - 1
}

// percentile returns the duration in nanoseconds that p percent of the
// samples do not exceed.
func (h *histogram) percentile(p float64) int64 {
	var total uint64
	for _, n := range h {
		total += n
	}
	want := max(uint64(p/100*float64(total)+0.5), 1)
	var seen uint64
	for b, n := range h {
		if seen += n; seen >= want && n > 0 {
			return bucketMax(b)
		}
	}
	return 0
}

// engineStats are the figures that no loop owns.
type engineStats struct {
	connections atomic.Int64 // accepted
	rejected    atomic.Int64 // refused: maxclients
	forksBase   atomic.Int64 // Saver's TotalForks at the last RESETSTAT

	mu     sync.Mutex
	ops    rate
	input  rate
	output rate
	last   time.Time
}

// rate averages the last 16 samples of a counter, taken every 100 ms.
type rate struct {
	samples [16]float64
	next    int
	last    int64
}

func (r *rate) add(total int64, elapsed time.Duration) {
	if elapsed <= 0 {
		return
	}
	r.samples[r.next] = float64(max(total-r.last, 0)) / elapsed.Seconds()
	r.next = (r.next + 1) % len(r.samples)
	r.last = total
}

// perSecond returns the average.
func (r *rate) perSecond() float64 {
	sum := 0.0
	for _, s := range r.samples {
		sum += s
	}
	return sum / float64(len(r.samples))
}

// ConnectionAccepted counts a connection.
func (e *Engine) ConnectionAccepted() { e.state.stats.connections.Add(1) }

// ConnectionRejected counts a connection refused because of maxclients.
func (e *Engine) ConnectionRejected() { e.state.stats.rejected.Add(1) }

// totals are the counters of all loops together.
type totals struct {
	cmds                  []cmdCount
	codes                 map[string]int64
	commands, errs        int64
	hits, misses          int64
	reads, writes         int64
	readBytes, writeBytes int64
}

// eachCtx calls fn for every loop's published counters, locked.
func (e *Engine) eachCtx(fn func(p *published)) {
	e.state.mu.Lock()
	defer e.state.mu.Unlock()
	for _, x := range e.state.ctxs {
		x.pub.mu.Lock()
		fn(&x.pub)
		x.pub.mu.Unlock()
	}
}

// sum adds up the published counters of all loops.
func (e *Engine) sum() totals {
	t := totals{cmds: make([]cmdCount, len(e.state.table.all)), codes: map[string]int64{}}
	e.eachCtx(func(p *published) {
		for i, c := range p.cmds {
			t.cmds[i].calls += c.calls
			t.cmds[i].nanos += c.nanos
			t.cmds[i].rejected += c.rejected
			t.cmds[i].failed += c.failed
		}
		for code, n := range p.codes {
			t.codes[code] += n
		}
		t.commands += p.commands
		t.errs += p.errs
		t.hits += p.hits
		t.misses += p.misses
		t.reads += p.reads
		t.writes += p.writes
		t.readBytes += p.readBytes
		t.writeBytes += p.writeBytes
	})
	return t
}

// latencyOf adds up the histograms of one command.
func (e *Engine) latencyOf(id int) *histogram {
	var sum *histogram
	e.eachCtx(func(p *published) {
		h := p.latency[id]
		if h == nil {
			return
		}
		if sum == nil {
			sum = new(histogram)
		}
		for i, n := range h {
			sum[i] += n
		}
	})
	return sum
}

// Cron takes the samples for the rates of INFO; call it ten times a second.
func (e *Engine) Cron() {
	var commands, in, out int64
	e.eachCtx(func(p *published) {
		commands += p.commands
		in += p.readBytes
		out += p.writeBytes
	})
	st := &e.state.stats
	st.mu.Lock()
	defer st.mu.Unlock()
	now := time.Now()
	elapsed := now.Sub(st.last)
	if !st.last.IsZero() {
		st.ops.add(commands, elapsed)
		st.input.add(in, elapsed)
		st.output.add(out, elapsed)
	}
	st.last = now
	st.ops.last, st.input.last, st.output.last = commands, in, out
}

// resetStats is CONFIG RESETSTAT.
func (x *Ctx) resetStats() {
	x.flushStats()
	x.eachCtx(func(p *published) {
		clear(p.cmds)
		clear(p.latency)
		clear(p.codes)
		p.commands, p.errs, p.hits, p.misses = 0, 0, 0, 0
		p.reads, p.writes, p.readBytes, p.writeBytes = 0, 0, 0, 0
	})
	st := &x.state.stats
	st.connections.Store(0)
	st.rejected.Store(0)
	st.forksBase.Store(x.Saver.Info().TotalForks)
	st.mu.Lock()
	st.ops, st.input, st.output = rate{}, rate{}, rate{}
	st.mu.Unlock()
	x.Store.ResetStats()
}
