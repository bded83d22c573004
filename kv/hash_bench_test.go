package kv

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkHash has the cost of one operation on hashes of several sizes.
func BenchmarkHash(b *testing.B) {
	for _, n := range []int{10, 100, 100_000} {
		s := openStore(b, Options{})
		tx := s.NewTx()
		key := []byte("h")
		tx.LockKey(key)
		var fields [][]byte
		for i := range n {
			f := fmt.Appendf(nil, "field:%08d", i)
			fields = append(fields, f)
			if _, err := tx.HashSet(0, key, f, []byte("a value of 20 bytes.")); err != nil {
				b.Fatal(err)
			}
		}
		r := rand.New(rand.NewPCG(1, 1))
		b.Run(fmt.Sprint("get/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, _ := tx.HashGet(0, key, fields[r.IntN(n)]); !ok {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprint("set/", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tx.HashSet(0, key, fields[r.IntN(n)], []byte("another of 20 bytes.")); err != nil {
					b.Fatal(err)
				}
			}
		})
		tx.Unlock()
	}
}
