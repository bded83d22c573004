//go:build linux && (amd64 || arm64)

package apart

import "fmt"

// creationClaims are about making helpers.
func (m *measurement) creationClaims() []claim {
	where := fmt.Sprintf("median of up to %d in a Go process of %s without data", creations, bytesText(int64(m.get("creation/rss"))))
	thread, fork, start := m.get("creation/thread"), m.get("creation/fork"), m.get("creation/exec")
	return []claim{
		{topicCreation, "Creating a thread is cheaper than creating a process, because no page tables are copied.",
			"clone() of a thread that ends at once, until the call returns; " + where, "µs",
			[]string{"creation/thread", "creation/fork"},
			func() (float64, string) {
				text := verdict(fork > noise*thread) + fmt.Sprintf("a fork of the same process takes %s, %s as long; until the helper has ended and was waited for it is %s for the thread and %s for the child.",
					usText(fork), ratioText(fork, thread), usText(m.get("creation/thread life")), usText(m.get("creation/fork life")))
				if m.has("small/fork") {
					_, size, _, last := m.ends("small/fork")
					text += fmt.Sprintf(" With %s of data in 4 KiB pages the fork takes %s.", bytesText(size), usText(last))
				}
				return thread, text
			}},
		{topicCreation, "A fork copies no data, so a small process forks in well under a millisecond.",
			"clone() of a process that ends at once, until the call returns; " + where, "µs",
			[]string{"creation/fork"},
			func() (float64, string) {
				return fork, verdict(fork < 500) + fmt.Sprintf("%s until the call returns, %s until the child has ended and was waited for.",
					usText(fork), usText(m.get("creation/fork life")))
			}},
		{topicCreation, "vfork + exec costs the same however much data the caller has, because nothing of it is copied.",
			"start of true(1) by vfork and exec until the program has replaced the child; " + where, "µs",
			[]string{"creation/exec", "small/exec", "small/fork"},
			func() (float64, string) {
				_, _, little, forked := m.ends("small/fork")
				from, to, first, last := m.ends("small/exec")
				return start, verdict(flat(first, last, forked-little)) + fmt.Sprintf("%s with %s of data and %s with %s, where a fork takes %s; but the new program has nothing of the data. Without data: %s, and %s until the program has ended.",
					usText(first), bytesText(from), usText(last), bytesText(to), usText(forked),
					usText(start), usText(m.get("creation/exec life")))
			}},
		{topicCreation, "A thread of a Go program costs more than the kernel's part of it.",
			fmt.Sprintf("%d goroutines that lock a thread each and keep it, until all run, by the number of threads made; median", goThreads), "µs",
			[]string{"creation/go thread", "creation/thread"},
			func() (float64, string) {
				v := m.get("creation/go thread")
				return v, verdict(v > noise*thread) + fmt.Sprintf("%s until it runs, where the bare clone() takes %s.", usText(v), usText(thread))
			}},
		{topicCreation, "A goroutine is far cheaper than a thread, because the kernel does not know of it.",
			fmt.Sprintf("%d goroutines that end at once, from start to end, by their number; median", goroutines), "µs",
			[]string{"creation/goroutine", "creation/thread life"},
			func() (float64, string) {
				v, life := m.get("creation/goroutine"), m.get("creation/thread life")
				return v, verdict(5*v < life) + fmt.Sprintf("%s from start to end, a thread takes %s, %s as long.", usText(v), usText(life), ratioText(life, v))
			}},
	}
}

// flat tells whether a cost does not grow with the data, where that of a fork
// grows by growth: waking another core makes single figures uneven.
func flat(first, last, growth float64) bool { return last < 1.5*first || last-first < growth/10 }

// tableClaims are about what grows with the data.
func (m *measurement) tableClaims() []claim {
	const what = "clone() of a process holding data in 4 KiB pages, until the call returns; the child only waits; median of up to 5 at each size"
	return []claim{
		{topicTables, "The time of a fork grows with the memory of the process, because the page tables are copied.",
			what + "; the slope from the smallest to the largest size", "ms/GiB",
			[]string{"small/fork"},
			func() (float64, string) {
				from, to, first, last := m.ends("small/fork")
				slope := 0.0
				if to > from {
					slope = (last - first) / 1e3 / (float64(to-from) / gib)
				}
				data := float64(to) / float64(from)
				return slope, verdict(last/first > data/2 && to > from) + fmt.Sprintf("%s with %s, %s with %s: %s the data, %s the time.",
					usText(first), bytesText(from), usText(last), bytesText(to), digitsShort(data)+" times", ratioText(last, first)) + m.leftOut("sizes", "small")
			}},
		{topicTables, "Page tables take 8 bytes for each page of 4 KiB, 0.2 % of the data, and once more in the child.",
			"VmPTE of the forked child at the largest size, as a share of the data", "%",
			[]string{"small/tables"},
			func() (float64, string) {
				_, size, _, bytes := m.ends("small/tables")
				share := bytes / float64(size) * 100
				return share, verdict(share > 0.15 && share < 0.25) + fmt.Sprintf("%s of page tables for %s of data.", bytesText(int64(bytes)), bytesText(size))
			}},
		{topicTables, "Huge pages make a fork cheaper: one entry for 2 MiB instead of 512.",
			"clone() of a process holding data in huge pages, until the call returns, at the largest size; median of up to 5", "ms",
			[]string{"huge/fork", "small/fork"},
			func() (float64, string) {
				_, size, _, _ := m.ends("huge/fork")
				_, smallSize, _, _ := m.ends("small/fork")
				size = min(size, smallSize)
				huge, small := m.at("huge/fork", size), m.at("small/fork", size)
				return huge / 1e3, verdict(2*huge < small) + fmt.Sprintf("%s with %s in huge pages, %s with 4 KiB pages, %s as long.",
					usText(huge), bytesText(size), usText(small), ratioText(small, huge)) + m.leftOut("huge")
			}},
		{topicTables, "Huge pages save the memory of the page tables.",
			"VmPTE of the forked child at the largest size, as a share of the data in huge pages", "%",
			[]string{"huge/tables", "small/tables"},
			func() (float64, string) {
				_, size, _, bytes := m.ends("huge/tables")
				_, smallSize, _, small := m.ends("small/tables")
				share, smallShare := bytes/float64(size)*100, small/float64(smallSize)*100
				text := verdict(2*share < smallShare) + fmt.Sprintf("%s for %s of data (%s %%), %s %% with 4 KiB pages.",
					bytesText(int64(bytes)), bytesText(size), digits(share), digits(smallShare))
				if 2*share >= smallShare {
					text += " VmPTE counts the table that the kernel keeps in reserve for each huge page, to split it with."
				}
				return share, text
			}},
		{topicTables, "A thread costs the same however much data there is, because it shares the page tables.",
			"clone() of a thread in the process with the most data in 4 KiB pages; median of up to 50", "µs",
			[]string{"small/thread", "small/fork"},
			func() (float64, string) {
				_, _, little, forked := m.ends("small/fork")
				from, to, first, last := m.ends("small/thread")
				return last, verdict(flat(first, last, forked-little)) + fmt.Sprintf("%s with %s, %s with %s.", usText(first), bytesText(from), usText(last), bytesText(to))
			}},
		{topicTables, "The end of a child costs time too: its page tables are taken down again.",
			"clone() of a child that exits at once until it was waited for, less the clone(), at the largest size; median of up to 5", "ms",
			[]string{"small/fork life", "small/fork alone"},
			func() (float64, string) {
				_, size, _, life := m.ends("small/fork life")
				alone := m.at("small/fork alone", size)
				rest := max(0, life-alone)
				return rest / 1e3, verdict(5*rest > alone) + fmt.Sprintf("%s after a clone() of %s, with %s of data; the parent runs meanwhile.", usText(rest), usText(alone), bytesText(size))
			}},
	}
}

// leftOut says which sizes are missing, and why.
func (m *measurement) leftOut(parts ...string) string {
	text := ""
	for _, part := range parts {
		if why := m.why[part]; why != "" {
			text += " (" + why + ".)"
		}
	}
	return text
}
