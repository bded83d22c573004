package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// typesFuzzer makes values of all types under few keys, and sends the generic commands to them.
type typesFuzzer struct {
	*setFuzzer
	id int
}

func (f *typesFuzzer) key() string {
	if f.IntN(50) == 0 {
		return f.pick("", "nokey", "a\r\nb")
	}
	return "k" + strconv.Itoa(f.IntN(14))
}

func (f *typesFuzzer) text() string {
	return f.pick(strconv.Itoa(f.IntN(200)-50), "e"+strconv.Itoa(f.IntN(100)), f.value())
}

func (f *typesFuzzer) texts(pairs bool) (list []string) {
	n := 1 + f.IntN(4)
	if f.IntN(6) == 0 {
		n = 20 + f.IntN(30) // beyond the small limits
	}
	for range n {
		if list = append(list, f.text()); pairs {
			list = append(list, f.text())
		}
	}
	return list
}

// write returns a command that makes or changes a value of some type.
func (f *typesFuzzer) write(k string) []string {
	join := func(name string, more ...string) []string { return append([]string{name, k}, more...) }
	switch f.IntN(20) {
	case 0, 1:
		return join("SET", f.value())
	case 2:
		return join("SET", strings.Repeat("long ", f.IntN(16000)))
	case 3:
		return join("SETRANGE", f.pick("0", "10", "70000"), f.value())
	case 4, 5:
		return join("HSET", f.texts(true)...)
	case 6:
		return join("HDEL", f.texts(false)...)
	case 7, 8:
		return join(f.pick("RPUSH", "LPUSH"), f.texts(false)...)
	case 9:
		return join(f.pick("LPOP", "RPOP"), f.pick("1", "20", "100"))
	case 10, 11:
		return join("SADD", f.texts(false)...)
	case 12:
		return join("SREM", f.texts(false)...)
	case 13, 14, 15:
		args := join("ZADD")
		for _, m := range f.texts(false) {
			args = append(args, f.pick(strconv.Itoa(f.IntN(30)), "1.5", "-0", "inf", "3e5"), m)
		}
		return args
	case 16:
		return join("ZREM", f.texts(false)...)
	case 17, 18:
		f.id++
		return join("XADD", append([]string{strconv.Itoa(f.id) + "-1"}, f.texts(true)...)...)
	}
	return join("XDEL", strconv.Itoa(f.IntN(f.id+1))+"-1")
}

func (f *typesFuzzer) command() []string {
	k := f.key()
	join := func(name string, more ...string) []string { return append([]string{name, k}, more...) }
	switch f.IntN(34) {
	case 0, 1, 2:
		return join(f.pick("TYPE", "TYPE", "EXISTS", "TOUCH", "TTL"))
	case 3, 4:
		return []string{"OBJECT", f.pick("ENCODING", "ENCODING", "REFCOUNT", "FREQ"), k}
	case 5, 6, 7:
		return join("COPY", append([]string{f.key()}, f.some([]string{"REPLACE"}, []string{"REPLACE"}, []string{"DB", f.pick("0", "1", "2")})...)...)
	case 8, 9:
		return join(f.pick("RENAME", "RENAMENX"), f.key())
	case 10:
		return join("MOVE", f.pick("0", "1", "2"))
	case 11:
		return join(f.pick("DEL", "UNLINK"), f.key())
	case 12:
		return join("EXPIRE", f.pick("100000", "100000", "100000", "0", "-1"))
	case 13:
		return join(f.pick("PERSIST", "GET", "STRLEN", "INCR"))
	case 14:
		return []string{"SELECT", f.pick("0", "0", "1", "2")}
	case 15:
		return []string{"SCAN", "TYPE", f.pick("string", "list", "set", "zset", "hash", "stream", "HASH", "none", "x")}
	case 16:
		return join(f.pick("SORT", "SORT_RO"), append([]string{"ALPHA"}, f.some([]string{"DESC"}, []string{"LIMIT", "1", "5"})...)...)
	case 17:
		return join("MEMORY")
	case 18:
		if f.IntN(20) == 0 {
			return []string{f.pick("FLUSHDB", "FLUSHALL"), f.pick("ASYNC", "SYNC", "x")}
		}
		return []string{"SWAPDB", f.pick("0", "1"), f.pick("1", "2", "x")}
	case 19, 20:
		return join("DUMP")
	case 21, 22, 23:
		return join("READ")
	}
	return f.write(k)
}

// check runs a command on both servers. READ and MEMORY stand for several.
func (f *typesFuzzer) check(p *pair, args []string) {
	p.t.Helper()
	switch args[0] {
	case "READ":
		f.checkValue(p, args[1])
	case "MEMORY":
		ours, theirs := p.both("MEMORY", "USAGE", args[1], "SAMPLES", f.pick("0", "5"))
		if ours[0] != theirs[0] || ours[0] == ':' && ours < ":1" {
			p.t.Errorf("MEMORY USAGE %q\n kvd   %q\n redis %q", args[1], ours, theirs)
		}
	case "SCAN":
		p.scanAll("TYPE", args[2], "COUNT", f.pick("1", "10", "1000"))
	case "DUMP":
		f.checkRestore(p, args[1])
	case "TTL":
		p.about(30, args...)
	case "OBJECT":
		if args[1] == "REFCOUNT" { // Redis does not share the small integer of a copy
			p.both(args...)
			return
		}
		p.same(args...)
	case "SORT", "SORT_RO":
		if ours, theirs := p.both("TYPE", args[1]); ours == theirs && ours == "+zset\r\n" {
			return // Redis changes its encoding
		}
		p.same(args...)
	default:
		p.same(args...)
	}
}

// checkValue compares a value with the commands of its type.
func (f *typesFuzzer) checkValue(p *pair, k string) {
	p.t.Helper()
	switch kind := strings.Trim(p.same("TYPE", k), "+\r\n"); kind {
	case "string":
		p.same("GET", k)
	case "list":
		p.same("LRANGE", k, "0", "-1")
	case "set":
		p.unordered("SMEMBERS", k)
	case "hash":
		p.sameFields(k)
	case "zset":
		p.same("ZRANGE", k, "0", "-1", "WITHSCORES")
	case "stream":
		p.same("XRANGE", k, "-", "+")
	default:
		p.same(f.pick("GET", "LLEN", "SCARD", "HLEN", "ZCARD", "XLEN"), k)
	}
}

// sameFields compares the fields and values of a hash in any order.
func (p *pair) sameFields(k string) {
	p.t.Helper()
	fields := func(reply string) (list []string) {
		v, _ := parseReply(reply)
		flat, _ := v.([]any)
		for i := 0; i+1 < len(flat); i += 2 {
			list = append(list, fmt.Sprintf("%q %q", flat[i], flat[i+1]))
		}
		slices.Sort(list)
		return list
	}
	ours, theirs := p.both("HGETALL", k)
	if a, b := fields(ours), fields(theirs); !slices.Equal(a, b) {
		p.t.Errorf("HGETALL %q\n kvd   %q\n redis %q", k, a, b)
	}
}

// checkRestore makes one server restore what the other has dumped.
func (f *typesFuzzer) checkRestore(p *pair, k string) {
	p.t.Helper()
	ours, theirs := p.both("DUMP", k)
	if ours[0] != '$' || ours == "$-1\r\n" || theirs == "$-1\r\n" {
		if ours != theirs {
			p.t.Errorf("DUMP %q\n kvd   %q\n redis %q", k, ours, theirs)
		}
		return
	}
	to := f.key()
	ours, theirs = p.ours("RESTORE", to, "0", payload(theirs), "REPLACE"), p.theirs.do(p.t, "RESTORE", to, "0", payload(ours), "REPLACE")
	if ours != "+OK\r\n" || theirs != "+OK\r\n" {
		p.t.Errorf("RESTORE of %q as %q: kvd %q, redis %q", k, to, ours, theirs)
	}
	f.checkValue(p, to)
}

// TestFuzzTypes sends random generic commands for values of all types to both servers.
func TestFuzzTypes(t *testing.T) {
	t.Run("limits", func(t *testing.T) { fuzzTypes(t, fuzzCount(20_000)) })
	t.Run("small", func(t *testing.T) {
		fuzzTypes(t, fuzzCount(20_000), "set-max-intset-entries", "12", "set-max-listpack-entries", "9", "hash-max-listpack-entries", "7",
			"hash-max-listpack-value", "20", "zset-max-listpack-entries", "11", "zset-max-listpack-value", "30", "list-max-listpack-size", "5",
			"stream-node-max-entries", "10")
	})
}

func fuzzTypes(t *testing.T, n int, limits ...string) {
	f := &typesFuzzer{setFuzzer: &setFuzzer{fuzzer: &fuzzer{Rand: newRand(fuzzSeed(t))}}}
	p := newPair(t)
	p.setLimits(t, limits...)
	changes := p.redisChanges(t)
	for i := range n {
		if i%1000 == 0 {
			p.both("HELLO", strconv.Itoa(2+i/1000%2))
		}
		args := f.command()
		f.check(p, args)
		if t.Failed() {
			t.Fatalf("command %d: %q", i, args)
		}
	}
	if ours, theirs := p.world.e.Store.Changes(), p.redisChanges(t)-changes; ours != theirs {
		t.Errorf("changes: kvd %d, redis %d", ours, theirs)
	}
	for db := range 3 {
		p.same("SELECT", strconv.Itoa(db))
		p.scanAll()
		for _, k := range scanKeys(t, func(a ...string) string { return p.ours(a...) }, nil) {
			p.same("OBJECT", "ENCODING", payload(k))
			f.checkValue(p, payload(k))
		}
	}
	exchangeDumps(t, p)
}
