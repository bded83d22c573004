package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// zsetFuzzer makes random commands of the sorted-set group.
type zsetFuzzer struct {
	*fuzzer
	scans int // calls of ZSCAN that kvd has got more
}

func (f *zsetFuzzer) key() string {
	if f.IntN(60) == 0 {
		return f.pick("", "str", "set", "nokey")
	}
	return "z" + strconv.Itoa(f.IntN(6))
}

func (f *zsetFuzzer) keys() (keys []string) {
	for range 1 + f.IntN(4) {
		keys = append(keys, f.key())
	}
	if f.IntN(4) == 0 {
		keys = append(keys, "set")
	}
	return keys
}

// score returns a score: few different ones, so that members compare.
func (f *zsetFuzzer) score() string {
	switch f.IntN(14) {
	case 0:
		return f.pick("inf", "-inf", "+inf", "-0", "0.1", "1e300", "-1e300", "1e17", "4611686018427387904", "9007199254740993", "0x1p-3")
	case 1:
		return f.float()
	case 2:
		return strconv.FormatFloat(f.NormFloat64(), 'g', -1, 64)
	case 3:
		return f.int()
	}
	return strconv.Itoa(f.IntN(12) - 3)
}

// member returns a member. Those of lex sets come from the same few.
func (f *zsetFuzzer) member() string {
	switch f.IntN(10) {
	case 0:
		return f.value()
	case 1, 2, 3:
		return strconv.Itoa(f.IntN(40) - 10)
	}
	return string(rune('a'+f.IntN(26))) + f.pick("", "", "a", "b", "\x00", "\xff")
}

func (f *zsetFuzzer) pairs() (list []string) {
	for range 1 + f.IntN(1+f.IntN(10)) {
		list = append(list, f.score(), f.member())
	}
	return list
}

func (f *zsetFuzzer) bound() string {
	return f.pick("", "(", "(", "") + f.pick(f.score(), "-inf", "+inf", f.score(), strconv.Itoa(f.IntN(12)-3))
}

func (f *zsetFuzzer) lex() string {
	return f.pick("-", "+", "["+f.member(), "("+f.member(), "["+f.member(), f.value())
}

func (f *zsetFuzzer) rank() string {
	if f.IntN(30) == 0 {
		return f.int()
	}
	return strconv.Itoa(f.IntN(40) - 20)
}

func (f *zsetFuzzer) limit() []string {
	if f.IntN(3) > 0 {
		return nil
	}
	return []string{"LIMIT", strconv.Itoa(f.IntN(8) - 1), strconv.Itoa(f.IntN(8) - 1)}
}

// ranged returns a key and a range of it with options.
func (f *zsetFuzzer) ranged(name string, k string, old bool) []string {
	join := func(a ...string) []string { return append([]string{name, k}, a...) }
	scores := f.some([]string{f.pick("WITHSCORES", "withscores")})
	if old {
		switch {
		case strings.HasSuffix(name, "LEX"):
			return append(join("["+f.member(), "["+f.member()), f.limit()...)
		case strings.HasSuffix(name, "SCORE"):
			return append(append(join(f.bound(), f.bound()), f.limit()...), scores...)
		}
		return append(join(f.rank(), f.rank()), scores...)
	}
	rev := f.some([]string{"REV"})
	switch f.IntN(3) {
	case 0:
		return append(append(join(f.bound(), f.bound(), "BYSCORE"), f.limit()...), append(scores, rev...)...)
	case 1:
		k = f.lexKey() // with different scores the result is any, with trees
		return append(append(join(f.lex(), f.lex(), "BYLEX"), f.limit()...), append(f.some([]string{"WITHSCORES"}), rev...)...)
	}
	return append(append(join(f.rank(), f.rank()), rev...), scores...)
}

// lexKey is a set whose members all have the same score.
func (f *zsetFuzzer) lexKey() string { return "l" + strconv.Itoa(f.IntN(2)) }

func (f *zsetFuzzer) command() []string {
	join := func(name, key string, more ...string) []string { return append([]string{name, key}, more...) }
	k := f.key()
	switch f.IntN(40) {
	case 0, 1, 2, 3, 4, 5:
		return join("ZADD", k, append(f.some([]string{"NX"}, []string{"XX"}, []string{"GT"}, []string{"lt"}, []string{"CH"})[:0:0], f.pairs()...)...)
	case 6, 7:
		return join("ZADD", k, append(f.some([]string{"NX"}, []string{"XX"}, []string{"GT"}, []string{"lt"}, []string{"CH"}), f.pairs()...)...)
	case 8:
		return join("ZADD", k, append(f.some([]string{"NX"}, []string{"XX"}, []string{"GT"}, []string{"INCR"}), f.score(), f.member())...)
	case 9:
		return join("ZINCRBY", k, f.score(), f.member())
	case 10, 11:
		return join("ZREM", k, f.member(), f.member(), f.member())
	case 12:
		return join(f.pick("ZSCORE", "ZRANK", "ZREVRANK"), k, f.member())
	case 13:
		return join("ZMSCORE", k, f.member(), f.member())
	case 14:
		return join("ZCARD", k)
	case 15:
		return join("ZCOUNT", k, f.bound(), f.bound())
	case 16, 17:
		return f.ranged("ZRANGE", k, false)
	case 18:
		return f.ranged(f.pick("ZREVRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), k, true)
	case 19:
		return append([]string{"ZRANGESTORE", f.key()}, f.ranged("", k, false)[1:]...)
	case 20:
		return join("ZREMRANGEBYRANK", k, f.rank(), f.rank())
	case 21:
		return join("ZREMRANGEBYSCORE", k, f.bound(), f.bound())
	case 22, 23, 24:
		return f.combine(f.pick("ZUNION", "ZINTER", "ZDIFF"), nil)
	case 25, 26, 27:
		return f.combine(f.pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), []string{k})
	case 28:
		keys := f.keys()
		return append(append([]string{"ZINTERCARD", strconv.Itoa(len(keys))}, keys...), f.some([]string{"LIMIT", strconv.Itoa(f.IntN(5))})...)
	case 29, 30:
		return join(f.pick("ZPOPMIN", "ZPOPMAX"), k, f.some([]string{f.pick("0", "1", "3", f.int())})...)
	case 31:
		keys := f.keys()
		return append(append([]string{"ZMPOP", strconv.Itoa(len(keys))}, keys...), append([]string{f.pick("MIN", "MAX")}, f.some([]string{"COUNT", f.pick("1", "3", "0")})...)...)
	case 32:
		return f.pickSome(k)
	case 33:
		return join("ZRANDMEMBER", k, f.some([]string{f.pick("0", "1", "5", "100", "-1", "-20", "x"), "WITHSCORES"})...)
	case 34:
		return join(f.pick("DEL", "TYPE", "OBJECT", "PERSIST"), k)
	case 35:
		return join(f.pick("RENAME", "COPY"), k, f.key())
	case 36:
		return join("ZADD", f.lexKey(), "0", f.member(), "0", f.member(), "0", f.member())
	case 37:
		return f.ranged(f.pick("ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZLEXCOUNT"), f.lexKey(), true)
	case 38:
		return join("ZRANGE", f.lexKey(), append([]string{f.lex(), f.lex(), "BYLEX"}, append(f.some([]string{"REV"}), f.limit()...)...)...)
	}
	if f.IntN(5) > 0 {
		return join("ZLEXCOUNT", f.lexKey(), f.lex(), f.lex())
	}
	return join("ZREMRANGEBYLEX", f.lexKey(), f.lex(), f.lex())
}

func (f *zsetFuzzer) pickSome(k string) []string {
	return []string{"ZSCAN", k, "0", "COUNT", f.pick("1", "10", "1000"), "MATCH", f.pick("*", "a*", "[0-9]*", "nothing")}
}

func (f *zsetFuzzer) combine(name string, dst []string) []string {
	keys := f.keys()
	args := append(append(append([]string{name}, dst...), strconv.Itoa(len(keys))), keys...)
	if f.IntN(3) == 0 {
		args = append(args, "WEIGHTS")
		for range keys {
			args = append(args, f.pick("1", "2", "-1", "0", "inf", "0.5", f.score()))
		}
	}
	return append(args, f.some([]string{"AGGREGATE", f.pick("SUM", "MIN", "MAX", "max")}, []string{"WITHSCORES"})...)
}

// zscan runs ZSCAN to its end and returns the pairs in order, and how many calls that took.
func zscan(t testing.TB, do func(...string) string, args []string) (pairs []string, calls int) {
	t.Helper()
	for cursor := "0"; ; {
		calls++
		args[2] = cursor
		reply := do(args...)
		v, _ := parseReply(reply)
		list, ok := v.([]any)
		if !ok || len(list) != 2 {
			return []string{reply}, calls
		}
		elems := list[1].([]any)
		for i := 0; i < len(elems); i += 2 {
			pairs = append(pairs, fmt.Sprintf("%q=%q", elems[i], elems[i+1]))
		}
		if cursor = list[0].(string); cursor == "0" {
			break
		}
	}
	slices.Sort(pairs)
	return slices.Compact(pairs), calls
}

// check runs a command on both servers and compares. ZRANDMEMBER picks at random: its replies have
// the same length, and with a count that is not negative no member twice.
func (f *zsetFuzzer) check(p *pair, args []string) {
	p.t.Helper()
	switch args[0] {
	case "ZSCAN":
		ours, n := zscan(p.t, func(a ...string) string { return p.ours(a...) }, slices.Clone(args))
		theirs, m := zscan(p.t, func(a ...string) string { return p.theirs.do(p.t, a...) }, slices.Clone(args))
		f.scans += n - m
		if !slices.Equal(ours, theirs) {
			p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		}
	case "ZRANDMEMBER":
		ours, theirs := p.both(args...)
		form, elems := elementsOfReply(ours)
		theirForm, _ := elementsOfReply(theirs)
		if form[0] == '$' && theirForm[0] == '$' && form[1] != '-' && theirForm[1] != '-' {
			return
		}
		if form != theirForm || len(args) > 3 && args[2][0] != '-' && len(elems) > 0 && strings.HasPrefix(elems[0], "[") &&
			len(slices.Compact(slices.Clone(elems))) < len(elems) {
			p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		}
	case "OBJECT":
		p.same("OBJECT", "ENCODING", args[1])
	default:
		p.same(args...)
	}
}

// noMinusZero makes 0 of every -0: which ones get lost when a dump is loaded depends on the limits of who
// loads it, since there is none in a listpack.
func (f *zsetFuzzer) noMinusZero(p *pair) {
	p.both("HELLO", "2")
	for _, k := range []string{"", "str", "set", "nokey", "z0", "z1", "z2", "z3", "z4", "z5", "l0", "l1"} {
		v, _ := parseReply(p.same("ZRANGE", k, "0", "0", "BYSCORE"))
		list, _ := v.([]any)
		for _, m := range list {
			p.same("ZADD", k, "1", m.(string))
			p.same("ZADD", k, "0", m.(string))
		}
	}
}

// TestFuzzZset sends random commands of the sorted-set group to both servers: 50,000 of them, or
// 1,000,000 with KVD_LONG=1. In half of the runs few elements fit into one block.
func TestFuzzZset(t *testing.T) {
	for _, limit := range []string{"128", "8"} {
		t.Run(limit, func(t *testing.T) {
			f := &zsetFuzzer{fuzzer: &fuzzer{Rand: newRand(fuzzSeed(t))}}
			p := newPair(t)
			p.setLimits(t, "zset-max-listpack-entries", limit)
			changes := p.redisChanges(t)
			p.same("SET", "str", "x")
			p.same("SADD", "set", "1", "2", "3", "a", "b", "aa", "ba", "zz")
			for i := range fuzzCount(50_000) / 2 {
				if i%1000 == 0 {
					p.both("HELLO", strconv.Itoa(2+i/1000%2))
				}
				f.check(p, f.command())
				if t.Failed() {
					t.Fatalf("command %d", i)
				}
			}
			if ours, theirs := p.world.e.Store.Changes(), p.redisChanges(t)-changes; ours != theirs {
				t.Errorf("changes: kvd %d, redis %d", ours, theirs)
			}
			ours, theirs := p.stat(t), p.redisStat(t)
			if ours[0] -= f.scans; ours != theirs {
				t.Errorf("hits and misses: kvd %v, redis %v", ours, theirs)
			}
			p.same("DEBUG", "DIGEST")
			f.noMinusZero(p)
			exchangeDumps(t, p)
		})
	}
}
