package report

import (
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
		if s := c.sentences("In " + c.inWords() + " "); len(s) > 0 {
			out = append(out, strings.Join(s, " "))
		}
	}
	return out
}

// sentences are those of one scenario; the first begins with intro.
func (c *chapter) sentences(intro string) []string {
	var s []string
	if c.grows() {
		s = c.growthSentences(intro)
	} else {
		s = c.plainSentences(intro)
	}
	if len(s) == 0 {
		s = []string{upperFirst(intro + "nothing was measured.")}
	}
	return append(s, c.caveats()...)
}

// upperFirst returns a sentence as one begins.
func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// inWords names the scenario inside a sentence: "scenario A (3,000,000 keys, …)".
func (c *chapter) inWords() string {
	if shape := c.shape(); shape != "" {
		return "scenario " + c.id + " (" + shape + ")"
	}
	return "scenario " + c.id
}

// plainSentences are what is looked at first; the rest stands in the table.
func (c *chapter) plainSentences(intro string) []string {
	var s []string
	say := func(lead, metric, unit string, more func(g *group) string) {
		body := c.ranking(metric, unit, more)
		if body == "" {
			return
		}
		if len(s) == 0 {
			s = append(s, upperFirst(intro+lead+" "+body+" ("+roundsText(c.groups)+")."))
		} else {
			s = append(s, upperFirst(lead+" "+body+"."))
		}
	}
	say("the longest time without any reply during the save was", "longest gap, save", "ms", wholeGap)
	if idle := c.between("longest gap, idle", "ms"); idle != "" && len(s) > 0 {
		s = append(s, "Before the save, in a stretch of the same length, it was "+idle+".")
	}
	if c.closedLoop() {
		say("during the save the servers answered", "throughput, save", "requests/s", func(g *group) string {
			if v, ok := g.median("throughput, idle"); ok {
				return figure(v) + " before"
			}
			return ""
		})
	}
	say("the extra memory of the save was", "extra memory", "MB", nil)
	say("the save took", "save", "s", nil)
	say("the start on what was saved took", "load", "s", nil)
	return s
}

// wholeGap tells of the rest of a save that is longer than the stretch before it,
// if a gap there was longer than those in the first part.
func wholeGap(g *group) string {
	part, _ := g.median("longest gap, save")
	if whole, ok := g.median("longest gap, whole save"); ok && whole > part {
		return measure(whole, "ms") + " in the whole save"
	}
	return ""
}

// between returns the least and the largest median of a metric: "590 µs to 650 µs".
func (c *chapter) between(metric, unit string) string {
	var all []float64
	for i := range c.groups {
		if v, ok := c.groups[i].median(metric); ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return ""
	}
	lo, hi := measure(slices.Min(all), unit), measure(slices.Max(all), unit)
	if lo == hi {
		return hi
	}
	return lo + " to " + hi
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

// ranking returns "3.1 ms with thread, 4.02 ms with fork": the medians of a
// metric, ascending; empty if there is none.
func (c *chapter) ranking(metric, unit string, more func(*group) string) string {
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
		text := measure(v, unit) + " with " + g.Contestant
		if more != nil {
			if m := more(g); m != "" {
				text += " (" + m + ")"
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
func (c *chapter) growthSentences(intro string) []string {
	var s []string
	for _, m := range []struct{ lead, metric, unit string }{
		{"the longest time without any reply during the save", "longest gap, save", "ms"},
		{"the extra memory during the save", "extra memory", "MB"},
	} {
		// Contestants that were measured at the same sizes share a half sentence.
		var stretches []string
		words := map[string][]string{}
		for _, name := range c.contestants() {
			p := c.curve(name, m.metric)
			if len(p) == 0 {
				continue
			}
			a, z := p[0], p[len(p)-1]
			stretch := "from " + a.size() + " to " + z.size() + " of data it went"
			text := "from " + measure(a.median, m.unit) + " to " + measure(z.median, m.unit) + " with " + name
			if len(p) == 1 {
				stretch, text = "at "+a.size()+" it was", measure(a.median, m.unit)+" with "+name
			}
			if words[stretch] == nil {
				stretches = append(stretches, stretch)
			}
			words[stretch] = append(words[stretch], text)
		}
		for i, stretch := range stretches {
			stretches[i] = stretch + " " + list(words[stretch])
		}
		body := strings.Join(stretches, "; ")
		switch {
		case body == "":
		case len(s) == 0:
			s = append(s, upperFirst(intro+m.lead+" was measured at several sizes: "+body+" ("+roundsText(c.groups)+")."))
		default:
			s = append(s, upperFirst(m.lead+": "+body+"."))
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
