package command

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// script runs the lines of a text as commands on both servers, with either
// protocol version, each time on empty ones. Words are split at blanks; ""
// stands for an empty word and \x00 for a NUL byte. Lines that begin with ~
// may differ by a little where they end in a time, lines with ; are comments.
func script(t *testing.T, text string) {
	t.Helper()
	for _, version := range []string{"2", "3"} {
		p := newPair(t)
		p.both("HELLO", version)
		runScript(p, text)
	}
}

func runScript(p *pair, text string) {
	p.t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' {
			continue
		}
		rest, about := strings.CutPrefix(line, "~")
		args := strings.Fields(rest)
		for i, a := range args {
			if a[0] != '"' {
				a = `"` + a + `"`
			}
			if text, err := strconv.Unquote(a); err == nil {
				args[i] = text
			}
		}
		if about {
			p.about(30_000, args...) // times are 100 s or more
		} else {
			p.same(args...)
		}
	}
}

// about is same for replies that are an integer and may differ by tolerance.
func (p *pair) about(tolerance int64, args ...string) {
	p.t.Helper()
	ours, theirs := p.both(args...)
	a, errA := strconv.ParseInt(strings.Trim(ours, ":\r\n"), 10, 64)
	b, errB := strconv.ParseInt(strings.Trim(theirs, ":\r\n"), 10, 64)
	if ours == theirs || errA == nil && errB == nil && max(a-b, b-a) <= tolerance && a >= 0 && b >= 0 {
		return
	}
	p.t.Errorf("%q\n kvd   %q\n redis %q", args, ours, theirs)
}

func TestSet(t *testing.T) {
	script(t, `
		SET
		SET a
		GET a
		GET
		GET a b
		SET a 1
		GET a
		SET a "" foo
		SET a 2 NX
		SET a 2 XX
		SET b 2 XX
		SET b 2 NX
		SET b 3 NX XX
		SET b 3 XX NX
		SET b 3 NX NX
		SET b 3 nx\x00junk
		SET b 4 NX GET
		SET c 4 NX GET
		SET c 5 XX GET
		SET nokey 5 XX GET
		SET c 6 GET
		SET d 6 GET
		SET d 7 GET GET XX
		SET e 1 EX
		SET e 1 EX abc
		SET e 1 EX 0
		SET e 1 EX -1
		SET e 1 PX 0
		SET e 1 PX -5
		SET e 1 EXAT 0
		SET e 1 PXAT -1
		SET e 1 EX 9223372036854775807
		SET e 1 EX 9223372036854775
		SET e 1 PX 9223372036854775807
		SET e 1 EXAT 9223372036854775807
		SET e 1 EXAT 9223372036854775
		PEXPIRETIME e
		SET e 1 PXAT 9223372036854775807
		PEXPIRETIME e
		EXPIRETIME e
		SET e 1 EX 10.5
		SET e 1 EX +10
		SET e 1 EX 10 EX 20
		~ PTTL e
		SET e 1 EX 10 PX 20
		SET e 1 PX 10 EX 20
		SET e 1 EX 10 KEEPTTL
		SET e 1 KEEPTTL EX 10
		SET e 1 KEEPTTL KEEPTTL
		~ PTTL e
		SET e 1 PERSIST
		SET e 1 EX NX
		SET e 1 EX 100 NX
		SET e 1 GET EX 100
		~ PTTL e
		SET e 2 KEEPTTL
		~ PTTL e
		SET e 3
		PTTL e
		SET e 1 EXAT 1
		GET e
		SET e 1 PXAT 1 NX
		EXISTS e
		SET e 2 KEEPTTL
		TTL e
		SET e 1 ex 100 xx get
		SETNX a 1
		SETNX f 1
		SETNX f
		SETEX f 100 v
		~ PTTL f
		SETEX f 0 v
		SETEX f -1 v
		SETEX f x v
		SETEX f 9223372036854775807 v
		PSETEX f 100000 v
		~ PTTL f
		PSETEX f 0 v
		PSETEX f x v
		GETSET f w
		PTTL f
		GETSET g w
		GETSET g
		GETDEL g
		GETDEL g
		GETDEL
		GET g
		MSET a
		MSET a 1 b
		MSET a 1 b 2 a 3
		MGET a b nokey a
		MGET
		MSETNX a 1 z 2
		MSETNX y 1 z 2 y
		MSETNX y 1 z 2 y 3
		MGET y z
		STRLEN a
		STRLEN nokey
		STRLEN
	`)
}

func TestGetex(t *testing.T) {
	script(t, `
		GETEX a
		GETEX
		SET a v
		GETEX a
		GETEX a EX
		GETEX a EX 0
		GETEX a EX abc
		GETEX nokey EX abc
		GETEX nokey EX 0
		GETEX nokey BAD
		GETEX a EX 100
		~ PTTL a
		GETEX a PX 200000
		~ PTTL a
		GETEX a
		~ PTTL a
		GETEX a PERSIST
		PTTL a
		GETEX a PERSIST PERSIST
		GETEX a PERSIST EX 10
		GETEX a EX 10 PERSIST
		GETEX a KEEPTTL
		GETEX a NX
		GETEX a EX 10 PX 10
		GETEX a EX 10 EX 20
		~ PTTL a
		GETEX a EXAT 33177117420
		PTTL nokey
		EXPIRETIME a
		GETEX a PXAT 33177117420123
		PEXPIRETIME a
		EXPIRETIME a
		GETEX a EXAT 9223372036854775807
		GETEX a PX 9223372036854775807
		GETEX a EXAT -1
		DBSIZE
		GETEX a EXAT 1
		DBSIZE
		GETEX a
		EXISTS a
	`)
}

func TestEncodings(t *testing.T) {
	values := []string{"", "0", "1", "-1", "-0", "00", "01", "+1", " 1", "1 ", "-", "--1", "1a", "9999", "10000",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "3.0", "1e5", "0x10", ":", "/", strings.Repeat("9", 20), strings.Repeat("1", 21),
		strings.Repeat("x", 44), strings.Repeat("x", 45), strings.Repeat("1", 44), strings.Repeat("1", 45)}
	commands := [][]string{{"SET", "k", "V"}, {"SET", "k", "V", "EX", "1000"}, {"SETNX", "k", "V"}, {"GETSET", "k", "V"},
		{"SETEX", "k", "100", "V"}, {"PSETEX", "k", "100000", "V"}, {"MSET", "k", "V"}, {"MSETNX", "k", "V"},
		{"APPEND", "k", "V"}, {"SETRANGE", "k", "0", "V"}, {"SETRANGE", "k", "3", "V"}, {"INCRBY", "k", "V"},
		{"INCRBYFLOAT", "k", "V"}}
	p := newPair(t)
	for _, v := range values {
		for _, c := range commands {
			args := append([]string{}, c...)
			for i := range args {
				if args[i] == "V" {
					args[i] = v
				}
			}
			p.same("DEL", "k", "k2", "k3")
			p.same(args...)
			p.same("OBJECT", "ENCODING", "k")
			p.same("OBJECT", "REFCOUNT", "k")
			p.same("GET", "k")
			p.same("INCR", "k")
			p.same("OBJECT", "ENCODING", "k")
			p.same("COPY", "k", "k2")
			p.same("OBJECT", "ENCODING", "k2")
			p.same("RENAME", "k", "k3")
			p.same("OBJECT", "ENCODING", "k3")
			p.same("APPEND", "k3", "")
			p.same("OBJECT", "ENCODING", "k3")
			p.same("APPEND", "k2", v)
			p.same("OBJECT", "ENCODING", "k2")
			p.same("GET", "k2")
		}
	}
}

func TestIncr(t *testing.T) {
	script(t, `
		INCR a
		INCR a
		INCR
		DECR a
		DECR b
		INCRBY a 10
		INCRBY a x
		INCRBY a 1.5
		INCRBY a -100
		INCRBY a 9223372036854775808
		DECRBY a -9223372036854775808
		DECRBY a 9223372036854775807
		DECRBY a 9223372036854775807
		DECRBY a -9223372036854775807
		SET a 9223372036854775807
		INCR a
		INCRBY a 0
		DECR a
		SET a -9223372036854775808
		DECR a
		INCRBY a -1
		DECRBY a 1
		INCRBY a 9223372036854775807
		SET a ""
		INCR a
		INCRBYFLOAT a 1
		SET a 01
		INCR a
		SET a 1.5
		INCR a
		DECRBY a 1
		EXPIRE a 1000
		INCRBYFLOAT a 1.5
		~ PTTL a
		INCR a
		~ PTTL a
		OBJECT ENCODING a
		INCRBYFLOAT a 0
		OBJECT ENCODING a
		INCRBYFLOAT a x
		INCRBYFLOAT a ""
		INCRBYFLOAT a inf
		INCRBYFLOAT a -inf
		INCRBYFLOAT a nan
		INCRBYFLOAT a 1e400
		INCRBYFLOAT b 1e30
		INCRBYFLOAT b 1e-20
		INCRBYFLOAT c 0.1
		INCRBYFLOAT c 0.2
		INCRBYFLOAT c -0.3
		INCRBYFLOAT c 3.0e3
		INCRBYFLOAT c 0x10
		INCRBYFLOAT c 1e4932
		INCRBYFLOAT c 1e4932
		SET d 10.50
		INCRBYFLOAT d 0.1
		INCRBYFLOAT d -5
		INCRBYFLOAT d 1e17
		OBJECT ENCODING d
		INCRBYFLOAT d 1e50
		OBJECT ENCODING d
		SET e abc
		INCRBYFLOAT e 1
		INCRBYFLOAT e
	`)
}

func TestRanges(t *testing.T) {
	script(t, `
		APPEND a ""
		EXISTS a
		OBJECT ENCODING a
		APPEND a abc
		APPEND b 12
		OBJECT ENCODING b
		APPEND b 3
		OBJECT ENCODING b
		INCR b
		OBJECT ENCODING b
		GET b
		APPEND b
		EXPIRE b 1000
		APPEND b x
		~ PTTL b
		SETRANGE c 0 ""
		EXISTS c
		SETRANGE c 5 x
		GET c
		SETRANGE c 1 yy
		GET c
		SETRANGE c 0 ""
		SETRANGE c -1 x
		SETRANGE c -1 ""
		SETRANGE c x y
		SETRANGE c 4294967296 y
		SETRANGE c 536870911 yy
		SETRANGE c 9223372036854775807 y
		SETRANGE nokey 536870912 y
		SETRANGE nokey 9223372036854775807 ""
		SETRANGE b 1 Z
		~ PTTL b
		OBJECT ENCODING b
		SET d 1234567890
		SETRANGE d 2 0
		OBJECT ENCODING d
		GETRANGE d 0 -1
		GETRANGE d 0 0
		GETRANGE d 3 5
		GETRANGE d -3 -1
		GETRANGE d -1 -3
		GETRANGE d -100 3
		GETRANGE d -100 -50
		GETRANGE d -50 -100
		GETRANGE d 3 100
		GETRANGE d 10 100
		GETRANGE d 9 9
		GETRANGE d 5 3
		GETRANGE d 5 4
		GETRANGE d -3 -4
		GETRANGE d 9223372036854775807 9223372036854775807
		GETRANGE d -9223372036854775808 9223372036854775807
		GETRANGE d -9223372036854775808 -9223372036854775808
		GETRANGE d 0 -9223372036854775808
		GETRANGE d a 3
		GETRANGE d 0 b
		GETRANGE nokey 0 b
		GETRANGE nokey 0 -1
		SET e ""
		GETRANGE e 0 -1
		GETRANGE e 0 0
		GETRANGE e -1 -1
		SUBSTR d 3 5
		SUBSTR d 3
		SUBSTR nokey 3 5
		CONFIG SET proto-max-bulk-len 1mb
		SETRANGE f 1048575 x
		SETRANGE f 1048576 x
		APPEND f x
		LCS f f LEN
		CONFIG SET proto-max-bulk-len 512mb
	`)
}

func TestLCS(t *testing.T) {
	const text = `
		MSET a ohmytext b mynewtext c "" n 12345678 m 92345678
		LCS a b
		LCS a b LEN
		LCS a b IDX
		LCS a b IDX MINMATCHLEN 4
		LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
		LCS a b IDX MINMATCHLEN -4 WITHMATCHLEN
		LCS a b IDX MINMATCHLEN 0
		LCS a b IDX MINMATCHLEN x
		LCS a b IDX MINMATCHLEN
		LCS a b WITHMATCHLEN
		LCS a b MINMATCHLEN 100
		LCS a b LEN MINMATCHLEN 100
		LCS a b LEN IDX
		LCS a b FOO
		LCS a
		LCS a c
		LCS c a IDX
		LCS c c
		LCS c c LEN
		LCS c c IDX
		LCS a nokey IDX
		LCS nokey nokey
		LCS a a IDX WITHMATCHLEN
		LCS n m
		LCS n m IDX
		LCS m n len\x00x
	`
	script(t, text)
	for seed := range 30 {
		p := newPair(t)
		p.both("HELLO", strconv.Itoa(2+seed%2))
		r := newRand(uint64(seed))
		for _, key := range []string{"a", "b"} {
			b := make([]byte, r.IntN(80))
			for i := range b {
				b[i] = byte('a' + r.IntN(1+seed%4))
			}
			p.same("SET", key, string(b))
		}
		for _, o := range []string{"", "LEN", "IDX", "IDX WITHMATCHLEN", "IDX MINMATCHLEN 2", "IDX WITHMATCHLEN MINMATCHLEN 3"} {
			p.line("LCS a b " + o)
			p.line("LCS b a " + o)
			p.line("LCS a a " + o)
		}
	}
}

// TestLongestString goes to the limit of 512 MiB; it takes a GiB of memory.
func TestLongestString(t *testing.T) {
	p := newPair(t)
	if os.Getenv("KVD_LONG") != "1" { // the limits alone, without half a gigabyte
		runScript(p, `
			SETRANGE k 536870912 y
			SETRANGE k 536870911 xy
			SETRANGE k -1 y
			STRLEN k
		`)
		return
	}
	runScript(p, `
		SETRANGE k 536870911 x
		STRLEN k
		GETRANGE k -3 -1
		APPEND k y
		SETRANGE k 536870912 y
		SETRANGE k 536870911 y
		GETRANGE k 536870910 -1
		LCS k nokey LEN
		COPY k k2
		GETRANGE k2 -1 -1
		DEL k k2
	`)
}

// TestNoAllocation holds the paths of the frequent commands to no allocation.
func TestNoAllocation(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	for _, line := range []string{"SET k v", "SET k 12345", "SET k v EX 1000", "SET k v XX GET", "GET k", "GET nokey", "MGET k k nokey", "MSET a 1 b 2",
		"INCR n", "INCRBY n 5", "APPEND s x", "SETRANGE s 0 y", "GETRANGE s 0 1", "STRLEN k", "EXISTS k nokey", "TTL k", "EXPIRE k 1000 GT",
		"TYPE k", "OBJECT ENCODING k", "COPY k k2 REPLACE", "RANDOMKEY", "DEL k2",
		"SETBIT bits 1000 1", "SETBIT long 4000000 1", "GETBIT long 3000000", "BITCOUNT bits 0 -1", "BITPOS long 1", "BITOP OR to bits bits",
		"PFADD grows a", "BITFIELD long INCRBY u8 1000000 5 INCRBY i5 17 1 GET u9 3", "GETRANGE long 5 10", "STRLEN long", "SETRANGE long 300000 abc",
		"APPEND long x", "PFADD hll a b c", "PFCOUNT hll"} {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		run := func() {
			c.Out = c.Out[:0]
			x.Do(c, args)
		}
		run()
		if n := testing.AllocsPerRun(200, run); n > 0 {
			t.Errorf("%s allocates %.0f times", line, n)
		}
	}
}
