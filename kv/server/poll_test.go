//go:build linux

package server

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHeldPollEndsForTheCollector: a loop that waits without telling the scheduler holds
// nobody up. Each wait would last a minute.
func TestHeldPollEndsForTheCollector(t *testing.T) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(epfd) }()
	const minute = 60_000
	var waits atomic.Int64
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		events := make([]unix.EpollEvent, 1)
		for !stop.Load() {
			waits.Add(1)
			if n, e := pollHeld(epfd, events, minute); n > 0 || e != unix.EINTR {
				t.Errorf("the wait ended with %d events, error %d", n, e)
				return
			}
		}
	}()
	begin := time.Now()
	for waits.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		runtime.GC()
	}
	stop.Store(true)
	runtime.GC()
	<-ended
	if took := time.Since(begin); took > minute*time.Millisecond*9/10 {
		t.Errorf("collections took %v: they waited for a loop", took)
	}
}
