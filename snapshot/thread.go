package snapshot

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"kvd/snapshot/internal/fork"
)

// threadNice is by how much the snapshot threads are nicer than the process.
const threadNice = 10

// atNice runs fn, with by > 0 on a thread of its own that is nicer than the process
// by that. It should be the last thing that the goroutine does.
func atNice(by int, fn func()) {
	if by <= 0 {
		fn()
		return
	}
	onOwnThread(func() {
		lowerPriority(by)
		fork.ShortSlices()
		fn()
	})
}

// onOwnThread runs fn on a thread that is not the process's first one and that
// ends when the calling goroutine does. The first thread never ends: its low
// priority would stay, and be shown as that of the process.
func onOwnThread(fn func()) {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		fn()
		return // locked, so that the thread ends with the goroutine
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // another thread: the first one is held by the caller
		fn()
	}()
	<-done
	runtime.UnlockOSThread()
}

// lowerPriority makes the calling thread nicer than the process; a system that
// refuses has it compete as any other thread.
func lowerPriority(by int) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return
	}
	nice := 20 - raw // the system call returns 20 - nice
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), min(nice+by, 19))
}
