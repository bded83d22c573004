package snapshot

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Overrun is what happens when the extra memory of a save comes to its limit.
type Overrun uint8

// The ways to keep to Options.MemoryLimit.
const (
	OverrunAbort    Overrun = iota // the save is given up
	OverrunThrottle                // writers are slowed down by Options.HoldWrites
)

// LimitError means that a save was given up since it cost more memory than it may.
type LimitError struct {
	Engine      Engine
	Used, Limit int64 // bytes
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the extra memory of the save (engine %v, %d bytes) has come to the limit of save-memory-limit (%d bytes)",
		e.Engine, e.Used, e.Limit)
}

const (
	watchInterval = 10 * time.Millisecond
	// sampleInterval is how often the memory that the kernel has copied for a
	// child is looked up, which walks the child's page tables: 3 ms for a GB.
	sampleInterval = time.Second
	sampleGap      = 15 * time.Millisecond // at least, where the limit seems to be reached
	// faultBytes is what the kernel copies at a write fault.
	faultBytes = 4096
)

// watcher follows a save from its cut to the end of its View: what memory it
// costs, and what is to be done about that.
type watcher struct {
	s       *saving
	looked  time.Time  // when the kernel's copies were looked up last
	faults  int64      // of the process, as of then
	atStart int64      // as of the cut
	ask     chan int64 // to have them looked up: faults by then
	told    chan sample
	asked   bool
	hurried bool
	owed    float64 // of a tick, in which writers wait
	holding bool
}

// sample is what the kernel had copied when the process had so many faults; n is -1 if
// it did not tell.
type sample struct{ n, faults int64 }

// watch returns a function that ends the watching and waits for it.
func (s *saving) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	w := &watcher{s: s, looked: time.Now(), faults: minorFaults(), ask: make(chan int64, 1), told: make(chan sample, 1)}
	w.atStart = w.faults
	if s.job != nil {
		running.Add(1)
		go atNice(threadNice, func() {
			defer running.Done()
			w.sampler()
		})
	}
	running.Go(func() {
		defer close(w.ask)
		w.run(ctx)
	})
	return func() {
		cancel()
		running.Wait()
	}
}

func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	defer w.hold(false)
	for {
		select {
		case <-ctx.Done():
			w.s.faults.Store(minorFaults() - w.atStart)
			w.s.throttled.Store(0)
			return
		case now := <-tick.C:
			w.look(now)
		}
	}
}

// sampler looks the kernel's copies up where nothing depends on it, on a thread of low
// priority: the clients should have the processor.
func (w *watcher) sampler() {
	for faults := range w.ask {
		n, err := w.s.job.SampleCopied()
		if err != nil {
			n = -1
		}
		w.told <- sample{n, faults}
	}
}

// note takes a sample.
func (w *watcher) note(x sample, now time.Time) {
	if x.n >= 0 {
		w.s.sampled(x.n)
		w.s.faultPeak.Store(max(w.s.faultPeak.Load(), int64(w.s.probe.measure())))
		w.faults = x.faults
	}
	w.looked = now
}

// look takes the figures, and acts.
func (w *watcher) look(now time.Time) {
	s := w.s
	used, _ := s.view.ExtraBytes()
	if s.job != nil {
		select {
		case x := <-w.told:
			w.asked = false
			w.note(x, now)
		default:
		}
		// Between two looks at the child's page tables every fault may be a copy.
		faults := minorFaults()
		estimate := func() int64 { return used + s.copied.Load() + (faults-w.faults)*faultBytes }
		due := now.Sub(w.looked)
		if full := s.o.MemoryLimit > 0 && estimate() >= s.o.MemoryLimit; full {
			if due < sampleGap && s.o.Overrun == OverrunAbort {
				return // it will be known, and not estimated, in a moment
			}
			if due >= sampleGap {
				if n, err := s.job.SampleCopied(); err == nil {
					w.note(sample{n, faults}, now)
				}
			}
		} else if due >= sampleInterval && !w.asked {
			w.asked = true
			w.ask <- faults
		}
		used = estimate()
	}
	w.limit(used)
}

// limit compares the memory that the save costs with what it may.
func (w *watcher) limit(used int64) {
	s := w.s
	limit := s.o.MemoryLimit
	if limit <= 0 || s.o.Engine == Copy || s.o.Engine == Foreground {
		return // a copy is what was asked for; and there nobody writes
	}
	if used >= limit/2 && !w.hurried {
		w.hurried = true
		s.hurry()
	}
	if s.o.Overrun == OverrunThrottle && s.o.HoldWrites != nil {
		w.throttle(float64(used) / float64(limit))
	} else if used >= limit {
		s.fail(&LimitError{Engine: s.o.Engine, Used: used, Limit: limit})
	}
}

// throttle makes writers wait for a share of the time that grows from 0 at three
// quarters of the limit to 1 at the limit.
func (w *watcher) throttle(full float64) {
	share := min(max(4*full-3, 0), 1)
	w.s.throttled.Store(int64(share * 1000))
	w.owed += share
	on := w.owed >= 1
	if on {
		w.owed--
	}
	if share == 0 {
		w.owed = 0
	}
	w.hold(on)
}

func (w *watcher) hold(on bool) {
	if on != w.holding {
		w.holding = on
		w.s.o.HoldWrites(on)
	}
}

// minorFaults returns how many page faults without I/O the process had.
func minorFaults() int64 {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return ru.Minflt
}
