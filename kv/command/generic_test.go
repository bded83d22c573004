package command

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	script(t, `
		DEL
		DEL a
		MSET a 1 b 2 c 3 d 4
		DEL a a nokey b
		UNLINK c c nokey
		UNLINK
		EXISTS d d nokey
		EXISTS
		TOUCH d d nokey
		TOUCH
		TYPE d
		TYPE nokey
		TYPE
		RENAME nokey x
		RENAME nokey nokey
		RENAME d d
		RENAMENX d d
		RENAMENX nokey d
		RENAME d e
		EXISTS d e
		SET f 1 EX 1000
		RENAME f e
		~ PTTL e
		GET e
		SET f 1
		RENAMENX e f
		RENAMENX e g
		~ PTTL g
		RENAME f g
		PTTL g
		RENAME g
		MOVE g
		MOVE g 0
		MOVE g 16
		MOVE g -1
		MOVE g x
		MOVE g 99999999999
		MOVE g -99999999999
		MOVE g 99999999999999999999
		MOVE nokey 1
		MOVE g 1
		EXISTS g
		SET g 2 EX 1000
		MOVE g 1
		SELECT 1
		GET g
		PTTL g
		DEL g
		SELECT 0
		MOVE g 1
		SELECT 1
		~ PTTL g
		COPY g
		COPY g g
		COPY g g DB 1
		COPY g g DB 0
		COPY g g DB 0
		COPY g g DB 0 REPLACE
		COPY g g REPLACE DB 15 DB 3
		COPY g h
		~ PTTL h
		COPY g h
		COPY g h REPLACE
		COPY nokey h REPLACE
		COPY nokey nokey
		COPY g h DB
		COPY g h DB x
		COPY g h DB 16
		COPY g h DB -1
		COPY g h DB 99999999999
		COPY g h FOO
		COPY g g DB 1 FOO
		SELECT 3
		GET g
		~ PTTL g
		RANDOMKEY
		RANDOMKEY a
		KEYS *
		KEYS
		KEYS x*
		DEL g
		RANDOMKEY
		KEYS *
		DBSIZE
		OBJECT
		OBJECT HELP
		OBJECT HELP x
		OBJECT FOO x
		OBJECT ENCODING
		OBJECT ENCODING nokey
		OBJECT REFCOUNT nokey
		OBJECT IDLETIME nokey
		OBJECT FREQ nokey
		SET a 1
		OBJECT ENCODING a
		OBJECT ENCODING a b
		OBJECT FREQ a
		~ OBJECT IDLETIME a
		OBJECT REFCOUNT a
		SET a 10000
		OBJECT REFCOUNT a
		SET a -1
		OBJECT REFCOUNT a
		SET a x
		OBJECT REFCOUNT a
	`)
}

func TestExpire(t *testing.T) {
	script(t, `
		EXPIRE
		EXPIRE a
		EXPIRE a 10
		EXPIRE nokey x
		EXPIRE nokey 10 FOO
		EXPIRE nokey 10 F\x00O
		EXPIRE nokey x FOO
		EXPIRE nokey 10 NX GT
		EXPIRE nokey 10 NX XX
		EXPIRE nokey 10 NX LT
		EXPIRE nokey 10 GT LT
		EXPIRE nokey 10 GT LT NX
		EXPIRE nokey 10 XX GT LT FOO
		TTL nokey
		PTTL nokey
		EXPIRETIME nokey
		PEXPIRETIME nokey
		PERSIST nokey
		SET a 1
		TTL a
		PTTL a
		EXPIRETIME a
		PEXPIRETIME a
		PERSIST a
		EXPIRE a 9223372036854775807
		EXPIRE a 9223372036854775
		EXPIRE a -9223372036854775808
		EXPIRE a -9223372036854776
		EXPIRE nokey 9223372036854775807
		PEXPIRE a 9223372036854775807
		PEXPIREAT a 9223372036854775807
		PEXPIRETIME a
		EXPIRETIME a
		~ TTL a
		~ PTTL a
		EXPIREAT a 9223372036854775
		PEXPIRETIME a
		EXPIREAT a 9223372036854776
		PERSIST a
		PERSIST a
		EXPIRE a 1000 XX
		EXPIRE a 1000 GT
		TTL a
		EXPIRE a 1000 NX
		~ PTTL a
		EXPIRE a 2000 NX
		EXPIRE a 500 GT
		EXPIRE a 2000 GT
		~ PTTL a
		EXPIRE a 3000 LT
		EXPIRE a 100 LT
		~ PTTL a
		EXPIRE a 100000 XX GT
		EXPIRE a 100 XX LT
		EXPIRE a 100 xx xx
		PERSIST a
		EXPIRE a 100 XX LT
		EXPIRE a 100 LT
		~ TTL a
		EXPIREAT a 33177117420
		EXPIRETIME a
		PEXPIRETIME a
		PEXPIREAT a 33177117420499
		EXPIRETIME a
		PEXPIREAT a 33177117420500
		EXPIRETIME a
		PEXPIREAT a 33177117420500 GT
		PEXPIREAT a 33177117420500 LT
		PEXPIREAT a 33177117420501 GT
		PEXPIRE a 100000
		~ PTTL a
		EXPIRE a 0
		EXISTS a
		SET a 1
		EXPIRE a -1 GT
		EXISTS a
		EXPIRE a -1 XX
		EXPIRE a -1 LT
		EXISTS a
		SET a 1
		EXPIRE a -9223372036854775
		EXISTS a
		SET a 1
		EXPIREAT a 1
		EXISTS a
		SET a 1
		PEXPIREAT a -1
		GET a
		SET a 1
		PEXPIRE a -9223372036854775808
		GET a
		TTL
		TTL a b
		PERSIST
	`)
}

// sorted returns the elements of a flat array reply in order.
func sorted(t testing.TB, reply string) []string {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(reply))
	head, _ := r.ReadString('\n')
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "*")))
	if err != nil {
		t.Fatalf("no array: %q", reply)
	}
	var list []string
	for range n {
		var b bytes.Buffer
		if err := readReply(r, &b); err != nil {
			t.Fatal(err)
		}
		list = append(list, b.String())
	}
	slices.Sort(list)
	return list
}

// sameSet is same for array replies in any order.
func (p *pair) sameSet(args ...string) {
	p.t.Helper()
	ours, theirs := p.both(args...)
	if ours[0] != '*' || theirs[0] != '*' {
		if ours != theirs {
			p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
		}
		return
	}
	if a, b := sorted(p.t, ours), sorted(p.t, theirs); !slices.Equal(a, b) {
		p.t.Errorf("%q\n kvd   %q\n redis %q", args, a, b)
	}
}

func TestKeysPatterns(t *testing.T) {
	p := newPair(t)
	for _, k := range []string{"", "a", "ab", "abc", "*", "[", "a*", "a-b", "b", "\x80", "\xff", "a\x00b", "]", "^", `\`, "key:1", "key:22"} {
		p.same("SET", k, "1")
	}
	p.same("SET", "gone", "1", "PXAT", "1")
	for _, pattern := range []string{"*", "", "?", "a?", "a*", "*b*", "[ab]", "[^ab]*", "[a-c]", "[c-a]*", `\*`, `a\*`, "[", "[a", "[]",
		"[^", "[^]", "a[b", "**", "*a**", "[\x7f-\xff]", "[\\]]", `\`, `[\`, "key:*", "key:?", "key:[0-9]", "nothing", "a\x00*"} {
		p.sameSet("KEYS", pattern)
		p.scanAll("MATCH", pattern)
	}
}

func TestRandomKey(t *testing.T) {
	p := newPair(t)
	seen := map[string]int{}
	for i := range 10 {
		p.same("SET", fmt.Sprint("k", i), "v")
	}
	for range 1000 {
		seen[p.ours("RANDOMKEY")]++
	}
	if len(seen) != 10 {
		t.Errorf("1000 picks of 10 keys: %v", seen)
	}
}

func TestHitsAndMisses(t *testing.T) {
	p := newPair(t)
	before := p.stat(t)
	runScript(p, `
		SET a 1
		MSET b 2 c 3
		GET a
		GET nokey
		GETEX a
		GETEX nokey
		GETDEL c
		GETDEL c
		GETSET a 1
		GETSET z 1
		MGET a b nokey
		STRLEN a
		GETRANGE nokey 0 1
		INCR n
		APPEND a x
		SETRANGE a 0 y
		LCS a nokey
		EXISTS a nokey
		TOUCH a nokey
		TYPE a
		TYPE nokey
		TTL nokey
		PTTL a
		EXPIRE a 1000
		PERSIST a
		COPY a a2
		COPY nokey a2
		RENAME a2 a3
		MOVE a3 2
		DUMP a
		DUMP nokey
		OBJECT ENCODING a
		OBJECT ENCODING nokey
		OBJECT FREQ a
		OBJECT REFCOUNT a
		~ OBJECT IDLETIME a
		DEL a a3
		SET a 1 GET
		SET a 1 NX
		SETNX a 1
		MSETNX a 1
		SCAN 0 TYPE foo
		SCAN 0 MATCH b TYPE string
	`)
	ours, theirs := p.stat(t), p.redisStat(t)
	if got := [2]int{ours[0] - before[0], ours[1] - before[1]}; got != theirs {
		t.Errorf("hits and misses: kvd %v, redis %v", got, theirs)
	}
}

// stat returns kvd's keyspace_hits and keyspace_misses.
func (p *pair) stat(t testing.TB) [2]int { return hitsOf(t, p.ours("INFO", "stats")) }

func (p *pair) redisStat(t testing.TB) [2]int { return hitsOf(t, p.theirs.do(t, "INFO", "stats")) }

func hitsOf(t testing.TB, info string) (n [2]int) {
	t.Helper()
	for i, name := range []string{"keyspace_hits:", "keyspace_misses:"} {
		_, rest, ok := strings.Cut(info, name)
		if !ok {
			t.Fatalf("no %s in %q", name, info)
		}
		text, _, _ := strings.Cut(rest, "\r\n")
		n[i], _ = strconv.Atoi(text)
	}
	return n
}

func TestDigest(t *testing.T) {
	p := newPair(t)
	p.same("DEBUG", "DIGEST")
	p.same("SET", "a", "1")
	p.same("DEBUG", "DIGEST")
	p.same("SET", "b", strings.Repeat("x", 1000), "EX", "1000")
	p.same("DEBUG", "DIGEST")
	p.same("DEBUG", "DIGEST-VALUE", "a", "b", "nokey")
	p.same("SELECT", "15")
	for i := range 2000 {
		p.same("SET", fmt.Sprint("k", i), fmt.Sprint(i*i))
	}
	p.same("DEBUG", "DIGEST")
	p.same("SELECT", "7")
	p.same("SET", "", "")
	p.same("DEBUG", "DIGEST")
	p.same("SELECT", "0")
	p.same("DEL", "a", "b")
	p.same("DEBUG", "DIGEST")
}
