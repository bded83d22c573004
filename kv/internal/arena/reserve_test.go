package arena

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usedChunks returns an arena with so many chunks in runs.
func usedChunks(t *testing.T, n int) (*Arena, *Heap) {
	t.Helper()
	a := newArena(t)
	h := a.NewHeap(Data)
	for range n {
		if _, err := h.Alloc(ChunkSize); err != nil {
			t.Fatal(err)
		}
	}
	return a, h
}

// hidden asks the kernel how much of the arena's data a child would not get, and in
// how many mappings the data are.
func hidden(t *testing.T, a *Arena) (bytes int64, mappings int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	from := uint64(uintptr(a.base))
	size := int64(0)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if first, last, ok := strings.Cut(f[0], "-"); ok && !strings.Contains(f[0], ":") {
			start, _ := strconv.ParseUint(first, 16, 64)
			end, _ := strconv.ParseUint(last, 16, 64)
			if size = 0; start < from+a.size && end > from {
				mappings++
				size = int64(min(end, from+a.size) - max(start, from))
			}
		}
		if f[0] == "VmFlags:" && strings.Contains(line, " dc ") {
			bytes += size
		}
	}
	return bytes, mappings
}

func prepareFork(t *testing.T, a *Arena) {
	t.Helper()
	if err := a.PrepareFork(); err != nil {
		t.Fatal(err)
	}
}

func wantHidden(t *testing.T, a *Arena, want int64) {
	t.Helper()
	if n, _ := hidden(t, a); n != want {
		t.Errorf("%d KB are hidden from a child, want %d", n>>10, want>>10)
	}
}

// TestReserveSize: an empty or small arena has no reserve, another one the few
// chunks that are the least, or what the last save needed, but never more than 2 %.
func TestReserveSize(t *testing.T) {
	for _, c := range []struct{ used, needed, want int }{
		{0, 0, 0}, {1, 10, 0}, {49, 100, 0}, {50, 0, 1}, {120, 100, 2}, {200, 0, 4}, {1000, 0, 4}, {1000, 7, 7}, {1000, 100, 20},
	} {
		a, _ := usedChunks(t, c.used)
		a.reserve.apart = c.needed
		prepareFork(t, a)
		if n := a.Stats().Reserve; n != int64(c.want)*ChunkSize || a.ReserveBytes() != n {
			t.Errorf("%+v: the reserve has %d chunks", c, n/ChunkSize)
		}
		wantHidden(t, a, int64(c.want)*ChunkSize)
		if err := a.ShowReserve(); err != nil {
			t.Fatal(err)
		}
		wantHidden(t, a, 0)
		a.GiveReserve()
		if n := a.Stats().Reserve; n != 0 {
			t.Errorf("%d bytes of the reserve are left", n)
		}
	}
}

// TestReserveIsUsed: what lies apart comes from the reserve first, nothing else
// does, what is left is given back, and the next reserve is as large as what was
// needed. The mappings do not become more with the cuts.
func TestReserveIsUsed(t *testing.T) {
	a, big := usedChunks(t, 1000)
	h := a.NewHeap(Data)
	_, before := hidden(t, a)
	for round := range 10 {
		prepareFork(t, a)
		reserve := map[int]bool{}
		for _, c := range a.reserve.chunks {
			reserve[c] = true
		}
		if want := []int{4, 6}[min(round, 1)]; len(reserve) != want {
			t.Fatalf("round %d: the reserve has %d chunks, want %d", round, len(reserve), want)
		}
		a.BeginCut()
		if err := a.ShowReserve(); err != nil {
			t.Fatal(err)
		}
		if ref, err := h.Alloc(8192); err != nil || reserve[int(ref/ChunkSize)] {
			t.Fatal("an ordinary block lies in the reserve", err)
		}
		var refs []Ref
		for i := range 6 * ChunkSize / 8192 {
			ref, err := h.AllocApart(8192)
			if err != nil {
				t.Fatal(err)
			}
			if in := reserve[int(ref/ChunkSize)]; in != (i < len(reserve)*ChunkSize/8192) {
				t.Fatalf("round %d, block %d: in the reserve is %v", round, i, in)
			}
			refs = append(refs, ref)
		}
		a.EndCut()
		a.GiveReserve()
		for _, ref := range refs {
			h.Free(ref)
		}
	}
	if _, after := hidden(t, a); after > before+2 {
		t.Errorf("%d mappings have become %d", before, after)
	}
	for range 8 { // without need it shrinks again
		prepareFork(t, a)
		a.GiveReserve()
	}
	prepareFork(t, a)
	if n := len(a.reserve.chunks); n != reserveMin {
		t.Errorf("the reserve has %d chunks, want %d", n, reserveMin)
	}
	a.GiveReserve()
	if err := a.ShowReserve(); err != nil {
		t.Fatal(err)
	}
	if err := a.Check([]*Heap{big, h}); err != nil {
		t.Error(err)
	}
}

// TestMadviseFails: without MADV_DONTFORK there is no reserve but a save; while
// MADV_DOFORK fails there is no other clone.
func TestMadviseFails(t *testing.T) {
	a, big := usedChunks(t, 1000)
	h := a.NewHeap(Data)
	fail := map[int]bool{unix.MADV_DONTFORK: true}
	a.SetMadvise(func(b []byte, advice int) error {
		if fail[advice] {
			return unix.ENOMEM
		}
		return unix.Madvise(b, advice)
	})
	prepareFork(t, a)
	if n := a.Stats().Reserve; n != 0 {
		t.Errorf("a reserve of %d bytes that is not hidden", n)
	}
	wantHidden(t, a, 0)
	a.GiveReserve()

	fail = map[int]bool{}
	prepareFork(t, a)
	fail[unix.MADV_DOFORK] = true
	if err := a.ShowReserve(); !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "MADV_DOFORK") {
		t.Errorf("got %v", err)
	}
	ref, err := h.AllocApart(100) // the present child has no use for it
	if err != nil || !inHidden(a, ref) {
		t.Fatal("the block is not in the reserve", err)
	}
	a.GiveReserve()
	for range 2 {
		if err := a.PrepareFork(); !errors.Is(err, unix.ENOMEM) {
			t.Fatalf("a clone would lack a live block: %v", err)
		}
	}
	fail = map[int]bool{}
	prepareFork(t, a)
	if inHidden(a, ref) {
		t.Error("a live block is hidden")
	}
	wantHidden(t, a, a.Stats().Reserve)
	if err := a.ShowReserve(); err != nil {
		t.Fatal(err)
	}
	wantHidden(t, a, 0)
	a.GiveReserve()
	if err := a.Check([]*Heap{big, h}); err != nil {
		t.Error(err)
	}
}

// inHidden tells whether a block is in a range that is noted as hidden.
func inHidden(a *Arena, ref Ref) bool {
	for _, r := range a.reserve.hidden {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(r)))
		if p := uintptr(a.Ptr(ref)); p >= from && p < from+uintptr(len(r)) {
			return true
		}
	}
	return false
}
