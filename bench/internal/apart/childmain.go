//go:build linux && (amd64 || arm64)

package apart

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/result"
)

// childCommand is the hidden subcommand by which the program starts itself.
const childCommand = "apart-child"

// point is a line that a measuring process prints: a figure, or why there is none.
type point struct {
	Name  string  `json:"name"`
	Size  int64   `json:"size,omitempty"` // bytes of data, where the figure depends on them
	Value float64 `json:"value"`
	Note  string  `json:"note,omitempty"` // why Name is absent
}

// job is what a measuring process was asked for.
type job struct {
	huge    bool
	sizes   []int64
	budget  time.Duration // after which it begins nothing long
	data    int64         // victim: bytes that it holds
	core    int           // echo: where it runs
	how     string        // echo: pipe, spin, futex; victim: signal, go
	program string        // creation, memory: what exec starts
	begun   time.Time
}

// jobs are the kinds of measuring processes. Each measures on the main thread.
var jobs = map[string]func(*job) error{
	"creation": (*job).creation,
	"memory":   (*job).memory,
	"faults":   (*job).faults,
	"talk":     (*job).talk,
	"echo":     (*job).echo,
	"victim":   (*job).victim,
}

// ChildMain is the main function of `bench apart-child KIND …`, the processes in
// which Measure measures; args are what follows apart-child. It returns the exit
// status of the process.
func ChildMain(args []string) int {
	if len(args) == 0 || jobs[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "apart-child: the program starts this itself")
		return 2
	}
	j := &job{begun: time.Now()}
	fs := flag.NewFlagSet(childCommand, flag.ContinueOnError)
	fs.BoolVar(&j.huge, "huge", false, "huge pages")
	fs.DurationVar(&j.budget, "budget", time.Minute, "begin nothing long after this")
	fs.Int64Var(&j.data, "data", 0, "bytes held")
	fs.IntVar(&j.core, "core", anyCore, "core to run on")
	fs.StringVar(&j.how, "how", "", "variant")
	fs.StringVar(&j.program, "program", "", "what exec starts")
	fs.Func("sizes", "bytes, separated by commas", func(s string) error {
		for _, f := range strings.Split(s, ",") {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return err
			}
			j.sizes = append(j.sizes, n)
		}
		return nil
	})
	if fs.Parse(args[1:]) != nil {
		return 2
	}
	// The main thread lives as long as the process, which the death signals of
	// its children need. Without a collector nothing interrupts.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	if err := jobs[args[0]](j); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		return 1
	}
	return 0
}

// print sends a point to Measure. Nobody listens any more when it fails.
func (p point) print() error { return json.NewEncoder(os.Stdout).Encode(p) }

func emit(name string, size int64, value float64) error {
	return point{Name: name, Size: size, Value: value}.print()
}

func note(name, format string, args ...any) error {
	return point{Name: name, Note: fmt.Sprintf(format, args...)}.print()
}

// samples calls fn once to warm up and then until it has n values or limit has
// passed, at least 3 times, and returns the values.
func samples(n int, limit time.Duration, fn func() (float64, error)) ([]float64, error) {
	if _, err := fn(); err != nil {
		return nil, err
	}
	out := make([]float64, 0, n)
	for begin := time.Now(); len(out) < n && (len(out) < 3 || time.Since(begin) < limit); {
		v, err := fn()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// medians2 repeats an operation with two figures as samples does and prints the
// median of each.
func medians2(names [2]string, size int64, n int, limit time.Duration, fn func() (float64, float64, error)) error {
	var second []float64
	first, err := samples(n, limit, func() (float64, error) {
		a, b, err := fn()
		second = append(second, b)
		return a, err
	})
	if err != nil {
		return err
	}
	return errors.Join(emit(names[0], size, result.Median(first)), emit(names[1], size, result.Median(second)))
}

const (
	smallPage = 4 << 10
	kib       = 1 << 10
	mib       = 1 << 20
	gib       = 1 << 30
)

// region maps n bytes of private memory, untouched, aligned to a huge page, with
// or without huge pages. It lasts as long as the process, or until unmap.
func region(n int64, huge bool) (mem []byte, unmap func(), err error) {
	const align = 2 * mib
	whole, err := unix.Mmap(-1, 0, int(n)+align, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", bytesText(n), err)
	}
	unmap = func() { _ = unix.Munmap(whole) }
	skip := align - int(address(whole)%align)
	mem = whole[skip : skip+int(n)]
	advice := unix.MADV_NOHUGEPAGE
	if huge {
		advice = unix.MADV_HUGEPAGE
	}
	// A kernel without huge pages refuses both; it has 4 KiB pages then.
	if err := unix.Madvise(mem, advice); err != nil && huge {
		unmap()
		return nil, nil, fmt.Errorf("huge pages: %w", err)
	}
	return mem, unmap, nil
}

// touch writes a byte of every page.
//
//go:norace
func touch(mem []byte) {
	for i := 0; i < len(mem); i += smallPage {
		mem[i] = 1
	}
}

// hugeEnough tells whether nearly all of n touched bytes are in huge pages, and
// otherwise why they are probably not.
func hugeEnough(n int64) (ok bool, why string) {
	got, err := procField("self", "smaps_rollup", "AnonHugePages:")
	if err != nil {
		return false, err.Error()
	}
	if got >= n/10*9 {
		return true, ""
	}
	mode, _ := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	return false, fmt.Sprintf("the kernel gave huge pages for %s of %s (transparent_hugepage: %s)",
		bytesText(got), bytesText(n), strings.TrimSpace(string(mode)))
}
