//go:build linux && (amd64 || arm64)

package apart

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How the children are made.
//
// A forked child of a Go process has one thread and no scheduler, and whatever
// lock another thread held at the clone is held for ever. So ordinary Go code
// may run there only with the runtime's fork hooks and a grown stack. The
// children of this package need neither, because they run no Go at all: the
// assembly of rawClone goes from clone(2) straight to close(2), read(2) and
// exit(2), in registers alone. No stack can grow, nothing is allocated, no
// write barrier fires. That also makes fork and thread comparable: the same
// instructions, but for the flags.
//
// Two things remain. Signals: Go's handlers would run on a thread that the
// runtime does not know, so all are blocked around the clone, and the child
// keeps that mask. Orphans: the child asks for SIGKILL at its parent's death,
// and closes its copy of the pipe's other end, so that it also reads the end of
// the file if the parent has gone before it could ask.

// rawClone calls clone(2) with flags and, in the child, ends at once if readFD
// is negative. Otherwise the child closes shutFD, waits until readFD has a byte
// or ends (the byte goes to buf), and exits with status 0. tid is where
// CLONE_PARENT_SETTID and CLONE_CHILD_CLEARTID write. It returns the id of the
// child, or minus the error number.
//
//go:noescape
func rawClone(flags uintptr, tid *int32, readFD, shutFD int, buf *byte) int

const (
	flagsFork   = uintptr(syscall.SIGCHLD)
	flagsThread = uintptr(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
		unix.CLONE_THREAD | unix.CLONE_SYSVSEM | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID)
)

// Operations of futex(2), for words that processes may share.
const (
	futexWait = 0
	futexWake = 1
)

// The kernel and the children write these; Go never moves globals.
var (
	threadID atomic.Int32
	parkByte byte
)

// timedClone is rawClone with all signals blocked. The goroutine must be locked
// to its thread: the child's parent-death signal is bound to it.
func timedClone(flags uintptr, readFD, shutFD int) (id int, took time.Duration, err error) {
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return 0, 0, fmt.Errorf("block signals: %w", err)
	}
	begin := time.Now()
	id = rawClone(flags, (*int32)(unsafe.Pointer(&threadID)), readFD, shutFD, &parkByte)
	took = time.Since(begin)
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err != nil {
		return 0, 0, fmt.Errorf("unblock signals: %w", err)
	}
	if id < 0 {
		return 0, 0, fmt.Errorf("clone: %w", syscall.Errno(-id))
	}
	return id, took, nil
}

// parked is a forked child that waits to be ended.
type parked struct {
	pid  int
	pipe int           // its writing end; closing it ends the child
	took time.Duration // of the clone
}

// park forks a child that shares all memory with the caller until end.
func park() (parked, error) {
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
		return parked{}, fmt.Errorf("pipe: %w", err)
	}
	defer func() { _ = unix.Close(fd[0]) }()
	pid, took, err := timedClone(flagsFork, fd[0], fd[1])
	if err != nil {
		_ = unix.Close(fd[1])
		return parked{}, err
	}
	return parked{pid, fd[1], took}, nil
}

// end lets the child exit and waits for it.
func (p parked) end() error {
	_ = unix.Close(p.pipe)
	return reap(p.pid)
}

// reap waits for a child that is to exit with status 0.
func reap(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case !status.Exited() || status.ExitStatus() != 0:
			return fmt.Errorf("child ended with wait status %#x", uint32(status))
		default:
			return nil
		}
	}
}

// forkOnce forks a child that exits at once. It returns the microseconds of the
// clone and those until the child was waited for.
func forkOnce() (clone, life float64, err error) {
	begin := time.Now()
	pid, took, err := timedClone(flagsFork, -1, -1)
	if err != nil {
		return 0, 0, err
	}
	err = reap(pid)
	return micros(took), micros(time.Since(begin)), err
}

// threadOnce makes a thread that exits at once. It returns the microseconds of
// the clone and those until the thread was gone, which the kernel tells by
// clearing threadID and waking it.
func threadOnce() (clone, life float64, err error) {
	begin := time.Now()
	_, took, err := timedClone(flagsThread, -1, -1)
	if err != nil {
		return 0, 0, err
	}
	for {
		id := threadID.Load()
		if id == 0 {
			return micros(took), micros(time.Since(begin)), nil
		}
		futex(&threadID, futexWait, id)
	}
}

// execOnce starts a program by vfork and exec, as os/exec does. It returns the
// microseconds until the call returned, which is when the program has replaced
// the copy of this process, and those until it was waited for.
func execOnce(program string) (start, life float64, err error) {
	begin := time.Now()
	pid, err := syscall.ForkExec(program, []string{program}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
	took := time.Since(begin)
	if err != nil {
		return 0, 0, fmt.Errorf("start %s: %w", program, err)
	}
	err = reap(pid)
	return micros(took), micros(time.Since(begin)), err
}

// futex waits until word is woken, unless it is not value, but for a second at
// most; or it wakes one waiter. It is a raw call and keeps its processor: Go's
// own hand-over between threads would be measured otherwise. Nothing else may
// need that processor meanwhile.
func futex(word *atomic.Int32, op int, value int32) {
	second := unix.Timespec{Sec: 1}
	// All errors (EAGAIN, EINTR, ETIMEDOUT) mean that the caller looks again.
	_, _, _ = syscall.RawSyscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(word)), uintptr(op), uintptr(value),
		uintptr(unsafe.Pointer(&second)), 0, 0)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
