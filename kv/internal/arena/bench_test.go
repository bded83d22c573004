package arena

import (
	"fmt"
	"testing"
)

// pick returns a number below 1<<bits, in an order that neither a cache nor a
// prefetcher foresees, all about equally often as i counts up.
func pick(i, bits int) int { return int(uint64(i) * 0x9e3779b97f4a7c15 >> (64 - bits)) }

// filled returns a heap with 1<<bits blocks of size bytes.
func filled(b *testing.B, bits, size int) (*Heap, []Ref) {
	b.Helper()
	h := newArena(b).NewHeap(Data)
	refs := make([]Ref, 1<<bits)
	for i := range refs {
		var err error
		if refs[i], err = h.Alloc(size); err != nil {
			b.Fatal(err)
		}
	}
	return h, refs
}

// BenchmarkAllocFree frees a block and allocates one, the others staying: what an
// overwrite costs the allocator. 1<<20 blocks of 80 bytes are beyond the L2 cache.
func BenchmarkAllocFree(b *testing.B) {
	for _, c := range []struct{ bits, size int }{
		{10, 80}, {20, 24}, {20, 80}, {16, 1 << 10}, {10, MaxSmall}, {8, 1 << 20},
	} {
		b.Run(fmt.Sprintf("%dx%dB", 1<<c.bits, c.size), func(b *testing.B) {
			h, refs := filled(b, c.bits, c.size)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := pick(i, c.bits)
				h.Free(refs[k])
				refs[k], _ = h.Alloc(c.size)
			}
		})
	}
}

// BenchmarkAllocFreeInCut is the same with a cut live: the first change of a run
// keeps a copy of its bitmap. A cut lasts for 4096 operations.
func BenchmarkAllocFreeInCut(b *testing.B) {
	const bits, perCut = 20, 4096
	h, refs := filled(b, bits, 80)
	a := h.Arena()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%perCut == 0 {
			if i > 0 {
				a.EndCut()
			}
			a.BeginCut()
		}
		k := pick(i, bits)
		h.Free(refs[k])
		refs[k], _ = h.Alloc(80)
	}
	a.EndCut()
}

// BenchmarkFill allocates blocks of an empty heap and gives all back at once.
func BenchmarkFill(b *testing.B) {
	for _, c := range []struct{ blocks, size int }{{1 << 10, 80}, {1 << 16, 80}, {1 << 10, 16 << 10}} {
		b.Run(fmt.Sprintf("%dx%dB", c.blocks, c.size), func(b *testing.B) {
			a := newArena(b)
			b.ReportAllocs()
			for b.Loop() {
				h := a.NewHeap(Data)
				for range c.blocks {
					if _, err := h.Alloc(c.size); err != nil {
						b.Fatal(err)
					}
				}
				h.Drop()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.blocks), "ns/block")
		})
	}
}

// BenchmarkShared is the question that every write asks while a save runs.
func BenchmarkShared(b *testing.B) {
	const bits = 20
	h, refs := filled(b, bits, 80)
	a := h.Arena()
	count := 0
	ask := func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if a.Shared(refs[pick(i, bits)]) {
				count++
			}
		}
	}
	b.Run("idle", ask)
	a.BeginCut()
	b.Run("cut", ask)
	for i := 0; i < len(refs); i += 16 { // every run has changed since
		h.Free(refs[i])
		refs[i], _ = h.Alloc(80)
	}
	b.Run("cut and runs changed", ask)
	a.EndCut()
	if count == 0 {
		b.Error("nothing was shared")
	}
}

// BenchmarkBytes reads one byte of a block: a crossing from a Ref to memory. The
// small heap fits a cache, the large one is 80 MiB.
func BenchmarkBytes(b *testing.B) {
	for _, bits := range []int{10, 20} {
		b.Run(fmt.Sprintf("%dx80B", 1<<bits), func(b *testing.B) {
			h, refs := filled(b, bits, 80)
			a, sum := h.Arena(), byte(0)
			for i := 0; b.Loop(); i++ {
				sum += a.Bytes(refs[pick(i, bits)], 80)[8]
			}
			_ = sum
		})
	}
}
