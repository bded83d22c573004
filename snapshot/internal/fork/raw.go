package fork

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The functions of this file run in the child: no allocation, no lock, raw
// system calls only. In the parent they would hold a P while they block.

// RawWrite writes all of p to fd: partial writes are continued, EINTR is tried
// again. It returns 0 or the error, EIO if the kernel accepts nothing.
func RawWrite(fd int, p []byte) syscall.Errno {
	for len(p) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return errno
		case n == 0:
			return syscall.EIO
		default:
			p = p[n:]
		}
	}
	return 0
}

// RawFsync is fsync(2). It may block for as long as the disk likes; sync in
// pieces, or the watchdog takes the wait for a standstill.
func RawFsync(fd int) syscall.Errno {
	for {
		_, _, errno := syscall.RawSyscall(syscall.SYS_FSYNC, uintptr(fd), 0, 0)
		if errno != syscall.EINTR {
			return errno
		}
	}
}

// RawSyncRange is sync_file_range(2): it starts or awaits the writing of a part
// of a file, as the SYNC_FILE_RANGE flags say, and never the file's metadata.
func RawSyncRange(fd int, off, n int64, flags int) syscall.Errno {
	for {
		_, _, errno := syscall.RawSyscall6(unix.SYS_SYNC_FILE_RANGE, uintptr(fd), uintptr(off), uintptr(n), uintptr(flags), 0, 0)
		if errno != syscall.EINTR {
			return errno
		}
	}
}

// RawClock is the monotonic clock, the same in parent and child.
func RawClock() time.Duration {
	var ts syscall.Timespec
	syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}

// RawSleep sleeps for d, less if a signal comes. For tests and for throttling.
func RawSleep(d time.Duration) {
	ts := syscall.Timespec{Sec: int64(d / time.Second), Nsec: int64(d % time.Second)}
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// smapsPath is NUL-terminated and built at init, since the child cannot.
var smapsPath = []byte("/proc/self/smaps_rollup\x00")

// privateDirty reads the caller's Private_Dirty, in bytes, into buf; -1 if the
// kernel does not tell (no smaps_rollup before Linux 4.14).
func privateDirty(buf []byte) int64 {
	const atCWD = ^uintptr(99) // AT_FDCWD, -100
	fd, _, errno := syscall.RawSyscall6(syscall.SYS_OPENAT, atCWD,
		uintptr(unsafe.Pointer(unsafe.SliceData(smapsPath))), syscall.O_RDONLY|syscall.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd,
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
	syscall.RawSyscall(syscall.SYS_CLOSE, fd, 0, 0)
	if errno != 0 {
		return -1
	}
	return parsePrivateDirty(buf[:n])
}

// parsePrivateDirty finds the line `Private_Dirty:   1234 kB` and returns its
// figure in bytes, -1 if there is none.
func parsePrivateDirty(b []byte) int64 {
	const field = "Private_Dirty:"
	for i := 0; i+len(field) <= len(b); i++ {
		if string(b[i:i+len(field)]) != field { // compares in place, does not allocate
			continue
		}
		i += len(field)
		for i < len(b) && b[i] == ' ' {
			i++
		}
		start, kb := i, int64(0)
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			kb = kb*10 + int64(b[i]-'0')
		}
		if i == start {
			return -1
		}
		return kb << 10
	}
	return -1
}
