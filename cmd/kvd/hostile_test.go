//go:build linux

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// hostileInputs are what must neither crash the server nor make it spin or
// grow. reply is what the first reply begins with; "" means that nothing is
// said for now; closed, that the connection ends.
var hostileInputs = []struct {
	name, input, reply string
	closed             bool
}{
	{"huge bulk", "*1\r\n$9223372036854775807\r\n", "-ERR Protocol error: invalid bulk length", true},
	{"huge multibulk", "*9223372036854775807\r\n", "-ERR Protocol error: invalid multibulk length", true},
	{"multibulk over the integers", "*99999999999999999999\r\n", "-ERR Protocol error: invalid multibulk length", true},
	{"many arguments", "*1048577\r\n$1\r\na\r\n", "", false},
	{"too many arguments", "*2147483648\r\n", "-ERR Protocol error: invalid multibulk length", true},
	{"negative bulk", "*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length", true},
	{"minus zero", "*1\r\n$-0\r\n", "-ERR Protocol error: invalid bulk length", true},
	{"no bulk", "*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'", true},
	{"negative multibulk", "*-1\r\n*1\r\n$4\r\nPING\r\n", "+PONG", false},
	{"no command", "*0\r\n*1\r\n$4\r\nPING\r\n", "+PONG", false},
	{"long inline", strings.Repeat("a", 70_000), "-ERR Protocol error: too big inline request", true},
	{"long multibulk header", "*" + strings.Repeat("1", 70_000), "-ERR Protocol error: too big mbulk count string", true},
	{"long bulk header", "*1\r\n$" + strings.Repeat("1", 70_000), "-ERR Protocol error: too big bulk count string", true},
	{"unbalanced quotes", "SET a \"b\r\n", "-ERR Protocol error: unbalanced quotes in request", true},
	{"POST", "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", "", true},
	{"Host", "Host: localhost\r\n\r\n", "", true},
	{"GET of HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "", true},
	{"empty lines", strings.Repeat("\r\n", 10_000) + "PING\r\n", "+PONG", false},
	{"zero bytes", strings.Repeat("\x00", 10_000) + "\r\n", "-ERR unknown command", false},
	{"empty name", "*1\r\n$0\r\n\r\n", "-ERR unknown command ''", false},
	{"huge SETRANGE", "SETRANGE a 9223372036854775807 x\r\n", "-ERR string exceeds maximum allowed size", false},
	{"huge POPULATE", "DEBUG POPULATE 1 a 9223372036854775807\r\n", "-ERR", false},
	{"bad RESTORE", "*4\r\n$7\r\nRESTORE\r\n$1\r\nr\r\n$1\r\n0\r\n$12\r\n\x00\x80\xff\xff\xff\xff\x0a\x00\x00\x00\x00\x00\r\n", "-ERR DUMP payload version or checksum are wrong", false},
	{"bad pattern", "KEYS " + strings.Repeat("*a", 5000) + "[\r\n", "*0", false},
}

func TestHostileInputs(t *testing.T) {
	t.Parallel()
	k := start(t)
	before := rss(t, k)
	for _, tt := range hostileInputs {
		c := k.dial()
		if _, err := c.Write([]byte(tt.input)); err != nil && !tt.closed {
			t.Errorf("%s: %v", tt.name, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if tt.reply == "" && !tt.closed {
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		}
		got, err := c.r.ReadString('\n')
		if !strings.HasPrefix(got, tt.reply) || tt.reply == "" && got != "" {
			t.Errorf("%s: got %q", tt.name, got)
		}
		for err == nil && tt.closed {
			_, err = c.r.ReadString('\n')
		}
		if tt.closed && isTimeout(err) {
			t.Errorf("%s: the connection is still open", tt.name)
		}
		k.dial().want("PONG", "PING")
	}
	calm(t, k, before+32*mib)
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// calm checks that the server comes to have at most that many bytes, and to sleep.
func calm(t *testing.T, k *proc, bytes int) {
	t.Helper()
	within(t, fmt.Sprintf("less than %d MiB", bytes/mib), func() bool { return rss(t, k) <= bytes })
	within(t, "a server that sleeps", func() bool {
		was := cpuTime(t, k)
		time.Sleep(300 * time.Millisecond)
		return cpuTime(t, k)-was <= 100*time.Millisecond
	})
}

// Many clients announce much and send little: what they announce costs nothing.
func TestAnnouncedSizesCostNothing(t *testing.T) {
	t.Parallel()
	k := start(t)
	before := rss(t, k)
	for i := range 200 {
		c := k.dial()
		switch i % 4 {
		case 0:
			c.send([]byte("*2\r\n$3\r\nGET\r\n$536870912\r\nabc"))
		case 1:
			c.send([]byte("*1048576\r\n$1\r\na\r\n"))
		case 2:
			c.send([]byte("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870911\r\n" + strings.Repeat("x", 1000)))
		case 3:
			c.send([]byte(strings.Repeat("y", 60_000)))
		}
	}
	c := k.dial()
	within(t, "all clients", func() bool { return c.infoInt("connected_clients") == 201 })
	c.want("PONG", "PING")
	calm(t, k, before+64*mib)
}

// A client without the password gets little.
func TestHostileBeforeAuth(t *testing.T) {
	t.Parallel()
	k := start(t, "--requirepass", "x")
	for input, want := range map[string]string{
		"*11\r\n":                        "-ERR Protocol error: unauthenticated multibulk length",
		"*2\r\n$4\r\nAUTH\r\n$16385\r\n": "-ERR Protocol error: unauthenticated bulk length",
	} {
		c := k.dial()
		c.send([]byte(input))
		if got := c.read(); got != want {
			t.Errorf("%q: %q", input, got)
		}
		if _, err := c.readRaw(); err != io.EOF {
			t.Errorf("%q: %v", input, err)
		}
	}
	before := rss(t, k)
	for range 20 {
		c := k.dial()
		_, _ = c.Write([]byte(strings.Repeat("*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n", 20_000)))
	}
	c := k.dial()
	c.want("OK", "AUTH", "x")
	c.want("PONG", "PING")
	calm(t, k, before+80*mib)
}

// Bytes that come one at a time, and random ones around valid commands.
func TestDripAndNoise(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	for _, b := range []byte("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\nGET a\r\n") {
		c.send([]byte{b})
		time.Sleep(time.Millisecond)
	}
	if got := c.read() + c.read(); got != "OKhello" {
		t.Errorf("got %q", got)
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	before := rss(t, k)
	for range scaled(300, 20_000) {
		n, err := connect("unix", k.sock)
		noError(t, err)
		b := fmt.Appendf(nil, "*%d\r\n$%d\r\nGET\r\n$%d\r\n", rnd.IntN(4), rnd.IntN(5), rnd.IntN(6)-1)
		for range rnd.IntN(200) {
			b = append(b, "*$\r\n0123456789-:+abc\x00\xff\""[rnd.IntN(22)])
		}
		_, _ = n.Write(b)
		_ = n.Close()
	}
	c.want("PONG", "PING")
	calm(t, k, before+32*mib)
	within(t, "the end of the others", func() bool { return c.infoInt("connected_clients") == 1 })
}
