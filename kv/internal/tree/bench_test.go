package tree

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// benchSize is how many records the benchmarks use: many with KVD_LONG=1.
func benchSize() int {
	if os.Getenv("KVD_LONG") != "" {
		return 5_000_000
	}
	return 200_000
}

func benchSpace(b testing.TB) Space {
	a, err := arena.New(16 << 30)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	return Space{Heap: a.NewHeap(arena.Data), Guard: new(cut.Guard)}
}

// scattered is a key of 14 bytes: 4 of a hash, 10 of a name.
func scattered(buf []byte, i int) []byte {
	h := (uint64(i) + 1) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h ^= h >> 31
	buf = binary.BigEndian.AppendUint32(buf[:0], uint32(h>>32))
	buf = append(buf, "mem"...)
	for d := 1_000_000; d > 0; d /= 10 {
		buf = append(buf, byte('0'+i/d%10))
	}
	return buf
}

var tenBytes = []byte("0123456789")

// measure calls f n times and reports the median over batches of the time of a call:
// others may use the machine too.
func measure(b *testing.B, name string, n int, f func(i int)) {
	const batch = 500
	var times []time.Duration
	for i := 0; i < n; i += batch {
		start := time.Now()
		for k := range batch {
			f(i + k)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/batch, name+"-ns")
}

func memory(b *testing.B, t *Tree) {
	c := checker{t: t}
	if _, err := c.node(t.Node, int(t.Height)-1, nil, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(t.Bytes)/float64(t.Count), "B/elem")
	b.ReportMetric(float64(t.a.Stats().RunBytes)/float64(t.Count), "run-B/elem")
	b.ReportMetric(100*float64(c.used)/float64(t.Bytes), "%used")
}

// BenchmarkHash is a hash whose fields come in no order.
func BenchmarkHash(b *testing.B) {
	n := benchSize()
	some := min(n, 500_000)
	for b.Loop() {
		t := Open(benchSpace(b), Shape{true, -1}, Root{})
		rng := rand.New(rand.NewPCG(1, 2))
		var buf []byte
		put := func(i int) {
			buf = scattered(buf, i)
			if _, err := t.Put(buf, tenBytes, false); err != nil {
				b.Fatal(err)
			}
		}
		measure(b, "put", n, put)
		memory(b, &t)
		measure(b, "get", some, func(int) {
			buf = scattered(buf, rng.IntN(n))
			if _, ok := t.Get(buf); !ok {
				b.Fatal("not there")
			}
		})
		measure(b, "at", some, func(int) { t.At(int64(rng.IntN(n))) })
		measure(b, "rank", some, func(int) {
			buf = scattered(buf, rng.IntN(n))
			t.Rank(buf)
		})
		measure(b, "again", some, func(int) { put(rng.IntN(n)) })
		c := t.FromAt(0)
		var r Record
		measure(b, "next", n, func(int) { c.Next(&r) })
		measure(b, "delete", some, func(i int) {
			buf = scattered(buf, i)
			if ok, err := t.Delete(buf); !ok || err != nil {
				b.Fatal(ok, err)
			}
		})
	}
}

// BenchmarkScores is the tree by score of a sorted set.
func BenchmarkScores(b *testing.B) {
	n := benchSize()
	for b.Loop() {
		t := Open(benchSpace(b), Shape{true, 0}, Root{})
		rng := rand.New(rand.NewPCG(1, 2))
		var buf []byte
		measure(b, "put", n, func(i int) {
			buf = binary.BigEndian.AppendUint64(buf[:0], rng.Uint64())
			buf = append(buf, "member"...)
			buf = append(buf, byte(i), byte(i>>8), byte(i>>16), byte(i>>24))
			if _, err := t.Put(buf, nil, false); err != nil {
				b.Fatal(err)
			}
		})
		memory(b, &t)
	}
}

// BenchmarkInOrder is a tree whose keys ascend.
func BenchmarkInOrder(b *testing.B) {
	n := benchSize()
	for b.Loop() {
		t := Open(benchSpace(b), Shape{true, -1}, Root{})
		var key [16]byte
		measure(b, "put", n, func(i int) {
			binary.BigEndian.PutUint64(key[:], uint64(i))
			if _, err := t.Put(key[:], tenBytes, false); err != nil {
				b.Fatal(err)
			}
		})
		memory(b, &t)
	}
}

// BenchmarkList is a list of 15-byte elements.
func BenchmarkList(b *testing.B) {
	n := benchSize()
	some := min(n, 500_000)
	elem := []byte("element-0123456")
	for b.Loop() {
		t := Open(benchSpace(b), Shape{false, -1}, Root{})
		rng := rand.New(rand.NewPCG(1, 2))
		insert := func(rank int64) {
			if err := t.InsertAt(rank, elem, false); err != nil {
				b.Fatal(err)
			}
		}
		measure(b, "rpush", n/2, func(int) { insert(t.Count) })
		measure(b, "lpush", n/2, func(int) { insert(0) })
		memory(b, &t)
		measure(b, "at", some, func(int) { t.At(int64(rng.IntN(n))) })
		measure(b, "insert", some, func(int) { insert(int64(rng.IntN(n))) })
		measure(b, "lpop", some, func(int) {
			if err := t.DeleteRange(0, 1); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkWhole builds a tree of records in order, copies it and frees it, by record.
func BenchmarkWhole(b *testing.B) {
	n := benchSize()
	for b.Loop() {
		sp := benchSpace(b)
		w := NewBuilder(sp, Shape{true, -1})
		var key [14]byte
		measure(b, "build", n, func(i int) {
			binary.BigEndian.PutUint32(key[:], uint32(i))
			if err := w.Add(key[:], tenBytes, false); err != nil {
				b.Fatal(err)
			}
		})
		root, err := w.Root()
		if err != nil {
			b.Fatal(err)
		}
		t := Open(sp, Shape{true, -1}, root)
		memory(b, &t)
		start := time.Now()
		if _, err := t.Clone(sp.Heap.Arena().NewHeap(arena.Data)); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "clone-ns")
		measure(b, "free-one", 2000, func(int) { t.FreeSome(1) })
		start = time.Now()
		t.FreeSome(1000)
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/1000, "free-1000-ns")
	}
}

// BenchmarkGet reads a hash in no order.
func BenchmarkGet(b *testing.B) {
	n := benchSize()
	t := Open(benchSpace(b), Shape{true, -1}, Root{})
	var buf []byte
	for i := range n {
		buf = scattered(buf, i)
		if _, err := t.Put(buf, tenBytes, false); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([]byte, 0, 14<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1 << 20 {
		keys = append(keys, scattered(buf, rng.IntN(n))...)
	}
	i := 0
	for b.Loop() {
		k := keys[i*14 : i*14+14]
		i = (i + 1) & (1<<20 - 1)
		t.Get(k)
	}
}
