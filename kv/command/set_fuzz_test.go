package command

import (
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fuzzCount returns how many random commands a test runs: n where the oracles must be there, as in CI,
// and 1,000,000 with KVD_LONG=1.
func fuzzCount(n int) int {
	switch {
	case os.Getenv("KVD_LONG") == "1":
		return 1_000_000
	case os.Getenv("KVD_REQUIRE_ORACLES") == "1":
		return n
	}
	return n / 5
}

// fuzzSeed returns the seed: that of KVD_SEED, another one each time with KVD_LONG=1, else one that
// belongs to the test, so that a run says something about the code and nothing about luck.
func fuzzSeed(t *testing.T) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Name()))
	seed := h.Sum64()
	if os.Getenv("KVD_LONG") == "1" {
		seed = uint64(time.Now().UnixNano())
	}
	if s := os.Getenv("KVD_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("KVD_SEED=%d", seed)
	return seed
}

// elementsOf returns the form of a reply and, if it is an array or a set, its elements in order
// of their text.
func elementsOfReply(raw string) (form string, elems []string) {
	if raw == "" || raw[0] != '*' && raw[0] != '~' {
		return raw, nil
	}
	v, _ := parseReply(raw)
	list, _ := v.([]any)
	for _, e := range list {
		elems = append(elems, fmt.Sprint(e))
	}
	slices.Sort(elems)
	form, _, _ = strings.Cut(raw, "\r\n")
	return form, elems
}

// unordered is same for a reply whose elements are in any order.
func (p *pair) unordered(args ...string) {
	p.t.Helper()
	ours, theirs := p.both(args...)
	f, a := elementsOfReply(ours)
	g, b := elementsOfReply(theirs)
	if f != g || !slices.Equal(a, b) {
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
	}
}

// setLimits sets directives on both servers, for the time of the test. Those that redis-server
// does not know are kvd's alone.
func (p *pair) setLimits(t *testing.T, directives ...string) {
	t.Helper()
	for i := 0; i < len(directives); i += 2 {
		name := directives[i]
		was := p.theirs.do(t, "CONFIG", "GET", name)
		if _, old := elementsOfReply(was); len(old) == 2 {
			v, _ := parseReply(was)
			value := v.([]any)[1].(string)
			t.Cleanup(func() { p.theirs.do(t, "CONFIG", "SET", name, value) })
			p.theirs.do(t, "CONFIG", "SET", name, directives[i+1])
		}
		if got := p.ours("CONFIG", "SET", name, directives[i+1]); got != "+OK\r\n" {
			t.Fatalf("%s: %q", name, got)
		}
	}
}

// setFuzzer makes random commands of the set group.
type setFuzzer struct {
	*fuzzer
	skew [2]int // hits and misses that kvd has counted less
}

func (f *setFuzzer) key() string {
	if f.IntN(60) == 0 {
		return f.pick("", "str", "list", "nokey")
	}
	return "s" + strconv.Itoa(f.IntN(8))
}

func (f *setFuzzer) keys() (keys []string) {
	for range 1 + f.IntN(4) {
		keys = append(keys, f.key())
	}
	return keys
}

func (f *setFuzzer) member() string {
	switch f.IntN(12) {
	case 0, 1, 2, 3, 4, 5:
		return strconv.Itoa(f.IntN(60) - 20)
	case 6:
		return f.int()
	case 7:
		return "m" + strconv.Itoa(f.IntN(300))
	case 8:
		if f.IntN(10) == 0 {
			return f.value()
		}
	}
	return strconv.Itoa(f.IntN(40))
}

func (f *setFuzzer) members() (list []string) {
	for range 1 + f.IntN(1+f.IntN(12)) {
		list = append(list, f.member())
	}
	return list
}

func (f *setFuzzer) command() []string {
	join := func(name, key string, more ...string) []string { return append([]string{name, key}, more...) }
	k := f.key()
	switch f.IntN(30) {
	case 0, 1, 2, 3, 4, 5:
		return join("SADD", k, f.members()...)
	case 6, 7, 8:
		return join("SREM", k, f.members()...)
	case 9:
		return join("SISMEMBER", k, f.member())
	case 10:
		return join("SMISMEMBER", k, f.members()...)
	case 11:
		return join("SCARD", k)
	case 12:
		return join("SMEMBERS", k)
	case 13, 14:
		return join("SPOP", k, f.some([]string{f.pick("0", "1", "3", "10", "1000", f.int())})...)
	case 15, 16:
		return join("SRANDMEMBER", k, f.some([]string{f.pick("0", "1", "3", "10", "1000", "-1", "-20", "x")})...)
	case 17, 18:
		return join("SMOVE", k, f.key(), f.member())
	case 19:
		return join("SINTER", k, f.keys()...)
	case 20:
		return join("SINTERSTORE", k, f.keys()...)
	case 21:
		keys := f.keys()
		return join("SINTERCARD", f.pick(strconv.Itoa(len(keys)), strconv.Itoa(len(keys)), f.int()),
			append(keys, f.some([]string{f.pick("LIMIT", "limit", "x"), f.pick("0", "1", "3", f.int())})...)...)
	case 22:
		return join(f.pick("SUNION", "SDIFF"), k, f.keys()...)
	case 23, 24:
		return join(f.pick("SUNIONSTORE", "SDIFFSTORE"), k, f.keys()...)
	case 25, 26:
		return join("SSCAN", k, append([]string{f.pick("0", "0", "0", "x")},
			f.some([]string{"MATCH", f.pick("*", "1*", "m*")}, []string{"COUNT", f.pick("1", "5", "1000", "0", "x")}, []string{f.pick("TYPE", "NOVALUES"), "set"})...)...)
	case 27:
		return f.pickList([]string{"DEL", k}, []string{"OBJECT", "ENCODING", k}, []string{"TYPE", k}, []string{"EXPIRE", k, "100000"},
			[]string{"TTL", k}, []string{"COPY", k, f.key(), "REPLACE"}, []string{"RENAME", k, f.key()}, []string{"SADD", k}, []string{"SSCAN", k})
	case 28:
		return f.pickList([]string{"SET", "str", "x"}, []string{"RPUSH", "list", "x"}, []string{"DEL", "s1"}, []string{"OBJECT", "ENCODING", k})
	}
	return join("SADD", k, f.pick("1", "2", "3"))
}

func (f *fuzzer) pickList(list ...[]string) []string { return list[f.IntN(len(list))] }

// check runs a command on both servers. What picks at random works on a copy, and its
// choice is checked against the whole.
func (f *setFuzzer) check(p *pair, args []string) {
	p.t.Helper()
	switch args[0] {
	case "SPOP":
		f.checkPop(p, args)
	case "SRANDMEMBER":
		f.checkRandom(p, args)
	case "SSCAN":
		f.checkScan(p, args)
	case "SMEMBERS", "SINTER", "SUNION", "SDIFF":
		p.unordered(args...)
	case "TTL":
		p.about(30, args...)
	default:
		p.same(args...)
	}
}

// set returns the members of a set in kvd, and whether there is one.
func (f *setFuzzer) set(p *pair, key string) (members map[string]bool, ok bool) {
	reply, _ := p.both("TYPE", key)
	if reply != "+set\r\n" {
		return nil, false
	}
	reply, _ = p.both("SMEMBERS", key)
	_, list := elementsOfReply(reply)
	members = map[string]bool{}
	for _, m := range list {
		members[m] = true
	}
	return members, true
}

// chosen returns the elements of a reply of one or more members.
func chosenMembers(reply string) []string {
	if v, _ := parseReply(reply); reply[0] == '$' && v != nil {
		return []string{v.(string)}
	}
	_, list := elementsOfReply(reply)
	return list
}

// sameForm compares two replies but for the members that they have.
func sameForm(p *pair, args []string, ours, theirs string) {
	p.t.Helper()
	f, a := elementsOfReply(ours)
	g, b := elementsOfReply(theirs)
	if ours[0] == '$' && ours != "$-1\r\n" && theirs[0] == '$' && theirs != "$-1\r\n" {
		return
	}
	if f != g || len(a) != len(b) {
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
	}
}

func (f *setFuzzer) checkPop(p *pair, args []string) {
	p.t.Helper()
	before, isSet := f.set(p, args[1])
	if !isSet {
		p.same(args...)
		return
	}
	p.same("COPY", args[1], "tmp", "REPLACE")
	args = slices.Clone(args)
	args[1] = "tmp"
	ours, theirs := p.both(args...)
	sameForm(p, args, ours, theirs)
	for _, m := range chosenMembers(ours) {
		if ours[0] != '-' && !before[m] {
			p.t.Errorf("%q: %q was not there, or twice in the reply", args, m)
		}
		delete(before, m)
	}
	after, _ := f.set(p, "tmp")
	if len(after) != len(before) {
		p.t.Errorf("%q: %d are left, not %d", args, len(after), len(before))
	}
	for m := range before {
		if !after[m] {
			p.t.Errorf("%q: %q is gone, but not in the reply", args, m)
		}
	}
	p.same("SCARD", "tmp")
	f.sameEncoding(p, "tmp")
	p.same("DEL", "tmp")
}

// sameEncoding compares the encodings of a set after SPOP: if its members are integers in one
// server only, these differ rightly.
func (f *setFuzzer) sameEncoding(p *pair, key string) {
	p.t.Helper()
	integers := func(reply string) bool {
		for _, m := range chosenMembers(reply) {
			if n, err := strconv.ParseInt(m, 10, 64); err != nil || strconv.FormatInt(n, 10) != m {
				return false
			}
		}
		return true
	}
	if ours, theirs := p.both("SMEMBERS", key); integers(ours) == integers(theirs) {
		p.same("OBJECT", "ENCODING", key)
	}
}

func (f *setFuzzer) checkRandom(p *pair, args []string) {
	p.t.Helper()
	before, isSet := f.set(p, args[1])
	if !isSet {
		p.same(args...)
		return
	}
	ours, theirs := p.both(args...)
	sameForm(p, args, ours, theirs)
	seen := map[string]bool{}
	for _, m := range chosenMembers(ours) {
		if ours[0] == '-' {
			break
		}
		if !before[m] || seen[m] && args[2][0] != '-' {
			p.t.Errorf("%q: %q is no member, or twice in the reply", args, m)
		}
		seen[m] = true
	}
}

// checkScan runs SSCAN to its end. Two tables need not be visited in as many steps.
func (f *setFuzzer) checkScan(p *pair, args []string) {
	p.t.Helper()
	ours, theirs := p.both(args...)
	if ours[0] == '-' || theirs[0] == '-' {
		if ours != theirs {
			p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		}
		return
	}
	a, n := scanToEnd(p.t, args, ours, func(args ...string) string { return p.ours(args...) })
	b, m := scanToEnd(p.t, args, theirs, func(args ...string) string { return p.theirs.do(p.t, args...) })
	if !slices.Equal(a, b) {
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, a, b)
	}
	f.skew[0] += m - n
}

// scanToEnd goes on from the first reply of SSCAN and returns the distinct elements and the number
// of further calls.
func scanToEnd(t testing.TB, args []string, reply string, do func(args ...string) string) (elems []string, calls int) {
	t.Helper()
	args = slices.Clone(args)
	for {
		v, _ := parseReply(reply)
		two := v.([]any)
		for _, e := range two[1].([]any) {
			elems = append(elems, e.(string))
		}
		if args[2] = two[0].(string); args[2] == "0" {
			slices.Sort(elems)
			return slices.Compact(elems), calls
		}
		reply = do(args...)
		if calls++; calls > 100_000 {
			t.Fatalf("%q does not end", args)
		}
	}
}

// TestFuzzSets sends random commands of the set group to both servers.
func TestFuzzSets(t *testing.T) {
	t.Run("limits", func(t *testing.T) { fuzzSets(t, fuzzCount(30_000)) })
	t.Run("small", func(t *testing.T) {
		fuzzSets(t, fuzzCount(20_000), "set-max-intset-entries", "12", "set-max-listpack-entries", "9", "set-max-listpack-value", "8")
	})
}

func fuzzSets(t *testing.T, n int, limits ...string) {
	f := &setFuzzer{fuzzer: &fuzzer{Rand: newRand(fuzzSeed(t))}}
	p := newPair(t)
	p.setLimits(t, limits...)
	changes := p.redisChanges(t)
	for i := range n {
		if i%1000 == 0 {
			p.both("HELLO", strconv.Itoa(2+i/1000%2))
			if f.IntN(5) == 0 {
				p.both("DEL", "s0", "s1", "s2", "s3")
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
	ours[0] += f.skew[0]
	if ours != theirs {
		t.Errorf("hits and misses: kvd %v, redis %v", ours, theirs)
	}
	for i := range 8 {
		key := "s" + strconv.Itoa(i)
		p.same("OBJECT", "ENCODING", key)
		p.unordered("SMEMBERS", key)
	}
	exchangeDumps(t, p)
}
