package command

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// digits stand for all numbers, whose lengths differ from run to run.
var digits = regexp.MustCompile(`\d+`)

// differ returns how the replies to a command differ, leaving out what may; "" if they do not.
func (p *pair) differ(mask func(string) string, args ...string) string {
	p.t.Helper()
	ours, theirs := p.both(args...)
	if mask(ours) == mask(theirs) {
		return ""
	}
	return fmt.Sprintf("%q\n kvd   %q\n redis %q", args, ours, theirs)
}

func whole(s string) string { return s }

// numbers masks all numbers.
func numbers(s string) string { return digits.ReplaceAllString(s, "N") }

func TestLatencyIsThatOfRedis(t *testing.T) {
	p := newPair(t)
	p.line("LATENCY RESET")
	p.theirs.do(t, "LATENCY", "RESET")
	defer p.both("CONFIG", "SET", "latency-monitor-threshold", "0")
	for _, proto := range []string{"2", "3"} {
		p.both("HELLO", proto)
		p.theirs.do(t, "LATENCY", "RESET") // with the directive set to -1, and so on, nothing is an event
		p.ours("LATENCY", "RESET")
		for _, cmd := range []string{
			"LATENCY LATEST", "LATENCY HISTORY command", "LATENCY GRAPH command", "LATENCY GRAPH", "LATENCY HISTORY", "LATENCY foo", "LATENCY",
			"LATENCY RESET x y", "LATENCY LATEST x", "LATENCY DOCTOR x", "LATENCY HELP x", "LATENCY HISTOGRAM nosuch", "LATENCY HISTOGRAM nosuch get|x",
			"LATENCY GRAPH no\x00such", "CONFIG SET latency-monitor-threshold -1", "CONFIG SET latency-monitor-threshold 9223372036854775807",
			"DEBUG SLEEP 0.001", "LATENCY LATEST",
		} {
			p.line(cmd)
		}
		attempts(t, p.compareSpike) // any other command that is held up is an event too
		p.line("CONFIG SET latency-monitor-threshold 0")
		p.both("LATENCY", "RESET")
		p.line("DEBUG SLEEP 0.02")
		p.line("LATENCY LATEST")
	}
}

// spikeLines are those lines of LATENCY GRAPH and DOCTOR that are Redis' own.
var spikeLines = regexp.MustCompile(`(?m)^(command - high .*|-{80}|1\. command: 1 latency spikes .*)$`)

// compareSpike makes a command of both servers slow and compares what they say about it.
func (p *pair) compareSpike(scale int) string {
	p.both("LATENCY", "RESET")
	p.line(fmt.Sprint("CONFIG SET latency-monitor-threshold ", 10*scale))
	p.line("CONFIG GET latency-monitor-threshold")
	p.line(fmt.Sprint("DEBUG SLEEP ", 0.03*float64(scale)))
	p.line("GET a")
	wrong := p.differ(numbers, "LATENCY", "LATEST") + p.differ(numbers, "LATENCY", "HISTORY", "command") +
		p.differ(numbers, "LATENCY", "HISTORY", "fast-command")
	for _, cmd := range []string{"GRAPH command", "DOCTOR"} {
		wrong += p.differ(func(s string) string {
			lines := spikeLines.FindAllString(s, -1)
			if len(lines) == 0 {
				return "none of the lines in " + s
			}
			return s[:1] + numbers(fmt.Sprint(lines))
		}, strings.Fields("LATENCY "+cmd)...)
	}
	return wrong + p.differ(whole, "LATENCY", "RESET", "x", "command") + p.differ(whole, "LATENCY", "LATEST")
}

// TestLatencyHistogramIsThatOfRedis: for what each server says that its calls took, each has
// the histogram that Redis' steps give.
func TestLatencyHistogramIsThatOfRedis(t *testing.T) {
	p := newPair(t)
	for _, proto := range []string{"2", "3"} {
		p.both("HELLO", proto)
		attempts(t, func(scale int) string {
			p.line("CONFIG RESETSTAT")
			var ours, theirs []int64
			for _, seconds := range []string{"0.0045", "0.0045", "0.036", "0.07"} {
				p.line("DEBUG SLEEP " + seconds)
				a, b := p.both("INFO", "commandstats")
				ours, theirs = append(ours, debugUsec(t, a)), append(theirs, debugUsec(t, b))
			}
			a, b := p.both("LATENCY", "HISTOGRAM", "debug", "nosuch", "DEBUG")
			for _, c := range []struct {
				name, reply string
				spent       []int64
			}{{"kvd", a, ours}, {"redis", b, theirs}} {
				want, sure := histogramReply(proto == "3", c.spent)
				if !sure {
					return fmt.Sprint("calls near the end of a step: ", c.spent)
				}
				if c.reply != want {
					t.Errorf("RESP%s, %s, after %v us\n got  %q\n want %q", proto, c.name, c.spent, c.reply, want)
				}
			}
			return ""
		})
		p.line("GET a")
		p.line("CLIENT GETNAME")
		for _, cmd := range []string{"LATENCY HISTOGRAM get client", "LATENCY HISTOGRAM client|getname get", "LATENCY HISTOGRAM"} {
			ours, theirs := p.both(strings.Fields(cmd)...)
			if a, b := histogramNames(ours), histogramNames(theirs); a != b || ours[0] != theirs[0] {
				t.Errorf("RESP%s %s\n kvd   %s\n redis %s", proto, cmd, a, b)
			}
		}
	}
}

var cmdstatDebug = regexp.MustCompile(`cmdstat_debug:calls=\d+,usec=(\d+),`)

// debugUsec returns the microseconds of all DEBUG commands in a reply to INFO commandstats.
func debugUsec(t *testing.T, info string) int64 {
	t.Helper()
	m := cmdstatDebug.FindStringSubmatch(info)
	if m == nil {
		t.Fatalf("no DEBUG in %q", info)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// histogramReply returns the reply to LATENCY HISTOGRAM with one command twice, whose calls ended when
// so many microseconds were spent in all of them. It is not sure of calls that took almost as
// long as the end of a step, or longer than the last.
func histogramReply(resp3 bool, spent []int64) (reply string, sure bool) {
	end := func(k int) int64 { return 1<<k + 1<<(k-7) - 1 } // of the k-th step, in nanoseconds
	calls := map[int]int{}
	before := int64(0)
	for _, n := range spent {
		nanos, k := (n-before)*1000, 10
		for before = n; end(k) < nanos; k++ {
		}
		if k > 29 || nanos+5000 > end(k) || nanos-5000 <= end(k-1) {
			return "", false
		}
		calls[k]++
	}
	mapOf, each := "*", 2
	if resp3 {
		mapOf, each = "%", 1
	}
	steps, sum := "", 0
	for k := range 30 {
		if sum += calls[k]; calls[k] > 0 {
			steps += fmt.Sprintf(":%d\r\n:%d\r\n", end(k)/1000, sum)
		}
	}
	one := fmt.Sprintf("$5\r\ndebug\r\n%s%d\r\n$5\r\ncalls\r\n:%d\r\n$14\r\nhistogram_usec\r\n%s%d\r\n%s", mapOf, 2*each, len(spent), mapOf, len(calls)*each, steps)
	return fmt.Sprintf("%s%d\r\n", mapOf, 2*each) + one + one, true
}

// histogramNames returns the commands of a LATENCY HISTOGRAM and their calls.
func histogramNames(raw string) string {
	v, _ := parseReply(raw)
	var l []string
	for list := v.([]any); len(list) > 1; list = list[2:] {
		f := list[1].([]any)
		l = append(l, fmt.Sprintf("%v:%v=%v,%v", list[0], f[0], f[1], f[2]))
	}
	return sortedLines(strings.Join(l, "\r\n"))
}

// TestHistogramBounds: the steps end where hdr_histogram's do.
func TestHistogramBounds(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	h := &histogram{}
	for _, nanos := range []int64{1, 1024, 1031, 1032, 40000, 600e6, 1e9, 1e12} {
		h[bucketOf(nanos)]++
	}
	doString(x, c, "HELLO", "3")
	x.Client, c.Out = c, c.Out[:0]
	x.histogram(h)
	want := "%2\r\n$5\r\ncalls\r\n:8\r\n$14\r\nhistogram_usec\r\n%4\r\n:1\r\n:3\r\n:2\r\n:4\r\n:66\r\n:5\r\n:1073741\r\n:8\r\n"
	if string(c.Out) != want {
		t.Errorf("got %q\nwant %q", c.Out, want)
	}
}

func TestLatencySeries(t *testing.T) {
	m := &latencyMonitor{}
	const base = 1700000000
	for i := int64(0); i < 200; i++ {
		m.add("fork", base+i, i)
		m.add("fork", base+i, 1000-i)
		m.add("fork", base+i, 5)
	}
	m.add("save-cut", base, 7)
	ev := m.event("fork")
	if len(ev.samples) != latencySamples || ev.max != 1000 {
		t.Fatalf("%d samples, max %d", len(ev.samples), ev.max)
	}
	for i, s := range ev.samples {
		if want := (latencySample{base + 40 + int64(i), 960 - int64(i)}); s != want {
			t.Fatalf("sample %d is %v, want %v", i, s, want)
		}
	}
	if all := m.all(); len(all) != 2 || all[0].name != "fork" || all[1].name != "save-cut" || all[1].max != 7 {
		t.Errorf("all: %v", all)
	}
	if n := m.reset([]string{"nosuch", "fork", "fork"}); n != 1 || len(m.event("fork").samples) != 0 {
		t.Errorf("reset %d", n)
	}
	if n := m.reset(nil); n != 1 || len(m.all()) != 0 {
		t.Errorf("reset %d", n)
	}
}

func TestLatencyGraphAndDoctor(t *testing.T) {
	const now = 1700000000
	ev := latencyEvent{name: "save-cut", max: 99, samples: []latencySample{
		{now - 200000, 10}, {now - 7300, 20}, {now - 130, 80}, {now - 59, 45}, {now, 10},
	}}
	want := "save-cut - high 80 ms, low 10 ms (all time high 99 ms)\n" + strings.Repeat("-", 80) + "\n" +
		"  #  \n  #  \n  ## \n_###_\n" + "\n22250\ndhm9s\n   s \n"
	if got := ev.graph(now); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	many := latencyEvent{name: "fork", max: 3}
	for i := range int64(100) {
		many.samples = append(many.samples, latencySample{now - 100 + i, 3})
	}
	lines := strings.Split(many.graph(now), "\n")
	if len(lines) != 2+2*(graphRows+4)+1 || lines[2] != strings.Repeat("#", 80) || lines[10] != strings.Repeat("#", 20) {
		t.Errorf("%d lines\n%s", len(lines), strings.Join(lines, "\n"))
	}
	got := diagnosis([]latencyEvent{ev, {name: "own-event", max: 5, samples: []latencySample{{now - 10, 5}}}}, now)
	for _, part := range []string{
		"\n1. save-cut: 5 latency spikes (average 33ms, mean deviation 23ms, period 40000.00 sec). Worst all time event 99ms.\n",
		"\n2. own-event: 1 latency spikes (average 5ms, mean deviation 0ms, period 10.00 sec). Worst all time event 5ms.\n",
		"\nAdvice:\n\n- save-cut: ",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	if strings.Contains(got, "- own-event") || strings.Contains(got, "- fork") {
		t.Errorf("advice on what was not seen:\n%s", got)
	}
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	if got := doString(x, c, "LATENCY", "DOCTOR"); !strings.Contains(got, "CONFIG SET latency-monitor-threshold") {
		t.Errorf("off: %q", got)
	}
	doString(x, c, "CONFIG", "SET", "latency-monitor-threshold", "5000")
	if got := doString(x, c, "LATENCY", "DOCTOR"); !strings.Contains(got, "5000 ms") {
		t.Errorf("nothing seen: %q", got)
	}
}

// TestLatencyEvents: whoever saves reports from goroutines of its own.
func TestLatencyEvents(t *testing.T) {
	w := newWorld(t, "--latency-monitor-threshold", "10")
	x, c := w.e.NewCtx(), w.connect()
	var wg sync.WaitGroup
	for i, event := range []string{"fork", "save-cut", "save-thread", "cow-fault"} {
		wg.Go(func() {
			for k := range 100 {
				w.e.LatencyEvent(event, time.Duration(9_900_000+(i+1)*k*1000))
			}
		})
	}
	wg.Wait()
	// 9.9 ms + 99 µs is below the threshold, 9.9 ms + 198 µs is not.
	if got := digits.ReplaceAllString(doString(x, c, "LATENCY", "LATEST"), "N"); strings.Count(got, "*N\r\n$N\r\n") != 3 || strings.Contains(got, "fork") {
		t.Errorf("LATEST: %q", got)
	}
	doString(x, c, "CONFIG", "SET", "latency-monitor-threshold", "0")
	doString(x, c, "LATENCY", "RESET")
	w.e.LatencyEvent("fork", time.Hour)
	if got := doString(x, c, "LATENCY", "LATEST"); got != "*0\r\n" {
		t.Errorf("off: %q", got)
	}
	if n := testing.AllocsPerRun(100, func() { w.e.LatencyEvent("fork", time.Hour) }); n != 0 {
		t.Errorf("off, an event allocates %v times", n)
	}
}

// TestSlowCommandsAreEvents: any other command that the machine holds up is an event too, so
// only what was slept for is looked for, and that it is the longest.
func TestSlowCommandsAreEvents(t *testing.T) {
	const slept = 20
	slow := &Spec{Name: "slow", Arity: 2, Flags: ReadOnly | Fast, First: 1, Last: 1, Step: 1, Handler: func(x *Ctx) {
		if string(x.Args[1]) == "now" {
			time.Sleep(slept * time.Millisecond)
		}
		x.OK()
	}}
	w := chosen(t, []string{"latency", "multi", "exec", "config"}, slow)
	x, c := w.e.NewCtx(), w.connect()
	doString(x, c, "CONFIG", "SET", "latency-monitor-threshold", "2")
	// took returns the longest time of an event in milliseconds, -1 if there was none.
	took := func(event string) int64 {
		if ev := w.e.state.latency.event(event); len(ev.samples) > 0 {
			return ev.max
		}
		return -1
	}
	x.BeginRound()
	for _, key := range []string{"a", "now", "b"} { // one of a series that is timed together
		x.Do(c, [][]byte{[]byte("slow"), []byte(key)})
	}
	x.EndRound()
	c.Out = c.Out[:0]
	if got := took("fast-command"); got < slept {
		t.Errorf("a slow one in a series: %d ms", got)
	}
	if got := doString(x, c, "LATENCY", "LATEST"); !strings.Contains(got, "\r\nfast-command\r\n") {
		t.Errorf("a slow one in a series: %q", got)
	}
	doString(x, c, "LATENCY", "RESET")
	doString(x, c, "MULTI")
	doString(x, c, "slow", "now")
	doString(x, c, "EXEC")
	if fast, exec := took("fast-command"), took("command"); fast < slept || exec < slept {
		t.Errorf("in a transaction: fast-command %d ms, command %d ms", fast, exec)
	}
	doString(x, c, "CONFIG", "SET", "latency-monitor-threshold", "100000")
	doString(x, c, "LATENCY", "RESET")
	doString(x, c, "slow", "now")
	if got := took("fast-command"); got != -1 {
		t.Errorf("below the threshold: %d ms", got)
	}
}
