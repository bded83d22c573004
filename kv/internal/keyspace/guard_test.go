package keyspace

import (
	"fmt"
	"testing"

	"kvd/kv/internal/cut"
)

// TestDrainInSlices: tables that are dropped while single blocks of them wait are
// freed in bounded pieces, and what is counted comes to nothing.
func TestDrainInSlices(t *testing.T) {
	f := newFixture(t)
	val := string(make([]byte, 900))
	fill := func(n int) {
		for i := range n {
			f.put(fmt.Sprint("key:", i), val, 0)
		}
	}
	fill(20_000)
	f.a.BeginCut()
	f.guard.Mode = cut.PathCopy
	fill(5000)
	f.guard.Mode = cut.None
	f.a.EndCut()
	half := f.guard.DeferredBytes / 2
	for f.guard.DeferredBytes > half {
		f.guard.Drain(100)
	}
	held := f.tab.EntryBytes() + f.tab.index.Bytes()
	f.tab.Clear()
	if f.guard.DeferredBytes != held {
		t.Errorf("%d bytes wait, the table had %d", f.guard.DeferredBytes, held)
	}
	fill(100)
	for last, more := f.guard.DeferredBytes, true; more; last = f.guard.DeferredBytes {
		more = f.guard.Drain(100)
		// The largest runs have 16 pages of the smallest number that suits their slots.
		if freed := last - f.guard.DeferredBytes; freed > 2<<20 {
			t.Fatalf("%d bytes freed at once", freed)
		}
	}
	if f.guard.DeferredBytes != 0 || f.guard.Pending() {
		t.Errorf("%d bytes wait in the end", f.guard.DeferredBytes)
	}
	f.check()
	f.tab.Clear()
	if n := f.a.Stats().RunBytes; n != 0 {
		t.Errorf("runs of %d bytes are left", n)
	}
}
