package snapshot

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// smallDumps are files of one key each, of every type in the golden files.
func smallDumps(t testing.TB) (list [][]byte) {
	t.Helper()
	names, _ := filepath.Glob("rdb/testdata/*.rdb")
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := rdb.NewDecoder(bytes.NewReader(file), rdb.DecoderOptions{Values: rdb.PassValues, AllTypes: true})
		var ev rdb.Event
		for d.Next(&ev) == nil {
			if ev.Kind == rdb.KindKey && ev.Type != rdb.TypeString && d.Offset()-ev.Start < 2000 {
				one := append(bytes.Clone(file[:headerBytes]), file[ev.Start:d.Offset()]...)
				list = append(list, append(one, "\xff\x00\x00\x00\x00\x00\x00\x00\x00"...)) // no checksum
			}
		}
	}
	return list
}

// TestMutatedDumps: whatever is in a file, a load ends, takes little memory, and the store is sound. It is what
// TestMutatedPayloads of package value is for RESTORE. KVD_LONG=1 tries a hundred thousand.
func TestMutatedDumps(t *testing.T) {
	s := openStore(t, kv.Options{})
	n := 1000
	if os.Getenv("KVD_LONG") == "1" {
		n = 100_000
	}
	list := smallDumps(t)
	rng := rand.New(rand.NewPCG(21, 22))
	path := filepath.Join(t.TempDir(), "dump.rdb")
	good := 0
	for i := range n {
		file := list[i%len(list)]
		if i >= len(list) {
			file = damage(rng, file)
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Load(context.Background(), s, path, LoadOptions{NoChecksum: true, Replace: true, Threads: 1})
		runtime.ReadMemStats(&after)
		if err == nil {
			good++
		}
		// A load has buffers, of the same size for all files.
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Fatalf("%d bytes allocated for %x", used, file)
		}
		if i%500 == 0 {
			if err := s.Check(); err != nil {
				t.Fatalf("after %x: %v", file, err)
			}
		}
	}
	if good < len(list)/2 || good > n*3/4+len(list) {
		t.Errorf("%d of %d were good, %d of which were not damaged", good, n, len(list))
	}
}
