package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/plot/plotter"

	"kvd/bench/internal/result"
)

// linePoints is how many points a line over time has at most in a wide chart.
const linePoints = 600

// usecPerSec converts latencies, which are drawn in seconds.
const usecPerSec = 1e6

// origin is the moment that charts over time call 0: the start of the save, so
// that contestants can be compared.
func origin(t *result.Trial) float64 {
	if t.Save != nil && finite(t.Save.AtSec) {
		return t.Save.AtSec
	}
	return 0
}

// saveBand returns the shaded stretch and a note of its length.
func saveBand(t *result.Trial) (band [2]float64, note string) {
	if t.Save == nil || !finite(t.Save.AtSec) || !finite(t.Save.EndSec) || t.Save.EndSec <= t.Save.AtSec {
		return band, ""
	}
	return [2]float64{0, t.Save.EndSec - t.Save.AtSec}, "save " + scaled(t.Save.EndSec-t.Save.AtSec, secUnits)
}

func timeLabel(v float64) string {
	return strings.Replace(short(roundOff(v)), "-", "−", 1) + " s"
}

// overTime fills in what all charts over time have in common, and adds the chart.
func (d *drawer) overTime(sc *stripChart, c Chart, y func(lo, hi float64, ys []float64, ticks int) axis) {
	if len(sc.strips) == 0 {
		return
	}
	lo, hi, ys := sc.extent()
	if len(ys) == 0 {
		return
	}
	sc.points = linePoints
	sc.keys = append(sc.keys, key{text: "save running", band: true}, key{text: "0 s: start of the save"})
	sc.x = func(n int) axis { return rangeAxis(lo, hi, n, timeLabel) }
	sc.y = func(n int) axis { return y(lo, hi, ys, n) }
	c.draw = sc.draw
	d.add(c)
}

// shown says which rounds a chart over time shows.
func (d *drawer) shown(c *chapter, rounds []string) string {
	s := "Of each contestant one round, that with the median longest gap"
	if len(rounds) > 0 {
		s += " (" + strings.Join(rounds, ", ") + ")"
	}
	if c.grows() {
		s += ", at the largest size"
	}
	return s + "; all panels have the same axes."
}

func roundName(t *result.Trial, of int) string {
	if of < 2 || t.Round == 0 {
		return ""
	}
	return fmt.Sprintf("%s: round %d", t.Contestant, t.Round)
}

// seriesOp returns the operation whose latencies are shown: what changes data, if
// there is any.
func seriesOp(t *result.Trial) string {
	if t.Series == nil || !(t.Series.StepSec > 0) {
		return ""
	}
	for _, op := range []string{"write", "set", "read", "get", "ping"} {
		if s := t.Series.Ops[op]; s != nil && len(s.P50Usec) > 0 {
			return op
		}
	}
	return ""
}

// latency shows p50, p99 and the largest latency over time.
func (d *drawer) latency(c *chapter, groups []group) {
	sc := &stripChart{}
	var alt, rounds, ops []string
	for i := range groups {
		g := &groups[i]
		t := g.typical(func(t *result.Trial) bool { return seriesOp(t) != "" })
		if t == nil {
			continue
		}
		op, role := seriesOp(t), d.role(g.Contestant)
		series := t.Series.Ops[op]
		st := strip{name: g.Contestant, role: role}
		st.band, st.note = saveBand(t)
		line := func(label string, v []float64, k stroke) {
			k.role = role
			st.lines = append(st.lines, stripLine{pts: overSlots(t, v, usecPerSec), stroke: k, label: label})
		}
		line("max", series.MaxUsec, stroke{alpha: 0.6, width: 1})
		line("p99", series.P99Usec, stroke{alpha: 0.8, width: 1.4})
		line("p50", series.P50Usec, stroke{width: 2})
		sc.strips = append(sc.strips, st)
		alt = append(alt, fmt.Sprintf("%s: largest %s", g.Contestant, scaled(largest(series.MaxUsec)/usecPerSec, secUnits)))
		rounds = appendText(rounds, roundName(t, len(g.trials)))
		if len(ops) == 0 || ops[0] != op {
			ops = append(ops, op)
		}
	}
	d.overTime(sc, Chart{
		Name: chartName("latency", c.id), section: c.id,
		Title:   "Latency over time (" + strings.Join(ops, ", ") + "), scenario " + c.id,
		Caption: "Latency of the requests answered in each " + slotText(groups) + ": half of them were faster than p50, 99 of 100 faster than p99, all as fast as max or faster. Log scale. " + d.shown(c, rounds),
		Alt:     "Latency over time with the save shaded. " + strings.Join(alt, "; ") + ".",
	}, func(_, _ float64, ys []float64, n int) axis {
		var s span
		for _, y := range ys {
			s.add(y)
		}
		return logAxis(s.lo, s.hi, n, secondsLabel)
	})
}

func appendText(list []string, s string) []string {
	if s == "" {
		return list
	}
	return append(list, s)
}

func largest(v []float64) float64 {
	out := 0.0
	for _, x := range v {
		if finite(x) {
			out = max(out, x)
		}
	}
	return out
}

// slotText names the step of the series.
func slotText(groups []group) string {
	for _, g := range groups {
		for _, t := range g.trials {
			if t.Series != nil && t.Series.StepSec > 0 {
				return scaled(t.Series.StepSec, secUnits)
			}
		}
	}
	return "slot"
}

// overSlots returns the values of slots against time; 0 stands for no answer,
// which is a gap.
func overSlots(t *result.Trial, v []float64, per float64) plotter.XYs {
	out := make(plotter.XYs, len(v))
	from := origin(t)
	for i, y := range v {
		if y <= 0 {
			y = math.NaN()
		}
		out[i] = plotter.XY{X: (float64(i)+0.5)*t.Series.StepSec - from, Y: y / per}
	}
	return out
}

// counts returns the replies in each slot, without probes.
func counts(t *result.Trial) []int64 {
	if t.Series == nil || !(t.Series.StepSec > 0) {
		return nil
	}
	ops := t.Series.Ops
	// The roll-ups, where there are some, hold all the others.
	names := []string{"write", "read"}
	if ops["write"] == nil && ops["read"] == nil {
		names = nil
		for op := range ops {
			if op != "ping" {
				names = append(names, op)
			}
		}
	}
	var out []int64
	for _, op := range names {
		if s := ops[op]; s != nil {
			for i, n := range s.Count {
				if i == len(out) {
					out = append(out, 0)
				}
				out[i] += n
			}
		}
	}
	return out
}

// throughput shows requests a second over time.
func (d *drawer) throughput(c *chapter, groups []group) {
	sc := &stripChart{}
	var alt, rounds []string
	for i := range groups {
		g := &groups[i]
		t := g.typical(func(t *result.Trial) bool { return len(counts(t)) > 0 })
		if t == nil {
			continue
		}
		role := d.role(g.Contestant)
		n := counts(t)
		pts := make(plotter.XYs, len(n))
		least, most := math.Inf(1), 0.0
		for k, v := range n {
			ops := float64(v) / t.Series.StepSec
			pts[k] = plotter.XY{X: (float64(k)+0.5)*t.Series.StepSec - origin(t), Y: ops}
			least, most = min(least, ops), max(most, ops)
		}
		st := strip{name: g.Contestant, role: role, lines: []stripLine{{pts: pts, stroke: stroke{role: role, width: 1.5, area: 0.12}}}}
		st.band, st.note = saveBand(t)
		sc.strips = append(sc.strips, st)
		alt = append(alt, fmt.Sprintf("%s: from %s to %s requests/s", g.Contestant, figure(least), figure(most)))
		rounds = appendText(rounds, roundName(t, len(g.trials)))
	}
	d.overTime(sc, Chart{
		Name: chartName("throughput", c.id), section: c.id,
		Title:   "Throughput over time, scenario " + c.id,
		Caption: "Requests answered per second, in each " + slotText(groups) + ", probes not counted. " + d.shown(c, rounds),
		Alt:     "Throughput over time with the save shaded. " + strings.Join(alt, "; ") + ".",
	}, fromZero(countUnitLabel))
}

func countUnitLabel(v float64) string { return countLabel(v) + "/s" }

// fromZero is a linear axis from 0.
func fromZero(label func(float64) string) func(lo, hi float64, ys []float64, n int) axis {
	return func(_, _ float64, ys []float64, n int) axis { return linearAxis(0, largest(ys), n, label) }
}

// memory shows the Pss of the process tree over time.
func (d *drawer) memory(c *chapter, groups []group) {
	sc := &stripChart{}
	var alt, rounds []string
	for i := range groups {
		g := &groups[i]
		t := g.typical(func(t *result.Trial) bool { return len(t.Memory) > 1 })
		if t == nil {
			continue
		}
		role := d.role(g.Contestant)
		pts := make(plotter.XYs, len(t.Memory))
		most := 0.0
		for k, m := range t.Memory {
			pts[k] = plotter.XY{X: m.AtSec - origin(t), Y: float64(m.PssBytes)}
			most = max(most, pts[k].Y)
		}
		st := strip{name: g.Contestant, role: role, lines: []stripLine{{pts: pts, stroke: stroke{role: role, width: 2, area: 0.15}}}}
		st.band, _ = saveBand(t)
		text := "at most " + bytesText(most)
		if t.Save != nil && t.Save.ExtraMemoryBytes != nil {
			st.note = signed(float64(*t.Save.ExtraMemoryBytes))
			text += ", " + st.note + " during the save"
		}
		sc.strips = append(sc.strips, st)
		alt = append(alt, g.Contestant+": "+text)
		rounds = appendText(rounds, roundName(t, len(g.trials)))
	}
	d.overTime(sc, Chart{
		Name: chartName("memory", c.id), section: c.id,
		Title:   "Memory over time, scenario " + c.id,
		Caption: "Proportional set size (Pss) of the server and its children; the figure with a sign is the largest during the save less the one before it. " + d.shown(c, rounds),
		Alt:     "Memory of the process tree over time with the save shaded. " + strings.Join(alt, "; ") + ".",
	}, fromZero(bytesLabel))
}

// signed returns a size with its sign.
func signed(b float64) string {
	if b > 0 {
		return "+" + bytesText(b)
	}
	return strings.Replace(bytesText(b), "-", "−", 1)
}

// percentiles shows the latency by percentile, idle and during the save.
func (d *drawer) percentiles(c *chapter, groups []group) {
	sc := &stripChart{points: linePoints}
	var alt, ops []string
	end := 0.0
	for i := range groups {
		g := &groups[i]
		role := d.role(g.Contestant)
		st := strip{name: g.Contestant, role: role}
		for _, w := range []struct {
			name, label string
			stroke      stroke
		}{
			{"idle", "before", stroke{role: "soft", width: 1.5, dash: []float64{4, 3}}},
			{"save", "during", stroke{role: role, width: 2}},
		} {
			h, op := merged(g, w.name)
			if h == nil {
				continue
			}
			pts := percentilePoints(h)
			st.lines = append(st.lines, stripLine{pts: pts, stroke: w.stroke})
			end = max(end, pts[len(pts)-1].X)
			alt = append(alt, fmt.Sprintf("%s %s the save: p99 %s", g.Contestant, w.label, scaled(float64(h.ValueAtQuantile(99))/1e9, secUnits)))
			if len(ops) == 0 {
				ops = append(ops, op)
			}
		}
		if len(st.lines) > 0 {
			sc.strips = append(sc.strips, st)
		}
	}
	if len(sc.strips) == 0 {
		return
	}
	sc.keys = []key{
		{text: "before the save", line: &stroke{role: "soft", width: 1.5, dash: []float64{4, 3}}},
		{text: "during the save", line: &stroke{role: "ink", width: 2}},
	}
	_, _, ys := sc.extent()
	var s span
	for _, y := range ys {
		s.add(y)
	}
	sc.x = func(int) axis { return percentileAxis(end) }
	sc.y = func(n int) axis { return logAxis(s.lo, s.hi, n, secondsLabel) }
	d.add(Chart{
		Name: chartName("percentiles", c.id), section: c.id,
		Title:   "Latency by percentile (" + strings.Join(ops, ", ") + "), scenario " + c.id,
		Caption: "Latency that the given share of requests did not exceed, from the median on, in two stretches of the same length before and during the save; all rounds together, all panels with the same axes. The right end of a line is the slowest request.",
		Alt:     "Latency by percentile before and during the save. " + strings.Join(alt, "; ") + ".",
		draw:    sc.draw,
	})
}

// merged returns the histogram of a window over all rounds, nil if there is none
// that can be read.
func merged(g *group, window string) (*hdrhistogram.Histogram, string) {
	for _, op := range []string{"write", "read", "ping"} {
		var all *hdrhistogram.Histogram
		for _, t := range g.trials {
			w := t.Windows[window]
			if w == nil || w.Ops[op].Histogram == "" {
				continue
			}
			h, err := hdrhistogram.Decode([]byte(w.Ops[op].Histogram))
			if err != nil || h.TotalCount() == 0 {
				continue // a damaged histogram costs its line, the figures stand in the table
			}
			if all == nil {
				all = h
			} else {
				all.Merge(h)
			}
		}
		if all != nil {
			return all, op
		}
	}
	return nil, ""
}

// medianAt is where percentiles begin: -log10 of one half. Below it all is fast.
var medianAt = -math.Log10(0.5)

// percentilePoints returns latency in seconds against -log10 of the share of
// requests that were slower.
func percentilePoints(h *hdrhistogram.Histogram) plotter.XYs {
	end := max(1, math.Log10(float64(h.TotalCount())))
	var out plotter.XYs
	for u := medianAt; u < end; u += 0.05 {
		out = append(out, plotter.XY{X: u, Y: float64(h.ValueAtQuantile(100*(1-math.Pow(10, -u)))) / 1e9})
	}
	return append(out, plotter.XY{X: end, Y: float64(h.Max()) / 1e9})
}

func percentileAxis(end float64) axis {
	a := axis{min: medianAt, max: max(end, 1)}
	a.ticks = append(a.ticks, tick{medianAt, "50%"})
	label := "90"
	for u := 1.0; u <= end; u++ {
		a.ticks = append(a.ticks, tick{u, label + "%"})
		switch label {
		case "90":
			label = "99"
		case "99":
			label = "99.9"
		default:
			label += "9"
		}
	}
	return a
}
