package arena

import (
	"math/rand"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newArena(t testing.TB) *Arena {
	t.Helper()
	a, err := New(8 << 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func TestClassesWasteAtMostAnEighth(t *testing.T) {
	for n := 1; n <= MaxSmall; n++ {
		c := classOf(n)
		size := int(classes[c].size)
		if size < n {
			t.Fatalf("class %d of %d bytes has only %d", c, n, size)
		}
		if c > 2 && classSize(c-1) >= n {
			t.Fatalf("%d bytes would fit class %d", n, c-1)
		}
		if n > 64 && (size-n)*8 > size {
			t.Errorf("%d bytes in a block of %d", n, size)
		}
	}
	for c, k := range classes[2:] {
		for _, p := range k.pages {
			run := int(p) * PageSize
			slots := run / int(k.size)
			if p == 0 || slots == 0 || slots > maxSlots {
				t.Fatalf("class %d: runs of %d pages hold %d slots", c+2, p, slots)
			}
			for s := range slots {
				for _, d := range []int{0, int(k.size) - 1} {
					delta := uint64(s*int(k.size) + d)
					if got := int(delta * k.inv >> 40); got != s {
						t.Fatalf("class %d: offset %d is in slot %d, not %d", c+2, delta, got, s)
					}
				}
			}
		}
	}
}

// TestRandom allocates and frees blocks of all sizes in several heaps, with
// cuts in between, against a model that knows each block's content and which
// blocks existed at the cut.
func TestRandom(t *testing.T) {
	a := newArena(t)
	rng := rand.New(rand.NewSource(1))
	heaps := []*Heap{a.NewHeap(Data), a.NewHeap(Data), a.NewHeap(Index)}
	type block struct {
		heap   int
		n      int
		mark   byte
		shared bool
	}
	blocks := map[Ref]block{}
	var refs []Ref
	sizes := []int{1, 16, 17, 78, 80, 500, 4096, 5000, 9000, 30000, 40000, 300000, ChunkSize, 3*ChunkSize + 5000}
	live := false
	for step := range 60000 {
		switch op := rng.Intn(1000); {
		case op < 520:
			h := rng.Intn(len(heaps))
			n := sizes[rng.Intn(len(sizes))]
			if n > 5000 && rng.Intn(20) != 0 {
				n = 80
			}
			alloc := heaps[h].Alloc
			if n <= MaxSmall && rng.Intn(4) == 0 {
				alloc = heaps[h].AllocApart
			}
			ref, err := alloc(n)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := blocks[ref]; ok || ref == 0 || ref%8 != 0 {
				t.Fatalf("block %#x is handed out twice or misplaced", ref)
			}
			if a.Size(ref) != RoundSize(n) {
				t.Fatalf("block of %d bytes has %d, want %d", n, a.Size(ref), RoundSize(n))
			}
			b := block{h, n, byte(step), false}
			data := a.Bytes(ref, n)
			data[0], data[n-1] = b.mark, b.mark
			blocks[ref] = b
			refs = append(refs, ref)
		case op < 990 && len(refs) > 0:
			i := rng.Intn(len(refs))
			ref := refs[i]
			b := blocks[ref]
			if got := a.Shared(ref); got != (live && b.shared) {
				t.Fatalf("step %d: Shared(%#x) = %v, want %v", step, ref, got, b.shared)
			}
			data := a.Bytes(ref, b.n)
			if data[0] != b.mark || data[b.n-1] != b.mark {
				t.Fatalf("block %#x was overwritten", ref)
			}
			if live && b.shared {
				continue // a real owner would defer the free
			}
			heaps[b.heap].Free(ref)
			delete(blocks, ref)
			refs[i] = refs[len(refs)-1]
			refs = refs[:len(refs)-1]
		case op < 995:
			if live {
				a.EndCut()
			} else {
				a.BeginCut()
				for ref, b := range blocks {
					b.shared = true
					blocks[ref] = b
				}
			}
			live = !live
		}
		if step%5000 == 0 {
			if err := a.Check(heaps); err != nil {
				t.Fatal(err)
			}
		}
	}
	if live {
		a.EndCut()
	}
	for _, h := range heaps {
		h.Drop()
	}
	if err := a.Check(heaps); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.RunBytes != 0 {
		t.Errorf("%d bytes are still in runs after dropping all heaps", s.RunBytes)
	}
}

func TestFreeTwicePanics(t *testing.T) {
	a := newArena(t)
	h := a.NewHeap(Data)
	ref, _ := h.Alloc(80)
	h.Free(ref)
	defer func() {
		if recover() == nil {
			t.Error("freeing a block twice went unnoticed")
		}
	}()
	h.Free(ref)
}

func TestReserveUsedUp(t *testing.T) {
	a, err := New(minReserve)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	h := a.NewHeap(Data)
	if _, err := h.Alloc(2 * minReserve); err != ErrNoMemory {
		t.Fatalf("a block larger than the range: %v", err)
	}
	n := 0
	for ; ; n++ {
		if _, err := h.Alloc(ChunkSize); err != nil {
			break
		}
	}
	if n < minReserve/ChunkSize-aheadMax-2 {
		t.Errorf("only %d chunks could be had", n)
	}
	if err := a.Check([]*Heap{h}); err != nil {
		t.Fatal(err)
	}
}

// TestTooLargeBlockTakesNothing: a block for which the rest of the range is too
// small leaves that rest to others.
func TestTooLargeBlockTakesNothing(t *testing.T) {
	a, err := New(minReserve)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	h := a.NewHeap(Data)
	for i, want := range []error{nil, ErrNoMemory, nil, nil} {
		if _, err := h.Alloc([]int{600, 600, 300, 1}[i] << 20); err != want {
			t.Fatalf("block %d: %v, want %v", i, err, want)
		}
	}
	if err := a.Check([]*Heap{h}); err != nil {
		t.Fatal(err)
	}
}

// TestRunsOfOnePage fills the range with runs of one page, the most there can be.
func TestRunsOfOnePage(t *testing.T) {
	a, err := New(minReserve)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	a.keeper.running = true // without one: nothing is touched
	close(a.keeper.done)
	h := a.NewHeap(Data)
	n := 0
	for ; err == nil; n++ {
		_, err = h.Alloc(PageSize)
	}
	if err != ErrNoMemory || n < minReserve/PageSize-pagesPerChunk {
		t.Errorf("after %d blocks: %v", n, err)
	}
	if err := a.Check([]*Heap{h}); err != nil {
		t.Fatal(err)
	}
}

// TestReserveShrinks asks for more than an address space holds.
func TestReserveShrinks(t *testing.T) {
	a, err := New(1 << 48)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if r := a.Reserved(); r < minReserve || r >= 1<<48 {
		t.Errorf("reserved %d bytes", r)
	}
	if _, err := a.NewHeap(Data).Alloc(80); err != nil {
		t.Error(err)
	}
}

// TestPrefetch: asking for memory neither faults, whatever the range, nor makes a page resident.
func TestPrefetch(t *testing.T) {
	a := newArena(t)
	last := Ref(a.Reserved())
	for _, r := range []struct {
		ref Ref
		n   int
	}{{0, 0}, {1, 1}, {63, 2}, {ChunkSize - 1, 600}, {last - 1, 1}, {last - 100, 5000}} {
		a.Prefetch(r.ref, r.n)
	}
	resident := make([]byte, ChunkSize/PageSize)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(a.Ptr(last-ChunkSize)), ChunkSize, uintptr(unsafe.Pointer(&resident[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for i, r := range resident {
		if r&1 != 0 {
			t.Fatalf("page %d of the last chunk is resident", i)
		}
	}
}
