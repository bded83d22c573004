package keyspace

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestGather writes, deletes and changes expiries beside a forked child, and also
// while the entries are moved afterwards, some of it beside the next child.
// In the end nothing lies apart, and all is as a map says.
func TestGather(t *testing.T) {
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
		f.guard.Mode = Forked
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
		f.guard.Mode = None
		f.a.EndCut()
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
	// An emptied table forgets what it has noted.
	f.a.BeginCut()
	f.guard.Mode = Forked
	f.put("k", "v", 0)
	f.tab.Clear()
	f.guard.Mode = None
	f.a.EndCut()
	for f.guard.Drain(100) {
	}
	if f.tab.Gather(10) || f.a.Stats().Apart != 0 {
		t.Error("a table without keys has entries that lie apart")
	}
	f.check()
}
