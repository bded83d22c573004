//go:build linux

package spine

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"kvd/bench/internal/noise"
)

// TestTenSaves takes the measurement at a few thousand keys, with one save.
func TestTenSaves(t *testing.T) {
	defer func(d time.Duration) { restEvery = d }(restEvery)
	restEvery = 20 * time.Millisecond
	noise.Attempts(t, 3, saveInARow)
}

func saveInARow(t *noise.T) {
	const keys, saves = 2000, 1
	h := kvdHarness(t.TB, 1) // a save that fails is no noise
	all := measureTenSaves(h, keys, saves)
	for _, ten := range all {
		if ten.keys != keys || len(ten.saves) != saves || !(ten.before.rss > 0) {
			t.Errorf("%+v", ten)
		}
		for _, s := range ten.saves {
			if !(s.cutUsec > 0 && s.seconds > 0 && s.rate > 0 && s.longestMsec > 0 && s.rest.rss > 0 && s.rest.resident > 0) {
				t.Errorf("%s: figures are missing: %+v", ten.engine, s)
			}
			if cloned := s.cloneUsec > 0; cloned != (ten.engine != "thread") {
				t.Errorf("%s: a clone of %g µs", ten.engine, s.cloneUsec)
			}
		}
	}
	t.Logf("\n%s\n%s\n%s", h.setting(), tenSavesTable(all), markdown(tenSavesGates(all)))
}

// madeUp are saves whose every figure is known.
func madeUp(keys int, engine string, clones ...float64) tenSaves {
	ten := tenSaves{keys: keys, engine: engine, before: rest{rss: 1e9, resident: float64(keys) * 200, hugeShare: 1, hugeMapped: 1}}
	for i, usec := range clones {
		ten.saves = append(ten.saves, saved{cutUsec: 10 * float64(i+1), cloneUsec: usec,
			reserve: float64(keys) * 1.14, rest: rest{rss: 1e9 + 1e7*float64(i+1), resident: ten.before.resident, hugeShare: 1 - 0.01*float64(i), hugeMapped: 1}})
	}
	return ten
}

func TestTenSavesTable(t *testing.T) {
	all := []tenSaves{
		madeUp(1_000_000, "thread", math.NaN(), math.NaN(), math.NaN()),
		madeUp(1_000_000, "fork", 300, 100, 200),
		madeUp(6_000_000, "fork", 1100, 900, 1400),
	}
	cells := func(line string) (list []string) {
		for c := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			list = append(list, strings.TrimSpace(c))
		}
		return list
	}
	lines := strings.Split(tenSavesTable(all), "\n")
	for i, want := range [][]string{
		{"1000000", "thread", "10.0 / 20.0 / 30.0 / 30.0", "–", "–", "200"},
		{"1000000", "fork", "10.0 / 20.0 / 30.0 / 30.0", "0.300 / 0.200 / 0.200 / 0.300", "–", "200"},
		{"6000000", "fork", "10.0 / 20.0 / 30.0 / 30.0", "1.10 / 1.10 / 1.40 / 1.40", "0.900", "1200"}, // 0.9 ms more on 1 GB more
	} {
		if got := cells(lines[i+2]); !slices.Equal(got[:len(want)], want) || got[9] != "3.00" || got[10] != "98.0" {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
	verdicts := map[string]string{}
	for _, r := range tenSavesGates(all) {
		_, verdicts[r.name] = r.gate()
	}
	for name, want := range map[string]string{
		"fork: slope of the clone, medians":                                        "yes",
		"fork: slope of the clone, last saves":                                     "NO", // 1.2 ms
		"thread, 1000000 keys: cut, longest":                                       "yes",
		"fork, 6000000 keys: RSS after the last save, off that before the first":   "yes",
		"fork, 6000000 keys: memory at rest not on huge pages, most, by INFO":      "yes",
		"fork, 6000000 keys: reserve just after the cut, of the data":              "yes",
		"thread, 1000000 keys: RSS after the last save, off that before the first": "yes",
		"thread, 1000000 keys: memory at rest not on huge pages, most, by INFO":    "yes",
		"fork, 1000000 keys: reserve before the fill":                              "",
		"thread: slope of the clone, medians":                                      "",
	} {
		if verdicts[name] != want {
			t.Errorf("%s: %q, want %q", name, verdicts[name], want)
		}
	}
}
