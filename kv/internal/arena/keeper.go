package arena

import (
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The keeper is a goroutine that touches chunks ahead of use, since the first
// touch of 2 MiB takes up to tens of milliseconds on a cold virtual machine
// and must not happen under a shard's lock, and that gives empty chunks back.
// It exists from the first chunk on.
type keeper struct {
	wake    chan struct{}
	stop    chan struct{}
	done    chan struct{}
	running bool

	once sync.Once // starts workSlowly
	slow chan slowWork
}

// slowWork is something that the kernel takes its time for.
type slowWork struct {
	do   func()
	done chan<- struct{}
}

// slowNice is by how much the thread that does it is nicer than the process.
const slowNice = 10

// Chunks touched ahead, and empty ones kept for reuse: a fraction of what is in
// use, within bounds.
const (
	aheadMax     = 4
	aheadDivisor = 128
)

func (k *keeper) init() {
	k.wake = make(chan struct{}, 1)
	k.stop = make(chan struct{})
	k.done = make(chan struct{})
	k.slow = make(chan slowWork)
	k.once = sync.Once{}
}

// slowly does something that takes the kernel milliseconds, such as clearing 2 MiB, on a
// thread of low priority: no client should wait for a processor that is busy with that. One
// thing is done after the other. Neither the caller nor do may hold a lock that clients need.
func (k *keeper) slowly(do func()) {
	k.once.Do(func() { go k.workSlowly() })
	done := make(chan struct{})
	select {
	case k.slow <- slowWork{do, done}:
		<-done
	case <-k.stop:
		do()
	}
}

// workSlowly is the thread. It ends with the goroutine.
func (k *keeper) workSlowly() {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() { // this one would not end, and its priority is shown as the process's
		defer runtime.UnlockOSThread()
		ended := make(chan struct{})
		go func() { // on another thread: this one is locked
			defer close(ended)
			k.workSlowly()
		}()
		<-ended
		return
	}
	if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil { // 20 less the niceness
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), min(20-raw+slowNice, 19))
	}
	for {
		select {
		case w := <-k.slow:
			w.do()
			close(w.done)
		case <-k.stop:
			return
		}
	}
}

// wakeKeeper is called with Arena.mu held.
func (a *Arena) wakeKeeper() {
	k := &a.keeper
	if !k.running {
		k.running = true
		go a.keep()
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (a *Arena) stopKeeper() {
	a.mu.Lock()
	running := a.keeper.running
	a.keeper.running = true // no new one
	a.mu.Unlock()
	close(a.keeper.stop)
	if running {
		<-a.keeper.done
	}
}

// ahead returns how many chunks should stand ready.
func (a *Arena) ahead() int {
	used := a.used()
	return min(used/aheadDivisor+min(used, 1), aheadMax)
}

// used returns how many touched chunks have pages in runs.
func (a *Arena) used() int {
	return a.resident - len(a.ready) - len(a.empty) - len(a.reserve.chunks)
}

func (a *Arena) keep() {
	defer close(a.keeper.done)
	for {
		select {
		case <-a.keeper.stop:
			return
		case <-a.keeper.wake:
		}
		for a.keepOne() {
			select {
			case <-a.keeper.stop:
				return
			default:
			}
		}
	}
}

// keepOne does one piece of work and tells whether there may be more.
func (a *Arena) keepOne() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	want := a.ahead()
	if a.reserve.coming {
		// What were touched now would be shared with the child, and so be copied.
		want = max(want-len(a.reserve.chunks), 0)
	}
	switch {
	case len(a.ready)+len(a.empty) > want && len(a.empty)+len(a.ready) > 0:
		list := &a.empty
		if len(*list) == 0 {
			list = &a.ready
		}
		c := (*list)[len(*list)-1]
		if c == a.joining { // joinChunk wakes us
			return false
		}
		*list = (*list)[:len(*list)-1]
		a.chunkState[c] = chunkBusy
		a.resident--
		a.mu.Unlock()
		var err error
		a.keeper.slowly(func() { err = a.discard(c) })
		a.mu.Lock()
		if err != nil { // cannot be given back: keep it for use
			a.chunkState[c] = chunkReady
			a.ready = append(a.ready, c)
			a.resident++
			return false
		}
		a.chunkState[c] = chunkGone
		a.gone = append(a.gone, c)
		return true
	case len(a.ready)+len(a.empty) < want:
		var c int
		if n := len(a.gone); n > 0 {
			c = a.gone[n-1]
			a.gone = a.gone[:n-1]
		} else {
			var ok bool
			if c, ok = a.newChunk(); !ok {
				return false
			}
		}
		a.chunkState[c] = chunkBusy
		a.mu.Unlock()
		a.keeper.slowly(func() { a.touch(c) })
		a.mu.Lock()
		a.resident++
		a.chunkState[c] = chunkReady
		a.ready = append(a.ready, c)
		return true
	}
	return false
}

// touch brings in every page of chunk c, which nobody uses yet. With huge pages the first
// write would do; but the collector waits for a goroutine that is in a page fault, for 5 ms
// maybe, and everybody waits for the collector. It does not wait for a system call.
func (a *Arena) touch(c int) {
	if unix.Madvise(a.chunkBytes(c), unix.MADV_POPULATE_WRITE) == nil { // since Linux 5.14
		return
	}
	for i := uintptr(0); i < ChunkSize; i += PageSize {
		*(*byte)(unsafe.Add(a.base, uintptr(c)*ChunkSize+i)) = 0
	}
}
