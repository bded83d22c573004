package resp

import (
	"math"
	"strconv"
)

// ParseInt reads a decimal integer as strictly as Redis does: an optional minus, no plus, no space, no leading zero, no
// minus zero, and within int64. It does not allocate.
func ParseInt(b []byte) (n int64, ok bool) {
	if len(b) == 1 {
		d := b[0] - '0'
		return int64(d), d <= 9
	}
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	negative := b[0] == '-'
	if negative {
		b = b[1:]
	}
	if b[0] < '1' || b[0] > '9' || len(b) > 19 {
		return 0, false
	}
	var u uint64 // 19 digits are below 2^64
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		u = u*10 + uint64(d)
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u <= math.MaxInt64
}

// ParseFloat reads a double as Redis' commands do, which is C's strtod over the whole of b: decimal and hexadecimal
// notation, inf and infinity in any case. Refused are empty input, white space, nan, what is too large for a double, and
// what is not zero but becomes zero.
func ParseFloat(b []byte) (f float64, ok bool) {
	f, ok = parseFloat(b)
	if !ok || f != f {
		return 0, false
	}
	return f, f != 0 || isZero(b)
}

func parseFloat(b []byte) (float64, bool) {
	switch scanFloat(b) {
	case decimalNotation:
		f, err := strconv.ParseFloat(string(b), 64)
		return f, err == nil
	case hexNotation:
		// Go wants the exponent that C lets one leave out.
		f, err := strconv.ParseFloat(string(b)+"p0", 64)
		return f, err == nil
	}
	return 0, false
}

type notation int

const (
	notANumber      notation = iota
	decimalNotation          // or inf, or hexadecimal with its exponent: Go agrees with C
	hexNotation              // hexadecimal without an exponent
)

// scanFloat sorts out what Go and C read differently: underscores, and hexadecimal numbers without an exponent.
func scanFloat(b []byte) notation {
	i := 0
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		i = 1
	}
	hex := len(b) > i+1 && b[i] == '0' && b[i+1]|0x20 == 'x'
	exponent := false
	for _, c := range b {
		if c == '_' {
			return notANumber
		}
		exponent = exponent || c|0x20 == 'p'
	}
	if hex && !exponent {
		return hexNotation
	}
	return decimalNotation
}

// isZero tells whether a valid number has only zeros before its exponent.
func isZero(b []byte) bool {
	hex := false
	for _, c := range b {
		switch {
		case c == 'x' || c == 'X':
			hex = true
		case c == 'p' || c == 'P' || !hex && (c == 'e' || c == 'E'):
			return true
		case c >= '1' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			return false
		}
	}
	return true
}

// AppendFloat appends f as Redis 7.0 writes a double: C's %.17g, so 0.1 is 0.10000000000000001; inf, -inf and nan.
func AppendFloat(dst []byte, f float64) []byte {
	// Integers have the same digits and are by far the most frequent; 1e17 is where %.17g takes to an exponent. Minus
	// zero has a sign and goes the long way.
	if f > -1e15 && f < 1e15 && f == math.Trunc(f) && (f != 0 || !math.Signbit(f)) {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	switch {
	case f > math.MaxFloat64:
		return append(dst, "inf"...)
	case f < -math.MaxFloat64:
		return append(dst, "-inf"...)
	case f != f:
		return append(dst, "nan"...)
	}
	return strconv.AppendFloat(dst, f, 'g', 17, 64)
}
