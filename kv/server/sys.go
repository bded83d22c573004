//go:build linux

package server

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of this file are raw: they never tell the Go scheduler that they
// enter the kernel, which saves two atomic transitions each. That is safe only
// because none of them can block: sockets are non-blocking and the poll of
// pollNow has timeout zero. Those that sleep are pollWait, an ordinary call, and pollHeld,
// which every signal ends: a raw call that blocks otherwise would stop the garbage collector.

// listenerFlag marks the slot number in event data that belongs to a listener.
const listenerFlag = 1 << 30

// wakeSlot is the slot number of a loop's eventfd.
const wakeSlot = 1<<30 - 1

// recvRaw reads from a non-blocking socket. p must not be empty.
func recvRaw(fd int, p []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	return int(n), e
}

// sendRaw writes to a non-blocking socket without raising SIGPIPE.
func sendRaw(fd int, p []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// pollNow returns how many events are ready now, without sleeping.
func pollNow(epfd int, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return int(n), e
}

// pollHeld sleeps up to timeoutMs milliseconds for an event or a signal, see poll.
func pollHeld(epfd int, events []unix.EpollEvent, timeoutMs int) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeoutMs), 0, 0)
	return int(n), e
}

// pollWait sleeps up to timeoutMs milliseconds (-1: for ever) for an event.
func pollWait(epfd int, events []unix.EpollEvent, timeoutMs int) (int, syscall.Errno) {
	n, _, e := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(timeoutMs), 0, 0)
	return int(n), e
}

// pollCtl adds, changes or deletes fd. The 64 bits of event data are the slot
// in the loop's table and the generation of the slot's user: an event of a
// socket that was closed, but lives on because a forked child holds a copy of
// it, carries an old generation and is dropped.
func pollCtl(epfd, op, fd int, mask uint32, slot, gen uint32) error {
	ev := unix.EpollEvent{Events: mask, Fd: int32(slot), Pad: int32(gen)}
	_, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// signalEventfd makes the eventfd readable; it cannot block since the counter
// never comes near its limit.
func signalEventfd(fd int) {
	one := uint64(1)
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}

// drainEventfd resets the eventfd's counter.
func drainEventfd(fd int) {
	var v uint64
	_, _, _ = syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&v)), 8)
}
