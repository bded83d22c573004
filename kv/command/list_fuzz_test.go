package command

import (
	"strconv"
	"strings"
	"testing"
)

// listFuzzer makes random commands of the list group.
type listFuzzer struct{ *fuzzer }

func (f *listFuzzer) key() string { return "l" + strconv.Itoa(f.IntN(6)) }

func (f *listFuzzer) elem() string {
	switch f.IntN(12) {
	case 0:
		return f.value()
	case 1:
		return strings.Repeat(f.pick("x", "yz"), f.IntN(400))
	case 2:
		return strings.Repeat("long", f.IntN(3000))
	case 3, 4, 5:
		return strconv.FormatInt(int64(f.Uint64())>>f.IntN(64), 10)
	}
	return f.pick("a", "b", "c", "1", "2", "-3", "100", "d")
}

func (f *listFuzzer) elems() (list []string) {
	n := 1 + f.IntN(4)
	if f.IntN(12) == 0 {
		n = 1 + f.IntN(120)
	}
	for range n {
		list = append(list, f.elem())
	}
	return list
}

func (f *listFuzzer) index() string {
	if f.IntN(20) == 0 {
		return f.int()
	}
	return strconv.Itoa(f.IntN(120) - 60)
}

func (f *listFuzzer) end() string { return f.pick("LEFT", "RIGHT", "left", "Right") }

func (f *listFuzzer) mpop() []string {
	n := 1 + f.IntN(3)
	args := []string{strconv.Itoa(n)}
	if f.IntN(20) == 0 {
		args[0] = f.int()
	}
	for range n {
		args = append(args, f.key())
	}
	args = append(args, f.end())
	if f.IntN(2) == 0 {
		args = append(args, "COUNT", f.index())
	}
	return args
}

// command returns the next random command. A blocking one does not wait: it comes inside
// MULTI, or its keys hold something.
func (f *listFuzzer) command() []string {
	list := func(args ...string) []string { return args }
	k := f.key()
	switch f.IntN(26) {
	case 0, 1, 2, 3, 4, 5:
		return append(list(f.pick("LPUSH", "RPUSH", "RPUSH"), k), f.elems()...)
	case 6:
		return append(list(f.pick("LPUSHX", "RPUSHX"), k), f.elems()...)
	case 7:
		return list(f.pick("LPOP", "RPOP"), k)
	case 8:
		return list(f.pick("LPOP", "RPOP"), k, f.index())
	case 9:
		return list("LLEN", k)
	case 10, 11:
		return list("LINDEX", k, f.index())
	case 12:
		return list("LSET", k, f.index(), f.elem())
	case 13:
		return list("LRANGE", k, f.index(), f.index())
	case 14:
		return list("LINSERT", k, f.pick("BEFORE", "AFTER", "after", "x"), f.elem(), f.elem())
	case 15, 16:
		return list("LREM", k, strconv.Itoa(f.IntN(7)-3), f.elem())
	case 17:
		if f.IntN(3) != 0 {
			return list("LRANGE", k, "0", "-1")
		}
		return list("LTRIM", k, f.index(), f.index())
	case 18, 19:
		return append(list("LPOS", k, f.elem()), f.some([]string{"RANK", f.index()}, []string{"COUNT", f.pick("0", "1", "5", f.int())}, []string{"MAXLEN", f.index()})...)
	case 20:
		return list("LMOVE", k, f.key(), f.end(), f.end())
	case 21:
		return list("RPOPLPUSH", k, f.key())
	case 22:
		return append([]string{"LMPOP"}, f.mpop()...)
	case 23:
		if f.IntN(4) == 0 {
			return list(f.pick("DEL", "TYPE", "OBJECT ENCODING"), k)
		}
		return list("RENAME", k, f.key())
	case 24:
		if f.IntN(4) == 0 {
			return list("SET", k, "string")
		}
		return list("COPY", k, f.key(), "REPLACE")
	}
	if f.IntN(3) == 0 {
		return list("EXPIRE", k, "100000")
	}
	return list("LRANGE", k, "0", "-1")
}

// blocking returns a blocking command for use inside MULTI.
func (f *listFuzzer) blocking() []string {
	t := f.pick("0", "0.1", "5", "1e-5", "-1", "x", "")
	switch f.IntN(5) {
	case 0:
		return []string{f.pick("BLPOP", "BRPOP"), f.key(), f.key(), t}
	case 1:
		return []string{"BLMOVE", f.key(), f.key(), f.end(), f.end(), t}
	case 2:
		return []string{"BRPOPLPUSH", f.key(), f.key(), t}
	}
	return append([]string{"BLMPOP", t}, f.mpop()...)
}

func TestListCommandsAgainstRedis(t *testing.T) {
	n := fuzzCount(50_000)
	seed := fuzzSeed(t)
	for i, size := range []string{"-2", "8"} {
		p := newPair(t)
		p.same("CONFIG", "SET", "list-max-listpack-size", size)
		f := &listFuzzer{&fuzzer{Rand: newRand(seed + uint64(i))}}
		for i := 0; i < n/2 && !t.Failed(); i++ {
			cmd := f.command()
			if f.IntN(30) == 0 {
				p.same("MULTI")
				for range 1 + f.IntN(4) {
					p.same(f.blocking()...)
				}
				cmd = []string{"EXEC"}
			}
			if cmd[0] == "OBJECT ENCODING" {
				cmd = []string{"OBJECT", "ENCODING", cmd[1]}
			}
			p.same(cmd...)
			if f.IntN(1000) == 0 {
				p.same("CONFIG", "SET", "list-max-listpack-size", f.pick("-1", "-2", "-5", "1", "8", "100"))
			}
		}
		p.same("CONFIG", "SET", "list-max-listpack-size", "-2")
		if ours, theirs := p.stat(t), p.redisStat(t); ours != theirs {
			t.Errorf("hits and misses: kvd %v, redis %v", ours, theirs)
		}
		p.same("DEBUG", "DIGEST")
		exchangeDumps(t, p)
	}
}

// TestListChangesAreCountedAsInRedis compares what SAVE points count.
func TestListChangesAreCountedAsInRedis(t *testing.T) {
	p := newPair(t)
	f := &listFuzzer{&fuzzer{Rand: newRand(5)}}
	base := p.redisChanges(t) - p.x.Store.Changes()
	for i := 0; i < 4000 && !t.Failed(); i++ {
		cmd := f.command()
		if cmd[0] == "OBJECT ENCODING" {
			continue
		}
		p.same(cmd...)
		if ours, theirs := p.x.Store.Changes()+base, p.redisChanges(t); ours != theirs {
			t.Errorf("after %q: %d changes, want %d", cmd, ours, theirs)
		}
	}
}
