package tree

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
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
	return Space{a.NewHeap(arena.Data), new(cut.Guard)}
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

func report(b *testing.B, name string, n int, start time.Time) {
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), name+"-ns")
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
	for b.Loop() {
		sp := benchSpace(b)
		t := Open(sp, Shape{true, -1}, Root{})
		var buf []byte
		start := time.Now()
		for i := range n {
			buf = scattered(buf, i)
			if _, err := t.Put(buf, tenBytes, false); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "put", n, start)
		memory(b, &t)
		rng := rand.New(rand.NewPCG(1, 2))
		start = time.Now()
		for range n {
			buf = scattered(buf, rng.IntN(n))
			if _, ok := t.Get(buf); !ok {
				b.Fatal("not there")
			}
		}
		report(b, "get", n, start)
		start = time.Now()
		for range n {
			t.At(int64(rng.IntN(n)))
		}
		report(b, "at", n, start)
		start = time.Now()
		for range n {
			buf = scattered(buf, rng.IntN(n))
			t.Rank(buf)
		}
		report(b, "rank", n, start)
		start = time.Now()
		for range n {
			buf = scattered(buf, rng.IntN(n))
			if _, err := t.Put(buf, tenBytes[:10], true); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "again", n, start)
		start = time.Now()
		c := t.FromAt(0)
		var r Record
		for c.Next(&r) {
		}
		report(b, "next", n, start)
		start = time.Now()
		for i := range n {
			buf = scattered(buf, i)
			if ok, err := t.Delete(buf); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		report(b, "delete", n, start)
	}
}

// BenchmarkScores is the tree by score of a sorted set.
func BenchmarkScores(b *testing.B) {
	n := benchSize()
	for b.Loop() {
		sp := benchSpace(b)
		t := Open(sp, Shape{true, 0}, Root{})
		rng := rand.New(rand.NewPCG(1, 2))
		var buf []byte
		start := time.Now()
		for i := range n {
			buf = binary.BigEndian.AppendUint64(buf[:0], rng.Uint64())
			buf = append(buf, "member"...)
			buf = append(buf, byte(i), byte(i>>8), byte(i>>16), byte(i>>24))
			if _, err := t.Put(buf, nil, false); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "put", n, start)
		memory(b, &t)
	}
}

// BenchmarkInOrder is a tree whose keys ascend.
func BenchmarkInOrder(b *testing.B) {
	n := benchSize()
	for b.Loop() {
		sp := benchSpace(b)
		t := Open(sp, Shape{true, -1}, Root{})
		var key [16]byte
		start := time.Now()
		for i := range n {
			binary.BigEndian.PutUint64(key[:], uint64(i))
			if _, err := t.Put(key[:], tenBytes, false); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "put", n, start)
		memory(b, &t)
	}
}

// BenchmarkList is a list of 15-byte elements.
func BenchmarkList(b *testing.B) {
	n := benchSize()
	elem := []byte("element-0123456")
	for b.Loop() {
		sp := benchSpace(b)
		t := Open(sp, Shape{false, -1}, Root{})
		start := time.Now()
		for range n / 2 {
			if err := t.InsertAt(t.Count, elem, false); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "rpush", n/2, start)
		memory(b, &t)
		start = time.Now()
		for range n / 2 {
			if err := t.InsertAt(0, elem, false); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "lpush", n/2, start)
		memory(b, &t)
		rng := rand.New(rand.NewPCG(1, 2))
		start = time.Now()
		for range n {
			t.At(int64(rng.IntN(n)))
		}
		report(b, "at", n, start)
		start = time.Now()
		for range n / 10 {
			if err := t.InsertAt(int64(rng.IntN(n)), elem, false); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "insert", n/10, start)
		start = time.Now()
		for range n / 2 {
			if err := t.DeleteRange(0, 1); err != nil {
				b.Fatal(err)
			}
		}
		report(b, "lpop", n/2, start)
	}
}
