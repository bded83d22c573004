package fork

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childPlan is what the child needs, all of it made before the clone.
type childPlan struct {
	parent int               // pid of the parent
	name   []byte            // NUL-terminated, at most 16 bytes
	nice   int               // 0: as the parent
	stderr int               // becomes descriptor 2; -1: none
	shut   []fdRange         // descriptors to close
	maxFD  uint32            // bound of the loop where close_range is missing
	page   *Page             // shared with the parent
	body   func(*Page) int32 // the caller's function
}

// childRest is how long the child leaves the processor to its parent, who is to release
// the locks and to serve those who waited for them.
const childRest = 4 * time.Millisecond

// fdRange is a range of descriptors, both ends included.
type fdRange struct{ first, last uint32 }

// run is the whole life of the child. It never returns.
//
//go:noinline
//go:norace
func (c *childPlan) run() {
	if c.nice > 0 {
		// First of all: until somebody else has done it, the child would compete with
		// those who make up for the time of the clone. The parent sees to it too.
		syscall.RawSyscall(syscall.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(c.nice))
	}
	// The kernel runs a new child before its parent, on the parent's processor, even if
	// another one is idle; and the parent holds every lock.
	RawSleep(childRest)
	procPin()                    // from here on a panic or an entry into the scheduler is fatal
	writeBarrier.enabled = false // there is no collector here that it could serve
	rawPrctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL))
	if ppid, _, _ := syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0); int(ppid) != c.parent {
		exit(exitOrphan) // the parent died before the prctl: no signal will come
	}
	syscall.RawSyscall(syscall.SYS_SETPGID, 0, 0, 0)
	ignore(syscall.SIGPIPE)
	ignore(syscall.SIGXFSZ)
	var noCore unix.Rlimit
	syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, uintptr(unsafe.Pointer(&noCore)), 0, 0, 0)
	rawPrctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.SliceData(c.name))))
	if c.stderr >= 0 {
		syscall.RawSyscall(syscall.SYS_DUP3, uintptr(c.stderr), 2, 0)
	}
	c.closeFDs()

	c.page.SetPhase(PhaseWriting)
	code := c.body(c.page)
	c.page.code.Store(code)
	c.page.SetPhase(PhaseDone)
	c.page.copied.Store(privateDirty(c.page.scratch[:]))
	if code != 0 {
		exit(exitFailed)
	}
	c.page.done.Store(doneMagic)
	exit(0)
}

// Exit statuses of the child. The Go runtime uses 2 for a panic.
const (
	exitFailed = 1 // the body returned something else than 0
	exitOrphan = 3 // the parent was gone already
)

// exit ends the process, and with it the only thread.
//
//go:norace
func exit(status uintptr) {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
	}
}

// closeFDs closes every descriptor of c.shut. Where close_range is missing
// (before Linux 5.9) or refused (old seccomp profiles answer EPERM) it tries
// every number.
func (c *childPlan) closeFDs() {
	for i := range c.shut {
		r := &c.shut[i]
		_, _, errno := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(r.first), uintptr(r.last), 0)
		if errno != 0 {
			closeEach(r.first, min(r.last, c.maxFD))
		}
	}
}

// closeEach closes first to last, one by one.
func closeEach(first, last uint32) {
	for fd := uintptr(first); fd <= uintptr(last); fd++ {
		syscall.RawSyscall(syscall.SYS_CLOSE, fd, 0, 0)
	}
}

// ignore sets a signal to SIG_IGN.
func ignore(sig syscall.Signal) {
	// The kernel's struct sigaction on amd64 and arm64: handler, flags,
	// restorer, mask. SIG_IGN is 1.
	act := [4]uint64{1}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
}

// rawPrctl is prctl(2) with one argument.
func rawPrctl(option, arg uintptr) {
	syscall.RawSyscall6(syscall.SYS_PRCTL, option, arg, 0, 0, 0, 0)
}
