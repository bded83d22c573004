package fork

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A low priority alone does not keep a saver from making clients wait: once it has the
// processor it keeps it until the next tick of the kernel, 4 ms as a rule. Who saves
// therefore asks for short slices, and offers the processor every 64 KiB (GiveWay). It
// gets its share of the time all the same.

// slice is how long a saver wants the processor at a time.
const slice = 100 * time.Microsecond

// ShortSlices asks the kernel to let others have the processor after each slice of the
// calling thread, and of threads and processes that it makes. Before Linux 6.12 there is no
// such thing, and nothing happens.
func ShortSlices() {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return
	}
	attr := unix.SchedAttr{Flags: unix.SCHED_FLAG_KEEP_POLICY, Nice: int32(20 - raw), Runtime: uint64(slice)}
	_ = unix.SchedSetAttr(0, &attr, 0)
}

// GiveWay lets those have the processor who wait for it. It may be called in a child.
func GiveWay() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
