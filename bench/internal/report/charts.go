package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kvd/bench/internal/result"
)

// drawer makes the charts of a book.
type drawer struct {
	*book
	hue map[string]int
	out []Chart
}

// chartsOf returns the charts of a book: the overview, those of each scenario,
// those of the section apart.
func chartsOf(b *book) []Chart {
	d := &drawer{book: b, hue: assignHues(b.names)}
	d.overview()
	for _, c := range b.scenarios {
		if c.grows() {
			d.growth(c)
		} else {
			d.pauses(c)
		}
		d.loads(c)
		last := c.largest()
		d.latency(c, last)
		d.percentiles(c, last)
		d.throughput(c, last)
		d.memory(c, last)
	}
	d.apart(b.run.Apart)
	return d.out
}

func (d *drawer) role(name string) string { return hueRole(d.hue[name]) }

func (d *drawer) add(c Chart) { d.out = append(d.out, c) }

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// chartName returns a name for files and links.
func chartName(parts ...string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(strings.Join(parts, "-")), "-"), "-")
}

// marks and strokes that several charts share.
func roundMark(role string) mark { return mark{role: role, alpha: 0.6, radius: 3} }
func idleMark() mark             { return mark{role: "soft", radius: 3, hollow: true} }

func pointer[T any](v T) *T { return &v }

// dotsOf returns the rounds of a metric, divided by per, and whether there are any.
func dotsOf(g *group, metric string, per float64, m mark) (dots, bool) {
	v := g.values(metric)
	if len(v) == 0 {
		return dots{}, false
	}
	out := dots{mark: m, median: result.Median(v) / per}
	for _, x := range v {
		out.values = append(out.values, x/per)
	}
	return out, true
}

const msecPerSec = 1e3

// gapLane is the longest gap of a group, idle and during the save.
func (d *drawer) gapLane(g *group) (lane, bool) {
	ln := lane{label: g.Contestant, role: d.role(g.Contestant)}
	var texts []string
	for _, w := range []struct {
		metric string
		mark   mark
	}{{"longest gap, idle", idleMark()}, {"longest gap, save", roundMark(ln.role)}} {
		if ds, ok := dotsOf(g, w.metric, msecPerSec, w.mark); ok {
			ln.dots = append(ln.dots, ds)
			texts = append(texts, scaled(ds.median, secUnits))
		} else {
			texts = append(texts, absent)
		}
	}
	ln.text = strings.Join(texts, " → ")
	return ln, len(ln.dots) > 0
}

// overview is the longest gap of every scenario in one picture.
func (d *drawer) overview() {
	l := &laneChart{label: secondsLabel, keys: gapKeys()}
	var alt []string
	var all []group
	for _, c := range d.scenarios {
		sec := laneSection{title: c.heading(), role: "ink"}
		groups := c.largest()
		if c.grows() {
			sec.title += ", at " + commas(groups[0].Keys) + " keys"
		}
		for i := range groups {
			if ln, ok := d.gapLane(&groups[i]); ok {
				sec.lanes = append(sec.lanes, ln)
				alt = append(alt, fmt.Sprintf("scenario %s, %s: %s", c.id, ln.label, ln.text))
				all = append(all, groups[i])
			}
		}
		if len(sec.lanes) > 0 {
			l.sections = append(l.sections, sec)
		}
	}
	if len(l.sections) < 2 {
		return // the chart of the only scenario shows it
	}
	d.add(Chart{
		Name: "pause", section: overviewSection,
		Title:   "Longest time without any reply, before and during a save",
		Caption: "Longest time in which no client got any reply, in the last stretch before the save (hollow) and in the first stretch of the save (filled), both of the same length. " + dotsText(all),
		Alt:     "Medians, before → during the save. " + strings.Join(alt, "; ") + ".",
		draw:    l.draw,
	})
}

func gapKeys() []key {
	return []key{
		{text: "before the save", mark: pointer(idleMark())},
		{text: "during the save", mark: pointer(mark{role: "ink", alpha: 0.6, radius: 3})},
		{text: "bar and figures: median; log scale where values span decades"},
	}
}

// dotsText says what dots and bars are.
func dotsText(groups []group) string {
	switch r := roundsText(groups); r {
	case "", "one round":
		return "Each dot is one round."
	default:
		return "Each dot is one round, bars are " + r + "."
	}
}

// pauses shows by engine all that stands for a pause in one scenario.
func (d *drawer) pauses(c *chapter) {
	l := &laneChart{label: secondsLabel}
	var alt []string
	gaps, whole, reports := false, false, false
	for i := range c.groups {
		g := &c.groups[i]
		role := d.role(g.Contestant)
		sec := laneSection{title: g.Contestant, role: role}
		for _, m := range []struct {
			label, metric string
			mark          mark
		}{
			{"gap before", "longest gap, idle", idleMark()},
			{"gap during", "longest gap, save", roundMark(role)},
			{"gap, whole", "longest gap, whole save", roundMark(role)},
			{"writers held", "writers held", mark{shape: 3, role: role, alpha: 0.6, radius: 3}},
			{"clone", "clone", mark{shape: 2, role: role, alpha: 0.6, radius: 3}},
		} {
			ds, ok := dotsOf(g, m.metric, msecPerSec, m.mark)
			if !ok {
				continue
			}
			isGap := strings.HasPrefix(m.label, "gap")
			gaps, reports = gaps || isGap, reports || !isGap
			whole = whole || m.metric == "longest gap, whole save"
			text := scaled(ds.median, secUnits)
			sec.lanes = append(sec.lanes, lane{label: m.label, role: "soft", dots: []dots{ds}, text: text})
			alt = append(alt, fmt.Sprintf("%s, %s: %s", g.Contestant, m.label, text))
		}
		if len(sec.lanes) > 0 {
			l.sections = append(l.sections, sec)
		}
	}
	if len(l.sections) == 0 {
		return
	}
	var caption string
	if gaps {
		l.keys = gapKeys()[:2]
		caption = "Gap: longest time in which no client got any reply, in the last stretch before the save and in the first stretch of the save, both of the same length. "
	}
	if whole {
		caption += "Whole: of the save to its end, where that is longer. "
	}
	if reports {
		caption += "Writers held and clone are what the server itself reports of the save. "
	}
	l.keys = append(l.keys, key{text: "bar: median"})
	d.add(Chart{
		Name: chartName("pause", c.id), section: c.id, lead: true,
		Title:   "Pause by engine, scenario " + c.id,
		Caption: caption + dotsText(c.groups),
		Alt:     "Medians. " + strings.Join(alt, "; ") + ".",
		draw:    l.draw,
	})
}

// loads shows how long a start on what was saved took, and the save.
func (d *drawer) loads(c *chapter) {
	if c.grows() {
		return
	}
	l := &laneChart{label: secondsLabel, keys: []key{{text: "bar: median"}}}
	var alt []string
	hasLoad := false
	for _, m := range []struct{ title, metric string }{{"Save", "save"}, {"Load", "load"}} {
		sec := laneSection{title: m.title, role: "ink"}
		for i := range c.groups {
			g := &c.groups[i]
			role := d.role(g.Contestant)
			if ds, ok := dotsOf(g, m.metric, 1, roundMark(role)); ok {
				text := scaled(ds.median, secUnits)
				sec.lanes = append(sec.lanes, lane{label: g.Contestant, role: role, dots: []dots{ds}, text: text})
				alt = append(alt, fmt.Sprintf("%s, %s: %s", m.title, g.Contestant, text))
				hasLoad = hasLoad || m.metric == "load"
			}
		}
		if len(sec.lanes) > 0 {
			l.sections = append(l.sections, sec)
		}
	}
	if !hasLoad {
		return
	}
	d.add(Chart{
		Name: chartName("load", c.id), section: c.id,
		Title:   "Time of save and load, scenario " + c.id,
		Caption: "Save: from the command to the end that the server reports. Load: from the start of the process on what was saved until it answers. " + dotsText(c.groups),
		Alt:     "Medians. " + strings.Join(alt, "; ") + ".",
		draw:    l.draw,
	})
}

// growth shows pause and extra memory against the size of the data.
func (d *drawer) growth(c *chapter) {
	for _, m := range []struct {
		name, metric, axis, title, caption string
		per                                float64
		label                              func(float64) string
	}{
		{"growth-pause", "longest gap, save", "longest time without any reply during the save", "Longest time without any reply against size of the data",
			"Longest time in which no client got any reply in the first stretch of the save, as long as the last one before it, by size of the data (keys and values).", msecPerSec, secondsLabel},
		{"growth-memory", "extra memory", "extra memory during the save", "Extra memory of a save against size of the data",
			"Largest Pss of the server and its children during the save, above the one before it, by size of the data (keys and values).", 1e-6, bytesLabel},
	} {
		cc := &curveChart{xTitle: "data (keys and values)", xLabel: bytesLabel, yLabel: m.label, yTitle: m.axis}
		var alt []string
		below := "" // said only where it is so
		for _, name := range c.contestants() {
			cv := curve{name: name, role: d.role(name), shape: d.rank(name)}
			var words []string
			for _, k := range c.curve(name, m.metric) {
				x := k.bytes
				if x <= 0 {
					x = float64(k.keys)
					cc.xTitle, cc.xLabel = "keys", countLabel
				}
				kn := curveKnot{x: x, median: k.median / m.per}
				for _, v := range k.values {
					kn.values = append(kn.values, v/m.per)
					if v <= 0 {
						below = " On a log scale, 0 or less lies on the lower edge."
					}
				}
				cv.knots = append(cv.knots, kn)
				words = append(words, m.label(kn.median)+" at "+k.size())
			}
			if len(cv.knots) > 0 {
				cc.curves = append(cc.curves, cv)
				alt = append(alt, name+": "+strings.Join(words, ", "))
			}
		}
		if len(cc.curves) == 0 {
			continue
		}
		d.add(Chart{
			Name: chartName(m.name, c.id), section: c.id, Title: m.title + ", scenario " + c.id,
			Caption: m.caption + " Large marks are " + strings.Replace(roundsText(c.groups), "one round", "of one round", 1) + ", small dots the rounds." + below,
			Alt:     strings.Join(alt, "; ") + ".",
			lead:    true,
			draw:    cc.draw,
		})
	}
}

// apart draws the tables of the section apart.
func (d *drawer) apart(a *result.Apart) {
	if a == nil {
		return
	}
	for n, t := range a.Tables {
		if len(t.Columns) < 2 {
			continue
		}
		per, label, unit := commonUnit(t.Columns[1:])
		x := sizeUnit(t.Columns[0])
		cc := &curveChart{xTitle: x.name, xLabel: x.label, binary: x.binary, yTitle: strings.TrimSpace("cost " + unit), yLabel: label}
		hue := assignHues(t.Columns[1:])
		var alt []string
		for i, col := range t.Columns[1:] {
			cv := curve{name: strings.TrimSuffix(col, unitSuffix(col)), role: hueRole(hue[col]), shape: i}
			for _, row := range t.Rows {
				if i+1 < len(row) && finite(row[0]) && finite(row[i+1]) {
					v := row[i+1] * per
					cv.knots = append(cv.knots, curveKnot{x: row[0] * x.per, values: []float64{v}, median: v})
				}
			}
			if len(cv.knots) == 0 {
				continue
			}
			slices.SortStableFunc(cv.knots, func(p, q curveKnot) int { return compareFloats(p.x, q.x) })
			cc.curves = append(cc.curves, cv)
			first, last := cv.knots[0], cv.knots[len(cv.knots)-1]
			alt = append(alt, fmt.Sprintf("%s: %s at %s, %s at %s", cv.name, label(first.median), x.label(first.x), label(last.median), x.label(last.x)))
		}
		if len(cc.curves) == 0 {
			continue
		}
		d.add(Chart{
			Name: chartName("apart", fmt.Sprint(n+1)), section: apartSection, Title: t.Title,
			Caption: "Measured on this machine without a server; the figures stand in the table below.",
			Alt:     strings.Join(alt, "; ") + ".",
			draw:    cc.draw,
		})
	}
}

func compareFloats(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// unitSuffix returns ", ms" of "fork, huge pages, ms".
func unitSuffix(column string) string {
	if i := strings.LastIndex(column, ", "); i >= 0 {
		return column[i:]
	}
	return ""
}

// knownUnits are those of durations and sizes as columns name them.
var knownUnits = map[string]struct {
	per   float64
	label func(float64) string
}{
	"s": {1, secondsLabel}, "ms": {1e-3, secondsLabel}, "µs": {1e-6, secondsLabel}, "us": {1e-6, secondsLabel}, "ns": {1e-9, secondsLabel},
	"bytes": {1, binaryLabel}, "KiB": {1 << 10, binaryLabel}, "MiB": {1 << 20, binaryLabel}, "GiB": {1 << 30, binaryLabel},
	"KB": {1e3, bytesLabel}, "MB": {1e6, bytesLabel}, "GB": {1e9, bytesLabel},
}

// commonUnit returns how to label columns of one known unit, or numbers and the
// units as text.
func commonUnit(columns []string) (per float64, label func(float64) string, unit string) {
	name := strings.TrimPrefix(unitSuffix(columns[0]), ", ")
	for _, c := range columns {
		if strings.TrimPrefix(unitSuffix(c), ", ") != name {
			return 1, countLabel, ""
		}
	}
	if u, ok := knownUnits[name]; ok {
		return u.per, u.label, ""
	}
	return 1, countLabel, name
}

// quantity is the first column of a table.
type quantity struct {
	name   string
	per    float64
	label  func(float64) string
	binary bool
}

// sizeUnit is commonUnit for the first column, whose name remains without the unit.
func sizeUnit(column string) quantity {
	per, label, unit := commonUnit([]string{column})
	if unit != "" {
		return quantity{column, 1, countLabel, false}
	}
	suffix := unitSuffix(column)
	return quantity{strings.TrimSuffix(column, suffix), per, label, strings.HasSuffix(suffix, "iB") || suffix == ", bytes"}
}
