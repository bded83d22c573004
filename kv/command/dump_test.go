package command

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"kvd/snapshot/rdb"
)

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
		p.about(30_000, "PTTL", "r")
	}
	p.same("RESTORE", "i", "0", good, "IDLETIME", "1000")
	p.about(60, "OBJECT", "IDLETIME", "i")
	p.same("GET", "i")
	p.about(60, "OBJECT", "IDLETIME", "i")
}

// TestRestoreOtherTypes: a type that kvd does not have is named in the error.
func TestRestoreOtherTypes(t *testing.T) {
	p := newPair(t)
	if got := p.ours("RESTORE", "module", "0", sealed("\x07\x81abcdefgh\x00", 10)); got != "-ERR Bad data format: values of type 'module-2' are not supported\r\n" {
		t.Errorf("RESTORE of a module's value: %q", got)
	}
	if got := p.ours("EXISTS", "module"); got != ":0\r\n" {
		t.Errorf("EXISTS after a refused RESTORE: %q", got)
	}
}

// TestRestoreDamaged: what is wrong inside a value is found, and what was there before stays.
func TestRestoreDamaged(t *testing.T) {
	p := newPair(t)
	p.same("CONFIG", "SET", "sanitize-dump-payload", "yes")
	defer p.same("CONFIG", "SET", "sanitize-dump-payload", "no")
	p.same("SET", "k", "old")
	for name, value := range map[string]string{
		"set, twice":      "\x02\x02\x01a\x01a",
		"hash, twice":     "\x04\x02\x01a\x01b\x01a\x01c",
		"zset, twice":     "\x05\x02\x01a12345678\x01a12345678",
		"set, empty":      "\x02\x00",
		"list, empty":     "\x12\x00",
		"hash, cut":       "\x04\x02\x01a\x01b\x01c",
		"hash, behind":    "\x04\x01\x01a\x01bc",
		"listpack":        "\x10\x03abc",
		"listpack, twice": "\x10" + "\x13\x13\x00\x00\x00\x04\x00\x81a\x02\x81b\x02\x81a\x02\x81c\x02\xff",
		"intset, order":   "\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x00",
		"zset, nan":       "\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f",
		"stream":          "\x13\x01\x10aaaaaaaaaaaaaaaa\x01x",
	} {
		got, want := p.both("RESTORE", "k", "0", sealed(value, 10), "REPLACE")
		if got != "-ERR Bad data format\r\n" || got != want && name != "hash, behind" {
			t.Errorf("%s: kvd %q, redis %q", name, got, want)
		}
		if got := p.ours("GET", "k"); got != "$3\r\nold\r\n" {
			t.Errorf("%s: the key is %q", name, got)
		}
		p.theirs.do(t, "SET", "k", "old")
	}
}
