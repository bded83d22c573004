//go:build linux

package server

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// Sockets are watched for edges: what a read leaves behind must be asked for.

// TestLastBytes: a client that sends and leaves before it is looked at leaves one
// edge for its command and its end.
func TestLastBytes(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	const n = 200
	release := s.Hold() // all of it arrives before the loops look
	for range n {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("INCR k\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	release()
	eventually(t, "all commands", func() bool {
		v, _ := s.engine.Store.DB(0).Get([]byte("k"))
		return string(v) == strconv.Itoa(n)
	})
	eventually(t, "all clients gone", func() bool { return s.Count() == 0 })
}

// TestWholeBuffers: input that ends where the loop's buffer ends, or anywhere
// around there, is all read.
func TestWholeBuffers(t *testing.T) {
	s := startServer(t)
	ping := encode("PING")
	for _, size := range []int{readSize - 1, readSize, readSize + 1, 2 * readSize, bigReadSize, 3*readSize + 7} {
		w := s.dial()
		value := size - len(ping)*4 - len(encode("SET", "k", "")) - 10
		in := strings.Repeat(ping, 4) + encode("SET", "k", strings.Repeat("v", value))
		half := (size - len(in)) % 2
		for len(in) < size { // inline commands fill up to the byte
			in += "\r\n"[:min(2, size-len(in))]
		}
		release := s.Hold()
		sent := make(chan struct{})
		go func() { w.send(in); close(sent) }()
		release()
		for range 4 {
			w.want("+PONG")
		}
		w.want("+OK")
		<-sent
		if half == 0 { // no half line is left
			if got := w.do("PING"); got != "+PONG" {
				t.Errorf("%d bytes: %q", size, got)
			}
		}
	}
}
