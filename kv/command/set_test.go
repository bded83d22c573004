package command

import (
	"fmt"
	"strings"
	"testing"
)

func TestSets(t *testing.T) {
	script(t, `
		SADD
		SADD s
		SADD s 1
		SADD s 1 2 1 3
		OBJECT ENCODING s
		SADD s 01
		OBJECT ENCODING s
		SREM s 01 nothing
		OBJECT ENCODING s
		SCARD s
		SCARD nokey
		SISMEMBER s 2
		SISMEMBER s 02
		SISMEMBER nokey 2
		SMISMEMBER s 1 x 3
		SMISMEMBER nokey 1 x
		SMEMBERS nokey
		SREM nokey a
		SREM s 1 2 3
		EXISTS s
		SADD "" ""
		SMEMBERS ""
		SISMEMBER "" ""
		SET str x
		SADD str a
		SREM str a
		SCARD str
		SMEMBERS str
		SISMEMBER str a
		SMISMEMBER str a
		SPOP str
		SPOP str 1
		SPOP str 0
		SPOP str -1
		SRANDMEMBER str
		SRANDMEMBER str 0
		SRANDMEMBER str x
		SINTER str
		SINTER nokey str
		SUNION nokey str
		SDIFF nokey str
		SINTERSTORE out nokey str
		SINTERCARD 2 nokey str
		SSCAN str 0
		SSCAN str x
		SPOP nokey
		SPOP nokey 1
		SPOP nokey -1
		SPOP nokey x
		SPOP nokey 1 2
		SPOP nokey 99999999999999999999
		SPOP nokey +1
		SRANDMEMBER nokey
		SRANDMEMBER nokey 5
		SRANDMEMBER nokey -5
		SRANDMEMBER nokey 1 2
		SRANDMEMBER nokey -9223372036854775808
		SRANDMEMBER nokey -9223372036854775807
		SRANDMEMBER nokey 9223372036854775808
	`)
}

func TestSetAlgebra(t *testing.T) {
	script(t, `
		SADD a 1 2 3
		SADD b 2 3 4
		SADD c x
		SINTERSTORE out a b
		OBJECT ENCODING out
		SINTERCARD 2 a b
		SINTERCARD 2 a b LIMIT 1
		SINTERCARD 2 a b LIMIT 0
		SINTERCARD 2 a b limit 9
		SINTERCARD 2 a b LIMIT -1
		SINTERCARD 2 a b LIMIT x
		SINTERCARD 2 a b LIMIT
		SINTERCARD 2 a b LIMIT 1 LIMIT 2
		SINTERCARD 2 a b FOO 1
		SINTERCARD 3 a b
		SINTERCARD 0 a
		SINTERCARD -1 a
		SINTERCARD x a
		SINTERCARD 1 nokey
		SINTERCARD 2 a nokey
		SINTERSTORE out a nokey
		EXISTS out
		SINTERSTORE out a nokey
		SUNIONSTORE out a b c
		OBJECT ENCODING out
		SCARD out
		SUNIONSTORE out nokey nokey
		EXISTS out
		SUNIONSTORE a a b
		SCARD a
		SDIFFSTORE out a b
		SDIFFSTORE out a a
		SDIFFSTORE out nokey a
		SDIFFSTORE out a nokey
		SET out text
		EXPIRE out 100
		SDIFFSTORE out a b
		TYPE out
		TTL out
		SMOVE a b 1
		SMOVE a b 1
		SMOVE a a 2
		SMOVE a a nothing
		SMOVE nokey b 1
		SMOVE c new x
		EXISTS c
		SMOVE new c x
		SET str x
		SMOVE str a 1
		SMOVE a str 2
		SMOVE nokey str 2
		SMOVE a str nothing
		COMMAND GETKEYS SINTERCARD 2 a b
		COMMAND GETKEYS SINTERCARD 2 a b LIMIT 3
		COMMAND GETKEYS SINTERCARD 3 a b
		COMMAND GETKEYS SINTERCARD x a b
		COMMAND GETKEYS SINTERSTORE out a b
		COMMAND GETKEYS SMOVE a b c
		COMMAND GETKEYS SORT a BY b GET c STORE d store e GET STORE f
		COMMAND GETKEYS SORT a BY store LIMIT 1 STORE x
		COMMAND GETKEYS SORT a
		COMMAND GETKEYS SORT_RO a STORE b
		COMMAND GETKEYSANDFLAGS SORT a STORE b
		COMMAND GETKEYSANDFLAGS SORT_RO a
	`)
}

// TestSetsInMulti: what is queued together locks enough, also for keys that nobody can know.
func TestSetsInMulti(t *testing.T) {
	script(t, `
		RPUSH l 1 2 3
		MSET w1 3 w2 2 w3 1
		MULTI
		SADD s b a
		SORT l BY w* GET w* GET #
		SORT s ALPHA STORE l
		SUNIONSTORE u s s
		SORT l BY nosort
		SREM s b
		SPOP s 5
		EXEC
		LRANGE l 0 -1
		SCARD u
	`)
}

// TestSortOfEverything sorts long strings and hash fields by other keys, in a store with more than
// one shard.
func TestSortOfEverything(t *testing.T) {
	p := newPair(t)
	for i := range 300 {
		p.same("RPUSH", "l", fmt.Sprint(i))
		p.same("SET", fmt.Sprintf("weight:%d", i), fmt.Sprint((i*7919)%300))
		p.same("HSET", fmt.Sprintf("hash:%d", i), "text", strings.Repeat(fmt.Sprint(i), 1+i%40))
	}
	p.same("SET", "text:7", strings.Repeat("long", 20_000))
	p.same("SORT", "l", "BY", "weight:*")
	p.same("SORT", "l", "BY", "weight:*", "GET", "hash:*->text", "GET", "text:*", "DESC", "LIMIT", "20", "200")
	p.same("SORT", "l", "BY", "hash:*->text", "ALPHA", "STORE", "out")
	p.same("LRANGE", "out", "0", "-1")
}

// TestSortLocks: patterns lock everything, since they may lead to any key.
func TestSortLocks(t *testing.T) {
	for line, want := range map[string]LockMode{
		"SORT k": LockKeys, "SORT k DESC ALPHA LIMIT 1 2 STORE d": LockKeys, "SORT k BY nosort GET #": LockKeys,
		"SORT k BY w*": LockAll, "SORT k GET w*": LockAll, "SORT_RO k BY nosort GET w*->f": LockAll, "SORT k LIMIT x y GET w*": LockKeys,
	} {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		if got := sharedTable().lookup(args).lockMode(args); got != want {
			t.Errorf("%s: lock mode %d, want %d", line, got, want)
		}
	}
}

// TestSetsAllocateNothing: the frequent commands make no garbage, whatever the encoding.
func TestSetsAllocateNothing(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	for i := range 1000 {
		doString(x, c, "SADD", "tree", fmt.Sprint("member", i))
		doString(x, c, "SADD", "ints", fmt.Sprint(i%100))
		doString(x, c, "SADD", "texts", fmt.Sprint("m", i%50))
	}
	for _, key := range []string{"tree", "ints", "texts"} {
		member := map[string]string{"tree": "member500", "ints": "5000", "texts": "mx"}[key]
		for _, name := range []string{"SISMEMBER", "SADD", "SREM", "SCARD", "SRANDMEMBER"} {
			args := [][]byte{[]byte(name), []byte(key), []byte(member)}
			back := [][]byte{[]byte("SADD"), []byte(key), []byte(member)}
			switch name {
			case "SADD":
				back[0] = []byte("SREM")
			case "SCARD", "SRANDMEMBER":
				args = args[:2]
			}
			if n := testing.AllocsPerRun(200, func() {
				x.Do(c, args)
				x.Do(c, back)
				c.Out = c.Out[:0]
			}); n > 0 {
				t.Errorf("%s of %s, then %s: %.1f allocations", name, key, back[0], n)
			}
		}
	}
}

// TestManyElementsMakeLittleGarbage: what is replied with many elements makes no garbage for each.
func TestManyElementsMakeLittleGarbage(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	for _, n := range []string{"100", "1000"} { // in one block, and in a tree
		for i := range map[string]int{"100": 100, "1000": 1000}[n] {
			doString(x, c, "SADD", "set"+n, fmt.Sprint("member", i))
			doString(x, c, "SADD", "ints"+n, fmt.Sprint(i))
			doString(x, c, "RPUSH", "list"+n, strings.Repeat(fmt.Sprint("element", i), 5))
			doString(x, c, "HSET", "hash"+n, fmt.Sprint("field", i), "v")
			doString(x, c, "ZADD", "zset"+n, fmt.Sprint(i), fmt.Sprint("member", i))
		}
		for _, line := range []string{
			"SMEMBERS set", "SMEMBERS ints", "SSCAN set 0 COUNT 1000", "LRANGE list 0 -1", "LPOS list nosuch",
			"HGETALL hash", "HSCAN hash 0 COUNT 1000", "ZRANGE zset 0 -1 WITHSCORES", "ZRANGE zset 0 -1 REV",
		} {
			var args [][]byte
			for _, word := range strings.Fields(line) {
				args = append(args, []byte(word))
			}
			args[1] = append(args[1], n...)
			x.Do(c, args)
			c.Out = c.Out[:0]
			if got := testing.AllocsPerRun(20, func() {
				x.Do(c, args)
				c.Out = c.Out[:0]
			}); got > 8 {
				t.Errorf("%s with %s elements: %.0f allocations", line, n, got)
			}
		}
	}
}
