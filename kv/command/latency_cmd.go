package command

import (
	"fmt"
	"strings"
	"time"
)

var latencyHelp = helpText("LATENCY",
	"DOCTOR", "Return what the recorded events mean, and advice.",
	"GRAPH <event>", "Return a chart of the event's samples, drawn with characters.",
	"HISTOGRAM [<command> ...]", "Return how many calls of the commands took how long, cumulated; of all commands by default.",
	"HISTORY <event>", "Return the samples of the event: the Unix time and the milliseconds.",
	"LATEST", "Return the last sample and the maximum of each event.",
	"RESET [<event> ...]", "Forget the samples of the events; of all by default.",
)

func cmdLatencyHelp(x *Ctx) { x.Strings(latencyHelp) }

func cmdLatencyLatest(x *Ctx) {
	events := x.state.latency.all()
	x.Array(len(events))
	for _, ev := range events {
		last := ev.samples[len(ev.samples)-1]
		x.Array(4)
		x.BulkString(ev.name)
		x.Int(last.unix)
		x.Int(last.milli)
		x.Int(ev.max)
	}
}

func cmdLatencyHistory(x *Ctx) {
	ev := x.state.latency.event(string(x.Args[2]))
	x.Array(len(ev.samples))
	for _, s := range ev.samples {
		x.Array(2)
		x.Int(s.unix)
		x.Int(s.milli)
	}
}

func cmdLatencyReset(x *Ctx) {
	var names []string
	for _, a := range x.Args[2:] {
		names = append(names, string(a))
	}
	x.Int(int64(x.state.latency.reset(names)))
}

func cmdLatencyGraph(x *Ctx) {
	ev := x.state.latency.event(string(x.Args[2]))
	if len(ev.samples) == 0 {
		x.Errf(errNoSamples, cText(x.Args[2], len(x.Args[2])))
		return
	}
	x.Verbatim("txt", ev.graph(time.Now().Unix()))
}

// The size of a chart in characters; more samples than columns make another one
// below.
const (
	graphColumns = 80
	graphRows    = 4
)

// graph draws the samples as columns, the oldest on the left, each with its age
// written downwards below it.
func (ev *latencyEvent) graph(now int64) string {
	low, high, _, _ := ev.figures()
	var b strings.Builder
	fmt.Fprintf(&b, "%s - high %d ms, low %d ms (all time high %d ms)\n", ev.name, high, low, ev.max)
	b.WriteString(strings.Repeat("-", graphColumns) + "\n")
	for from := 0; from < len(ev.samples); from += graphColumns {
		part := ev.samples[from:min(from+graphColumns, len(ev.samples))]
		drawColumns(&b, part, low, high)
		drawAges(&b, part, now)
	}
	return b.String()
}

// drawColumns draws one column per sample: the lowest is half a row high, the
// highest reaches the top.
func drawColumns(b *strings.Builder, samples []latencySample, low, high int64) {
	for row := graphRows - 1; row >= 0; row-- {
		line := make([]byte, len(samples))
		for i, s := range samples {
			halves := int64(2 * graphRows)
			if high > low {
				halves = 1 + (s.milli-low)*(2*graphRows-1)/(high-low)
			}
			switch above := halves - int64(2*row); {
			case above >= 2:
				line[i] = '#'
			case above == 1:
				line[i] = '_'
			default:
				line[i] = ' '
			}
		}
		b.Write(line)
		b.WriteByte('\n')
	}
}

func drawAges(b *strings.Builder, samples []latencySample, now int64) {
	ages, longest := make([]string, len(samples)), 0
	for i, s := range samples {
		ages[i] = ageText(max(now-s.unix, 0))
		longest = max(longest, len(ages[i]))
	}
	for row := range longest {
		line := make([]byte, len(ages))
		for i, age := range ages {
			line[i] = ' '
			if row < len(age) {
				line[i] = age[row]
			}
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteByte('\n')
}

// ageText shortens a number of seconds to the largest unit that fits.
func ageText(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 60*60:
		return fmt.Sprintf("%dm", seconds/60)
	case seconds < 24*60*60:
		return fmt.Sprintf("%dh", seconds/(60*60))
	}
	return fmt.Sprintf("%dd", seconds/(24*60*60))
}

// latencyAdvice is what DOCTOR says to each event that was seen.
var latencyAdvice = []struct{ event, text string }{
	{"command", "Commands whose work grows with the data (KEYS, FLUSHALL with a save in progress, DEL and MGET of many keys, transactions) " +
		"keep their event loop, and all loops if they lock everything: split them up, or use SCAN. INFO commandstats and LATENCY HISTOGRAM tell which they are."},
	{"fast-command", "Commands that take a constant time were slow: another process needs the processors, the machine swaps, or a command " +
		"or a save held the locks that they needed."},
	{"fork", "The clone takes long where the data are not on huge pages: see mem_huge_share in INFO memory and " +
		"/sys/kernel/mm/transparent_hugepage/enabled, or save by thread (bgsave-default-method thread)."},
	{"save-cut", "All writers wait while a save takes its cut. With FORK that is the clone; BGSAVE THREAD has a cut that does not grow with the data."},
	{"save-thread", "A save by thread held a lock for long: give it less to do at a time with save-rate-limit, or fewer threads with save-threads."},
	{"cow-fault", "The kernel copies what is written while a child saves. fork-write-policy changes what is written, BGSAVE THREAD needs no copies of pages."},
}

func cmdLatencyDoctor(x *Ctx) {
	m := &x.state.latency
	events := m.all()
	milli := x.Config.Int("latency-monitor-threshold")
	switch {
	case len(events) == 0 && milli == 0:
		x.Verbatim("txt", "Nothing is being monitored in this instance. CONFIG SET latency-monitor-threshold <milliseconds> turns the monitor on.\n")
	case len(events) == 0:
		x.Verbatim("txt", fmt.Sprintf("No latency spike was seen: no event took %d ms or more since the start or the last LATENCY RESET.\n", milli))
	default:
		x.Verbatim("txt", diagnosis(events, time.Now().Unix()))
	}
}

// diagnosis lists the events and gives advice.
func diagnosis(events []latencyEvent, now int64) string {
	var b strings.Builder
	b.WriteString("Latency spikes were seen in this instance:\n\n")
	seen := map[string]bool{}
	for i, ev := range events {
		seen[ev.name] = true
		_, _, average, deviation := ev.figures()
		n := len(ev.samples)
		period := float64(max(now-ev.samples[0].unix, 0)) / float64(n)
		fmt.Fprintf(&b, "%d. %s: %d latency spikes (average %dms, mean deviation %dms, period %.2f sec). Worst all time event %dms.\n",
			i+1, ev.name, n, average, deviation, period, ev.max)
	}
	advised := false
	for _, a := range latencyAdvice {
		if !seen[a.event] {
			continue
		}
		if !advised {
			b.WriteString("\nAdvice:\n\n")
			advised = true
		}
		b.WriteString("- " + a.event + ": " + a.text + "\n")
	}
	return b.String()
}

// commandHistogram is a command's histogram for a reply.
type commandHistogram struct {
	name string
	h    *histogram
}

func cmdLatencyHistogram(x *Ctx) {
	x.flushStats()
	var list []commandHistogram
	add := func(s *Spec) {
		if h := x.latencyOf(s.id); h != nil {
			list = append(list, commandHistogram{s.Name, h})
		}
	}
	if len(x.Args) == 2 {
		for _, s := range x.state.table.all {
			add(s)
		}
	}
	for _, name := range x.Args[2:] { // unknown names are left out
		if s := x.state.table.lookupFull(name); s != nil {
			add(s)
			for _, sub := range s.Sub {
				add(sub)
			}
		}
	}
	x.Map(len(list))
	for _, c := range list {
		x.BulkString(c.name)
		x.histogram(c.h)
	}
}

// histogram replies the number of calls, and how many of them took at most each
// power of two: Redis' hdr_histogram reports at 1024 ns and every doubling.
func (x *Ctx) histogram(h *histogram) {
	type step struct {
		micros int64
		calls  uint64
	}
	var steps []step
	var calls, before uint64
	bucket := 0
	for level := int64(1024); bucket < len(h); level *= 2 {
		last := maxBucket
		if level <= maxLatency {
			last = bucketOf(level)
		}
		for ; bucket <= last; bucket++ {
			calls += h[bucket]
		}
		if calls > before {
			steps = append(steps, step{bucketMax(last) / 1000, calls})
			before = calls
		}
	}
	x.Map(2)
	x.field64("calls", int64(calls))
	x.BulkString("histogram_usec")
	x.Map(len(steps))
	for _, s := range steps {
		x.Int(s.micros)
		x.Int(int64(s.calls))
	}
}
