package compare

import (
	"errors"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"

	"kvd/bench/internal/result"
)

// MannWhitney returns the two-sided probability of the Mann–Whitney U test:
// exact for up to 50 values a side, with ties up to 25, else by the normal
// approximation with corrections for ties and continuity. It is 1 if all values
// are equal or a side is empty. Values must be finite.
func MannWhitney(a, b []float64) float64 {
	test, err := stats.MannWhitneyUTest(a, b, stats.LocationDiffers)
	if errors.Is(err, stats.ErrSamplesEqual) || errors.Is(err, stats.ErrSampleSize) {
		return 1
	}
	n := max(len(a), len(b))
	ties := tieCounts(a, b)
	// The library doubles the smaller tail. With ties and unequal sizes U is not
	// distributed symmetrically, and that may give 0 for what is quite likely:
	// there both tails are counted, all U as far from the mean as this one.
	if len(a) == len(b) || len(ties) == len(a)+len(b) || n > stats.MannWhitneyTiesExactLimit {
		return min(test.P, 1)
	}
	const step = 0.5 // between values of U
	dist := stats.UDist{N1: len(a), N2: len(b), T: ties}
	mean := float64(len(a)*len(b)) / 2
	off := math.Abs(test.U - mean)
	if off == 0 {
		return 1
	}
	return min(dist.CDF(mean-off)+1-dist.CDF(mean+off-step), 1)
}

// tieCounts returns how often each value occurs in both samples, in order.
func tieCounts(a, b []float64) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	var counts []int
	for i, v := range all {
		if i == 0 || v != all[i-1] {
			counts = append(counts, 0)
		}
		counts[len(counts)-1]++
	}
	return counts
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
