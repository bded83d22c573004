package compare

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"kvd/bench/internal/result"
)

// warn fills Warnings and Notes.
func (r *Report) warn() {
	a, b := r.A.Run, r.B.Run
	if a.ID != b.ID {
		r.Warnings = append(r.Warnings, machineDiffers(&a.Machine, &b.Machine)...)
		r.Warnings = append(r.Warnings, configDiffers(&a.Config, &b.Config)...)
	}
	r.warnSide("A", r.A)
	if a.ID != b.ID || r.A.Contestant != r.B.Contestant {
		r.warnSide("B", r.B)
	}
	r.warnGroups()
	r.noteContestants()
}

// differ words a difference; empty if there is none.
func differ(what, a, b string) []string {
	if a == b {
		return nil
	}
	show := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return s
	}
	return []string{fmt.Sprintf("%s differs: A %s, B %s", what, show(a), show(b))}
}

// memoryTolerance is how much the memory of one machine may seem to vary: the
// kernel's own part differs from start to start.
const memoryTolerance = 0.01

func machineDiffers(a, b *result.Machine) []string {
	out := slices.Concat(
		differ("kernel", a.Kernel, b.Kernel),
		differ("architecture", a.Arch, b.Arch),
		differ("CPU", a.CPU, b.CPU),
		differ("number of cores", strconv.Itoa(a.Cores), strconv.Itoa(b.Cores)),
		differ("setting of transparent huge pages", a.HugePages, b.HugePages),
		differ("setting of huge page defragmentation", a.HugeDefrag, b.HugeDefrag),
		differ("file system of the data", a.Filesystem, b.Filesystem),
		differ("Go version", a.Go, b.Go),
	)
	if math.Abs(float64(a.MemoryBytes-b.MemoryBytes)) > memoryTolerance*float64(max(a.MemoryBytes, b.MemoryBytes)) {
		out = append(out, differ("memory of the machine", megabytes(a.MemoryBytes), megabytes(b.MemoryBytes))...)
	}
	return out
}

func configDiffers(a, b *result.Config) []string {
	return slices.Concat(
		differ("scale", a.Scale, b.Scale),
		differ("window before the save", seconds(a.BeforeSec), seconds(b.BeforeSec)),
		differ("window after the save", seconds(a.AfterSec), seconds(b.AfterSec)),
		differ("seed", strconv.FormatUint(a.Seed, 10), strconv.FormatUint(b.Seed, 10)),
	)
}

// busyLoad is the load average at the start, per core, above which something
// else was running.
const busyLoad = 0.5

// warnSide adds what weakens the figures of one side.
func (r *Report) warnSide(name string, s Side) {
	warn := func(format string, args ...any) {
		r.Warnings = append(r.Warnings, name+": "+fmt.Sprintf(format, args...))
	}
	if s.Run.Partial != "" {
		warn("the run is partial: %s", s.Run.Partial)
	}
	load, _, _ := strings.Cut(s.Run.Machine.Load1, " ")
	if v, err := strconv.ParseFloat(load, 64); err == nil && v > busyLoad*float64(max(s.Run.Machine.Cores, 1)) {
		warn("the machine was busy at the start: load average %s on %d cores", load, s.Run.Machine.Cores)
	}
	var partial, failed, bound int
	var firstError string
	for i := range s.Run.Trials {
		t := &s.Run.Trials[i]
		switch {
		case !s.picks(t):
			continue
		case t.Partial:
			partial++
		case t.Error != "":
			failed++
			if firstError == "" {
				firstError = t.Error
			}
		}
		if s.usable(t) && t.GeneratorBound {
			bound++
		}
	}
	if partial > 0 {
		warn("%s interrupted and left out", trials(partial))
	}
	if failed > 0 {
		warn("%s with an error, used as far as measured: %s", trials(failed), firstError)
	}
	if bound > 0 {
		warn("%s bound by the generator: the server can do more than was measured", trials(bound))
	}
}

func trials(n int) string {
	if n == 1 {
		return "1 trial"
	}
	return strconv.Itoa(n) + " trials"
}

// warnGroups adds differences in what the trials of a pair of groups did.
func (r *Report) warnGroups() {
	first := func(s Side) map[result.Group]*result.Trial {
		out := map[result.Group]*result.Trial{}
		for i := range s.Run.Trials {
			t := &s.Run.Trials[i]
			g := result.Group{Scenario: t.Scenario, Contestant: t.Contestant, Keys: t.Keys}
			if _, ok := out[g]; !ok && s.usable(t) && t.Skipped == "" {
				out[g] = t
			}
		}
		return out
	}
	b := first(r.B)
	var seen []string
	for i := range r.A.Run.Trials {
		t := &r.A.Run.Trials[i]
		g := result.Group{Scenario: t.Scenario, Contestant: t.Contestant, Keys: t.Keys}
		other := b[r.counterpart(g)]
		if other == nil || !r.A.usable(t) || t.Skipped != "" {
			continue
		}
		where := "scenario " + t.Scenario + ": "
		for _, w := range slices.Concat(
			differ(where+"value size", fmt.Sprintf("%d B", t.ValueBytes), fmt.Sprintf("%d B", other.ValueBytes)),
			differ(where+"request rate", rate(t.TargetRate), rate(other.TargetRate)),
		) {
			if !slices.Contains(seen, w) {
				seen = append(seen, w)
			}
		}
	}
	r.Warnings = append(r.Warnings, seen...)
}

// noteContestants tells how the servers that are compared differ.
func (r *Report) noteContestants() {
	r.Notes = append(r.Notes, differ("version of kvd", r.A.Run.Version, r.B.Run.Version)...)
	for _, a := range r.A.Run.Contestants {
		if r.A.Contestant != "" && r.A.Contestant != a.Name {
			continue
		}
		want := a.Name
		if r.A.Contestant != "" {
			want = r.B.Contestant
		}
		at := slices.IndexFunc(r.B.Run.Contestants, func(c result.Contestant) bool { return c.Name == want })
		if at < 0 {
			continue
		}
		b := r.B.Run.Contestants[at]
		name := a.Name + ": "
		if a.Name != b.Name {
			name = a.Name + " and " + b.Name + ": "
		}
		r.Notes = append(r.Notes, slices.Concat(
			differ(name+"server", a.Server, b.Server),
			differ(name+"save", a.Save, b.Save),
			differ(name+"setting", a.Note, b.Note),
		)...)
		if a.Remote != b.Remote {
			r.Warnings = append(r.Warnings, differ(name+"place", place(a.Remote), place(b.Remote))...)
		}
	}
}

func place(remote bool) string {
	if remote {
		return "started elsewhere"
	}
	return "started by the benchmark"
}

func rate(perSecond float64) string {
	if perSecond == 0 {
		return "closed loop"
	}
	return fmt.Sprintf("%.0f/s", perSecond)
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'g', -1, 64) + " s" }

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n/1_000_000) }
