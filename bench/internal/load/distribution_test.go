//go:build linux

package load

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
)

func TestZeta(t *testing.T) {
	var sum float64
	for k := 1; k <= 1_000_000; k++ {
		sum += math.Pow(float64(k), -theta)
		if k == 2 || k == 999 || k == 1000 || k == 1001 || k == 1_000_000 {
			if got := zeta(int64(k)); math.Abs(got/sum-1) > 1e-9 {
				t.Errorf("zeta(%d) = %v, want %v", k, got, sum)
			}
		}
	}
	// The constant in YCSB's ScrambledZipfianGenerator, computed there by summing
	// ten billion floats.
	if got := zeta(scrambledRanks); math.Abs(got-26.46902820178302) > 1e-5 {
		t.Errorf("zeta of ten billion is %v", got)
	}
	z := newZipf(1000)
	z.grow(5000)
	if fresh := newZipf(5000); math.Abs(z.zeta-fresh.zeta) > 1e-9 || math.Abs(z.eta-fresh.eta) > 1e-9 || z.n != fresh.n {
		t.Errorf("grown %+v, made %+v", z, fresh)
	}
}

const draws = 400_000

// shares draws and returns how often each item came, as shares.
func shares(t *testing.T, by Distribution, items, added int64) []float64 {
	t.Helper()
	c, r := newChooser(by, items), rand.New(rand.NewPCG(5, 6))
	out := make([]float64, items+added)
	for range draws {
		item := c.next(r, added)
		if item < 0 || item >= items+added {
			t.Fatalf("%v chose item %d of %d", by, item, items+added)
		}
		out[item] += 1. / draws
	}
	return out
}

// near tells whether a share of the draws is within five standard deviations.
func near(got, p float64) bool { return math.Abs(got-p) < 5*math.Sqrt(p*(1-p)/draws) }

func TestDistributions(t *testing.T) {
	const items = 1000
	for i, p := range shares(t, Uniform, items, 0) {
		if !near(p, 1./items) {
			t.Errorf("uniform: item %d has a share of %v", i, p)
		}
	}
	for i, p := range shares(t, Sequential, items, 0) {
		if math.Abs(p-1./items) > 1e-9 {
			t.Errorf("sequential: item %d has a share of %v", i, p)
		}
	}

	// Zipfian: what rank k has is spread over the item it is hashed to, on top
	// of an even share of the long tail.
	z := zeta(scrambledRanks)
	got := shares(t, Zipfian, items, 0)
	top := int64(fnv64(0) % items)
	second := int64(fnv64(1) % items)
	rest := 1 - zeta(items)/z // of the ranks beyond a thousand, which share out evenly
	for name, c := range map[string]struct {
		item int64
		p    float64
	}{"first": {top, 1 / z}, "second": {second, math.Pow(2, -theta) / z}} {
		if even := rest / items; got[c.item] < c.p || got[c.item] > c.p+2*even+0.004 {
			t.Errorf("zipfian: the %s rank's item has %v, want %v and about %v", name, got[c.item], c.p, even)
		}
	}
	for i, p := range got {
		if int64(i) != top && p > got[top] {
			t.Errorf("zipfian: item %d is more popular than that of the first rank", i)
		}
	}
	if top == 0 || top == items-1 || got[0] > got[top]/2 {
		t.Error("zipfian: the popular item is at an end: it is not scrambled")
	}

	const added = 500
	latest, zn := shares(t, Latest, items, added), zeta(items+added)
	for rank := range int64(2) {
		if p := math.Pow(float64(rank+1), -theta) / zn; !near(latest[items+added-1-rank], p) {
			t.Errorf("latest: the item of age %d has %v, want %v", rank, latest[items+added-1-rank], p)
		}
	}
	var newest float64
	for _, p := range latest[items+added-150:] {
		newest += p
	}
	if want := zeta(150) / zn; math.Abs(newest-want) > 0.02 {
		t.Errorf("latest: a tenth of the items has %v, want about %v", newest, want)
	}
}

// TestFNV: YCSB's fnvhash64 is FNV-1a over the eight bytes, lowest first.
func TestFNV(t *testing.T) {
	for _, v := range []uint64{0, 1, 123456789, 1 << 63} {
		h := fnv.New64a()
		_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, v))
		if got := fnv64(v); got != h.Sum64() {
			t.Errorf("%d: %x, want %x", v, got, h.Sum64())
		}
	}
}

func TestSmallDistributions(t *testing.T) {
	for _, by := range []Distribution{Uniform, Zipfian, Latest, Sequential} {
		for items := int64(1); items <= 3; items++ {
			c, r := newChooser(by, items), rand.New(rand.NewPCG(7, 8))
			for range 1000 {
				if item := c.next(r, 0); item < 0 || item >= items {
					t.Fatalf("%v chose item %d of %d", by, item, items)
				}
			}
		}
	}
}

func TestMixes(t *testing.T) {
	for _, m := range []Mix{MixA, MixB, MixC, MixD, MixE, MixF, WriteOnly, ReadOnly, {Read: 3, Scan: 1}} {
		w := newWorkload(Spec{Keys: 10, Mix: m, Members: 1}, nil)
		var got [numParts]float64
		for range draws {
			got[w.draw()] += 1. / draws
		}
		sum := 0.
		for _, p := range m.parts() {
			sum += p
		}
		for i, p := range m.parts() {
			if p /= sum; !near(got[i], p) && math.Abs(got[i]-p) > 1e-9 {
				t.Errorf("mix %q: part %d has %v, want %v", m.Name, i, got[i], p)
			}
		}
	}
}
