//go:build linux && (amd64 || arm64)

package apart

import "fmt"

// faultClaims are about writes to 4 KiB pages. Figures are nanoseconds a write.
func (m *measurement) faultClaims() []claim {
	const where = "one byte in each 4 KiB page of 64 MiB, random order; median over batches"
	get := func(name string) float64 { return m.get("fault/small " + name) }
	plain, shared := get("plain"), get("shared")
	return []claim{
		{topicFaults, "A write to memory that nobody shares costs no more than a miss of the caches.",
			"plain write: " + where, "µs", []string{"fault/small plain"},
			func() (float64, string) {
				return plain / 1e3, verdict(plain < 500) + fmt.Sprintf("%s a write.", nsText(plain))
			}},
		{topicFaults, "The first write to a page that is shared with a child costs a page fault and a copy of the page.",
			"first write while a forked child lives: " + where, "µs", []string{"fault/small shared", "fault/small plain", "fault/small copy 4096"},
			func() (float64, string) {
				return shared / 1e3, verdict(shared > 3*plain && shared > get("copy 4096")) + fmt.Sprintf("%s, %s a plain write (%s); copying the 4 KiB alone takes %s.",
					nsText(shared), ratioText(shared, plain), nsText(plain), nsText(get("copy 4096")))
			}},
		{topicFaults, "Only the first write to a page pays.",
			"second write to the same pages while the child lives: " + where, "µs", []string{"fault/small again", "fault/small shared"},
			func() (float64, string) {
				again := get("again")
				return again / 1e3, verdict(5*again < shared) + fmt.Sprintf("%s the second time, %s the first time.", nsText(again), nsText(shared))
			}},
		{topicFaults, "When the child has gone its pages are not copied any more, but the first write still faults.",
			"first write after the child has ended: " + where, "µs", []string{"fault/small reused", "fault/small shared", "fault/small plain"},
			func() (float64, string) {
				reused := get("reused")
				return reused / 1e3, verdict(noise*reused < shared && reused > 3*plain) + fmt.Sprintf("%s, %s while the child lives, %s for a plain write.",
					nsText(reused), nsText(shared), nsText(plain))
			}},
		{topicFaults, "Copying a value before it is overwritten, as a thread must, is cheaper than a page fault.",
			"copy of 300 B from each page into memory touched before; median over batches", "µs", []string{"fault/small copy 300", "fault/small shared"},
			func() (float64, string) {
				v := get("copy 300")
				return v / 1e3, verdict(noise*v < shared) + fmt.Sprintf("%s, where a write to a shared page takes %s, %s as long.", nsText(v), nsText(shared), ratioText(shared, v))
			}},
		{topicFaults, "Copying a page in the program is cheaper than having the kernel copy it at a fault.",
			"copy of 4 KiB from each page into memory touched before; median over batches", "µs", []string{"fault/small copy 4096", "fault/small shared"},
			func() (float64, string) {
				v := get("copy 4096")
				return v / 1e3, verdict(noise*v < shared) + fmt.Sprintf("%s in the program, %s at a fault.", nsText(v), nsText(shared))
			}},
	}
}

// hugeFaultClaims are about writes to huge pages.
func (m *measurement) hugeFaultClaims() []claim {
	const where = "one byte in each 2 MiB of 128 MiB in huge pages, random order; median over batches"
	get := func(name string) float64 { return m.get("fault/huge " + name) }
	plain, shared, page := get("plain"), get("shared"), get("copy page")
	return []claim{
		{topicFaults, "With huge pages the first write to a shared page copies all of its 2 MiB.",
			"first write while a forked child lives: " + where, "µs", []string{"fault/huge shared", "fault/huge copy page"},
			func() (float64, string) {
				all := 2*shared > page
				text := verdict(all) + fmt.Sprintf("%s a write; copying 2 MiB in the program takes %s.", nsText(shared), nsText(page))
				if !all {
					text += " The kernel splits the mapping and copies the 4 KiB that are written to."
				}
				return shared / 1e3, text
			}},
		{topicFaults, "After that each other 4 KiB piece of the huge page faults by itself.",
			"first write to another 4 KiB of the same huge pages while the child lives; median over batches", "µs", []string{"fault/huge next", "fault/huge plain"},
			func() (float64, string) {
				next := get("next")
				return next / 1e3, verdict(next > 3*plain) + fmt.Sprintf("%s, a plain write %s.", nsText(next), nsText(plain))
			}},
		{topicFaults, "When the child has gone one fault makes a whole huge page writable.",
			"first write after the child has ended: " + where, "µs", []string{"fault/huge reused", "fault/huge copy page", "fault/huge plain"},
			func() (float64, string) {
				reused := get("reused")
				return reused / 1e3, verdict(reused > 3*plain && 2*reused < page) + fmt.Sprintf("%s for 2 MiB; a plain write takes %s, a copy of 2 MiB %s.",
					nsText(reused), nsText(plain), nsText(page))
			}},
	}
}

// isolationClaims are about what a failure takes with it.
func (m *measurement) isolationClaims() []claim {
	if m.survival != nil {
		m.add(point{Name: "survival"})
	}
	for how := range m.deaths {
		m.add(point{Name: "death " + how})
	}
	victim := fmt.Sprintf("from the order to fault until the client sees its connection closed; a process with %s of data", bytesText(m.victimHas))
	return []claim{
		{topicIsolate, "Processes are isolated: the death of a child does not touch its parent.",
			fmt.Sprintf("kvd with %d keys of %d B, SIGKILL to the child of BGSAVE FORK: slowest PING from then until INFO tells of it", isolationKeys, valueBytes), "ms",
			[]string{"survival"}, m.survived},
		{topicIsolate, "Threads are not isolated: a fault in one ends the whole process.",
			"SIGSEGV with its default action in a thread: " + victim, "ms", []string{"death signal"},
			func() (float64, string) { return m.died("signal") }},
		{topicIsolate, "A fault in any goroutine that is not recovered ends a Go server as a whole.",
			"write through a nil pointer in a goroutine: " + victim, "ms", []string{"death go"},
			func() (float64, string) { return m.died("go") }},
	}
}

// survived words what became of kvd.
func (m *measurement) survived() (float64, string) {
	s := m.survival
	dump, why := "the old dump is intact", "INFO says why: \""+s.Reason+"\""
	if !s.DumpIntact {
		dump = "the old dump has changed"
	}
	if s.Reason == "" {
		why = "INFO does not say why"
	}
	holds := s.DumpIntact && s.Reason != "" && s.Keys == isolationKeys+1
	return s.PingMsec, verdict(holds) + fmt.Sprintf("the server lives with %d keys and answers PING within %s; %s; %s.",
		s.Keys, usText(s.PingMsec*1e3), dump, why)
}

// died words what became of a victim, which was seen to end.
func (m *measurement) died(how string) (float64, string) {
	d := m.deaths[how]
	end := fmt.Sprintf("exit status %d", d.Status)
	if d.Signal != "" {
		end = "signal: " + d.Signal
	}
	text := verdict(d.Signal != "" || d.Status != 0) +
		fmt.Sprintf("the process ended (%s) and its client lost the connection after %s", end, usText(d.ClosedMsec*1e3))
	if d.Said != "" {
		text += "; it said: \"" + d.Said + "\""
	}
	return d.ClosedMsec, text + "."
}
