package resp

import (
	"errors"
	"math/big"
)

// INCRBYFLOAT and HINCRBYFLOAT calculate in C's long double, whose results clients see: 10.5 + 0.1 is 10.6, and 3.0e3 + 200
// is 5200, where a double would show its rounding. On amd64 that is the x87 format: a mantissa of 64 bits and an exponent of
// 15. This file does the same arithmetic with math/big, on every architecture.
const (
	extendedMantissaBits = 64
	extendedMaxExp       = 16384  // values are below 2^16384
	extendedMinExp       = -16445 // the smallest is 2^-16445; half of it rounds to zero
	// longDoubleMaxChars is the length from which Redis refuses a number unread.
	longDoubleMaxChars = 5 << 10
	// Beyond these decimal exponents no digit matters: 2^16384 is 1.2e4932, 2^-16446 is 1.8e-4951.
	maxDecimalExp = 4940
	minDecimalExp = -4960
)

// Errors of IncrByFloat, in Redis' words.
var (
	ErrNotFloat = errors.New("ERR value is not a valid float")
	ErrNaNOrInf = errors.New("ERR increment would produce NaN or Infinity")
)

// LongDouble is a number in the 80-bit extended format, or an infinity. The zero value is 0.
type LongDouble struct {
	f   *big.Float // nil is zero
	inf int        // +1, -1, or 0 for a finite number
}

// IncrByFloat adds two numbers in their textual form as INCRBYFLOAT does and returns the text of the sum, in new memory.
// A cur of nil is a key that does not exist, and counts as 0. The error is ErrNotFloat or ErrNaNOrInf.
func IncrByFloat(cur, incr []byte) (result []byte, err error) {
	var a LongDouble
	ok := true
	if cur != nil {
		a, ok = ParseLongDouble(cur)
	}
	b, okIncr := ParseLongDouble(incr)
	if !ok || !okIncr {
		return nil, ErrNotFloat
	}
	sum, ok := a.Add(b)
	if !ok {
		return nil, ErrNaNOrInf
	}
	return AppendLongDouble(nil, sum), nil
}

// ParseLongDouble reads a number as C's strtold does over the whole of b, under the rules of ParseFloat. Numbers of 5 KiB
// and more are refused, as in Redis.
func ParseLongDouble(b []byte) (x LongDouble, ok bool) {
	if len(b) == 0 || len(b) >= longDoubleMaxChars {
		return LongDouble{}, false
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	if isInfinity(b) {
		x.inf = 1
		if negative {
			x.inf = -1
		}
		return x, true
	}
	if len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x' {
		x.f, ok = parseDigits(b[2:], 16)
	} else {
		x.f, ok = parseDigits(b, 10)
	}
	if ok && negative && x.f != nil {
		x.f.Neg(x.f)
	}
	return x, ok
}

// IsInf tells whether x is an infinity, which HINCRBYFLOAT refuses as an increment.
func (x LongDouble) IsInf() bool { return x.inf != 0 }

// Big returns a finite x in new memory, with the 64 bits of its mantissa; 0 for an infinity.
func (x LongDouble) Big() *big.Float {
	f := new(big.Float).SetPrec(extendedMantissaBits)
	if x.f != nil {
		f.Set(x.f)
	}
	return f
}

// Add returns x + y, rounded to nearest even. ok is false if the sum is not finite.
func (x LongDouble) Add(y LongDouble) (sum LongDouble, ok bool) {
	switch {
	case x.inf != 0 || y.inf != 0:
		return LongDouble{}, false
	case x.f == nil:
		return y, true
	case y.f == nil:
		return x, true
	}
	f := new(big.Float).SetPrec(extendedMantissaBits).Add(x.f, y.f)
	if f.Sign() == 0 {
		return LongDouble{}, true
	}
	return LongDouble{f: f}, f.MantExp(nil) <= extendedMaxExp
}

// AppendLongDouble appends x as Redis shows it to humans: 17 digits behind the point less trailing zeros, never an exponent.
// The text has up to 4,951 bytes.
func AppendLongDouble(dst []byte, x LongDouble) []byte {
	switch {
	case x.inf > 0:
		return append(dst, "inf"...)
	case x.inf < 0:
		return append(dst, "-inf"...)
	case x.f == nil:
		return append(dst, '0')
	}
	start := len(dst)
	dst = x.f.Append(dst, 'f', 17)
	end := len(dst)
	for dst[end-1] == '0' {
		end-- // stops at the point, which is always there
	}
	if dst[end-1] == '.' {
		end--
	}
	if string(dst[start:end]) == "-0" {
		return append(dst[:start], '0')
	}
	return dst[:end]
}

func isInfinity(b []byte) bool {
	if len(b) != 3 && len(b) != 8 {
		return false
	}
	for i, c := range b {
		if c|0x20 != "infinity"[i] {
			return false
		}
	}
	return true
}

// parseDigits reads digits, a point and an exponent behind e (base 10) or p (base 16). A nil result is zero. ok is false
// on any other byte, if there is no digit, and if the value leaves the format's range.
func parseDigits(b []byte, base int) (f *big.Float, ok bool) {
	digits := make([]byte, 0, len(b))
	seen, point, fraction, i := false, false, 0, 0
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if v := hexValue(c); v < 0 || v >= base {
			break
		}
		seen = true
		if point {
			fraction++
		}
		if len(digits) > 0 || c != '0' {
			digits = append(digits, c)
		}
	}
	exp := 0
	if i < len(b) {
		if c := b[i] | 0x20; base == 10 && c != 'e' || base == 16 && c != 'p' {
			return nil, false
		}
		if exp, ok = parseExponent(b[i+1:]); !ok {
			return nil, false
		}
	}
	if !seen {
		return nil, false
	}
	if len(digits) == 0 {
		return nil, true
	}
	mantissa, ok := new(big.Int).SetString(string(digits), base)
	if !ok {
		return nil, false
	}
	f = new(big.Float).SetPrec(extendedMantissaBits)
	if base == 16 {
		f.SetMantExp(f.SetInt(mantissa), exp-4*fraction)
	} else if !scaleDecimal(f, mantissa, len(digits), exp-fraction) {
		return nil, false
	}
	return f, inRange(f)
}

// scaleDecimal sets f to mantissa * 10^exp, rounded once: both operands of the last operation are exact.
func scaleDecimal(f *big.Float, mantissa *big.Int, digits, exp int) bool {
	if digits+exp > maxDecimalExp || digits+exp < minDecimalExp {
		return false
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exp, -exp))), nil)
	if exp >= 0 {
		f.SetInt(mantissa.Mul(mantissa, power))
		return true
	}
	f.Quo(new(big.Float).SetInt(mantissa), new(big.Float).SetInt(power))
	return true
}

func inRange(f *big.Float) bool {
	mantissa := new(big.Float)
	exp := f.MantExp(mantissa) // 0.5 <= mantissa < 1
	if exp == extendedMinExp {
		return mantissa.Cmp(big.NewFloat(0.5)) > 0 // the half itself goes to the even neighbour, zero
	}
	return exp <= extendedMaxExp && exp > extendedMinExp
}

// parseExponent reads an optional sign and at least one digit. Absurd values are cut off far outside the format's range.
func parseExponent(b []byte) (exp int, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		exp = min(exp*10+int(c-'0'), 1<<20)
	}
	if negative {
		exp = -exp
	}
	return exp, true
}
