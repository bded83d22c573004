package report

import (
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// margin is the least distance of anything from the edge of a drawing, pixels.
const margin = 4

// titleLead is the distance of the lines of a title.
const titleLead = 21

// style is how a text looks.
type style struct {
	role string
	size float64
	bold bool
	x    draw.XAlignment
}

var (
	titleStyle = style{role: "ink", size: 16, bold: true}
	headStyle  = style{role: "ink", size: 12.5, bold: true}
	textStyle  = style{role: "ink", size: 12}
	tickStyle  = style{role: "soft", size: 11}
)

func (s style) in(role string) style       { s.role = role; return s }
func (s style) at(x draw.XAlignment) style { s.x = x; return s }
func (s style) gonum() text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Length(s.size)}
	if s.bold {
		f.Weight = boldWeight
	}
	return text.Style{Color: ink{role: s.role}, Font: f, XAlign: s.x, Handler: lettering{text.Plain{Fonts: font.DefaultCache}}}
}

// wider is how much more room than in the measured font a text is given: the
// reader's font may be a wide one.
const (
	wider     = 1.17
	widerBold = 1.32
)

// lettering is gonum's plain text with room for wider fonts, and written with
// an anchor instead of a computed left end.
type lettering struct{ text.Plain }

// boldWeight marks bold texts; they are measured with the regular face, whose
// room covers the few percent that the bold one is wider.
const boldWeight = 3

// Extents implements text.Handler.
func (l lettering) Extents(f font.Font) font.Extents {
	f.Weight = 0
	return l.Plain.Extents(f)
}

// Box implements text.Handler.
func (l lettering) Box(txt string, f font.Font) (width, height, depth vg.Length) {
	room := vg.Length(wider)
	if f.Weight > 0 {
		room, f.Weight = widerBold, 0
	}
	w, h, d := l.Plain.Box(txt, f)
	return w * room, h, d
}

// Draw implements text.Handler for texts of one line that are not rotated.
func (l lettering) Draw(c vg.Canvas, txt string, sty text.Style, pt vg.Point) {
	svg := canvasUnder(c)
	e := l.Extents(sty.Font)
	pt.Y += (e.Ascent+e.Descent)*vg.Length(sty.YAlign) - e.Ascent + sty.Font.Size
	anchor := "start"
	switch {
	case sty.XAlign <= draw.XRight:
		anchor = "end"
	case sty.XAlign < draw.XLeft:
		anchor = "middle"
	}
	c.SetColor(sty.Color)
	svg.write(pt, txt, anchor, sty.Font.Size.Points(), sty.Font.Weight > 0)
}

// canvasUnder returns the canvas that draw's wrappers lead to.
func canvasUnder(c vg.Canvas) *svgCanvas {
	for {
		switch v := c.(type) {
		case *svgCanvas:
			return v
		case *draw.Canvas:
			c = v.Canvas
		case draw.Canvas:
			c = v.Canvas
		default:
			panic("report: not a drawing of this package")
		}
	}
}

// widthOf returns the room a text needs, pixels.
func widthOf(txt string, s style) float64 { return s.gonum().Width(txt).Points() }

// breakText breaks a text into lines that fit.
func breakText(txt string, s style, width float64) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(txt) {
		switch next := strings.TrimSpace(line + " " + w); {
		case line == "" || widthOf(next, s) <= width:
			line = next
		default:
			lines = append(lines, line)
			line = w
		}
	}
	return append(lines, line)
}

// fitText cuts a text to a width.
func fitText(txt string, s style, width float64) string {
	if widthOf(txt, s) <= width {
		return txt
	}
	r := []rune(txt)
	for len(r) > 1 && widthOf(string(r)+"…", s) > width {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// sketch is a drawing in the making. Its coordinates are those of a page: y
// grows downwards from the top, pixels.
type sketch struct {
	width, height float64
	narrow        bool
	svg           *svgCanvas
	canvas        draw.Canvas
}

func newSketch(width int) *sketch { return &sketch{width: float64(width), narrow: width < 600} }

// begin fixes the height; nothing can be drawn before.
func (s *sketch) begin(height float64) {
	s.height = height
	s.svg = newSVGCanvas(s.width, height)
	s.canvas = draw.New(s.svg)
}

func (s *sketch) write(w io.Writer, o svgOptions) {
	if s.svg == nil {
		s.begin(1)
	}
	s.svg.emit(w, o)
}

// text writes a line with its baseline at y.
func (s *sketch) text(x, y float64, txt string, st style) {
	if txt == "" {
		return
	}
	g := st.gonum()
	g.YAlign = draw.YBottom
	e := g.FontExtents()
	// lettering puts the baseline ascent-size below the point.
	s.canvas.FillText(g, vg.Point{X: vg.Length(x), Y: vg.Length(s.height-y) + e.Ascent - g.Font.Size}, txt)
}

// segment draws a straight line.
func (s *sketch) segment(st stroke, x0, y0, x1, y1 float64) {
	s.canvas.StrokeLines(st.gonum(), []vg.Point{
		{X: vg.Length(x0), Y: vg.Length(s.height - y0)}, {X: vg.Length(x1), Y: vg.Length(s.height - y1)},
	})
}

// box fills a rectangle.
func (s *sketch) box(role string, x0, y0, x1, y1 float64) {
	top, bottom := vg.Length(s.height-y0), vg.Length(s.height-y1)
	s.canvas.FillPolygon(ink{role: role}, []vg.Point{
		{X: vg.Length(x0), Y: bottom}, {X: vg.Length(x1), Y: bottom},
		{X: vg.Length(x1), Y: top}, {X: vg.Length(x0), Y: top},
	})
}

// mark is a glyph: one of five shapes, filled or hollow.
type mark struct {
	shape  int
	hollow bool
	role   string
	alpha  float64
	radius float64
}

// DrawGlyph implements draw.GlyphDrawer.
func (m mark) DrawGlyph(c *draw.Canvas, _ draw.GlyphStyle, pt vg.Point) {
	r := vg.Length(m.radius)
	var p vg.Path
	corners := func(n int, start float64, k vg.Length) {
		for i := range n {
			sin, cos := math.Sincos(start + 2*math.Pi*float64(i)/float64(n))
			q := vg.Point{X: pt.X + k*r*vg.Length(cos), Y: pt.Y + k*r*vg.Length(sin)}
			if i == 0 {
				p.Move(q)
			} else {
				p.Line(q)
			}
		}
	}
	switch m.shape % 5 {
	case 0:
		p.Move(vg.Point{X: pt.X + r, Y: pt.Y})
		p.Arc(pt, r, 0, 2*math.Pi)
	case 1:
		corners(4, math.Pi/4, 1.25)
	case 2:
		corners(3, math.Pi/2, 1.35)
	case 3:
		corners(4, 0, 1.35)
	case 4:
		corners(3, -math.Pi/2, 1.35)
	}
	p.Close()
	if m.hollow {
		c.SetColor(ink{role: "paper"})
		c.Fill(p)
		c.SetColor(ink{m.role, m.alpha})
		c.SetLineWidth(1.5)
		c.SetLineDash(nil, 0)
		c.Stroke(p)
		return
	}
	c.SetColor(ink{m.role, m.alpha})
	c.Fill(p)
}

func (s *sketch) mark(x, y float64, m mark) {
	m.DrawGlyph(&s.canvas, draw.GlyphStyle{}, vg.Point{X: vg.Length(x), Y: vg.Length(s.height - y)})
}

// frame is the data area of one plot with its axes; gonum's plot.Plot holds the
// scales, and its plotters draw into it.
type frame struct {
	s                        *sketch
	plot                     *plot.Plot
	left, top, right, bottom float64
	x, y                     axis
	// Between which edges the labels of x have to stay.
	labelLeft, labelRight float64
}

// frame returns the data area between the given edges.
func (s *sketch) frame(left, top, right, bottom float64, x, y axis) *frame {
	f := &frame{s: s, plot: plot.New(), left: left, top: top, right: right, bottom: bottom, x: x, y: y, labelLeft: margin, labelRight: s.width - margin}
	x.set(&f.plot.X)
	y.set(&f.plot.Y)
	return f
}

func (f *frame) canvas() draw.Canvas {
	return draw.Canvas{Canvas: f.s.canvas.Canvas, Rectangle: vg.Rectangle{
		Min: vg.Point{X: vg.Length(f.left), Y: vg.Length(f.s.height - f.bottom)},
		Max: vg.Point{X: vg.Length(f.right), Y: vg.Length(f.s.height - f.top)},
	}}
}

// px and py return where a value lies.
func (f *frame) px(v float64) float64 { return f.left + f.plot.X.Norm(v)*(f.right-f.left) }
func (f *frame) py(v float64) float64 { return f.bottom - f.plot.Y.Norm(v)*(f.bottom-f.top) }

// grid draws the lines of the ticks.
func (f *frame) grid(vertical, horizontal bool) {
	if vertical {
		for _, t := range f.x.ticks {
			f.s.segment(thin("grid"), f.px(t.at), f.top, f.px(t.at), f.bottom)
		}
	}
	if horizontal {
		for _, t := range f.y.ticks {
			f.s.segment(thin("grid"), f.left, f.py(t.at), f.right, f.py(t.at))
		}
	}
}

// base draws the lower edge.
func (f *frame) base() { f.s.segment(thin("axis"), f.left, f.bottom, f.right, f.bottom) }

// xLabels writes the ticks of x below y, leaving out those that would touch the
// one before.
func (f *frame) xLabels(y float64) {
	end := math.Inf(-1)
	for _, t := range f.x.ticks {
		w := widthOf(t.label, tickStyle)
		// Centred under the tick, or as near to that as the edges let it.
		x := min(max(f.px(t.at)-w/2, f.labelLeft), f.labelRight-w)
		if x < end+6 || x < f.labelLeft {
			continue
		}
		f.s.text(x+w/2, y, t.label, tickStyle.at(draw.XCenter))
		end = x + w
	}
}

// yLabels writes the ticks of y left of the area.
func (f *frame) yLabels() {
	for _, t := range f.y.ticks {
		f.s.text(f.left-6, f.py(t.at)+4, t.label, tickStyle.at(draw.XRight))
	}
}

// band shades from a to b on the x axis.
func (f *frame) band(a, b float64) {
	a, b = max(a, f.x.min), min(b, f.x.max)
	if !(b > a) {
		return
	}
	x0 := f.px(a)
	f.s.box("band", x0, f.top, max(f.px(b), x0+1), f.bottom)
}

// stroke is how a curve is drawn.
type stroke struct {
	role  string
	alpha float64
	width float64
	dash  []float64
	area  float64 // opacity of the area below, 0 for none
}

// thin is the stroke of grids and axes.
func thin(role string) stroke { return stroke{role: role, width: 1} }

func (st stroke) gonum() draw.LineStyle {
	l := draw.LineStyle{Color: ink{st.role, st.alpha}, Width: vg.Length(st.width)}
	for _, d := range st.dash {
		l.Dashes = append(l.Dashes, vg.Length(d))
	}
	return l
}

// curve draws a line through the points; where y is no finite number, or not
// above 0 on a log axis, it is interrupted.
func (f *frame) curve(pts plotter.XYs, st stroke) {
	var run plotter.XYs
	flush := func() {
		if len(run) == 1 {
			// A lone point between gaps would be no line at all.
			run = append(run, plotter.XY{X: run[0].X + (f.x.max-f.x.min)/500, Y: run[0].Y})
		}
		if len(run) > 1 {
			f.stroke(run, st)
		}
		run = nil
	}
	for _, p := range pts {
		if !finite(p.X) || !finite(p.Y) || (f.y.log && p.Y <= 0) || (f.x.log && p.X <= 0) {
			flush()
			continue
		}
		run = append(run, p)
	}
	flush()
}

func (f *frame) stroke(pts plotter.XYs, st stroke) {
	c := f.canvas()
	if st.area > 0 {
		base := plotter.XYs{{X: pts[0].X, Y: f.y.min}}
		base = append(base, pts...)
		base = append(base, plotter.XY{X: pts[len(pts)-1].X, Y: f.y.min})
		if poly, err := plotter.NewPolygon(base); err == nil {
			poly.Color = ink{st.role, st.area}
			poly.LineStyle.Width = 0
			poly.Plot(c, f.plot)
		}
	}
	l, err := plotter.NewLine(pts)
	if err != nil {
		return // no points, or one that is no number: curve lets none through
	}
	l.LineStyle = st.gonum()
	l.Plot(c, f.plot)
}

// spread moves positions apart so that neighbours are at least gap from each
// other and all lie within lo and hi if they can; the order stays.
func spread(at []float64, gap, lo, hi float64) []float64 {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	sortBy(order, func(i int) float64 { return at[i] })
	out := make([]float64, len(at))
	prev := lo - gap
	for _, i := range order {
		out[i] = max(at[i], prev+gap)
		prev = out[i]
	}
	next := hi + gap
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		out[i] = min(out[i], next-gap)
		next = out[i]
	}
	return out
}
