package keyspace

import (
	"fmt"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

const (
	benchKeyLen   = 11
	benchValueLen = 64
	benchNow      = 1000
)

// benchSizes are the tables' sizes as powers of two: one for the first caches,
// one beyond them, one beyond what the TLB reaches (some 400 MB).
var benchSizes = []struct {
	name string
	bits int
}{{"1k", 10}, {"1M", 20}, {"4M", 22}}

// benchTable is a table with keys "key:0000000" and so on, and values of 64
// bytes. Those of benchSizes are built once, when the first benchmark wants
// them, and kept.
type benchTable struct {
	*Table
	a     *arena.Arena
	guard *cut.Guard
	h     Hasher
	keys  []byte
	bits  int
}

var benchTables = map[int]*benchTable{}

func newBenchTable(b *testing.B, bits int) *benchTable {
	b.Helper()
	a, err := arena.New(16 << 30)
	if err != nil {
		b.Fatal(err)
	}
	t := &benchTable{a: a, guard: &cut.Guard{}, h: NewHasher(1), bits: bits}
	t.Table = NewTable(a, t.h, t.guard)
	// Twice as many keys as the table gets: the others miss.
	for i := range 2 << bits {
		t.keys = fmt.Appendf(t.keys, "key:%07d", i)
	}
	return t
}

func (t *benchTable) key(i int) []byte { return t.keys[i*benchKeyLen:][:benchKeyLen:benchKeyLen] }

// pick returns the number of a key in the table, in an order that neither a
// cache nor a prefetcher foresees.
func (t *benchTable) pick(i int) int { return int(uint64(i) * 0x9e3779b97f4a7c15 >> (64 - t.bits)) }

var benchValue = &Value{Kind: Kind(1, 0), Data: make([]byte, benchValueLen)}

func (t *benchTable) fill(b *testing.B) {
	for i := range 1 << t.bits {
		if err := t.Insert(t.h.Hash(t.key(i)), t.key(i), benchValue, benchNow); err != nil {
			b.Fatal(err)
		}
	}
}

// eachSize runs f on a full table of every size.
func eachSize(b *testing.B, f func(b *testing.B, t *benchTable)) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			t := benchTables[size.bits]
			if t == nil {
				t = newBenchTable(b, size.bits)
				t.fill(b)
				benchTables[size.bits] = t
			}
			f(b, t)
		})
	}
}

// BenchmarkHash hashes keys of several lengths, in bytes.
func BenchmarkHash(b *testing.B) {
	h := NewHasher(64)
	for _, n := range []int{11, 40, 1000} {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			key := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				h.Hash(key)
			}
		})
	}
}

// BenchmarkTableGet finds a key and reads its value, as GET does.
func BenchmarkTableGet(b *testing.B) {
	eachSize(b, func(b *testing.B, t *benchTable) {
		b.Run("hit", func(b *testing.B) {
			b.ReportAllocs()
			sum := byte(0)
			for i := 0; b.Loop(); i++ {
				k := t.key(t.pick(i))
				p, ok := t.Lookup(t.h.Hash(k), k)
				if !ok {
					b.Fatal("missing")
				}
				_, val := t.Value(p)
				sum += val[0]
			}
			_ = sum
		})
		b.Run("miss", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := t.key(t.pick(i) + 1<<t.bits)
				if _, ok := t.Lookup(t.h.Hash(k), k); ok {
					b.Fatal("there")
				}
			}
		})
	})
}

func (t *benchTable) replace(b *testing.B, i int) {
	k := t.key(t.pick(i))
	h := t.h.Hash(k)
	p, ok := t.Lookup(h, k)
	if !ok {
		b.Fatal("missing")
	}
	if err := t.Replace(h, p, benchValue, benchNow); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTableReplace overwrites a value by one of the same size, as SET does.
func BenchmarkTableReplace(b *testing.B) {
	eachSize(b, func(b *testing.B, t *benchTable) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			t.replace(b, i)
		}
	})
}

// BenchmarkTableReplaceInCut is the same while a save holds the table, in either
// way: what a writer pays for it. A cut lasts for 4096 writes, so that on a large
// table nearly every one is the first to its entry, and a good part to its
// segment; with the cost of freeing what was kept.
func BenchmarkTableReplaceInCut(b *testing.B) {
	const perCut = 4096
	for _, mode := range []struct {
		name string
		mode cut.Mode
	}{{"PathCopy", cut.PathCopy}, {"Forked", cut.Forked}} {
		b.Run(mode.name, func(b *testing.B) {
			eachSize(b, func(b *testing.B, t *benchTable) {
				end := func() {
					t.guard.Mode = cut.None
					t.a.EndCut()
					for t.guard.Drain(1 << 20) {
					}
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%perCut == 0 {
						if i > 0 {
							end()
						}
						t.a.BeginCut()
						t.guard.Mode = mode.mode
					}
					t.replace(b, i)
				}
				end()
			})
		})
	}
}

// BenchmarkTableInsert fills an empty table, with all its segments' growth and
// splits, or one that Reserve has prepared.
func BenchmarkTableInsert(b *testing.B) {
	for _, c := range []struct {
		name    string
		bits    int
		reserve bool
	}{{"1k", 10, false}, {"64k", 16, false}, {"64k reserved", 16, true}} {
		b.Run(c.name, func(b *testing.B) {
			t := newBenchTable(b, c.bits)
			defer t.a.Close()
			b.ReportAllocs()
			for b.Loop() {
				t.Clear()
				if c.reserve {
					if err := t.Reserve(1<<c.bits, benchNow); err != nil {
						b.Fatal(err)
					}
				}
				t.fill(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(int(1)<<c.bits), "ns/key")
		})
	}
}

// BenchmarkTableRemoveInsert removes a key and adds it again, the number of keys
// staying.
func BenchmarkTableRemoveInsert(b *testing.B) {
	eachSize(b, func(b *testing.B, t *benchTable) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			k := t.key(t.pick(i))
			h := t.h.Hash(k)
			p, ok := t.Lookup(h, k)
			if !ok {
				b.Fatal("missing")
			}
			if err := t.Remove(h, p); err != nil {
				b.Fatal(err)
			}
			if err := t.Insert(h, k, benchValue, benchNow); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkTableWalk is the walk of a save, per key.
func BenchmarkTableWalk(b *testing.B) {
	eachSize(b, func(b *testing.B, t *benchTable) {
		b.ReportAllocs()
		b.SetBytes(benchKeyLen + benchValueLen)
		var e Entry
		w, sum := Walk(t.a, t.Root()), byte(0)
		for b.Loop() {
			if !w.Next(&e) {
				w = Walk(t.a, t.Root())
				w.Next(&e)
			}
			sum += e.Value[0]
		}
		_ = sum
	})
}

// BenchmarkTableScan is one call with a budget of ten slots, as SCAN makes it.
func BenchmarkTableScan(b *testing.B) {
	eachSize(b, func(b *testing.B, t *benchTable) {
		b.ReportAllocs()
		from, seen := uint64(0), 0
		for b.Loop() {
			next, done := t.Scan(from, 10, func(*Entry) { seen++ })
			if from = next; done {
				from = 0
			}
		}
		b.ReportMetric(float64(seen)/float64(b.N), "keys/op")
	})
}

// BenchmarkTableRandom is RANDOMKEY.
func BenchmarkTableRandom(b *testing.B) {
	eachSize(b, func(b *testing.B, t *benchTable) {
		b.ReportAllocs()
		x := uint64(88172645463325252)
		rnd := func() uint64 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			return x
		}
		var e Entry
		for b.Loop() {
			t.Random(rnd, &e)
		}
	})
}

// BenchmarkTableExpire is the sweep: over segments in which nothing can have
// expired, per segment, and over those in which everything has, per key.
func BenchmarkTableExpire(b *testing.B) {
	const bits = 12
	v := *benchValue
	v.ExpireAt = 1 << 40
	fill := func(b *testing.B, t *benchTable) {
		for i := range 1 << bits {
			if err := t.Insert(t.h.Hash(t.key(i)), t.key(i), &v, benchNow); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("nothing", func(b *testing.B) {
		t := newBenchTable(b, bits)
		defer t.a.Close()
		fill(b, t)
		var sw Sweep
		b.ReportAllocs()
		for b.Loop() {
			if n, _, err := t.Expire(&sw, v.ExpireAt-1, func(*Entry) {}); n != 0 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("everything", func(b *testing.B) {
		t := newBenchTable(b, bits)
		defer t.a.Close()
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			fill(b, t)
			b.StartTimer()
			var sw Sweep
			for t.Len() > 0 {
				if _, _, err := t.Expire(&sw, v.ExpireAt, func(*Entry) {}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(int(1)<<bits), "ns/key")
	})
}

// BenchmarkCopier deep-copies a table: the COPY engine's pause, per key.
func BenchmarkCopier(b *testing.B) {
	t := newBenchTable(b, 16)
	defer t.a.Close()
	t.fill(b)
	b.ReportAllocs()
	for b.Loop() {
		c := NewCopier(t.a)
		if _, err := c.Copy(t.Table); err != nil {
			b.Fatal(err)
		}
		c.Free()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(int(1)<<t.bits), "ns/key")
}
