//go:build linux

package load

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestValues(t *testing.T) {
	for _, kind := range []ValueKind{Random, Text} {
		for _, n := range []int{0, 1, 7, 8, 9, 300, 5000} {
			v, r := newValues(kind, n, 1), rand.New(rand.NewPCG(1, 1))
			head := fmt.Appendf(nil, "$%d\r\n", n)
			seen := map[string]bool{}
			var all []byte
			for range 2000 {
				b := v.appendBulk(nil, r)
				value, ok := bytes.CutPrefix(b, head)
				if !ok || len(value) != n+2 || !bytes.HasSuffix(value, []byte("\r\n")) {
					t.Fatalf("%v, %d bytes: %.100q", kind, n, b)
				}
				value = value[:n]
				if seen[string(value)] && n >= stampLen {
					t.Fatalf("%v, %d bytes: a value came twice", kind, n)
				}
				seen[string(value)] = true
				if len(all) < 200_000 {
					all = append(all, value...)
				}
			}
			if n < 300 {
				continue
			}
			var packed bytes.Buffer
			w, err := flate.NewWriter(&packed, flate.BestCompression)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = w.Write(all)
			_ = w.Close()
			ratio := float64(packed.Len()) / float64(len(all))
			if kind == Random && ratio < 0.97 || kind == Text && (ratio > 0.66 || ratio < 0.05) {
				t.Errorf("%v, %d bytes: compressed to %.2f", kind, n, ratio)
			}
		}
	}
	a, b := newValues(Random, 100, 1), newValues(Random, 100, 2)
	if bytes.Equal(a.pool, b.pool) || a.stamp == b.stamp {
		t.Error("two seeds make the same values")
	}
}
