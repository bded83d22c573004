package report

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// tick is a round value of an axis.
type tick struct {
	at    float64
	label string
}

// axis is a scale with its ticks, which say their unit.
type axis struct {
	min, max float64
	log      bool
	ticks    []tick
}

// set makes gonum's axis this one.
func (a axis) set(p *plot.Axis) {
	p.Min, p.Max = a.min, a.max
	p.Scale = plot.LinearScale{}
	if a.log {
		p.Scale = logScale{}
	}
	var ticks plot.ConstantTicks
	for _, t := range a.ticks {
		ticks = append(ticks, plot.Tick{Value: t.at, Label: t.label})
	}
	p.Tick.Marker = ticks
}

// logScale is plot.LogScale for values that may be 0 or less, which it puts at
// the lower edge instead of panicking.
type logScale struct{}

// Normalize implements plot.Normalizer.
func (logScale) Normalize(lo, hi, x float64) float64 {
	if x < lo {
		x = lo
	}
	return math.Log(x/lo) / math.Log(hi/lo)
}

// linearAxis returns an axis of round steps that holds lo and hi, with about n
// ticks.
func linearAxis(lo, hi float64, n int, label func(float64) string) axis {
	if !finite(lo) || !finite(hi) || lo > hi {
		lo, hi = 0, 1
	}
	if lo == hi {
		hi = lo + max(1, math.Abs(lo))
	}
	step := niceStep((hi - lo) / float64(max(n, 1)))
	a := axis{min: math.Floor(lo/step+1e-9) * step, max: math.Ceil(hi/step-1e-9) * step}
	a.ticks = linearTicks(a.min, a.max, step, label)
	return a
}

// rangeAxis is linearAxis without rounding the ends: for time.
func rangeAxis(lo, hi float64, n int, label func(float64) string) axis {
	if !finite(lo) || !finite(hi) || lo >= hi {
		lo, hi = 0, 1
	}
	return axis{min: lo, max: hi, ticks: linearTicks(lo, hi, niceStep((hi-lo)/float64(max(n, 1))), label)}
}

func linearTicks(lo, hi, step float64, label func(float64) string) []tick {
	var out []tick
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9 && len(out) < 100; i++ {
		out = append(out, tick{i * step, label(i * step)})
	}
	return out
}

// niceStep returns 1, 2 or 5 times a power of ten, not below v.
func niceStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// logAxis returns a log axis that holds lo and hi (above 0), with at most n
// ticks: powers of ten, and 2 and 5 times them where there is room.
func logAxis(lo, hi float64, n int, label func(float64) string) axis {
	if !finite(lo) || !finite(hi) || lo <= 0 || lo > hi {
		lo, hi = 1, 10
	}
	a := axis{log: true, min: oneTwoFive(lo, false), max: oneTwoFive(hi, true)}
	if a.max/a.min < 4 {
		a.min, a.max = oneTwoFive(a.min/1.01, false), oneTwoFive(a.max*1.01, true)
	}
	for _, steps := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
		a.ticks = logTicks(a.min, a.max, steps, 1, label)
		if len(a.ticks) <= n && len(a.ticks) > 1 {
			return a
		}
	}
	for every := 2; len(a.ticks) > n && every < 20; every++ {
		a.ticks = logTicks(a.min, a.max, []float64{1}, every, label)
	}
	if len(a.ticks) < 2 {
		a.ticks = []tick{{a.min, label(a.min)}, {a.max, label(a.max)}}
	}
	return a
}

func logTicks(lo, hi float64, steps []float64, every int, label func(float64) string) []tick {
	var out []tick
	for d := math.Floor(math.Log10(lo) - 1e-9); d <= math.Log10(hi)+1e-9; d++ {
		if int(d)%every != 0 {
			continue
		}
		for _, s := range steps {
			if v := s * math.Pow(10, d); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				out = append(out, tick{v, label(v)})
			}
		}
	}
	return out
}

// oneTwoFive rounds to 1, 2 or 5 times a power of ten, up or down.
func oneTwoFive(v float64, up bool) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)+1e-12))
	if up {
		return niceStep(v)
	}
	for _, m := range []float64{5, 2, 1} {
		if v >= m*p*(1-1e-9) {
			return m * p
		}
	}
	return p
}

// valueAxis returns a log axis where positive values span more than a decade and
// a half, else a linear one from 0 (or from the least value if that is below 0).
// Values of 0 or less lie on the lower edge of a log axis; clamped says that there
// are some.
func valueAxis(values []float64, n int, label func(float64) string) (a axis, clamped bool) {
	var s span
	least, zeros := 0.0, false
	for _, v := range values {
		s.add(v)
		if finite(v) && v <= 0 {
			zeros = true
			least = min(least, v)
		}
	}
	if s.hi > 0 && s.hi/s.lo > 30 {
		return logAxis(s.lo, s.hi, n, label), zeros
	}
	return linearAxis(least, max(s.hi, 0), n, label), false
}

// secondsLabel labels durations with their unit: 20 µs, 5 ms, 1 s.
func secondsLabel(v float64) string { return scaled(roundOff(v), secUnits) }

func bytesLabel(v float64) string { return scaled(roundOff(v), byteUnits) }

// binaryLabel labels sizes that are powers of two.
func binaryLabel(v float64) string { return scaled(roundOff(v), binaryUnits) }

func countLabel(v float64) string { return scaled(roundOff(v), plainUnit) }

// roundOff takes away what adding steps of a decimal fraction leaves.
func roundOff(v float64) float64 {
	if math.Abs(v) < 1e-15 {
		return 0
	}
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 10, 64), 64)
	return r
}

// downsample returns at most about n points of a line: of each stretch its least
// and its largest in their order, so that no peak is lost. Points that are no
// finite number stand for gaps; a stretch of nothing else stays one.
func downsample(pts plotter.XYs, n int) plotter.XYs {
	if len(pts) <= n || n < 4 {
		return pts
	}
	buckets := n / 2
	out := make(plotter.XYs, 0, n)
	for b := range buckets {
		from, to := b*len(pts)/buckets, (b+1)*len(pts)/buckets
		lo, hi := -1, -1
		for i := from; i < to; i++ {
			if !finite(pts[i].Y) {
				continue
			}
			if lo < 0 || pts[i].Y < pts[lo].Y {
				lo = i
			}
			if hi < 0 || pts[i].Y > pts[hi].Y {
				hi = i
			}
		}
		switch {
		case lo < 0:
			out = append(out, pts[from])
		case lo == hi:
			out = append(out, pts[lo])
		default:
			out = append(out, pts[min(lo, hi)], pts[max(lo, hi)])
		}
	}
	return out
}

// sortBy sorts indexes by a key.
func sortBy(order []int, key func(int) float64) {
	slices.SortStableFunc(order, func(i, j int) int {
		switch a, b := key(i), key(j); {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
}
