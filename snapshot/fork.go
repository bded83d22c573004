package snapshot

import (
	"errors"
	"fmt"
	"time"

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
		return err
	}
	s.job = job
	sink.page = job.Page()
	s.dump.enc.Reset(sink)
	s.view, err = s.store.Freeze(kv.FreezeOptions{Mode: kv.ModeFork,
		Around: func(v *kv.View, hold func() error, release func()) error {
			s.dump.view = v
			return job.Fork(hold, release)
		}})
	return err
}

// sampleInterval is how often the memory that the kernel has copied is looked up.
const sampleInterval = 250 * time.Millisecond

// awaitChild waits for the child, and samples memory meanwhile.
func (s *saving) awaitChild(res *Result) error {
	res.Clone, res.PID = s.job.CloneDuration(), s.job.Pid()
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-s.job.Done():
			running = false
		case <-tick.C:
			if n, err := s.job.SampleCopied(); err == nil {
				s.sampled(n)
			}
		}
	}
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

// childFailure words the end of a child: what it reported itself speaks for itself.
func childFailure(err error) error {
	var said *fork.ChildError
	if err == nil || errors.As(err, &said) {
		return err
	}
	return fmt.Errorf("fork: %w", err)
}
