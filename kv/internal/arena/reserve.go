package arena

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The reserve is chunks touched before the process is cloned that the child does
// not get (MADV_DONTFORK): what is written to them beside the child (AllocApart)
// makes the kernel neither fault nor copy. As soon as the clone is made they are
// shown to children again (MADV_DOFORK), long before the next one: a live block
// older than a cut must never be hidden from its child. A range for which that
// fails is remembered, and there is no other clone until it has succeeded.
//
//	PrepareFork → BeginCut → clone → ShowReserve … EndCut → GiveReserve
type reserve struct {
	chunks []int        // not used yet; guarded by Arena.mu
	count  atomic.Int64 // of them
	coming bool         // a cut is about to come; guarded by Arena.mu
	apart  int          // chunks that the last cuts needed; guarded by Arena.mu

	mu     sync.Mutex // guards what follows
	hidden [][]byte   // ranges that a child would not get
	advise func(b []byte, advice int) error
}

// The reserve has reserveMin chunks, or as many as the last save needed, but at
// most one for every reserveDivisor in use.
const (
	reserveMin     = 4
	reserveDivisor = 50
)

// SetMadvise replaces the system call that hides the reserve and shows it again,
// for tests; nil brings it back.
func (a *Arena) SetMadvise(fn func(b []byte, advice int) error) {
	if fn == nil {
		fn = unix.Madvise
	}
	a.reserve.mu.Lock()
	a.reserve.advise = fn
	a.reserve.mu.Unlock()
}

// ReserveBytes returns the size of the reserve that is not used yet, without a lock.
func (a *Arena) ReserveBytes() int64 { return a.reserve.count.Load() * ChunkSize }

// PrepareFork makes the reserve for the cut that comes. It touches memory, so no
// heap's lock should be held; chunks must not be joined (HoldCollapse). On an error,
// which says that the child would lack memory in use, there must be no clone.
func (a *Arena) PrepareFork() error {
	if err := a.ShowReserve(); err != nil {
		return err
	}
	a.fillReserve()
	a.keeper.slowly(func() {}) // no chunk is being touched now: clone would wait for that
	k := &a.reserve
	k.mu.Lock()
	defer k.mu.Unlock()
	a.mu.Lock()
	slices.Sort(k.chunks)
	ranges := a.ranges(k.chunks)
	a.mu.Unlock()
	for _, r := range ranges {
		k.hidden = append(k.hidden, r)
		if err := k.advise(r, unix.MADV_DONTFORK); err == nil {
			continue
		}
		// Then there is less of a reserve or none; but what of it is hidden?
		err := k.show()
		a.GiveReserve()
		return err
	}
	return nil
}

// fillReserve takes chunks for the reserve, touched ones first.
func (a *Arena) fillReserve() {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := &a.reserve
	k.coming = true
	if a.apartPages > 0 { // the child will share them
		for c := range a.top {
			if a.chunkState[c] == chunkApart {
				a.chunkState[c] = chunkLeft
			}
		}
	}
	want := min(max(reserveMin, k.apart), a.used()/reserveDivisor)
	for len(k.chunks) < want {
		c, touched, ok := a.spareChunk()
		if !ok {
			return
		}
		if !touched {
			a.chunkState[c] = chunkBusy
			a.mu.Unlock()
			a.keeper.slowly(func() { a.touch(c) })
			a.mu.Lock()
			a.resident++
		}
		a.chunkState[c] = chunkReserve
		k.chunks = append(k.chunks, c)
		k.count.Store(int64(len(k.chunks)))
	}
}

// ranges returns the memory of chunks in ascending order, neighbours as one.
func (a *Arena) ranges(chunks []int) (list [][]byte) {
	for i := 0; i < len(chunks); {
		n := 1
		for i+n < len(chunks) && chunks[i+n] == chunks[i]+n {
			n++
		}
		list = append(list, a.chunksBytes(chunks[i], n))
		i += n
	}
	return list
}

// ShowReserve makes the reserve part of later children. Call it when the process
// was cloned, or will not be; what fails is tried again by PrepareFork.
func (a *Arena) ShowReserve() error {
	a.mu.Lock()
	if a.reserve.coming {
		a.reserve.coming = false
		a.wakeKeeper()
	}
	a.mu.Unlock()
	a.reserve.mu.Lock()
	defer a.reserve.mu.Unlock()
	return a.reserve.show()
}

// show shows what is hidden. mu is held.
func (k *reserve) show() (err error) {
	bytes := 0
	k.hidden = slices.DeleteFunc(k.hidden, func(r []byte) bool {
		e := k.advise(r, unix.MADV_DOFORK)
		if e != nil {
			err = e
			bytes += len(r)
		}
		return e == nil
	})
	if err != nil {
		err = fmt.Errorf("arena: %d KB of memory are hidden from forked children, and the kernel does not show them again (MADV_DOFORK): %w", bytes>>10, err)
	}
	return err
}

// GiveReserve ends the use of the reserve: chunks that were not used stand ready
// like others, or are given back. Call it when the child has gone.
func (a *Arena) GiveReserve() {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := &a.reserve
	k.coming = false
	k.apart = max(int((a.apartPages+pagesPerChunk-1)/pagesPerChunk), k.apart/2)
	for _, c := range k.chunks {
		a.chunkState[c] = chunkReady
	}
	if len(k.chunks) > 0 {
		a.ready = append(a.ready, k.chunks...)
		a.wakeKeeper()
	}
	k.chunks = nil
	k.count.Store(0)
}

// takeReserve takes a chunk of the reserve, if there is any. Arena.mu is held.
func (a *Arena) takeReserve() (int, bool) {
	k := &a.reserve
	n := len(k.chunks)
	if n == 0 {
		return 0, false
	}
	c := k.chunks[n-1]
	k.chunks = k.chunks[:n-1]
	k.count.Store(int64(n - 1))
	return c, true
}
