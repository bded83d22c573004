package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// zsetModel is what a sorted set must hold.
type zsetModel map[string]float64

// list returns the elements in order.
func (m zsetModel) list() []ZsetElement {
	list := make([]ZsetElement, 0, len(m))
	for name, score := range m {
		list = append(list, ZsetElement{[]byte(name), score})
	}
	SortZset(list)
	return list
}

// withZset runs fn with the sorted set at key open.
func withZset(t testing.TB, s *Store, key string, fn func(z *Zset)) {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	var z Zset
	if err := tx.OpenZset(&z, 0, []byte(key)); err != nil {
		t.Fatal(err)
	}
	fn(&z)
}

// compareZset compares all that can be read, and the two trees with each other.
func compareZset(t testing.TB, z *Zset, m zsetModel) {
	t.Helper()
	want := m.list()
	if z.Len() != int64(len(want)) || z.Exists() != (len(want) > 0) {
		t.Fatalf("Len %d, exists %v, want %d", z.Len(), z.Exists(), len(want))
	}
	var e ZsetElement
	c := z.At(0)
	for i, w := range want {
		if !c.Next(&e) || string(e.Member) != string(w.Member) || e.Score != w.Score {
			t.Fatalf("element %d is %q %v, want %q %v", i, e.Member, e.Score, w.Member, w.Score)
		}
		rank, score, ok := z.Rank(w.Member)
		if !ok || rank != int64(i) || score != w.Score || math.Signbit(score) != math.Signbit(e.Score) {
			t.Fatalf("Rank(%q) = %d, %v, %v, want %d", w.Member, rank, score, ok, i)
		}
	}
	if c.Next(&e) {
		t.Fatal("elements behind the last")
	}
	for i := len(want) - 1; i >= 0; i-- {
		if !c.Prev(&e) || string(e.Member) != string(want[i].Member) {
			t.Fatalf("backwards: element %d is %q", i, e.Member)
		}
	}
	if c.Prev(&e) {
		t.Fatal("elements in front of the first")
	}
	if !z.c.isTree() {
		return
	}
	for i := range 2 {
		if _, err := z.c.tree(i).Check(); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := z.c.tree(byMember).Count, z.c.tree(byScore).Count; a != b {
		t.Fatalf("the trees have %d and %d records", a, b)
	}
}

// zsetStep makes a random change to the set and to the model, or finds that it had no memory.
func zsetStep(t testing.TB, r *rand.Rand, z *Zset, m zsetModel) (failed bool) {
	t.Helper()
	name := "member " + strconv.Itoa(r.IntN(400))
	if r.IntN(3) == 0 {
		name = strconv.Itoa(r.IntN(200))
	}
	var changes int64
	var err error
	apply := func() {}
	switch r.IntN(12) {
	default:
		score := float64(r.IntN(20)) - 5
		if r.IntN(4) == 0 {
			score = r.NormFloat64()
		}
		how := []ZaddFlags{0, 0, 0, ZaddNX, ZaddXX, ZaddGT, ZaddLT, ZaddIncr}[r.IntN(8)]
		cur, there := m[name]
		want := score
		if how == ZaddIncr && there {
			want = cur + score
		}
		set := !(how == ZaddNX && there || how == ZaddXX && !there || there && (how == ZaddGT && score <= cur || how == ZaddLT && score >= cur))
		var res ZaddResult
		var got float64
		if got, res, err = z.Add([]byte(name), score, how); err != nil {
			break
		}
		if (res != ZaddNone) != set || set && got != want || (res == ZaddAdded) != (set && !there) {
			t.Fatalf("Add(%q, %v, %d) = %v, %d; was %v, %v", name, score, how, got, res, cur, there)
		}
		if set {
			apply = func() { m[name] = want }
			changes = 1
		}
	case 0, 1:
		var removed bool
		if removed, err = z.Remove([]byte(name)); err != nil {
			break
		}
		if _, there := m[name]; removed != there {
			t.Fatalf("Remove(%q) = %v", name, removed)
		}
		apply = func() { delete(m, name) }
		changes = 1
	case 2:
		if r.IntN(20) > 0 || len(m) == 0 {
			break
		}
		from := r.IntN(len(m))
		n := r.IntN(len(m)-from) / (1 + r.IntN(4))
		list := m.list()
		was := z.Len()
		err = z.RemoveRange(int64(from), int64(n))
		n = int(was - z.Len())
		apply = func() {
			for _, e := range list[from : from+n] {
				delete(m, string(e.Member))
			}
		}
		changes = int64(n)
	}
	if err != nil && z.c.isTree() {
		for i := range 2 {
			if _, e := z.c.tree(i).Check(); e != nil {
				t.Fatalf("tree %d after %v: %v", i, err, e)
			}
		}
	}
	if e := z.Save(changes); e != nil {
		return true
	}
	apply()
	return err != nil
}

func TestZsetAgainstModel(t *testing.T) {
	for _, limit := range []int64{128, 8, 0} {
		s := openStore(t, Options{Shards: 4, Databases: 1})
		l := *s.Limits()
		l.ZsetEntries = limit
		s.SetLimits(l)
		r := rand.New(rand.NewPCG(uint64(limit), 5))
		m := zsetModel{}
		for i := range 10_000 {
			withZset(t, s, "k", func(z *Zset) {
				if zsetStep(t, r, z, m) {
					t.Fatal("no memory")
				}
				if i%500 == 0 {
					compareZset(t, z, m)
				}
			})
		}
		withZset(t, s, "k", func(z *Zset) {
			compareZset(t, z, m)
			compareRanges(t, r, z, m)
			if z.RemoveRange(0, z.Len()) != nil || z.Save(1) != nil || z.Exists() {
				t.Error("the set is still there")
			}
		})
	}
}

// compareRanges compares random ranges of scores.
func compareRanges(t *testing.T, r *rand.Rand, z *Zset, m zsetModel) {
	t.Helper()
	list := m.list()
	for range 2000 {
		a, b := math.Round(r.Float64()*30-8), math.Round(r.Float64()*30-8)
		q := ScoreRange{Min: a, Max: b, MinEx: r.IntN(2) == 0, MaxEx: r.IntN(2) == 0}
		from, to := z.ScoreRange(&q)
		in := func(e ZsetElement) bool { return !q.below(e.Score) && !q.above(e.Score) }
		first := slices.IndexFunc(list, in)
		n := 0
		for _, e := range list {
			if in(e) {
				n++
			}
		}
		if n == 0 && to > from || n > 0 && (from != int64(first) || to != from+int64(n)) {
			t.Fatalf("%+v: %d to %d, want %d from %d on", q, from, to, n, first)
		}
	}
}

// TestZsetNoMemory has changes fail half-way, with and without a cut: what an error reports is undone.
func TestZsetNoMemory(t *testing.T) {
	total := 0
	for _, mode := range []Mode{ModeThread, ModeFork, 0} {
		s := openStore(t, Options{Reserve: 1 << 30, Shards: 1, Databases: 1})
		r := rand.New(rand.NewPCG(uint64(mode), 6))
		models := []zsetModel{{}, {}, {}}
		for i, m := range models {
			for range 500 * i * i {
				withZset(t, s, fmt.Sprint(i), func(z *Zset) { zsetStep(t, r, z, m) })
			}
		}
		var v *View
		if mode != 0 {
			var err error
			if v, err = s.Freeze(FreezeOptions{Mode: mode}); err != nil {
				t.Fatal(err)
			}
		}
		for i, m := range models { // the entries are copied for the cut: later changes are about elements
			for range 20 {
				withZset(t, s, fmt.Sprint(i), func(z *Zset) { zsetStep(t, r, z, m) })
			}
		}
		h := takeAll(s)
		failed := 0
		for step := range 2_000 {
			if step%100 == 0 {
				h.takeRest(h.heaps[0])
				h.spare(r.IntN(2))
			}
			i := r.IntN(len(models))
			withZset(t, s, fmt.Sprint(i), func(z *Zset) {
				if zsetStep(t, r, z, models[i]) {
					failed++
				}
			})
			if step%200 == 0 {
				withZset(t, s, fmt.Sprint(i), func(z *Zset) { compareZset(t, z, models[i]) })
			}
		}
		for i, m := range models {
			withZset(t, s, fmt.Sprint(i), func(z *Zset) { compareZset(t, z, m) })
		}
		total += failed
		h.drop()
		if v != nil {
			v.Close()
		}
	}
	if total == 0 {
		t.Error("no change failed")
	}
	t.Logf("%d changes failed", total)
}

// TestZsetRemoveRange removes many elements at once and few, of a set that has a heap of its own.
func TestZsetRemoveRange(t *testing.T) {
	s := openStore(t, Options{Shards: 1, Databases: 1})
	m := zsetModel{}
	var list []ZsetElement
	for i := range 20_000 {
		m[strconv.Itoa(i)] = float64(i % 777)
	}
	list = m.list()
	rec := Record{Key: []byte("k"), Type: TypeZset, Enc: EncFlat, Value: flatZset(list)}
	if _, err := s.NewLoader().Add([]Record{rec}, false); err != nil {
		t.Fatal(err)
	}
	for _, cut := range [][2]int{{100, 5000}, {0, 3}, {3000, 1001}, {0, 2000}, {1000, 10}} {
		from, n := cut[0], cut[1]
		withZset(t, s, "k", func(z *Zset) {
			if err := z.RemoveRange(int64(from), int64(n)); err != nil {
				t.Fatal(err)
			}
			if err := z.Save(int64(n)); err != nil {
				t.Fatal(err)
			}
			for _, e := range list[from : from+n] {
				delete(m, string(e.Member))
			}
			list = slices.Delete(list, from, from+n)
			compareZset(t, z, m)
		})
	}
}

// flatZset encodes elements as EncFlat.
func flatZset(list []ZsetElement) (b []byte) {
	for _, e := range list {
		b = append(binary.AppendUvarint(b, uint64(len(e.Member))), e.Member...)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.Score))
	}
	return b
}

// TestZsetLoad loads sets in pieces in several orders.
func TestZsetLoad(t *testing.T) {
	for _, n := range []int{1, 100, 128, 129, 5000} {
		m := zsetModel{}
		r := rand.New(rand.NewPCG(uint64(n), 7))
		for i := range n {
			m["member"+strconv.Itoa(i)] = float64(r.IntN(50)) / 4
		}
		for _, order := range []string{"ascending", "descending", "random"} {
			for _, piece := range []int{50, 1000, 10_000} {
				list := m.list()
				switch order {
				case "descending":
					slices.Reverse(list)
				case "random":
					r.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
				}
				s := openStore(t, Options{Shards: 2, Databases: 1})
				l := s.NewLoader()
				for i := 0; i < n; i += piece {
					rec := Record{Key: []byte("k"), Type: TypeZset, Enc: EncFlat, Append: i > 0, Value: flatZset(list[i:min(i+piece, n)])}
					if _, err := l.Add([]Record{rec}, false); err != nil {
						t.Fatal(err)
					}
				}
				withZset(t, s, "k", func(z *Zset) {
					compareZset(t, z, m)
					if z.c.isTree() != (n > 128) {
						t.Errorf("%d members: trees: %v", n, z.c.isTree())
					}
				})
			}
		}
	}
}

func TestZsetLoadDamaged(t *testing.T) {
	s := openStore(t, Options{Shards: 1, Databases: 1})
	twice := []ZsetElement{{[]byte("a"), 1}, {[]byte("a"), 2}}
	var many []ZsetElement
	for i := range 300 {
		many = append(many, ZsetElement{[]byte(strconv.Itoa(i)), 0})
	}
	flat := flatZset(twice[:1])
	for i, value := range [][]byte{
		flatZset(twice), flatZset(append(many, ZsetElement{[]byte("7"), 9})), flatZset([]ZsetElement{{[]byte("a"), math.NaN()}}),
		flat[:len(flat)-1], flat[:1], {0xFF}, bytes.Repeat([]byte{0xFF}, 20),
	} {
		_, err := s.NewLoader().Add([]Record{{Key: []byte("k"), Type: TypeZset, Enc: EncFlat, Value: value}}, false)
		if err == nil {
			t.Errorf("value %d was taken", i)
		}
		withZset(t, s, "k", func(z *Zset) {
			if z.Exists() {
				t.Errorf("value %d left a key", i)
			}
		})
	}
}

// BenchmarkZsetLoad loads 1M elements in pieces of 1 MiB and says what an element takes.
func BenchmarkZsetLoad(b *testing.B) {
	const n = 1_000_000
	m := make([]ZsetElement, n)
	r := rand.New(rand.NewPCG(1, 8))
	for i := range m {
		m[i] = ZsetElement{fmt.Appendf(nil, "member:%08d", i), r.Float64()}
	}
	for _, order := range []string{"random", "ascending", "descending"} {
		switch order {
		case "ascending":
			SortZset(m)
		case "descending":
			slices.Reverse(m)
		}
		b.Run(order, func(b *testing.B) {
			for range b.N {
				s := openStore(b, Options{Shards: 1, Databases: 1})
				l := s.NewLoader()
				const piece = 1 << 20 / 24
				for i := 0; i < n; i += piece {
					rec := Record{Key: []byte("k"), Type: TypeZset, Enc: EncFlat, Append: i > 0, Value: flatZset(m[i:min(i+piece, n)])}
					if _, err := l.Add([]Record{rec}, false); err != nil {
						b.Fatal(err)
					}
				}
				withZset(b, s, "k", func(z *Zset) {
					b.ReportMetric(float64(z.c.tree(0).Bytes)/n, "names-B/elem")
					b.ReportMetric(float64(z.c.tree(1).Bytes)/n, "scores-B/elem")
				})
			}
		})
	}
}
