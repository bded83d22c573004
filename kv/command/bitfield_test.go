package command

import (
	"os"
	"strconv"
	"testing"
)

// bitfieldFuzzer makes BITFIELD commands of arguments at the edges of what is allowed.
type bitfieldFuzzer struct{ *fuzzer }

// kind returns a type; some are none.
func (f *bitfieldFuzzer) kind() string {
	switch f.IntN(16) {
	case 0:
		return f.pick("u0", "i0", "u64", "i65", "u65", "i-1", "u-8", "U8", "I8", "8", "u", "i", "", "u08", "u+8", "u 8", "u8 ", "x8", "ui8", "#8",
			"u8\x00", "i8\x00x", "u18446744073709551624", "i9223372036854775807", "\x00u8")
	case 1, 2, 3:
		return f.pick("u1", "i1", "u2", "i2", "u7", "u8", "i8", "u9", "i31", "u31", "i32", "u32", "i33", "u33", "i62", "u62", "i63", "u63", "i64")
	}
	sign := f.pick("u", "i")
	return sign + strconv.Itoa(1+f.IntN(map[string]int{"u": 63, "i": 64}[sign]))
}

// place returns an offset; the last bit of the largest string has 2^32-1.
func (f *bitfieldFuzzer) place(far bool) string {
	switch f.IntN(24) {
	case 0:
		return f.pick("4294967296", "4294967297", "#4294967296", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
			"#9223372036854775807", "#-9223372036854775808", "#144115188075855872", "#288230376151711744", "-1", "#-1", "#", "", "x", "#x", "##1", "1#", "01", "#01", "+1",
			" 1", "1 ", "1.0", "-0", "#-0", "1\x00", "#1\x00", "#\x00", "1e3", "0x10")
	case 1:
		if far { // what only reads may lie anywhere
			return f.pick("4294967295", "4294967294", "4294967232", "4294967233", "#67108863", "#68174083", "#536870911", "#4294967295", "2147483648", "2147483647")
		}
	case 2, 3, 4:
		return "#" + strconv.Itoa(f.IntN(12))
	}
	return strconv.Itoa(f.IntN(200))
}

// number returns what to set or to add: any signed 64-bit integer, or none.
func (f *bitfieldFuzzer) number() string {
	switch f.IntN(8) {
	case 0:
		return f.int()
	case 1: // beside a power of two
		n := int64(1)<<f.IntN(64) + int64(f.IntN(3)-1)
		if f.IntN(2) == 0 {
			n = -n
		}
		return strconv.FormatInt(n, 10)
	case 2:
		return f.pick("4294967289", "4294967295", "4294967296", "-4294967289", "18446744073709551615", "-9223372036854775807", "9223372036854775806", "255", "256", "-256", "-0")
	case 3:
		return strconv.FormatInt(int64(f.Uint64())>>f.IntN(64), 10)
	}
	return strconv.Itoa(f.IntN(600) - 300)
}

func (f *bitfieldFuzzer) operation(far bool) []string {
	switch f.IntN(10) {
	case 0, 1:
		return []string{"OVERFLOW", f.pick("WRAP", "SAT", "FAIL", "wrap", "sAt", "fail", "FAIL", "SAT", f.pick("FOO", "", "WRAP\x00x", "SATURATE"))}
	case 2, 3:
		return []string{f.pick("GET", "get"), f.kind(), f.place(true)}
	case 4, 5, 6:
		return []string{"SET", f.kind(), f.place(far), f.number()}
	case 7:
		if f.IntN(10) == 0 {
			return f.pickList([]string{"GET"}, []string{"GET", "u8"}, []string{"SET", "u8", "0"}, []string{"INCRBY", "u8", "0"}, []string{"OVERFLOW"}, []string{"FOO", "1"}, []string{""})
		}
	}
	return []string{"INCRBY", f.kind(), f.place(far), f.number()}
}

func (f *bitfieldFuzzer) command() []string {
	switch f.IntN(30) {
	case 0:
		return []string{"DEL", f.key()}
	case 1:
		return []string{"SET", f.key(), f.value()}
	case 2:
		return f.pickList([]string{"RPUSH", "list", "1"}, []string{"DEL", "list"}, []string{"INCR", "n"}, []string{"APPEND", "k1", "x"})
	}
	name := f.pick("BITFIELD", "BITFIELD", "BITFIELD", "BITFIELD", "BITFIELD_RO")
	args := []string{name, f.pick("k0", "k1", "k2", "k3", "k4", "n", "list", "nokey")}
	far := name == "BITFIELD_RO" // a write there would make half a gigabyte
	for range f.IntN(5) {
		if far && f.IntN(5) > 0 {
			args = append(args, "GET", f.kind(), f.place(far))
			continue
		}
		args = append(args, f.operation(far)...)
	}
	return args
}

// TestFuzzBitfield sends random BITFIELD commands to both servers and compares what they make of the strings.
func TestFuzzBitfield(t *testing.T) {
	f := &bitfieldFuzzer{&fuzzer{Rand: newRand(fuzzSeed(t))}}
	p := newPair(t)
	changes := p.redisChanges(t)
	for i := range fuzzCount(50_000) {
		if i%1000 == 0 {
			p.both("HELLO", strconv.Itoa(2+i/1000%2))
		}
		args := f.command()
		p.same(args...)
		if len(args) > 1 && args[1] != "list" {
			p.same("GET", args[1])
		}
		if t.Failed() {
			t.Fatalf("command %d: %q", i, args)
		}
	}
	if ours, theirs := p.world.e.Store.Changes(), p.redisChanges(t)-changes; ours != theirs {
		t.Errorf("changes: kvd %d, redis %d", ours, theirs)
	}
	exchangeDumps(t, p)
}

// TestBitfieldValues sets and adds every edge of a type to every type, at places that cross bytes in all ways.
func TestBitfieldValues(t *testing.T) {
	p := newPair(t)
	numbers := []string{"0", "1", "-1", "4294967289", "-4294967289"}
	for bits := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			n := int64(1)<<bits + d
			numbers = append(numbers, strconv.FormatInt(n, 10), strconv.FormatInt(-n, 10))
		}
	}
	kinds := []string{"u1", "i1", "u4", "i5", "u8", "i8", "u31", "i32", "u32", "u33", "i63", "u62", "u63", "i64"}
	for i, kind := range kinds {
		for j, number := range numbers {
			at := strconv.Itoa((i + 3*j) % 17)
			for _, mode := range []string{"WRAP", "SAT", "FAIL"} {
				p.same("BITFIELD", "k", "OVERFLOW", mode, "SET", kind, at, number, "INCRBY", kind, at, number, "GET", kind, at, "INCRBY", kind, "#1", number)
			}
		}
		p.same("GET", "k")
	}
}

// TestBitfieldEnd reads and writes at the last places that a string may have, and behind them. What makes
// a string of half a gigabyte on either side is for KVD_LONG=1.
func TestBitfieldEnd(t *testing.T) {
	p := newPair(t)
	lines := [][]string{
		{"GET", "u8", "4294967288", "GET", "i64", "4294967295", "GET", "u63", "#68174084", "GET", "u63", "#68174085"},
		{"SET", "u8", "4294967296", "1"}, {"SET", "u8", "#536870912", "1"}, {"INCRBY", "u1", "-1", "1"},
	}
	if os.Getenv("KVD_LONG") == "1" {
		lines = append(lines, [][]string{
			{"SET", "u8", "4294967288", "255"}, {"GET", "u16", "4294967280", "GET", "i64", "4294967295"},
			{"OVERFLOW", "SAT", "INCRBY", "i8", "#536870911", "-127", "GET", "u8", "#536870911"},
		}...)
	}
	for _, args := range lines {
		p.same(append([]string{"BITFIELD", "k"}, args...)...)
		p.same("STRLEN", "k")
	}
	// Redis looks at the first bit of a field alone, and makes strings that are up to 8 bytes longer than it allows.
	for _, args := range [][]string{{"SET", "u8", "4294967292", "255"}, {"GET", "u8", "0", "INCRBY", "i64", "4294967295", "-2"}} {
		if reply := p.ours(append([]string{"BITFIELD", "k"}, args...)...); reply != "-"+errStringTooLong+"\r\n" {
			t.Errorf("%q: %q", args, reply)
		}
		p.same("STRLEN", "k")
	}
	p.same("DEL", "k")
}
