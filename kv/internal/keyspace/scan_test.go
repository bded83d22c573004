package keyspace

import (
	"fmt"
	"math/rand"
	"testing"

	"kvd/kv/internal/cut"
)

func TestScanSurvivesChanges(t *testing.T) {
	for seed := range int64(20) {
		f := newFixture(t)
		rng := rand.New(rand.NewSource(seed))
		stay := map[string]int{}
		for i := range 3000 {
			k := fmt.Sprint("stay", i)
			if f.ours(k) {
				f.put(k, "v", 0)
				stay[k] = 0
			}
		}
		next := 0
		for pos, done := uint64(0), false; !done; {
			pos, done = f.tab.Scan(pos, 1+rng.Intn(40), func(e *Entry) {
				if _, ok := stay[string(e.Key)]; ok {
					stay[string(e.Key)]++
				}
			})
			if pos&(1<<17-1) != 0 {
				t.Fatalf("position %#x does not fit a cursor", pos)
			}
			for range rng.Intn(600) {
				next++
				if k := fmt.Sprint("come", next); f.ours(k) {
					f.put(k, "v", 0)
				}
			}
			for range rng.Intn(900) {
				if k := fmt.Sprint("come", rng.Intn(next+1)); f.ours(k) {
					f.del(k)
				}
			}
		}
		for k, n := range stay {
			if n != 1 {
				t.Fatalf("seed %d: key %q was returned %d times", seed, k, n)
			}
		}
		f.check()
	}
}

// TestScanSurvivesMerges stops a scan between two keys that share a tag after
// the merge of their segment with another, which takes a bit from every tag.
func TestScanSurvivesMerges(t *testing.T) {
	f := newFixture(t)
	var gone []string
	for i := 0; f.tab.depth < 3; i++ {
		gone = append(gone, fmt.Sprint(i))
		f.put(gone[i], "v", 0)
	}
	first, second := f.neighbours(3)
	f.put(first, "v", 0)
	f.put(second, "v", 0)
	seen := map[string]int{}
	count := func(e *Entry) { seen[string(e.Key)]++ }
	pos, done := f.tab.Scan(f.hash(first)&^(1<<46-1), 1, count)
	for _, k := range gone {
		f.del(k)
	}
	if d := f.tab.segmentFor(f.hash(first)).depth; d >= 3 {
		t.Fatalf("the segment has depth %d: it was not merged", d)
	}
	for !done {
		pos, done = f.tab.Scan(pos, 1, count)
	}
	if seen[first] != 1 || seen[second] != 1 {
		t.Errorf("returned %d and %d times", seen[first], seen[second])
	}
}

// neighbours returns two keys whose tags in a segment of that depth are
// consecutive, and alike in any of less depth.
func (f *fixture) neighbours(depth uint8) (first, second string) {
	shift := 64 - tagBits - depth
	lower := map[uint64]string{}
	for i := 0; ; i++ {
		k := fmt.Sprint("pair", i)
		h := f.hash(k)
		if f.tab.segmentFor(h).depth != depth {
			continue
		}
		if first = lower[h>>shift&^1]; h>>shift&1 == 0 {
			lower[h>>shift] = k
		} else if first != "" {
			return first, k
		}
	}
}

// TestRandomInASparseTable: what a cut keeps from shrinking must not make the
// search for a random key long.
func TestRandomInASparseTable(t *testing.T) {
	f := newFixture(t)
	const n = 20000
	for i := range n {
		f.put(fmt.Sprint(i), "v", 0)
	}
	f.guard.Mode = cut.Forked // nothing is rearranged
	for i := range n {
		if i%(n/4) != 0 {
			f.del(fmt.Sprint(i))
		}
	}
	f.guard.Mode = cut.None
	rng := rand.New(rand.NewSource(1))
	drawn := 0
	rnd := func() uint64 { drawn++; return rng.Uint64() }
	seen := map[string]int{}
	const picks = 400
	var e Entry
	for range picks {
		f.tab.Random(rnd, &e)
		seen[string(e.Key)]++
	}
	if len(seen) != 4 {
		t.Errorf("picked %v", seen)
	}
	if drawn > picks*1000 {
		t.Errorf("%d random numbers for %d keys", drawn, picks)
	}
}
