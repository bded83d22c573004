package report

import (
	"math"

	"gonum.org/v1/plot/vg/draw"
)

// laneChart shows single figures: one lane each, a dot for every round, a bar at
// the median, and the median as text at the right.
type laneChart struct {
	keys     []key
	sections []laneSection
	label    func(float64) string // of ticks
}

type laneSection struct {
	title string
	role  string
	lanes []lane
}

type lane struct {
	label string
	role  string // of the label
	dots  []dots
	text  string
}

// dots are the rounds of one figure.
type dots struct {
	values []float64
	median float64
	mark   mark
}

const (
	laneHeight = 20
	titleStep  = 16 // distance of the lines of a section's title
	tickRoom   = 20
)

func (l *laneChart) draw(s *sketch) {
	left, right := 0.0, 0.0
	height := s.legendHeight(l.keys) + tickRoom
	for _, sec := range l.sections {
		height += laneTitle(sec, s)
		for _, ln := range sec.lanes {
			left = max(left, widthOf(ln.label, textStyle))
			right = max(right, widthOf(ln.text, textStyle))
			height += laneHeight
		}
		height += 4
	}
	left = min(left, s.width*0.34) + margin + 10
	right = s.width - right - margin - 12
	s.begin(height + tickRoom)
	s.legend(0, l.keys)
	n := int((right - left) / 70)
	x, _ := valueAxis(l.values(), max(n, 3), l.label)
	top := s.legendHeight(l.keys) + tickRoom
	f := s.frame(left, top, right, height, x, axis{max: 1})
	f.grid(true, false)
	f.xLabels(top - 6)
	f.xLabels(height + 14)
	y := top
	for _, sec := range l.sections {
		for i, line := range titleLines(sec, s) {
			s.text(margin, y+18+titleStep*float64(i), line, headStyle.in(sec.role))
		}
		y += laneTitle(sec, s)
		for _, ln := range sec.lanes {
			f.lane(ln, y+laneHeight/2)
			y += laneHeight
		}
		y += 4
	}
}

// titleLines returns the title of a section in lines that fit.
func titleLines(sec laneSection, s *sketch) []string {
	if sec.title == "" {
		return nil
	}
	lines := breakText(sec.title, headStyle, s.width-2*margin)
	for i := range lines {
		lines[i] = fitText(lines[i], headStyle, s.width-2*margin)
	}
	return lines
}

// laneTitle returns the height of a section's title.
func laneTitle(sec laneSection, s *sketch) float64 {
	if n := len(titleLines(sec, s)); n > 0 {
		return 10 + titleStep*float64(n)
	}
	return 0
}

func (l *laneChart) values() []float64 {
	var out []float64
	for _, sec := range l.sections {
		for _, ln := range sec.lanes {
			for _, d := range ln.dots {
				out = append(out, d.values...)
			}
		}
	}
	return out
}

func (f *frame) lane(ln lane, y float64) {
	s := f.s
	s.text(margin, y+4, fitText(ln.label, textStyle, f.left-margin-8), textStyle.in(ln.role))
	s.text(s.width-margin, y+4, ln.text, textStyle.at(draw.XRight))
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, d := range ln.dots {
		lo, hi = min(lo, f.px(d.median)), max(hi, f.px(d.median))
	}
	if hi > lo {
		last := ln.dots[len(ln.dots)-1].mark
		s.segment(stroke{role: last.role, alpha: 0.35, width: 2}, lo, y, hi, y)
	}
	for _, d := range ln.dots {
		for _, v := range d.values {
			s.mark(f.px(v), y, d.mark)
		}
		x := f.px(d.median)
		s.segment(stroke{role: d.mark.role, width: 2.5}, x, y-7, x, y+7)
	}
}
