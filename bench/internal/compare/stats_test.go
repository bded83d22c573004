package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// sampleWithU returns two samples of n and m different values of which the first
// is larger in u of the n*m pairs.
func sampleWithU(n, m, u int) (a, b []float64) {
	for j := range m {
		b = append(b, float64(10*(j+1)))
	}
	for i := range n {
		over := min(u, m) // so many of b this value is above
		u -= over
		a = append(a, float64(10*over+5)+float64(i)/100)
	}
	return a, b
}

// TestAgainstPublishedTables: exact two-sided probabilities. Those of n = m = 5
// are twice the one-sided ones that the tables of Mann and Whitney (Annals of
// Mathematical Statistics 18, 1947, table I) give: 0.004, 0.008, 0.016, 0.028,
// 0.048, here to more digits as the counts of arrangements over C(10,5) = 252:
// 1, 2, 4, 7, 12. The others follow from the same counts, C(8,4) = 70, C(12,6) =
// 924, C(20,10) = 184756. The critical values of the usual tables (two-sided, 0.05) are U <= 2 for 5
// and 5, 5 for 6 and 6, 3 for 5
// and 6, 0 for 4 and 4, 23 for 10 and 10.
func TestAgainstPublishedTables(t *testing.T) {
	for _, c := range []struct {
		n, m, u int
		p       float64
	}{
		{5, 5, 0, 2.0 / 252}, // 0.0079
		{5, 5, 1, 4.0 / 252}, // 0.0159
		{5, 5, 2, 8.0 / 252}, // 0.0317
		{5, 5, 3, 14.0 / 252},
		{5, 5, 4, 24.0 / 252},
		{4, 4, 0, 2.0 / 70},
		{4, 4, 1, 4.0 / 70},
		{6, 6, 5, 38.0 / 924}, // 0.0411
		{6, 6, 6, 60.0 / 924}, // 0.0649
		{5, 6, 3, 14.0 / 462}, // 0.0303
		{5, 6, 4, 24.0 / 462}, // 0.0519, not significant
		{3, 3, 0, 2.0 / 20},   // three a side can show nothing
		{1, 1, 0, 1},
		{10, 10, 23, 7992.0 / 184756}, // 0.0433: the critical value is 23
		{10, 10, 24, 9686.0 / 184756}, // 0.0524
	} {
		t.Run(fmt.Sprint(c.n, c.m, c.u), func(t *testing.T) {
			a, b := sampleWithU(c.n, c.m, c.u)
			p, back := MannWhitney(a, b), MannWhitney(b, a)
			if math.Abs(p-c.p) > 1e-6 || math.Abs(back-c.p) > 1e-6 {
				t.Errorf("p %.6f and %.6f, want %.6f", p, back, c.p)
			}
		})
	}
}

// permutationP counts every way to deal the values into samples of these sizes:
// the definition of the exact test, with ties or without.
func permutationP(a, b []float64) float64 {
	all := append(append([]float64{}, a...), b...)
	offU := func(first uint) float64 {
		u := 0.0
		for i := range all {
			for j := range all {
				if first>>i&1 == 1 && first>>j&1 == 0 {
					switch {
					case all[i] > all[j]:
						u++
					case all[i] == all[j]:
						u += 0.5
					}
				}
			}
		}
		return math.Abs(u - float64(len(a)*len(b))/2)
	}
	seen := offU(1<<len(a) - 1)
	hits, ways := 0, 0
	for first := range uint(1) << len(all) {
		ones := 0
		for i := range all {
			ones += int(first >> i & 1)
		}
		if ones == len(a) {
			ways++
			if offU(first) >= seen {
				hits++
			}
		}
	}
	return float64(hits) / float64(ways)
}

func TestAgainstAllPermutations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		sample := func() (v []float64) {
			for range 1 + rnd.IntN(6) {
				v = append(v, float64(rnd.IntN(2+i%20))) // many ties, and fewer
			}
			return v
		}
		a, b := sample(), sample()
		if got, want := MannWhitney(a, b), permutationP(a, b); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v against %v: p %.6f, want %.6f", a, b, got, want)
		}
	}
}

func TestUnusualSamples(t *testing.T) {
	ones, twos := []float64{1, 1, 1, 1, 1}, []float64{2, 2, 2, 2, 2}
	for _, c := range []struct {
		name string
		a, b []float64
		p    float64
	}{
		{"all equal", ones, ones, 1},
		{"no variance, different", ones, twos, 2.0 / 252},
		// All twos on the other side is not possible: there are six.
		{"no variance, unequal sizes", ones, append(twos, 2), 1.0 / 462},
		{"empty", nil, ones, 1},
		{"both empty", nil, nil, 1},
		{"one against one", ones[:1], twos[:1], 1},
		// Twice the smaller tail would be 0.
		{"one of two that tie is moved", []float64{2}, []float64{1, 1}, 1.0 / 3},
	} {
		if got := MannWhitney(c.a, c.b); math.Abs(got-c.p) > 1e-9 {
			t.Errorf("%s: p %v, want %v", c.name, got, c.p)
		}
	}
	// Beyond the exact limits: a clear difference, and none.
	var low, high, same []float64
	for i := range 60 {
		low, high, same = append(low, float64(i)), append(high, float64(i+100)), append(same, float64(59-i))
	}
	if p := MannWhitney(low, high); p > 1e-6 {
		t.Error(p)
	}
	if p := MannWhitney(low, same); p < 0.99 || p > 1 {
		t.Error(p)
	}
}

func TestEffectSizes(t *testing.T) {
	for _, c := range []struct {
		a, b         []float64
		cliff, shift float64
	}{
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 1, 3},
		{[]float64{4, 5, 6}, []float64{1, 2, 3}, -1, -3},
		{[]float64{1, 2}, []float64{1, 2}, 0, 0},
		// Pairs: 6-1, 6-5, 6-9, 8-1, 8-5, 8-9 = 5 1 -3 7 3 -1: 4 up, 2 down.
		{[]float64{1, 5, 9}, []float64{6, 8}, 2.0 / 6, 2},
		{[]float64{3}, []float64{3, 5}, 0.5, 1},
		{nil, []float64{1}, 0, 0},
	} {
		if got := CliffsDelta(c.a, c.b); math.Abs(got-c.cliff) > 1e-12 {
			t.Errorf("Cliff %v %v: %v, want %v", c.a, c.b, got, c.cliff)
		}
		if got := HodgesLehmann(c.a, c.b); got != c.shift {
			t.Errorf("shift %v %v: %v, want %v", c.a, c.b, got, c.shift)
		}
	}
}
