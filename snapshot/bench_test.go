package snapshot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// benchKeys is 5,000,000 with KVD_LONG=1:
//
//	KVD_LONG=1 go test ./snapshot -run xxx -bench . -benchtime 5x
func benchKeys() int {
	if os.Getenv("KVD_LONG") == "1" {
		return 5_000_000
	}
	return 100_000
}

// benchStore returns a store with n keys of 11 bytes and values of 64 random-looking bytes.
func benchStore(b *testing.B, n int) *kv.Store {
	b.Helper()
	s, err := kv.Open(kv.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if err := s.Reserve(0, int64(n)); err != nil {
		b.Fatal(err)
	}
	tx := s.NewTx()
	x := uint64(88172645463325252)
	value := make([]byte, 64)
	for i := range n {
		for j := range value {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			value[j] = "0123456789abcdef"[x>>32&15]
		}
		key := []byte("k" + fmt.Sprintf("%010d", i))
		tx.LockKey(key)
		err := tx.SetString(0, key, value, kv.EncRaw, 0)
		tx.Unlock()
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func BenchmarkSave(b *testing.B) {
	s := benchStore(b, benchKeys())
	path := filepath.Join(b.TempDir(), "dump.rdb")
	for _, o := range []Options{{Engine: Fork}, {Engine: Thread, Threads: 1}, {Engine: Thread, Threads: 2}, {Engine: Copy}, {Engine: Foreground}} {
		for _, o.NoCompress = range []bool{true, false} {
			b.Run(fmt.Sprintf("%v/threads=%d/lzf=%t", o.Engine, o.Threads, !o.NoCompress), func(b *testing.B) {
				if o.Engine == Fork && fork.RaceEnabled {
					b.Skip("no fork under the race detector")
				}
				var res Result
				for range b.N {
					var err error
					if res, err = Save(context.Background(), s, path, o); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(res.Pause.Microseconds()), "pause-us")
				b.ReportMetric(float64(res.Clone.Microseconds()), "clone-us")
				b.ReportMetric(float64(res.Bytes)/1e6, "MB")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(res.Keys), "ns/key")
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	n := benchKeys()
	path := filepath.Join(b.TempDir(), "dump.rdb")
	if _, err := Save(context.Background(), benchStore(b, n), path, Options{Engine: Thread}); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		s, err := kv.Open(kv.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		res, err := Load(context.Background(), s, path, LoadOptions{})
		if err != nil || res.Keys != int64(n) {
			b.Fatal(res, err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}
