package snapshot

import (
	"syscall"

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

// syncWindow says when the next piece of a growing file goes to the disk.
type syncWindow struct {
	off  bool // never
	at   int64
	next int64 // start of the piece being written
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
