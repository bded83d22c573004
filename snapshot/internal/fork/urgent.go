package fork

import "golang.org/x/sys/unix"

// urgent makes the calling thread a real-time one (SCHED_FIFO, the lowest of these
// priorities) and returns a function that undoes it. On busy cores a clone of a
// millisecond would now and then lose the processor in its midst, for a time slice or two,
// while everybody waits for the locks that its caller holds: two of thirty took 3 to 4 ms,
// none so. The child begins as an ordinary process. A system that does not allow
// it (it takes CAP_SYS_NICE or RLIMIT_RTPRIO) leaves all as it is.
func urgent() (undo func()) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil || before.Policy != unix.SCHED_NORMAL {
		return func() {}
	}
	rt := &unix.SchedAttr{Size: before.Size, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if unix.SchedSetAttr(0, rt, 0) != nil {
		return func() {}
	}
	return func() { _ = unix.SchedSetAttr(0, before, 0) } // back to less: always allowed
}
