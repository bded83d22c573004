package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"kvd/kv/packed"
)

// setModel is what a set must hold.
type setModel map[string]bool

// withSet runs fn with the set at key open.
func withSet(t testing.TB, s *Store, key string, fn func(set *Set)) {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	var set Set
	if err := tx.OpenSet(&set, 0, []byte(key)); err != nil {
		t.Fatal(err)
	}
	fn(&set)
}

// read returns the members of a set, and finds those that are visited twice.
func (m setModel) read(t testing.TB, set *Set) {
	t.Helper()
	set.Each(func(v *packed.Value) bool {
		text := string(v.Append(nil))
		if m[text] {
			t.Errorf("%q is there twice", text)
		}
		m[text] = true
		return true
	})
}

func compareSet(t testing.TB, s *Store, key string, want setModel) {
	t.Helper()
	withSet(t, s, key, func(set *Set) {
		got := setModel{}
		got.read(t, set)
		if !maps.Equal(got, want) {
			t.Fatalf("%s: %d members, want %d", key, len(got), len(want))
		}
		if set.Len() != int64(len(want)) || set.Exists() != (len(want) > 0) {
			t.Fatalf("%s: Len %d, exists %v, want %d", key, set.Len(), set.Exists(), len(want))
		}
		for m := range want {
			if !set.Has([]byte(m)) {
				t.Fatalf("%s: %q is not found", key, m)
			}
		}
		for rank := range set.Len() {
			v := set.At(rank)
			if !want[string(v.Append(nil))] {
				t.Fatalf("%s: At(%d) is %q", key, rank, v.Append(nil))
			}
		}
	})
}

func randomMembers(r *rand.Rand, ints bool) (list [][]byte) {
	for range 1 + r.IntN(1+r.IntN(40)) {
		n := r.IntN(600) - 100
		if !ints || r.IntN(200) == 0 {
			list = append(list, fmt.Appendf(nil, "m%0*d", r.IntN(12), n))
			continue
		}
		list = append(list, strconv.AppendInt(nil, int64(n)<<(16*r.IntN(3)), 10))
	}
	return list
}

// TestSetModel runs random changes of a few sets beside maps, also while a cut is live, with
// limits that are met all the time.
func TestSetModel(t *testing.T) {
	for _, lim := range []Limits{DefaultLimits(), {SetIntset: 20, SetEntries: 15, SetValue: 10}, {SetIntset: 5, SetEntries: 60, SetValue: 64}, {}} {
		s := openStore(t, Options{Shards: 2})
		s.SetLimits(lim)
		r := rand.New(rand.NewPCG(1, uint64(lim.SetEntries)))
		models := map[string]setModel{"a": {}, "b": {}, "ints": {}}
		var view *View
		for i := range 3000 {
			if i%300 == 100 {
				if view != nil {
					view.Close()
				}
				view, _ = s.Freeze(FreezeOptions{Mode: ModeThread})
			}
			key := []string{"a", "b", "ints"}[r.IntN(3)]
			stepSet(t, s, key, models[key], r)
			if i%20 == 0 {
				compareSet(t, s, key, models[key])
			}
		}
		if view != nil {
			view.Close()
		}
		for key, m := range models {
			compareSet(t, s, key, m)
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

func stepSet(t *testing.T, s *Store, key string, m setModel, r *rand.Rand) {
	members := randomMembers(r, key == "ints")
	before, changed := s.Changes(), int64(0)
	withSet(t, s, key, func(set *Set) {
		switch op := r.IntN(20); {
		case op < 9:
			for _, e := range members {
				if !m[string(e)] {
					m[string(e)] = true
					changed++
				}
			}
			if n, err := set.Add(members); err != nil || n != changed {
				t.Fatalf("Add: %d, %v, want %d", n, err, changed)
			}
		case op < 17:
			for _, e := range members {
				if m[string(e)] {
					delete(m, string(e))
					changed++
				}
			}
			if n, err := set.Remove(members); err != nil || n != changed {
				t.Fatalf("Remove: %d, %v, want %d", n, err, changed)
			}
		case op < 19:
			count := r.Int64N(set.Len() + 2)
			changed = min(count, set.Len())
			popped := int64(0)
			if err := set.Pop(count, func(v *packed.Value) {
				text := string(v.Append(nil))
				if !m[text] {
					t.Errorf("Pop returned %q", text)
				}
				delete(m, text)
				popped++
			}); err != nil || popped != changed {
				t.Fatalf("Pop: %d, %v, want %d", popped, err, changed)
			}
		default:
			var all Members
			for _, e := range members {
				all.Add(e)
			}
			changed = 1
			if err := set.c.tx.StoreSet(0, []byte(key), &all); err != nil {
				t.Fatal(err)
			}
			clear(m)
			for i := range all.Len() {
				m[string(all.At(i))] = true
			}
		}
	})
	if n := s.Changes() - before; n != changed {
		t.Fatalf("%d changes, want %d", n, changed)
	}
}

// TestSetEncodings follows a set from one encoding to the next.
func TestSetEncodings(t *testing.T) {
	s := openStore(t, Options{})
	s.SetLimits(Limits{SetIntset: 4, SetEntries: 6, SetValue: 8})
	encoding := func(key string) (name string) {
		it, _ := s.peek(0, key)
		return []string{"listpack", "tree", "intset"}[it.Encoding&3]
	}
	for _, step := range []struct{ key, member, want string }{
		{"a", "1", "intset"}, {"a", "2", "intset"}, {"a", "x", "listpack"}, {"a", "3", "listpack"}, {"a", "4", "listpack"}, {"a", "5", "listpack"},
		{"a", "6", "tree"},
		{"b", "1", "intset"}, {"b", "2", "intset"}, {"b", "3", "intset"}, {"b", "4", "intset"}, {"b", "5", "listpack"}, {"b", "6", "listpack"}, {"b", "7", "tree"},
		{"c", "longer than 8", "tree"}, {"d", "x", "listpack"}, {"d", "longer than 8", "tree"},
		{"e", "123456789", "intset"}, {"e", "x", "tree"}, // as text the number is longer than 8
	} {
		withSet(t, s, step.key, func(set *Set) {
			if n, err := set.Add([][]byte{[]byte(step.member)}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		})
		if got := encoding(step.key); got != step.want {
			t.Errorf("%s with %s: %s, want %s", step.key, step.member, got, step.want)
		}
	}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestSetRandom compares how often each member is picked with what chance allows.
func TestSetRandom(t *testing.T) {
	const size, picks = 400, 60_000
	s := openStore(t, Options{})
	for _, entries := range []int64{1000, 0} {
		s.SetLimits(Limits{SetEntries: entries, SetValue: 64})
		key := fmt.Sprint("set", entries)
		withSet(t, s, key, func(set *Set) {
			for i := range size {
				if _, err := set.Add([][]byte{fmt.Appendf(nil, "member %d", i)}); err != nil {
					t.Fatal(err)
				}
			}
			spread := func(what string, times int, pick func(count func(v *packed.Value))) {
				seen := map[string]int{}
				for range times {
					pick(func(v *packed.Value) { seen[string(v.Append(nil))]++ })
				}
				total, chi := 0, 0.0
				for _, n := range seen {
					total += n
				}
				expect := float64(total) / size
				for i := range size {
					d := float64(seen[fmt.Sprintf("member %d", i)]) - expect
					chi += d * d / expect
				}
				if chi > size+6*30 { // the deviation of chi² is sqrt(2*size), about 28
					t.Errorf("%s: chi² of %.0f with %d members", what, chi, size)
				}
			}
			spread("Random", picks, func(count func(v *packed.Value)) {
				v := set.Random()
				count(&v)
			})
			for _, n := range []int64{10, 150, 390} {
				spread(fmt.Sprint("Sample of ", n), picks/int(n), func(count func(v *packed.Value)) { set.Sample(n, count) })
			}
		})
	}
}

// TestSetScan: what is in a set during a whole scan is visited once, whatever comes and goes.
func TestSetScan(t *testing.T) {
	s := openStore(t, Options{})
	s.SetLimits(Limits{SetIntset: 10, SetEntries: 10, SetValue: 64})
	stay := setModel{}
	for i := range 3000 {
		stay[fmt.Sprint("stays ", i)] = true
	}
	withSet(t, s, "k", func(set *Set) {
		for m := range stay {
			if _, err := set.Add([][]byte{[]byte(m)}); err != nil {
				t.Fatal(err)
			}
		}
	})
	seen, calls := map[string]int{}, 0
	for cursor := uint64(0); ; calls++ {
		withSet(t, s, "k", func(set *Set) {
			got := 0
			cursor = set.Scan(cursor, 10, func(v *packed.Value) {
				seen[string(v.Append(nil))]++
				got++
			})
			if cursor != 0 && got < 10 || got > 12 {
				t.Errorf("%d members in one call", got)
			}
			if cursor >= 1<<33 {
				t.Errorf("cursor %d", cursor)
			}
			come := [][]byte{fmt.Appendf(nil, "comes %d", calls), fmt.Appendf(nil, "comes %d", calls+1)}
			if calls%2 == 0 {
				_, _ = set.Add(come)
			} else {
				_, _ = set.Remove(come)
			}
		})
		if cursor == 0 {
			break
		}
	}
	for m := range stay {
		if seen[m] != 1 {
			t.Fatalf("%q was visited %d times", m, seen[m])
		}
	}
	withSet(t, s, "k", func(set *Set) {
		if set.Scan(1<<40, 1, func(*packed.Value) { t.Error("a member behind the last cursor") }) != 0 {
			t.Error("a cursor that cannot be does not end the scan")
		}
	})
}

// TestSetNoMemory: after an error a set has what it had and some of what was to be added, or
// not some of what was to be removed.
func TestSetNoMemory(t *testing.T) {
	for _, mode := range []Mode{0, ModeThread} {
		s := openStore(t, Options{Reserve: 1 << 30, Shards: 2, Databases: 1})
		s.SetLimits(Limits{SetIntset: 50, SetEntries: 40, SetValue: 20})
		r := rand.New(rand.NewPCG(7, uint64(mode)))
		keys := []string{"a", "b", "c", "ints"}
		models := map[string]setModel{}
		for _, k := range keys {
			models[k] = setModel{}
			for range 30 {
				stepSet(t, s, k, models[k], r)
			}
		}
		var view *View
		if mode != 0 {
			view, _ = s.Freeze(FreezeOptions{Mode: mode})
		}
		h := takeAll(s)
		failed := 0
		for i := range 2000 {
			if i%100 == 99 {
				h.takeRest(h.heaps[0])
				h.spare(r.IntN(2))
			}
			key := keys[r.IntN(len(keys))]
			members := randomMembers(r, key == "ints")
			withSet(t, s, key, func(set *Set) {
				var err error
				if r.IntN(2) == 0 {
					_, err = set.Add(members)
				} else {
					_, err = set.Remove(members)
				}
				if err != nil {
					failed++
				}
			})
			withSet(t, s, key, func(set *Set) {
				now := setModel{}
				now.read(t, set)
				touched := func(m string) bool {
					return slices.ContainsFunc(members, func(e []byte) bool { return string(e) == m })
				}
				for m := range now {
					if !models[key][m] && !touched(m) {
						t.Fatalf("%s: %q has come", key, m)
					}
				}
				for m := range models[key] {
					if !now[m] && !touched(m) {
						t.Fatalf("%s: %q is gone", key, m)
					}
				}
				models[key] = now
			})
		}
		if failed == 0 {
			t.Error("nothing failed")
		}
		h.drop()
		if view != nil {
			view.Close()
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMembers compares Members with a map.
func TestMembers(t *testing.T) {
	var m Members
	r := rand.New(rand.NewPCG(3, 3))
	for round := range 20 {
		model := map[string]bool{}
		for range r.IntN(3000) {
			text := strconv.Itoa(r.IntN(1000))
			if m.Add([]byte(text)) == model[text] {
				t.Fatalf("round %d: Add(%s) is wrong", round, text)
			}
			model[text] = true
			if other := strconv.Itoa(r.IntN(1000)); m.Has([]byte(other)) != model[other] {
				t.Fatalf("round %d: Has(%s) is wrong", round, other)
			}
		}
		if m.Len() != len(model) {
			t.Fatalf("%d members, want %d", m.Len(), len(model))
		}
		for i := range m.Len() {
			if !model[string(m.At(i))] {
				t.Fatalf("At(%d) is %q", i, m.At(i))
			}
		}
		m.Reset()
	}
}

// TestBigSets stores and loads sets whose members are brought into order first.
func TestBigSets(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 2, Databases: 1})
	r := rand.New(rand.NewPCG(5, 5))
	tx := s.NewTx()
	lock := func(fn func() error) error {
		tx.LockAll()
		defer tx.Unlock()
		return fn()
	}
	want, all, flat := setModel{}, Members{}, []byte(nil)
	for range 5000 {
		m := fmt.Appendf(nil, "%0*d", r.IntN(40), r.IntN(1_000_000))
		if all.Add(m) {
			want[string(m)] = true
			flat = append(append(flat, byte(len(m))), m...)
		}
	}
	for range 2 { // the second time it replaces the first
		if err := lock(func() error { return tx.StoreSet(0, []byte("stored"), &all) }); err != nil {
			t.Fatal(err)
		}
	}
	compareSet(t, s, "stored", want)
	load := func(value []byte, more bool) error {
		return lock(func() error {
			return tx.Load(&Record{Key: []byte("loaded"), Type: TypeSet, Enc: EncFlat, Value: value, Append: more}, false)
		})
	}
	half := 0
	for half < len(flat)/2 {
		half += 1 + int(flat[half])
	}
	if err := load(flat[:half], false); err != nil {
		t.Fatal(err)
	}
	if err := load(flat[half:], true); err != nil {
		t.Fatal(err)
	}
	compareSet(t, s, "loaded", want)
	if err := load(flat[:len(flat)-1], true); err == nil {
		t.Error("a damaged record is loaded")
	}
	before := s.Changes()
	if err := lock(func() error { return tx.StoreSet(0, []byte("stored"), new(Members)) }); err != nil || s.Changes() != before+1 {
		t.Errorf("storing nothing: %v, %d changes", err, s.Changes()-before)
	}
	compareSet(t, s, "stored", setModel{})
	h := takeAll(s)
	if err := lock(func() error { return tx.StoreSet(0, []byte("full"), &all) }); err != ErrNoMemory {
		t.Errorf("without memory: %v", err)
	}
	compareSet(t, s, "full", setModel{})
	h.drop()
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}
