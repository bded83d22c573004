package fork

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Job is one child, from its preparation to its end. Its methods may be called
// from any goroutine.
type Job struct {
	forker *Forker
	opts   Options
	plan   childPlan
	page   *Page
	mem    []byte // the page's mapping
	stderr int    // memory file with the child's standard error; -1: none

	// One Fork: set by the caller, read by the forking goroutine, and back.
	hold    func() error
	release func()
	forkErr error
	took    time.Duration
	forked  chan struct{}

	mu        sync.Mutex
	state     state
	pid       int
	pidfd     int  // -1: the kernel has none
	reaped    bool // the pid may belong to somebody else
	killed    bool // by Kill
	result    Result
	lastPhase Phase // when Close freed the page
	warning   error
	ended     chan struct{} // closed when result stands
	gone      chan struct{} // closed when the child is reaped
}

type state uint8

const (
	statePrepared state = iota
	stateForking
	stateRunning
	stateClosed
)

// Progress returns how far the child is: its figures of the moment while it
// runs, the last ones after its end, and after Close.
func (j *Job) Progress() (keys, bytes int64, phase Phase) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.page == nil {
		return j.result.Keys, j.result.Bytes, j.lastPhase
	}
	return j.page.Keys.Load(), j.page.Bytes.Load(), j.page.Phase()
}

// Work returns Page.Work: of the moment while the child runs, the last one after its end.
func (j *Job) Work() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.page == nil {
		return j.result.Work
	}
	return j.page.Work.Load()
}

// Page returns the page that the body will get, so that what it needs can be
// wired up before the clone. It must not be used after Close.
func (j *Job) Page() *Page { return j.page }

// Pid returns the child's process id, 0 before Fork.
func (j *Job) Pid() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.pid
}

// CloneDuration returns what clone(2) alone took, 0 before Fork.
func (j *Job) CloneDuration() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.took
}

// Fork clones the process: it takes syscall.ForkLock, calls hold, clones, calls
// release, gives the lock back, and returns without waiting for the child. hold
// should bring the store to a standstill; nothing but the clone happens between
// it and release, which runs in the parent only, also when the clone fails.
// Both run on the forking goroutine and may be nil.
//
// If hold returns an error, nothing is forked, release is not called, and Fork
// returns the error as it is; it may then be called again, so that a hold which
// finds a lock busy can give up and come back. The lock comes first since it
// may be taken for long (os/exec holds it while it starts a program): writers
// should not wait for that. hold and release add less than a microsecond to the
// clone (BenchmarkFork). A caller that holds its locks already passes nil for
// both, and then writers also wait for ForkLock and for the way to the forking
// thread and back: 0.2 ms where the way back runs into pages that the clone has
// made copy-on-write, several on busy cores.
func (j *Job) Fork(hold func() error, release func()) error {
	j.mu.Lock()
	if j.state != statePrepared {
		j.mu.Unlock()
		return ErrUsed
	}
	j.state = stateForking
	j.mu.Unlock()
	queue, err := j.forker.acquire()
	if err == nil {
		j.hold, j.release = hold, release
		queue <- j
		<-j.forked
		j.forker.users.Done()
		j.hold, j.release = nil, nil
		err = j.forkErr
	}
	if err != nil {
		j.mu.Lock()
		j.state = statePrepared
		j.mu.Unlock()
	}
	return err
}

// fork runs on the forking goroutine. There must be no defer in it or above it:
// the child is made in this frame.
func (j *Job) fork() {
	j.forkErr = nil
	syscall.ForkLock.Lock()
	if j.hold != nil {
		if j.forkErr = j.hold(); j.forkErr != nil {
			syscall.ForkLock.Unlock()
			j.forked <- struct{}{}
			return
		}
	}
	start := time.Now()
	pid, errno := clone()
	if pid == 0 && errno == 0 {
		j.plan.run() // the child; never returns
	}
	took := time.Since(start)
	if j.release != nil {
		j.release()
	}
	syscall.ForkLock.Unlock()
	if errno != 0 {
		j.forkErr = cloneError(errno)
		j.forked <- struct{}{}
		return
	}
	j.mu.Lock()
	j.pid, j.took, j.state = pid, took, stateRunning
	j.mu.Unlock()
	j.forked <- struct{}{} // first: the caller may hold locks
	go j.supervise(pid, start)
}

// cloneError words the failure of clone(2).
func cloneError(errno syscall.Errno) error {
	switch errno {
	case syscall.ENOMEM:
		return fmt.Errorf("clone: %w (see vm.overcommit_memory and the memory limit)", errno)
	case syscall.EAGAIN:
		return fmt.Errorf("clone: %w (limit of processes reached)", errno)
	}
	return fmt.Errorf("clone: %w", errno)
}

// Kill kills the child. Wait then returns ErrKilled, unless the child had
// finished its work before. Without a running child it does nothing.
func (j *Job) Kill() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == stateRunning && !j.reaped {
		j.killed = true
		j.signalLocked(syscall.SIGKILL)
	}
}

// Hurry gives a running child the priorities of the process, if the system lets
// it: to lower a niceness takes a right.
func (j *Job) Hurry() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != stateRunning || j.reaped {
		return
	}
	// The system call answers 20 less the niceness.
	if own, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, j.pid, 20-own)
	}
	_ = setIOPriority(j.pid, 0)
}

// signalLocked sends a signal to the child, never to another process that got
// its pid: with a pidfd the kernel sees to it, without one j.reaped does.
func (j *Job) signalLocked(sig syscall.Signal) {
	switch {
	case j.reaped || dropSignals:
	case j.pidfd >= 0:
		_ = unix.PidfdSendSignal(j.pidfd, sig, nil, 0) // fails only if it is dead
	default:
		_ = unix.Kill(j.pid, sig)
	}
}

// dropSignals is for tests: a child that SIGKILL does not reach.
var dropSignals = false

// SampleCopied returns how many bytes of memory the kernel has copied so far
// because parent or child wrote them after the clone: the child's
// Private_Dirty. The kernel walks the child's page tables for it, which takes
// milliseconds a GB where pages are small. It fails once the child has gone and
// where the kernel has no smaps_rollup (before Linux 4.14).
func (j *Job) SampleCopied() (int64, error) {
	j.mu.Lock()
	pid, running := j.pid, j.state == stateRunning && !j.reaped
	j.mu.Unlock()
	if !running {
		return 0, fmt.Errorf("fork: no running child")
	}
	text, err := readProc(pid, "smaps_rollup")
	if err != nil {
		return 0, err
	}
	j.mu.Lock()
	running = !j.reaped
	j.mu.Unlock()
	n := parsePrivateDirty(text)
	if !running || n < 0 {
		return 0, fmt.Errorf("fork: the child has gone")
	}
	return n, nil
}

// Done is closed when Wait will return at once.
func (j *Job) Done() <-chan struct{} { return j.ended }

// Gone is closed when the child exists no more. That is later than Done only
// for a child that was abandoned.
func (j *Job) Gone() <-chan struct{} { return j.gone }

// Wait waits for the end of the child and says how it ended. It must follow a
// successful Fork. Any number of goroutines may wait.
func (j *Job) Wait() Result {
	<-j.ended
	return j.result
}

// Close frees what the job holds. A running child is killed and waited for (at
// most KillGrace). Later calls do nothing. Not to be called during Fork.
func (j *Job) Close() {
	j.mu.Lock()
	was := j.state
	j.mu.Unlock()
	if was == stateRunning {
		j.Kill()
		<-j.ended
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == stateClosed {
		return
	}
	j.state, j.lastPhase = stateClosed, j.page.Phase()
	_ = unix.Munmap(j.mem) // our own mapping: cannot fail
	j.page, j.plan.page = nil, nil
	if j.stderr >= 0 {
		_ = unix.Close(j.stderr)
	}
}
