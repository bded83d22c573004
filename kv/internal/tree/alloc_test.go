package tree

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// built returns a tree of n records in a shape, some of them far.
func built(t testing.TB, sp Space, s Shape, n int) Tree {
	b := NewBuilder(sp, s)
	var key []byte
	for i := range n {
		key = binary.BigEndian.AppendUint32(key[:0], uint32(i)*7)
		value := make([]byte, max(s.Value, 0))
		if s.Value < 0 {
			value = make([]byte, i%40)
			if i%100 == 0 {
				value = make([]byte, 1000)
			}
		}
		if !s.Keyed {
			key = key[:0]
		}
		if err := b.Add(key, value, false); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Root()
	if err != nil {
		t.Fatal(err)
	}
	return Open(sp, s, root)
}

func noAllocs(t *testing.T, name string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(2000, f); n != 0 {
		t.Errorf("%s: %v allocations", name, n)
	}
}

// Reading allocates nothing, for it is what a forked child does; and neither does
// changing.
func TestAllocs(t *testing.T) {
	for _, s := range shapes {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			sp := benchSpace(t)
			w := built(t, sp, s, 20000)
			r := Read(sp.Heap.Arena(), s, w.Root)
			rng := rand.New(rand.NewPCG(1, 2))
			var key [4]byte
			next := func() []byte {
				binary.BigEndian.PutUint32(key[:], rng.Uint32N(200000))
				return key[:]
			}
			var rec Record
			noAllocs(t, "At", func() { r.At(rng.Int64N(20000)) })
			noAllocs(t, "FromAt", func() {
				c := r.FromAt(rng.Int64N(20000))
				for range 50 {
					c.Next(&rec)
				}
				for range 100 {
					c.Prev(&rec)
				}
			})
			value := make([]byte, max(s.Value, 0))
			if s.Keyed {
				noAllocs(t, "Get", func() { r.Get(next()) })
				noAllocs(t, "Rank", func() { r.Rank(next()) })
				noAllocs(t, "From", func() { c := r.From(next()); c.Next(&rec) })
				noAllocs(t, "Put", func() { w.Put(next(), value, false) })
				noAllocs(t, "Delete", func() { w.Delete(next()) })
			} else {
				noAllocs(t, "InsertAt", func() { w.InsertAt(rng.Int64N(w.Count), next(), false) })
			}
			noAllocs(t, "SetAt", func() { w.SetAt(rng.Int64N(w.Count), value, true) })
			noAllocs(t, "Edit", func() { w.Edit(rng.Int64N(w.Count), len(value)) })
			noAllocs(t, "DeleteRange", func() { w.DeleteRange(rng.Int64N(w.Count), 3) })
			if _, err := w.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a tree takes, at the most, in bytes for one of useful content.
func TestMemory(t *testing.T) {
	measure := func(name string, w *Tree, useful int, most float64) {
		t.Helper()
		c := checker{t: w}
		if _, err := c.node(w.Node, int(w.Height)-1, nil, nil); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.2f bytes each, %.1f %% of the blocks used", name,
			float64(w.Bytes)/float64(w.Count), 100*float64(c.used)/float64(w.Bytes))
		if got := float64(w.Bytes) / float64(w.Count) / float64(useful); got > most {
			t.Errorf("%s: %.3f bytes for one", name, got)
		}
	}
	const n = 100_000
	rng := rand.New(rand.NewPCG(3, 4))
	w := Open(benchSpace(t), Shape{true, -1}, Root{})
	var buf []byte
	for i := range n {
		buf = scattered(buf, i)
		w.Put(buf, tenBytes, false)
	}
	measure("hash", &w, 24, 1.24)
	for i := range n / 2 {
		buf = scattered(buf, i)
		w.Delete(buf)
	}
	measure("hash, half of it deleted", &w, 24, 1.33)
	w = Open(benchSpace(t), Shape{true, 0}, Root{})
	for range n {
		buf = binary.BigEndian.AppendUint64(buf[:0], rng.Uint64())
		w.Put(append(buf, "0123456789"...), nil, false)
	}
	measure("scores", &w, 18, 1.21)
	w = Open(benchSpace(t), Shape{false, -1}, Root{})
	for range n {
		w.InsertAt(w.Count, []byte("123456789012345"), false)
	}
	measure("list", &w, 15, 1.105)
	// What quicklists of Redis 7.0.15 take of used_memory, with elements of these sizes.
	for size, redis := range map[int]float64{
		11: 13.35, 32: 34.34, 64: 67.54, 100: 104.3, 150: 155.47, 200: 205.99, 256: 265.8, 500: 515, 1000: 1030,
	} {
		value := make([]byte, size)
		for _, at := range []string{"end", "beginning", "builder"} {
			w = Open(benchSpace(t), Shape{false, -1}, Root{})
			b := NewBuilder(w.space, w.shape)
			for range n / 10 {
				switch at {
				case "end":
					w.InsertAt(w.Count, value, false)
				case "beginning":
					w.InsertAt(0, value, false)
				default:
					b.Add(nil, value, false)
				}
			}
			if at == "builder" {
				w.Root, _ = b.Root()
			}
			measure(fmt.Sprintf("list of %d bytes, %s", size, at), &w, size, redis/float64(size))
		}
	}
	w = built(t, benchSpace(t), Shape{true, 8}, n)
	measure("built", &w, 12, 1.21)
}

// A change beside a cut copies the nodes from the leaf to the root, once.
func TestCopies(t *testing.T) {
	sp := benchSpace(t)
	w := built(t, sp, Shape{true, 8}, 100000)
	a := sp.Heap.Arena()
	a.BeginCut()
	sp.Guard.Mode = cut.PathCopy
	before := sp.Heap.Blocks()
	for i, want := range []int64{int64(w.Height), 0} {
		if err := w.SetAt(12345, make([]byte, 8), true); err != nil {
			t.Fatal(err)
		}
		if got := sp.Heap.Blocks() - before; got != want {
			t.Errorf("change %d: %d blocks more, not %d", i, got, want)
		}
		before = sp.Heap.Blocks()
	}
	sp.Guard.Mode = cut.None
	a.EndCut()
	for sp.Guard.Drain(100) {
	}
	if blocks, err := w.Check(); err != nil || blocks != sp.Heap.Blocks() {
		t.Errorf("%v, %d blocks of %d", err, blocks, sp.Heap.Blocks())
	}
}

// The root of a tree is in memory what it was.
func TestRoot(t *testing.T) {
	r := Root{Node: arena.Ref(1)<<47 | 8, Height: 7, Count: 1 << 40, Bytes: 1 << 45}
	var b [RootSize]byte
	r.Put(b[:])
	if got := ReadRoot(b[:]); got != r {
		t.Errorf("%+v, not %+v", got, r)
	}
}
