package command

import (
	"math"
	"math/big"
	"sync"
)

// Sines, cosines and arc sines for distances that clients of Redis see: the C library's are
// rounded correctly in nearly all cases (its errors are below 0.55 units in the last place),
// package math's are not. These are calculated with about 70 bits and then rounded, so
// that they are the same but for one in many thousands.

// sineStep is the distance of the angles in sines, in radians: 1/128.
const sineStep = 1.0 / 128

// double is a number as a sum of a double and a much smaller one.
type double struct{ hi, lo float64 }

// twoSum returns a + b exactly.
func twoSum(a, b float64) double {
	s := a + b
	t := s - a
	return double{s, (a - (s - t)) + (b - t)}
}

// round returns x as one double.
func (x double) round() float64 { return x.hi + x.lo }

// sines returns the sines and cosines of the multiples of sineStep up to a little more than pi/2.
var sines = sync.OnceValue(func() *[203][2]double {
	const bits = 200
	number := func() *big.Float { return new(big.Float).SetPrec(bits) }
	var table [203][2]double
	for i := range table {
		// Taylor's series of both: the terms are angle^k / k!, each with the sign - once in two of its own.
		angle, term := number().SetFloat64(float64(i)*sineStep), number().SetInt64(1)
		sums := [2]*big.Float{number(), number()} // of odd and even k: sine, cosine
		for k := range int64(60) {
			sum := sums[1-k%2]
			if k/2%2 == 0 {
				sum.Add(sum, term)
			} else {
				sum.Sub(sum, term)
			}
			term.Quo(term.Mul(term, angle), number().SetInt64(k+1))
		}
		for j, sum := range sums {
			hi, _ := sum.Float64()
			lo, _ := number().Sub(sum, number().SetFloat64(hi)).Float64()
			table[i][j] = double{hi, lo}
		}
	}
	return &table
})

// smallSines returns sin d - d and 1 - cos d for |d| <= sineStep/2.
func smallSines(d float64) (sin, cos float64) {
	dd := d * d
	return d * dd * (-1.0/6 + dd*(1.0/120-dd*(1.0/5040))), dd * (0.5 - dd*(1.0/24-dd*(1.0/720)))
}

// sineOf returns the sine of x + dx, 0 <= x <= pi/2, dx much smaller.
func sineOf(x, dx float64) double {
	if x < 1.0/16 {
		xx := x * x
		return double{x, dx + x*xx*(-1.0/6+xx*(1.0/120-xx*(1.0/5040-xx*(1.0/362880-xx*(1.0/39916800)))))}
	}
	i := math.Round(x * (1 / sineStep))
	d := x - i*sineStep
	at := &sines()[int(i)]
	s, c := at[0], at[1]
	ds, dc := smallSines(d)
	p := c.hi * d
	e := math.FMA(c.hi, d, -p)
	sum := twoSum(s.hi, p)
	sum.lo += e + s.lo + c.hi*(ds+dx) + c.lo*d - s.hi*dc
	return sum
}

// cosineOf returns the cosine of x, 0 <= x <= pi/2.
func cosineOf(x float64) double {
	i := math.Round(x * (1 / sineStep))
	d := x - i*sineStep
	at := &sines()[int(i)]
	s, c := at[0], at[1]
	ds, dc := smallSines(d)
	p := -s.hi * d
	e := math.FMA(-s.hi, d, -p)
	sum := twoSum(c.hi, p)
	sum.lo += e + c.lo - s.hi*ds - s.lo*d - c.hi*dc
	return sum
}

// What pi and pi/2 are more than the doubles next to them.
const (
	restOfPi     = 1.2246467991473532e-16
	restOfHalfPi = restOfPi / 2
)

// sin returns the sine of x. Beyond ±pi, where no distance needs it, it is only as good as math.Sin.
func sin(x float64) float64 {
	switch a := math.Abs(x); {
	case a <= math.Pi/2:
		return math.Copysign(sineOf(a, 0).round(), x)
	case a <= math.Pi:
		return math.Copysign(sineOf(math.Pi-a, restOfPi).round(), x)
	}
	return math.Sin(x)
}

// cos returns the cosine of x. Beyond ±pi/2, where no distance needs it, it is only as good as math.Cos.
func cos(x float64) float64 {
	if a := math.Abs(x); a <= math.Pi/2 {
		return cosineOf(a).round()
	}
	return math.Cos(x)
}

// asin returns the arc sine of x, which is not negative; NaN above 1.
func asin(x float64) float64 {
	if x > 1-1.0/(1<<17) { // the sine is too flat there
		return math.Pi/2 + (restOfHalfPi - 2*math.Asin(math.Sqrt((1-x)/2)))
	}
	y := math.Asin(x) // one step of Newton's method from there
	s := sineOf(y, 0)
	return y + ((x-s.hi)-s.lo)/cosineOf(y).hi
}
