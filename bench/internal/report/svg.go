package report

import (
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// svgCanvas is a vg.Canvas that keeps what is drawn with colours as roles and
// texts with their anchor, and writes it as small SVG. gonum's own canvas
// resolves both, which fixes the theme and misplaces texts where the reader's
// font is another than the one measured with.
type svgCanvas struct {
	width, height float64 // pixels
	stack         []svgState
	shapes        []svgShape
}

type svgState struct {
	ink       ink
	lineWidth float64
	dash      []float64
	m         affine
}

// affine maps drawing coordinates: x' = a x + c y + e, y' = b x + d y + f.
type affine struct{ a, b, c, d, e, f float64 }

func (m affine) apply(p vg.Point) (x, y float64) {
	px, py := float64(p.X), float64(p.Y)
	return m.a*px + m.c*py + m.e, m.b*px + m.d*py + m.f
}

// then returns the map that applies n first, as nested transforms do.
func (m affine) then(n affine) affine {
	return affine{
		m.a*n.a + m.c*n.b, m.b*n.a + m.d*n.b,
		m.a*n.c + m.c*n.d, m.b*n.c + m.d*n.d,
		m.a*n.e + m.c*n.f + m.e, m.b*n.e + m.d*n.f + m.f,
	}
}

// svgShape is a path or, where text is not empty, a text.
type svgShape struct {
	path   string
	fill   bool
	ink    ink
	width  float64
	dash   []float64
	text   string
	x, y   float64
	anchor string
	size   float64
	bold   bool
}

func newSVGCanvas(width, height float64) *svgCanvas {
	c := &svgCanvas{width: width, height: height, stack: []svgState{{m: affine{a: 1, d: 1}}}}
	vg.Initialize(c)
	return c
}

func (c *svgCanvas) top() *svgState { return &c.stack[len(c.stack)-1] }

// Size implements vg.CanvasSizer.
func (c *svgCanvas) Size() (w, h vg.Length) { return vg.Length(c.width), vg.Length(c.height) }

// SetLineWidth implements vg.Canvas.
func (c *svgCanvas) SetLineWidth(w vg.Length) { c.top().lineWidth = w.Points() }

// SetLineDash implements vg.Canvas; the offset is not used by any chart.
func (c *svgCanvas) SetLineDash(d []vg.Length, _ vg.Length) {
	c.top().dash = nil
	for _, l := range d {
		c.top().dash = append(c.top().dash, l.Points())
	}
}

// SetColor implements vg.Canvas; any colour but an ink is drawn as text is.
func (c *svgCanvas) SetColor(clr color.Color) {
	i, ok := clr.(ink)
	if !ok {
		i = ink{role: "ink"}
	}
	c.top().ink = i
}

// Rotate implements vg.Canvas.
func (c *svgCanvas) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	c.top().m = c.top().m.then(affine{cos, sin, -sin, cos, 0, 0})
}

// Translate implements vg.Canvas.
func (c *svgCanvas) Translate(p vg.Point) {
	c.top().m = c.top().m.then(affine{1, 0, 0, 1, float64(p.X), float64(p.Y)})
}

// Scale implements vg.Canvas.
func (c *svgCanvas) Scale(x, y float64) { c.top().m = c.top().m.then(affine{x, 0, 0, y, 0, 0}) }

// Push implements vg.Canvas.
func (c *svgCanvas) Push() { c.stack = append(c.stack, *c.top()) }

// Pop implements vg.Canvas.
func (c *svgCanvas) Pop() { c.stack = c.stack[:len(c.stack)-1] }

// Stroke implements vg.Canvas.
func (c *svgCanvas) Stroke(p vg.Path) {
	if s := c.top(); s.lineWidth > 0 {
		c.shapes = append(c.shapes, svgShape{path: c.pathData(p), ink: s.ink, width: s.lineWidth, dash: s.dash})
	}
}

// Fill implements vg.Canvas.
func (c *svgCanvas) Fill(p vg.Path) {
	c.shapes = append(c.shapes, svgShape{path: c.pathData(p), fill: true, ink: c.top().ink})
}

// FillString implements vg.Canvas: a text whose left end is at pt. Charts write
// through lettering, which knows the anchor.
func (c *svgCanvas) FillString(f font.Face, pt vg.Point, txt string) {
	c.write(pt, txt, "start", f.Font.Size.Points(), false)
}

// DrawImage implements vg.Canvas; no chart has images.
func (c *svgCanvas) DrawImage(vg.Rectangle, image.Image) { panic("report: images are not drawn") }

// write puts a text with its baseline at pt.
func (c *svgCanvas) write(pt vg.Point, txt, anchor string, size float64, bold bool) {
	x, y := c.top().m.apply(pt)
	c.shapes = append(c.shapes, svgShape{
		text: txt, ink: c.top().ink, x: x, y: c.height - y, anchor: anchor, size: size, bold: bold,
	})
}

// tenth rounds to tenths of a pixel, as integers: sums of them do not drift.
func tenth(v float64) int { return int(math.Round(v * 10)) }

func tenths(n int) string {
	s := strconv.FormatFloat(float64(n)/10, 'f', -1, 64)
	// Without the zero before the point, which SVG does not need.
	if strings.HasPrefix(s, "0.") {
		return s[1:]
	}
	if strings.HasPrefix(s, "-0.") {
		return "-" + s[2:]
	}
	return s
}

// pathData returns the d attribute: relative moves in tenths of a pixel.
func (c *svgCanvas) pathData(p vg.Path) string {
	w := pathWriter{}
	m := c.top().m
	for _, comp := range p {
		x, y := m.apply(comp.Pos)
		y = c.height - y
		switch comp.Type {
		case vg.MoveComp:
			w.to("M", x, y)
		case vg.LineComp:
			w.to("L", x, y)
		case vg.ArcComp:
			w.arc(x, y, comp.Radius.Points(), comp.Start, comp.Angle)
		case vg.CurveComp:
			// No chart has curves; a straight line keeps the end right.
			w.to("L", x, y)
		case vg.CloseComp:
			w.b.WriteByte('z')
			w.last = 'z'
		}
	}
	return w.b.String()
}

type pathWriter struct {
	b    strings.Builder
	x, y int // where the pen is, tenths
	last byte
}

func (w *pathWriter) to(cmd string, fx, fy float64) {
	x, y := tenth(fx), tenth(fy)
	if cmd == "M" || w.b.Len() == 0 {
		w.b.WriteString("M" + tenths(x) + "," + tenths(y))
		w.last = 'M'
	} else {
		if x == w.x && y == w.y {
			return
		}
		if w.last != 'l' {
			w.b.WriteByte('l')
			w.last = 'l'
		} else {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(tenths(x-w.x) + "," + tenths(y-w.y))
	}
	w.x, w.y = x, y
}

// arc draws part of a circle around x, y, counter-clockwise for a positive
// angle, in halves, since SVG has no arc that ends where it began.
func (w *pathWriter) arc(x, y, r, start, angle float64) {
	at := func(rad float64) (float64, float64) { return x + r*math.Cos(rad), y - r*math.Sin(rad) }
	sx, sy := at(start)
	w.to("L", sx, sy)
	sweep := 0
	if angle < 0 {
		sweep = 1
	}
	for i := 1; i <= 2; i++ {
		ex, ey := at(start + angle*float64(i)/2)
		nx, ny := tenth(ex), tenth(ey)
		fmt.Fprintf(&w.b, "a%s,%s 0 0 %d %s,%s", tenths(tenth(r)), tenths(tenth(r)), sweep, tenths(nx-w.x), tenths(ny-w.y))
		w.x, w.y, w.last = nx, ny, 'a'
	}
}

// fontStack has widely installed fonts of one width class first, so that texts
// are about as wide as measured.
const fontStack = `"Helvetica Neue",Helvetica,Arial,"Liberation Sans","Noto Sans",sans-serif`

// filePad is the space around the drawing in a file of its own.
const filePad = 14

type svgOptions struct {
	title, desc string
	id          string                   // makes ids unique; empty in a file
	resolve     func(role string) string // nil: classes, for a page that has them
}

// emit writes the drawing.
func (c *svgCanvas) emit(w io.Writer, o svgOptions) {
	b := &strings.Builder{}
	left, top, width, height := 0.0, 0.0, c.width, c.height
	var titleLines []string
	if o.resolve != nil {
		// A page has a heading and its own margins.
		titleLines = breakText(o.title, titleStyle, c.width-2*margin)
		left, top = -filePad, -filePad-titleLead*float64(len(titleLines))-4
		width, height = c.width+2*filePad, c.height+filePad-top
	}
	px := func(v float64) string { return tenths(tenth(v)) }
	b.WriteString("<svg")
	if o.resolve != nil {
		// A page knows the namespace and the size without being told.
		fmt.Fprintf(b, ` xmlns="http://www.w3.org/2000/svg" width="%s" height="%s"`, px(width), px(height))
	}
	fmt.Fprintf(b, ` viewBox="%s %s %s %s" role="img" aria-labelledby="%st %sd" font-family="%s"`,
		px(left), px(top), px(width), px(height), o.id, o.id, attr(fontStack))
	fmt.Fprintf(b, ">\n<title id=\"%st\">%s</title>\n<desc id=\"%sd\">%s</desc>\n", o.id, attr(o.title), o.id, attr(o.desc))
	if o.resolve != nil {
		fmt.Fprintf(b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", px(left), px(top), px(width), px(height), o.resolve("paper"))
		for i, line := range titleLines {
			fmt.Fprintf(b, `<text x="%d" y="%s" font-size="%g" font-weight="bold" fill="%s">%s</text>`+"\n",
				margin, px(top+filePad+14+titleLead*float64(i)), titleStyle.size, o.resolve("ink"), attr(line))
		}
	}
	for _, s := range c.shapes {
		s.emit(b, o.resolve)
	}
	b.WriteString("</svg>\n")
	_, _ = io.WriteString(w, b.String()) // a bytes.Buffer: no error
}

// attr escapes a text for SVG, as element or attribute. What XML cannot hold
// becomes U+FFFD.
func attr(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder: no error
	return b.String()
}

func (s *svgShape) emit(b *strings.Builder, resolve func(string) string) {
	paint := func(property, class string) {
		if resolve != nil {
			fmt.Fprintf(b, ` %s="%s"`, property, resolve(s.ink.role))
		} else {
			fmt.Fprintf(b, ` class="%s-%s"`, class, s.ink.role)
		}
		if a := s.ink.alpha; a > 0 && a < 1 {
			fmt.Fprintf(b, ` %s-opacity="%g"`, property, a)
		}
	}
	if s.text != "" {
		fmt.Fprintf(b, `<text x="%s" y="%s" font-size="%g"`, tenths(tenth(s.x)), tenths(tenth(s.y)), s.size)
		if s.anchor != "start" {
			fmt.Fprintf(b, ` text-anchor="%s"`, s.anchor)
		}
		if s.bold {
			b.WriteString(` font-weight="bold"`)
		}
		paint("fill", "f")
		b.WriteString(">" + attr(s.text) + "</text>\n")
		return
	}
	fmt.Fprintf(b, `<path d="%s"`, s.path)
	if s.fill {
		paint("fill", "f")
	} else {
		b.WriteString(` fill="none"`)
		paint("stroke", "t")
		if s.width != 1 {
			fmt.Fprintf(b, ` stroke-width="%g"`, s.width)
		}
		if len(s.dash) > 0 {
			var d []string
			for _, v := range s.dash {
				d = append(d, strconv.FormatFloat(v, 'g', 4, 64))
			}
			fmt.Fprintf(b, ` stroke-dasharray="%s"`, strings.Join(d, " "))
		} else {
			b.WriteString(` stroke-linejoin="round" stroke-linecap="round"`)
		}
	}
	b.WriteString("/>\n")
}
