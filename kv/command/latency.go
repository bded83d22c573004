package command

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The latency monitor, as Redis has it: whatever takes at least
// latency-monitor-threshold is noted under the name of an event, one sample per
// second and event, the longest of that second. The events are
//
//	command, fast-command  a command that blocked its event loop; fast ones are those
//	                       that COMMAND INFO says so of
//	fork                   clone() of the process for a background save
//	save-cut               all locks taken to all locks released, the clone included
//	save-thread            the longest time for which a save by thread held a lock
//	cow-fault              the kernel copied pages that a child shares
//
// The last four are reported by whoever saves, through LatencyEvent.

// latencySamples is how many seconds are kept for each event.
const latencySamples = 160

// latencyOff is the threshold that nothing reaches.
const latencyOff = math.MaxInt64

// latencyMonitor is the state of LATENCY.
type latencyMonitor struct {
	threshold atomic.Int64 // nanoseconds; latencyOff when nothing is monitored

	mu     sync.Mutex
	events map[string]*latencySeries
}

// latencySample is the longest time within one second.
type latencySample struct {
	unix  int64 // seconds; 0 if the place was never used
	milli int64
}

// latencySeries is a ring of the last samples of an event.
type latencySeries struct {
	ring [latencySamples]latencySample
	next int
	max  int64 // in ms, of all samples ever
}

// LatencyEvent notes that an event took so long, if that reaches
// latency-monitor-threshold. Any goroutine may call it; below the threshold it
// costs one atomic load.
func (e *Engine) LatencyEvent(event string, d time.Duration) {
	if m := &e.state.latency; int64(d) >= m.threshold.Load() {
		m.add(event, time.Now().Unix(), d.Milliseconds())
	}
}

// setLatencyThreshold follows the directive.
func (e *Engine) setLatencyThreshold() {
	milli := e.Config.Int("latency-monitor-threshold")
	threshold := int64(latencyOff)
	if milli > 0 && milli <= latencyOff/int64(time.Millisecond) {
		threshold = milli * int64(time.Millisecond)
	}
	e.state.latency.threshold.Store(threshold)
}

// commandLatency notes a command, or a series of quick ones that share a reading
// of the clock (see endSeries), that took nanos: it has reached the threshold.
func (x *Ctx) commandLatency(s *Spec, nanos int64) {
	event := "command"
	if s.Flags&Fast != 0 {
		event = "fast-command"
	}
	x.LatencyEvent(event, time.Duration(nanos))
}

func (m *latencyMonitor) add(event string, unix, milli int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.events[event]
	if s == nil {
		if m.events == nil {
			m.events = map[string]*latencySeries{}
		}
		s = &latencySeries{}
		m.events[event] = s
	}
	s.max = max(s.max, milli)
	if last := &s.ring[(s.next+latencySamples-1)%latencySamples]; last.unix == unix {
		last.milli = max(last.milli, milli)
		return
	}
	s.ring[s.next] = latencySample{unix, milli}
	s.next = (s.next + 1) % latencySamples
}

// latencyEvent is what is known of an event: its samples, the oldest first, and
// the longest time ever.
type latencyEvent struct {
	name    string
	samples []latencySample
	max     int64
}

func (s *latencySeries) event(name string) latencyEvent {
	ev := latencyEvent{name: name, max: s.max}
	for i := range latencySamples {
		if sample := s.ring[(s.next+i)%latencySamples]; sample.unix != 0 {
			ev.samples = append(ev.samples, sample)
		}
	}
	return ev
}

// event returns an event, without samples if it never took long.
func (m *latencyMonitor) event(name string) latencyEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.events[name]; s != nil {
		return s.event(name)
	}
	return latencyEvent{name: name}
}

// all returns all events in order of their names.
func (m *latencyMonitor) all() []latencyEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []latencyEvent
	for name, s := range m.events {
		list = append(list, s.event(name))
	}
	slices.SortFunc(list, func(a, b latencyEvent) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// reset forgets the named events, or all, and returns how many it had.
func (m *latencyMonitor) reset(names []string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(names) == 0 {
		n = len(m.events)
		clear(m.events)
		return n
	}
	for _, name := range names {
		if m.events[name] != nil {
			delete(m.events, name)
			n++
		}
	}
	return n
}

// figures sums the samples up: the shortest and longest of them, their average
// and their mean deviation from it, all in ms. There is at least one.
func (ev *latencyEvent) figures() (low, high, average, deviation int64) {
	low = ev.samples[0].milli
	var sum int64
	for _, s := range ev.samples {
		low, high = min(low, s.milli), max(high, s.milli)
		sum += s.milli
	}
	n := int64(len(ev.samples))
	average = sum / n
	for _, s := range ev.samples {
		deviation += max(s.milli-average, average-s.milli)
	}
	return low, high, average, deviation / n
}
