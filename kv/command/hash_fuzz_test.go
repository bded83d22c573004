package command

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// hashFuzzer makes random commands of the hash group.
type hashFuzzer struct {
	*fuzzer
	skew int // hits that kvd has counted less: it needed fewer calls for a scan
}

func (f *hashFuzzer) key() string {
	if f.IntN(60) == 0 {
		return f.pick("", "str", "list", "nokey")
	}
	return "h" + strconv.Itoa(f.IntN(6))
}

func (f *hashFuzzer) field() string {
	switch f.IntN(30) {
	case 0:
		return f.value()
	case 1:
		return f.int()
	case 2, 3, 4:
		return "field:" + strconv.Itoa(f.IntN(600))
	}
	return strconv.Itoa(f.IntN(25))
}

func (f *hashFuzzer) fields() (list []string) {
	for range 1 + f.IntN(4) {
		list = append(list, f.field())
	}
	return list
}

func (f *hashFuzzer) pairs() (list []string) {
	for range 1 + f.IntN(1+f.IntN(8)) {
		v := f.value()
		if f.IntN(3) > 0 {
			v = f.int()
		}
		list = append(list, f.field(), v)
	}
	return list
}

func (f *hashFuzzer) command() []string {
	join := func(name, key string, more ...string) []string { return append([]string{name, key}, more...) }
	k := f.key()
	switch f.IntN(32) {
	case 0, 1, 2, 3, 4:
		return join("HSET", k, f.pairs()...)
	case 5:
		return join(f.pick("HMSET", "HSET"), k, append(f.pairs(), f.pickList(nil, nil, nil, []string{"odd"})...)...)
	case 6:
		return join("HSETNX", k, f.field(), f.value())
	case 7, 8, 9, 10:
		return join("HDEL", k, f.fields()...)
	case 11, 12:
		return join("HGET", k, f.field())
	case 13:
		return join("HMGET", k, f.fields()...)
	case 14, 15:
		return join(f.pick("HGETALL", "HKEYS", "HVALS"), k)
	case 16:
		return join("HLEN", k)
	case 17:
		return join(f.pick("HEXISTS", "HSTRLEN"), k, f.field())
	case 18, 19:
		return join("HINCRBY", k, f.field(), f.int())
	case 20, 21:
		return join("HINCRBYFLOAT", k, f.field(), f.pick(f.float(), f.float(), f.value(), "inf", "-infinity", "1e4932"))
	case 22, 23:
		return join("HRANDFIELD", k, f.some([]string{f.pick("0", "1", "3", "10", "1000", "-1", "-20", "x", "9223372036854775807",
			"-9223372036854775808"), f.pick("WITHVALUES", "withvalues", "x")})...)
	case 24:
		return join("HRANDFIELD", k, f.pick("5", "-5", "700"))
	case 25, 26:
		return join("HSCAN", k, append([]string{f.pick("0", "0", "0", "x")},
			f.some([]string{"MATCH", f.pick("*", "1*", "f*")}, []string{"COUNT", f.pick("1", "5", "1000", "0", "x")}, []string{"TYPE", "hash"})...)...)
	case 27, 28:
		return f.pickList([]string{"DEL", k}, []string{"OBJECT", "ENCODING", k}, []string{"TYPE", k}, []string{"EXPIRE", k, "100000"},
			[]string{"TTL", k}, []string{"COPY", k, f.key(), "REPLACE"}, []string{"RENAME", k, f.key()}, []string{"HSET", k}, []string{"HSCAN", k})
	case 29:
		return f.pickList([]string{"SET", "str", "x"}, []string{"RPUSH", "list", "x"}, []string{"OBJECT", "ENCODING", k})
	}
	return join("OBJECT", "ENCODING", k)
}

// pairsOf returns the elements of an array or map two by two, in order of their text.
func pairsOf(reply string) (list []string) {
	v, _ := parseReply(reply)
	flat, _ := v.([]any)
	for i := 0; i+1 < len(flat); i += 2 {
		list = append(list, flat[i].(string)+"\x00=\x00"+flat[i+1].(string))
	}
	slices.Sort(list)
	return list
}

func formOf(reply string) string {
	form, _, _ := strings.Cut(reply, "\r\n")
	return form
}

func (f *hashFuzzer) check(p *pair, args []string) {
	p.t.Helper()
	switch args[0] {
	case "HGETALL":
		ours, theirs := p.both(args...)
		if formOf(ours) != formOf(theirs) || !slices.Equal(pairsOf(ours), pairsOf(theirs)) {
			p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		}
	case "HKEYS", "HVALS":
		p.unordered(args...)
	case "HRANDFIELD":
		f.checkRandom(p, args)
	case "HSCAN":
		f.checkScan(p, args)
	case "TTL":
		p.about(30, args...)
	default:
		p.same(args...)
	}
}

// checkRandom compares the forms of two replies and our fields with what there is.
func (f *hashFuzzer) checkRandom(p *pair, args []string) {
	p.t.Helper()
	ours, theirs := p.both(args...)
	if ours == theirs {
		return
	}
	one := ours[0] == '$' && ours != "$-1\r\n" && theirs[0] == '$' && theirs != "$-1\r\n"
	if !one && formOf(ours) != formOf(theirs) || ours[0] == '-' {
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		return
	}
	all, _ := p.both("HGETALL", args[1])
	v, _ := parseReply(all)
	flat := v.([]any)
	values := map[string]string{}
	for i := 0; i < len(flat); i += 2 {
		values[flat[i].(string)] = flat[i+1].(string)
	}
	seen := map[string]bool{}
	see := func(field string, value any) {
		want, ok := values[field]
		if !ok || value != nil && value != want || seen[field] && len(args) > 2 && args[2][0] != '-' {
			p.t.Errorf("%q: %q with %q is not there, or twice in the reply", args, field, value)
		}
		seen[field] = true
	}
	switch v, _ := parseReply(ours); list := v.(type) {
	case string:
		see(list, nil)
	case []any:
		for i := 0; i < len(list); i++ {
			if two, ok := list[i].([]any); ok {
				see(two[0].(string), two[1])
			} else if len(args) > 3 {
				see(list[i].(string), list[i+1])
				i++
			} else {
				see(list[i].(string), nil)
			}
		}
	}
}

// checkScan runs HSCAN to its end. Two tables need not be visited in as many steps.
func (f *hashFuzzer) checkScan(p *pair, args []string) {
	p.t.Helper()
	ours, theirs := p.both(args...)
	if ours[0] == '-' || theirs[0] == '-' {
		if ours != theirs {
			p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		}
		return
	}
	a, n := hscanToEnd(p.t, args, ours, func(args ...string) string { return p.ours(args...) })
	b, m := hscanToEnd(p.t, args, theirs, func(args ...string) string { return p.theirs.do(p.t, args...) })
	if !slices.Equal(a, slices.Compact(b)) { // a table that is being resized repeats itself, not so ours
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, a, b)
	}
	f.skew += m - n
}

// hscanToEnd goes on from the first reply of HSCAN and returns fields with their values and the number
// of further calls.
func hscanToEnd(t testing.TB, args []string, reply string, do func(args ...string) string) (pairs []string, calls int) {
	t.Helper()
	args = slices.Clone(args)
	for {
		v, _ := parseReply(reply)
		two := v.([]any)
		flat := two[1].([]any)
		for i := 0; i < len(flat); i += 2 {
			pairs = append(pairs, flat[i].(string)+"\x00=\x00"+flat[i+1].(string))
		}
		if args[2] = two[0].(string); args[2] == "0" {
			slices.Sort(pairs)
			return pairs, calls
		}
		reply = do(args...)
		if calls++; calls > 100_000 {
			t.Fatalf("%q does not end", args)
		}
	}
}

// TestFuzzHashes sends random commands of the hash group to both servers.
func TestFuzzHashes(t *testing.T) {
	t.Run("limits", func(t *testing.T) { fuzzHashes(t, fuzzCount(25_000)) })
	t.Run("small", func(t *testing.T) {
		fuzzHashes(t, fuzzCount(25_000), "hash-max-listpack-entries", "9", "hash-max-listpack-value", "12")
	})
}

func fuzzHashes(t *testing.T, n int, limits ...string) {
	f := &hashFuzzer{fuzzer: &fuzzer{Rand: newRand(fuzzSeed(t))}}
	p := newPair(t)
	p.setLimits(t, limits...)
	changes := p.redisChanges(t)
	for i := range n {
		if i%1000 == 0 {
			p.both("HELLO", strconv.Itoa(2+i/1000%2))
			if f.IntN(3) == 0 {
				p.both("DEL", "h0", "h1", "h2")
			}
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
	ours, theirs := p.stat(t), p.redisStat(t)
	ours[0] += f.skew
	if ours != theirs {
		t.Errorf("hits and misses: kvd %v, redis %v", ours, theirs)
	}
	for i := range 6 {
		key := "h" + strconv.Itoa(i)
		p.same("OBJECT", "ENCODING", key)
		p.unordered("HKEYS", key)
	}
	exchangeDumps(t, p)
}
