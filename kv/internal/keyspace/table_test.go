package keyspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

type fixture struct {
	t     testing.TB
	a     *arena.Arena
	guard *cut.Guard
	h     Hasher
	tab   *Table
	now   uint32
}

func newFixture(t testing.TB) *fixture {
	a, err := arena.New(16 << 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	f := &fixture{t: t, a: a, guard: &cut.Guard{}, h: NewHasher(4), now: 1000}
	f.tab = NewTable(a, f.h, f.guard)
	return f
}

func (f *fixture) hash(key string) uint64 { return f.h.Hash([]byte(key)) }

// The fixture plays one shard of four: keys of other shards are left out.
func (f *fixture) ours(key string) bool { return f.h.Shard(f.h.Hash([]byte(key))) == 1 }

func (f *fixture) put(key, val string, at int64) {
	h := f.hash(key)
	v := &Value{Kind: Kind(1, 0), Data: []byte(val), ExpireAt: at}
	var err error
	if p, ok := f.tab.Lookup(h, []byte(key)); ok {
		err = f.tab.Replace(h, p, v, f.now)
	} else {
		err = f.tab.Insert(h, []byte(key), v, f.now)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) del(key string) bool {
	h := f.hash(key)
	p, ok := f.tab.Lookup(h, []byte(key))
	if ok {
		if err := f.tab.Remove(h, p); err != nil {
			f.t.Fatal(err)
		}
	}
	return ok
}

func (f *fixture) check() {
	f.t.Helper()
	if err := f.tab.Check(); err != nil {
		f.t.Fatal(err)
	}
	heaps := append(f.tab.Heaps(), f.guard.Heaps()...)
	if err := f.a.Check(heaps); err != nil {
		f.t.Fatal(err)
	}
}

type model struct {
	val string
	at  int64
}

func (f *fixture) same(want map[string]model) {
	f.t.Helper()
	if f.tab.Len() != int64(len(want)) {
		f.t.Fatalf("table has %d keys, want %d", f.tab.Len(), len(want))
	}
	var e Entry
	for k, m := range want {
		p, ok := f.tab.Lookup(f.hash(k), []byte(k))
		if !ok {
			f.t.Fatalf("key %q is missing", k)
		}
		f.tab.Read(p, &e)
		if string(e.Value) != m.val || e.ExpireAt != m.at || string(e.Key) != k {
			f.t.Fatalf("key %q has %q expiring %d, want %q %d", k, e.Value, e.ExpireAt, m.val, m.at)
		}
	}
}

func walkAll(f *fixture, w Walker, want map[string]model, what string) {
	f.t.Helper()
	var e Entry
	seen := map[string]bool{}
	for w.Next(&e) {
		m, ok := want[string(e.Key)]
		if !ok || seen[string(e.Key)] || string(e.Value) != m.val || e.ExpireAt != m.at {
			f.t.Fatalf("%s: %q = %q expiring %d, want %q %d (known %v, seen %v)", what, e.Key, e.Value, e.ExpireAt, m.val, m.at, ok, seen[string(e.Key)])
		}
		seen[string(e.Key)] = true
	}
	if len(seen) != len(want) {
		f.t.Fatalf("%s: walked %d keys, want %d", what, len(seen), len(want))
	}
}

// TestModel drives a table with random operations, cuts of every mode, growth,
// splits, shrinking and clears against a Go map; the walk over a cut's root must
// show the map as of the cut at any later time.
func TestModel(t *testing.T) {
	for seed := range int64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed, 40000) })
	}
}

func runModel(t *testing.T, seed int64, steps int) {
	f := newFixture(t)
	rng := rand.New(rand.NewSource(seed))
	want := map[string]model{}
	var frozen map[string]model
	var root Root
	var copier *Copier
	space := []int{50, 3000, 20000}[seed%3]
	endCut := func() {
		walkAll(f, Walk(f.a, root), frozen, "cut")
		f.guard.Mode = cut.None
		for f.guard.Drain(100) {
		}
		if f.guard.DeferredBytes != 0 {
			t.Fatalf("%d bytes are still deferred", f.guard.DeferredBytes)
		}
		f.a.EndCut()
		frozen = nil
		for rng.Intn(4) != 0 && f.tab.Gather(1+rng.Intn(1000)) {
		}
	}
	for step := range steps {
		key := fmt.Sprintf("key:%d", rng.Intn(space))
		if !f.ours(key) {
			continue
		}
		phase := step / (steps / 8) % 2 // grow, then shrink
		switch op := rng.Intn(100); {
		case op < 50-30*phase:
			n := rng.Intn(100)
			if rng.Intn(50) == 0 {
				n = rng.Intn(6000)
			}
			m := model{val: string(bytes.Repeat([]byte{byte(step)}, n))}
			if rng.Intn(3) == 0 {
				m.at = int64(1 + rng.Intn(100000))
			}
			f.put(key, m.val, m.at)
			want[key] = m
		case op < 60:
			m, ok := want[key]
			p, found := f.tab.Lookup(f.hash(key), []byte(key))
			if ok != found {
				t.Fatalf("key %q: found %v, want %v", key, found, ok)
			}
			if ok {
				m.at = int64(rng.Intn(3) * rng.Intn(1000))
				if err := f.tab.SetExpiry(f.hash(key), p, m.at, f.now); err != nil {
					t.Fatal(err)
				}
				want[key] = m
			}
		case op < 70:
			if m, ok := want[key]; ok {
				p, _ := f.tab.Lookup(f.hash(key), []byte(key))
				size := len(m.val) + rng.Intn(30)
				b, err := f.tab.Extend(f.hash(key), p, Kind(1, 0), size, f.now)
				if err != nil {
					t.Fatal(err)
				}
				grown := append([]byte(m.val), make([]byte, size-len(m.val))...)
				if !bytes.Equal(b, grown) {
					t.Fatalf("extended value of %q is %q, want %q", key, b, grown)
				}
				if size > 0 {
					b[size-1], grown[size-1] = 'x', 'x'
				}
				m.val = string(grown)
				want[key] = m
			}
		case op < 98:
			_, ok := want[key]
			if f.del(key) != ok {
				t.Fatalf("deleting %q: want %v", key, ok)
			}
			delete(want, key)
		case op == 98 && rng.Intn(40) == 0 && frozen != nil:
			f.tab.Clear()
			want = map[string]model{}
		case op == 99 && rng.Intn(8) == 0:
			f.now += uint32(rng.Intn(300))
			if frozen != nil {
				endCut()
				break
			}
			frozen = map[string]model{}
			for k, m := range want {
				frozen[k] = m
			}
			if rng.Intn(4) == 0 { // the textbook way
				copier = NewCopier(f.a)
				r, err := copier.Copy(f.tab)
				if err != nil {
					t.Fatal(err)
				}
				walkAll(f, Walk(f.a, r), frozen, "copy")
				copier.Free()
			}
			f.a.BeginCut()
			// Beside a forked child that is path-copied for, nothing that the cut can
			// reach is written either.
			f.guard.Mode = []cut.Mode{cut.PathCopy, cut.ForkedPathCopy}[rng.Intn(2)]
			root = f.tab.Root()
		}
		if step%(steps/20) == 0 {
			f.same(want)
			f.check()
			if frozen != nil {
				walkAll(f, Walk(f.a, root), frozen, "cut, half-way")
			}
		}
	}
	if frozen != nil {
		endCut()
	}
	f.same(want)
	f.check()
	// A table that lost its last keys under a cut gives the rest back at its next deletion.
	for i := 0; ; i++ {
		if k := fmt.Sprintf("key:%d", i); f.ours(k) {
			f.put(k, "", 0)
			want[k] = model{}
			break
		}
	}
	for k := range want {
		f.del(k)
	}
	f.check()
	if n := f.tab.EntryBytes() + f.tab.IndexBytes(); n != 0 {
		t.Errorf("an empty table has %d bytes", n)
	}
}

// TestScanSurvivesChanges: keys present throughout are returned exactly once,
// whatever is inserted, deleted, split and merged between the calls.
func TestExpire(t *testing.T) {
	f := newFixture(t)
	want := map[string]model{}
	for i := range 8000 {
		if k := fmt.Sprint(i); f.ours(k) {
			at := int64(i % 4 * 1000)
			f.put(k, "v", at)
			want[k] = model{"v", at}
		}
	}
	for _, now := range []int64{500, 1000, 2500, 9000} {
		n := 0
		for k, m := range want {
			if m.at != 0 && m.at <= now {
				delete(want, k)
				n++
			}
		}
		var sw Sweep
		for wrapped := false; !wrapped; {
			k, w, err := f.tab.Expire(&sw, now, func(*Entry) {})
			if err != nil {
				t.Fatal(err)
			}
			n -= k
			wrapped = w
		}
		if n != 0 {
			t.Errorf("at %d: %d expired keys were not deleted", now, n)
		}
		f.same(want)
		f.check()
	}
}

func TestClocks(t *testing.T) {
	f := newFixture(t)
	keys := map[string]uint32{} // last use
	for i := range 2000 {
		if k := fmt.Sprint(i); f.ours(k) {
			f.put(k, "v", 0)
			keys[k] = f.now
		}
	}
	rng := rand.New(rand.NewSource(1))
	for range 3000 {
		f.now += uint32(rng.Intn(20))
		for k := range keys {
			p, _ := f.tab.Lookup(f.hash(k), []byte(k))
			f.tab.Touch(p, f.now)
			keys[k] = f.now
			break
		}
	}
	var sum, wantSum float64
	for k, used := range keys {
		p, _ := f.tab.Lookup(f.hash(k), []byte(k))
		got, want := f.tab.Idle(p, f.now), f.now-used
		if want < 100 && got != want && got+1 != want && got != want+1 {
			t.Errorf("key %q: idle for %d s, want %d", k, got, want)
		}
		sum += float64(got)
		wantSum += float64(want)
	}
	if sum < wantSum*0.85 || sum > wantSum*1.15 {
		t.Errorf("idle times add up to %.0f, want about %.0f", sum, wantSum)
	}
}

// TestClocksAfterMerges: a merge brings two segments to one base, which must not
// lie in the future: keys used from then on would look used later than they were.
func TestClocksAfterMerges(t *testing.T) {
	f := newFixture(t)
	const n, stay = 4000, 40
	for i := range n {
		f.put(fmt.Sprint(i), "v", 0)
	}
	for i := stay; i < n; i++ {
		f.del(fmt.Sprint(i))
	}
	if f.tab.depth > 1 {
		t.Fatalf("depth %d: nothing was merged", f.tab.depth)
	}
	f.now += 10
	for i := range stay {
		p, _ := f.tab.Lookup(f.hash(fmt.Sprint(i)), fmt.Append(nil, i))
		f.tab.Touch(p, f.now)
		if got := f.tab.Idle(p, f.now+60); got != 60 {
			t.Fatalf("key %d: idle for %d s, want 60", i, got)
		}
	}
}

func TestReserveSplitsNothing(t *testing.T) {
	f := newFixture(t)
	const n = 100000
	if err := f.tab.Reserve(n/4, f.now); err != nil {
		t.Fatal(err)
	}
	depth := f.tab.depth
	for i := range n {
		if k := fmt.Sprint(i); f.ours(k) {
			f.put(k, "v", 0)
		}
	}
	f.check()
	if f.tab.depth != depth {
		t.Errorf("the directory grew from depth %d to %d", depth, f.tab.depth)
	}
}

// TestBytesPerKey reports the index' cost while the table grows.
func TestBytesPerKey(t *testing.T) {
	f := newFixture(t)
	n := 0
	var key [11]byte
	val := make([]byte, 64)
	worst, sum, samples := 0.0, 0.0, 0.0
	for i := uint64(0); n < 150000; i++ {
		binary.BigEndian.PutUint64(key[:], i)
		h := f.h.Hash(key[:])
		if f.h.Shard(h) != 1 {
			continue
		}
		if err := f.tab.Insert(h, key[:], &Value{Kind: 1, Data: val}, f.now); err != nil {
			t.Fatal(err)
		}
		if n++; n > 30000 && n%1000 == 0 {
			b := float64(f.tab.EntryBytes()+f.tab.IndexBytes()) / float64(n)
			worst = max(worst, b)
			sum += b
			samples++
		}
	}
	t.Logf("bytes per key (11 + 64): mean %.1f, worst %.1f", sum/samples, worst)
	if sum/samples > 92 || worst > 95 {
		t.Errorf("bytes per key: mean %.1f, worst %.1f", sum/samples, worst)
	}
}
