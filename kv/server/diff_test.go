//go:build linux

package server

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// hostile are inputs that are wrong in some way, or nearly so. Every answer,
// and whether the connection ends, must be Redis'. (Not among them: a zero byte
// in an inline command, which makes Redis wait for ever.)
var hostile = []string{
	"PING\r\n", "PING\n", "  ping  \r\n", "\r\n\r\nPING\r\n", "\n\nPING\n", "PING\r\r\n",
	"SET a \"\\x41\\n\"\r\nGET a\r\n", "SET a 'it\\'s'\r\nGET a\r\n", "\"PING\"\r\n", "\"PING\"x\r\n", "'PING\r\n", "\"PING\\\"\r\n",
	"\"\"\r\n", "'' a\r\n", "SET a\r\n", "NOSUCH a b c\r\n", "NOSUCH \"a\\r\\nb\"\r\n", "GET\r\n",
	"*0\r\n*-1\r\nPING\r\n", "*-5\r\n*1\r\n$4\r\nPING\r\n", "*\r\n", "*abc\r\n", "*1 \r\n", "*01\r\n$4\r\nPING\r\n", "*+1\r\n$4\r\nPING\r\n",
	"*9223372036854775807\r\n", "*9223372036854775808\r\n", "*2147483648\r\n", "*1000000\r\n", "*-9223372036854775808\r\nPING\r\n",
	"*1\r\n$9223372036854775807\r\n", "*1\r\n$-1\r\n", "*1\r\n$abc\r\n", "*1\r\n$\r\n", "*1\r\n$536870913\r\n", "*1\r\n$536870912\r\n",
	"*1\r\n$04\r\nPING\r\n", "*1\r\n$ 4\r\nPING\r\n", "*1\r\nPING\r\n", "*1\r\n*1\r\n", "*2\r\n$4\r\nPING\r\n:1\r\n",
	"*1\r\n$4\r\nPINGxxPING\r\n", "*1\r\n$0\r\n\r\n", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n",
	"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-5\r\n", "$4\r\nPING\r\n", ":1\r\n", "+OK\r\n", "-ERR\r\n",
	"PING\r\n*1\r\n$x\r\nPING\r\n", "QUIT\r\nPING\r\n", "PING\r\nQUIT\r\n", "quit now\r\n",
	"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "PING\r\nHost: x\r\nPING\r\n", "post\r\n", "host:\r\n", "POSTS\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	strings.Repeat("x", 70_000), "*" + strings.Repeat("1", 70_000), "*1\r\n$" + strings.Repeat("1", 70_000),
	"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$100000\r\n" + strings.Repeat("y", 100_000) + "\r\nSTRLEN b\r\n",
	encode("SELECT", "99") + encode("SELECT", "x") + encode("SELECT", "1") + encode("GET", "a"),
	encode("HELLO", "3") + encode("GET", "none") + encode("RESET") + encode("GET", "none"),
	encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("CLIENT", "REPLY", "ON") + encode("PING"),
	encode("CLIENT", "REPLY", "SKIP") + encode("PING") + encode("PING"),
	encode("MULTI") + encode("NOSUCH") + encode("PING") + encode("EXEC"),
	encode("MULTI") + encode("SET", "c", "1") + encode("QUIT") + encode("EXEC"), encode("GET", "c"),
	encode("CLIENT", "KILL", "ID", "999999"), encode("CLIENT", "KILL", "1.2.3.4:5"), encode("CLIENT", "PAUSE", "x"),
}

// unauthenticated are inputs to a server with a password.
var unauthenticated = []string{
	encode("GET", "a"), encode("AUTH", "no"), encode("AUTH", "a", "b"), encode("AUTH", "secret") + encode("PING"),
	"*10\r\n", "*11\r\n", "*2\r\n$4\r\nAUTH\r\n$16384\r\n", "*2\r\n$4\r\nAUTH\r\n$16385\r\n", "AUTH " + strings.Repeat("x", 20_000) + "\r\n",
	encode("HELLO", "3"), encode("HELLO", "3", "AUTH", "default", "secret"), encode("QUIT"), encode("NOSUCH"), encode("RESET"), "POST /\r\n",
}

// conversation sends in and returns what comes back, until nothing has come for
// a while, and whether the connection was ended. Before it listens, the server answers several
// clients that came later.
func conversation(t *testing.T, addr, in string, while time.Duration) (out string, ended bool) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, in)
	for range 5 + len(in)/4096 {
		later, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = later.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(later, "PING\r\n")
		if _, err := later.Read(make([]byte, 100)); err != nil { // PONG, or NOAUTH
			t.Fatal(err)
		}
		_ = later.Close()
	}
	var b strings.Builder
	buf := make([]byte, 1<<16)
	for {
		_ = c.SetReadDeadline(time.Now().Add(while))
		n, err := c.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String(), !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

func TestLikeRedis(t *testing.T) {
	for _, set := range []struct {
		args   []string
		inputs []string
	}{{nil, hostile}, {[]string{"--requirepass", "secret"}, unauthenticated}} {
		redis := startRedis(t, set.args...)
		s := startServer(t, set.args...)
		for _, in := range set.inputs {
			type answer struct {
				out   string
				ended bool
			}
			ask := func(addr string, while time.Duration) (a answer) {
				a.out, a.ended = conversation(t, addr, in, while)
				if i := strings.Index(a.out, "%7\r\n"); i >= 0 {
					a.out = a.out[:i+4] // HELLO's map names the server and the client
				}
				return a
			}
			both := func(while time.Duration) (got, w answer) {
				want := make(chan answer, 1)
				go func() { want <- ask("127.0.0.1:"+redis.port, while) }()
				got = ask(s.addr, while)
				return got, <-want
			}
			got, w := both(10 * time.Millisecond)
			for _, while := range []time.Duration{100 * time.Millisecond, 2 * time.Second, 10 * time.Second} {
				if got != w { // on a busy machine one of them may have been late
					got, w = both(while)
				}
			}
			if got != w {
				t.Errorf("%.60q:\nkvd   %.200q ended=%v\nredis %.200q ended=%v", in, got.out, got.ended, w.out, w.ended)
			}
		}
	}
}
