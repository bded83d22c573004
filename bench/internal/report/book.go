package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"kvd/bench/internal/result"
	"kvd/bench/internal/scenario"
)

// book is a run arranged for showing: by scenario, and in it by group.
type book struct {
	run       *result.Run
	names     []string // of contestants, those of the run first
	scenarios []*chapter
}

// chapter is one scenario of a run.
type chapter struct {
	id     string
	groups []group
	sizes  []int64 // distinct keys, ascending
}

// group is a contestant in a scenario at a size, all rounds.
type group struct {
	result.Group
	trials  []*result.Trial
	samples []result.Sample
}

// newBook arranges a run. The run is borrowed and not changed.
func newBook(run *result.Run) *book {
	b := &book{run: run}
	for _, c := range run.Contestants {
		b.addName(c.Name)
	}
	order, samples := run.Collect()
	for _, g := range order {
		b.addName(g.Contestant)
		c := b.chapter(g.Scenario)
		c.groups = append(c.groups, group{Group: g, samples: samples[g]})
		if !slices.Contains(c.sizes, g.Keys) {
			c.sizes = append(c.sizes, g.Keys)
		}
	}
	for i := range run.Trials {
		t := &run.Trials[i]
		g := b.chapter(t.Scenario).group(result.Group{Scenario: t.Scenario, Contestant: t.Contestant, Keys: t.Keys})
		g.trials = append(g.trials, t)
	}
	for _, c := range b.scenarios {
		slices.Sort(c.sizes)
		// By size, and in it in the order of the contestants.
		slices.SortStableFunc(c.groups, func(x, y group) int {
			if x.Keys != y.Keys {
				if x.Keys < y.Keys {
					return -1
				}
				return 1
			}
			return b.rank(x.Contestant) - b.rank(y.Contestant)
		})
	}
	slices.SortStableFunc(b.scenarios, func(x, y *chapter) int { return strings.Compare(x.id, y.id) })
	return b
}

func (b *book) addName(name string) {
	if !slices.Contains(b.names, name) {
		b.names = append(b.names, name)
	}
}

func (b *book) rank(name string) int { return slices.Index(b.names, name) }

// contestant returns what the run says of a name; the zero Contestant with that
// name if nothing.
func (b *book) contestant(name string) result.Contestant {
	for _, c := range b.run.Contestants {
		if c.Name == name {
			return c
		}
	}
	return result.Contestant{Name: name}
}

func (b *book) chapter(id string) *chapter {
	for _, c := range b.scenarios {
		if c.id == id {
			return c
		}
	}
	c := &chapter{id: id}
	b.scenarios = append(b.scenarios, c)
	return c
}

func (c *chapter) group(key result.Group) *group {
	for i := range c.groups {
		if c.groups[i].Group == key {
			return &c.groups[i]
		}
	}
	panic("report: a trial without a group")
}

// grows reports whether the scenario was run at several sizes: then it is shown
// as figures against size.
func (c *chapter) grows() bool { return len(c.sizes) > 1 }

// largest returns the groups of the largest size.
func (c *chapter) largest() []group {
	var out []group
	for _, g := range c.groups {
		if g.Keys == c.sizes[len(c.sizes)-1] {
			out = append(out, g)
		}
	}
	return out
}

// values returns the finite values of a metric over the rounds, nil if there are
// none.
func (g *group) values(metric string) []float64 {
	for _, s := range g.samples {
		if s.Name == metric {
			var out []float64
			for _, v := range s.Values {
				if finite(v) {
					out = append(out, v)
				}
			}
			return out
		}
	}
	return nil
}

// median returns the median of a metric over the rounds, and whether there is one.
func (g *group) median(metric string) (float64, bool) {
	v := g.values(metric)
	if len(v) == 0 {
		return 0, false
	}
	return result.Median(v), true
}

// dataBytes returns the size of the data of a group, 0 if no trial says.
func (g *group) dataBytes() float64 {
	var out int64
	for _, t := range g.trials {
		out = max(out, t.DataBytes)
	}
	return float64(out)
}

// typical returns the trial whose longest gap during the save is the median one
// (the lower of two), to be drawn over time: a picture of means would hide what a
// client sees. Nil if no trial has what want asks for.
func (g *group) typical(want func(*result.Trial) bool) *result.Trial {
	var have []*result.Trial
	for _, t := range g.trials {
		if want(t) {
			have = append(have, t)
		}
	}
	if len(have) == 0 {
		return nil
	}
	gap := func(t *result.Trial) float64 {
		for _, w := range []string{"save", "during", "idle"} {
			if win := t.Windows[w]; win != nil && finite(win.LongestGapSec) {
				return win.LongestGapSec
			}
		}
		return math.Inf(1)
	}
	slices.SortStableFunc(have, func(x, y *result.Trial) int {
		switch a, b := gap(x), gap(y); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
	return have[(len(have)-1)/2]
}

// asks returns the question a scenario answers; empty for one that this version
// of the program does not know. Titles of scenarios are not used: they state
// the sizes of scale 1, the trials those that were measured.
func (c *chapter) asks() string {
	for _, s := range scenario.All {
		if s.Name == c.id {
			return s.Asks
		}
	}
	return ""
}

// heading returns the name of a scenario and its question.
func (c *chapter) heading() string {
	if q := c.asks(); q != "" {
		return "Scenario " + c.id + ": " + q
	}
	return "Scenario " + c.id
}

// shape returns what the trials of the scenario say of their data and load:
// "3,000,000 keys, values of 300 B, 930 MB of data, 8,000 requests/s paced".
func (c *chapter) shape() string {
	var keys, value, data, rate span
	paced, closed := false, false
	for _, g := range c.groups {
		for _, t := range g.trials {
			keys.add(float64(t.Keys))
			value.add(float64(t.ValueBytes))
			data.add(float64(t.DataBytes))
			if t.Skipped == "" && len(t.Windows) > 0 {
				paced, closed = paced || t.TargetRate > 0, closed || t.TargetRate == 0
				rate.add(t.TargetRate)
			}
		}
	}
	var parts []string
	if keys.hi > 0 {
		parts = append(parts, keys.text(func(v float64) string { return commas(int64(v)) })+" keys")
	}
	if value.hi > 0 {
		parts = append(parts, "values of "+value.text(func(v float64) string { return commas(int64(v)) + " B" }))
	}
	if data.hi > 0 {
		parts = append(parts, data.text(bytesText)+" of data")
	}
	switch {
	case paced && !closed:
		parts = append(parts, "paced at "+rate.text(func(v float64) string { return commas(int64(math.Round(v))) })+" requests/s")
	case closed && !paced:
		parts = append(parts, "requests as fast as replies come")
	}
	return strings.Join(parts, ", ")
}

// span is the least and the largest of some positive values.
type span struct{ lo, hi float64 }

func (s *span) add(v float64) {
	if v <= 0 || !finite(v) {
		return
	}
	if s.hi == 0 || v < s.lo {
		s.lo = v
	}
	s.hi = max(s.hi, v)
}

func (s *span) text(f func(float64) string) string {
	if f(s.lo) == f(s.hi) {
		return f(s.hi)
	}
	return f(s.lo) + " to " + f(s.hi)
}

// rounds returns how many trials of a group have figures.
func (g *group) rounds() int {
	n := 0
	for _, t := range g.trials {
		if len(t.Metrics()) > 0 {
			n++
		}
	}
	return n
}

// marks of a row; the notes below a table say what they mean.
const (
	markBound   = "†"
	markPartial = "‡"
	markFailed  = "✗"
	markSkipped = "○"
)

// state is what is to be said about the trials of a group besides figures.
type state struct {
	bound, partial int
	failed         []string
	skipped        []string
}

func (g *group) state() state {
	var s state
	for _, t := range g.trials {
		if t.GeneratorBound {
			s.bound++
		}
		// An interrupted save ends with an error, but nothing failed.
		if t.Partial {
			s.partial++
		} else if e := failure(t); e != "" {
			s.failed = append(s.failed, e)
		}
		if t.Skipped != "" && !slices.Contains(s.skipped, t.Skipped) {
			s.skipped = append(s.skipped, t.Skipped)
		}
	}
	return s
}

func (s state) marks() string {
	var b strings.Builder
	for _, m := range []struct {
		on   bool
		mark string
	}{
		{s.bound > 0, markBound}, {s.partial > 0, markPartial},
		{len(s.failed) > 0, markFailed}, {len(s.skipped) > 0, markSkipped},
	} {
		if m.on {
			b.WriteString(m.mark)
		}
	}
	return b.String()
}

// at names a group in a note: its contestant, and its size where there are several.
func (c *chapter) at(g *group) string {
	if c.grows() {
		return fmt.Sprintf("%s at %s keys", g.Contestant, commas(g.Keys))
	}
	return g.Contestant
}

// notes returns what the marks of a scenario mean, in words.
func (c *chapter) notes() []string {
	var out []string
	for i := range c.groups {
		g := &c.groups[i]
		s := g.state()
		who, of := c.at(g), len(g.trials)
		if s.bound > 0 {
			out = append(out, fmt.Sprintf("%s %s: generator-bound in %d of %s: above 80 %% of what the load generator itself can do, so the server may be faster than this.", markBound, who, s.bound, plural(of, "round")))
		}
		if s.partial > 0 {
			out = append(out, fmt.Sprintf("%s %s: %d of %s partial: interrupted, the figures are of what was measured until then.", markPartial, who, s.partial, plural(of, "round")))
		}
		if len(s.failed) > 0 {
			out = append(out, fmt.Sprintf("%s %s: %d of %s failed: %s", markFailed, who, len(s.failed), plural(of, "round"), clip(strings.Join(slices.Compact(s.failed), "; "), 600)))
		}
		if len(s.skipped) > 0 {
			out = append(out, fmt.Sprintf("%s %s: skipped: %s", markSkipped, who, clip(strings.Join(s.skipped, "; "), 600)))
		}
	}
	if late := c.lateness(); late > 0 {
		out = append(out, fmt.Sprintf("The load generator itself sent paced requests up to %s late (99th percentile, largest of all rounds); latencies below that say nothing of the servers.", scaled(late, secUnits)))
	}
	return out
}

// lateness returns the largest lag of the generator in the scenario, seconds: in
// the windows that the figures are of, or in the whole trial where a run does not
// tell them apart.
func (c *chapter) lateness() float64 {
	out := 0.0
	for _, g := range c.groups {
		for _, t := range g.trials {
			told := false
			for _, w := range []string{"idle", "save"} {
				if win := t.Windows[w]; win != nil && win.Ops["lag"].Count > 0 && finite(win.Ops["lag"].P99Usec) {
					told = true
					out = max(out, win.Ops["lag"].P99Usec/usecPerSec)
				}
			}
			if !told && t.LagP99Usec != nil && finite(*t.LagP99Usec) {
				out = max(out, *t.LagP99Usec/usecPerSec)
			}
		}
	}
	return out
}

// failure returns what went wrong in a trial, empty if nothing.
func failure(t *result.Trial) string {
	switch {
	case t.Error != "":
		return t.Error
	case t.Save != nil && t.Save.Error != "":
		return "save: " + t.Save.Error
	case t.Load != nil && t.Load.Error != "":
		return "load: " + t.Load.Error
	}
	return ""
}

// clip puts a text on one line of at most n runes, without control characters:
// errors may carry the tail of a log, and go to terminals.
func clip(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
