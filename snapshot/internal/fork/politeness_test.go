package fork

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestShortSlices: the slice is asked for, and the niceness stays as it is. Kernels before 6.12
// say nothing of slices.
func TestShortSlices(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 15)
		before, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			return
		}
		ShortSlices()
		after, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			return
		}
		if after.Nice != before.Nice || after.Policy != before.Policy {
			t.Errorf("niceness %d, policy %d; before %d, %d", after.Nice, after.Policy, before.Nice, before.Policy)
		}
		if before.Runtime > 0 && after.Runtime != uint64(slice) {
			t.Errorf("a slice of %d ns, want %d", after.Runtime, slice)
		}
		GiveWay()
	}()
	<-done
}
