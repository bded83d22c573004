package report

import (
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// stripChart is one small panel per contestant, all with the same axes.
type stripChart struct {
	keys   []key
	strips []strip
	x      func(ticks int) axis
	y      func(ticks int) axis
	// points is how many points of a line are drawn at most in a wide chart.
	points int
}

type strip struct {
	name, role string
	note       string
	band       [2]float64 // shaded; none if not ascending
	lines      []stripLine
}

type stripLine struct {
	pts    plotter.XYs
	stroke stroke
	label  string // at the right end, short
}

const (
	stripHead = 24
	stripFoot = 24
)

func (c *stripChart) draw(s *sketch) {
	cols, plotHeight := c.columns(s.narrow)
	y := c.y(int(plotHeight / 24))
	left := margin + 6.0
	for _, t := range y.ticks {
		left = max(left, widthOf(t.label, tickStyle)+margin+6)
	}
	end := 10.0
	for _, st := range c.strips {
		for _, l := range st.lines {
			if l.label != "" {
				end = max(end, widthOf(l.label, tickStyle)+8)
			}
		}
	}
	gap := 20.0
	width := (s.width - left - margin - gap*float64(cols-1)) / float64(cols)
	rows := (len(c.strips) + cols - 1) / cols
	top := s.legendHeight(c.keys)
	s.begin(top + float64(rows)*(stripHead+plotHeight+stripFoot))
	s.legend(0, c.keys)
	x := c.x(max(2, int((width-end)/40)))
	for i, st := range c.strips {
		x0 := left + float64(i%cols)*(width+gap)
		y0 := top + float64(i/cols)*(stripHead+plotHeight+stripFoot) + stripHead
		f := s.frame(x0, y0, x0+width-end, y0+plotHeight, x, y)
		f.labelRight = min(s.width-margin, x0+width+gap/2-3)
		if i%cols > 0 {
			f.labelLeft = x0 - gap/2 + 3
		}
		f.strip(st, c.limit(s.narrow))
		f.xLabels(y0 + plotHeight + 14)
		if i%cols == 0 {
			f.yLabels()
		}
	}
}

// columns returns how many panels stand in a row, and their height.
func (c *stripChart) columns(narrow bool) (cols int, height float64) {
	n := len(c.strips)
	switch {
	case narrow:
		return 1, 100
	case n <= 1:
		return 1, 220
	case n == 2 || n == 4:
		return 2, 160
	default:
		return 3, 140
	}
}

func (c *stripChart) limit(narrow bool) int {
	if narrow {
		return c.points / 2
	}
	return c.points
}

func (f *frame) strip(st strip, points int) {
	s := f.s
	f.band(st.band[0], st.band[1])
	f.grid(false, true)
	f.base()
	note := widthOf(st.note, tickStyle)
	s.text(f.left, f.top-8, fitText(st.name, headStyle, f.right-f.left-note-8), headStyle.in(st.role))
	s.text(f.right, f.top-8, st.note, tickStyle.at(draw.XRight))
	var xs, ends []float64
	var labels []stripLine
	for _, l := range st.lines {
		f.curve(downsample(l.pts, points), l.stroke)
		if l.label == "" {
			continue
		}
		if p, ok := lastPoint(l.pts, f.y.log); ok {
			xs, ends, labels = append(xs, f.px(p.X)), append(ends, f.py(p.Y)), append(labels, l)
		}
	}
	for i, y := range spread(ends, 12, f.top+4, f.bottom-8) {
		s.text(xs[i]+5, y+4, labels[i].label, tickStyle.in(st.role))
	}
}

// lastPoint returns the last point of a line that is drawn.
func lastPoint(pts plotter.XYs, log bool) (plotter.XY, bool) {
	for i := len(pts) - 1; i >= 0; i-- {
		if finite(pts[i].Y) && (!log || pts[i].Y > 0) {
			return pts[i], true
		}
	}
	return plotter.XY{}, false
}

// extent returns the range of x and the values of y of all lines.
func (c *stripChart) extent() (lo, hi float64, ys []float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, st := range c.strips {
		for _, l := range st.lines {
			for _, p := range l.pts {
				if finite(p.X) {
					lo, hi = min(lo, p.X), max(hi, p.X)
				}
				if finite(p.Y) {
					ys = append(ys, p.Y)
				}
			}
		}
	}
	return lo, hi, ys
}
