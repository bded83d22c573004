package report

import (
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// curveChart shows figures against size, one line per contestant.
type curveChart struct {
	curves         []curve
	xTitle, yTitle string
	xLabel, yLabel func(float64) string
	binary         bool // sizes are powers of two
}

type curve struct {
	name, role string
	shape      int
	knots      []curveKnot
}

type curveKnot struct {
	x      float64
	values []float64
	median float64
}

func (c *curveChart) draw(s *sketch) {
	var xs span
	var ys []float64
	names := 0.0
	for _, cv := range c.curves {
		names = max(names, widthOf(cv.name, headStyle))
		for _, k := range cv.knots {
			xs.add(k.x)
			ys = append(append(ys, k.values...), k.median)
		}
	}
	// Names at the ends of the lines where there is room, else in a legend.
	direct := names < s.width*0.3
	y, _ := valueAxis(ys, 10, c.yLabel)
	title := c.yTitle
	if y.log {
		title += " (log scale)"
	}
	keys := []key{{text: title}}
	right := s.width - margin - 14
	if direct {
		right -= names + 8
	} else {
		for _, cv := range c.curves {
			m := mark{shape: cv.shape, role: cv.role, radius: 4}
			keys = append(keys, key{text: cv.name, mark: &m})
		}
	}
	top := s.legendHeight(keys) + 8
	height := 320.0
	if s.narrow {
		height = 270
	}
	bottom := top + height
	s.begin(bottom + 42)
	s.legend(0, keys)
	left := margin + 6.0
	for _, t := range y.ticks {
		left = max(left, widthOf(t.label, tickStyle)+margin+6)
	}
	f := s.frame(left, top, right, bottom, sizeAxis(xs, int((right-left)/45), c.xLabel, c.binary), y)
	f.grid(true, true)
	f.base()
	f.xLabels(bottom + 16)
	f.yLabels()
	s.text((left+right)/2, bottom+35, c.xTitle, tickStyle.at(draw.XCenter))
	for _, cv := range c.curves {
		f.knots(cv)
	}
	if direct {
		c.names(f)
	}
}

// sizeAxis is an axis from the least to the largest size, log where they are far
// apart.
func sizeAxis(xs span, n int, label func(float64) string, binary bool) axis {
	n = max(n, 2)
	if xs.hi <= 0 {
		return linearAxis(0, 1, n, label)
	}
	if xs.hi/xs.lo < 5 {
		return linearAxis(0, xs.hi*1.04, n, label)
	}
	a := logAxis(xs.lo, xs.hi, n, label)
	if binary {
		a.ticks = binaryTicks(xs.lo, xs.hi, n, label)
	}
	pad := math.Pow(xs.hi/xs.lo, 0.03)
	a.min, a.max = xs.lo/pad, xs.hi*pad
	var inside []tick
	for _, t := range a.ticks {
		if t.at >= a.min && t.at <= a.max {
			inside = append(inside, t)
		}
	}
	a.ticks = inside
	return a
}

// binaryTicks are every k-th power of two, at most n of them.
func binaryTicks(lo, hi float64, n int, label func(float64) string) []tick {
	first, last := math.Ceil(math.Log2(lo)-1e-9), math.Log2(hi)+1e-9
	step := max(1, math.Ceil((last-first)/float64(n)))
	var out []tick
	for e := first; e <= last; e += step {
		out = append(out, tick{math.Exp2(e), label(math.Exp2(e))})
	}
	return out
}

// knots draws a line with a mark at each median and a dot for each round.
func (f *frame) knots(cv curve) {
	var pts plotter.XYs
	for _, k := range cv.knots {
		y := k.median
		if f.y.log {
			y = max(y, f.y.min)
		}
		pts = append(pts, plotter.XY{X: k.x, Y: y})
	}
	f.curve(pts, stroke{role: cv.role, width: 2})
	for i, k := range cv.knots {
		if k.x <= 0 && f.x.log {
			continue
		}
		if len(k.values) > 1 {
			for _, v := range k.values {
				f.s.mark(f.px(k.x), f.py(v), mark{role: cv.role, alpha: 0.35, radius: 2.5})
			}
		}
		f.s.mark(f.px(k.x), f.py(pts[i].Y), mark{shape: cv.shape, role: cv.role, radius: 4, hollow: f.y.log && k.median <= 0})
	}
}

// names writes the names at the ends of the lines.
func (c *curveChart) names(f *frame) {
	var ends []float64
	for _, cv := range c.curves {
		ends = append(ends, f.py(cv.knots[len(cv.knots)-1].median))
	}
	for i, y := range spread(ends, 15, f.top+5, f.bottom-5) {
		cv := c.curves[i]
		x := f.px(cv.knots[len(cv.knots)-1].x)
		f.s.segment(stroke{role: cv.role, alpha: 0.6, width: 1}, x+7, ends[i], f.right+12, y)
		f.s.text(f.right+15, y+4, cv.name, headStyle.in(cv.role))
	}
}
