package command

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvd/snapshot/rdb"
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
		OBJECT IDLETIME a
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
		TTL a
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

// scanAll compares what a complete SCAN returns.
func (p *pair) scanAll(options ...string) {
	p.t.Helper()
	ours := scanKeys(p.t, func(a ...string) string { return p.ours(a...) }, options)
	theirs := scanKeys(p.t, func(a ...string) string { return p.theirs.do(p.t, a...) }, options)
	if !slices.Equal(ours, theirs) {
		p.t.Errorf("SCAN %q\n kvd   %q\n redis %q", options, ours, theirs)
	}
}

// scanKeys runs SCAN to its end and returns the distinct keys in order.
func scanKeys(t testing.TB, do func(...string) string, options []string) []string {
	t.Helper()
	found := map[string]bool{}
	for cursor, calls := "0", 0; ; calls++ {
		reply := do(append([]string{"SCAN", cursor}, options...)...)
		lines := strings.SplitN(reply, "\r\n", 4)
		if len(lines) != 4 || lines[0] != "*2" || calls > 1_000_000 {
			t.Fatalf("SCAN %s %q: %q", cursor, options, reply)
		}
		for _, k := range sorted(t, lines[3]) {
			found[k] = true
		}
		if cursor = lines[2]; cursor == "0" {
			break
		}
	}
	keys := make([]string, 0, len(found))
	for k := range found {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestScan(t *testing.T) {
	script(t, `
		SCAN
		SCAN 0
		SCAN x
		SCAN 1x
		SCAN -
		SCAN ""
		SCAN 99999999999999999999
		SCAN 18446744073709551616
		SCAN 0 FOO
		SCAN 0 FOO 1
		SCAN 0 COUNT
		SCAN 0 COUNT 0
		SCAN 0 COUNT -1
		SCAN 0 COUNT x
		SCAN 0 COUNT 1.0
		SCAN 0 MATCH
		SCAN 0 TYPE
		SCAN 0 COUNT 10 MATCH
		SCAN 0 COUNT 10 MATCH *
		SCAN 0 TYPE string
		SCAN x FOO
		SET a 1
		SCAN 0
		SCAN +0
		SCAN 0 COUNT 9223372036854775807
		SCAN 0 COUNT 9223372036854775808
		SCAN 0 MATCH a TYPE string COUNT 5
		SCAN 0 MATCH b
		SCAN 0 TYPE STRING
		SCAN 0 TYPE list
		SCAN 0 TYPE foo
		SCAN 0 TYPE ""
		SCAN 0 count\x00x 5
	`)
	p := newPair(t)
	for i := range 500 {
		p.same("SET", fmt.Sprint("key:", i), "v")
	}
	p.scanAll()
	p.scanAll("COUNT", "1")
	p.scanAll("COUNT", "100", "MATCH", "key:*7*")
	p.scanAll("COUNT", "1000", "TYPE", "string")
	p.scanAll("TYPE", "hash")
	// A call returns about COUNT keys.
	calls := 0
	scanKeys(t, func(a ...string) string { calls++; return p.ours(a...) }, []string{"COUNT", "50"})
	if calls < 5 || calls > 15 {
		t.Errorf("500 keys with COUNT 50 took %d calls", calls)
	}
}

func TestParseCursor(t *testing.T) {
	for arg, want := range map[string]uint64{"": 0, "0": 0, "007": 7, "+5": 5, "-1": 1<<64 - 1, "-0": 0, "12\x00x": 12, "\x00": 0,
		"18446744073709551615": 1<<64 - 1, "-18446744073709551615": 1} {
		if got, ok := parseCursor([]byte(arg)); !ok || got != want {
			t.Errorf("%q: %d, %v", arg, got, ok)
		}
	}
	for _, arg := range []string{"x", "-", "+", "--1", " 1", "1 ", "1x", "0x1", "18446744073709551616", "-18446744073709551616"} {
		if got, ok := parseCursor([]byte(arg)); ok {
			t.Errorf("%q: %d", arg, got)
		}
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

// compressed tells whether a DUMP payload is LZF: the same value may have
// several such forms, and be worth it to one compressor only.
func compressed(dump string) bool { return len(dump) > 1 && dump[1] == 0xc3 }

// payload returns the string of a bulk reply.
func payload(reply string) string {
	_, rest, _ := strings.Cut(reply, "\r\n")
	return strings.TrimSuffix(rest, "\r\n")
}

func TestDumpRestore(t *testing.T) {
	p := newPair(t)
	values := []string{"", "0", "-1", "127", "128", "-129", "32767", "32768", "2147483647", "2147483648", "-2147483649",
		"9223372036854775807", "x", "-0", "007", strings.Repeat("ab", 8), "01234567890123456789", "012345678901234567890",
		strings.Repeat("z", 100), strings.Repeat("hello world ", 2000), string(bytes.Repeat([]byte{0, 255, 13, 10}, 20))}
	r := newRand(1)
	for _, n := range []int{63, 64, 16383, 16384, 70000} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		values = append(values, string(b))
	}
	for _, v := range values {
		p.same("SET", "k", v)
		ours, theirs := p.both("DUMP", "k")
		a, b := payload(ours), payload(theirs)
		if a != b && !compressed(a) && !compressed(b) {
			t.Errorf("DUMP of %.30q:\n kvd   %.60q\n redis %.60q", v, a, b)
		}
		for _, dump := range []string{a, b} {
			p.same("RESTORE", "r", "0", dump, "REPLACE")
			p.same("GET", "r")
			p.same("OBJECT", "ENCODING", "r")
		}
	}
	p.same("CONFIG", "SET", "rdbcompression", "no")
	p.same("SET", "k", strings.Repeat("z", 1000))
	p.same("DUMP", "k")
	p.same("CONFIG", "SET", "rdbcompression", "yes")
}

// sealed returns a DUMP payload with a right footer.
func sealed(value string, version uint16) string {
	b := binary.LittleEndian.AppendUint16([]byte(value), version)
	return string(binary.LittleEndian.AppendUint64(b, rdb.UpdateCRC(0, b)))
}

func TestRestoreErrors(t *testing.T) {
	p := newPair(t)
	good := sealed("\x00\x03abc", 10)
	for _, args := range [][]string{
		{"r", "0"}, {"r", "0", good}, {"r", "0", good}, {"r", "0", good, "REPLACE"}, {"r", "x", good}, {"r", "x", good, "REPLACE"},
		{"r", "-1", good, "REPLACE"}, {"r", "0", "", "REPLACE"}, {"r", "0", "123456789", "REPLACE"}, {"r", "0", "1234567890", "REPLACE"},
		{"r", "0", good[:len(good)-1] + "x", "REPLACE"}, {"r", "0", sealed("\x00\x20ab", 10), "REPLACE"}, {"r", "0", sealed("", 10), "REPLACE"},
		{"r", "0", sealed("\x00", 10), "REPLACE"}, {"r", "0", sealed("\x00\xc4abc", 10), "REPLACE"}, {"r", "0", sealed("\xc8\x03abc", 10), "REPLACE"},
		{"r", "0", sealed("\x00\x03abc", 1), "REPLACE"}, {"r", "0", sealed("\x00\x03abc", 9), "REPLACE"},
		{"r", "0", sealed("\x00\x03abc", 200), "REPLACE"}, {"r", "0", sealed("\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffabc", 10), "REPLACE"},
		{"r", "0", sealed("\x00\xc3\x03\x05abc", 10), "REPLACE"}, {"r", "0", good, "FOO"}, {"r", "0", good, "IDLETIME"}, {"r", "0", good, "IDLETIME", "-1"},
		{"r", "0", good, "IDLETIME", "x"}, {"r", "0", good, "FREQ", "256"}, {"r", "0", good, "FREQ", "-1"}, {"r", "0", good, "FREQ", "1", "IDLETIME", "1"},
		{"r", "0", good, "IDLETIME", "1", "FREQ", "1"}, {"r", "0", good, "IDLETIME", "1", "REPLACE"}, {"r", "0", good, "FREQ", "255", "REPLACE"},
		{"r", "0", good, "IDLETIME", "1", "IDLETIME", "2", "REPLACE"},
		{"r", "100000", good, "REPLACE"}, {"r", "1", good, "ABSTTL"}, {"r", "1", good, "ABSTTL", "REPLACE"}, {"r", "1", good, "ABSTTL"},
		{"r", "33177117420000", good, "ABSTTL"}, {"r", "9223372036854775807", good, "REPLACE"}, {"r", "9223372036854775807", good, "REPLACE", "ABSTTL"},
	} {
		p.same(append([]string{"RESTORE"}, args...)...)
		p.same("DBSIZE") // a time that has passed leaves no key behind, not even an expired one
		p.same("EXISTS", "r")
		p.same("GET", "r")
		p.about(500, "PTTL", "r")
	}
	p.same("RESTORE", "i", "0", good, "IDLETIME", "1000")
	p.about(60, "OBJECT", "IDLETIME", "i")
	p.same("GET", "i")
	p.about(2, "OBJECT", "IDLETIME", "i")
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
		OBJECT IDLETIME a
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

// TestFacts compares what COMMAND INFO says of every command of the two groups.
func TestFacts(t *testing.T) {
	p := newPair(t)
	for _, list := range [][]*Spec{stringCommands, genericCommands} {
		for _, s := range list {
			if s.Sub != nil {
				continue // the order of subcommands is that of a hash table
			}
			p.same("COMMAND", "INFO", s.Name)
		}
	}
	for _, sub := range []string{"encoding", "freq", "idletime", "refcount", "help"} {
		p.same("COMMAND", "INFO", "object|"+sub)
	}
}
