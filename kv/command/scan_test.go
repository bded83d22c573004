package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

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
