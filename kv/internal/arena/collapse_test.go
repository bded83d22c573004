package arena

import (
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// needCollapse skips where huge pages stay split, or fails where everything must
// be there.
func needCollapse(t testing.TB, a *Arena) {
	t.Helper()
	why := a.CollapseOff()
	if why == "" {
		return
	}
	missing(t, why)
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func kernelAtLeast(t testing.TB, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	n := [2]int{}
	for i, k := 0, 0; k < len(n) && i < len(u.Release); i++ {
		if c := u.Release[i]; c >= '0' && c <= '9' {
			n[k] = n[k]*10 + int(c-'0')
		} else {
			k++
		}
	}
	return n[0] > major || n[0] == major && n[1] >= minor
}

// hugeChunks returns an arena with n chunks in use. Each page begins with its
// number.
func hugeChunks(t testing.TB, n int) (a *Arena, h *Heap, chunks []int) {
	t.Helper()
	a = newArena(t)
	needCollapse(t, a)
	h = a.NewHeap(Data)
	for range n {
		ref, err := h.Alloc(ChunkSize)
		if err != nil {
			t.Fatal(err)
		}
		number(a, int(ref/ChunkSize))
		chunks = append(chunks, int(ref/ChunkSize))
	}
	slices.Sort(chunks)
	return a, h, chunks
}

func number(a *Arena, chunk int) {
	for p := chunk * pagesPerChunk; p < (chunk+1)*pagesPerChunk; p++ {
		a.Words(Ref(p*PageSize), 1)[0] = uint64(p)
	}
}

// split makes the kernel map every page of chunk c by an entry of its own.
func split(t testing.TB, a *Arena, c int) {
	t.Helper()
	page := a.chunkBytes(c)[:PageSize]
	for _, prot := range []int{unix.PROT_READ, unix.PROT_READ | unix.PROT_WRITE} {
		if err := unix.Mprotect(page, prot); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits for what the collapser does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not so: ", what)
		}
	}
}

// eventuallyJoined waits for ok and has the collapser look again now and then: the kernel
// may have no huge page for a chunk at first, or somebody hold one of its pages.
func eventuallyJoined(t *testing.T, a *Arena, what string, ok func() bool) {
	t.Helper()
	n := 0
	eventually(t, what, func() bool {
		if n++; n%500 == 0 {
			a.wakeCollapser()
		}
		return ok()
	})
}

// makeWhole joins what the kernel has had no huge pages for. Nobody else joins.
func makeWhole(t *testing.T, a *Arena) {
	t.Helper()
	eventually(t, "all is whole", func() bool {
		list := a.splitChunks()
		for _, c := range list {
			_ = unix.Madvise(a.chunkBytes(c), unix.MADV_COLLAPSE)
		}
		return len(list) == 0
	})
}

func TestCollapse(t *testing.T) {
	const n = 12
	a, h, chunks := hugeChunks(t, n)
	if a.collapser.noScan = !kernelAtLeast(t, 6, 7); a.collapser.noScan {
		missing(t, "the kernel cannot tell which chunks are split")
	}
	a.SetCollapseRate(0)
	eventually(t, "nothing is touched any more", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.ready)+len(a.empty) == a.ahead() && !slices.Contains(a.chunkState[1:a.top], chunkBusy)
	})
	want := []int{chunks[1], chunks[2], chunks[6], chunks[n-1]}
	for attempts := 0; ; attempts++ { // the kernel splits and joins too, for reasons of its own
		makeWhole(t, a)
		for _, c := range want {
			split(t, a, c)
		}
		a.HoldCollapse()
		if got := a.splitChunks(); got != nil {
			t.Fatalf("held, yet it looks: %v", got)
		}
		a.collapser.holds = 0 // without waking anybody
		got := a.splitChunks()
		if slices.Equal(got, want) && a.Stats().Split == int64(len(want))*ChunkSize {
			break
		}
		if attempts == 10 {
			t.Fatalf("split are %v, want %v; Stats().Split = %d", got, want, a.Stats().Split)
		}
	}

	a.wakeCollapser() // the rate is 0
	time.Sleep(20 * time.Millisecond)
	if got := a.Stats().Joined; got != 0 {
		t.Fatalf("%d bytes joined at rate 0", got)
	}
	a.HoldCollapse()
	a.SetCollapseRate(1 << 40)
	time.Sleep(20 * time.Millisecond)
	if got := a.Stats().Joined; got != 0 {
		t.Fatalf("%d bytes joined while held", got)
	}
	a.ReleaseCollapse()
	eventuallyJoined(t, a, "all are joined", func() bool { return a.Stats().Split == 0 && a.splitChunks() == nil })
	if got := a.Stats().Joined; got <= 0 || got > int64(len(want))*ChunkSize { // the kernel may have joined some itself
		t.Fatalf("%d bytes joined, want %d", got, len(want)*ChunkSize)
	}
	for _, c := range chunks {
		for p := c * pagesPerChunk; p < (c+1)*pagesPerChunk; p++ {
			if got := a.Words(Ref(p*PageSize), 1)[0]; got != uint64(p) {
				t.Fatalf("page %d has become %d", p, got)
			}
		}
	}
	if err := a.Check([]*Heap{h}); err != nil {
		t.Fatal(err)
	}
}

// TestCollapseWithoutScan is for kernels before 6.7, which do not tell what is
// split: all is tried, and what is whole stays so.
func TestCollapseWithoutScan(t *testing.T) {
	const n = 3
	a, h, chunks := hugeChunks(t, n)
	a.collapser.noScan = true
	split(t, a, chunks[1])
	a.SetCollapseRate(1 << 40)
	eventuallyJoined(t, a, "all are tried", func() bool { return a.Stats().Joined >= n*ChunkSize && a.Stats().Split == 0 })
	if kernelAtLeast(t, 6, 7) {
		pagemap, err := os.Open("/proc/self/pagemap")
		if err != nil {
			t.Fatal(err)
		}
		defer pagemap.Close()
		a.HoldCollapse()
		for _, c := range chunks {
			if still, err := a.collapser.isSplit(int(pagemap.Fd()), a.chunkBytes(c)); still || err != nil {
				t.Errorf("chunk %d: still split: %v, %v", c, still, err)
			}
		}
	}
	if err := a.Check([]*Heap{h}); err != nil {
		t.Fatal(err)
	}
}

// TestCollapseRate joins no faster than it is told to, and lets a hold through
// between two chunks.
func TestCollapseRate(t *testing.T) {
	const n = 10
	a, _, chunks := hugeChunks(t, n)
	for _, c := range chunks {
		split(t, a, c)
	}
	start := time.Now()
	a.SetCollapseRate(20 * ChunkSize) // one every 50 ms
	eventuallyJoined(t, a, "the first is joined", func() bool { return a.Stats().Joined > 0 })
	time.Sleep(120 * time.Millisecond)
	a.HoldCollapse()
	joined, most := a.Stats().Joined/ChunkSize, int64(time.Since(start)/(50*time.Millisecond))+1
	if joined > most {
		t.Fatalf("%d chunks joined in %v", joined, time.Since(start))
	}
	time.Sleep(120 * time.Millisecond)
	if got := a.Stats().Joined / ChunkSize; got != joined {
		t.Fatalf("%d chunks joined while held", got-joined)
	}
	a.SetCollapseRate(1 << 40)
	a.ReleaseCollapse()
	eventuallyJoined(t, a, "all are joined", func() bool { return a.Stats().Split == 0 })
}

// TestCollapseGivesBack frees, gives back and takes chunks while they are joined:
// none may become resident again behind the books.
func TestCollapseGivesBack(t *testing.T) {
	const n = 32
	a, h, _ := hugeChunks(t, n)
	a.SetCollapseRate(1 << 40)
	for round := range 30 {
		a.mu.Lock()
		for c := 1; c < a.top; c++ {
			if a.mapped(c) {
				split(t, a, c)
			}
		}
		a.mu.Unlock()
		a.wakeCollapser()
		blocks := []Ref{}
		for r := h.all[0]; r != 0; r = a.runs[r].allNext {
			blocks = append(blocks, Ref(a.runs[r].page)<<pageShift)
		}
		for _, ref := range blocks {
			h.Free(ref)
		}
		for range rand.IntN(n) + 1 {
			ref, err := h.Alloc(ChunkSize)
			if err != nil {
				t.Fatal(err)
			}
			a.Bytes(ref, 1)[0] = byte(round)
		}
	}
	h.Drop()
	eventually(t, "all is given back", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.ready)+len(a.empty) <= a.ahead() && a.joining == 0 && len(a.gone) > n/2
	})
	a.HoldCollapse()
	if err := a.Check([]*Heap{h}); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.gone {
		vec := make([]byte, pagesPerChunk)
		chunk := a.chunkBytes(c)
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&chunk[0])), ChunkSize,
			uintptr(unsafe.Pointer(&vec[0]))); errno != 0 {
			t.Fatal(errno)
		}
		if i := slices.IndexFunc(vec, func(b byte) bool { return b&1 != 0 }); i >= 0 {
			t.Fatalf("page %d of chunk %d was given back, and is resident", i, c)
		}
	}
}

// TestKeeperLeavesTheChunkThatIsJoined: the keeper does not give back a chunk
// while the kernel joins it.
func TestKeeperLeavesTheChunkThatIsJoined(t *testing.T) {
	a := newArena(t)
	a.stopKeeper()
	a.keeper.init() // for Close; running stays set, so that only this test keeps
	defer close(a.keeper.done)
	h := a.NewHeap(Data)
	var refs []Ref
	for range 4 {
		ref, err := h.Alloc(ChunkSize)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		h.Free(ref)
	}
	a.joining = a.empty[len(a.empty)-1]
	if a.keepOne() || a.chunkState[a.joining] != chunkEmpty {
		t.Fatal("the chunk was given back")
	}
	a.joining = 0
	for a.keepOne() {
	}
	if len(a.empty) != 0 || len(a.gone) != 4 {
		t.Fatalf("%d chunks are empty, %d gone", len(a.empty), len(a.gone))
	}
}

// BenchmarkCollapse tells what one call takes, and what a goroutine that reads or
// writes random bytes of the same memory meanwhile waits. Compare the waits with
// those of "off", which are the machine's own.
func BenchmarkCollapse(b *testing.B) {
	const n = 128
	for _, c := range []struct {
		name      string
		write, on bool
	}{{"read/off", false, false}, {"read/on", false, true}, {"write/off", true, false}, {"write/on", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			a, _, chunks := hugeChunks(b, n)
			a.HoldCollapse()
			var calls, waits []time.Duration
			for b.Loop() {
				for _, i := range chunks {
					split(b, a, i)
				}
				stop := touchAtRandom(a, chunks, c.write, &waits)
				for _, i := range chunks {
					if c.on {
						start := time.Now()
						if err := unix.Madvise(a.chunkBytes(i), unix.MADV_COLLAPSE); err != nil {
							b.Fatal(err)
						}
						calls = append(calls, time.Since(start))
					}
					time.Sleep(8 * time.Millisecond)
				}
				stop()
			}
			report(b, "call", calls)
			report(b, "wait", waits)
			late := 0
			for _, d := range waits {
				if d > time.Millisecond {
					late++
				}
			}
			b.ReportMetric(float64(late)/float64(b.N), "waits-over-1ms")
		})
	}
}

func report(b *testing.B, what string, d []time.Duration) {
	if len(d) == 0 {
		return
	}
	slices.Sort(d)
	for name, q := range map[string]float64{"p50": .5, "p99": .99, "max": 1} {
		b.ReportMetric(float64(d[int(q*float64(len(d)-1))].Microseconds()), what+"-"+name+"-us")
	}
}

// touchAtRandom touches bytes of the chunks until stop is called, which
// adds to waits what took more than 50 µs.
func touchAtRandom(a *Arena, chunks []int, write bool, waits *[]time.Duration) (stop func()) {
	var end atomic.Bool
	done := make(chan []time.Duration)
	go func() {
		var d []time.Duration
		var sum byte
		rng := rand.New(rand.NewPCG(1, 2))
		for !end.Load() {
			p := &a.Bytes(Ref(chunks[rng.IntN(len(chunks))]*ChunkSize+rng.IntN(ChunkSize)), 1)[0]
			start := time.Now()
			if write {
				*p = sum
			} else {
				sum += *p
			}
			if took := time.Since(start); took > 50*time.Microsecond {
				d = append(d, took)
			}
		}
		done <- d
	}()
	return func() {
		end.Store(true)
		*waits = append(*waits, <-done...)
	}
}
