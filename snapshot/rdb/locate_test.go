package rdb

import (
	"math/rand/v2"
	"testing"
)

func TestLocateError(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		p := randomBytes(rng, 1+rng.IntN(3000))
		sum := UpdateCRC(0, p)
		at := rng.IntN(len(p))
		mask := [2]byte{byte(1 + rng.IntN(255))}
		p[at] ^= mask[0]
		if rng.IntN(2) == 0 && at+1 < len(p) {
			mask[1] = byte(rng.Uint32())
			p[at+1] ^= mask[1]
		}
		offset, got, ok := LocateError(sum^UpdateCRC(0, p), int64(len(p)))
		if !ok || offset != int64(at) || got != mask {
			t.Fatalf("%d bytes: %d %x %v, want %d %x", len(p), offset, got, ok, at, mask)
		}
		for range 5 {
			p[rng.IntN(len(p))] ^= byte(1 + rng.IntN(255))
		}
		if sum != UpdateCRC(0, p) && len(p) > 1000 {
			if at, got, ok := LocateError(sum^UpdateCRC(0, p), int64(len(p))); ok {
				p[at] ^= got[0]
				if at+1 < int64(len(p)) {
					p[at+1] ^= got[1]
				}
				if UpdateCRC(0, p) != sum {
					t.Fatalf("a place that is none: %d %x", at, got)
				}
			}
		}
	}
}
