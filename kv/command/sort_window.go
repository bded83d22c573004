package command

import (
	"math/bits"
	"slices"
)

// window brings what belongs into the places from, … to-1 of a sorted list there, in order, and leaves the others
// in any order. Redis does this for SORT … BY … LIMIT, by the quicksort of Bentley and McIlroy ("Engineering a Sort
// Function", 1993). Which of the elements with equal texts are taken depends on its very exchanges, so these
// are the same here.
func (s *sorter) window(keys []sortKey, from, to int) {
	const roundsPerBit = 4 // it takes between one and two, unless somebody has arranged the elements for it to take n
	s.quick(keys, from, to, roundsPerBit*bits.Len(uint(len(keys))))
}

// quick is window with a limit to the rounds; what is left then is sorted otherwise.
func (s *sorter) quick(keys []sortKey, from, to, rounds int) {
	const few = 7
	for len(keys) >= few {
		if rounds--; rounds < 0 {
			slices.SortFunc(keys, s.compare)
			return
		}
		low, high := s.partition(keys)
		if low > 1 && from < low && to > 0 {
			s.quick(keys[:low], from, to, rounds)
		}
		if len(keys)-high <= 1 || to <= high || from >= len(keys) {
			return
		}
		keys, from, to = keys[high:], from-high, to-high
	}
	for i := range keys {
		for j := i; j > 0 && s.order(keys[j-1], keys[j]) > 0; j-- {
			keys[j-1], keys[j] = keys[j], keys[j-1]
		}
	}
}

// partition arranges keys so that those before low are less than those from there on, which are all equal up to high
// and less than the rest. What is equal is gathered at both ends first.
func (s *sorter) partition(keys []sortKey) (low, high int) {
	n := len(keys)
	p := s.pivot(keys)
	keys[0], keys[p] = keys[p], keys[0]
	left, i := 1, 1      // [0, left) are equal, [left, i) less
	j, right := n-1, n-1 // (j, right] are greater, (right, n) equal
	for {
		for i <= j {
			c := s.order(keys[i], keys[0])
			if c > 0 {
				break
			}
			if c == 0 {
				keys[left], keys[i] = keys[i], keys[left]
				left++
			}
			i++
		}
		for i <= j {
			c := s.order(keys[j], keys[0])
			if c < 0 {
				break
			}
			if c == 0 {
				keys[j], keys[right] = keys[right], keys[j]
				right--
			}
			j--
		}
		if i > j {
			break
		}
		keys[i], keys[j] = keys[j], keys[i]
		i++
		j--
	}
	exchange(keys[:i], min(left, i-left))
	exchange(keys[i:], min(right-j, n-1-right))
	return i - left, n - (right - j)
}

// exchange swaps the first n keys with the last n.
func exchange(keys []sortKey, n int) {
	last := keys[len(keys)-n:]
	for i := range last {
		keys[i], last[i] = last[i], keys[i]
	}
}

// pivot returns the place of a key that is probably in the middle: the median of three, or of three such medians.
func (s *sorter) pivot(keys []sortKey) int {
	const several, many = 7, 40
	n := len(keys)
	low, mid, high := 0, n/2, n-1
	if n > many {
		d := n / 8
		low = s.median(keys, low, low+d, low+2*d)
		mid = s.median(keys, mid-d, mid, mid+d)
		high = s.median(keys, high-2*d, high-d, high)
	}
	if n > several {
		mid = s.median(keys, low, mid, high)
	}
	return mid
}

// median returns which of three places has the key in the middle. Of equal keys it prefers as the paper does.
func (s *sorter) median(keys []sortKey, a, b, c int) int {
	if s.order(keys[a], keys[b]) < 0 {
		switch {
		case s.order(keys[b], keys[c]) < 0:
			return b
		case s.order(keys[a], keys[c]) < 0:
			return c
		}
		return a
	}
	switch {
	case s.order(keys[b], keys[c]) > 0:
		return b
	case s.order(keys[a], keys[c]) < 0:
		return a
	}
	return c
}
