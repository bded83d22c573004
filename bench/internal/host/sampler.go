//go:build linux

package host

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/result"
)

const (
	readTries = 3 // of a sample during which a child came or went
	// idlePerWalk bounds the sampler's share of a core at a twentieth: it must not
	// weigh more on a server whose pages take long to walk.
	idlePerWalk = 19
	// longestIdle is how long it pauses at most: a peak that nobody looks at is lost.
	longestIdle = time.Second
	infoLimit   = 2 * time.Second // for the deferred bytes; a stopped server must not stop the sampler
)

// Sampler reads the memory, faults and CPU time of a server and its descendants
// at an interval.
//
// Every figure of a sample is an underestimate or exact, never more: the
// descendants are listed first, then the server is read, then they are. A child
// that ends in between makes the sum of Pss too small (and the sample is taken
// again); in another order memory that is shared would count twice.
//
//   - PssBytes, PTEBytes: server and descendants.
//   - RssBytes, HugeBytes, MinorFaults, ServerCPUSec: the server alone.
//   - CopiedBytes: Private_Dirty of the descendants, without files. What a forked
//     child has for itself alone is what the server has changed since (the kernel
//     copied it) and the child's own buffers; Redis calls it copy-on-write.
//   - ChildFaults, ChildCPUSec: descendants that live, and those that ended, as
//     soon as they have been waited for. Never smaller than in the sample before.
//   - DeferredBytes: mem_arena_deferred of INFO; kvd has it.
type Sampler struct {
	server *Server
	now    func() time.Duration
	every  time.Duration
	defers bool    // INFO has DeferredBytes
	info   *client // for them, of the sampler's own: a long command on the Server's must not delay a sample

	quit   chan struct{}
	ended  chan struct{}
	finish sync.Once

	mu      sync.Mutex // held while a sample is taken
	paused  bool
	samples []result.MemorySample
	err     error
}

// NewSampler takes a first sample and then one every so often until Stop, or less
// often, down to once a second, where that would take more than a twentieth of a
// core, each with the time that now tells at its beginning. Of a remote server it takes none.
// What a sample costs, and so what interval is reasonable, depends on the size
// and the pages of the server: see readPages.
func NewSampler(s *Server, now func() time.Duration, every time.Duration) *Sampler {
	m := &Sampler{server: s, now: now, every: max(every, time.Millisecond),
		quit: make(chan struct{}), ended: make(chan struct{})}
	if s.Remote {
		close(m.ended)
		return m
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, m.defers = m.deferred()
	m.sample()
	go m.run()
	return m
}

func (m *Sampler) run() {
	defer close(m.ended)
	runtime.LockOSThread() // for threadTime
	defer runtime.UnlockOSThread()
	t := time.NewTimer(m.every)
	defer t.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-t.C:
		}
		begin := threadTime()
		m.mu.Lock()
		if !m.paused {
			m.sample()
		}
		m.mu.Unlock()
		// Not the time that has passed: a sample that waits, for a core or for a server
		// that stands still, costs nothing, and then it is that the next ones matter.
		t.Reset(max(m.every, min(longestIdle, idlePerWalk*(threadTime()-begin))))
	}
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // never fails
	return time.Duration(ts.Nano())
}

// Pause takes a sample and returns; none is taken or under way from then on
// until Resume. Call it just before a save: a clone() would wait for the walk of
// the page tables, and the sample is the state to compare with.
func (m *Sampler) Pause() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.paused && !m.server.Remote {
		m.sample()
	}
	m.paused = true
}

// Resume goes on, and has taken a sample when it returns: a save that is over
// before the next one would have no figures else.
func (m *Sampler) Resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paused && !m.server.Remote {
		m.sample()
	}
	m.paused = false
}

// Stop takes a last sample, unless the server has gone, and returns all of them
// by time. Idempotent. The caller owns the slice.
func (m *Sampler) Stop() []result.MemorySample {
	m.finish.Do(func() {
		close(m.quit)
		<-m.ended
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.server.Remote {
			return
		}
		m.sample()
		m.hangUp()
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.samples)
}

// Err returns why the last sample could not be taken, nil if it could. That the
// server has ended is such a reason.
func (m *Sampler) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// sample takes one; the caller holds mu.
func (m *Sampler) sample() {
	if m.server.exited() {
		m.err = m.server.exit()
		return
	}
	var s result.MemorySample
	for try := 0; try < readTries; try++ {
		at := m.now().Seconds()
		var steady bool
		if s, steady, m.err = readTree(m.server.PID); m.err != nil {
			return
		}
		s.AtSec = at
		if steady {
			break
		}
	}
	if n := len(m.samples); n > 0 {
		last := m.samples[n-1]
		s.ChildFaults = max(s.ChildFaults, last.ChildFaults)
		s.ChildCPUSec = max(s.ChildCPUSec, last.ChildCPUSec)
	}
	if m.defers {
		s.DeferredBytes, _ = m.deferred()
	}
	m.samples = append(m.samples, s)
}

// Usage reads one sample without a Sampler; AtSec and DeferredBytes are 0. It is
// an error if the server has ended or is remote.
func (s *Server) Usage() (result.MemorySample, error) {
	switch {
	case s.Remote:
		return result.MemorySample{}, errors.New("a remote server is not in /proc")
	case s.exited():
		return result.MemorySample{}, s.exit()
	}
	m, _, err := readTree(s.PID)
	return m, err
}

// deferred asks kvd for the bytes it holds back for a save. The other servers
// have no such figure.
func (m *Sampler) deferred() (n int64, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), infoLimit)
	defer cancel()
	if m.info == nil {
		var err error
		if m.info, err = dial(ctx, m.server.Addr); err != nil {
			m.info = nil
			return 0, false
		}
	}
	reply, err := m.info.do(ctx, "INFO", "memory")
	if m.info.broken {
		m.hangUp()
	}
	if err != nil {
		return 0, false
	}
	text, _ := reply.(string)
	n, err = strconv.ParseInt(parseInfo(text)["mem_arena_deferred"], 10, 64)
	return n, err == nil
}

func (m *Sampler) hangUp() {
	if m.info != nil {
		m.info.close()
		m.info = nil
	}
}

// readTree reads one sample. It is not steady if a child came or went meanwhile.
func readTree(pid int) (s result.MemorySample, steady bool, err error) {
	family := descendants(pid)
	before, err := readStat(pid)
	if err != nil {
		return s, false, err
	}
	p, err := readPages(pid)
	if err != nil {
		return s, false, err
	}
	if s.PTEBytes, err = readPTE(pid); err != nil {
		return s, false, err
	}
	s.PssBytes, s.RssBytes, s.HugeBytes = p.pss, p.rss, p.huge
	s.MinorFaults, s.ServerCPUSec = before.faults, float64(before.ticks)/ticksPerSec
	faults, ticks := before.endedFaults, before.endedTicks
	for _, child := range family {
		st, err := readStat(child)
		if err != nil {
			continue
		}
		faults, ticks = faults+st.faults+st.endedFaults, ticks+st.ticks+st.endedTicks
		p, err := readPages(child)
		if err != nil { // it has ended and is not yet waited for
			continue
		}
		pte, _ := readPTE(child)
		s.Children++
		s.PssBytes, s.PTEBytes, s.CopiedBytes = s.PssBytes+p.pss, s.PTEBytes+pte, s.CopiedBytes+p.own(len(family) == 1)
	}
	s.ChildFaults, s.ChildCPUSec = faults, float64(ticks)/ticksPerSec
	after, err := readStat(pid)
	steady = err == nil && after.endedFaults == before.endedFaults && slices.Equal(family, descendants(pid))
	return s, steady, nil
}
