package command

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"kvd/kv"
)

// groupFuzzer is a fuzzer for strings that may be long.
type groupFuzzer struct {
	fuzzer
	ahead int64 // changes that redis-server has counted more than kvd
}

// fuzzGroup sends random commands to both servers, 50,000 of them or 1,000,000 with
// KVD_LONG=1, and compares the replies, then the data.
func fuzzGroup(t *testing.T, keys int, next func(f *groupFuzzer, p *pair) []string) {
	t.Helper()
	n := fuzzCount(50_000)
	seed := fuzzSeed(t)
	f, p := &groupFuzzer{fuzzer: fuzzer{Rand: newRand(seed)}}, newPair(t)
	p.same("RPUSH", "list", "a")
	f.ahead = p.redisChanges(t) - p.world.e.Store.Changes()
	for i := range n {
		if args := next(f, p); args != nil {
			p.same(args...)
		}
		if t.Failed() {
			t.Fatalf("command %d of seed %d", i, seed)
		}
	}
	for i := range keys {
		p.same("OBJECT", "ENCODING", "k"+strconv.Itoa(i))
		p.same("GET", "k"+strconv.Itoa(i))
	}
	if ours, theirs := p.world.e.Store.Changes(), p.redisChanges(t)-f.ahead; ours != theirs {
		t.Errorf("changes: kvd %d, redis %d", ours, theirs)
	}
	if ours, theirs := p.stat(t), p.redisStat(t); ours != theirs {
		t.Errorf("hits and misses: kvd %v, redis %v", ours, theirs)
	}
	exchangeDumps(t, p)
}

// edgeKey is a key of few; now and then one of another type.
func (f *groupFuzzer) edgeKey(n int) string {
	if f.IntN(50) == 0 {
		return "list"
	}
	return "k" + strconv.Itoa(f.IntN(n))
}

// edge is a number of bytes near those at which strings are laid out otherwise.
func (f *groupFuzzer) edge() int {
	switch f.IntN(4) {
	case 0:
		return f.IntN(60)
	case 1:
		return f.IntN(80_000)
	}
	return max(kv.ChunkSize*f.IntN(6)+f.IntN(7)-3, 0)
}

// bytes is a string of n bytes.
func (f *groupFuzzer) bytes(n int) string {
	switch f.IntN(4) {
	case 0:
		return strings.Repeat("\x00", n)
	case 1:
		return strings.Repeat("\xff", n)
	}
	b := make([]byte, n)
	for i := 0; i < n; i += 1 + f.IntN(40) {
		b[i] = byte(f.Uint32())
	}
	return string(b)
}

// offset is an index into a string, of either sign.
func (f *groupFuzzer) offset() string {
	if f.IntN(30) == 0 {
		return f.int()
	}
	n := f.edge()
	if f.IntN(3) == 0 {
		n = -n
	}
	return strconv.Itoa(n)
}

// maxFuzzed is about how long strings get, in bytes.
const maxFuzzed = 100_000

func TestFuzzLongStrings(t *testing.T) {
	const keys = 4
	fuzzGroup(t, keys, func(f *groupFuzzer, p *pair) []string {
		k := f.edgeKey(keys)
		switch f.IntN(34) {
		case 0:
			return []string{"SET", k, f.bytes(f.edge())}
		case 1:
			return []string{"SET", k, f.bytes(f.edge()), f.pick("NX", "XX", "KEEPTTL", "GET")}
		case 2, 3, 4:
			return []string{"APPEND", k, f.bytes(f.edge())}
		case 5, 6:
			return []string{"APPEND", k, f.value()}
		case 7, 8, 9:
			return []string{"SETRANGE", k, strconv.Itoa(f.edge()), f.value()}
		case 10, 11:
			return []string{"SETRANGE", k, strconv.Itoa(f.edge()), f.bytes(f.edge())}
		case 12, 13, 14, 15, 16, 17:
			return []string{f.pick("GETRANGE", "SUBSTR"), k, f.offset(), f.offset()}
		case 18, 19, 20:
			if n, _ := strconv.Atoi(strings.Trim(p.same("STRLEN", k), ":\r\n")); n > maxFuzzed {
				return []string{"DEL", k}
			}
			return nil
		case 21:
			return []string{f.pick("GET", "GETEX"), k}
		case 22:
			return []string{"MGET", k, f.edgeKey(keys)}
		case 23:
			return []string{"GETSET", k, f.bytes(f.edge())}
		case 24:
			return []string{f.pick("INCR", "DECR"), k}
		case 25:
			return []string{"INCRBYFLOAT", k, "1.5"}
		case 26:
			return []string{"COPY", k, f.edgeKey(keys), "REPLACE"}
		case 27:
			return []string{"RENAME", k, "k" + strconv.Itoa(f.IntN(keys))}
		case 28, 29:
			return []string{"OBJECT", "ENCODING", k}
		case 30:
			return []string{f.pick("EXPIRE", "EXPIRE", "EXPIRE", "EXPIREAT"), k, "100000000"}
		case 31:
			return []string{"PERSIST", k}
		case 32:
			return []string{"MSET", k, f.bytes(f.edge()), "k" + strconv.Itoa(f.IntN(keys)), f.value()}
		}
		if k == "list" || f.IntN(4) > 0 {
			return nil
		}
		return []string{f.pick("DEL", "UNLINK", "GETDEL"), k}
	})
}

// bit is a place of a bit.
func (f *groupFuzzer) bit() string {
	switch f.IntN(40) {
	case 0:
		return f.int()
	case 1:
		return f.pick("4294967295", "4294967296", "-1", "x", "#1")
	}
	return strconv.Itoa(8*f.edge() + f.IntN(8))
}

func (f *groupFuzzer) width() string {
	if f.IntN(40) == 0 {
		return f.pick("u64", "u0", "i65", "x8", "i", "", "u-1", "I8", "u08")
	}
	if f.IntN(2) == 0 {
		return "u" + strconv.Itoa(1+f.IntN(63))
	}
	return "i" + strconv.Itoa(1+f.IntN(64))
}

func (f *groupFuzzer) bitfieldArgs(readOnly bool) (args []string) {
	at := f.bit
	if f.IntN(3) == 0 {
		at = func() string { return "#" + strconv.Itoa(f.IntN(2000)) }
	}
	amount := func() string {
		switch f.IntN(4) {
		case 0:
			return strconv.FormatInt(int64(f.Uint64()), 10)
		case 1:
			return f.int()
		}
		return strconv.FormatInt(int64(f.Uint64())>>f.IntN(64), 10)
	}
	for range f.IntN(4) {
		switch n := f.IntN(8); {
		case n < 3 || readOnly && f.IntN(30) > 0:
			args = append(args, f.pick("GET", "get"), f.width(), at())
		case n < 5:
			args = append(args, "SET", f.width(), at(), amount())
		case n < 7:
			args = append(args, "INCRBY", f.width(), at(), amount())
		default:
			args = append(args, "OVERFLOW", f.pick("WRAP", "SAT", "FAIL", "sat", "BAD"))
		}
	}
	if f.IntN(40) == 0 {
		args = append(args, f.pick("GET", "OVERFLOW", "x", "SET"))
	}
	// A bit near the end would make both servers spend their time on half a gigabyte.
	for _, a := range args {
		if n, err := strconv.ParseInt(a, 10, 64); err == nil && len(a) > 8 && n > 0 && n < 1<<32+64 {
			return nil
		}
	}
	return args
}

func TestFuzzBitmaps(t *testing.T) {
	const keys = 4
	fuzzGroup(t, keys, func(f *groupFuzzer, p *pair) []string {
		k := f.edgeKey(keys)
		unit := func(args ...string) []string {
			for range 2 {
				if f.IntN(3) > 0 {
					args = append(args, f.offset())
				}
			}
			if f.IntN(2) == 0 {
				for i := 3; i < len(args); i++ {
					if n, err := strconv.Atoi(args[i]); err == nil {
						args[i] = strconv.Itoa(8*n + f.IntN(8))
					}
				}
				args = append(args, f.pick("BIT", "bit", "BIT", "BYTE", "x"))
			}
			return args
		}
		switch f.IntN(30) {
		case 0, 1, 2, 3, 4:
			if at := f.bit(); !strings.HasPrefix(at, "42949") {
				return []string{"SETBIT", k, at, f.pick("0", "1", "1", "0", "1", "2", "x")}
			}
			return nil
		case 5, 6, 7:
			return []string{"GETBIT", k, f.bit()}
		case 8, 9, 10, 11:
			return unit("BITCOUNT", k)
		case 12, 13, 14, 15:
			return unit("BITPOS", k, f.pick("0", "1", "0", "1", "0", "1", "2", "x"))
		case 16, 17:
			args := []string{"BITOP", f.pick("AND", "OR", "XOR", "and", "foo"), "k" + strconv.Itoa(f.IntN(keys))}
			for range 1 + f.IntN(4) {
				args = append(args, f.edgeKey(keys+1))
			}
			return args
		case 18:
			return []string{"BITOP", "NOT", k, f.edgeKey(keys + 1)}
		case 19, 20, 21, 22:
			return append([]string{"BITFIELD", k}, f.bitfieldArgs(false)...)
		case 23:
			return append([]string{"BITFIELD_RO", k}, f.bitfieldArgs(true)...)
		case 24:
			return []string{"SET", k, f.bytes(f.edge())}
		case 25:
			return []string{"SET", k, f.value()}
		case 26, 27:
			return []string{"OBJECT", "ENCODING", k}
		case 28:
			return []string{"STRLEN", k}
		}
		if f.IntN(6) > 0 {
			return []string{"GETRANGE", k, f.offset(), f.offset()}
		}
		if k == "list" {
			return nil
		}
		return []string{f.pick("DEL", "GET"), k}
	})
}

func TestFuzzHyperLogLogs(t *testing.T) {
	const keys = 6
	var restore sync.Once
	fuzzGroup(t, keys, func(f *groupFuzzer, p *pair) []string {
		k := f.edgeKey(keys)
		elem := func() string { return "e" + strconv.Itoa(f.IntN(10+1<<f.IntN(17))) }
		switch f.IntN(40) {
		case 0:
			limit := f.pick("0", "50", "300", "3000", "3000", "16000")
			p.both("CONFIG", "SET", "hll-sparse-max-bytes", limit)
			restore.Do(func() { // other tests use the same redis-server
				p.t.Cleanup(func() { p.both("CONFIG", "SET", "hll-sparse-max-bytes", "3000") })
			})
			return nil
		case 1:
			return []string{"PFDEBUG", f.pick("DECODE", "ENCODING", "TODENSE", "decode", "FOO"), k}
		case 2:
			if f.IntN(30) == 0 {
				return []string{"PFDEBUG", "GETREG", k}
			}
			return []string{"OBJECT", "ENCODING", k}
		case 3:
			return []string{"GET", k}
		case 4, 5, 6:
			return []string{"PFCOUNT", k}
		case 7, 8:
			args := []string{"PFCOUNT", k}
			for range 1 + f.IntN(4) {
				args = append(args, f.edgeKey(keys+1))
			}
			return args
		case 9:
			args := []string{"PFMERGE", k}
			for range f.IntN(4) {
				args = append(args, f.edgeKey(keys+1))
			}
			return args
		case 10:
			if k == "list" || f.IntN(6) > 0 {
				return nil
			}
			return []string{"DEL", k}
		case 11:
			return []string{"EXPIRE", k, "100000000"}
		case 12:
			return []string{"SET", "k5", payload(p.same("GET", "k0"))} // "" if there is none
		case 13:
			f.damaged(p)
			return nil
		}
		args := []string{"PFADD", k}
		for range f.IntN(12) {
			args = append(args, elem())
		}
		return args
	})
}

// damaged tries a HyperLogLog that something has happened to. What Redis reads behind the
// end of one that ends within a run does not matter.
func (f *groupFuzzer) damaged(p *pair) {
	p.t.Helper()
	b := []byte(payload(p.same("GET", "k"+strconv.Itoa(f.IntN(5)))))
	if len(b) < hllHeader {
		return
	}
	switch f.IntN(4) {
	case 0:
		b = b[:f.IntN(len(b))]
	case 1:
		b = append(b, byte(f.Uint32()))
	case 2:
		b[f.IntN(min(len(b), 20))] ^= 1 << f.IntN(8)
	default:
		b[f.IntN(len(b))] = byte(f.Uint32())
	}
	for range 4 {
		p.both("SET", "damaged", string(b))
		args := []string{f.pick("PFCOUNT", "PFADD", "PFMERGE"), "damaged", "e" + strconv.Itoa(f.IntN(1000))}
		if f.IntN(4) == 0 {
			args = []string{"PFDEBUG", f.pick("TODENSE", "ENCODING"), "damaged"}
		} else if f.IntN(4) == 0 {
			args = args[:2]
		}
		ours, theirs := p.both(args...)
		if ours != theirs && strings.HasPrefix(ours, "-INVALIDOBJ") {
			f.ahead = p.redisChanges(p.t) - p.world.e.Store.Changes()
		} else if ours != theirs {
			p.t.Errorf("%q of %q\n kvd   %q\n redis %q", args, b, ours, theirs)
		}
		p.both("DEL", "damaged")
	}
}
