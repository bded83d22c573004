package report

import (
	"fmt"
	"image/color"
	"strings"
)

// ink is a colour by its role: what the stylesheet or the theme makes of it is
// decided when the drawing is written.
type ink struct {
	role  string  // a key of palette
	alpha float64 // 0 is taken as 1
}

// RGBA makes ink a color.Color for gonum; nothing reads the value.
func (ink) RGBA() (r, g, b, a uint32) { return color.Black.RGBA() }

// shade is a colour on a light and on a dark page.
type shade struct{ light, dark string }

// palette: s0 to s7 are the hues of contestants. They are Okabe and Ito's, which
// people with each kind of colour blindness tell apart, darkened for light pages
// and lightened for dark ones to a contrast of at least 3 to 1 (4.5 to 1 for
// most), since names are written in them.
var palette = map[string]shade{
	"paper": {"#ffffff", "#14171c"},
	"ink":   {"#1c2126", "#e8eaed"},
	"soft":  {"#5b646e", "#a3abb5"},
	"grid":  {"#e6e9ec", "#2a3038"},
	"axis":  {"#b4bcc4", "#4a535e"},
	"band":  {"#eceff2", "#262d36"},
	"s0":    {"#0064ad", "#5cb3f5"},
	"s1":    {"#c14a00", "#ff8f55"},
	"s2":    {"#007a57", "#35cfa0"},
	"s3":    {"#a83c85", "#f092cd"},
	"s4":    {"#806000", "#e6c04a"},
	"s5":    {"#5a48b0", "#b5a6ff"},
	"s6":    {"#0a7a8c", "#66d9e8"},
	"s7":    {"#59616a", "#b6bec7"},
}

const hues = 8

// roles in the order in which stylesheets list them.
var roles = []string{"paper", "ink", "soft", "grid", "axis", "band", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"}

func colorOf(role string, t Theme) string {
	s, ok := palette[role]
	switch {
	case !ok:
		return "#808080"
	case t == Dark:
		return s.dark
	}
	return s.light
}

// cssColors returns the custom properties of a theme.
func cssColors(t Theme) string {
	var b strings.Builder
	for _, r := range roles {
		fmt.Fprintf(&b, "--%s:%s;", r, colorOf(r, t))
	}
	return b.String()
}

// cssRoles returns the classes that drawings in the page use: f- fills, t- strokes.
func cssRoles() string {
	var b strings.Builder
	for _, r := range roles {
		fmt.Fprintf(&b, ".f-%s{fill:var(--%s)}.t-%s{stroke:var(--%s)}.c-%s{color:var(--%s)}\n", r, r, r, r, r, r)
	}
	return b.String()
}

// favourites give well-known contestants the same hue in every run.
var favourites = []struct {
	prefix string
	hue    int
}{
	{"fork", 0}, {"thread", 1}, {"copy", 2}, {"pebble", 3}, {"redis", 5}, {"valkey", 6},
}

// assignHues returns a hue for each name: its favourite if free, the next free
// one otherwise, and used ones again once all are taken.
func assignHues(names []string) map[string]int {
	out := map[string]int{}
	taken := map[int]bool{}
	for _, n := range names {
		for _, f := range favourites {
			if strings.HasPrefix(n, f.prefix) && !taken[f.hue] {
				out[n], taken[f.hue] = f.hue, true
				break
			}
		}
	}
	// Free hues from those no favourite claims on, so that a second pebble does
	// not take the colour that readers know as redis-server's.
	order := []int{4, 7, 6, 5, 3, 2, 1, 0}
	next := 0
	for _, n := range names {
		if _, ok := out[n]; ok {
			continue
		}
		hue := next % hues
		for _, h := range order {
			if !taken[h] {
				hue = h
				break
			}
		}
		if taken[hue] {
			next++
		}
		out[n], taken[hue] = hue, true
	}
	return out
}

// hueRole returns the role of a hue.
func hueRole(hue int) string { return fmt.Sprintf("s%d", hue) }
