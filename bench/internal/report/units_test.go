package report

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/plot/plotter"
)

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0054: "0.0054", 0.0412: "0.041", 0.41234: "0.412", 0.99949: "0.999", 0.9996: "1.00", 3.14159: "3.14", 9.996: "10.0", 31.44: "31.4",
		99.96: "100", 314.5: "315", 3141.6: "3,142", 1234567: "1,234,567", -12: "-12.0", math.NaN(): absent, math.Inf(-1): absent, 1e20: "1e+20",
	} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %q, not %q", v, got, want)
		}
	}
}

func TestScaled(t *testing.T) {
	for _, c := range []struct {
		v     float64
		units []unitOf
		want  string
	}{
		{0.0000054, secUnits, "5.4 µs"}, {0.0031, secUnits, "3.1 ms"}, {0.9999, secUnits, "1 s"}, {75, secUnits, "75 s"}, {0, secUnits, "0"},
		{948e6, byteUnits, "948 MB"}, {999.9e6, byteUnits, "1 GB"}, {12, byteUnits, "12 B"}, {-3e6, byteUnits, "-3 MB"}, {math.Inf(1), byteUnits, absent},
		{25000, plainUnit, "25k"}, {1 << 20, binaryUnits, "1 MiB"},
	} {
		if got := scaled(c.v, c.units); got != c.want {
			t.Errorf("scaled(%v) = %q, not %q", c.v, got, c.want)
		}
	}
}

// TestDownsampleKeepsPeaks checks that no peak and no valley is lost.
func TestDownsampleKeepsPeaks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pts := make(plotter.XYs, 20000)
	for i := range pts {
		pts[i] = plotter.XY{X: float64(i), Y: 10 + rnd.Float64()}
	}
	pts[7777].Y, pts[12345].Y, pts[5].Y = 1000, 0.001, math.NaN()
	got := downsample(pts, 600)
	if len(got) > 600 || len(got) < 400 {
		t.Fatalf("%d points", len(got))
	}
	high, low, last := false, false, -1.0
	for _, p := range got {
		high, low = high || p == pts[7777], low || p == pts[12345]
		if p.X <= last {
			t.Fatalf("points out of order at %v", p)
		}
		last = p.X
	}
	if !high || !low {
		t.Errorf("peak %v, valley %v", high, low)
	}
	if few := downsample(pts[:100], 600); len(few) != 100 {
		t.Errorf("%d of 100 points", len(few))
	}
}

// TestAxesHoldTheirValues checks that values lie on the axis, that ticks do, and
// that they are neither none nor too many.
func TestAxesHoldTheirValues(t *testing.T) {
	for _, v := range [][]float64{
		{1e-6, 2}, {3e-3}, {0}, {0, 5}, {-3, 4, 8}, {0.0004, 0.00041}, {1, 29}, {1e-9, 1e9}, {0, 0, 1e-6, 1}, {math.NaN(), 7}, nil,
	} {
		for n := 2; n < 12; n++ {
			a, clamped := valueAxis(v, n, secondsLabel)
			if !(a.min < a.max) || len(a.ticks) < 2 || len(a.ticks) > n+3 {
				t.Errorf("%v, %d: %v to %v with %d ticks", v, n, a.min, a.max, len(a.ticks))
			}
			for _, x := range v {
				if finite(x) && (x > a.max*(1+1e-9) || x < a.min-1e-9 && !clamped) {
					t.Errorf("%v: %v is not between %v and %v", v, x, a.min, a.max)
				}
			}
			for _, k := range a.ticks {
				if k.at < a.min-math.Abs(a.min)*1e-9-1e-12 || k.at > a.max*(1+1e-9) || k.label == "" || k.label == absent {
					t.Errorf("%v: tick %v %q", v, k.at, k.label)
				}
			}
		}
	}
	if a, _ := valueAxis([]float64{1e-5, 1}, 6, secondsLabel); !a.log {
		t.Error("five decades on a linear axis")
	}
	if a, _ := valueAxis([]float64{1, 3}, 6, secondsLabel); a.log || a.min != 0 {
		t.Error("a small range not from 0")
	}
}

func TestSpreadKeepsLabelsApart(t *testing.T) {
	got := spread([]float64{50, 51, 10, 52, 99}, 12, 0, 100)
	for i := range got {
		for j := range got {
			if i != j && math.Abs(got[i]-got[j]) < 12-1e-9 {
				t.Errorf("%v and %v touch: %v", got[i], got[j], got)
			}
		}
		if got[i] < 0 || got[i] > 100 {
			t.Errorf("%v is outside", got[i])
		}
	}
	if !(got[2] < got[0] && got[0] < got[1] && got[1] < got[3] && got[3] < got[4]) {
		t.Errorf("the order changed: %v", got)
	}
}

// TestContrast checks that every hue can be read on its page: the ratio of WCAG.
func TestContrast(t *testing.T) {
	luminance := func(hex string) float64 {
		var l float64
		for i, k := range []float64{0.2126, 0.7152, 0.0722} {
			var v int
			for _, d := range hex[1+2*i : 3+2*i] {
				v *= 16
				if d >= 'a' {
					v += int(d-'a') + 10
				} else {
					v += int(d - '0')
				}
			}
			c := float64(v) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			l += k * c
		}
		return l
	}
	ratio := func(a, b string) float64 {
		x, y := luminance(a), luminance(b)
		return (max(x, y) + 0.05) / (min(x, y) + 0.05)
	}
	for _, role := range roles {
		if role == "paper" || role == "grid" || role == "axis" || role == "band" {
			continue
		}
		for _, theme := range []Theme{Light, Dark} {
			for _, ground := range []string{"paper", "band"} {
				if r := ratio(colorOf(role, theme), colorOf(ground, theme)); r < 4 {
					t.Errorf("%s on %s, %s: %.1f to 1", role, ground, theme, r)
				}
			}
		}
	}
}

// TestCurveIsInterrupted checks that a line stops where nothing was measured and
// goes on behind it, on both kinds of axes.
func TestCurveIsInterrupted(t *testing.T) {
	for _, log := range []bool{false, true} {
		s := newSketch(Wide)
		s.begin(100)
		y := axis{min: 1, max: 10, log: log}
		f := s.frame(0, 0, 100, 100, axis{max: 10}, y)
		gap := math.NaN()
		if log {
			gap = 0
		}
		f.curve(plotter.XYs{{X: 0, Y: 2}, {X: 1, Y: 3}, {X: 2, Y: gap}, {X: 3, Y: 4}, {X: 4, Y: 5}, {X: 5, Y: math.Inf(1)}, {X: 6, Y: 6}}, stroke{role: "s0", width: 1})
		if n := len(s.svg.shapes); n != 3 {
			t.Errorf("log %v: %d pieces, not 3", log, n)
		}
	}
}
