package fork

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errors of Prepare and Fork.
var (
	ErrClosed = errors.New("fork: closed")
	ErrRace   = errors.New("fork: not available in a program built with the race detector")
	ErrUsed   = errors.New("fork: the job has forked already")
)

const (
	defaultName  = "kvd-save"
	defaultGrace = 10 * time.Second

	// maxFDs bounds the loop that replaces close_range. Numbers are given from
	// the lowest free one, so that higher ones need as many open files.
	maxFDs = 1 << 20
)

// Options describe a job. Only Body is needed.
type Options struct {
	// Body runs in the child, under the rules of the package comment, and
	// returns 0 for success. Everything it uses must exist before the clone.
	Body func(*Page) int32

	// KeepFDs are the descriptors that stay open in the child; all others are
	// closed there. Descriptor 2 becomes the record of the child's panic,
	// unless it is listed. They must stay open in the parent until Fork returns.
	KeepFDs []int

	// Timeout is how long the child may go without progress (Keys, Bytes, Beat,
	// SetPhase) before it is killed. 0: no watchdog.
	Timeout time.Duration

	// KillGrace is how long Wait waits for a killed child to die before it
	// gives up on it (a process inside a disk driver ignores SIGKILL). 0: 10 s.
	KillGrace time.Duration

	// Name is shown by ps and top, at most 15 bytes. Empty: kvd-save.
	Name string

	// Nice is the child's niceness, 1 to 19, unless the parent's is higher. 0: as
	// the parent.
	Nice int

	// IOPriority is the child's I/O priority. 0: as the parent.
	IOPriority IOPriority

	// OOMScoreAdj is written to /proc/PID/oom_score_adj. nil: as the parent.
	OOMScoreAdj *int
}

// IOPriority is a class and a level as ioprio_set(2) takes them.
type IOPriority int

// The I/O priorities below the usual one: behind everybody else, and only when
// nobody else wants the disk.
const (
	IOLowest IOPriority = 2<<13 | 7 // IOPRIO_CLASS_BE, the last of eight levels
	IOIdle   IOPriority = 3 << 13   // IOPRIO_CLASS_IDLE
)

// Forker owns the thread that forks. The zero value is ready; its goroutine
// starts with the first Prepare. Several jobs may run at a time, their Forks
// are done one after the other.
type Forker struct {
	mu     sync.Mutex
	jobs   chan *Job      // nil before the first Prepare
	users  sync.WaitGroup // Fork calls on their way into jobs
	closed bool
}

// New returns a Forker. It costs nothing until the first Prepare.
func New() *Forker { return new(Forker) }

// Close ends the forking thread. The kernel then kills the children that it
// made, so wait for the jobs first. Later calls do nothing.
func (f *Forker) Close() {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.closed = true
	jobs := f.jobs
	f.mu.Unlock()
	f.users.Wait()
	if jobs != nil {
		close(jobs)
	}
}

// acquire starts the goroutine if need be and returns its queue, which stays
// open until users.Done.
func (f *Forker) acquire() (chan<- *Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	if f.jobs == nil {
		f.jobs = make(chan *Job)
		go func(jobs <-chan *Job) {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			ShortSlices()          // for the children
			descend(padFrames, jobs)
		}(f.jobs)
	}
	f.users.Add(1)
	return f.jobs, nil
}

// Prepare does everything that is slow: it maps the shared page and starts the
// forking thread if need be. The job must be closed. Call it without locks.
func (f *Forker) Prepare(o Options) (*Job, error) {
	switch {
	case RaceEnabled:
		return nil, ErrRace
	case o.Body == nil:
		return nil, errors.New("fork: no body")
	case len(o.Name) > 15:
		return nil, fmt.Errorf("fork: name %q is longer than 15 bytes", o.Name)
	}
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.KillGrace == 0 {
		o.KillGrace = defaultGrace
	}
	if _, err := f.acquire(); err != nil { // so that the thread exists
		return nil, err
	}
	f.users.Done()
	page, mem, err := mapPage()
	if err != nil {
		return nil, fmt.Errorf("fork: shared page: %w", err)
	}
	j := &Job{forker: f, opts: o, page: page, mem: mem, stderr: -1, pidfd: -1,
		forked: make(chan struct{}, 1), ended: make(chan struct{}), gone: make(chan struct{})}
	// Without a memory file only the words of a panic are lost.
	if fd, err := unix.MemfdCreate("kvd-child-stderr", unix.MFD_CLOEXEC); err == nil {
		j.stderr = fd
	}
	j.plan = childPlan{parent: os.Getpid(), name: append([]byte(o.Name), 0), stderr: j.stderr,
		maxFD: fdLimit(), page: page, body: o.Body}
	// The system call answers 20 less the niceness.
	if own, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && o.Nice > 20-own {
		j.plan.nice = o.Nice
	}
	keep := o.KeepFDs
	if slices.Contains(keep, 2) {
		j.plan.stderr = -1
	} else if j.stderr >= 0 {
		keep = append(slices.Clone(keep), 2)
	}
	j.plan.shut = gaps(keep)
	return j, nil
}

// gaps returns the ranges of descriptors that are not in keep.
func gaps(keep []int) []fdRange {
	keep = slices.Compact(slices.Sorted(slices.Values(keep)))
	var out []fdRange
	next := uint32(0)
	for _, fd := range keep {
		if fd < 0 {
			continue
		}
		if uint32(fd) > next {
			out = append(out, fdRange{next, uint32(fd) - 1})
		}
		next = uint32(fd) + 1
	}
	return append(out, fdRange{next, ^uint32(0)})
}

// fdLimit returns the highest descriptor that the process can have.
func fdLimit() uint32 {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return maxFDs
	}
	return uint32(min(lim.Cur, maxFDs))
}

// mapPage returns a zeroed page that a child shares with its parent.
func mapPage() (*Page, []byte, error) {
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(Page{})),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, err
	}
	return (*Page)(unsafe.Pointer(unsafe.SliceData(mem))), mem, nil
}
