package snapshot

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"kvd/snapshot/internal/fork"
	"kvd/snapshot/value"
)

// This file runs in the forked child. See the rules in package fork.

// childSink is the child's way to the file: raw system calls, progress in the
// page shared with the parent.
type childSink struct {
	fd     int
	page   *fork.Page
	window syncWindow
	errno  syscall.Errno // the first one stays
}

var errChildWrite = errors.New("write failed") // the errno says why

// Write implements rdb.Sink.
func (s *childSink) Write(p []byte) error {
	for len(p) > 0 && s.errno == 0 {
		n := s.window.pace.piece(min(len(p), syncPiece))
		if s.window.pace.rate > 0 {
			s.wait(s.window.pace.book(fork.RawClock(), n))
		}
		s.errno = s.page.Write(s.fd, p[:n])
		p = p[n:]
		if off, ok := s.window.written(n); ok && s.errno == 0 {
			s.errno = s.sync(off)
		}
	}
	if s.errno != 0 {
		return errChildWrite
	}
	return nil
}

// wait sleeps for d, in naps between which the watchdog hears of it.
func (s *childSink) wait(d time.Duration) {
	for end := fork.RawClock() + d; d > 0; d = end - fork.RawClock() {
		s.page.Beat()
		fork.RawSleep(min(d, paceNap))
	}
}

// sync starts the writing of the piece at off and waits for that of an earlier
// one. A file system without that will have it all at the end.
func (s *childSink) sync(off int64) syscall.Errno {
	errno := fork.RawSyncRange(s.fd, off, syncPiece, syncStart)
	if before := off - syncBehind; errno == 0 && before >= 0 {
		s.page.Beat()
		errno = fork.RawSyncRange(s.fd, before, syncPiece, syncAwait)
		s.page.Beat()
	}
	if unsupported(errno) {
		s.window.off = true
		return 0
	}
	return errno
}

// childBody is what the forked child does. Its parts exist before the clone.
type childBody struct {
	dump *dump
	sink *childSink
	what string // names the step in the error of a failed write
	stop atomic.Bool
}

// run returns the child's verdict.
func (b *childBody) run(page *fork.Page) int32 {
	err := b.dump.write(&page.Keys, &b.stop)
	switch {
	case err == nil:
		return 0
	case b.sink.errno != 0:
		return page.Fail(b.what, b.sink.errno)
	case err == value.ErrType:
		return page.Fail(unknownType, 0)
	}
	return 1
}

const unknownType = "a key has a data type that the RDB format of this version cannot represent"
