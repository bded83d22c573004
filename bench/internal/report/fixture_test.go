package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"kvd/bench/internal/result"
)

// character is how a made-up contestant behaves.
type character struct {
	pause   float64 // seconds without a reply, for 1 GB of data
	grows   bool    // with the data
	held    float64 // seconds; below 0: not reported
	clone   float64
	slow    float64 // factor on latencies during the save
	extra   float64 // share of the data
	rate    float64 // bytes a second of the save
	closed  float64 // requests a second in a closed loop
	version string
}

var characters = map[string]character{
	"fork":         {0.004, true, 0.0018, 0.0017, 1.6, 0.12, 450e6, 210e3, "kvd 0.3"},
	"thread":       {0.0031, false, 0.000005, -1, 1.3, 0.03, 420e6, 215e3, "kvd 0.3"},
	"copy":         {0.9, true, 0.85, -1, 1.1, 1.05, 430e6, 208e3, "kvd 0.3"},
	"pebble":       {0.009, false, -1, -1, 1.2, 0.01, 2500e6, 48e3, "pebble v2.1.7"},
	"redis-server": {0.062, true, -1, 0.058, 2.1, 0.35, 180e6, 120e3, "redis 7.0.15"},
}

var fiveNames = []string{"fork", "thread", "copy", "pebble", "redis-server"}

// maker makes up trials that look like measured ones.
type maker struct {
	rnd     *rand.Rand
	memorys bool
	hists   bool
}

func (m *maker) jitter(v float64) float64 { return v * (0.85 + 0.3*m.rnd.Float64()) }

func ref[T any](v T) *T { return &v }

func (m *maker) trial(scenario, name string, round int, keys int64, value int, paced float64) result.Trial {
	c := characters[name]
	data := float64(keys) * float64(value+16)
	gb := data / 1e9
	pause := c.pause
	if c.grows {
		pause *= gb
	}
	t := result.Trial{Scenario: scenario, Contestant: name, Round: round, Keys: keys, ValueBytes: value, DataBytes: int64(data), TargetRate: paced, FillSec: 3}
	const before, after = 8.0, 5.0
	if paced > 0 {
		t.LagP99Usec = ref(31.0)
	}
	at := before + 0.4*m.rnd.Float64()
	took := m.jitter(data / c.rate)
	end := at + took
	pause = m.jitter(pause)
	t.Save = &result.Save{Command: "BGSAVE", AtSec: at, EndSec: end, Seconds: took, Bytes: int64(data * 0.9)}
	if c.held >= 0 {
		t.Save.HeldUsec = ref(m.jitter(c.held) * 1e6)
	}
	if c.clone >= 0 {
		t.Save.CloneUsec = ref(m.jitter(c.clone*gb) * 1e6)
	}
	rate := paced
	if rate == 0 {
		rate = c.closed
	}
	span := min(before, took)
	t.Windows = map[string]*result.Window{
		"idle": m.window(at-span, at, m.jitter(0.0006), rate*1.01, 90, 0.0009),
		"save": m.window(at, at+span, pause, rate*0.97, 90*c.slow, pause),
	}
	m.series(&t, at, end, end+after, pause, rate, c)
	if m.memorys {
		m.memory(&t, at, end, end+after, data, c)
	}
	return t
}

func (m *maker) window(from, to, gap, rate, p50, worst float64) *result.Window {
	l := result.Latencies{Count: int64(rate * (to - from)), MeanUsec: p50 * 1.2, P50Usec: m.jitter(p50), P90Usec: p50 * 1.8, P99Usec: m.jitter(p50 * 4),
		P999Usec: m.jitter(worst * 0.6 * 1e6), P9999Usec: worst * 0.8e6, MaxUsec: worst * 1e6}
	if m.hists {
		h := hdrhistogram.New(1, 60e9, 2)
		for i := range 4000 {
			v := p50 * 1e3 * math.Exp(m.rnd.NormFloat64()*0.35)
			if i%400 == 0 {
				v = worst * 1e9 * m.rnd.Float64()
			}
			_ = h.RecordValue(int64(v) + 1)
		}
		_ = h.RecordValue(int64(worst*1e9) + 1)
		b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			panic(err)
		}
		l.Histogram = string(b)
	}
	ping := l
	ping.Count, ping.Histogram = 500, ""
	return &result.Window{FromSec: from, ToSec: to, OpsPerSecond: rate, LongestGapSec: gap, Ops: map[string]result.Latencies{"write": l, "set": l, "ping": ping}}
}

func (m *maker) series(t *result.Trial, at, end, stop, pause, rate float64, c character) {
	const step = 0.1
	s := &result.OpSeries{}
	for x := 0.0; x < stop; x += step {
		k := 1.0
		if x+step > at && x < end {
			k = c.slow
		}
		p50 := m.jitter(90 * k)
		worst := m.jitter(p50 * 9)
		n := int64(rate * step * (0.99 + 0.02*m.rnd.Float64()))
		if x <= at && at < x+step {
			worst = max(worst, pause*1e6)
			n = int64(float64(n) * max(0, 1-pause/step))
		}
		// A pause longer than a slot leaves slots without any answer.
		if x > at && x+step < at+pause {
			s.Count, s.P50Usec, s.P99Usec, s.MaxUsec = append(s.Count, 0), append(s.P50Usec, 0), append(s.P99Usec, 0), append(s.MaxUsec, 0)
			continue
		}
		s.Count, s.P50Usec = append(s.Count, n), append(s.P50Usec, p50)
		s.P99Usec, s.MaxUsec = append(s.P99Usec, m.jitter(p50*4)), append(s.MaxUsec, worst)
	}
	t.Series = &result.Series{StepSec: step, Ops: map[string]*result.OpSeries{"write": s, "set": s}}
}

func (m *maker) memory(t *result.Trial, at, end, stop, data float64, c character) {
	base := data * 1.2
	extra := m.jitter(c.extra * data)
	for x := 0.0; x < stop; x += 0.2 {
		v := base
		if x > at && x < end {
			v += extra * min(1, (x-at)/(end-at)*1.5)
		}
		t.Memory = append(t.Memory, result.MemorySample{AtSec: x, PssBytes: int64(v), RssBytes: int64(base), PTEBytes: int64(data / 512)})
	}
	t.Save.ExtraMemoryBytes = ref(int64(extra))
	t.Save.CopiedBytes = ref(int64(extra * 0.9))
	t.Save.PTEPeakBytes = ref(int64(data / 256))
	t.Save.ServerCPUSec, t.Save.ChildCPUSec = ref(1.2), ref(2.1)
	t.Save.MinorFaults, t.Save.ChildFaults = ref(int64(31000)), ref(int64(1200))
}

// fullRun is a run of five contestants in A, B, E, G and H, three rounds.
func fullRun() *result.Run { return makeRun(fiveNames, 3, &maker{memorys: true, hists: true}) }

func makeRun(names []string, rounds int, m *maker) *result.Run {
	m.rnd = rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 11, 22, 3, 15, 0, 0, time.UTC)
	r := &result.Run{
		ID: "20261122T031500Z-1a2b", Started: start, Ended: start.Add(9 * time.Minute), Label: "first light", Version: "1a723cc",
		Command: []string{"go", "run", "./bench", "run", "--scenarios", "A,B,E,G,H", "--rounds", "3", "--start", "redis-server=/usr/bin/redis-server"},
		Machine: result.Machine{Kernel: "Linux 6.18.5", Arch: "amd64", CPU: "Some CPU @ 2.90GHz", Cores: 2, MemoryBytes: 16 << 30, FreeMemoryBytes: 14 << 30,
			HugePages: "madvise", HugeDefrag: "madvise", Filesystem: "ext4", Go: "go1.26.0", Load1: "0.12"},
		Config:   result.Config{Scale: "full", Scenarios: []string{"A", "B", "E", "G", "H"}, Rounds: rounds, BeforeSec: 8, AfterSec: 5, Seed: 42},
		Ceilings: []result.Ceiling{{Shape: "8 connections, pipeline 1, 300 B", OpsPerSecond: 241234}},
	}
	for _, n := range names {
		c := result.Contestant{Name: n, Server: characters[n].version, Save: "BGSAVE " + n}
		if n == "pebble" {
			c.Note = "write-ahead log on, NoSync, cache 256 MB"
		}
		r.Contestants = append(r.Contestants, c)
	}
	for round := 1; round <= rounds; round++ {
		for _, n := range names {
			r.Trials = append(r.Trials, m.trial("A", n, round, 3_000_000, 300, 8000), m.trial("B", n, round, 5_000_000, 16, 0), m.trial("E", n, round, 5_000_000, 1024, 8000))
			for _, k := range []int64{250_000, 500_000, 1_000_000, 2_000_000, 4_000_000} {
				r.Trials = append(r.Trials, m.trial("G", n, round, k, 300, 8000))
			}
			h := m.trial("H", n, round, 5_000_000, 64, 0)
			h.Windows, h.Series = nil, nil
			h.Load = &result.Load{Seconds: m.jitter(400e6 / characters[n].rate), Keys: h.Keys}
			r.Trials = append(r.Trials, h)
		}
	}
	r.Apart = makeApart()
	return r
}

func makeApart() *result.Apart {
	a := &result.Apart{Facts: []result.Fact{
		{Topic: "creation", Claim: "Creating a process is much dearer than creating a thread.", What: "clone() of a child that ends at once, 4 KiB pages, 1 GiB of data", Value: ref(14.2), Unit: "ms", Text: "Borne out: a thread took 11.3 µs, 1257 times less."},
		{Topic: "creation", Claim: "vfork and exec do not depend on the size of the parent.", What: "vfork + exec of a program that ends at once", Value: ref(512.0), Unit: "µs"},
		{Topic: "isolation", Claim: "A crash of the child leaves the parent alive.", What: "SIGKILL to the child during a save", Text: "Borne out: the server answered all the time."},
	}}
	t := result.Table{Title: "Time of clone() by size of the data", Columns: []string{"data, MiB", "fork, 4 KiB pages, ms", "fork, huge pages, ms", "vfork + exec, ms", "thread, ms"}}
	for mib := 1.0; mib <= 4096; mib *= 4 {
		t.Rows = append(t.Rows, []float64{mib, 0.08 + mib*0.013, 0.07 + mib*0.0007, 0.51, 0.011})
	}
	a.Tables = append(a.Tables, t, result.Table{Title: "Handing data over, there and acknowledged, by size", Columns: []string{"data, bytes", "pipe to a process, µs", "pointer through a channel, µs"},
		Rows: [][]float64{{64, 5.1, 0.2}, {4096, 6.3, 0.2}, {65536, 31, 0.2}, {1 << 20, 402, 0.21}}})
	return a
}

// oddRuns are runs that are not as they should be.
func oddRuns() map[string]*result.Run {
	out := map[string]*result.Run{}
	add := func(name string, change func(*result.Run), names ...string) {
		r := makeRun(names, 2, &maker{memorys: true})
		change(r)
		out[name] = r
	}
	add("empty", func(r *result.Run) { *r = result.Run{} }, "fork")
	add("no trials", func(r *result.Run) { r.Trials, r.Apart = nil, nil }, fiveNames...)
	add("only errors", func(r *result.Run) {
		r.Apart = nil
		for i := range r.Trials {
			t := &r.Trials[i]
			*t = result.Trial{Scenario: t.Scenario, Contestant: t.Contestant, Round: t.Round, Keys: t.Keys, Error: "connect: connection refused <b>\x01</b>\n" + fmt.Sprint(i)}
		}
	}, "fork", "thread")
	add("one contestant", func(*result.Run) {}, "thread")
	add("one unnamed", func(r *result.Run) { r.Contestants = nil }, "thread", "fork")
	add("partial", func(r *result.Run) {
		r.Partial = "interrupted"
		r.Trials = r.Trials[:9]
		r.Trials[8].Partial, r.Trials[8].Save, r.Trials[8].Memory = true, nil, nil
		delete(r.Trials[8].Windows, "save")
	}, fiveNames...)
	add("skipped and bound", func(r *result.Run) {
		for i := range r.Trials {
			switch t := &r.Trials[i]; {
			case t.Contestant == "pebble":
				*t = result.Trial{Scenario: t.Scenario, Contestant: t.Contestant, Round: t.Round, Keys: t.Keys, Skipped: "pebble has no lists"}
			case t.Scenario == "B":
				t.GeneratorBound, t.CeilingOps = true, 240e3
			case t.Scenario == "E":
				t.Save = &result.Save{Error: "no space left on device"}
			}
		}
	}, "fork", "pebble")
	add("remote", func(r *result.Run) {
		for i := range r.Contestants {
			r.Contestants[i].Remote = true
		}
		for i := range r.Trials {
			t := &r.Trials[i]
			t.Memory, t.Load = nil, nil
			if t.Save != nil {
				t.Save.ExtraMemoryBytes, t.Save.CopiedBytes, t.Save.PTEPeakBytes = nil, nil, nil
			}
		}
	}, "redis-server", "thread")
	add("no numbers", func(r *result.Run) {
		for i := range r.Trials {
			t := &r.Trials[i]
			for _, w := range t.Windows {
				w.LongestGapSec, w.OpsPerSecond = math.NaN(), math.Inf(1)
				for op, l := range w.Ops {
					l.P50Usec, l.P99Usec, l.MaxUsec, l.Histogram = math.NaN(), math.Inf(-1), -1, "bm90IG9uZQ=="
					w.Ops[op] = l
				}
			}
			t.Save.AtSec, t.Save.Seconds = math.NaN(), math.Inf(1)
			if t.Series != nil {
				for _, s := range t.Series.Ops {
					for k := range s.P50Usec {
						s.P50Usec[k], s.MaxUsec[k] = math.NaN(), math.Inf(1)
					}
				}
			}
		}
		r.Apart.Tables[0].Rows = [][]float64{{math.NaN(), 1}, {1}, {}, {2, math.Inf(1), 3, 0, -1}}
		r.Apart.Facts[0].Value = ref(math.NaN())
	}, "fork", "thread")
	add("zeros", func(r *result.Run) {
		for i := range r.Trials {
			t := &r.Trials[i]
			for _, w := range t.Windows {
				*w = result.Window{}
			}
			t.Keys, t.DataBytes, t.ValueBytes = 0, 0, 0
			t.Save = &result.Save{ExtraMemoryBytes: ref(int64(0))}
			t.Series = &result.Series{Ops: map[string]*result.OpSeries{"write": nil, "set": {}}}
			t.Memory = make([]result.MemorySample, 3)
		}
		r.Apart.Tables[0].Rows = nil
	}, "fork", "thread")
	long := makeRun([]string{"thread"}, 1, &maker{})
	characters["a-server-with-a-name-that-is-longer-than-any-phone"] = characters["thread"]
	add("long names", func(r *result.Run) { r.Trials = append(r.Trials, long.Trials...) }, "a-server-with-a-name-that-is-longer-than-any-phone", "fork")
	var many []string
	for i := range 11 {
		n := fmt.Sprintf("server-%d", i)
		characters[n] = characters["fork"]
		many = append(many, n)
	}
	add("eleven", func(*result.Run) {}, many...)
	return out
}
