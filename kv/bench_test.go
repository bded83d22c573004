package kv

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

const (
	benchKeyLen   = 11
	benchValueLen = 64
)

// benchSizes are the stores' sizes as powers of two: one for the first caches,
// one beyond them.
var benchSizes = []struct {
	name string
	bits int
}{{"1k", 10}, {"1M", 20}}

// benchStore is a store with keys "key:0000000" and so on, and values of 64
// bytes. Those of benchSizes are built once, when the first benchmark wants
// them, and kept.
type benchStore struct {
	*Store
	keys []byte
	bits int
}

var benchStores = map[int]*benchStore{}

func newBenchStore(b *testing.B, bits int) *benchStore {
	b.Helper()
	store, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	s := &benchStore{Store: store, bits: bits}
	for i := range 2 << bits { // twice as many as the store gets: the others miss
		s.keys = fmt.Appendf(s.keys, "key:%07d", i)
	}
	return s
}

func (s *benchStore) key(i int) []byte { return s.keys[i*benchKeyLen:][:benchKeyLen:benchKeyLen] }

// pick returns the number of a key in the store, in an order that neither a
// cache nor a prefetcher foresees.
func (s *benchStore) pick(i int) int { return int(uint64(i) * 0x9e3779b97f4a7c15 >> (64 - s.bits)) }

var benchValue = make([]byte, benchValueLen)

// load fills the store in pieces of 1024, as the loader of a dump does.
func (s *benchStore) load(b *testing.B) {
	l, recs := s.NewLoader(), make([]Record, 1024)
	for from := 0; from < 1<<s.bits; from += len(recs) {
		for i := range recs {
			recs[i] = Record{Key: s.key(from + i), Value: benchValue}
		}
		if _, err := l.Add(recs, false); err != nil {
			b.Fatal(err)
		}
	}
}

// eachSize runs f on a full store of every size.
func eachSize(b *testing.B, f func(b *testing.B, s *benchStore)) {
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			s := benchStores[size.bits]
			if s == nil {
				s = newBenchStore(b, size.bits)
				s.load(b)
				benchStores[size.bits] = s
			}
			f(b, s)
		})
	}
}

// BenchmarkTxGet is GET: lock, find, note the use, unlock.
func BenchmarkTxGet(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx := s.NewTx()
		for _, c := range []struct {
			name  string
			first int
			found bool
		}{{"hit", 0, true}, {"miss", 1 << s.bits, false}} {
			b.Run(c.name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					k := s.key(c.first + s.pick(i))
					tx.LockKey(k)
					_, _, ok := tx.GetValue(0, k)
					tx.Unlock()
					if ok != c.found {
						b.Fatalf("%s: %v", k, ok)
					}
				}
			})
		}
	})
}

func (s *benchStore) set(b *testing.B, tx *Tx, i int, expireAt int64) {
	k := s.key(s.pick(i))
	tx.LockKey(k)
	err := tx.SetString(0, k, benchValue, EncRaw, expireAt)
	tx.Unlock()
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTxSet is SET of a key that is there, to a value of the same size.
func BenchmarkTxSet(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx := s.NewTx()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.set(b, tx, i, NoExpiry)
		}
	})
}

// BenchmarkTxSetInView is the same while a View is held, the writer copying what
// it reaches. A View lasts for 4096 writes: on the large store nearly every one
// is the first to its key. The cuts themselves are in it, some microseconds each.
func BenchmarkTxSetInView(b *testing.B) {
	const perView = 4096
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx := s.NewTx()
		var v *View
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%perView == 0 {
				v = s.renew(b, v)
			}
			s.set(b, tx, i, NoExpiry)
		}
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// renew closes v, if there is one, and takes another View.
func (s *benchStore) renew(b *testing.B, v *View) *View {
	if v != nil {
		if err := v.Close(); err != nil {
			b.Fatal(err)
		}
	}
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// BenchmarkTxSetExpiry is SET with an expiry to a key that has one, and back.
func BenchmarkTxSetExpiry(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx, at := s.NewTx(), time.Now().Add(time.Hour).UnixMilli()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.set(b, tx, i/2, []int64{at, NoExpiry}[i%2])
		}
		for i := range 1 << s.bits { // others want it without
			k := s.key(i)
			tx.LockKey(k)
			tx.SetExpire(0, k, NoExpiry)
			tx.Unlock()
		}
	})
}

// BenchmarkTxDeleteSet removes a key and adds it again.
func BenchmarkTxDeleteSet(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx := s.NewTx()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			k := s.key(s.pick(i))
			tx.LockKey(k)
			if !tx.Delete(0, k) {
				b.Fatal("missing")
			}
			err := tx.SetString(0, k, benchValue, EncRaw, NoExpiry)
			tx.Unlock()
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkTxLockKeys is a transaction on ten keys: MGET.
func BenchmarkTxLockKeys(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx, keys := s.NewTx(), make([][]byte, 10)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			for j := range keys {
				keys[j] = s.key(s.pick(i*len(keys) + j))
			}
			tx.LockKeys(keys)
			for _, k := range keys {
				if _, _, ok := tx.GetValue(0, k); !ok {
					b.Fatal("missing")
				}
			}
			tx.Unlock()
		}
	})
}

// BenchmarkTxEditString is APPEND to a string of 1 KiB that starts again at 2 KiB,
// and SETRANGE within a large one.
func BenchmarkTxEditString(b *testing.B) {
	s := newBenchStore(b, 10)
	defer s.Close()
	tx := s.NewTx()
	b.Run("append 16B", func(b *testing.B) {
		key, size := []byte("append"), 1024
		b.ReportAllocs()
		for b.Loop() {
			if size += 16; size > 2048 {
				size = 1024
				tx.LockKey(key)
				tx.Delete(0, key)
				tx.Unlock()
			}
			tx.LockKey(key)
			val, err := tx.EditString(0, key, size)
			if err != nil {
				b.Fatal(err)
			}
			copy(val[size-16:], benchValue)
			tx.Unlock()
		}
	})
	b.Run("setrange 64B of 1MB", func(b *testing.B) {
		key, size := []byte("range"), 1<<20
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			tx.LockKey(key)
			if _, err := tx.WriteAt(0, key, int64(i*benchValueLen%size), benchValue); err != nil {
				b.Fatal(err)
			}
			tx.Unlock()
		}
	})
}

// BenchmarkDB is the interface of programs that embed the store, with its copies;
// by one goroutine and by as many as there are processors.
func BenchmarkDB(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		db := s.DB(0)
		get := func(i int) bool { _, ok := db.Get(s.key(s.pick(i))); return ok }
		put := func(i int) bool { return db.Set(s.key(s.pick(i)), benchValue) == nil }
		for _, c := range []struct {
			name string
			op   func(i int) bool
		}{{"get", get}, {"set", put}} {
			b.Run(c.name, func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if !c.op(i) {
						b.Fatal("failed")
					}
				}
			})
			b.Run(c.name+" parallel", func(b *testing.B) {
				var worker atomic.Int64
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := int(worker.Add(1)) << 32; pb.Next(); i++ {
						if !c.op(i) {
							b.Error("failed")
							return
						}
					}
				})
			})
		}
	})
}

// BenchmarkLoader adds 64k keys to an empty store, as the loader of a dump does.
func BenchmarkLoader(b *testing.B) {
	const bits = 16
	s := newBenchStore(b, bits)
	defer s.Close()
	b.ReportAllocs()
	b.SetBytes((benchKeyLen + benchValueLen) << bits)
	for b.Loop() {
		s.DB(0).Flush()
		s.load(b)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(int(1)<<bits), "ns/key")
}

// BenchmarkFreeze takes a View and closes it. hold is the time for which writers
// were held, median and maximum.
func BenchmarkFreeze(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		var pauses []time.Duration
		b.ReportAllocs()
		for b.Loop() {
			v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
			if err != nil {
				b.Fatal(err)
			}
			pauses = append(pauses, v.Pause())
			if err := v.Close(); err != nil {
				b.Fatal(err)
			}
		}
		slices.Sort(pauses)
		b.ReportMetric(float64(pauses[len(pauses)/2]), "hold-p50-ns")
		b.ReportMetric(float64(pauses[len(pauses)-1]), "hold-max-ns")
	})
}

// BenchmarkViewWalk is a save's walk through all shards of a View, per key.
func BenchmarkViewWalk(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		v := s.renew(b, nil)
		defer v.Close()
		w, shard, sum := v.Walk(0), 0, byte(0)
		var e Entry
		b.ReportAllocs()
		b.SetBytes(benchKeyLen + benchValueLen)
		for b.Loop() {
			for !w.Next(&e) {
				shard = (shard + 1) % v.Shards()
				w = v.Walk(shard)
			}
			sum += e.Value[0]
		}
		_ = sum
	})
}

// BenchmarkScan is one call for ten keys, as SCAN makes it.
func BenchmarkScan(b *testing.B) {
	eachSize(b, func(b *testing.B, s *benchStore) {
		tx, cursor, seen := s.NewTx(), uint64(0), 0
		b.ReportAllocs()
		for b.Loop() {
			cursor = tx.Scan(0, cursor, 10, func([]byte, Item) { seen++ })
		}
		b.ReportMetric(float64(seen)/float64(b.N), "keys/op")
	})
}
