//go:build linux

package load

import (
	"math"
	"math/rand/v2"
)

const (
	theta = 0.99 // YCSB's zipfian constant

	// scrambledRanks is over how many ranks YCSB draws before it hashes them
	// onto the items: the shape does not depend on the number of items then.
	scrambledRanks = 10_000_000_000
)

// zipf draws ranks from 0, the most popular, to n-1, with probabilities as
// 1/(rank+1)^theta, by the method of Gray et al. (SIGMOD 1994). Ranks 0 and 1
// are exact, those above an approximation of the continuous distribution.
type zipf struct {
	n          int64
	zeta, eta  float64
	zeta2      float64 // of two items: the first two probabilities' sum, unscaled
	zetaSummed int64   // items that zeta has
}

func newZipf(n int64) zipf {
	z := zipf{zeta: zeta(n), zetaSummed: n, zeta2: zeta(2)}
	z.grow(n)
	return z
}

// grow raises the number of ranks to n; it costs time only for what is new.
func (z *zipf) grow(n int64) {
	if n <= z.n {
		return
	}
	for z.zetaSummed < n {
		z.zetaSummed++
		z.zeta += math.Pow(float64(z.zetaSummed), -theta)
	}
	z.n = n
	z.eta = (1 - math.Pow(2/float64(n), 1-theta)) / (1 - z.zeta2/z.zeta)
}

func (z *zipf) draw(r *rand.Rand) int64 {
	u := r.Float64()
	switch at := u * z.zeta; {
	case at < 1:
		return 0
	case at < z.zeta2:
		return min(1, z.n-1)
	}
	rank := int64(float64(z.n) * math.Pow(z.eta*u-z.eta+1, 1/(1-theta)))
	return max(0, min(rank, z.n-1))
}

// zeta is the sum of k^-theta for k from 1 to n: the first thousand one by one,
// the rest by the Euler–Maclaurin formula, good to more than ten digits.
func zeta(n int64) float64 {
	const head = 1000
	var sum float64
	for k := range min(n, head) {
		sum += math.Pow(float64(k+1), -theta)
	}
	if n <= head {
		return sum
	}
	a, b := float64(head), float64(n)
	sum += (math.Pow(b, 1-theta) - math.Pow(a, 1-theta)) / (1 - theta)
	sum += (math.Pow(b, -theta) - math.Pow(a, -theta)) / 2
	return sum + theta/12*(math.Pow(a, -theta-1)-math.Pow(b, -theta-1))
}

// chooser chooses items.
type chooser struct {
	by    Distribution
	items int64 // of the fill
	zipf  zipf
	pos   int64
}

func newChooser(by Distribution, items int64) chooser {
	c := chooser{by: by, items: items}
	switch by {
	case Zipfian:
		c.zipf = newZipf(scrambledRanks)
	case Latest:
		c.zipf = newZipf(items)
	case Uniform, Sequential:
	}
	return c
}

// next chooses an item below items, for Latest below items+added.
func (c *chooser) next(r *rand.Rand, added int64) int64 {
	switch c.by {
	case Zipfian:
		return int64(fnv64(uint64(c.zipf.draw(r))) % uint64(c.items))
	case Latest:
		c.zipf.grow(c.items + added)
		return c.items + added - 1 - c.zipf.draw(r)
	case Sequential:
		at := c.pos
		if c.pos++; c.pos == c.items {
			c.pos = 0
		}
		return at
	case Uniform:
	}
	return r.Int64N(c.items)
}

// fnv64 is FNV-1a over the eight bytes of v, lowest first, as YCSB scrambles.
func fnv64(v uint64) uint64 {
	h := uint64(0xcbf29ce484222325)
	for range 8 {
		h = (h ^ v&0xff) * 0x100000001b3
		v >>= 8
	}
	return h
}
