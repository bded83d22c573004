package keyspace

import (
	"fmt"
	"testing"

	"kvd/kv/internal/cut"
)

// atEnd returns n keys whose home in a segment of depth 0 and the smallest size
// is the last one.
func (f *fixture) atEnd(n int) (keys []string) {
	slots := (stepSize - headerSize) / 8
	homes := slots - overflow(slots)
	for i := 0; len(keys) < n; i++ {
		k := fmt.Sprint("end", i)
		if home(tagOf(f.hash(k), 0), uint16(homes)) == homes-1 {
			keys = append(keys, k)
		}
	}
	return keys
}

// TestOverflowUnderACut: the first write to a segment after a cut finds no room
// behind its home although the segment is not full, so that the copy just made
// is replaced at once by a larger one.
func TestOverflowUnderACut(t *testing.T) {
	for _, mode := range []cut.Mode{cut.PathCopy, cut.Forked} {
		f := newFixture(t)
		slots := (stepSize - headerSize) / 8
		keys := f.atEnd(overflow(slots) + 2)
		want := map[string]model{}
		for _, k := range keys[:len(keys)-1] {
			f.put(k, "v", 0)
			want[k] = model{"v", 0}
		}
		root := f.tab.Root()
		if s := f.tab.segmentFor(0); s.bytes() != stepSize {
			t.Fatalf("the segment has %d bytes", s.bytes())
		}
		f.a.BeginCut()
		f.guard.Mode = mode
		f.put(keys[len(keys)-1], "w", 0)
		if s := f.tab.segmentFor(0); s.bytes() == stepSize {
			t.Fatal("the segment has not grown")
		}
		f.check()
		if mode == cut.PathCopy { // the kernel keeps the child's
			walkAll(f, Walk(f.a, root), want, "cut")
		}
		f.guard.Mode = cut.None
		f.a.EndCut()
		for f.guard.Drain(100) {
		}
		want[keys[len(keys)-1]] = model{"w", 0}
		f.same(want)
		f.check()
	}
}

// TestClearOfNothing: emptying what is empty leaves nothing behind for the end
// of a cut.
func TestClearOfNothing(t *testing.T) {
	f := newFixture(t)
	f.put("k", "v", 0)
	f.a.BeginCut()
	f.guard.Mode = cut.PathCopy
	for range 3 {
		f.tab.Clear()
	}
	if n := len(f.guard.Heaps()); n != 2 {
		t.Errorf("%d heaps wait to be dropped, want 2", n)
	}
	f.guard.Mode = cut.None
	f.a.EndCut()
	for f.guard.Drain(100) {
	}
	f.check()
}
