package fork

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Errors in Result.Err, to be found with errors.Is.
var (
	ErrKilled    = errors.New("child was killed on request")
	ErrStalled   = errors.New("child made no progress")
	ErrAbandoned = errors.New("child does not die; abandoned")
)

// ChildError is what the body reported with Page.Fail.
type ChildError struct {
	What  string        // the step that failed
	Errno syscall.Errno // 0: not a system call
}

// Error gives the step and the system's reason.
func (e *ChildError) Error() string {
	switch {
	case e.Errno == 0:
		return e.What
	case e.What == "":
		return e.Errno.Error()
	}
	return e.What + ": " + e.Errno.Error()
}

// Unwrap returns the system's reason, so that errors.Is finds ENOSPC.
func (e *ChildError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Result says how a child ended.
type Result struct {
	Err     error // nil: the done-record is there and the exit status is 0
	Warning error // niceness or OOM score could not be set

	Keys, Bytes, Work int64      // as the page said at the end
	Figures           [16]uint64 // the same
	Copied            int64      // bytes copied by the kernel, seen by the child at its end; -1: unknown

	CloneDuration time.Duration // clone(2) alone
	Runtime       time.Duration // from the clone to the end of the child
	CPU           time.Duration // user and system time of the child; 0 if not StatusKnown

	// StatusKnown is false if somebody else reaped the child, or SIGCHLD is
	// ignored: then the done-record alone has decided.
	StatusKnown bool
	Status      syscall.WaitStatus
}

// exitInfo is how the kernel says the child ended.
type exitInfo struct {
	known bool
	ws    syscall.WaitStatus
	cpu   time.Duration
}

// supervise watches the child from the clone to its end.
func (j *Job) supervise(pid int, start time.Time) {
	j.mu.Lock()
	if fd, err := unix.PidfdOpen(pid, 0); err == nil { // close-on-exec by itself
		j.pidfd = fd
	}
	j.mu.Unlock()
	ended := make(chan exitInfo, 1)
	go j.reap(pid, ended)
	j.warning = j.adjust(pid)
	info, cause := j.watch(ended)
	j.finish(info, cause, time.Since(start))
}

// adjust sets the child's priorities and OOM score, from here since it needs no
// code in the child and can say what went wrong.
func (j *Job) adjust(pid int) error {
	var errs []error
	if j.opts.Nice > 0 {
		err := error(nil)
		// The system call answers 20 less the niceness. To lower that takes a right.
		if now, e := unix.Getpriority(unix.PRIO_PROCESS, pid); e == nil && 20-now < j.opts.Nice {
			err = unix.Setpriority(unix.PRIO_PROCESS, pid, j.opts.Nice)
		}
		if err != nil && err != unix.ESRCH {
			errs = append(errs, fmt.Errorf("child's niceness: %w", err))
		}
	}
	if j.opts.IOPriority != 0 {
		if errno := setIOPriority(pid, j.opts.IOPriority); errno != 0 && errno != unix.ESRCH {
			errs = append(errs, fmt.Errorf("child's I/O priority: %w", errno))
		}
	}
	if j.opts.OOMScoreAdj != nil {
		path := "/proc/" + strconv.Itoa(pid) + "/oom_score_adj"
		err := os.WriteFile(path, []byte(strconv.Itoa(*j.opts.OOMScoreAdj)), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("child's OOM score: %w", err))
		}
	}
	return errors.Join(errs...)
}

// setIOPriority sets the I/O priority of a process; 0 makes it follow the niceness.
func setIOPriority(pid int, p IOPriority) unix.Errno {
	const whoProcess = 1 // IOPRIO_WHO_PROCESS
	_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(pid), uintptr(p))
	return errno
}

// reap waits for the child and for nobody else. It blocks in an ordinary system
// call, which the scheduler knows of. The wait leaves the zombie, so that the
// pid is given back under the lock that signals are sent under.
func (j *Job) reap(pid int, ended chan<- exitInfo) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	j.mu.Lock()
	var ws unix.WaitStatus
	var ru unix.Rusage
	got, err := unix.Wait4(pid, &ws, 0, &ru)
	for err == unix.EINTR {
		got, err = unix.Wait4(pid, &ws, 0, &ru)
	}
	j.reaped = true
	if j.pidfd >= 0 {
		_ = unix.Close(j.pidfd)
		j.pidfd = -1
	}
	j.mu.Unlock()
	// An error is ECHILD: somebody else has reaped it, or SIGCHLD is ignored.
	ended <- exitInfo{known: err == nil && got == pid, ws: syscall.WaitStatus(ws),
		cpu: time.Duration(ru.Utime.Nano() + ru.Stime.Nano())}
	close(j.gone)
}

// watch returns when the child has ended, or does not die though it was killed;
// cause is why it was killed, nil if it was not.
func (j *Job) watch(ended <-chan exitInfo) (info exitInfo, cause error) {
	const maxTick = 250 * time.Millisecond
	tick := maxTick
	if j.opts.Timeout > 0 {
		tick = min(max(j.opts.Timeout/16, time.Millisecond), maxTick)
	}
	timer := time.NewTicker(tick)
	defer timer.Stop()
	last, still, dying := j.page.progress(), time.Duration(0), time.Duration(0)
	before := time.Now()
	for {
		select {
		case info = <-ended:
			return info, cause
		case <-timer.C:
		}
		// A machine that was suspended stopped the child as well: no step
		// counts for more than two ticks.
		now := time.Now()
		step := min(now.Sub(before), 2*tick)
		before = now

		j.mu.Lock()
		if j.killed && cause == nil {
			cause = ErrKilled
		}
		j.mu.Unlock()
		if cause != nil {
			if dying += step; dying >= j.opts.KillGrace {
				return exitInfo{}, fmt.Errorf("%w; %w", cause, ErrAbandoned)
			}
			continue
		}
		if p := j.page.progress(); p != last {
			last, still = p, 0
			continue
		}
		if still += step; j.opts.Timeout > 0 && still >= j.opts.Timeout {
			cause = fmt.Errorf("%w for %v; killed (phase %v, %d keys and %d bytes written)", ErrStalled,
				j.opts.Timeout, j.page.Phase(), j.page.Keys.Load(), j.page.Bytes.Load())
			j.mu.Lock()
			j.signalLocked(syscall.SIGKILL)
			j.mu.Unlock()
		}
	}
}

// finish publishes the result.
func (j *Job) finish(info exitInfo, cause error, took time.Duration) {
	p := j.page
	r := Result{Warning: j.warning, Keys: p.Keys.Load(), Bytes: p.Bytes.Load(), Work: p.Work.Load(), Copied: p.copied.Load(),
		CloneDuration: j.took, Runtime: took, CPU: info.cpu, StatusKnown: info.known, Status: info.ws}
	for i := range p.Figures {
		r.Figures[i] = p.Figures[i].Load()
	}
	if r.Copied == 0 {
		r.Copied = -1
	}
	j.mu.Lock()
	if j.killed && cause == nil {
		cause = ErrKilled
	}
	j.mu.Unlock()
	r.Err = j.verdict(info, cause)
	j.result = r
	close(j.ended)
}

// verdict decides whether the child has succeeded. A child that finished its
// work before a kill reached it has.
func (j *Job) verdict(info exitInfo, cause error) error {
	done := j.page.done.Load() == doneMagic
	switch {
	case done && info.known && info.ws.Exited() && info.ws.ExitStatus() == 0:
		return nil
	case done && !info.known && !errors.Is(cause, ErrAbandoned):
		return nil
	case cause != nil:
		return cause
	}
	if err := j.page.failure(); err != nil {
		return err
	}
	switch {
	case !info.known:
		return errors.New("child ended before it was done (its exit status is lost: SIGCHLD is ignored, or another part of the program reaps all children)")
	case info.ws.Signaled():
		text := fmt.Sprintf("child was ended by signal %d (%v)", info.ws.Signal(), info.ws.Signal())
		if info.ws.Signal() == syscall.SIGKILL {
			text += "; was it the OOM killer?"
		}
		return errors.New(text)
	case info.ws.ExitStatus() == 0:
		return errors.New("child ended with status 0 but without its done-record")
	case info.ws.ExitStatus() == exitFailed && j.page.code.Load() != 0:
		return fmt.Errorf("child failed with code %d", j.page.code.Load())
	}
	text := fmt.Sprintf("child ended with status %d", info.ws.ExitStatus())
	if said := j.lastWords(); said != "" {
		text += ": " + said
	}
	return errors.New(text)
}

// failure returns what Fail recorded, nil if nothing. For the parent.
func (p *Page) failure() error {
	n := min(max(int(p.errLen.Load()), 0), len(p.errText))
	errno := syscall.Errno(p.errNo.Load())
	if n == 0 && errno == 0 {
		return nil
	}
	return &ChildError{What: string(p.errText[:n]), Errno: errno}
}

// lastWords returns the beginning of what the child wrote to its standard
// error, in one line: the message and the first frames of a panic.
func (j *Job) lastWords() string {
	if j.stderr < 0 {
		return ""
	}
	buf := make([]byte, 1500)
	n, err := unix.Pread(j.stderr, buf, 0)
	if err != nil || n <= 0 {
		return ""
	}
	return strings.Join(strings.Fields(string(buf[:n])), " ")
}

// readProc reads a file of a process.
func readProc(pid int, name string) ([]byte, error) {
	return os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name)
}
