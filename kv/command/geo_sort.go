package command

// sortFirst puts the first n elements in order, where the rest may stay as it is: a quicksort
// that leaves the parts behind n alone. Elements that compare equal come in the order in which
// Redis has them, which is that of the exchanges of this very algorithm (Bentley and McIlroy,
// "Engineering a Sort Function", 1993, with its choice of the pivot).
func sortFirst[T any](list []T, n int, compare func(a, b *T) int) {
	for {
		if len(list) < 7 {
			for i := 1; i < len(list); i++ {
				for j := i; j > 0 && compare(&list[j-1], &list[j]) > 0; j-- {
					list[j], list[j-1] = list[j-1], list[j]
				}
			}
			return
		}
		less, greater := partition(list, compare)
		if less > 1 { // it begins at 0, which is wanted
			sortFirst(list[:less], n, compare)
		}
		begin := len(list) - greater
		if greater <= 1 || n <= begin {
			return
		}
		list, n = list[begin:], n-begin
	}
}

// partition puts what is less than a pivot in front, what is greater at the end, what is equal between
// them, and returns how many are less and greater.
func partition[T any](list []T, compare func(a, b *T) int) (less, greater int) {
	n := len(list)
	swap := func(i, j int) { list[i], list[j] = list[j], list[i] }
	swapRuns := func(i, j, n int) {
		for k := range n {
			swap(i+k, j+k)
		}
	}
	swap(0, pivotOf(list, compare))
	// Equal ones are gathered at both ends: [0, a) and (d, n-1].
	a, b, c, d := 1, 1, n-1, n-1
	for {
		for ; b <= c; b++ {
			r := compare(&list[b], &list[0])
			if r > 0 {
				break
			}
			if r == 0 {
				swap(a, b)
				a++
			}
		}
		for ; b <= c; c-- {
			r := compare(&list[c], &list[0])
			if r < 0 {
				break
			}
			if r == 0 {
				swap(c, d)
				d--
			}
		}
		if b > c {
			break
		}
		swap(b, c)
		b++
		c--
	}
	k := min(a, b-a)
	swapRuns(0, b-k, k)
	k = min(d-c, n-d-1)
	swapRuns(b, n-k, k)
	return b - a, d - c
}

// pivotOf returns the index of the middle element, of the median of three, or of that of three medians.
func pivotOf[T any](list []T, compare func(a, b *T) int) int {
	n := len(list)
	low, mid, high := 0, n/2, n-1
	if n == 7 {
		return mid
	}
	median := func(a, b, c int) int {
		if compare(&list[a], &list[b]) < 0 {
			switch {
			case compare(&list[b], &list[c]) < 0:
				return b
			case compare(&list[a], &list[c]) < 0:
				return c
			}
			return a
		}
		switch {
		case compare(&list[b], &list[c]) > 0:
			return b
		case compare(&list[a], &list[c]) < 0:
			return a
		}
		return c
	}
	if n > 40 {
		d := n / 8
		low = median(low, low+d, low+2*d)
		mid = median(mid-d, mid, mid+d)
		high = median(high-2*d, high-d, high)
	}
	return median(low, mid, high)
}
