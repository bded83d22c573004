package arena

import (
	"time"

	"golang.org/x/sys/unix"
)

// Nap has the calling thread sleep for d, less if a signal comes. Unlike time.Sleep it
// does not give the thread to other goroutines, and needs no scheduler to come back.
func Nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}
