package compare

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kvd/bench/internal/result"
)

// runOf makes a run with one trial a value: save seconds.
func runOf(id string, saves map[string][]float64) *result.Run {
	run := &result.Run{
		ID: id, Started: time.Date(2026, 11, 22, 3, 15, 0, 0, time.UTC), Label: "label of " + id, Version: "v1",
		Machine: result.Machine{Kernel: "6.18", Arch: "amd64", CPU: "cpu", Cores: 2, MemoryBytes: 8e9, Load1: "0.10"},
		Config:  result.Config{Scale: "quick", BeforeSec: 2, AfterSec: 2, Seed: 1},
	}
	for _, name := range []string{"fork", "thread"} {
		values, ok := saves[name]
		if !ok {
			continue
		}
		run.Contestants = append(run.Contestants, result.Contestant{Name: name, Server: "kvd 1"})
		for i, v := range values {
			run.Trials = append(run.Trials, result.Trial{
				Scenario: "A", Contestant: name, Round: i + 1, Keys: 3_000_000, ValueBytes: 300,
				Save: &result.Save{Seconds: v, Bytes: 1e9},
			})
		}
	}
	return run
}

func row(t *testing.T, r *Report, contestant, metric string) *Row {
	t.Helper()
	for i := range r.Rows {
		if r.Rows[i].ContestantA == contestant && r.Rows[i].Metric == metric {
			return &r.Rows[i]
		}
	}
	t.Fatalf("no row %s, %s", contestant, metric)
	return nil
}

func runs(t *testing.T, a, b *result.Run, ca, cb string) *Report {
	t.Helper()
	r, err := Runs(a, b, ca, cb)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if utf8.RuneCountInString(line) > columns {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("blanks at the end: %q", line)
		}
	}
	return b.String()
}

func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(got), " ")
	for _, w := range want {
		if !strings.Contains(flat, w) {
			t.Errorf("no %q in\n%s", w, got)
		}
	}
}

func TestVerdicts(t *testing.T) {
	five := []float64{1, 2, 3, 4, 5}
	for _, c := range []struct {
		name    string
		a, b    []float64
		verdict Verdict // of save seconds, of which less is better
		rate    Verdict // of its rate, of which more is better
	}{
		{"all larger", five, []float64{6, 7, 8, 9, 10}, Worse, Worse},
		{"all smaller", []float64{6, 7, 8, 9, 10}, five, Better, Better},
		{"U = 2", five, []float64{3.5, 4.5, 6, 7, 8}, WithinNoise, WithinNoise}, // U is 3: p 0.0556
		{"U = 2, indeed", five, []float64{4.5, 4.6, 6, 7, 8}, Worse, Worse},
		{"the same", five, five, WithinNoise, WithinNoise},
		{"all equal", []float64{2, 2, 2, 2, 2}, []float64{2, 2, 2, 2, 2}, WithinNoise, WithinNoise},
		{"no variance", []float64{2, 2, 2, 2, 2}, []float64{3, 3, 3, 3, 3}, Worse, Worse},
		{"four rounds", five, []float64{6, 7, 8, 9}, CannotTell, CannotTell},
		{"one round", []float64{1}, []float64{9}, CannotTell, CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := runs(t, runOf("A", map[string][]float64{"fork": c.a}), runOf("B", map[string][]float64{"fork": c.b}), "", "")
			if got := row(t, r, "fork", "save").Verdict; got != c.verdict {
				t.Errorf("save: %s, want %s", got, c.verdict)
			}
			if got := row(t, r, "fork", "save rate").Verdict; got != c.rate {
				t.Errorf("rate: %s, want %s", got, c.rate)
			}
		})
	}
}

// More bytes are a difference, not a gain or a loss.
func TestNeutralMetricsDiffer(t *testing.T) {
	five := []float64{1, 2, 3, 4, 5}
	a, b := runOf("A", map[string][]float64{"fork": five}), runOf("B", map[string][]float64{"fork": five})
	for i := range b.Trials {
		b.Trials[i].Save.Bytes += 5e6
	}
	for _, r := range []*Report{runs(t, a, b, "", ""), runs(t, b, a, "", "")} {
		if got := row(t, r, "fork", "saved").Verdict; got != Differs {
			t.Errorf("%s", got)
		}
		wantText(t, text(t, r), "00 differs", "3 metrics: B is better in 0, worse in 0, within noise in 2; cannot tell in 0. B differs in 1 of which neither more nor less is better.")
	}
	if got := row(t, runs(t, a, runOf("C", map[string][]float64{"fork": five}), "", ""), "fork", "saved").Verdict; got != WithinNoise {
		t.Errorf("%s", got)
	}
}

func TestRowFigures(t *testing.T) {
	a := runOf("A", map[string][]float64{"fork": {1, 2, 3, 4, 5}})
	b := runOf("B", map[string][]float64{"fork": {6, 7, 8, 9, 10}})
	r := row(t, runs(t, a, b, "", ""), "fork", "save")
	if r.MedianA != 3 || r.MedianB != 8 || math.Abs(r.Ratio-8.0/3) > 1e-12 || r.Cliff != 1 || r.Shift != 5 || math.Abs(r.P-2.0/252) > 1e-9 || r.Unit != "s" {
		t.Errorf("%+v", r)
	}
	zero := runOf("A", map[string][]float64{"fork": {0, 0, 0, 0, 0}})
	out := runs(t, zero, b, "", "")
	if r := row(t, out, "fork", "save"); !math.IsNaN(r.Ratio) || r.Verdict != Worse {
		t.Errorf("%+v", r)
	}
	// No save rate where a save took no time: a metric of B alone.
	if r := row(t, out, "fork", "save rate"); r.Verdict != CannotTell || len(r.A) != 0 || len(r.B) != 5 {
		t.Errorf("%+v", r)
	}
	wantText(t, text(t, out), "save rate (MB/s) - 125.0 - - - - cannot tell (n=0)", "save (s) 0 8.000 - +8.000 0.0079 +1.00 worse")

	a.Trials[0].Save.Seconds = math.NaN()
	if r := row(t, runs(t, a, b, "", ""), "fork", "save"); len(r.A) != 4 || r.Verdict != CannotTell {
		t.Errorf("%+v", r)
	}
}

func TestText(t *testing.T) {
	a := runOf("20261122T031500Z-000a", map[string][]float64{"fork": {1, 2, 3, 4, 5}, "thread": {1, 2, 3}})
	b := runOf("20261122T041500Z-000b", map[string][]float64{"fork": {6, 7, 8, 9, 10}, "thread": {1, 2, 3}})
	b.Version = "v2"
	got := text(t, runs(t, a, b, "", ""))
	wantText(t, got,
		"A 20261122T031500Z-000a label of 20261122T031500Z-000a 2026-11-22 03:15 UTC kvd v1",
		"B 20261122T041500Z-000b",
		"version of kvd differs: A v1, B v2",
		"Scenario A, fork, 3,000,000 keys, rounds: 5 and 5",
		"save (s) 3.000 8.000 2.67 +5.000 0.0079 +1.00 worse",
		"saved (MB) 1000 1000 1.00 0 1.0000 0 within noise",
		"Scenario A, thread, 3,000,000 keys, rounds: 3 and 3",
		"save (s) 2.000 2.000 1.00 0 - 0 cannot tell (n=3)",
		"6 metrics: B is better in 0, worse in 2, within noise in 1; cannot tell in 3.",
		"Of 3 tests 0.2 are expected to be below by chance alone",
		"fewer than 5 rounds a side",
	)
	if strings.Contains(got, "unfair") || strings.Contains(got, "only:") {
		t.Error(got)
	}
}

func TestTwoContestantsOfARun(t *testing.T) {
	a := runOf("A", map[string][]float64{"fork": {1, 2, 3, 4, 5}, "thread": {6, 7, 8, 9, 10}})
	r := runs(t, a, a, "fork", "thread")
	if len(r.Warnings) != 0 || len(r.OnlyA) != 0 || len(r.OnlyB) != 0 || len(r.Rows) != 3 {
		t.Fatalf("%+v", r)
	}
	if row := row(t, r, "fork", "save"); row.Verdict != Worse || row.ContestantB != "thread" {
		t.Errorf("%+v", row)
	}
	wantText(t, text(t, r), "A A:fork", "B A:thread", "Scenario A, fork (A) and thread (B), 3,000,000 keys")
	if r := runs(t, a, a, "thread", "fork"); row(t, r, "thread", "save").Verdict != Better {
		t.Error("the other way round")
	}
}

func TestWhatCannotBeCompared(t *testing.T) {
	a := runOf("A", map[string][]float64{"fork": {1}, "thread": {1}})
	b := runOf("B", map[string][]float64{"fork": {1}})
	for _, c := range []struct {
		a, b   *result.Run
		ca, cb string
		words  string
	}{
		{a, a, "", "", "the same"},
		{a, a, "fork", "fork", "the same"},
		{a, a, "fork", "", "the same"},
		{a, b, "copy", "fork", `run A has no contestant "copy"; it has fork, thread`},
		{a, b, "thread", "", `run B has no contestant "thread"; it has fork`},
	} {
		if _, err := Runs(c.a, c.b, c.ca, c.cb); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s %s: %v", c.ca, c.cb, err)
		}
	}
	// One named is both.
	if r := runs(t, a, b, "", "fork"); len(r.Rows) != 3 || r.A.Contestant != "fork" {
		t.Errorf("%+v", r)
	}
	if run, c := SplitRef("last~1:pebble-sync"); run != "last~1" || c != "pebble-sync" {
		t.Error(run, c)
	}
	if run, c := SplitRef("last"); run != "last" || c != "" {
		t.Error(run, c)
	}
}

func TestGroupsOfOneSideOnly(t *testing.T) {
	a := runOf("A", map[string][]float64{"fork": {1}, "thread": {1}})
	b := runOf("B", map[string][]float64{"fork": {1}})
	b.Trials = append(b.Trials, result.Trial{Scenario: "G", Contestant: "fork", Keys: 1000, Save: &result.Save{Seconds: 1}})
	r := runs(t, a, b, "", "")
	if !slices.Equal(r.OnlyA, []string{"scenario A, thread, 3,000,000 keys"}) || !slices.Equal(r.OnlyB, []string{"scenario G, fork, 1,000 keys"}) {
		t.Errorf("%q %q", r.OnlyA, r.OnlyB)
	}
	wantText(t, text(t, r), "In A only: - scenario A, thread, 3,000,000 keys", "In B only: - scenario G, fork, 1,000 keys")

	b.Trials = b.Trials[1:]
	wantText(t, text(t, runs(t, a, b, "", "")), "Nothing to compare")
}

func TestWarnings(t *testing.T) {
	build := func() (*result.Run, *result.Run) {
		values := map[string][]float64{"fork": {1, 2, 3, 4, 5}}
		return runOf("A", values), runOf("B", values)
	}
	if a, b := build(); len(runs(t, a, b, "", "").Warnings) != 0 {
		t.Error("warnings about runs that are alike")
	}
	for _, c := range []struct {
		change func(a, b *result.Run)
		want   string
	}{
		{func(_, b *result.Run) { b.Machine.Kernel = "5.10" }, "kernel differs: A 6.18, B 5.10"},
		{func(_, b *result.Run) { b.Machine.Cores = 4 }, "number of cores differs: A 2, B 4"},
		{func(_, b *result.Run) { b.Machine.CPU = "" }, "CPU differs: A cpu, B unknown"},
		{func(_, b *result.Run) { b.Machine.Arch = "arm64" }, "architecture differs: A amd64, B arm64"},
		{func(_, b *result.Run) { b.Machine.MemoryBytes = 16e9 }, "memory of the machine differs: A 8000 MB, B 16000 MB"},
		{func(_, b *result.Run) { b.Machine.HugePages = "never" }, "setting of transparent huge pages differs: A unknown, B never"},
		{func(_, b *result.Run) { b.Machine.Filesystem = "tmpfs" }, "file system of the data differs: A unknown, B tmpfs"},
		{func(_, b *result.Run) { b.Config.Scale = "full" }, "scale differs: A quick, B full"},
		{func(_, b *result.Run) { b.Config.BeforeSec = 2.5 }, "window before the save differs: A 2 s, B 2.5 s"},
		{func(_, b *result.Run) { b.Config.AfterSec = 9 }, "window after the save differs: A 2 s, B 9 s"},
		{func(_, b *result.Run) { b.Config.Seed = 2 }, "seed differs: A 1, B 2"},
		{func(_, b *result.Run) { b.Partial = "interrupted" }, "B: the run is partial: interrupted"},
		{func(_, b *result.Run) { b.Machine.Load1 = "3.50" }, "B: the machine was busy at the start: load average 3.50 on 2 cores"},
		{func(a, _ *result.Run) { a.Trials[1].Partial = true }, "A: 1 trial interrupted and left out"},
		{func(a, _ *result.Run) { a.Trials[0].Error = "it died" }, "A: 1 trial with an error, used as far as measured: it died"},
		{func(a, _ *result.Run) { a.Trials[0].GeneratorBound, a.Trials[1].GeneratorBound = true, true },
			"A: 2 trials bound by the generator: the server can do more than was measured"},
		{func(_, b *result.Run) { b.Trials[0].ValueBytes = 1000 }, "scenario A: value size differs: A 300 B, B 1000 B"},
		{func(_, b *result.Run) { b.Trials[0].TargetRate = 5000 }, "scenario A: request rate differs: A closed loop, B 5000/s"},
		{func(_, b *result.Run) { b.Contestants[0].Remote = true },
			"fork: place differs: A started by the benchmark, B started elsewhere"},
	} {
		a, b := build()
		c.change(a, b)
		r := runs(t, a, b, "", "")
		if !slices.Contains(r.Warnings, c.want) {
			t.Errorf("%q lacks %q", r.Warnings, c.want)
		}
		wantText(t, text(t, r), "unfair", c.want)
	}
	a, b := build()
	b.Contestants[0].Server, b.Contestants[0].Note = "kvd 2", "huge"
	r := runs(t, a, b, "", "")
	if !slices.Equal(r.Notes, []string{"fork: server differs: A kvd 1, B kvd 2", "fork: setting differs: A unknown, B huge"}) || len(r.Warnings) != 0 {
		t.Errorf("%q", r.Notes)
	}
	// An interrupted trial is not among the values.
	a, b = build()
	a.Trials[4].Partial = true
	if row := row(t, runs(t, a, b, "", ""), "fork", "save"); len(row.A) != 4 {
		t.Errorf("%+v", row)
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.00012: "1.2e-04", 1.23456: "1.235", -9.5: "-9.500", 12.34: "12.3", 999.94: "999.9",
		1234.5: "1234", 99999999: "99999999", 1.5e9: "1.5e+09", -99999999: "-99999999",
	} {
		if got := figure(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 3000000: "3,000,000", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestLongNamesFit(t *testing.T) {
	a := runOf("A", map[string][]float64{"fork": {1}})
	a.Label = strings.Repeat("label ", 30)
	a.Contestants[0].Name, a.Trials[0].Contestant = strings.Repeat("n", 120), strings.Repeat("n", 120)
	a.Machine.CPU = strings.Repeat("word ", 40)
	text(t, runs(t, a, runOf("B", map[string][]float64{"fork": {1}}), "", ""))
}
