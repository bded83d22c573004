//go:build linux && (amd64 || arm64)

package apart

import (
	"errors"
	"math/rand/v2"
	"time"

	"kvd/bench/internal/result"
)

const (
	faultRounds = 5
	faultRegion = 64 * mib // 4 KiB pages; a power of two
	hugeRegion  = 128 * mib
	hugePage    = 2 * mib
	faultBatch  = 128 // writes between two looks at the clock
	hugeBatch   = 4
	valueBytes  = 300 // what the scenarios write
	reserve     = 8 * mib
)

// faults measures what a write costs, by what the page is shared with.
func (j *job) faults() error {
	name := pagesName(j.huge) + " "
	round, size := j.smallFaults, int64(faultRegion)
	if j.huge {
		round, size = j.hugeFaults, hugeRegion
	}
	all := map[string][]float64{}
	for n := 0; n < faultRounds && (n < 2 || time.Since(j.begun) < j.budget); n++ {
		mem, unmap, err := region(size, j.huge)
		if err != nil {
			return note("fault/"+pagesName(j.huge), "%v", err)
		}
		touch(mem)
		if j.huge {
			if ok, why := hugeEnough(size); !ok {
				return note("fault/"+pagesName(j.huge), "%s", why)
			}
		}
		err = round(mem, all)
		unmap()
		if err != nil {
			return err
		}
	}
	var err error
	for what, values := range all {
		err = errors.Join(err, emit("fault/"+name+what, 0, result.Median(values)))
	}
	return err
}

// timed calls fn with every index of order and adds the nanoseconds a call, over
// batches, to samples.
func timed(samples *[]float64, order []int, batch int, fn func(i int)) {
	for len(order) >= batch {
		begin := time.Now()
		for _, i := range order[:batch] {
			fn(i)
		}
		*samples = append(*samples, float64(time.Since(begin).Nanoseconds())/float64(batch))
		order = order[batch:]
	}
}

// run is timed on a list of samples by name.
func run(all map[string][]float64, name string, order []int, batch int, fn func(i int)) {
	s := all[name]
	timed(&s, order, batch, fn)
	all[name] = s
}

// smallFaults is one round over 4 KiB pages in random order.
func (j *job) smallFaults(mem []byte, all map[string][]float64) error {
	pages := rand.Perm(len(mem) / smallPage)
	write := func(i int) { mem[i*smallPage]++ }
	run(all, "plain", pages, faultBatch, write)

	// The thread engine copies what is about to be overwritten into memory of
	// its own that was touched before.
	into, unmap, err := region(reserve, false)
	if err != nil {
		return err
	}
	defer unmap()
	touch(into)
	at := 0
	copyOut := func(n int) func(int) {
		return func(i int) {
			at = (at + n) & (reserve - 1)
			copy(into[at:min(at+n, reserve)], mem[i*smallPage:])
		}
	}
	run(all, "copy 300", pages, faultBatch, copyOut(valueBytes))
	run(all, "copy 4096", pages, faultBatch, copyOut(smallPage))

	child, err := park()
	if err != nil {
		return err
	}
	during, after := pages[:len(pages)/2], pages[len(pages)/2:]
	run(all, "shared", during, faultBatch, write)
	run(all, "again", during, faultBatch, write)
	if err := child.end(); err != nil {
		return err
	}
	run(all, "reused", after, faultBatch, write)
	return nil
}

// hugeFaults is one round over huge pages in random order.
func (j *job) hugeFaults(mem []byte, all map[string][]float64) error {
	pages := rand.Perm(len(mem) / hugePage)
	write := func(i int) { mem[i*hugePage]++ }
	next := func(i int) { mem[i*hugePage+64*smallPage]++ }
	run(all, "plain", pages, hugeBatch, write)

	into, unmap, err := region(reserve, true)
	if err != nil {
		return err
	}
	defer unmap()
	touch(into)
	run(all, "copy page", pages, hugeBatch, func(i int) { copy(into[:hugePage], mem[i*hugePage:]) })

	child, err := park()
	if err != nil {
		return err
	}
	during, after := pages[:len(pages)/2], pages[len(pages)/2:]
	run(all, "shared", during, hugeBatch, write)
	run(all, "next", during, hugeBatch, next)
	if err := child.end(); err != nil {
		return err
	}
	run(all, "reused", after, hugeBatch, write)
	return nil
}
