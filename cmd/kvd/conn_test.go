//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// conn is a raw client.
type conn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (k *proc) dial() *conn { k.t.Helper(); return dial(k.t, "unix", k.sock) }

func dial(t testing.TB, network, addr string) *conn {
	t.Helper()
	c, err := connect(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &conn{c, t, bufio.NewReaderSize(c, 64<<10)}
}

// connect connects, also while the backlog of a unix socket is full: then a server has not come to accept.
func connect(network, addr string) (c net.Conn, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if c, err = net.Dial(network, addr); !errors.Is(err, syscall.EAGAIN) || time.Now().After(end) {
			return c, err
		}
	}
}

func appendCommand(b []byte, args ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n", len(a))
		b = append(append(b, a...), '\r', '\n')
	}
	return b
}

// send sends bytes as they are.
func (c *conn) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// ioTimeout is how long a reply may take.
const ioTimeout = patience

// tryRaw sends a command and returns the reply's bytes.
func (c *conn) tryRaw(args ...string) (string, error) {
	if _, err := c.Write(appendCommand(nil, args...)); err != nil {
		return "", err
	}
	return c.readRaw()
}

func (c *conn) readRaw() (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(ioTimeout))
	var b bytes.Buffer
	err := copyReply(c.r, &b)
	return b.String(), err
}

// copyReply copies one whole reply of either protocol version to b.
func copyReply(r *bufio.Reader, b *bytes.Buffer) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	b.WriteString(line)
	n, _ := strconv.Atoi(strings.TrimRight(line[1:], "\r\n"))
	switch line[0] {
	case '$', '=':
		if n >= 0 {
			_, err = io.CopyN(b, r, int64(n+2))
		}
		return err
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return nil
	}
	for range n {
		if err := copyReply(r, b); err != nil {
			return err
		}
	}
	return nil
}

// do sends a command and returns the reply as text: simple strings, bulks and
// numbers as they are, errors with their -, null as (nil), arrays in brackets.
func (c *conn) do(args ...string) string {
	c.t.Helper()
	s, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%.200q: %v", args, err)
	}
	return s
}

// try is do for goroutines, which must not end the test.
func (c *conn) try(args ...string) (string, error) {
	raw, err := c.tryRaw(args...)
	if err != nil {
		return "", err
	}
	return textOf(bufio.NewReader(strings.NewReader(raw)))
}

// read returns the next reply as text.
func (c *conn) read() string {
	c.t.Helper()
	raw, err := c.readRaw()
	if err != nil {
		c.t.Fatal(err)
	}
	s, _ := textOf(bufio.NewReader(strings.NewReader(raw)))
	return s
}

func textOf(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		if n < 0 {
			return "(nil)", nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		return string(b[:n]), nil
	case '*':
		if n < 0 {
			return "(nil)", nil
		}
		parts := make([]string, n)
		for i := range parts {
			if parts[i], err = textOf(r); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, " ") + "]", nil
	case '-':
		return line, nil
	case '+', ':':
		return line[1:], nil
	}
	return "", errors.New("reply " + strconv.Quote(line))
}

// want sends a command and compares the reply's text.
func (c *conn) want(reply string, args ...string) {
	c.t.Helper()
	if got := c.do(args...); got != reply {
		c.t.Errorf("%.200q: %.300q, want %.300q", args, got, reply)
	}
}

// wantMatch is want for a regular expression.
func (c *conn) wantMatch(pattern string, args ...string) {
	c.t.Helper()
	if got := c.do(args...); !regexp.MustCompile(pattern).MatchString(got) {
		c.t.Errorf("%.200q: %.300q does not match %q", args, got, pattern)
	}
}

// info returns a field of INFO.
func (c *conn) info(field string) string {
	c.t.Helper()
	return infoField(c.do("INFO", "everything"), field)
}

func infoField(text, field string) string {
	for line := range strings.SplitSeq(text, "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return v
		}
	}
	return "(no " + field + ")"
}

func (c *conn) infoInt(field string) int64 {
	c.t.Helper()
	s := c.info(field)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		c.t.Fatalf("%s is %q", field, s)
	}
	return n
}

// waitSaved waits until no save runs and returns the status of the last one.
func (c *conn) waitSaved() string {
	c.t.Helper()
	within(c.t, "the end of the save", func() bool { return c.info("rdb_bgsave_in_progress") == "0" })
	return c.info("rdb_last_bgsave_status")
}

// populate makes n keys prefix:0 … of size random bytes, which do not compress.
func (c *conn) populate(prefix string, n, size int) {
	c.t.Helper()
	state := uint64(88172645463325252)
	value := make([]byte, size)
	const batch = 500
	for i := 0; i < n; i += batch {
		var b []byte
		m := min(batch, n-i)
		for j := range m {
			for k := range value {
				state ^= state << 13
				state ^= state >> 7
				state ^= state << 17
				value[k] = byte(state)
			}
			b = appendCommand(b, "SET", prefix+":"+strconv.Itoa(i+j), string(value))
		}
		c.send(b)
		for range m {
			if got := c.read(); got != "OK" {
				c.t.Fatal(got)
			}
		}
	}
}

// tryDial is dial that returns nil while nobody listens.
func (k *proc) tryDial() *conn {
	c, err := connect("unix", k.sock)
	if err != nil {
		return nil
	}
	k.t.Cleanup(func() { _ = c.Close() })
	return &conn{c, k.t, bufio.NewReaderSize(c, 64<<10)}
}
