package command

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"slices"

	"kvd/kv/packed"
	"kvd/kv/resp"
)

// orderBy sorts as Redis does. Elements that it takes for equal, which differ only where they
// are not looked at, keep their order.
func orderBy(o *sortOptions, list []*sortItem) {
	var compare func(a, b *sortItem) int
	switch {
	case !o.alpha:
		compare = compareScores
	case o.by != nil:
		compare = func(a, b *sortItem) int { return compareTexts(a.text, b.text, o.store != nil) }
	default:
		var bufA, bufB [32]byte // an integer, or nothing
		compare = func(a, b *sortItem) int {
			return compareTexts(textOf(&a.elem, bufA[:0]), textOf(&b.elem, bufB[:0]), o.store != nil)
		}
	}
	sign := 1
	if o.desc {
		sign = -1
	}
	slices.SortStableFunc(list, func(a, b *sortItem) int { return sign * compare(a, b) })
}

// compareScores orders by score, and by text where that is equal.
func compareScores(a, b *sortItem) int {
	if c := cmp.Compare(a.score, b.score); c != 0 {
		return c
	}
	var bufA, bufB [32]byte
	return bytes.Compare(textOf(&a.elem, bufA[:0]), textOf(&b.elem, bufB[:0]))
}

// textOf returns an element's text, in buf if it is a number.
func textOf(v *packed.Value, buf []byte) []byte {
	if v.IsInt {
		return v.Append(buf)
	}
	return v.Text
}

// compareTexts orders by bytes, what is missing first. Redis uses strcoll when it does not
// store, which ends at a zero byte.
func compareTexts(a, b []byte, whole bool) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	case !whole:
		a, b = option(a), option(b)
	}
	return bytes.Compare(a, b)
}

// sortScore reads a number as C's strtod does, which Redis uses here: like ParseFloat, but blanks
// may stand in front, the text ends at a zero byte and may be empty.
func sortScore(text []byte) (score float64, ok bool) {
	text = option(text)
	if len(text) == 0 {
		return 0, true
	}
	text = bytes.TrimLeft(text, " \t\n\v\f\r")
	score, ok = resp.ParseFloat(text)
	const smallestNormal = 0x1p-1022
	if ok && score != 0 && math.Abs(score) < smallestNormal {
		// strtod reports a number without all of its digits, if it is that small.
		r, read := new(big.Rat).SetString(string(text))
		if !read {
			return 0, false
		}
		_, ok = r.Float64()
	}
	return score, ok
}
