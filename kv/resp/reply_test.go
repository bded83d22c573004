package resp

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestReplies(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"ok", string(AppendOK(nil)), OK},
		{"status", string(AppendString(nil, "a\r\nb")), "+a  b\r\n"},
		{"error", string(AppendError(nil, "ERR a\r\n+OK\nb")), "-ERR a  +OK b\r\n"},
		{"bulk", string(AppendBulk(nil, []byte("a\r\nb"))), "$4\r\na\r\nb\r\n"},
		{"bulk header", string(AppendBulkHeader(nil, 123456)), "$123456\r\n"},
		{"bulk int", string(AppendBulkInt(nil, math.MinInt64)), "$20\r\n-9223372036854775808\r\n"},
		{"map 2", string(AppendMap(nil, 7, false)), "*14\r\n"},
		{"map 3", string(AppendMap(nil, 7, true)), "%7\r\n"},
		{"set 2", string(AppendSet(nil, 7, false)), "*7\r\n"},
		{"set 3", string(AppendSet(nil, 7, true)), "~7\r\n"},
		{"push 2", string(AppendPush(nil, 3, false)), "*3\r\n"},
		{"push 3", string(AppendPush(nil, 3, true)), ">3\r\n"},
		{"attribute", string(AppendAttribute(nil, 1)), "|1\r\n"},
		{"null 2", string(AppendNull(nil, false)), NullBulk},
		{"null 3", string(AppendNull(nil, true)), Null},
		{"null array 2", string(AppendNullArray(nil, false)), NullArray},
		{"null array 3", string(AppendNullArray(nil, true)), Null},
		{"true 2", string(AppendBool(nil, true, false)), ":1\r\n"},
		{"false 3", string(AppendBool(nil, false, true)), "#f\r\n"},
		{"double 2", string(AppendDouble(nil, 0.1, false)), "$19\r\n0.10000000000000001\r\n"},
		{"double 3", string(AppendDouble(nil, 0.1, true)), ",0.10000000000000001\r\n"},
		{"inf 2", string(AppendDouble(nil, math.Inf(-1), false)), "$4\r\n-inf\r\n"},
		{"inf 3", string(AppendDouble(nil, math.Inf(1), true)), ",inf\r\n"},
		{"big 2", string(AppendBigNumber(nil, "-12", false)), "$3\r\n-12\r\n"},
		{"big 3", string(AppendBigNumber(nil, "-12", true)), "(-12\r\n"},
		{"verbatim 2", string(AppendVerbatim(nil, "txt", "a", false)), "$1\r\na\r\n"},
		{"verbatim 3", string(AppendVerbatim(nil, "txt", "a", true)), "=5\r\ntxt:a\r\n"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestHeadersOfAllWidths(t *testing.T) {
	for _, n := range []int64{0, 9, 10, 99, 100, 999, 1000, 9999, 10000, 12345, math.MaxInt64, -1, -9, -10, math.MinInt64} {
		if got, want := string(AppendInt([]byte("x"), n)), "x:"+strconv.FormatInt(n, 10)+"\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for n := range 12000 {
		s := strings.Repeat("v", n)
		if got, want := string(AppendBulkString(nil, s)), "$"+strconv.Itoa(n)+"\r\n"+s+"\r\n"; got != want {
			t.Fatalf("%d bytes: %.20q", n, got)
		}
	}
}

// TestNoAllocations: what every request passes through must not give the collector work.
func TestNoAllocations(t *testing.T) {
	dst := make([]byte, 0, 256)
	value := []byte("value")
	in := []byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nabcdefghijkl\r\n")
	var p Parser
	p.Next(in, true)
	for name, f := range map[string]func(){
		"Next":        func() { p.Next(in, true) },
		"Next slowly": func() { p.Next(in[:10], false); p.Next(in[:20], false); p.Next(in, false) },
		"reply":       func() { AppendBulk(AppendArray(AppendInt(dst, 123456), 2), value) },
		"error":       func() { AppendError(dst, "ERR syntax error") },
		"double":      func() { AppendDouble(AppendDouble(dst, 0.1, false), 1e300, true) },
		"bulk int":    func() { AppendBulkInt(dst, math.MinInt64) },
		"ParseInt":    func() { ParseInt(value) },
		"ParseFloat":  func() { ParseFloat([]byte("123.456")) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
