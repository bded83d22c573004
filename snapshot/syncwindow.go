package snapshot

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file runs in the forked child too.

const (
	// syncPiece is how many bytes are handed to the disk at a time.
	syncPiece = 4 << 20
	// syncBehind is how far writing may be ahead of the disk, in bytes: little
	// enough that the final fsync is short, and that a disk that stands still is
	// noticed.
	syncBehind = 32 << 20

	syncStart = unix.SYNC_FILE_RANGE_WRITE
	syncAwait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
)

// syncWindow says when the next piece of a growing file goes to the disk, and
// how fast the file may grow.
type syncWindow struct {
	off  bool // the disk is left to itself
	at   int64
	next int64 // start of the piece being written
	pace pace
}

// written counts n more bytes, at most syncPiece. It returns the offset of a
// piece that is complete now.
func (w *syncWindow) written(n int) (piece int64, ok bool) {
	w.at += int64(n)
	if w.off || w.at-w.next < syncPiece {
		return 0, false
	}
	piece = w.next
	w.next += syncPiece
	return piece, true
}

// unsupported tells whether an error of sync_file_range means that this kind of
// file does not have it.
func unsupported(errno syscall.Errno) bool {
	switch errno {
	case unix.ENOSYS, unix.EINVAL, unix.ESPIPE, unix.EOPNOTSUPP, unix.EPERM:
		return true
	}
	return false
}

const (
	// paceNap is the longest sleep for the pace, so that a save can be cancelled
	// and a watchdog sees it live.
	paceNap = 50 * time.Millisecond
	// paceCredit is how much of the time in which nothing was written may be made
	// up for.
	paceCredit = 50 * time.Millisecond
)

// pace keeps a stream of bytes to a rate.
type pace struct {
	rate int64         // bytes per second; 0: as fast as it goes
	due  time.Duration // when the next byte may be written, by the caller's clock
}

// piece returns how many of n bytes to write at a time: what the rate allows in
// one nap.
func (p *pace) piece(n int) int {
	if p.rate <= 0 {
		return n
	}
	return int(min(int64(n), max(p.rate/int64(time.Second/paceNap), 1)))
}

// book counts n bytes, at most syncPiece, as written and returns how long to wait
// until they may be.
func (p *pace) book(now time.Duration, n int) time.Duration {
	p.due = max(p.due, now-paceCredit)
	wait := p.due - now
	p.due += time.Duration(int64(n) * int64(time.Second) / p.rate)
	return max(wait, 0)
}
