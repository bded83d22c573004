package keyspace

import (
	"fmt"
	"maps"
	"math"
	"math/rand"
	"testing"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// fillUp takes all memory of the fixture's arena until release.
func (f *fixture) fillUp() (release func()) {
	refs := map[*arena.Heap][]arena.Ref{}
	take := func(h *arena.Heap, alloc func(int) (arena.Ref, error), n int) {
		for ref, err := alloc(n); err == nil; ref, err = alloc(n) {
			refs[h] = append(refs[h], ref)
		}
	}
	heaps := append(f.tab.Heaps(), f.a.NewHeap(arena.Data))
	for settled := false; ; time.Sleep(time.Millisecond) {
		for _, h := range heaps {
			for n := 1 << 29; n > arena.MaxSmall; n /= 2 {
				take(h, h.Alloc, n)
			}
			for n := arena.MaxSmall; n > 0; n -= 8 {
				take(h, h.Alloc, n)
				take(h, h.AllocApart, n)
			}
		}
		if settled {
			break
		}
		// A chunk that is being touched or discarded belongs to nobody meanwhile, and is free again.
		settled = f.a.Stats().Resident == f.a.Reserved()-arena.ChunkSize // the first one stays empty
	}
	return func() {
		for h, list := range refs {
			for _, ref := range list {
				h.Free(ref)
			}
		}
	}
}

// smallFixture is one whose memory can be used up.
func smallFixture(t *testing.T) *fixture {
	a, err := arena.New(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	f := &fixture{t: t, a: a, guard: new(cut.Guard), h: NewHasher(1), now: 1000}
	f.tab = NewTable(a, f.h, f.guard)
	return f
}

// remove deletes a key by either way, and tells whether it was hidden.
func (f *fixture) remove(key string) (hidden bool) {
	f.t.Helper()
	h := f.hash(key)
	p, ok := f.tab.Lookup(h, []byte(key))
	if !ok {
		f.t.Fatalf("key %q is missing", key)
	}
	if f.tab.Remove(h, p) == nil {
		return false
	}
	f.tab.Hide(p, false)
	return true
}

// shows compares all that the table tells of its keys with a model.
func (f *fixture) shows(want map[string]model, gone []string) {
	f.t.Helper()
	f.same(want)
	for _, k := range gone {
		if _, there := want[k]; !there && f.tab.Has([]byte(k)) {
			f.t.Fatalf("key %q is there", k)
		}
	}
	seen, expires := 0, int64(0)
	f.tab.Scan(0, math.MaxInt, func(e *Entry) {
		if _, ok := want[string(e.Key)]; !ok {
			f.t.Fatalf("key %q is scanned", e.Key)
		}
		seen++
		if e.ExpireAt != 0 {
			expires++
		}
	})
	if seen != len(want) || expires != f.tab.Expires() {
		f.t.Fatalf("%d of %d keys are scanned, %d expire, counted are %d", seen, len(want), expires, f.tab.Expires())
	}
	if len(want) > 0 {
		var e Entry
		f.tab.Random(rand.Uint64, &e)
		if _, ok := want[string(e.Key)]; !ok {
			f.t.Fatalf("key %q is a random one", e.Key)
		}
	}
}

// purgeAll ends the cut and frees what it has held back.
func (f *fixture) purgeAll() {
	f.guard.Mode = cut.None
	f.a.EndCut()
	for f.tab.Purge(100) <= 0 {
	}
	for f.guard.Drain(100) {
	}
}

// TestHide: what is deleted under a cut without memory is gone, for all but the cut; it may come back when
// there is memory, in segments that have grown and split meanwhile; and nothing of it is left in the end.
func TestHide(t *testing.T) {
	for i, c := range []struct {
		keys  int
		mode  cut.Mode
		clear bool
	}{{3000, cut.ForkedPathCopy, false}, {20000, cut.PathCopy, false}, {40, cut.PathCopy, true}} {
		f := smallFixture(t)
		rng := rand.New(rand.NewSource(int64(i)))
		n := c.keys
		want := map[string]model{}
		for i := range n {
			k := fmt.Sprint(i)
			m := model{string(make([]byte, rng.Intn(20)*rng.Intn(300))), int64(i%2) << 40}
			f.put(k, m.val, m.at)
			want[k] = m
		}
		old, root := maps.Clone(want), f.tab.Root()
		f.a.BeginCut()
		f.guard.Mode = c.mode
		for i := range n / 2000 { // some segments are copied already
			f.put(fmt.Sprint(i), "first", 0)
			want[fmt.Sprint(i)] = model{"first", 0}
		}
		release := f.fillUp()
		var gone []string
		hidden := 0
		for k := range old {
			if rng.Intn(3) > 0 {
				if f.remove(k) {
					hidden++
				}
				delete(want, k)
				gone = append(gone, k)
			}
		}
		if hidden == 0 {
			t.Fatalf("of %d none was hidden", n)
		}
		f.shows(want, gone)
		release()
		f.check()
		for i := range n { // some of them, and new ones
			k := fmt.Sprint(n/2 + i)
			f.put(k, "later", 1<<41)
			want[k] = model{"later", 1 << 41}
		}
		f.shows(want, gone)
		f.check()
		walkAll(f, Walk(f.a, root), old, "cut")
		if c.clear { // all of it goes at once
			f.tab.Clear()
			clear(want)
		}
		f.purgeAll()
		f.shows(want, gone)
		if f.guard.DeferredBytes != 0 || f.guard.Pending() {
			t.Errorf("%d bytes wait in the end", f.guard.DeferredBytes)
		}
		for k := range want {
			f.remove(k)
		}
		if b := f.tab.EntryBytes() + f.tab.IndexBytes(); b != 0 {
			t.Errorf("the empty table has %d bytes", b)
		}
		f.check()
	}
}

// TestHideTrees: the trees of a hidden entry are dropped once, and not if they live on elsewhere.
func TestHideTrees(t *testing.T) {
	f := smallFixture(t)
	dropped := map[string]int{}
	f.tab.OnDrop(func(_ uint8, head []byte) { dropped[string(head)]++ })
	for _, k := range []string{"dropped", "kept"} {
		if err := f.tab.Insert(f.hash(k), []byte(k), &Value{Kind: Kind(typeHash, 3), Data: []byte(k)}, f.now); err != nil {
			t.Fatal(err)
		}
	}
	f.a.BeginCut()
	f.guard.Mode = cut.PathCopy
	for _, k := range []string{"dropped", "kept"} {
		p, _ := f.tab.Lookup(f.hash(k), []byte(k))
		f.tab.Hide(p, k == "kept")
	}
	if f.tab.Root().Extended != 0 {
		t.Error("hidden entries count as extended ones")
	}
	f.purgeAll()
	if len(dropped) != 1 || dropped["dropped"] != 1 {
		t.Errorf("dropped: %v", dropped)
	}
	f.check()
}

// TestExpireHidden: the sweep deletes without memory too, and deletes nothing twice.
func TestExpireHidden(t *testing.T) {
	f := smallFixture(t)
	want := map[string]model{}
	for i := range 3000 {
		k, at := fmt.Sprint(i), int64(0)
		if i%3 > 0 {
			at = int64(i%3) * 1000
		} else {
			want[k] = model{"", 0}
		}
		if i%3 == 2 {
			want[k] = model{"", at}
		}
		f.put(k, "", at)
	}
	f.a.BeginCut()
	f.guard.Mode = cut.PathCopy
	release := f.fillUp()
	told, expired := 0, 0
	for range 20 {
		var sw Sweep
		for wrapped := false; !wrapped; {
			n, w, _ := f.tab.Expire(&sw, 1500, func(*Entry) { told++ })
			expired, wrapped = expired+n, w
		}
	}
	if told != 1000 || expired != 1000 || len(f.tab.hidden) == 0 {
		t.Errorf("%d keys expired, %d were told, %d are hidden", expired, told, len(f.tab.hidden))
	}
	f.shows(want, nil)
	release()
	f.check()
	f.purgeAll()
	f.shows(want, nil)
	f.check()
}

// TestShrinkWithoutMemory: what becomes smaller stays where it is when there is no memory, whatever blocks it has.
func TestShrinkWithoutMemory(t *testing.T) {
	f := smallFixture(t)
	want := map[string]model{}
	rng := rand.New(rand.NewSource(1))
	val := func(n int) string {
		b := make([]byte, n)
		rng.Read(b)
		return string(b)
	}
	for i := range 300 {
		k := fmt.Sprint(i)
		want[k] = model{val(1 + i*20), int64(i%2) << 40}
		f.put(k, want[k].val, want[k].at)
	}
	release := f.fillUp()
	for range 20 {
		for k, m := range want {
			n := len(m.val)
			if n -= rng.Intn(1 + n/4); len(m.val) > inlineMax && n <= inlineMax {
				n -= 20 // else key and value may need more than the block that the value had
			}
			want[k] = model{val(n), m.at}
			f.put(k, want[k].val, m.at)
		}
		f.shows(want, nil)
	}
	for k, m := range want { // without an expiry it is smaller too
		want[k] = model{m.val, 0}
		f.put(k, m.val, 0)
	}
	f.shows(want, nil)
	release()
	for k := range want {
		f.remove(k)
	}
	f.check()
}
