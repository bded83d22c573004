package keyspace

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// TestGather writes, deletes and changes expiries beside a forked child, and also
// while the entries are moved afterwards, some of it beside the next child.
// In the end nothing lies apart, and all is as a map says.
func TestGather(t *testing.T) {
	for _, mode := range []cut.Mode{cut.Forked, cut.ForkedPathCopy} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) { testGather(t, mode) })
	}
}

func testGather(t *testing.T, mode cut.Mode) {
	f := newFixture(t)
	rng := rand.New(rand.NewPCG(3, 4))
	want := map[string]model{}
	step := func() {
		k := fmt.Sprint("key", rng.IntN(2000))
		if !f.ours(k) {
			return
		}
		at := int64(0)
		if rng.IntN(3) == 0 {
			at = 1 + rng.Int64N(1000)
		}
		switch op := rng.IntN(10); {
		case op < 6:
			v := strings.Repeat(string(rune('a'+rng.IntN(26))), []int{0, 3, 70, 300, 1900, inlineMax, inlineMax + 1, 9000}[rng.IntN(8)])
			f.put(k, v, at)
			want[k] = model{v, at}
		case op < 8:
			if f.del(k) {
				delete(want, k)
			}
		default:
			if p, ok := f.tab.Lookup(f.hash(k), []byte(k)); ok {
				if err := f.tab.SetExpiry(f.hash(k), p, at, f.now); err != nil {
					t.Fatal(err)
				}
				want[k] = model{want[k].val, at}
			}
		}
	}
	for range 3000 {
		step()
	}
	for round := range 12 {
		f.a.BeginCut()
		f.guard.Mode = mode
		for range 1000 {
			step()
		}
		if f.a.Stats().Apart == 0 {
			t.Fatal("nothing lies apart")
		}
		if !f.tab.Gather(1000) {
			t.Fatal("a live cut has nothing to gather later")
		}
		if f.a.Stats().Apart == 0 {
			t.Fatal("entries were moved while the child lives")
		}
		f.check()
		f.guard.Mode = cut.None
		f.a.EndCut()
		if apart := f.a.Stats().Apart; !f.tab.Gather(1000) || f.a.Stats().Apart != apart {
			t.Fatal("entries were moved while blocks wait to be freed")
		}
		for f.guard.Drain(100) {
		}
		for more := true; more; {
			more = f.tab.Gather(50)
			step()
			if rng.IntN(100) == 0 {
				f.check()
			}
			if round%3 == 1 && rng.IntN(10) == 0 {
				break // the next child comes before all is done
			}
		}
		f.same(want)
		f.check()
		if n := f.a.Stats().Apart; round%3 != 1 && n != 0 {
			t.Fatalf("%d bytes still lie apart", n)
		}
	}
	// An emptied table has nothing to move.
	f.a.BeginCut()
	f.guard.Mode = mode
	f.put("k", "v", 0)
	f.tab.Clear()
	f.guard.Mode = cut.None
	f.a.EndCut()
	for f.guard.Drain(100) {
	}
	if f.tab.Gather(10) || f.a.Stats().Apart != 0 {
		t.Error("a table without keys has entries that lie apart")
	}
	f.check()
}

// TestGatherEmptySegments: segments without a key, which no key tells the place of,
// are moved too.
func TestGatherEmptySegments(t *testing.T) {
	f := newFixture(t)
	var keys []string
	for i := 0; len(keys) < 3000; i++ {
		if k := fmt.Sprint("key", i); f.ours(k) {
			f.put(k, "v", 0)
			keys = append(keys, k)
		}
	}
	f.a.BeginCut()
	f.guard.Mode = cut.ForkedPathCopy
	for _, k := range keys {
		f.del(k)
	}
	f.put(keys[0], "w", 0)
	f.guard.Mode = cut.None
	f.a.EndCut()
	for f.guard.Drain(100) {
	}
	empty := 0
	for _, ref := range f.tab.dirWords() {
		if segmentAt(f.a, arena.Ref(ref)).count == 0 {
			empty++
		}
	}
	if empty == 0 {
		t.Fatal("no segment is empty")
	}
	for f.tab.Gather(10) {
	}
	if n := f.a.Stats().Apart; n != 0 {
		t.Errorf("%d bytes still lie apart", n)
	}
	f.same(map[string]model{keys[0]: {"w", 0}})
	f.check()
}

// TestForkedInPlace: entries that the child shares are overwritten where they are,
// none goes apart, and none is freed before the child has gone.
func TestForkedInPlace(t *testing.T) {
	f := newFixture(t)
	want := map[string]model{}
	var keys []string
	for i := 0; len(keys) < 600; i++ {
		if k := fmt.Sprint("key", i); f.ours(k) {
			want[k] = model{strings.Repeat("a", 20+i%3*1500), int64(i%2) * 5000}
			f.put(k, want[k].val, want[k].at)
			keys = append(keys, k)
		}
	}
	at := func(k string) arena.Ref { p, _ := f.tab.Lookup(f.hash(k), []byte(k)); return p.entry }
	f.a.BeginCut()
	f.guard.Mode = cut.ForkedInPlace
	before := f.a.Stats().RunBytes
	for _, k := range keys {
		ref, m := at(k), want[k]
		m.val = strings.Repeat("b", len(m.val))
		if len(m.val) <= inlineMax {
			f.put(k, m.val, m.at)
			if at(k) != ref {
				t.Fatal("a value went elsewhere")
			}
		}
		p, _ := f.tab.Lookup(f.hash(k), []byte(k))
		v, err := f.tab.Extend(f.hash(k), p, Kind(1, 0), len(m.val), f.now)
		if err != nil {
			t.Fatal(err)
		}
		copy(v, m.val)
		if p, _ = f.tab.Lookup(f.hash(k), []byte(k)); m.at != 0 {
			m.at++
			if err := f.tab.SetExpiry(f.hash(k), p, m.at, f.now); err != nil {
				t.Fatal(err)
			}
		}
		if at(k) != ref {
			t.Fatal("an extended value or an expiry went elsewhere")
		}
		want[k] = m
	}
	if n := f.a.Stats(); n.RunBytes != before || n.Apart != 0 || f.guard.Pending() {
		t.Errorf("overwriting took %d bytes, %d of them apart; %d wait", n.RunBytes-before, n.Apart, f.guard.DeferredBytes)
	}
	bytes := f.tab.EntryBytes()
	for _, k := range keys[:300] {
		f.del(k)
		delete(want, k)
	}
	if f.tab.EntryBytes() != bytes || f.guard.DeferredBytes == 0 {
		t.Error("blocks that the child shares were freed")
	}
	f.put(keys[300], strings.Repeat("c", 1000), 0)
	want[keys[300]] = model{strings.Repeat("c", 1000), 0}
	if f.a.Stats().Apart != 0 {
		t.Error("an entry lies apart")
	}
	f.guard.Mode = cut.None
	f.a.EndCut()
	for f.guard.Drain(100) {
	}
	f.same(want)
	f.check()
}

// TestEvacuate deletes most keys and has the rest moved together, while others are
// written; while a cut is live, or what it kept waits, nothing is moved.
func TestEvacuate(t *testing.T) {
	f := newFixture(t)
	rng := rand.New(rand.NewPCG(5, 6))
	want := map[string]model{}
	put := func(i int) {
		if k := fmt.Sprint("key", i); f.ours(k) {
			m := model{strings.Repeat("v", []int{3, 70, 300, 1900, 5000}[rng.IntN(5)]), int64(rng.IntN(2)) * 1000}
			f.put(k, m.val, m.at)
			want[k] = m
		}
	}
	for i := range 20000 {
		put(i)
	}
	f.a.BeginCut()
	f.guard.Mode = cut.PathCopy
	for k := range want {
		if rng.IntN(4) > 0 {
			f.del(k)
			delete(want, k)
		}
	}
	refs := func() map[arena.Ref]bool {
		all := map[arena.Ref]bool{}
		for k := range want {
			p, _ := f.tab.Lookup(f.hash(k), []byte(k))
			all[p.entry] = true
		}
		return all
	}
	before := refs()
	if f.tab.Evacuate(1000); !maps.Equal(before, refs()) {
		t.Error("entries were moved under a cut")
	}
	f.guard.Mode = cut.None
	f.a.EndCut()
	if !f.tab.Evacuate(1000) || !maps.Equal(before, refs()) {
		t.Error("entries were moved while blocks wait to be freed")
	}
	for f.guard.Drain(100) {
	}
	runs := f.a.Stats().RunBytes
	for n := 0; f.tab.Evacuate(20); n++ {
		put(rng.IntN(20000))
		if n%20 == 0 {
			f.check()
		}
	}
	if maps.Equal(before, refs()) {
		t.Error("nothing was moved")
	}
	f.same(want)
	f.check()
	t.Logf("runs %d -> %d KB, entries %d KB", runs>>10, f.a.Stats().RunBytes>>10, f.tab.EntryBytes()>>10)
}
