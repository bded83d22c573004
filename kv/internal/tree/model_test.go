package tree

import (
	"bytes"
	"fmt"
	"os"
	"sort"
	"testing"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

var shapes = []Shape{{true, 0}, {true, 8}, {true, -1}, {false, -1}}

var manySizes = []sizes{
	{"", 20, 20, 0},
	{"", 3, 300, 0},
	{"", 300, 300, 20},
	{"the same words before every key, longer than a separator that an inner node takes, so that all of those lie in blocks of their own: ", 10, 10, 200},
	{"", 100, 2, 0},
	{"", 12, 1100, 0},
	{"", 8, 3, 5},
}

func forShapes(t *testing.T, run func(t *testing.T, s Shape, z sizes, seed uint64)) {
	for i, s := range shapes {
		for k, z := range manySizes {
			t.Run(fmt.Sprintf("%v/%d/sizes%d", s.Keyed, s.Value, k), func(t *testing.T) {
				t.Parallel()
				run(t, s, z, uint64(i*10+k))
			})
		}
	}
}

func TestModel(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		h := newHarness(t, seed, s, z)
		steps := 5000
		if os.Getenv("KVD_LONG") != "" {
			steps = 1_000_000
		}
		for i := range steps {
			h.step()
			if i < 300 || i%(steps/200) == 0 {
				h.all()
			}
		}
		h.all()
		tr := h.tree()
		tr.Free()
		if tr.Root != (Root{}) || h.heap.Blocks() != 0 {
			t.Fatalf("after Free: %+v, %d blocks", tr.Root, h.heap.Blocks())
		}
	})
}

func TestCuts(t *testing.T) {
	for _, m := range []cut.Mode{cut.PathCopy, cut.ForkedPathCopy} {
		forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
			h := newHarness(t, seed+uint64(m)*100, s, z)
			for round := range 12 {
				for range 400 {
					h.step()
				}
				h.all()
				h.beginCut(m)
				for range h.rng.IntN(500) {
					h.step()
				}
				if round == 11 {
					tr := h.tree()
					tr.Free()
					h.root, h.model = Root{}, nil
				}
				h.endCut()
			}
		})
	}
}

// In the modes of a fork everything is written in place, but nothing that the child may
// read later is freed, nor, in one of them, values overwritten.
func TestForkedModes(t *testing.T) {
	for _, m := range []cut.Mode{cut.Forked, cut.ForkedInPlace} {
		forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
			h := newHarness(t, seed+uint64(m)*100, s, z)
			for range 600 {
				h.step()
			}
			h.heap.Arena().BeginCut()
			h.guard.Mode = m
			blocks := h.heap.Blocks()
			for range 600 {
				h.step()
			}
			h.compare(h.root, h.model)
			if h.heap.Blocks() < blocks {
				t.Fatalf("%d blocks of %d are left", h.heap.Blocks(), blocks)
			}
			h.endCut()
		})
	}
}

// fill takes all memory but what lies free in the heap's runs.
func fill(t *testing.T, a *arena.Arena) *arena.Heap {
	h := a.NewHeap(arena.Data)
	for took := false; ; time.Sleep(time.Millisecond) {
		// A chunk that is being touched or discarded belongs to nobody meanwhile, and is free again.
		settled := took && a.Stats().Resident == a.Reserved()-arena.ChunkSize // the first one stays empty
		took = true
		for n := 64 << 20; n >= arena.PageSize; {
			if _, err := h.Alloc(n); err != nil {
				n /= 2
			}
		}
		if settled {
			return h
		}
	}
}

func TestNoMemory(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		h := newHarness(t, seed, s, z)
		for round := range 6 {
			for range 1000 {
				h.step()
			}
			other := fill(t, h.heap.Arena())
			if round%2 == 1 {
				h.beginCut(cut.PathCopy)
			}
			for range 300 {
				h.step()
				h.compare(h.root, h.model)
			}
			if h.old != nil {
				h.endCut()
			}
			h.all()
			other.Drop()
		}
		t.Logf("%d changes without memory", h.fails)
		if h.fails == 0 && z.key != 3 { // those trees are small
			t.Error("memory never ran out")
		}
	})
}

func TestBuilderAndClone(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		for _, n := range []int{0, 1, 2, 50, 3000} {
			h := newHarness(t, seed, s, z)
			b := NewBuilder(Space{Heap: h.heap, Guard: h.guard}, s)
			var keys []string
			for len(keys) < n {
				keys = append(keys, string(h.key()))
				if s.Keyed && len(keys) == n {
					sort.Strings(keys)
					keys = uniq(keys)
					if len(keys) < n && z.key == 3 {
						break
					}
				}
			}
			for _, k := range keys {
				e := elem{k, string(h.value()), h.rng.IntN(2) == 0}
				if !s.Keyed {
					e.key = ""
				}
				if err := b.Add([]byte(e.key), []byte(e.value), e.flag); err != nil {
					t.Fatal(err)
				}
				h.model = append(h.model, e)
			}
			var err error
			if h.root, err = b.Root(); err != nil {
				t.Fatal(err)
			}
			b.Abort()
			h.all()
			tr := h.tree()
			heap := h.heap.Arena().NewHeap(arena.Data)
			root, err := tr.Clone(heap)
			if err != nil {
				t.Fatal(err)
			}
			h.compare(root, h.model)
			for range 500 {
				h.step()
			}
			h.all()
			ct := Open(Space{Heap: heap, Guard: h.guard}, s, root)
			if blocks, err := ct.Check(); err != nil || blocks != heap.Blocks() || heap.Bytes() != root.Bytes {
				t.Fatalf("the copy: %v, %d blocks of %d", err, blocks, heap.Blocks())
			}
			for ct.FreeSome(7) {
			}
			if heap.Blocks() != 0 || ct.Root != (Root{}) {
				t.Fatalf("%d blocks left, %+v", heap.Blocks(), ct.Root)
			}
		}
	})
}

func uniq(s []string) []string {
	out := s[:0]
	for i, x := range s {
		if i == 0 || x != s[i-1] {
			out = append(out, x)
		}
	}
	return out
}

func TestAbort(t *testing.T) {
	forShapes(t, func(t *testing.T, s Shape, z sizes, seed uint64) {
		h := newHarness(t, seed, s, z)
		b := NewBuilder(Space{Heap: h.heap, Guard: h.guard}, s)
		for i := range 3000 {
			key := append([]byte(z.prefix), fmt.Sprintf("%08d%s", i, bytes.Repeat([]byte("x"), i%400))...)
			if err := b.Add(key, h.value(), false); err != nil {
				t.Fatal(err)
			}
		}
		b.Abort()
		if h.heap.Blocks() != 0 {
			t.Fatalf("%d blocks are left", h.heap.Blocks())
		}
	})
}
