package kv

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestZsetView changes sets of all sizes during a cut, which goes on to show them as they were.
func TestZsetView(t *testing.T) {
	for _, mode := range []Mode{ModeThread, ModeCopy} {
		s := openStore(t, Options{Shards: 2, Databases: 1})
		r := rand.New(rand.NewPCG(uint64(mode), 9))
		models, was := map[string]zsetModel{}, map[string][]ZsetElement{}
		for _, n := range []int{5, 128, 300, 20_000} {
			key, m := strconv.Itoa(n), zsetModel{}
			for i := range n {
				m["member "+strconv.Itoa(i)] = float64(r.IntN(1000))
			}
			rec := Record{Key: []byte(key), Type: TypeZset, Enc: EncFlat, Value: flatZset(m.list())}
			if _, err := s.NewLoader().Add([]Record{rec}, false); err != nil {
				t.Fatal(err)
			}
			models[key], was[key] = m, m.list()
		}
		v, err := s.Freeze(FreezeOptions{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			for key, m := range models {
				withZset(t, s, key, func(z *Zset) { zsetStep(t, r, z, m) })
			}
		}
		var e Entry
		seen := 0
		for i := range v.Shards() {
			for w := v.Walk(i); w.Next(&e); seen++ {
				want := was[string(e.Key)]
				it, n := e.Elements(), 0
				for el := (Element{}); it.Next(&el); n++ {
					if n >= len(want) || string(el.Member.Append(nil)) != string(want[n].Member) || el.Score != want[n].Score {
						t.Fatalf("mode %d: %s: element %d is %q %v", mode, e.Key, n, el.Member.Append(nil), el.Score)
					}
				}
				if n != len(want) || e.Len() != int64(n) {
					t.Fatalf("mode %d: %s has %d elements, Len %d, want %d", mode, e.Key, n, e.Len(), len(want))
				}
			}
		}
		if seen != len(was) {
			t.Errorf("mode %d: %d keys", mode, seen)
		}
		v.Close()
		for key, m := range models {
			withZset(t, s, key, func(z *Zset) { compareZset(t, z, m) })
		}
	}
}
