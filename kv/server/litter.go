package server

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	largeBuffer = 1 << 20  // bytes from which a dropped buffer is counted
	muchLitter  = 32 << 20 // bytes of them that are worth a collection
	litterRests = time.Second
)

// litter is what large requests and replies left behind. Go's collector works when as much again
// has been allocated, which in a server whose data lie elsewhere may be never, or after
// minutes: a client that read 512 MB once would cost that for as long.
type litter struct {
	bytes    atomic.Int64
	last     atomic.Int64 // when the last was dropped, in Unix ns
	clearing atomic.Bool
}

// drop counts a buffer that nobody uses any more.
func (t *litter) drop(b []byte) {
	if cap(b) >= largeBuffer {
		t.bytes.Add(int64(cap(b)))
		t.last.Store(time.Now().UnixNano())
	}
}

// clear gives the memory back to the system, in the background, when there is much and no
// more has come for a second: while more comes the collector runs anyway.
func (t *litter) clear(now time.Time) {
	if t.bytes.Load() < muchLitter || now.UnixNano()-t.last.Load() < int64(litterRests) {
		return
	}
	if !t.clearing.CompareAndSwap(false, true) {
		return
	}
	t.bytes.Store(0)
	go func() {
		debug.FreeOSMemory()
		t.clearing.Store(false)
	}()
}
