package snapshot

import (
	"strings"
	"testing"
	"time"
)

// autoBase is a server that is saved by fork, and not by a wide margin: each of
// the figures can decide otherwise.
func autoBase() autoInputs {
	return autoInputs{
		CanFork:   true,
		LastClone: 2 * time.Millisecond, LastCloneResident: 2 << 30,
		Resident: 2 << 30, Huge: true, HugeShare: 0.98,
		Free: 8 << 30, FreeSource: "MemAvailable",
		WriteRate: 8000, EntrySize: 300, Seconds: 10,
	}
}

func TestAutoChoosesForkWhenItIsFree(t *testing.T) {
	engine, reason := chooseAuto(autoBase())
	if engine != Fork || !strings.Contains(reason, "2.0 ms") || !strings.Contains(reason, "8000 writes") {
		t.Errorf("%v: %s", engine, reason)
	}
	empty, reason := chooseAuto(autoInputs{CanFork: true, Free: -1})
	if empty != Fork || !strings.Contains(reason, "estimated") {
		t.Errorf("an empty store: %v: %s", empty, reason)
	}
}

// Each input turns the base case alone, and the reason names it with its figures.
func TestAutoEachInputDecides(t *testing.T) {
	cases := []struct {
		name   string
		flip   func(in *autoInputs)
		reason []string
	}{
		{"no fork", func(in *autoInputs) { in.CanFork = false }, []string{"cannot fork"}},
		{"limit", func(in *autoInputs) { in.LimitEngine = Fork }, []string{"by fork", "save-memory-limit"}},
		{"failed", func(in *autoInputs) { in.ForkFailed = "clone: no memory" }, []string{"by fork failed", "clone: no memory"}},
		{"last clone", func(in *autoInputs) { in.LastClone = 12300 * time.Microsecond }, []string{"last clone took 12.3 ms", "5.0 ms at most"}},
		{"data of the last clone", func(in *autoInputs) { in.LastCloneResident = 512 << 20 }, []string{"last clone took 2.0 ms at 512 MB", "8.0 ms at today's 2.0 GB"}},
		{"data", func(in *autoInputs) { in.Resident = 6 << 30 }, []string{"last clone took 2.0 ms at 2.0 GB", "6.0 ms at today's 6.0 GB"}},
		{"huge pages", func(in *autoInputs) { in.Huge = false }, []string{"no huge pages", "2.0 GB"}},
		{"huge share", func(in *autoInputs) { in.HugeShare = 0.31 }, []string{"31 %", "50 % at least"}},
		{"free memory", func(in *autoInputs) { in.Free = 512 << 20 }, []string{"335 MB", "512 MB", "MemAvailable"}},
		{"write rate", func(in *autoInputs) { in.WriteRate = 20001 }, []string{"20001 writes per second", "20000 at most"}},
		{"entry size", func(in *autoInputs) { in.EntrySize = 60_000; in.Free = 4 << 30 }, []string{"2.3 GB", "4.0 GB"}},
		{"seconds", func(in *autoInputs) { in.Seconds = 500; in.Free = 4 << 30 }, []string{"3.1 GB", "500.0 s"}},
	}
	for _, c := range cases {
		in := autoBase()
		c.flip(&in)
		engine, reason := chooseAuto(in)
		if engine != Thread {
			t.Errorf("%s: %v: %s", c.name, engine, reason)
		}
		for _, want := range c.reason {
			if !strings.Contains(reason, want) {
				t.Errorf("%s: %q lacks %q", c.name, reason, want)
			}
		}
	}
	// The two that needed less free memory beside them would not have turned by that.
	in := autoBase()
	in.Free = 4 << 30
	if engine, reason := chooseAuto(in); engine != Fork {
		t.Errorf("4 GB free alone: %v: %s", engine, reason)
	}
}

func TestAutoAfterTheLimitOfThread(t *testing.T) {
	in := autoBase()
	in.LastClone, in.WriteRate, in.LimitEngine = time.Second, 1e6, Thread
	if engine, reason := chooseAuto(in); engine != Fork || !strings.Contains(reason, "by thread") {
		t.Errorf("%v: %s", engine, reason)
	}
	in.CanFork = false
	if engine, reason := chooseAuto(in); engine != Thread {
		t.Errorf("%v: %s", engine, reason)
	}
	in = autoBase()
	in.LimitEngine = Copy // asked for by name: says nothing of the two
	if engine, reason := chooseAuto(in); engine != Fork {
		t.Errorf("%v: %s", engine, reason)
	}
}

func TestAutoEstimatesTheClone(t *testing.T) {
	none := func(resident int64, huge bool) autoInputs {
		return autoInputs{Resident: resident, Huge: huge}
	}
	small := autoInputs{LastClone: 300 * time.Microsecond, LastCloneResident: 2 << 20, Resident: 2 << 30, Huge: true}
	stale := autoBase()
	stale.LastClone, stale.SavesSinceClone = 40*time.Millisecond, cloneMemory+1
	fresh := stale
	fresh.SavesSinceClone = cloneMemory
	shrunk := autoBase()
	shrunk.LastClone, shrunk.Resident = 12*time.Millisecond, 512<<20
	for _, c := range []struct {
		name string
		in   autoInputs
		want time.Duration
		says string
	}{
		{"huge", none(3<<30, true), 3 * time.Millisecond, "estimated at 3.0 ms"},
		{"4 KiB", none(3<<30, false), 36 * time.Millisecond, "estimated at 36.0 ms"},
		{"no data", none(0, false), 0, "estimated at 0.0 ms"},
		// What every process costs is not multiplied by a thousand.
		{"small before", small, 2298 * time.Microsecond, "0.3 ms at 2 MB"},
		{"stale", stale, 2 * time.Millisecond, "estimated at 2.0 ms"},
		{"not yet stale", fresh, 40 * time.Millisecond, "the last clone took 40.0 ms"},
		{"shrunk", shrunk, 3 * time.Millisecond, "3.0 ms at today's 512 MB"},
	} {
		d, says := c.in.clone()
		if diff := d - c.want; diff.Abs() > 10*time.Microsecond || !strings.Contains(says, c.says) {
			t.Errorf("%s: %v, want %v: %q", c.name, d, c.want, says)
		}
	}
}

func TestAutoSmallDataNeedNoHugePages(t *testing.T) {
	in := autoBase()
	in.Huge, in.HugeShare, in.Resident = false, 0, autoSmallPage
	if engine, reason := chooseAuto(in); engine != Fork {
		t.Errorf("%v: %s", engine, reason)
	}
}

func TestAutoUnknownFreeMemoryDecidesNothing(t *testing.T) {
	in := autoBase()
	in.Free, in.Seconds = -1, 1e6
	if engine, reason := chooseAuto(in); engine != Fork {
		t.Errorf("%v: %s", engine, reason)
	}
	in.Free = 0
	if engine, _ := chooseAuto(in); engine != Thread {
		t.Error("no free memory at all, and fork")
	}
}

func TestExpectedSeconds(t *testing.T) {
	if s := expectedSeconds(1e9, 0, 0); s != 5 {
		t.Errorf("guessed: %v", s)
	}
	if s := expectedSeconds(1e9, 1e8, 2); s != 20 {
		t.Errorf("measured: %v", s)
	}
	if s := expectedSeconds(0, 1e8, 0); s != 0 {
		t.Errorf("nothing: %v", s)
	}
}
