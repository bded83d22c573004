//go:build linux && (amd64 || arm64)

package apart

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"kvd/bench/internal/result"
)

const (
	creations     = 200                    // of each kind, in the small process
	creationLimit = 400 * time.Millisecond // for each kind
	goThreads     = 32                     // at a time
	goroutines    = 1000                   // at a time
)

// creation measures what a process without data pays for each kind of helper.
func (j *job) creation() error {
	rss, err := procField("self", "status", "VmRSS:")
	if err != nil {
		return err
	}
	err = errors.Join(
		emit("creation/rss", 0, float64(rss)),
		medians2([2]string{"creation/fork", "creation/fork life"}, 0, creations, creationLimit, forkOnce),
		medians2([2]string{"creation/thread", "creation/thread life"}, 0, creations, creationLimit, threadOnce),
	)
	if err != nil {
		return err
	}
	goThread, err := samples(10, creationLimit, goThreadCost)
	if err != nil {
		return err
	}
	goroutine, _ := samples(50, creationLimit, goroutineCost)
	return errors.Join(
		emit("creation/go thread", 0, result.Median(goThread)),
		emit("creation/goroutine", 0, result.Median(goroutine)),
		// Last, so that a machine without the program loses nothing else.
		medians2([2]string{"creation/exec", "creation/exec life"}, 0, creations, creationLimit,
			func() (float64, float64, error) { return execOnce(j.program) }),
	)
}

// goThreadCost returns the microseconds a thread of a goroutine that locks one
// and never gives it back. Many at a time, so that each needs one of its own;
// the kernel's count tells how many were made.
func goThreadCost() (float64, error) {
	before, err := procField("self", "status", "Threads:")
	if err != nil {
		return 0, err
	}
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	begin := time.Now()
	ready.Add(goThreads)
	for range goThreads {
		done.Go(func() {
			runtime.LockOSThread() // ends locked: the thread ends with it
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	took := time.Since(begin)
	after, err := procField("self", "status", "Threads:")
	close(release)
	done.Wait()
	if err != nil {
		return 0, err
	}
	if after <= before {
		return 0, fmt.Errorf("%d locked goroutines made no thread", goThreads)
	}
	// The next round is to find none of these.
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); {
		if n, err := procField("self", "status", "Threads:"); err != nil || n <= before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return micros(took) / float64(after-before), nil
}

// goroutineCost returns the microseconds of a goroutine from start to end.
func goroutineCost() (float64, error) {
	var all sync.WaitGroup
	begin := time.Now()
	for range goroutines {
		all.Go(func() {})
	}
	all.Wait()
	return micros(time.Since(begin)) / goroutines, nil
}

const (
	sizeRepeats = 5 // clones at each size
	sizeLimit   = 2 * time.Second
)

// memory measures the same in a process whose data grows from size to size.
func (j *job) memory() error {
	name := pagesName(j.huge)
	mem, _, err := region(j.sizes[len(j.sizes)-1], j.huge)
	if err != nil {
		return note(name, "%v", err)
	}
	touched, touching := int64(0), time.Duration(0)
	for _, size := range j.sizes {
		// What was touched so far tells how long the rest takes.
		if touched > 0 {
			expect := time.Duration(float64(touching) / float64(touched) * float64(size-touched))
			if time.Since(j.begun)+expect > j.budget {
				return note(name, "%s and more left out: first touch of the memory takes too long here (%.1f s/GiB)",
					bytesText(size), touching.Seconds()/float64(touched)*gib)
			}
		}
		begin := time.Now()
		touch(mem[touched:size])
		touching += time.Since(begin)
		touched = size
		if j.huge {
			if ok, why := hugeEnough(size); !ok {
				return note(name, "%s", why)
			}
		}
		if err := j.atSize(name, size); err != nil {
			return err
		}
	}
	return nil
}

// pagesName is the prefix of the figures of a page size.
func pagesName(huge bool) string {
	if huge {
		return "huge"
	}
	return "small"
}

// atSize measures with size bytes of data.
func (j *job) atSize(name string, size int64) error {
	tables := int64(0)
	clones, err := samples(sizeRepeats, sizeLimit, func() (float64, error) {
		p, err := park()
		if err != nil {
			return 0, err
		}
		tables, err = procField(strconv.Itoa(p.pid), "status", "VmPTE:")
		return micros(p.took), errors.Join(err, p.end())
	})
	if err != nil {
		return err
	}
	return errors.Join(
		emit(name+"/fork", size, result.Median(clones)),
		emit(name+"/tables", size, float64(tables)),
		medians2([2]string{name + "/fork alone", name + "/fork life"}, size, sizeRepeats, sizeLimit, forkOnce),
		medians2([2]string{name + "/thread", name + "/thread life"}, size, 50, sizeLimit/10, threadOnce),
		medians2([2]string{name + "/exec", name + "/exec life"}, size, 50, sizeLimit/10,
			func() (float64, float64, error) { return execOnce(j.program) }),
	)
}
