package rdb

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// lzfInputs are texts of all kinds, from 0 to 300,000 bytes.
func lzfInputs() map[string][]byte {
	rng := rand.New(rand.NewPCG(5, 6))
	in := map[string][]byte{
		"empty": {}, "one": []byte("x"), "twenty": []byte("abcdefghijklmnopqrst"),
		"random":   randomBytes(rng, 300_000),
		"zeroes":   make([]byte, 300_000),
		"json":     sampleJSON(rng, 100_000),
		"far":      append(append(randomBytes(rng, lzfMaxOff), make([]byte, 40)...), randomBytes(rng, 50)...),
		"alphabet": []byte(strings.Repeat("abcdefghijklmnopqrstuvwxyz", 40)),
	}
	for _, period := range []int{1, 2, 3, 5, 7, 8, 9, 31, 264, 8191, 8192, 8193} {
		in[fmt.Sprint("period ", period)] = bytes.Repeat(randomBytes(rng, period), 20_000/period+3)
	}
	return in
}

// sampleJSON is text as it is found in values: words, numbers, repeated names.
func sampleJSON(rng *rand.Rand, n int) []byte {
	words := strings.Fields("session user product alpha beta gamma delta red green blue shipped pending " +
		"street avenue north south 2024 active true false null description the of and with")
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"id":%d,"user":"%s-%d","state":"%s","tags":["%s","%s"],"score":%d.%02d},`,
			rng.Uint32(), words[rng.IntN(len(words))], rng.IntN(5000), words[rng.IntN(len(words))],
			words[rng.IntN(len(words))], words[rng.IntN(len(words))], rng.IntN(1000), rng.IntN(100))
	}
	return b[:n]
}

func TestLZFRoundTrip(t *testing.T) {
	table := new(LZFTable)
	for name, src := range lzfInputs() {
		dst := make([]byte, len(src)+len(src)/32+4)
		n := CompressLZF(dst, src, table)
		if n == 0 && len(src) > 0 {
			t.Fatalf("%s: does not fit a large buffer", name)
		}
		out := make([]byte, len(src))
		if err := DecompressLZF(out, dst[:n]); err != nil || !bytes.Equal(out, src) {
			t.Fatalf("%s: %d bytes do not come back: %v", name, len(src), err)
		}
		if len(src) > 0 && !plausibleLZF(uint64(n), uint64(len(src))) {
			t.Fatalf("%s: %d bytes from %d are called implausible", name, len(src), n)
		}
		// A destination of exactly the size must do too, up to what the last check may waste.
		if m := CompressLZF(dst[:n+1], src, table); m != n && n > 0 {
			t.Fatalf("%s: %d bytes at first, %d into a buffer of %d", name, n, m, n+1)
		}
	}
}

// TestLZFProperty runs short inputs with few different bytes, where matches overlap and end at the edge.
func TestLZFProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	table := new(LZFTable)
	for range 50_000 {
		src := make([]byte, rng.IntN(400))
		letters := 1 + rng.IntN(5)
		for i := range src {
			src[i] = byte('a' + rng.IntN(letters))
		}
		dst := make([]byte, rng.IntN(len(src)+20))
		guard := bytes.Repeat([]byte{0xee}, 16)
		room := append(append([]byte{}, dst...), guard...)
		n := CompressLZF(room[:len(dst)], src, table)
		if !bytes.Equal(room[len(dst):], guard) {
			t.Fatalf("%q: written behind the buffer of %d", src, len(dst))
		}
		if n == 0 {
			continue
		}
		out := append(make([]byte, len(src)), guard...)
		if err := DecompressLZF(out[:len(src)], room[:n]); err != nil || !bytes.Equal(out[:len(src)], src) {
			t.Fatalf("%q does not come back: %v", src, err)
		}
		if !bytes.Equal(out[len(src):], guard) {
			t.Fatalf("%q: written behind the output", src)
		}
		if DecompressLZF(make([]byte, len(src)+1), room[:n]) == nil {
			t.Fatalf("%q: a wrong length is accepted", src)
		}
	}
}

// TestLZFTableWrap starts inputs right before the table's 32-bit positions run out.
func TestLZFTableWrap(t *testing.T) {
	table := new(LZFTable)
	rng := rand.New(rand.NewPCG(9, 10))
	for i := range 200 {
		if i%10 == 0 {
			*table = LZFTable{base: 1<<32 - 1 - uint32(i*1000)}
		}
		src := sampleJSON(rng, 2000)
		dst := make([]byte, len(src))
		n := CompressLZF(dst, src, table)
		out := make([]byte, len(src))
		if err := DecompressLZF(out, dst[:n]); n == 0 || err != nil || !bytes.Equal(out, src) {
			t.Fatalf("input %d, base %d: %d bytes, %v", i, table.base, n, err)
		}
	}
}

func TestLZFDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		src string
		n   int
	}{
		"literals cut":       {"\x04abc", 5},
		"more than expected": {"\x04abcde", 4},
		"less than expected": {"\x04abcde", 6},
		"before the start":   {"\x00a\x20\x01", 4},
		"length cut":         {"\x00a\xe0", 10},
		"offset cut":         {"\x00a\xe0\x01", 11},
		"short offset cut":   {"\x00a\x20", 4},
		"reference too long": {"\x00a\xe0\xff\x00", 12},
		"nothing":            {"", 1},
	} {
		if err := DecompressLZF(make([]byte, c.n), []byte(c.src)); err != ErrLZF {
			t.Errorf("%s: %v", name, err)
		}
	}
	out := make([]byte, 4)
	if err := DecompressLZF(out, []byte("\x00a\x20\x00")); err != nil || string(out) != "aaaa" {
		t.Fatalf("%q, %v", out, err)
	}
}

// TestLZFMixed: noise makes the search skip, and what compresses behind it must be found all the same.
func TestLZFMixed(t *testing.T) {
	rng := testRand()
	table := new(LZFTable)
	for _, size := range []int{2 << 10, 8 << 10, 64 << 10, 1 << 20} {
		for name, text := range map[string][]byte{"json": sampleJSON(rng, size), "zeroes": make([]byte, size)} {
			dst := make([]byte, 2*size)
			alone := CompressLZF(dst, text, table)
			src := append(randomBytes(rng, size), text...)
			n := CompressLZF(dst[:len(src)-4], src, table)
			// All of the noise, and little more for the text than alone.
			if limit := size + size/32 + alone + size/10 + 32; n == 0 || n > limit {
				t.Errorf("%d bytes of noise and as many of %s: %d bytes, want at most %d", size, name, n, limit)
			}
		}
	}
}
