package result

import (
	"slices"
	"testing"
)

// names returns the names of a trial's figures.
func names(t *Trial) (out []string) {
	for _, m := range t.Metrics() {
		out = append(out, m.Name)
	}
	return out
}

func trial() *Trial {
	window := func() *Window {
		return &Window{ToSec: 1, OpsPerSecond: 10, LongestGapSec: 0.1, Ops: map[string]Latencies{
			"write": {Count: 10, P99Usec: 100}, "lag": {Count: 10, P99Usec: 7},
		}}
	}
	return &Trial{
		Windows: map[string]*Window{"idle": window(), "save": window()},
		Save:    &Save{Seconds: 2, Bytes: 10e6},
	}
}

func TestMetricsOfASave(t *testing.T) {
	got := names(trial())
	for _, want := range []string{"write p99, idle", "write p99, save", "longest gap, save", "generator late p99, save", "save", "save rate"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// What was measured around a save that failed is no figure of a save.
func TestNoMetricsOfAFailedSave(t *testing.T) {
	failed, none := trial(), trial()
	failed.Save.Error = "the disk is full"
	none.Save = nil
	for _, c := range []*Trial{failed, none} {
		if got := names(c); len(got) != 0 {
			t.Errorf("save %+v: %q", c.Save, got)
		}
	}
}

// Hard links are not written, so they have no rate.
func TestLinksHaveNoRate(t *testing.T) {
	linked := trial()
	linked.Save.SharedBytes = 90e6
	got := names(linked)
	if slices.Contains(got, "save rate") || !slices.Contains(got, "saved as links") {
		t.Errorf("%q", got)
	}
}

// A pause at the end of a save that is longer than the window of the same name is
// not lost.
func TestTheWholeOfALongSave(t *testing.T) {
	long := trial()
	long.Windows["during"] = &Window{ToSec: 5, LongestGapSec: 0.7, Ops: map[string]Latencies{"write": {Count: 50, MaxUsec: 710e3}}}
	for _, want := range []Metric{{Name: "write max, whole save", Unit: "ms", Value: 710}, {Name: "longest gap, whole save", Unit: "ms", Value: 700}} {
		if !slices.Contains(long.Metrics(), want) {
			t.Errorf("no %+v in %+v", want, long.Metrics())
		}
	}
	long.Windows["during"].ToSec = 1
	if got := names(long); slices.Contains(got, "longest gap, whole save") {
		t.Errorf("told twice: %q", got)
	}
}

// More bytes saved are neither better nor worse; of nothing but such a figure is
// that said.
func TestWhatHasNoGoodDirection(t *testing.T) {
	all := trial()
	all.Save.DeferredBytes = new(int64)
	linked := trial()
	linked.Save.SharedBytes = 1
	var got []string
	for _, m := range append(all.Metrics(), linked.Metrics()...) {
		if m.Neutral && !slices.Contains(got, m.Name) {
			got = append(got, m.Name)
		}
		if m.Neutral && m.Higher {
			t.Errorf("%q has a direction and has none", m.Name)
		}
	}
	slices.Sort(got)
	if want := []string{"deferred", "generator late p99, idle", "generator late p99, save", "saved", "saved as links"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A median of whole saves is not of the long ones alone.
func TestWholeSavesAreOfAllRounds(t *testing.T) {
	long, failed := trial(), trial()
	long.Windows["during"] = &Window{ToSec: 5, LongestGapSec: 0.7, Ops: map[string]Latencies{"write": {Count: 50, MaxUsec: 710e3}}}
	failed.Save.Error = "the disk is full"
	for _, c := range []struct {
		trials []Trial
		want   []float64
	}{
		{[]Trial{*trial(), *long, *failed, *trial()}, []float64{100, 700, 100}},
		{[]Trial{*trial(), *trial()}, nil},
	} {
		run := Run{Trials: c.trials}
		groups, samples := run.Collect()
		var got []float64
		for _, s := range samples[groups[0]] {
			if s.Name == "longest gap, whole save" {
				got = s.Values
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}
