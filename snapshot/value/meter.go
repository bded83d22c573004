package value

import (
	"sync/atomic"

	"kvd/kv"
)

// This file runs in the forked child too: no allocation, no lock, no pointer
// written to the heap.

// Meter tells how far the writing of a View is, also in the middle of a single huge key. It is for
// one goroutine. Without Done it does nothing.
type Meter struct {
	// Done grows by kv.Entry.Bytes of what is written. Several Meters may share it.
	Done *atomic.Int64

	// Rest, if it is not nil, is called as often as Done grows.
	Rest func()

	size, parts   int64 // of the present key
	n, next, step int64 // parts that are done, how many at the next report, and between two
	told          int64 // what Done has of the key
	owed          int64 // what it has not of those before
}

// meterBytes is how much is written between two reports.
const meterBytes = 64 << 10

// begin begins a key.
func (m *Meter) begin(size, parts int64) {
	m.size, m.parts, m.n, m.told = size, max(parts, 1), 0, 0
	m.step = max(m.parts*meterBytes/max(size, 1), 1)
	m.next = m.step
}

// What an element counts for when it is written, and when it is only looked at before: what lists and
// hashes whose fields expire begin with.
const (
	partLooked  = 1
	partWritten = 8
)

// pass counts parts of a key as done.
func (m *Meter) pass(parts int64) {
	if m == nil {
		return
	}
	if m.n += parts; m.n >= m.next {
		m.report()
	}
}

func (m *Meter) report() {
	m.next = m.n + m.step
	done := min(int64(float64(m.size)*(float64(m.n)/float64(m.parts))), m.size)
	m.Done.Add(done - m.told)
	m.told = done
	if m.Rest != nil {
		m.Rest()
	}
}

// end ends a key.
func (m *Meter) end() {
	m.owed += m.size - m.told
	if m.owed >= meterBytes {
		m.Done.Add(m.owed)
		m.owed = 0
		if m.Rest != nil {
			m.Rest()
		}
	}
}

// partsOf returns how much will be passed to pass for the value.
func (s *source) partsOf() int64 {
	switch {
	case s.one:
		return 1
	case s.typ == kv.TypeStream:
		return s.stream.Nodes * partWritten
	case s.typ == kv.TypeString:
		return s.length / kv.ChunkSize * partWritten
	case s.typ == kv.TypeList, s.typ == kv.TypeHash && s.enc&kv.EncListpackEx != 0:
		return s.length * (partLooked + partWritten)
	}
	return s.length * partWritten
}
