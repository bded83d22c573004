package resp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// oracle starts a redis-server for the test and returns the path of its socket.
func oracle(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "resp") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(bin, append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir,
		"--enable-debug-command", "yes"}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return socket
		}
	}
	t.Fatal("redis-server does not answer")
	return ""
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	return c
}

func appendCommand(dst []byte, args ...string) []byte {
	dst = AppendArray(dst, len(args))
	for _, a := range args {
		dst = AppendBulkString(dst, a)
	}
	return dst
}

// pipeline sends commands and returns the replies, each a bulk, integer, status, error or null, as one line of text.
func pipeline(t *testing.T, c net.Conn, commands []byte, n int) []string {
	t.Helper()
	go c.Write(commands)
	r := bufio.NewReaderSize(c, 1<<16)
	replies := make([]string, n)
	for i := range replies {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("reply %d of %d: %v", i, n, err)
		}
		line = strings.TrimSuffix(line, "\r\n")
		if size, err := strconv.Atoi(line[1:]); line[0] == '$' && err == nil && size >= 0 {
			bulk := make([]byte, size+2)
			if _, err := io.ReadFull(r, bulk); err != nil {
				t.Fatal(err)
			}
			line = "$" + string(bulk[:size])
		}
		replies[i] = line
	}
	return replies
}

// TestProtocolErrorsAsRedis sends the streams of TestParser to redis-server: what it answers last must be our error, and
// it must close the connection exactly when we do.
func TestProtocolErrorsAsRedis(t *testing.T) {
	open, locked := oracle(t), oracle(t, "--requirepass", "secret")
	for _, c := range parserCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			socket := open
			if c.unauthenticated {
				socket = locked
			}
			if got, want := redisError(t, socket, c.in, c.err != ""), c.err; got != want {
				t.Errorf("redis: %q, here: %q", got, want)
			}
		})
	}
}

// redisError returns the protocol error that a stream ends with, or "" if the connection stays open: for two minutes where an
// end is expected, else until several later clients were served.
func redisError(t *testing.T, socket, in string, expected bool) string {
	conn := dial(t, socket)
	conn.Write([]byte(in)) // may fail: redis closes before it has read everything
	if !expected {
		for range 5 + len(in)/4096 {
			later := dial(t, socket)
			later.Write([]byte("PING\r\n"))
			if _, err := later.Read(make([]byte, 100)); err != nil { // PONG, or NOAUTH
				t.Fatal(err)
			}
			later.Close()
		}
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	}
	out, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return ""
	}
	i := bytes.LastIndex(out, []byte("-ERR Protocol error: "))
	if i < 0 {
		t.Fatalf("closed after %q", out)
	}
	return strings.TrimSuffix(string(out[i+len("-ERR Protocol error: "):]), "\r\n")
}

// TestRandomStreamsAsRedis mutates streams and compares protocol errors, and the number of commands before them.
func TestRandomStreamsAsRedis(t *testing.T) {
	socket := oracle(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"*1\r\n", "*2\r\n", "$4\r\n", "ECHO", "\r\n", "$1\r\n", "x", "\n", "\r", "*", "$", "0", "-1", "\"", "'", "\\x41",
		" ", "*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n", "ECHO x\r\n", "ECHO \"a b\"\r\n", "\\", "\t", "*0\r\n", "\v", "$10\r\n0123456789\r\n"}
	rounds := 1000
	if os.Getenv("KVD_LONG") == "1" {
		rounds = 50000
	}
	for range rounds {
		var in string
		for range 1 + rnd.IntN(8) {
			in += pieces[rnd.IntN(len(pieces))]
		}
		var p Parser
		here, commands := "", 0
		buf := []byte(in)
		for {
			args, n, err := p.Next(buf, true)
			if err != nil {
				here = strings.TrimPrefix(err.Error(), "ERR Protocol error: ")
			}
			if n == 0 || err != nil {
				break
			}
			if len(args) > 0 {
				commands++
			}
			buf = buf[n:]
		}
		conn := dial(t, socket)
		conn.Write([]byte(in))
		conn.(*net.UnixConn).CloseWrite() // redis answers what it has understood, then closes
		out, _ := io.ReadAll(conn)
		conn.Close()
		redis := ""
		if i := bytes.LastIndex(out, []byte("-ERR Protocol error: ")); i >= 0 {
			redis = strings.TrimSuffix(string(out[i+len("-ERR Protocol error: "):]), "\r\n")
		}
		replies := countReplies(out)
		if redis != "" {
			replies--
		}
		if redis != here || replies != commands {
			t.Fatalf("%q: redis %q after %d, here %q after %d commands", in, redis, replies, here, commands)
		}
	}
}

// countReplies counts bulks and errors, the only ones that ECHO and unknown commands give.
func countReplies(out []byte) (n int) {
	for ; len(out) > 0; n++ {
		i := bytes.IndexByte(out, '\n')
		if i < 0 {
			return n
		}
		size := 0
		if out[0] == '$' {
			size, _ = strconv.Atoi(string(out[1 : i-1]))
			size += 2
		}
		out = out[min(len(out), i+1+size):]
	}
	return n
}

func TestReplyTypesAsRedis(t *testing.T) {
	socket := oracle(t)
	for _, c := range []struct {
		kind string
		make func(resp3 bool) []byte
	}{
		{"string", func(bool) []byte { return AppendBulkString(nil, "Hello World") }},
		{"integer", func(bool) []byte { return AppendInt(nil, 12345) }},
		{"double", func(r bool) []byte { return AppendDouble(nil, 3.141, r) }},
		{"null", func(r bool) []byte { return AppendNull(nil, r) }},
		{"array", func(bool) []byte { return AppendInt(AppendInt(AppendInt(AppendArray(nil, 3), 0), 1), 2) }},
		{"set", func(r bool) []byte { return AppendInt(AppendInt(AppendInt(AppendSet(nil, 3, r), 0), 1), 2) }},
		{"map", func(r bool) []byte {
			out := AppendMap(nil, 3, r)
			for i := range 3 {
				out = AppendBool(AppendInt(out, int64(i)), i == 1, r)
			}
			return out
		}},
		{"verbatim", func(r bool) []byte { return AppendVerbatim(nil, "txt", "This is a verbatim\nstring", r) }},
		{"true", func(r bool) []byte { return AppendBool(nil, true, r) }},
		{"false", func(r bool) []byte { return AppendBool(nil, false, r) }},
		{"bignum", func(r bool) []byte { return AppendBigNumber(nil, "1234567999999999999999999999999999999", r) }},
		{"push", func(r bool) []byte {
			out := AppendInt(AppendBulkString(AppendPush(nil, 2, r), "server-cpu-usage"), 42)
			return AppendBulkString(out, "Some real reply following the push reply")
		}},
		{"attrib", func(r bool) []byte {
			var out []byte
			if r {
				out = AppendBulkString(AppendAttribute(nil, 1), "key-popularity")
				out = AppendBulkString(AppendArray(out, 2), "key:123")
				out = AppendInt(out, 90)
			}
			return AppendBulkString(out, "Some real reply following the attribute")
		}},
	} {
		for _, resp3 := range []bool{false, true} {
			if c.kind == "push" && !resp3 {
				continue // an error in redis: nothing is pushed to a RESP2 client this way
			}
			conn := dial(t, socket)
			var in []byte
			if resp3 {
				in = appendCommand(in, "HELLO", "3")
			}
			in = appendCommand(in, "ECHO", "marker")
			in = appendCommand(in, "DEBUG", "PROTOCOL", c.kind)
			conn.Write(in)
			conn.(*net.UnixConn).CloseWrite()
			out, _ := io.ReadAll(conn)
			_, got, _ := bytes.Cut(out, []byte("marker\r\n"))
			if want := c.make(resp3); !bytes.Equal(got, want) {
				t.Errorf("%s, resp3 %v: redis %q, here %q", c.kind, resp3, got, want)
			}
		}
	}
}

// floatText makes numbers as people write them, and as those who look for trouble do.
func floatText(rnd *rand.Rand) string {
	switch rnd.IntN(14) {
	case 0:
		return strconv.FormatInt(rnd.Int64()>>rnd.IntN(63)-rnd.Int64N(1000), 10)
	case 1:
		return strconv.FormatFloat(rnd.NormFloat64(), 'g', -1, 64)
	case 2:
		return strconv.FormatFloat(math.Float64frombits(rnd.Uint64()), 'e', rnd.IntN(20), 64)
	case 3:
		return fmt.Sprintf("%de%d", rnd.IntN(1000)-500, rnd.IntN(10100)-5050)
	case 4:
		return fmt.Sprintf("0x%x.%xp%d", rnd.IntN(1000), rnd.IntN(1<<20), rnd.IntN(300)-150)
	case 5:
		return fmt.Sprintf("%d.%019d%d", rnd.IntN(100), rnd.Int64N(1e18), rnd.Uint64())
	case 6:
		odd := []string{"", "inf", "-INF", "+Infinity", "nan", "-nan", "0x", "0xg", "1_0", " 1", "1 ", "+", "-", ".", "-.", "1.", ".5", "+.5", "1e", "1e+",
			"0x10", "0x.8", "0x1p", "0xp1", "00012", "-0", "-0.0", "+-1", "1e5000", "1e-5000", "0e9999", "0x0p99999", "infin", "1d5", "0b1", "1\x002",
			"1.18973149535723176502e4932", "1.2e4932", "3.6451995318824746025e-4951", "1.8e-4951", "1.9e-4951", "9223372036854775807", "18446744073709551617",
			"1.7976931348623157e308", "1.7976931348623159e308", "4.9e-324", "2.4e-324", "2.5e-324", "1e16383", "0x1p16383", "0x1p16384", "0x1p-16446", "0x1.1p-16446",
			strings.Repeat("9", 400), strings.Repeat("1", 5000), "0." + strings.Repeat("0", 330) + "1"}
		return odd[rnd.IntN(len(odd))]
	case 7: // halves of units in the last place
		return halfText(rnd)
	default:
		return strconv.FormatFloat(float64(rnd.IntN(2000000)-1000000)/math.Pow10(rnd.IntN(7)), 'f', -1, 64)
	}
}

// halfText makes decimals that lie exactly between two numbers of 64 bits, or next to that.
func halfText(rnd *rand.Rand) string {
	s := strconv.FormatUint(1<<63|rnd.Uint64(), 10)
	return []string{s + ".5", s + ".50000000000000000001", s + ".49999999999999999999", s}[rnd.IntN(4)]
}

// TestIncrByFloatAsRedis compares text by text. Redis on arm64 calculates with 128 bits, so its answers differ there.
func TestIncrByFloatAsRedis(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("long double is another format on this machine")
	}
	conn := dial(t, oracle(t))
	pairs := 10000
	if os.Getenv("KVD_LONG") == "1" {
		pairs = 300000
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	const batch = 5000
	for done := 0; done < pairs; done += batch {
		var in []byte
		var texts [batch][2]string
		for i := range texts {
			texts[i] = [2]string{floatText(rnd), floatText(rnd)}
			in = appendCommand(in, "SET", "k", texts[i][0])
			in = appendCommand(in, "INCRBYFLOAT", "k", texts[i][1])
		}
		replies := pipeline(t, conn, in, 2*batch)
		for i, pair := range texts {
			got, err := IncrByFloat([]byte(pair[0]), []byte(pair[1]))
			here := "$" + string(got)
			if err != nil {
				here = "-" + err.Error()
			}
			if want := replies[2*i+1]; here != want {
				t.Fatalf("%q + %q: redis %q, here %q", pair[0], pair[1], want, here)
			}
		}
	}
}

// TestFloatAsRedis compares which texts are doubles, and how a double is written, by way of a sorted set's score.
func TestFloatAsRedis(t *testing.T) {
	conn := dial(t, oracle(t))
	pairs := 10000
	if os.Getenv("KVD_LONG") == "1" {
		pairs = 300000
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	const batch = 5000
	for done := 0; done < pairs; done += batch {
		var in []byte
		var texts [batch]string
		for i := range texts {
			texts[i] = floatText(rnd)
			in = appendCommand(in, "DEL", "k")
			in = appendCommand(in, "ZADD", "k", texts[i], "m")
			in = appendCommand(in, "ZSCORE", "k", "m")
		}
		replies := pipeline(t, conn, in, 3*batch)
		for i, text := range texts {
			f, ok := ParseFloat([]byte(text))
			here := "$-1"
			if ok {
				if f == 0 {
					f = 0 // redis' listpack forgets the sign of zero
				}
				here = "$" + string(AppendFloat(nil, f))
			}
			if want := replies[3*i+2]; here != want {
				t.Fatalf("%q: redis %q, here %q", text, want, here)
			}
		}
	}
}

// TestIntAsRedis asks what is an integer by way of INCRBY.
func TestIntAsRedis(t *testing.T) {
	conn := dial(t, oracle(t))
	texts := []string{"", "0", "-0", "+0", "00", "1", "-1", "+1", "01", "-01", " 1", "1 ", "1a", "a", "-", "--1", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "99999999999999999999", "100000000000000000000",
		"-10000000000000000000", "1\x00", "\xff", "/", ":", "1:", "-/"}
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 5000 {
		n := strconv.FormatInt(rnd.Int64()>>rnd.IntN(63)*int64(1-2*rnd.IntN(2)), 10)
		if rnd.IntN(3) == 0 {
			b := []byte(n)
			b[rnd.IntN(len(b))] = "0123456789-+ .:/x"[rnd.IntN(17)]
			n = string(b)
		}
		texts = append(texts, n)
	}
	var in []byte
	for _, s := range texts {
		in = appendCommand(in, "DEL", "k")
		in = appendCommand(in, "INCRBY", "k", s)
	}
	replies := pipeline(t, conn, in, 2*len(texts))
	for i, s := range texts {
		n, ok := ParseInt([]byte(s))
		here := "-ERR value is not an integer or out of range"
		if ok {
			here = ":" + strconv.FormatInt(n, 10)
		}
		if want := replies[2*i+1]; here != want {
			t.Errorf("%q: redis %q, here %q", s, want, here)
		}
	}
}
