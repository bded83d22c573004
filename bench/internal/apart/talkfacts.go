//go:build linux && (amd64 || arm64)

package apart

import "fmt"

// talkClaims are about one word there and one back. Figures are microseconds.
func (m *measurement) talkClaims() []claim {
	const trip = "round trip; median over batches of 100"
	const oneCore = "both on one core, " + trip
	// What a core of his own costs the sleeper.
	two := func(name string) string {
		if !m.has("talk/" + name + twoCores) {
			return ""
		}
		return fmt.Sprintf(" With a core for each it takes %s.", usText(m.get("talk/"+name+twoCores)))
	}
	get := func(name string) float64 { return m.get("talk/" + name) }
	pipe, channel := get("pipe"), get("channel")
	pages, threads := get("pages spin"), get("threads spin")
	pagesSleep, threadsSleep := get("pages futex"), get("threads futex")
	return []claim{
		{topicTalk, "Threads reach each other through memory alone, in the time that a cache line takes between cores.",
			"two threads that spin on a word of shared memory, a core for each: " + trip, "µs", []string{"talk/threads spin"},
			func() (float64, string) {
				return threads, verdict(threads < 1) + fmt.Sprintf("%s there and back.", usText(threads))
			}},
		{topicTalk, "A page shared between processes is as fast as the memory of threads.",
			"two processes that spin on a word of a MAP_SHARED page, a core for each: " + trip, "µs", []string{"talk/pages spin", "talk/threads spin"},
			func() (float64, string) {
				return pages, verdict(pages < 1.5*threads) + fmt.Sprintf("%s between processes, %s between threads.", usText(pages), usText(threads))
			}},
		{topicTalk, "What costs is waking a sleeper, not that it is in another process.",
			"two processes that sleep by futex on a word of a MAP_SHARED page: " + oneCore, "µs", []string{"talk/pages futex", "talk/threads futex"},
			func() (float64, string) {
				holds := pagesSleep < 1.5*threadsSleep
				text := fmt.Sprintf("%s between processes, %s between threads", usText(pagesSleep), usText(threadsSleep))
				if m.has("talk/pages spin") {
					holds = holds && pagesSleep > 3*pages
					text += fmt.Sprintf(", %s without sleep", usText(pages))
				}
				return pagesSleep, verdict(holds) + text + "." + two("pages futex")
			}},
		{topicTalk, "Threads that sleep pay the kernel too.",
			"two threads that sleep by futex on a word of shared memory: " + oneCore, "µs", []string{"talk/threads futex", "talk/channel"},
			func() (float64, string) {
				return threadsSleep, verdict(threadsSleep > noise*channel) + fmt.Sprintf("%s; goroutines, which Go wakes without the kernel where it can, take %s.", usText(threadsSleep), usText(channel)) + two("threads futex")
			}},
		{topicTalk, "Processes talk through the kernel, which is dear: system calls and a switch on each side.",
			"one byte through a pipe to a process and one back: " + oneCore, "µs", []string{"talk/pipe", "talk/channel", "talk/pages futex"},
			func() (float64, string) {
				text := verdict(pipe > 2*channel) + fmt.Sprintf("%s; between goroutines by channel %s", usText(pipe), usText(channel))
				if m.has("talk/threads spin") {
					text += fmt.Sprintf(", between spinning threads %s", usText(threads))
				}
				return pipe, text + fmt.Sprintf(", by futex in a shared page %s.", usText(pagesSleep)) + two("pipe")
			}},
		{topicTalk, "Goroutines hand over faster than threads that sleep.",
			"an unbuffered channel there and one back between two goroutines: " + trip, "µs", []string{"talk/channel", "talk/threads futex"},
			func() (float64, string) {
				return channel, verdict(noise*channel < threadsSleep) + fmt.Sprintf("%s by channel, %s by futex, %s as long.", usText(channel), usText(threadsSleep), ratioText(threadsSleep, channel))
			}},
	}
}

// bulkClaims are about handing over data of some size.
func (m *measurement) bulkClaims() []claim {
	var out []claim
	for _, size := range bulkSizes {
		needs := []string{"talk/bulk pipe", "talk/bulk pointer"}
		if _, ok := m.values[point{Name: "talk/bulk pipe", Size: size}]; !ok { // the last of a size
			needs = []string{fmt.Sprint("talk/bulk ", size)}
		}
		out = append(out, claim{topicTalk,
			fmt.Sprintf("Threads pass a pointer to %s, processes copy them through the kernel.", bytesText(size)),
			fmt.Sprintf("%s through a pipe to a process, until it has said with one byte that it has them; median", bytesText(size)), "µs",
			needs,
			func() (float64, string) {
				pipe, pointer := m.at("talk/bulk pipe", size), m.at("talk/bulk pointer", size)
				return pipe, verdict(pipe > noise*pointer) + fmt.Sprintf("%s through the pipe, %s for a pointer through a channel and the answer, %s for a copy within a thread.",
					usText(pipe), usText(pointer), usText(m.at("talk/bulk copy", size)))
			}})
	}
	return out
}
