package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"kvd/bench/internal/result"
)

// Theme is what a picture is looked at on.
type Theme int

// The themes.
const (
	Light Theme = iota
	Dark
)

// String returns the theme's part of a file name.
func (t Theme) String() string {
	if t == Dark {
		return "dark"
	}
	return "light"
}

// The two widths charts are drawn for, in CSS pixels: a page, and a phone.
const (
	Wide   = 860
	Narrow = 360
)

// Chart is one picture of a run.
type Chart struct {
	Name    string // for file names and links: lower case, digits, hyphens
	Title   string
	Caption string // what was measured, in plain words
	Alt     string // the same with the figures, for who does not see the picture

	section string // scenario, or one of the sections below
	lead    bool   // stands before the table of its section
	draw    func(c *sketch)
}

// Sections of the page that are no scenario.
const (
	overviewSection = "overview"
	apartSection    = "apart"
)

// Charts returns the pictures for which the run has figures, in the order of the
// page. They keep parts of the run, which is not to be changed while they are used.
func Charts(run *result.Run) []Chart { return chartsOf(newBook(run)) }

// SVG returns the picture as a file of its own, with its own background, of a
// width in pixels (Wide and Narrow are what it is designed for). The error says
// which chart cannot be drawn.
func (c *Chart) SVG(theme Theme, width int) ([]byte, error) {
	return c.render(width, func(role string) string { return colorOf(role, theme) }, "")
}

// WriteCharts writes every chart of the run as <name>-light.svg and
// <name>-dark.svg, Wide, into dir, which it makes if needed.
func WriteCharts(dir string, run *result.Run) error {
	charts := Charts(run)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("charts: %w", err)
	}
	for i := range charts {
		for _, theme := range []Theme{Light, Dark} {
			svg, err := charts[i].SVG(theme, Wide)
			if err != nil {
				return err
			}
			name := filepath.Join(dir, charts[i].Name+"-"+theme.String()+".svg")
			if err := os.WriteFile(name, svg, 0o644); err != nil {
				return fmt.Errorf("charts: %w", err)
			}
		}
	}
	return nil
}

// render draws the chart. resolve gives the colour of a role, or is nil where
// the page's stylesheet does (classes instead of colours). id makes the ids of
// title and description unique in a page.
func (c *Chart) render(width int, resolve func(role string) string, id string) (svg []byte, err error) {
	// gonum panics on what it cannot draw; one chart shall not cost the report.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("chart %s: %v", c.Name, p)
		}
	}()
	s := newSketch(width)
	c.draw(s)
	var buf bytes.Buffer
	s.write(&buf, svgOptions{title: c.Title, desc: c.Alt, id: id, resolve: resolve})
	return buf.Bytes(), nil
}
