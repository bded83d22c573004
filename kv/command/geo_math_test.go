package command

import (
	"math"
	"math/big"
	"testing"
)

// exactSine returns the sine of x with far more digits than a double has.
func exactSine(x *big.Float) *big.Float {
	sum, term := new(big.Float).SetPrec(300), new(big.Float).SetPrec(300).Set(x)
	xx := new(big.Float).SetPrec(300).Mul(x, x)
	for k := int64(2); k < 90; k += 2 {
		sum.Add(sum, term)
		term.Quo(term.Mul(term, xx), new(big.Float).SetPrec(300).SetInt64(-k*(k+1)))
	}
	return sum
}

// TestGeoSines compares with the nearest doubles.
func TestGeoSines(t *testing.T) {
	halfPi, _, err := big.ParseFloat("1.57079632679489661923132169163975144209858469968755291048747229615390820314310449931401741267", 10, 300, big.ToNearestEven)
	if err != nil {
		t.Fatal(err)
	}
	r := newRand(3)
	wrong := 0
	const n = 5_000
	for i := range n {
		x := (r.Float64()*2 - 1) * math.Pi
		if i%4 == 0 {
			x *= math.Exp(-r.Float64() * 30)
		}
		exact := new(big.Float).SetPrec(300).SetFloat64(x)
		if want, _ := exactSine(exact).Float64(); sin(x) != want {
			wrong++
			if math.Abs(sin(x)-want) > 2e-16*math.Abs(want) {
				t.Fatalf("sin(%v) = %v, want %v", x, sin(x), want)
			}
		}
		lat := x / 2
		if want, _ := exactSine(exact.Sub(halfPi, new(big.Float).SetPrec(300).SetFloat64(lat))).Float64(); cos(lat) != want {
			wrong++
			if math.Abs(cos(lat)-want) > 2e-16*math.Abs(want) {
				t.Fatalf("cos(%v) = %v, want %v", lat, cos(lat), want)
			}
		}
		// The sine of half a unit more or less than the arc sine must be on both sides of s.
		s := r.Float64()
		if i%4 == 0 {
			s = 1 - math.Ldexp(s, -i%40)
		}
		y := asin(s)
		half := new(big.Float).SetPrec(300).SetFloat64((math.Nextafter(y, 9) - y) / 2)
		middle, exactS := new(big.Float).SetPrec(300).SetFloat64(y), new(big.Float).SetFloat64(s)
		if s < 1 && (exactSine(new(big.Float).Sub(middle, half)).Cmp(exactS) > 0 || exactSine(new(big.Float).Add(middle, half)).Cmp(exactS) < 0) {
			wrong++
		}
	}
	if wrong > n/1000 {
		t.Errorf("%d of %d are not rounded to nearest", wrong, 3*n)
	}
	t.Logf("%d of %d are not rounded to nearest", wrong, 3*n)
}

func BenchmarkGeoDistance(b *testing.B) {
	x := 0.0
	for i := range b.N {
		x += geoDistance(geoPoint{13.361389, 38.115556}, geoPoint{float64(i % 180), 37.502669})
	}
	_ = x
}
