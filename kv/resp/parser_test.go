package resp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// transcript is what a stream of bytes meant: its commands, its error, and how many bytes are left over.
func transcript(commands [][]string, err error, rest int) string {
	return fmt.Sprintf("%q err=%v rest=%d", commands, err, rest)
}

func words(args [][]byte) []string {
	w := make([]string, len(args))
	for i, a := range args {
		w[i] = string(a)
	}
	return w
}

// feed parses stream in pieces whose lengths cut returns, each time in a new copy of the unconsumed bytes, and with the
// old copy spoiled.
func feed(t testing.TB, p *Parser, stream []byte, authenticated bool, cut func(rest int) int) string {
	t.Helper()
	var commands [][]string
	var buf []byte
	for {
		for {
			args, n, err := p.Next(buf, authenticated)
			if err != nil {
				var protocol ProtocolError
				if !errors.As(err, &protocol) || !strings.HasPrefix(err.Error(), "ERR Protocol error: ") {
					t.Fatalf("not a protocol error: %v", err)
				}
				return transcript(commands, err, 0)
			}
			if n == 0 {
				if len(args) != 0 {
					t.Fatal("arguments without consumed bytes")
				}
				break
			}
			if len(args) > 0 {
				commands = append(commands, words(args))
			}
			buf = buf[n:]
		}
		if want := p.Want(); want < 1 {
			t.Fatalf("incomplete, but wants %d bytes", want)
		}
		if limit := 24*len(buf) + 24*max(keptArgs, 64) + 2*MaxInline; p.Memory() > limit {
			t.Fatalf("%d bytes held for %d bytes of input", p.Memory(), len(buf))
		}
		if len(stream) == 0 {
			return transcript(commands, nil, len(buf))
		}
		n := min(max(cut(len(stream)), 1), len(stream))
		moved := append(append(make([]byte, 0, len(buf)+n), buf...), stream[:n]...)
		for i := range buf {
			buf[i] = '?'
		}
		buf, stream = moved, stream[n:]
	}
}

func oneShot(rest int) int { return rest }
func byBytes(int) int      { return 1 }

// parserCases are streams and what they mean. The same streams go to redis-server in TestProtocolErrorsAsRedis.
var parserCases = []struct {
	name, in        string
	commands        [][]string
	err             string // without "ERR Protocol error: "
	rest            int
	unauthenticated bool
}{
	{name: "one", in: "*1\r\n$4\r\nPING\r\n", commands: [][]string{{"PING"}}},
	{name: "three", in: "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", commands: [][]string{{"SET", "k", ""}}},
	{name: "pipeline", in: "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nPING\r\n$12\r\nabcdefghijkl\r\nPING x\r\n*1\r\n$4",
		commands: [][]string{{"PING"}, {"PING", "abcdefghijkl"}, {"PING", "x"}}, rest: 6},
	{name: "no line end", in: "*1\r\n$4\r\nPING", rest: 12},
	{name: "half a line end", in: "*1\r\n$4\r\nPING\r", rest: 13},
	{name: "many args", in: "*12\r\n$3\r\nDEL\r\n" + strings.Repeat("$1\r\nx\r\n", 11),
		commands: [][]string{append([]string{"DEL"}, strings.Split(strings.Repeat("x", 11), "")...)}},
	{name: "empty commands", in: "*0\r\n*-1\r\n\r\n\n  \r\n*-9223372036854775808\r\nPING\r\n", commands: [][]string{{"PING"}}},
	{name: "only empty", in: "\r\n*0\r\n"},
	{name: "line ends are not compared", in: "*1\rx$4\rxPINGxx", commands: [][]string{{"PING"}}},

	{name: "count with zero", in: "*01\r\n", err: "invalid multibulk length"},
	{name: "count with plus", in: "*+1\r\n", err: "invalid multibulk length"},
	{name: "count minus zero", in: "*-0\r\n", err: "invalid multibulk length"},
	{name: "count with space", in: "* 1\r\n", err: "invalid multibulk length"},
	{name: "no count", in: "*\r\n", err: "invalid multibulk length"},
	{name: "count with junk", in: "*1a\r\n", err: "invalid multibulk length"},
	{name: "count at limit", in: "*2147483647\r\n", rest: 13},
	{name: "count above limit", in: "*2147483648\r\n", err: "invalid multibulk length"},
	{name: "count of int64", in: "*9223372036854775807\r\n", err: "invalid multibulk length"},
	{name: "count beyond int64", in: "*-9223372036854775809\r\n", err: "invalid multibulk length"},
	{name: "count by LF", in: "*1\n$4\r\nPING\r\n", err: "invalid multibulk length"},
	{name: "endless count", in: "*" + strings.Repeat("1", 70000), err: "too big mbulk count string"},

	{name: "length of int64", in: "*1\r\n$9223372036854775807\r\n", err: "invalid bulk length"},
	{name: "length at limit", in: "*1\r\n$536870912\r\n", rest: 16},
	{name: "length above limit", in: "*1\r\n$536870913\r\n", err: "invalid bulk length"},
	{name: "negative length", in: "*1\r\n$-1\r\n", err: "invalid bulk length"},
	{name: "length with zero", in: "*1\r\n$04\r\nPING\r\n", err: "invalid bulk length"},
	{name: "no length", in: "*1\r\n$\r\n", err: "invalid bulk length"},
	{name: "length with junk", in: "*1\r\n$1a\r\n", err: "invalid bulk length"},
	{name: "length by LF", in: "*1\r\n$4\nPING\r\n", err: "invalid bulk length"},
	{name: "no dollar", in: "*1\r\nPING\r\n", err: "expected '$', got 'P'"},
	{name: "no dollar but line end", in: "*1\r\n\r\n", err: "expected '$', got ' '"},
	{name: "no dollar but 255", in: "*1\r\n\xff\r\n", err: "expected '$', got '\xff'"},
	{name: "second header", in: "*2\r\n$4\r\nPING\r\n*3\r\n", err: "expected '$', got '*'"},
	{name: "long wrong length", in: "*1\r\n$" + strings.Repeat("1", 60000) + "\r\n", err: "invalid bulk length"},
	{name: "endless length", in: "*1\r\n$" + strings.Repeat("0", 70000), err: "too big bulk count string"},
	{name: "endless without dollar", in: "*1\r\n" + strings.Repeat("x", 70000), err: "too big bulk count string"},

	{name: "inline", in: "  PING \t x\n", commands: [][]string{{"PING", "x"}}},
	{name: "inline at limit", in: strings.Repeat("x", MaxInline), rest: MaxInline},
	{name: "endless inline", in: strings.Repeat("x", MaxInline+1), err: "too big inline request"},
	{name: "quotes", in: `PING "a\x41\n\t\q"` + "\r\n", commands: [][]string{{"PING", "aA\n\tq"}}},
	{name: "bad hex", in: `PING "\x4g"` + "\r\n", commands: [][]string{{"PING", "x4g"}}},
	{name: "single quotes", in: `PING 'a\'b\x41'` + "\r\n", commands: [][]string{{"PING", `a'b\x41`}}},
	{name: "quote inside word", in: `PING a"b"` + "\r\n", commands: [][]string{{"PING", "ab"}}},
	{name: "empty quotes", in: `PING ""` + "\r\n", commands: [][]string{{"PING", ""}}},
	{name: "several quoted", in: `"ECHO" 'a b'` + "\r\n", commands: [][]string{{"ECHO", "a b"}}},
	{name: "open quote", in: `PING "a` + "\r\n", err: "unbalanced quotes in request"},
	{name: "backslash before end", in: `PING "a\` + "\r\n", err: "unbalanced quotes in request"},
	{name: "junk behind quote", in: `PING 'a'b` + "\r\n", err: "unbalanced quotes in request"},
	{name: "CR ends a word", in: "ECHO a\r\r\n", commands: [][]string{{"ECHO", "a"}}},
	{name: "vertical tab", in: "\vECHO a\vb\r\n", commands: [][]string{{"ECHO", "a\vb"}}},

	{name: "unauthenticated count at limit", in: "*10\r\n", rest: 5, unauthenticated: true},
	{name: "unauthenticated count", in: "*11\r\n", err: "unauthenticated multibulk length", unauthenticated: true},
	{name: "unauthenticated length at limit", in: "*1\r\n$16384\r\n", rest: 12, unauthenticated: true},
	{name: "unauthenticated length", in: "*1\r\n$16385\r\n", err: "unauthenticated bulk length", unauthenticated: true},
	{name: "unauthenticated huge length", in: "*1\r\n$536870913\r\n", err: "invalid bulk length", unauthenticated: true},
}

func TestParser(t *testing.T) {
	for _, c := range parserCases {
		t.Run(c.name, func(t *testing.T) {
			var err error
			if c.err != "" {
				err = ProtocolError("ERR Protocol error: " + c.err)
			}
			want := transcript(c.commands, err, c.rest)
			var p Parser
			if got := feed(t, &p, []byte(c.in), !c.unauthenticated, oneShot); got != want {
				t.Errorf("in one piece:\n got %.300s\nwant %.300s", got, want)
			}
			p.Reset()
			if got := feed(t, &p, []byte(c.in), !c.unauthenticated, func(rest int) int { return 1 + rest/1000 }); got != want {
				t.Errorf("in pieces:\n got %.300s\nwant %.300s", got, want)
			}
			if len(c.in) < 1000 {
				p.Reset()
				if got := feed(t, &p, []byte(c.in), !c.unauthenticated, byBytes); got != want {
					t.Errorf("byte by byte:\n got %.300s\nwant %.300s", got, want)
				}
			}
		})
	}
}

func TestParserLimitsAreSettable(t *testing.T) {
	p := Parser{MaxBulk: 5, MaxArgs: 2}
	got := feed(t, &p, []byte("*2\r\n$5\r\n12345\r\n$6\r\n"), true, oneShot)
	if want := transcript(nil, errBulkLength, 0); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.Reset()
	got = feed(t, &p, []byte("*3\r\n"), true, oneShot)
	if want := transcript(nil, errMultibulkLength, 0); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// 6 GB does not fit 32 bits, and its header is longer than the fast path expects.
	p = Parser{MaxBulk: 1 << 62}
	if _, n, err := p.Next([]byte("*1\r\n$6442450944\r\n"), true); n != 0 || err != nil || p.Want() != 6442450944+2 {
		t.Errorf("n %d, err %v, want %d", n, err, p.Want())
	}
}

// TestUnauthenticatedCompleteCommand: the limits hold for a command in one piece too, whatever MaxBulk is.
func TestUnauthenticatedCompleteCommand(t *testing.T) {
	for _, maxBulk := range []int{0, 1 << 30, 1 << 62} {
		for size, want := range map[int]error{UnauthenticatedMaxBulk: nil, UnauthenticatedMaxBulk + 1: errUnauthenticatedBulk} {
			p := Parser{MaxBulk: maxBulk}
			in := AppendBulk(AppendArray(nil, 1), make([]byte, size))
			if _, _, err := p.Next(in, false); err != want {
				t.Errorf("%d bytes, MaxBulk %d: %v", size, maxBulk, err)
			}
			if args, _, err := p.Next(in, true); want == nil && (err != nil || len(args) != 1) {
				t.Errorf("%d bytes, authenticated: %v", size, err)
			}
		}
	}
}

// TestLineLimit: a line of MaxInline bytes is accepted and a longer one is not, even if its end is there already.
func TestLineLimit(t *testing.T) {
	fill := func(c string, n int) string { return strings.Repeat(c, n) }
	for _, c := range []struct {
		name, in string
		err      error
	}{
		{"inline", fill("x", MaxInline) + "\n", nil},
		{"inline too long", fill("x", MaxInline+1) + "\n", errInlineTooBig},
		{"count", "*" + fill("1", MaxInline-1) + "\r\n", errMultibulkLength},
		{"count too long", "*" + fill("1", MaxInline) + "\r\n", errMultibulkTooBig},
		{"length", "*1\r\n$" + fill("1", MaxInline-1) + "\r\n", errBulkLength},
		{"length too long", "*1\r\n$" + fill("1", MaxInline) + "\r\n", errBulkTooBig},
	} {
		var p Parser
		if args, n, err := p.Next([]byte(c.in), true); err != c.err || err == nil && (n != len(c.in) || len(args) != 1) {
			t.Errorf("%s: %d args, n %d, %v", c.name, len(args), n, err)
		}
	}
}

// TestLinesAreSearchedOnce looks inside, since searching a line again from its start is too fast to be seen in time.
func TestLinesAreSearchedOnce(t *testing.T) {
	for _, in := range []string{"PING xyz", "*123", "*1\r\n$12345"} {
		var p Parser
		for have := 1; have <= len(in); have++ {
			if _, n, err := p.Next([]byte(in[:have]), true); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			if at := in[have-1]; p.scanned != have && at != '\r' {
				t.Errorf("%q: searched to %d", in[:have], p.scanned)
			}
		}
	}
}

// TestSlowDrip holds the promise that no byte is looked at again and again: each of these would take minutes or hours if
// every piece were parsed from the start.
func TestSlowDrip(t *testing.T) {
	const args, size = 1 << 20, 64 << 20
	many := append([]byte(fmt.Sprintf("*%d\r\n", args)), bytes.Repeat([]byte("$1\r\nx\r\n"), args)...)
	big := append(append([]byte(fmt.Sprintf("*1\r\n$%d\r\n", size)), make([]byte, size)...), "\r\n"...)
	for _, c := range []struct {
		name     string
		in       []byte
		piece    int
		args     int
		consumed bool
	}{
		{"1M args in pieces of 7 bytes", many, 7, args, true},
		{"64 MiB in pieces of 61 bytes", big, 61, 1, true},
		{"inline byte by byte", append(bytes.Repeat([]byte("y"), MaxInline), '\n'), 1, 1, true},
		{"header byte by byte", append([]byte("*1\r\n$"), bytes.Repeat([]byte("1"), MaxInline-1)...), 1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Parser
			start := time.Now()
			for have := 0; have < len(c.in); {
				have = min(have+c.piece, len(c.in))
				args, n, err := p.Next(c.in[:have], true)
				if err != nil || n > 0 && have < len(c.in) || len(args) > 0 != (n > 0) {
					t.Fatalf("at %d: %d args, n %d, %v", have, len(args), n, err)
				}
				if done := have == len(c.in) && c.consumed; done != (n == len(c.in)) || done && len(args) != c.args {
					t.Fatalf("at %d: %d args, n %d", have, len(args), n)
				}
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestWant(t *testing.T) {
	var p Parser
	buf := []byte("*2\r\n$3\r\nGET\r\n$100\r\nabc")
	for _, c := range []struct{ have, want int }{{0, 1}, {1, 1}, {6, 1}, {8, 5}, {10, 3}, {13, 1}, {19, 102}, {22, 99}} {
		if _, n, err := p.Next(buf[:c.have], true); n != 0 || err != nil {
			t.Fatal(c.have, n, err)
		}
		if got := p.Want(); got != c.want {
			t.Errorf("with %d bytes it wants %d, not %d", c.have, got, c.want)
		}
	}
}

func TestParserDropsReferences(t *testing.T) {
	var p Parser
	in := append([]byte("*1000\r\n"), bytes.Repeat([]byte("$1\r\nx\r\n"), 1000)...)
	if args, n, _ := p.Next(in, true); len(args) != 1000 || n != len(in) {
		t.Fatal(len(args), n)
	}
	if p.Memory() < 1000*24 {
		t.Errorf("a thousand arguments count as %d bytes", p.Memory())
	}
	p.Next(nil, true)
	if p.Memory() > keptArgs*24 {
		t.Errorf("an idle parser keeps %d bytes", p.Memory())
	}
	p.Next([]byte("*2\r\n$1\r\na\r\n$1\r\nb\r\n"), true)
	p.Next(nil, true)
	for i, a := range p.args[:cap(p.args)] {
		if a != nil {
			t.Errorf("argument %d is still referred to", i)
		}
	}
	p.Trim()
	if p.Memory() != 0 {
		t.Errorf("a trimmed parser keeps %d bytes", p.Memory())
	}
	// A count is only a claim.
	p.Next([]byte("*2000000000\r\n$1\r\n"), true)
	if p.Memory() > keptArgs*24 {
		t.Errorf("an announced count took %d bytes", p.Memory())
	}
}

func TestArgumentsCannotGrowIntoTheBuffer(t *testing.T) {
	var p Parser
	buf := []byte("*2\r\n$1\r\na\r\n$1\r\nb\r\n")
	args, _, _ := p.Next(buf, true)
	_ = append(args[0], "OVERWRIT"...)
	if string(args[1]) != "b" {
		t.Error("an append to an argument changed the next one")
	}
}

// FuzzParser: the commands and the error do not depend on how the stream is cut, and memory stays in proportion to it.
func FuzzParser(f *testing.F) {
	for i, c := range parserCases {
		f.Add([]byte(c.in), uint64(i), !c.unauthenticated)
	}
	f.Add([]byte("*300\r\n"+strings.Repeat("$2\r\nab\r\n", 300)), uint64(7), true)
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, authenticated bool) {
		whole := feed(t, &Parser{}, bytes.Clone(in), authenticated, oneShot)
		rnd := rand.New(rand.NewPCG(seed, 1))
		largest := 1 + rnd.IntN(1+len(in))
		if len(in) > 5000 {
			largest += len(in) / 50
		}
		cut := func(int) int { return 1 + rnd.IntN(largest) }
		if pieces := feed(t, &Parser{}, bytes.Clone(in), authenticated, cut); pieces != whole {
			t.Errorf("the cuts matter:\n whole %.400s\npieces %.400s", whole, pieces)
		}
	})
}
