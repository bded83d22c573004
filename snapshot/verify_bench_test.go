package snapshot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// BenchmarkVerify: random values of 300 bytes, and compressible ones.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []string{"random300", "json300", "int"} {
		b.Run(kind, func(b *testing.B) {
			f, size := benchDump(b, kind)
			for _, full := range []bool{false, true} {
				for _, threads := range []int{1, 2} {
					b.Run(fmt.Sprintf("full=%v/threads=%d", full, threads), func(b *testing.B) {
						b.SetBytes(size)
						for b.Loop() {
							if _, err := Verify(context.Background(), f, size, VerifyOptions{Full: full, Threads: threads}); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
			b.Run("load", func(b *testing.B) {
				b.SetBytes(size)
				for b.Loop() {
					s, err := kv.Open(kv.Options{})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := Load(context.Background(), s, f.Name(), LoadOptions{}); err != nil {
						b.Fatal(err)
					}
					s.Close()
				}
			})
		})
	}
}

func benchDump(b *testing.B, kind string) (*os.File, int64) {
	path := filepath.Join(b.TempDir(), "dump.rdb")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	e := rdb.NewEncoder(make([]byte, 1<<20), rdb.EncoderOptions{Checksum: true, Compress: true})
	e.Reset(&fileSink{f: f, window: syncWindow{off: true}})
	e.Header()
	e.SelectDB(0)
	value := make([]byte, 300)
	for i := range 300_000 {
		switch kind {
		case "random300":
			for j := range value {
				value[j] = byte(rand.Uint32())
			}
		case "json300":
			value = fmt.Appendf(value[:0], `{"id":%d,"name":"user %d","mail":"user%d@example.com","roles":["reader","writer"],"address":{"city":"Basel","street":"Freie Strasse %d"},"tags":["alpha","beta","gamma"],"score":%d}`, i, i*7, i*7, i%200, rand.IntN(1e9))
		default:
			value = fmt.Append(value[:0], i)
		}
		e.String(fmt.Append(nil, "key:", i), value, 0)
	}
	if err := e.Footer(); err != nil {
		b.Fatal(err)
	}
	return f, e.Bytes()
}
