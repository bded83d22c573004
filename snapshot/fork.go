package snapshot

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// IOPriority is the rank of a forked child at the disk.
type IOPriority fork.IOPriority

// The I/O priorities below the program's own: behind everybody else, and only
// when nobody else wants the disk. The latter may stand still for so long that
// Options.ChildTimeout ends the save.
const (
	IOLowest = IOPriority(fork.IOLowest)
	IOIdle   = IOPriority(fork.IOIdle)
)

// childName is the child's title, after Redis' redis-rdb-bgsave.
const childName = "kvd-rdb-bgsave"

// cutFork takes the cut and clones the process at it.
func (s *saving) cutFork(forker *fork.Forker, window syncWindow) error {
	fd := int(s.out.f.Fd())
	sink := &childSink{fd: fd, window: window}
	s.child = &childBody{dump: &s.dump, sink: sink, what: "write " + s.out.temp}
	job, err := forker.Prepare(fork.Options{
		Body: s.child.run, KeepFDs: []int{fd}, Timeout: s.o.ChildTimeout, Name: childName,
		Nice: s.o.ChildNice, IOPriority: fork.IOPriority(s.o.ChildIO), OOMScoreAdj: s.o.OOMScoreAdj})
	if err != nil {
		return &forkError{err}
	}
	s.job = job
	sink.page = job.Page()
	s.dump.meter.Done, s.dump.meter.Rest = &job.Page().Work, fork.GiveWay
	s.dump.enc.Reset(sink)
	s.probe = newFaultProbe()
	s.view, err = s.store.Freeze(kv.FreezeOptions{Mode: kv.ModeFork, WritePolicy: s.o.WritePolicy,
		Around: func(v *kv.View, hold func() error, release func()) error {
			s.dump.view = v
			if err := job.Fork(hold, release); err != nil {
				return &forkError{err}
			}
			return nil
		}})
	return err
}

// childEnded takes the figures of the child, which has ended.
func (s *saving) childEnded(res *Result) error {
	res.Clone, res.PID = s.job.CloneDuration(), s.job.Pid()
	res.Faults, res.FaultPeak = s.faults.Load(), time.Duration(s.faultPeak.Load())
	r := s.job.Wait()
	if errors.Is(r.Err, fork.ErrAbandoned) {
		s.outlive()
	}
	if r.Copied >= 0 {
		s.sampled(r.Copied)
	}
	_, deferred := s.view.ExtraBytes()
	res.Keys, res.Bytes, res.Warning = r.Keys, r.Bytes, r.Warning
	res.Copied = s.copied.Load()
	res.Extra = max(s.extraPeak.Load(), res.Copied+deferred)
	return childFailure(r.Err)
}

// outlive keeps huge pages as they are while a child that does not die shares
// them: joining a range would copy it.
func (s *saving) outlive() {
	release, gone := s.store.HoldRecollapse(), s.job.Gone()
	go func() {
		<-gone
		release()
	}()
}

// sampled notes that the kernel has copied n bytes by now.
func (s *saving) sampled(n int64) {
	deferred, _ := s.view.ExtraBytes()
	s.copied.Store(n)
	s.copiedPeak.Store(max(s.copiedPeak.Load(), n))
	s.extraPeak.Store(max(s.extraPeak.Load(), n+deferred))
	s.sampledAt.Store(time.Now().UnixNano())
}

// probePages is how many write faults a faultProbe can show.
const probePages = 256

// faultProbe is memory that the child shares, to measure what a writer waits for
// when the kernel copies a page.
type faultProbe struct {
	mem  []byte
	next int
}

// newFaultProbe returns a probe; without memory for it nothing is measured.
func newFaultProbe() (p faultProbe) {
	size := probePages * os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return p
	}
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE) // an old kernel has none
	for i := 0; i < size; i += os.Getpagesize() {
		mem[i] = 1
	}
	p.mem = mem
	return p
}

// measure returns how long one fault takes, 0 when there are no pages left.
func (p *faultProbe) measure() time.Duration {
	at := p.next * os.Getpagesize()
	if at >= len(p.mem) {
		return 0
	}
	p.next++
	start := time.Now()
	p.mem[at] = 2
	return time.Since(start)
}

func (p *faultProbe) close() {
	if p.mem != nil {
		_ = unix.Munmap(p.mem) // our own mapping: cannot fail
	}
	p.mem = nil
}

// childFailure words the end of a child: what it reported itself speaks for itself.
func childFailure(err error) error {
	var said *fork.ChildError
	if err == nil || errors.As(err, &said) {
		return err
	}
	return &forkError{fmt.Errorf("fork: %w", err)}
}

// forkError is the failure of a clone, or an end of the child that another engine
// would not have met.
type forkError struct{ error }

func (e *forkError) Unwrap() error { return e.error }
