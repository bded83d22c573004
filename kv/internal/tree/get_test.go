package tree

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkGet(b *testing.B) {
	n := benchSize()
	t := Open(benchSpace(b), Shape{true, -1}, Root{})
	var buf []byte
	for i := range n {
		buf = scattered(buf, i)
		if _, err := t.Put(buf, tenBytes, false); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([]byte, 0, 14<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1 << 20 {
		keys = append(keys, scattered(buf, rng.IntN(n))...)
	}
	i := 0
	for b.Loop() {
		k := keys[i*14 : i*14+14]
		i = (i + 1) & (1<<20 - 1)
		t.Get(k)
	}
	b.Logf("height %d", t.Height)
}
