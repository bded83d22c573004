package resp

import (
	"errors"
	"math"
	"testing"
)

func TestParseInt(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"7", 7, true}, {"-1", -1, true}, {"9223372036854775807", math.MaxInt64, true},
		{"-9223372036854775808", math.MinInt64, true}, {"9223372036854775808", 0, false}, {"-9223372036854775809", 0, false},
		{"", 0, false}, {"-", 0, false}, {"-0", 0, false}, {"+1", 0, false}, {"01", 0, false}, {" 1", 0, false}, {"1 ", 0, false},
		{"a", 0, false}, {"1a", 0, false}, {"99999999999999999999", 0, false}, {"-10000000000000000000", 0, false},
	} {
		if n, ok := ParseInt([]byte(c.in)); ok != c.ok || ok && n != c.want {
			t.Errorf("%q: %d %v", c.in, n, ok)
		}
	}
}

func TestParseFloat(t *testing.T) {
	for in, want := range map[string]float64{
		"0": 0, "1.5": 1.5, "+1": 1, ".5": .5, "5.": 5, "1e5": 1e5, "0x10": 16, "-0x1.8p3": -12, "inf": math.Inf(1), "-Infinity": math.Inf(-1),
		"1e-310": 1e-310, "0e-999": 0, "0x0p-9999": 0, "00012": 12,
	} {
		if f, ok := ParseFloat([]byte(in)); !ok || f != want {
			t.Errorf("%q: %v %v", in, f, ok)
		}
	}
	for _, in := range []string{"", " 1", "1 ", "nan", "-nan", "1e400", "-1e400", "1e-400", "0x1p-1080", "1_0", "0x", "0x_1p1", ".", "1e", "1x", "1\x00"} {
		if f, ok := ParseFloat([]byte(in)); ok {
			t.Errorf("%q is accepted as %v", in, f)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for want, f := range map[string]float64{
		"0": 0, "-0": math.Copysign(0, -1), "3": 3, "-12": -12, "0.10000000000000001": 0.1, "1e+17": 1e17, "10000000000000000": 1e16,
		"1.0000000000000001e-05": 1e-5, "inf": math.Inf(1), "-inf": math.Inf(-1), "nan": math.NaN(), "1.7976931348623157e+308": math.MaxFloat64,
		"4.9406564584124654e-324": math.SmallestNonzeroFloat64, "-999999999999999": -999999999999999, "100000": 1e5,
	} {
		if got := string(AppendFloat(nil, f)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// The expected texts are those of redis-server 7.0.15 on amd64.
func TestIncrByFloat(t *testing.T) {
	for _, c := range []struct {
		cur, incr, want string
		err             error
	}{
		{cur: "10.50", incr: "0.1", want: "10.6"},
		{cur: "5.0e3", incr: "2.0e2", want: "5200"},
		{cur: "1", incr: "-1", want: "0"},
		{cur: "0", incr: "-1e-30", want: "0"},
		{cur: "0.1", incr: "0.2", want: "0.3"},
		{cur: "1000.1", incr: "0", want: "1000.09999999999999998"},
		{cur: "0x10", incr: "0x1.8p3", want: "28"},
		{cur: "18446744073709551615", incr: "1", want: "18446744073709551616"},
		{cur: "1e4932", incr: "1e4932", err: ErrNaNOrInf},
		{cur: "1", incr: "inf", err: ErrNaNOrInf},
		{cur: "inf", incr: "-inf", err: ErrNaNOrInf},
		{cur: "1", incr: "1e5000", err: ErrNotFloat},
		{cur: "", incr: "1", err: ErrNotFloat},
		{cur: "1", incr: "nan", err: ErrNotFloat},
		{cur: "1", incr: " 1", err: ErrNotFloat},
	} {
		got, err := IncrByFloat([]byte(c.cur), []byte(c.incr))
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s + %s: %s, %v; want %s, %v", c.cur, c.incr, got, err, c.want, c.err)
		}
	}
	if got, err := IncrByFloat(nil, []byte("3")); string(got) != "3" || err != nil {
		t.Errorf("a missing key and 3: %s, %v", got, err)
	}
}

func FuzzParseNumbers(f *testing.F) {
	for _, s := range []string{"", "1", "-0x1.8p3", "1e-5000", "inf", "1.", "0x.p1", "9223372036854775808"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n, isInt := ParseInt(in)
		d, isDouble := ParseFloat(in)
		_, isLong := ParseLongDouble(in)
		if isInt && (!isDouble || d != float64(n)) {
			t.Errorf("%q is the integer %d, but as a double %v %v", in, n, d, isDouble)
		}
		if isDouble && !isLong && len(in) < longDoubleMaxChars {
			t.Errorf("%q is a double, but not a long double", in)
		}
		if isLong {
			if sum, err := IncrByFloat(in, []byte("0")); err == nil {
				if _, ok := ParseLongDouble(sum); !ok {
					t.Errorf("%q gives %q, which is not a number", in, sum)
				}
			}
		}
	})
}
