package snapshot

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"kvd/kv"
)

// benchCollection makes one collection of n elements.
func benchCollection(b *testing.B, typ string, n int) *kv.Store {
	s, err := kv.Open(kv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	tx := s.NewTx()
	key := []byte("big")
	tx.LockKey(key)
	defer tx.Unlock()
	for at := 0; at < n; at += 1000 {
		var l kv.List
		var z kv.Zset
		var set kv.Set
		var h kv.Hash
		must(map[string]func() error{
			"list": func() error { return tx.OpenList(&l, 0, key) }, "zset": func() error { return tx.OpenZset(&z, 0, key) },
			"set": func() error { return tx.OpenSet(&set, 0, key) }, "hash": func() error { return tx.OpenHash(&h, 0, key) }}[typ]())
		var elems [][]byte
		for i := at; i < at+1000; i++ {
			elem := fmt.Appendf(nil, "element:%012d", i)
			elems = append(elems, elem)
			switch typ {
			case "zset":
				add(&z, elem, float64(i*7919%n)/4)
			case "hash":
				must2(h.Set(elem, fmt.Appendf(nil, "value of %d", i), kv.NoExpiry))
			}
		}
		switch typ {
		case "list":
			must(l.Push(kv.Right, elems))
		case "set":
			must2(set.Add(elems))
		case "zset":
			must(z.Save(1))
		case "hash":
			must(h.Save())
		}
	}
	return s
}

// BenchmarkCollections saves and loads one collection of a million elements.
func BenchmarkCollections(b *testing.B) {
	const n = 1_000_000
	for _, typ := range []string{"list", "set", "zset", "hash"} {
		s := benchCollection(b, typ, n)
		path := filepath.Join(b.TempDir(), "dump.rdb")
		b.Run("save/"+typ, func(b *testing.B) {
			for range b.N {
				res, err := Save(context.Background(), s, path, Options{Engine: Foreground, Verify: VerifyNo})
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(res.Bytes)
			}
		})
		b.Run("load/"+typ, func(b *testing.B) {
			for range b.N {
				s, err := kv.Open(kv.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Load(context.Background(), s, path, LoadOptions{}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
		b.Run("verify/"+typ, func(b *testing.B) {
			for range b.N {
				if _, err := VerifyFile(context.Background(), path, VerifyOptions{Full: true, Unique: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
