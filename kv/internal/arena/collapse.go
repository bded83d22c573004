package arena

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A write to a huge page that a forked child shares makes the kernel split its
// mapping into 512 small ones, for good: the page that was written is copied,
// and the next clone has 512 entries to copy where it had one. The collapser is
// a goroutine that, when the last child has gone, looks for chunks whose mapping
// is split and has the kernel join them again (MADV_COLLAPSE), one chunk a call
// and a limited number of them per second.
//
// A call copies 2 MiB while nobody else can take a page fault anywhere in the
// data range, and clone waits for it too. So it never runs while a child lives,
// HoldCollapse waits for one call at the most, and the pauses are never shorter
// than the calls times collapseShare. Measured (BenchmarkCollapse, 2 busy cores,
// Linux 6.18): a call takes 0.38–0.44 ms, 0.55 at p99; who reads or writes the
// memory meanwhile waits 0.06–0.1 ms at the median and 0.5 at p99, and over 1 ms
// no more often than beside no call at all (0.7 of 128 calls reading with and
// without; up to 10 writing, 3 without), where the scheduler takes the processor
// from one side. Much of it is the copy itself: the rate changes how often
// somebody waits, not how long, and all chunks of a store with random keys are
// equally busy, so that their order does not matter.
type collapser struct {
	wake    chan struct{}
	stop    chan struct{}
	done    chan struct{}
	running bool // guarded by Arena.mu

	// call is held during every call on a chunk; holds counts those who want none.
	call  sync.Mutex
	holds int

	off     string      // why it cannot work; "" if it can. Set by New.
	noScan  bool        // for tests: do not ask the kernel which chunks are split
	blind   atomic.Bool // it could not tell when it was asked last
	rate    atomic.Int64
	split   atomic.Int64 // chunks that are to be joined, as of the last look
	joined  atomic.Int64 // chunks joined since the start
	longest atomic.Int64 // nanoseconds of the longest call

	// What the kernel is asked with. It holds an address, so it must not move as
	// what is on a stack may.
	scan   pmScanArg
	region pageRegion
}

// DefaultCollapseRate is how many bytes per second are joined unless
// SetCollapseRate says otherwise: a GB in four seconds.
const DefaultCollapseRate = 256 << 20

const (
	// collapseShare: a call that took t is followed by a pause of at least
	// collapseShare·t, however high the rate: cold memory takes longer.
	collapseShare = 4
	// collapseAgain is how often chunks are looked at without a reason: some could
	// not be joined, because there was no free huge page or somebody held one of
	// their pages, or have never been whole.
	collapseAgain = time.Minute
	// collapseFailures in a row end a pass.
	collapseFailures = 16
)

func (k *collapser) init() {
	k.wake = make(chan struct{}, 1)
	k.stop = make(chan struct{})
	k.done = make(chan struct{})
	k.rate.Store(DefaultCollapseRate)
}

// SetCollapseRate sets how many bytes per second are joined at most; 0: none.
func (a *Arena) SetCollapseRate(bytesPerSecond int64) {
	a.collapser.rate.Store(max(bytesPerSecond, 0))
	if bytesPerSecond > 0 {
		a.wakeCollapser()
	}
}

// CollapseOff returns why split huge pages stay so, "" if they are joined.
func (a *Arena) CollapseOff() string { return a.collapser.off }

// HoldCollapse keeps the collapser from joining chunks until ReleaseCollapse is
// called as often. It returns when no call is under way. Call it before a
// process is forked and release it when the child has gone.
func (a *Arena) HoldCollapse() {
	a.collapser.call.Lock()
	a.collapser.holds++
	a.collapser.call.Unlock()
}

// ReleaseCollapse ends one HoldCollapse; the last one starts a search for
// chunks to join.
func (a *Arena) ReleaseCollapse() {
	a.collapser.call.Lock()
	a.collapser.holds--
	last := a.collapser.holds == 0
	a.collapser.call.Unlock()
	if last {
		a.wakeCollapser()
	}
}

func (a *Arena) wakeCollapser() {
	k := &a.collapser
	if k.off != "" {
		return
	}
	a.mu.Lock()
	if !k.running {
		k.running = true
		go a.collapse()
	}
	a.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (a *Arena) stopCollapser() {
	k := &a.collapser
	a.mu.Lock()
	running := k.running
	k.running = true // no new one
	a.mu.Unlock()
	close(k.stop)
	if running {
		<-k.done
	}
}

// collapse is the goroutine.
func (a *Arena) collapse() {
	k := &a.collapser
	defer close(k.done)
	again := time.NewTicker(collapseAgain)
	defer again.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-k.wake:
		case <-again.C:
			if k.blind.Load() {
				continue // all would be tried again and again
			}
		}
		a.collapsePass()
	}
}

// collapsePass joins all chunks that are split. It ends early when it is held,
// when the rate is 0, and when the kernel fails too often.
func (a *Arena) collapsePass() {
	k := &a.collapser
	failures := 0
	for _, c := range a.splitChunks() {
		rate := k.rate.Load()
		if rate == 0 {
			return
		}
		start := time.Now()
		took, held, err := a.joinChunk(c)
		if held {
			return // the release wakes us
		}
		if err == nil {
			failures = 0
			k.split.Add(-1)
		} else if failures++; failures == collapseFailures || err == unix.ENOMEM {
			return
		}
		even := time.Duration(float64(ChunkSize) / float64(rate) * float64(time.Second))
		select {
		case <-k.stop:
			return
		case <-time.After(max(even-time.Since(start), collapseShare*took)):
		}
	}
}

// joinChunk asks the kernel to map chunk c as one huge page. It does nothing if
// the collapser is held or the chunk has been given back meanwhile.
func (a *Arena) joinChunk(c int) (took time.Duration, held bool, err error) {
	k := &a.collapser
	k.call.Lock()
	defer k.call.Unlock()
	if k.holds > 0 {
		return 0, true, nil
	}
	// The keeper must not give the chunk back meanwhile: joining it would make it
	// resident again.
	a.mu.Lock()
	if !a.mapped(c) {
		a.mu.Unlock()
		return 0, false, nil
	}
	a.joining = c
	a.mu.Unlock()
	a.keeper.slowly(func() {
		a.warmPage()
		start := time.Now()
		err = unix.Madvise(a.chunkBytes(c), unix.MADV_COLLAPSE)
		if err == unix.EAGAIN { // a page was busy for a moment
			err = unix.Madvise(a.chunkBytes(c), unix.MADV_COLLAPSE)
		}
		took = time.Since(start)
	})
	a.mu.Lock()
	a.joining = 0
	if a.chunkState[c] == chunkEmpty || a.chunkState[c] == chunkReady {
		a.wakeKeeper()
	}
	a.mu.Unlock()
	if err == nil {
		k.joined.Add(1)
	}
	k.longest.Store(max(k.longest.Load(), int64(took)))
	return took, false, err
}

// warmPage makes it likely that the huge page which this thread is given next is one that
// the machine has just had in use. Copying to one that it has not, on a virtual machine,
// takes 7 ms instead of 0.4, which others cannot interrupt; they can interrupt this. It uses the
// first chunk, which nobody else does.
func (a *Arena) warmPage() {
	_ = unix.Madvise(a.chunkBytes(0), unix.MADV_POPULATE_WRITE)
	_ = unix.Madvise(a.chunkBytes(0), unix.MADV_DONTNEED)
}

// mapped tells whether chunk c has memory that is not about to go. Arena.mu is
// held.
func (a *Arena) mapped(c int) bool {
	switch a.chunkState[c] {
	case chunkNever, chunkGone, chunkBusy:
		return false
	}
	return true
}

// splitChunks returns the chunks that are not mapped as one huge page, and
// publishes their number. Held, it returns none. Where the kernel cannot tell
// (before Linux 6.7) it returns all: joining one that is whole does nothing.
func (a *Arena) splitChunks() (chunks []int) {
	k := &a.collapser
	a.mu.Lock()
	top := a.top
	a.mu.Unlock()
	pagemap, err := os.Open("/proc/self/pagemap")
	if err == nil {
		defer pagemap.Close()
	}
	scan := err == nil && !k.noScan
	for c := 1; c < top; c++ {
		a.mu.Lock()
		mapped := a.mapped(c)
		a.mu.Unlock()
		if !mapped {
			continue
		}
		if scan {
			k.call.Lock()
			held := k.holds > 0
			split, err := false, error(nil)
			if !held {
				split, err = k.isSplit(int(pagemap.Fd()), a.chunkBytes(c))
			}
			k.call.Unlock()
			if held {
				return nil
			}
			if err == nil && !split {
				continue
			}
			scan = err == nil
		}
		chunks = append(chunks, c)
	}
	k.blind.Store(!scan)
	k.split.Store(int64(len(chunks)))
	return chunks
}

// pmScanArg is the kernel's struct pm_scan_arg, pageRegion its struct page_region.
type pmScanArg struct {
	size, flags, start, end, walkEnd, vec, vecLen, maxPages uint64
	inverted, mask, anyOf, returned                         uint64
}

type pageRegion struct{ start, end, categories uint64 }

const (
	pagemapScan   = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageIsPresent = 1 << 3
	pageIsHuge    = 1 << 6
)

// isSplit tells whether any page of chunk is mapped by an entry of its own. The
// kernel stops at the first: it looks at two entries at the most.
func (k *collapser) isSplit(pagemap int, chunk []byte) (bool, error) {
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(chunk))))
	k.scan = pmScanArg{
		size:  uint64(unsafe.Sizeof(k.scan)),
		start: start, end: start + uint64(len(chunk)),
		vec: uint64(uintptr(unsafe.Pointer(&k.region))), vecLen: 1, maxPages: 1,
		inverted: pageIsHuge, mask: pageIsPresent | pageIsHuge, returned: pageIsPresent,
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pagemap), pagemapScan, uintptr(unsafe.Pointer(&k.scan)))
	if errno != 0 {
		return false, errno
	}
	return n > 0, nil
}

// hugeOff returns why the system gives no huge pages of ChunkSize; "" if it does.
func hugeOff() string {
	const dir = "/sys/kernel/mm/transparent_hugepage/"
	size, err := os.ReadFile(dir + "hpage_pmd_size")
	if err != nil {
		return "the kernel has no transparent huge pages"
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(size))); err != nil || n != ChunkSize {
		return fmt.Sprintf("the kernel's huge pages have %s bytes, not 2 MiB", strings.TrimSpace(string(size)))
	}
	// Since Linux 6.8 each size has a switch of its own, which may inherit.
	for _, file := range []string{"hugepages-2048kB/enabled", "enabled"} {
		text, err := os.ReadFile(dir + file)
		if err != nil || strings.Contains(string(text), "[inherit]") {
			continue
		}
		if strings.Contains(string(text), "[never]") {
			return dir + file + " is never"
		}
		break
	}
	if on, err := unix.PrctlRetInt(unix.PR_GET_THP_DISABLE, 0, 0, 0, 0); err == nil && on == 1 {
		return "they are disabled for this process (PR_SET_THP_DISABLE)"
	}
	return ""
}

// initCollapser finds out whether chunks can be joined. A call without bytes
// tells whether the kernel knows MADV_COLLAPSE (Linux 6.1).
func (a *Arena) initCollapser() {
	k := &a.collapser
	k.init()
	if k.off = a.hugeOff; k.off != "" {
		return
	}
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(a.base), 0, unix.MADV_COLLAPSE); errno != 0 {
		k.off = "the kernel has no MADV_COLLAPSE (Linux 6.1)"
	}
}
