package compare

import (
	"errors"
	"slices"

	"github.com/aclements/go-moremath/stats"

	"kvd/bench/internal/result"
)

// tiesExactLimit is the number of values a side up to which the probability of
// samples with ties is exact.
const tiesExactLimit = 25

// MannWhitney returns the two-sided probability of the Mann–Whitney U test:
// exact for up to 50 values a side, with ties up to 25, else by the normal
// approximation with corrections for ties and continuity. It is 1 if all values
// are equal or a side is empty. Values must be finite.
func MannWhitney(a, b []float64) float64 {
	if max(len(a), len(b)) <= tiesExactLimit {
		if ranks, ties := doubledRanks(a, b); ties {
			return tiedProbability(ranks, len(a))
		}
	}
	test, err := stats.MannWhitneyUTest(a, b, stats.LocationDiffers)
	if errors.Is(err, stats.ErrSamplesEqual) || errors.Is(err, stats.ErrSampleSize) {
		return 1
	}
	return min(test.P, 1)
}

// doubledRanks returns twice the rank of every value of a and then of b among all
// of them, so that the mean rank of values that tie is whole too, and whether any
// do.
func doubledRanks(a, b []float64) (ranks []int, ties bool) {
	all := slices.Concat(a, b)
	for _, v := range all {
		below, equal := 0, 0
		for _, w := range all {
			switch {
			case w < v:
				below++
			case w == v:
				equal++
			}
		}
		ranks = append(ranks, 2*below+equal+1)
		ties = ties || equal > 1
	}
	return ranks, ties
}

// tiedProbability is the share of all ways to choose n of the ranks whose sum is
// at least as far from the mean as that of the first n.
//
// The library's own figure for ties will not do: it doubles one tail, but with
// samples of unequal size the two are not alike, and where only two values occur
// it takes impossible sums for possible ones.
func tiedProbability(ranks []int, n int) float64 {
	total := 0
	for _, r := range ranks {
		total += r
	}
	// ways[k][s]: to choose k of the ranks so far with the sum s. As floats, which
	// are exact to 2^53; C(50, 25) is below 2^47.
	ways := make([][]float64, n+1)
	for k := range ways {
		ways[k] = make([]float64, total+1)
	}
	ways[0][0] = 1
	for _, r := range ranks {
		for k := n; k > 0; k-- { // downwards: each rank is chosen once
			for s := r; s <= total; s++ {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	seen := 0
	for _, r := range ranks[:n] {
		seen += r
	}
	// The mean is total * n / len(ranks); times len(ranks) all is whole.
	off := func(s int) int { return max(s*len(ranks)-total*n, total*n-s*len(ranks)) }
	var far, all float64
	for s, w := range ways[n] {
		all += w
		if off(s) >= off(seen) {
			far += w
		}
	}
	return far / all
}

// CliffsDelta returns the share of pairs in which b is the larger minus the share
// in which a is: 1 if every value of b is above every one of a. 0 if one is empty.
func CliffsDelta(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	sum := 0
	for _, x := range a {
		for _, y := range b {
			switch {
			case y > x:
				sum++
			case y < x:
				sum--
			}
		}
	}
	return float64(sum) / float64(len(a)*len(b))
}

// HodgesLehmann returns the median of all differences of a value of b and one of
// a: how much larger b is. 0 if one is empty.
func HodgesLehmann(a, b []float64) float64 {
	diffs := make([]float64, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			diffs = append(diffs, y-x)
		}
	}
	return result.Median(diffs)
}
