//go:build linux

package server

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A loop waits for events in one of two ways. The ordinary one, pollWait, tells the Go
// scheduler, whose monitor then wakes up every 20 µs to see whether it lasts: with some
// thousands of events a second, each a short wait, that costs as much CPU time as the
// requests themselves. So a loop whose events come in quick succession waits without
// telling (pollHeld). It keeps the scheduler's P meanwhile; when the collector wants the loop
// to stop, the runtime's preemption signal ends the wait with EINTR, and should that not
// come, the wait is short.
const (
	heldMs  = 10 // the longest wait that is not told; above a tick of the kernel, or the timer would cost
	quickMs = 2  // waits up to here let the next one be untold
)

// mayHold tells whether loops may keep their Ps: there must be enough for everything else,
// and preemption signals.
func mayHold(loops int) bool {
	return runtime.GOMAXPROCS(0) >= runtime.NumCPU()+loops && !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1")
}

// poll returns how many events are there. It sleeps if there are none, at most until the
// next tick, but not when clients wait for their turn.
func (l *loop) poll() (int, syscall.Errno) {
	if len(l.again) > 0 {
		return pollNow(l.epfd, l.events)
	}
	if l.quick {
		n, e := pollHeld(l.epfd, l.events, int(max(0, min(heldMs, l.nextCron-l.now))))
		if n > 0 {
			return n, e
		}
		l.quick = false
	} else if n, e := pollNow(l.epfd, l.events); n > 0 {
		return n, e
	}
	n, e := pollWait(l.epfd, l.events, l.sleepMs())
	l.quick = l.mayHold && n > 0 && time.Since(l.srv.start).Milliseconds()-l.now <= quickMs
	return n, e
}
