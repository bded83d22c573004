package arena

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// niceness returns that of the calling thread.
func niceness(t *testing.T) int {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
	if err != nil {
		t.Error(err)
	}
	return 20 - raw // the system call answers so
}

// TestSlowly: what takes the kernel long runs on one thread, of low priority, that is not the
// process's first one; when the arena is closed the caller does it.
func TestSlowly(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := niceness(t)
	var k keeper
	k.init()
	tid := 0
	for i := range 3 {
		k.slowly(func() {
			if i > 0 && unix.Gettid() != tid {
				t.Error("another thread")
			}
			tid = unix.Gettid()
			if got, want := niceness(t), min(own+slowNice, 19); got != want {
				t.Errorf("niceness %d, want %d", got, want)
			}
		})
	}
	if tid == os.Getpid() || tid == unix.Gettid() {
		t.Errorf("it ran on thread %d of process %d, called by %d", tid, os.Getpid(), unix.Gettid())
	}
	close(k.stop)
	ran := 0
	for range 100 { // the thread may take some before it ends
		k.slowly(func() { ran++ })
	}
	if ran != 100 {
		t.Errorf("%d of 100 were done", ran)
	}
	if got := niceness(t); got != own {
		t.Errorf("the caller's niceness is %d, was %d", got, own)
	}
}
