package result

import (
	"slices"
	"sort"
)

// Metric is a named figure of a trial: what tables show and comparisons test.
type Metric struct {
	Name   string // "save seconds"
	Unit   string // s, µs, ms, MB, MB/s, ops/s
	Higher bool   // higher is better
	Value  float64
	// Neutral: neither more nor less is better by itself; Higher says nothing.
	Neutral bool
}

// neutral are the figures that say what was done, or how well it was measured.
var neutral = []string{"deferred", "generator late p99, idle", "generator late p99, save", "saved", "saved as links"}

const (
	usecPerMsec = 1e3
	msecPerSec  = 1e3
	megabyte    = 1e6
)

// Metrics returns the figures of a trial in the order in which tables show them.
// A trial with an error has those that were measured before it. The windows around
// a save that failed or was interrupted are left out: they are of something else.
func (t *Trial) Metrics() []Metric {
	var out []Metric
	add := func(name, unit string, higher bool, v float64) {
		out = append(out, Metric{Name: name, Unit: unit, Higher: higher, Value: v})
	}
	saved := t.Save != nil && t.Save.Error == ""
	for _, w := range []string{"idle", "save"} {
		win := t.Windows[w]
		if win == nil || !saved {
			continue
		}
		for _, op := range []string{"write", "read", "ping"} {
			l, ok := win.Ops[op]
			if !ok || l.Count == 0 {
				continue
			}
			add(op+" p50, "+w, "µs", false, l.P50Usec)
			add(op+" p99, "+w, "µs", false, l.P99Usec)
			add(op+" p99.9, "+w, "ms", false, l.P999Usec/usecPerMsec)
			add(op+" max, "+w, "ms", false, l.MaxUsec/usecPerMsec)
		}
		add("longest gap, "+w, "ms", false, win.LongestGapSec*msecPerSec)
		add("throughput, "+w, "ops/s", true, win.OpsPerSecond)
		if lag, ok := win.Ops["lag"]; ok && lag.Count > 0 {
			add("generator late p99, "+w, "µs", false, lag.P99Usec)
		}
	}
	// The pair of equal windows ends early if the clients ran for a shorter time before
	// the save than it took; the worst may have come later.
	if all, part := t.Windows["during"], t.Windows["save"]; saved && all != nil && part != nil && all.ToSec > part.ToSec {
		if l := all.Ops["write"]; l.Count > 0 {
			add("write max, whole save", "ms", false, l.MaxUsec/usecPerMsec)
		}
		add("longest gap, whole save", "ms", false, all.LongestGapSec*msecPerSec)
	}
	if s := t.Save; saved {
		add("save", "s", false, s.Seconds)
		add("saved", "MB", false, float64(s.Bytes)/megabyte)
		if s.SharedBytes > 0 {
			add("saved as links", "MB", false, float64(s.SharedBytes)/megabyte)
		} else if s.Seconds > 0 { // a rate of links would be no rate
			add("save rate", "MB/s", true, float64(s.Bytes)/megabyte/s.Seconds)
		}
		addPtr(&out, "writers held", "ms", s.HeldUsec, usecPerMsec)
		addPtr(&out, "clone", "ms", s.CloneUsec, usecPerMsec)
		addPtr(&out, "extra memory", "MB", s.ExtraMemoryBytes, megabyte)
		addPtr(&out, "extra memory by INFO", "MB", s.ReportedExtra, megabyte)
		addPtr(&out, "copied by the kernel", "MB", s.CopiedBytes, megabyte)
		addPtr(&out, "deferred", "MB", s.DeferredBytes, megabyte)
		addPtr(&out, "page tables, peak", "MB", s.PTEPeakBytes, megabyte)
		addPtr(&out, "minor faults of the server", "", s.MinorFaults, 1)
		addPtr(&out, "minor faults of the child", "", s.ChildFaults, 1)
		addPtr(&out, "CPU of the server", "s", s.ServerCPUSec, 1)
		addPtr(&out, "CPU of the child", "s", s.ChildCPUSec, 1)
	}
	if l := t.Load; l != nil && l.Error == "" {
		add("load", "s", false, l.Seconds)
	}
	for i := range out {
		out[i].Neutral = slices.Contains(neutral, out[i].Name)
	}
	return out
}

func addPtr[T int64 | float64](out *[]Metric, name, unit string, v *T, per float64) {
	if v != nil {
		*out = append(*out, Metric{Name: name, Unit: unit, Value: float64(*v) / per})
	}
}

// Group is what a table has one row, and a comparison one test, for.
type Group struct {
	Scenario   string
	Contestant string
	Keys       int64
}

// Sample is the values of one metric over the rounds of a group.
type Sample struct {
	Metric
	Values []float64
}

// wholes are the figures of whole saves, each with that of the window which is all
// of a save that is short enough.
var wholes = map[string]string{
	"write max, whole save":   "write max, save",
	"longest gap, whole save": "longest gap, save",
}

// Collect returns the groups of a run in order of their first trial, and the
// samples of each in order of Metrics. Where the saves of some rounds only are longer
// than their windows, a figure of whole saves is of all rounds all the same.
func (r *Run) Collect() ([]Group, map[Group][]Sample) {
	var order []Group
	out := map[Group][]Sample{}
	trials := map[Group][]*Trial{}
	for i := range r.Trials {
		t := &r.Trials[i]
		g := Group{t.Scenario, t.Contestant, t.Keys}
		if !slices.Contains(order, g) {
			order = append(order, g)
		}
		trials[g] = append(trials[g], t)
		for _, m := range t.Metrics() {
			at := slices.IndexFunc(out[g], func(s Sample) bool { return s.Name == m.Name })
			if at < 0 {
				out[g] = append(out[g], Sample{Metric: m})
				at = len(out[g]) - 1
			}
			out[g][at].Values = append(out[g][at].Values, m.Value)
		}
	}
	for g, samples := range out {
		for i, s := range samples {
			if part, ok := wholes[s.Name]; ok {
				samples[i].Values = valuesOr(trials[g], s.Name, part)
			}
		}
	}
	return order, out
}

// valuesOr returns a figure of each trial, another one where it has none, and
// nothing of a trial with neither.
func valuesOr(trials []*Trial, name, other string) []float64 {
	var out []float64
	for _, t := range trials {
		all := t.Metrics()
		at := slices.IndexFunc(all, func(m Metric) bool { return m.Name == name })
		if at < 0 {
			at = slices.IndexFunc(all, func(m Metric) bool { return m.Name == other })
		}
		if at >= 0 {
			out = append(out, all[at].Value)
		}
	}
	return out
}

// Median returns the median of the values, 0 if there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Clone(values)
	sort.Float64s(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
