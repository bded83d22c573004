//go:build linux && (amd64 || arm64)

// Package apart takes "fork against thread" apart: what the textbooks say of
// processes and threads, each claim with a figure from this machine beside it
// and whether the figure bears it out.
//
// # Who measures
//
// Measure itself only starts processes and words what they print. The figures
// come from processes of the same program (ChildMain, the hidden subcommand
// apart-child), each with a task of its own, so that the data, the threads and
// the forks of one do not weigh on another, and so that a fault ends what it is
// meant to end:
//
//	creation   fork, vfork + exec, thread, goroutine in a process without data
//	memory     the same with 4 KiB or huge pages of data, size by size
//	faults     writes to pages that are shared with a child, were shared, are not
//	talk       round trips to a process (echo), a thread, a goroutine
//	victim     a server of which one thread faults
//
// isolation.go does the same with a real kvd whose forked child is killed.
//
// # Files
//
// clone.go with its assembly makes the children; creation.go, faults.go, talk.go
// (with board.go) and victim.go run in the measuring processes; measuring.go and
// isolation.go are the side of Measure; facts.go, creationfacts.go, faultfacts.go and
// talkfacts.go turn figures into sentences. Every verdict is computed from the figures.
//
// The package uses unsafe and raw system calls, and imports bench/internal/host and result,
// redcon and x/sys/unix. Linux on amd64 and arm64.
package apart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"kvd/bench/internal/result"
)

// Options say what to measure.
type Options struct {
	// Kvd is the path of the kvd program. Without it memory isolation is not
	// measured on the real server, and the fact says so.
	Kvd string

	// Quick is for the small comparison: 8 s at most and data of up to 256 MiB,
	// instead of 60 s and 4 GiB.
	Quick bool

	// Sizes are the sizes of data in bytes. nil: as Quick says. Those that would
	// take more than half of the memory that is available are left out, with a
	// note.
	Sizes []int64

	// Progress is told what is being done, a few words each time. May be nil.
	Progress func(string)
}

const (
	quickTime = 8 * time.Second
	fullTime  = 60 * time.Second
	// leastFree is twice what the parts without a choice of size need.
	leastFree = gib / 2
)

var (
	quickSizes = []int64{64 * mib, 128 * mib, 256 * mib}
	fullSizes  = []int64{gib / 4, gib / 2, gib, 2 * gib, 4 * gib}
)

// Measure returns the section. It is never nil: what could not be measured is a
// fact without a value that says why. When ctx ends it returns at once what was
// measured until then, without those facts, and the error of ctx; there are no
// other errors.
func Measure(ctx context.Context, o Options) (*result.Apart, error) {
	limit := fullTime
	if o.Quick {
		limit = quickTime
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m := &measurement{Options: o, ctx: timed, limit: limit, figures: newFigures()}
	if m.Progress == nil {
		m.Progress = func(string) {}
	}
	m.run()
	a := m.apart()
	if ctx.Err() != nil {
		a.Facts = slices.DeleteFunc(a.Facts, func(f result.Fact) bool { return f.Value == nil })
	}
	return a, ctx.Err()
}

// measurement is one call of Measure.
type measurement struct {
	Options
	*figures
	ctx   context.Context
	limit time.Duration

	survival  *survival
	deaths    map[string]death // by how: signal, go
	victimHas int64            // bytes
}

// run takes all measurements, the long ones last.
func (m *measurement) run() {
	if free, err := freeMemory(); err == nil && free < leastFree {
		m.why[""] = fmt.Sprintf("only %s of memory are available", bytesText(free))
		return
	}
	if size := os.Getpagesize(); size != smallPage {
		m.why[""] = fmt.Sprintf("this kernel has pages of %s, and the claims are about 4 KiB", bytesText(int64(size)))
		return
	}
	program, err := exec.LookPath("true")
	if err != nil {
		program = "/bin/true"
	}
	step := func(progress, part string, args ...string) {
		if m.ctx.Err() == nil {
			m.Progress(progress)
		}
		m.collect(m.ctx, part, func(p point) {
			if p.Name == part+"/tables" {
				m.Progress(progress + ": " + bytesText(p.Size))
			}
		}, args...)
	}
	faultBudget := (m.limit / 10).String()
	step("creating processes and threads", "creation", "creation", "-program", program)
	step("page faults, 4 KiB pages", "fault/small", "faults", "-budget", faultBudget)
	step("page faults, huge pages", "fault/huge", "faults", "-huge", "-budget", faultBudget)
	step("pipes, shared pages, channels", "talk", "talk")
	m.isolation()

	sizes, err := m.affordable()
	if err != nil {
		m.why["small"], m.why["huge"] = err.Error(), err.Error()
		return
	}
	list := make([]string, len(sizes))
	for i, n := range sizes {
		list[i] = strconv.FormatInt(n, 10)
	}
	args := []string{"memory", "-program", program, "-sizes", strings.Join(list, ",")}
	// A virtual machine may get its memory at the first touch only: whoever comes
	// first pays for it. The figures with 4 KiB pages matter more.
	deadline, _ := m.ctx.Deadline()
	budget := func(share float64) string {
		return time.Duration(share * float64(time.Until(deadline))).String()
	}
	step("page tables, huge pages", "huge", append(args, "-huge", "-budget", budget(0.5))...)
	step("page tables, 4 KiB pages", "small", append(args, "-budget", budget(0.8))...)
}

// affordable returns the sizes, ascending, that take at most half of the
// memory there is, and notes what was left out.
func (m *measurement) affordable() ([]int64, error) {
	sizes := slices.Clone(m.Sizes)
	if len(sizes) == 0 {
		sizes = slices.Clone(fullSizes)
		if m.Quick {
			sizes = slices.Clone(quickSizes)
		}
	}
	slices.Sort(sizes)
	free, err := freeMemory()
	if err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(sizes), func(n int64) bool { return n <= 0 || n > free/2 })
	if len(kept) == 0 {
		return nil, fmt.Errorf("%s of memory are available, of which this takes half at most", bytesText(free))
	}
	if left := sizes[len(sizes)-1]; left > free/2 {
		m.why["sizes"] = fmt.Sprintf("sizes above %s were left out: %s of memory were available, of which this takes half at most",
			bytesText(kept[len(kept)-1]), bytesText(free))
	}
	return kept, nil
}

// isolation kills a child of kvd and has a thread of a victim fault.
func (m *measurement) isolation() {
	const mb = 64 * mib
	m.victimHas, m.deaths = mb, map[string]death{}
	if !m.Quick {
		m.victimHas = 4 * mb
	}
	if m.ctx.Err() == nil {
		m.Progress("killing a child, faulting in a thread")
	}
	fail := func(part string, err error) {
		if m.ctx.Err() != nil {
			err = outOfTime(m.ctx)
		}
		m.why[part] = err.Error()
	}
	if m.Kvd == "" {
		m.why["survival"] = "there is no kvd program to start"
	} else if s, err := killChild(m.ctx, m.Kvd); err != nil {
		fail("survival", err)
	} else {
		m.survival = &s
	}
	for _, how := range []string{"signal", "go"} {
		if d, err := faultInThread(m.ctx, how, m.victimHas); err != nil {
			fail("death "+how, err)
		} else {
			m.deaths[how] = d
		}
	}
}
