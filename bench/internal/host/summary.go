//go:build linux

package host

import "kvd/bench/internal/result"

// Summarize fills what /proc tells of a save from the samples around it, which
// are in order of time. What they do not show stays nil:
//
//   - without a sample before the save there is nothing to compare with, and
//     without one during it no largest value: no ExtraMemoryBytes and no PTE
//     figures. A Sampler that is paused for the clone and resumed gives both.
//   - CopiedBytes is there only if a child was seen alive during the save, so
//     never for a save by a thread; ChildFaults and ChildCPUSec also if a child
//     that nobody saw left its figures.
//   - DeferredBytes is raised to the largest one if Wait has set it: the server
//     has such a figure.
//
// Faults and CPU time of the server are those between the beginning and the end
// of the save; a counter's value at either is interpolated between the samples
// next to it. Those of the child are read in the samples beyond the end too, as
// it may be waited for a while after that (redis-server looks every 100 ms).
func Summarize(samples []result.MemorySample, save *result.Save) {
	before := -1 // the last sample that is not after the beginning
	for i := range samples {
		if samples[i].AtSec <= save.AtSec {
			before = i
		}
	}
	if before < 0 {
		return
	}
	base := samples[before]
	var during []result.MemorySample
	for _, s := range samples[before+1:] {
		if s.AtSec < save.EndSec {
			during = append(during, s)
		}
	}
	if len(during) > 0 {
		summarizeMemory(base, during, save)
	}
	if last := samples[len(samples)-1]; last.AtSec >= save.EndSec {
		faults := func(s result.MemorySample) float64 { return float64(s.MinorFaults) }
		cpu := func(s result.MemorySample) float64 { return s.ServerCPUSec }
		n := int64(at(samples, save.EndSec, faults) - at(samples, save.AtSec, faults))
		sec := at(samples, save.EndSec, cpu) - at(samples, save.AtSec, cpu)
		save.MinorFaults, save.ServerCPUSec = &n, &sec
	}
	summarizeChild(samples[before:], save)
}

func summarizeMemory(base result.MemorySample, during []result.MemorySample, save *result.Save) {
	var extra, copied, deferred, seen int64
	pte := base.PTEBytes
	for _, s := range during {
		extra = max(extra, s.PssBytes-base.PssBytes)
		pte = max(pte, s.PTEBytes)
		if s.Children > 0 {
			seen, copied = seen+1, max(copied, s.CopiedBytes)
		}
		deferred = max(deferred, s.DeferredBytes)
	}
	save.ExtraMemoryBytes, save.PTEBeforeBytes, save.PTEPeakBytes = &extra, &base.PTEBytes, &pte
	if seen > 0 {
		save.CopiedBytes = &copied
	}
	if save.DeferredBytes != nil {
		deferred = max(deferred, *save.DeferredBytes)
		save.DeferredBytes = &deferred
	}
}

// waitedFor is how long after a save its child may still be unaccounted for,
// seconds.
const waitedFor = 0.5

// summarizeChild takes the samples from the one before the save on.
func summarizeChild(samples []result.MemorySample, save *result.Save) {
	last, seen := samples[0], false
	for _, s := range samples[1:] {
		if s.AtSec < save.EndSec {
			seen = seen || s.Children > 0
		}
		if s.AtSec < save.EndSec+waitedFor {
			last = s
		}
	}
	faults, sec := last.ChildFaults-samples[0].ChildFaults, last.ChildCPUSec-samples[0].ChildCPUSec
	if seen || faults > 0 {
		save.ChildFaults, save.ChildCPUSec = &faults, &sec
	}
}

// at returns a counter's value at a time, interpolated between samples; before
// the first and after the last it is theirs.
func at(samples []result.MemorySample, sec float64, of func(result.MemorySample) float64) float64 {
	for i, s := range samples {
		if s.AtSec < sec {
			continue
		}
		if i == 0 || s.AtSec == samples[i-1].AtSec {
			return of(s)
		}
		prev := samples[i-1]
		part := (sec - prev.AtSec) / (s.AtSec - prev.AtSec)
		return of(prev) + part*(of(s)-of(prev))
	}
	return of(samples[len(samples)-1])
}
