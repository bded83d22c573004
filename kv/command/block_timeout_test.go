package command

import (
	"math"
	"testing"
)

// TestSecondsToMillis: what is not a whole number of milliseconds is rounded up, however small it is: 0 would
// be for ever.
func TestSecondsToMillis(t *testing.T) {
	for arg, want := range map[string]int64{
		"0": 0, "-0": 0, "0.0": 0, "1": 1000, "0.001": 1, "0.0011": 2, "1.5": 1500, "-1.5": -1500, "-0.0001": 0,
		"1e-9": 1, "1e-18": 1, "1e-320": 1, "1e-4900": 1, "-1e-320": 0, "0x1p-100": 1, "0x0.1": 63,
		"1e30": math.MinInt64, "inf": math.MinInt64, "9223372036854775.807": math.MaxInt64,
	} {
		if got, ok := secondsToMillis([]byte(arg)); !ok || got != want {
			t.Errorf("%s: %d %v, want %d", arg, got, ok, want)
		}
	}
}
