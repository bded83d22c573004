package command

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
)

// fillMixed makes sets and sorted sets of all sizes and encodings that have members in common.
func fillMixed(p *pair, r *rand.Rand) (keys []string) {
	add := func(cmd, key string, n int, element func() []string) {
		args := []string{cmd, key}
		for range n {
			args = append(args, element()...)
		}
		p.same(args...)
		keys = append(keys, key)
	}
	texts := func() []string { return []string{fmt.Sprintf("member%d", r.IntN(3000))} }
	numbers := func() []string { return []string{strconv.Itoa(r.IntN(3000))} }
	scored := func() []string {
		return []string{[]string{"1", "-2.5", "inf", "-inf", "0.1", "-0"}[r.IntN(6)], texts()[0]}
	}
	add("SADD", "s:big1", 1500, texts)
	add("SADD", "s:big2", 1500, texts)
	add("SADD", "s:int1", 1200, numbers)
	add("SADD", "s:int2", 1200, numbers)
	add("SADD", "s:intset", 200, numbers)
	add("SADD", "s:small", 40, texts)
	add("ZADD", "z:big1", 1000, scored)
	add("ZADD", "z:big2", 1000, scored)
	add("ZADD", "z:small", 40, scored)
	return append(keys, "none")
}

// What is computed of big sets, which are merged, is what Redis computes.
func TestAlgebraOfBigSets(t *testing.T) {
	p := newPair(t)
	r := newRand(5)
	keys := fillMixed(p, r)
	sets := append([]string{"none"}, keys[:6]...)
	commands := 120
	for range commands {
		n := 1 + r.IntN(4)
		args := []string{"SUNIONSTORE", "d"}
		switch r.IntN(6) {
		case 0:
			args[0] = "SDIFFSTORE"
		case 1:
			args[0] = "SINTERSTORE"
		case 2:
			args = []string{"ZUNIONSTORE", "d", strconv.Itoa(n)}
		case 3:
			args = []string{"ZINTERSTORE", "d", strconv.Itoa(n)}
		case 4:
			args = []string{"SINTERCARD", strconv.Itoa(n)}
		}
		from := sets
		if args[0][0] == 'Z' {
			from = keys
		}
		for range n {
			args = append(args, from[r.IntN(len(from))])
		}
		if args[0][0] == 'Z' && r.IntN(2) == 0 {
			args = append(args, "WEIGHTS")
			for range n {
				args = append(args, []string{"1", "-1", "0", "0.1", "inf"}[r.IntN(5)])
			}
		}
		if args[0][0] == 'Z' {
			args = append(args, "AGGREGATE", []string{"SUM", "MIN", "MAX"}[r.IntN(3)])
		}
		p.same(args...)
		p.same("DEBUG", "DIGEST-VALUE", "d")
		p.same("OBJECT", "ENCODING", "d")
		if t.Failed() {
			t.Fatal(args)
		}
	}
	for _, cmd := range []string{"SUNION", "SINTER", "SDIFF"} {
		p.sameSet(cmd, "s:big1", "s:big2")
		p.sameSet(cmd, "s:small", "s:big2", "s:intset")
	}
	p.same("SUNIONSTORE", "s:big1", "s:big1", "s:big2") // onto a source
	p.same("ZUNIONSTORE", "z:big1", "2", "z:big1", "s:big1")
	p.same("DEBUG", "DIGEST-VALUE", "s:big1", "z:big1")
}

// The count of LMPOP and BLMPOP is given once.
func TestMpopCountTwice(t *testing.T) {
	p := newPair(t)
	p.same("RPUSH", "l", "a", "b", "c")
	for _, counts := range []string{"COUNT 1 COUNT 1", "COUNT 2 COUNT 1", "COUNT 1 LEFT", "COUNT 1"} {
		p.line("LMPOP 1 l LEFT " + counts)
		p.line("BLMPOP 0.01 1 l RIGHT " + counts)
	}
}
