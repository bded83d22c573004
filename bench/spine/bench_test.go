//go:build linux

package spine

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
)

// measurements are the figures of the spine, each with the servers it needs.
var measurements = []struct {
	name string
	run  func(*harness) []row
}{
	{"memory", measureMemory},
	{"cpu", measureCPU},
	{"save", measureSave}, // and the clone
	{"load", measureLoad},
	{"cut", measureCut},
	{"dump", measureDump},
}

// tempRoot holds everything the package writes.
var tempRoot string

func TestMain(m *testing.M) {
	var err error
	if tempRoot, err = os.MkdirTemp("", "kvd-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	removeKvd()
	_ = os.RemoveAll(tempRoot)
	os.Exit(code)
}

// BenchmarkSpine prints the rows of each measurement when it is done and the
// whole table at the end. It takes half an hour, so that a scale must be named.
func BenchmarkSpine(b *testing.B) {
	if os.Getenv("KVD_BENCH_SCALE") == "" {
		b.Skip("KVD_BENCH_SCALE=1 measures at full size, which takes half an hour")
	}
	scale, rounds := environment(b)
	var all []row
	for _, m := range measurements {
		b.Run(m.name, func(b *testing.B) {
			if b.N > 1 {
				return // the rounds repeat it, -benchtime does not
			}
			rows := m.run(newHarness(b, scale, rounds))
			fmt.Printf("\n%s\n", markdown(rows))
			all = append(all, rows...)
		})
	}
	if len(all) > 0 {
		fmt.Printf("\n%s\n%s\n", newHarness(b, scale, rounds).machine(), markdown(all))
	}
}

func environment(b *testing.B) (scale float64, rounds int) {
	scale, rounds = 1, 5
	var err error
	if s := os.Getenv("KVD_BENCH_SCALE"); s != "" {
		if scale, err = strconv.ParseFloat(s, 64); err != nil || scale <= 0 {
			b.Fatalf("KVD_BENCH_SCALE=%q: a number above 0 is wanted", s)
		}
	}
	if s := os.Getenv("KVD_BENCH_ROUNDS"); s != "" {
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 1 {
			b.Fatalf("KVD_BENCH_ROUNDS=%q: a number above 0 is wanted", s)
		}
	}
	return scale, rounds
}

// TestMeasurements runs every measurement on a few thousand keys. Only what
// must hold at any size is checked: the dumps, the digests and that there are
// figures.
func TestMeasurements(t *testing.T) {
	for _, m := range measurements {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			rows := m.run(newHarness(t, 0.001, 1))
			if len(rows) == 0 {
				t.Fatal("no figures")
			}
			for _, r := range rows {
				// Few keys may need less memory than is freed meanwhile.
				if none := math.IsNaN(r.kvd+r.redis) || math.IsInf(r.kvd+r.redis, 0); none || m.name != "memory" && (r.kvd < 0 || r.redis < 0) {
					t.Errorf("%+v: no figure", r)
				}
			}
			t.Logf("\n%s", markdown(rows))
		})
	}
}

// TestGate is the harness's own canary: a figure beyond its gate is told.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		row     row
		verdict string
	}{
		{row{kvd: 75, redis: 100, maxRatio: 0.75}, "yes"},
		{row{kvd: 76, redis: 100, maxRatio: 0.75}, "NO"},
		{row{kvd: 93, redis: 157, max: 93}, "yes"},
		{row{kvd: 93.5, redis: 157, max: 93}, "NO"},
		{row{kvd: 90, redis: 100, maxRatio: 0.75, paired: 0.7}, "yes"},
		{row{kvd: 5, redis: 1}, ""},
	} {
		if _, verdict := c.row.gate(); verdict != c.verdict {
			t.Errorf("%+v: %q, want %q", c.row, verdict, c.verdict)
		}
	}
}
