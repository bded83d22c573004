package report

import (
	"fmt"
	"slices"
	"strings"

	"kvd/bench/internal/result"
)

// Summary returns what a run measured in plain sentences, one paragraph per
// element. It states figures and judges nothing.
func Summary(run *result.Run) []string {
	b := newBook(run)
	var out []string
	if run.Partial != "" {
		out = append(out, "This run is partial: "+clip(run.Partial, 600)+". What follows is what was measured until then.")
	}
	if len(b.scenarios) == 0 {
		return append(out, "No trial was run.")
	}
	for _, c := range b.scenarios {
		if s := c.sentences(); len(s) > 0 {
			out = append(out, strings.Join(s, " "))
		}
	}
	return out
}

// sentences are those of one scenario.
func (c *chapter) sentences() []string {
	var s []string
	if c.grows() {
		s = c.growthSentences()
	} else {
		s = c.plainSentences()
	}
	if len(s) == 0 {
		s = []string{fmt.Sprintf("In %s nothing was measured.", c.inWords())}
	}
	return append(s, c.caveats()...)
}

// inWords names the scenario inside a sentence: "scenario A (3,000,000 keys, …)".
func (c *chapter) inWords() string {
	if shape := c.shape(); shape != "" {
		return "scenario " + c.id + " (" + shape + ")"
	}
	return "scenario " + c.id
}

func (c *chapter) plainSentences() []string {
	intro := "In " + c.inWords() + " "
	var s []string
	say := func(lead string, metric, unit string, per float64, more func(g *group) string) {
		body := c.ranking(metric, unit, per, more)
		if body == "" {
			return
		}
		if len(s) == 0 {
			s = append(s, intro+lead+" "+body+" ("+roundsText(c.groups)+").")
		} else {
			s = append(s, strings.ToUpper(lead[:1])+lead[1:]+" "+body+".")
		}
	}
	say("the longest time without any reply during the save was", "longest gap, save", "ms", 1, nil)
	if len(s) > 0 {
		if idle := c.ranking("longest gap, idle", "ms", 1, nil); idle != "" {
			s = append(s, "Before the save, in a stretch of the same length, it was "+idle+".")
		}
	}
	say("writers were held for", "writers held", "ms", 1, nil)
	if c.closedLoop() {
		say("during the save the servers answered", "throughput, save", "requests/s", 1, func(g *group) string {
			if v, ok := g.median("throughput, idle"); ok {
				return ", " + figure(v) + " before"
			}
			return ""
		})
	}
	say("the save took", "save", "s", 1, nil)
	say("extra memory during the save was at most", "extra memory", "MB", 1, nil)
	say("the start on what was saved took", "load", "s", 1, nil)
	return s
}

// closedLoop reports whether all trials sent as fast as replies came: the
// throughput of a paced run says little.
func (c *chapter) closedLoop() bool {
	for _, g := range c.groups {
		for _, t := range g.trials {
			if t.TargetRate > 0 {
				return false
			}
		}
	}
	return true
}

// ranking returns "3.10 ms with thread, 4.02 ms with fork": the medians of a
// metric, ascending; empty if there is none.
func (c *chapter) ranking(metric, unit string, per float64, more func(*group) string) string {
	type entry struct {
		v    float64
		text string
	}
	var all []entry
	for i := range c.groups {
		g := &c.groups[i]
		v, ok := g.median(metric)
		if !ok {
			continue
		}
		text := withUnit(v*per, unit) + " with " + g.Contestant
		if more != nil {
			if m := more(g); m != "" {
				text += " (" + strings.TrimPrefix(m, ", ") + ")"
			}
		}
		all = append(all, entry{v, text})
	}
	slices.SortStableFunc(all, func(x, y entry) int {
		switch {
		case x.v < y.v:
			return -1
		case x.v > y.v:
			return 1
		}
		return 0
	})
	var words []string
	for _, e := range all {
		words = append(words, e.text)
	}
	return list(words)
}

// growthSentences say how a figure goes with the size of the data, by contestant.
func (c *chapter) growthSentences() []string {
	intro := "In " + c.inWords() + " "
	var s []string
	for _, m := range []struct{ lead, metric, unit string }{
		{"the longest time without any reply during the save", "longest gap, save", "ms"},
		{"the extra memory during the save", "extra memory", "MB"},
	} {
		var words []string
		for _, name := range c.contestants() {
			p := c.curve(name, m.metric)
			switch {
			case len(p) == 1:
				words = append(words, fmt.Sprintf("%s with %s at %s", withUnit(p[0].median, m.unit), name, p[0].size()))
			case len(p) > 1:
				a, z := p[0], p[len(p)-1]
				words = append(words, fmt.Sprintf("%s at %s and %s at %s with %s",
					withUnit(a.median, m.unit), a.size(), withUnit(z.median, m.unit), z.size(), name))
			}
		}
		if len(words) == 0 {
			continue
		}
		sep := "; "
		if len(s) == 0 {
			s = append(s, intro+m.lead+" was "+strings.Join(words, sep)+" ("+roundsText(c.groups)+").")
		} else {
			s = append(s, "T"+m.lead[1:]+" was "+strings.Join(words, sep)+".")
		}
	}
	return s
}

// contestants returns the names in the scenario in the order of the groups.
func (c *chapter) contestants() []string {
	var out []string
	for _, g := range c.groups {
		if !slices.Contains(out, g.Contestant) {
			out = append(out, g.Contestant)
		}
	}
	return out
}

// knot is a point of a curve against size.
type knot struct {
	keys   int64
	bytes  float64
	values []float64 // one for each round
	median float64
}

// size returns the size of the data, or the number of keys where no trial says it.
func (k knot) size() string {
	if k.bytes > 0 {
		return bytesText(k.bytes)
	}
	return commas(k.keys) + " keys"
}

// curve returns a metric of a contestant against size, ascending.
func (c *chapter) curve(name, metric string) []knot {
	var out []knot
	for i := range c.groups {
		g := &c.groups[i]
		if g.Contestant != name {
			continue
		}
		if v := g.values(metric); len(v) > 0 {
			out = append(out, knot{keys: g.Keys, bytes: g.dataBytes(), values: v, median: result.Median(v)})
		}
	}
	return out
}

// caveats say what limits the figures of a scenario.
func (c *chapter) caveats() []string {
	var bound, partial, skipped []string
	failed := 0
	for i := range c.groups {
		g := &c.groups[i]
		s := g.state()
		if s.bound > 0 {
			bound = append(bound, c.at(g))
		}
		if s.partial > 0 {
			partial = append(partial, c.at(g))
		}
		if len(s.skipped) > 0 {
			skipped = append(skipped, c.at(g))
		}
		failed += len(s.failed)
	}
	var out []string
	if len(bound) > 0 {
		out = append(out, "Generator-bound, so that the server may be faster than shown: "+list(bound)+".")
	}
	if len(partial) > 0 {
		out = append(out, "Interrupted, so that the figures are of a part: "+list(partial)+".")
	}
	if len(skipped) > 0 {
		out = append(out, "Skipped: "+list(skipped)+".")
	}
	if failed > 0 {
		out = append(out, "Failed: "+plural(failed, "trial")+"; the reasons stand below the table.")
	}
	return out
}
