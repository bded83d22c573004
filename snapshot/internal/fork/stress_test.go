package fork

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// rawPointer is the address of a buffer, for a raw call in a test body.
func rawPointer(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// deep calls itself with frames of 4 KiB and returns a checksum that needs them.
//
//go:noinline
func deep(n int, p *Page) uint64 {
	var frame [4 << 10]byte
	frame[n] = byte(n)
	p.Beat()
	if n > 0 {
		return deep(n-1, p) + uint64(frame[n])
	}
	return uint64(frame[0])
}

// deepCalls frames of deep use 120 KiB of the 128 that a body may use.
const deepCalls = 29

// deepBody checks that the stack did not move, which is to say that it did not
// grow, and that the results are right.
func deepBody(p *Page) int32 {
	var mark byte
	before := uintptr(unsafe.Pointer(&mark))
	sum := uint64(0)
	for range 20 {
		sum += deep(deepCalls, p)
	}
	if after := uintptr(unsafe.Pointer(&mark)); after != before {
		return p.Fail("the stack grew in the child", 0)
	}
	p.Figures[0].Store(sum)
	p.Keys.Add(1)
	return 0
}

func TestBodyDoesNotAllocate(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	page, fd, data := new(Page), int(null.Fd()), make([]byte, 100)
	run := func() {
		deepBody(page)
		page.SetPhase(PhaseSyncing)
		page.Write(fd, data)
		RawFsync(fd)
		RawClock()
		RawSleep(0)
		page.Fail("what", 5)
		privateDirty(page.scratch[:])
	}
	// Those of the whole process are counted: what run does itself shows every time.
	got := testing.AllocsPerRun(100, run)
	for try := 0; try < 20 && got > 0; try++ {
		got = min(got, testing.AllocsPerRun(100, run))
	}
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
	if err := page.failure(); err == nil || err.Error() != "what: input/output error" {
		t.Error(err)
	}
	if n := privateDirty(page.scratch[:]); n <= 0 {
		t.Errorf("private dirty %d", n)
	}
}

// The compiler must see nothing in the child's files that goes to the heap or
// needs a write barrier.
func TestChildFilesCompileClean(t *testing.T) {
	cmd := exec.Command("go", "build", "-gcflags=-m -d=wb", "-o", os.DevNull, ".")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bad := regexp.MustCompile(`(?m)^.*\b(child|clone|page|raw)\.go:.*(escapes to heap|moved to heap|write barrier).*$`)
	for _, line := range bad.FindAllString(string(out), -1) {
		t.Error(line)
	}
	if !strings.Contains(string(out), "job.go") || !strings.Contains(string(out), "write barrier") {
		t.Errorf("the compiler did not report: %s", out)
	}
}

// The write barrier is off in the child, also if it was on at the clone, so that
// pointers may be written.
func TestWriteBarrierOff(t *testing.T) {
	if RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	stop := disturb()
	defer stop()
	f := New()
	defer f.Close()
	box := new(*[64]byte)
	values := [2]*[64]byte{new([64]byte), new([64]byte)}
	on := 0
	for try, end := 0, time.Now().Add(patience); on < 3 && try < 400 || on == 0 && time.Now().Before(end); try++ {
		j, err := f.Prepare(Options{Timeout: patience, Body: func(p *Page) int32 {
			if writeBarrier.enabled {
				return p.Fail("the write barrier is on", 0)
			}
			for i := range 10000 {
				*box = values[i&1]
			}
			p.Keys.Store(1)
			return 0
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Fork(func() error {
			if writeBarrier.enabled {
				on++
			}
			return nil
		}, nil); err != nil {
			t.Fatal(err)
		}
		if r := j.Wait(); r.Err != nil {
			t.Fatal(r.Err)
		}
		j.Close()
	}
	if on == 0 {
		t.Fatal("the barrier was never on at a clone")
	}
}

func TestParsePrivateDirty(t *testing.T) {
	for text, want := range map[string]int64{
		"":                                      -1,
		"Private_Dirty:":                        -1,
		"Private_Dirty: x kB":                   -1,
		"Private_Dirty:        12 kB\n":         12 << 10,
		"Rss: 5 kB\nPrivate_Dirty: 0 kB\nX: 1":  0,
		"Private_Clean: 9 kB\nPrivate_Dirty: 7": 7 << 10,
	} {
		if got := parsePrivateDirty([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

var sink atomic.Pointer[[]*[64]byte]

// disturb keeps the collector and the allocator busy until stop is called.
func disturb() (stop func()) {
	var quit atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !quit.Load() {
			runtime.GC()
		}
	})
	for range 3 {
		wg.Go(func() {
			for !quit.Load() {
				list := make([]*[64]byte, 0, 1000)
				for range 1000 {
					list = append(list, new([64]byte))
				}
				sink.Store(&list)
				grow(60) // stacks come from the same lock
			}
		})
	}
	return func() {
		quit.Store(true)
		wg.Wait()
	}
}

//go:noinline
func grow(n int) byte {
	var frame [1 << 10]byte
	frame[n] = 1
	if n == 0 {
		return frame[0]
	}
	done := make(chan byte)
	if n%20 == 0 {
		go func() { done <- grow(n - 1) }()
		return <-done
	}
	return grow(n-1) + frame[n]
}

// No child may hang or fail while the parent's other threads hold the locks of
// the runtime at every possible moment of the clone.
func TestStress(t *testing.T) {
	if RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	forks := 200
	switch {
	case os.Getenv("KVD_LONG") == "1":
		forks = 4000
	case runtime.GOMAXPROCS(0) == 1:
		forks = 20 // every step waits for the disturbers' time slices
	}
	const want = 20 * deepCalls * (deepCalls + 1) / 2
	f := New()
	defer f.Close()
	defer disturb()()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var clones, handover []time.Duration
	for i := range forks {
		j, err := f.Prepare(Options{Body: deepBody, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := j.Fork(nil, nil); err != nil {
			t.Fatal(err)
		}
		handover = append(handover, time.Since(begin)-j.CloneDuration())
		r := j.Wait()
		if r.Err != nil || r.Keys != 1 || r.Figures[0] != want {
			t.Fatalf("fork %d: %+v", i, r)
		}
		clones = append(clones, r.CloneDuration)
		j.Close()
	}
	runtime.ReadMemStats(&after)
	t.Logf("%d forks during %d collections; clone %v; handover %v", forks, after.NumGC-before.NumGC,
		quantiles(clones), quantiles(handover))
}

// quantiles returns p50, p99 and the maximum.
func quantiles(d []time.Duration) [3]time.Duration {
	slices.Sort(d)
	return [3]time.Duration{d[len(d)/2], d[len(d)*99/100], d[len(d)-1]}
}

// BenchmarkFork reports what a fork costs beyond the clone, in nanoseconds:
// held-extra is the time between hold and release less the clone, call-extra
// the whole of Fork as its caller sees it less the clone.
func BenchmarkFork(b *testing.B) {
	if RaceEnabled {
		b.Skip("no fork under the race detector")
	}
	f := New()
	defer f.Close()
	var extra, handover []time.Duration
	for b.Loop() {
		j, err := f.Prepare(Options{Body: func(*Page) int32 { return 0 }})
		if err != nil {
			b.Fatal(err)
		}
		var held, released time.Time
		begin := time.Now()
		err = j.Fork(func() error { held = time.Now(); return nil }, func() { released = time.Now() })
		call := time.Since(begin)
		if err != nil {
			b.Fatal(err)
		}
		if r := j.Wait(); r.Err != nil {
			b.Fatal(r.Err)
		}
		extra = append(extra, released.Sub(held)-j.CloneDuration())
		handover = append(handover, call-j.CloneDuration())
		j.Close()
	}
	e, h := quantiles(extra), quantiles(handover)
	b.ReportMetric(float64(e[0]), "held-extra-p50-ns")
	b.ReportMetric(float64(e[1]), "held-extra-p99-ns")
	b.ReportMetric(float64(h[0]), "call-extra-p50-ns")
	b.ReportMetric(float64(h[1]), "call-extra-p99-ns")
}
