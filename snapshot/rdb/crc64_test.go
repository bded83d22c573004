package rdb

import (
	"math/rand/v2"
	"os"
	"testing"
)

func testRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// crcBitwise is the definition, a bit at a time.
func crcBitwise(crc uint64, p []byte) uint64 {
	for _, c := range p {
		crc ^= uint64(c)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ crcPoly
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

func TestCRC(t *testing.T) {
	if got := UpdateCRC(0, []byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Fatalf("check value %016x", got)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		p := randomBytes(rng, n)
		want := crcBitwise(0, p)
		cut := rng.IntN(n + 1)
		a, b := p[:cut], p[cut:]
		if got := UpdateCRC(UpdateCRC(0, a), b); got != want {
			t.Fatalf("%d bytes cut at %d: %016x, want %016x", n, cut, got, want)
		}
		if got := CombineCRC(UpdateCRC(0, a), UpdateCRC(0, b), int64(len(b))); got != want {
			t.Fatalf("combined, %d bytes cut at %d: %016x, want %016x", n, cut, got, want)
		}
	}
}

func TestCombineCRCLong(t *testing.T) {
	a, b := randomBytes(rand.New(rand.NewPCG(3, 4)), 1<<20), make([]byte, 3<<20+7)
	want := UpdateCRC(UpdateCRC(0, a), b)
	if got := CombineCRC(UpdateCRC(0, a), UpdateCRC(0, b), int64(len(b))); got != want {
		t.Fatalf("%016x, want %016x", got, want)
	}
	// Zeroes change a CRC that is not zero, so that a combination over terabytes can be checked by parts.
	x := CombineCRC(want, 0, 1<<41)
	y := CombineCRC(CombineCRC(want, 0, 1<<40), 0, 1<<40)
	if x != y || x == want {
		t.Fatalf("2^41 zero bytes: %016x at once, %016x in two steps", x, y)
	}
}

// TestCRCFold compares the multiplication with the tables: all short lengths, at odd offsets, and long ones.
func TestCRCFold(t *testing.T) {
	if !foldable {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal("this processor has no carry-less multiplication, and that is to be tested")
		}
		t.Skip("no carry-less multiplication")
	}
	rng := testRand()
	p := randomBytes(rng, 1<<20)
	check := func(from, n int) {
		crc := rng.Uint64()
		if got, want := UpdateCRC(crc, p[from:from+n]), updateCRC(crc, p[from:from+n]); got != want {
			t.Fatalf("%d bytes at %d, from %016x: %016x, want %016x", n, from, crc, got, want)
		}
	}
	for n := range 1025 {
		for range 4 {
			check(rng.IntN(4096), n)
		}
	}
	for range 100 {
		from := rng.IntN(len(p))
		check(from, rng.IntN(len(p)-from+1))
	}
}
