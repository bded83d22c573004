package report

import (
	"math"
	"strconv"
	"strings"
)

// absent stands for a figure that was not measured.
const absent = "–"

// figure returns v to three significant digits, thousands separated; absent if
// it is no finite number.
func figure(v float64) string {
	a := math.Abs(v)
	switch {
	case !finite(v):
		return absent
	case a == 0:
		return "0"
	case a >= 1e15:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case a >= 99.95:
		return commas(int64(math.Round(v)))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a >= 0.0095:
		return strconv.FormatFloat(v, 'f', 3, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// commas returns n in groups of three digits.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// short returns v to three significant digits without trailing zeros: for ticks
// and sizes, where 5.00 would claim more than is meant.
func short(v float64) string {
	if !finite(v) {
		return absent
	}
	if math.Abs(v) >= 1000 {
		return figure(v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// unitOf names a power of ten of a unit.
type unitOf struct {
	per  float64
	name string
}

var (
	byteUnits   = []unitOf{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "KB"}, {1, "B"}}
	secUnits    = []unitOf{{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}}
	binaryUnits = []unitOf{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}}
	plainUnit   = []unitOf{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}}
)

// scaled returns v in the largest of units of which it has at least one.
func scaled(v float64, units []unitOf) string {
	if !finite(v) {
		return absent
	}
	if v == 0 {
		return "0"
	}
	u := units[len(units)-1]
	for _, c := range units {
		// 999.9 KB is 1 MB once rounded.
		if math.Abs(v) >= c.per*0.9995 {
			u = c
			break
		}
	}
	s := short(v / u.per)
	if u.name == "" || units[0].name == "G" {
		return s + u.name
	}
	return s + " " + u.name
}

// bytesText returns a size: "1.2 GB".
func bytesText(b float64) string { return scaled(b, byteUnits) }

// withUnit returns a figure and its unit.
func withUnit(v float64, unit string) string {
	if unit == "" || !finite(v) {
		return figure(v)
	}
	return figure(v) + " " + unit
}

// measure returns a figure with the unit that suits it where the metric is a
// time or a size: 4.96 s for 4963 ms.
func measure(v float64, unit string) string {
	switch unit {
	case "s":
		return scaled(v, secUnits)
	case "ms":
		return scaled(v/1e3, secUnits)
	case "µs":
		return scaled(v/1e6, secUnits)
	case "MB":
		return scaled(v*1e6, byteUnits)
	}
	return withUnit(v, unit)
}

// list joins words as a sentence does.
func list(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// plural returns "1 trial", "3 trials".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return commas(int64(n)) + " " + noun + "s"
}
