//go:build linux

package spine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	valueLen = 64  // appendSet writes it, and keys of 11 bytes
	batch    = 500 // SETs in one write

	asksAfter = 100 // looks at the dump file: INFO is work for the server under test
)

// client is a connection that waits for each reply.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

func newClient(conn net.Conn) *client { return &client{conn, bufio.NewReader(conn)} }

func (s *server) dial() *client {
	s.h.Helper()
	conn, err := net.Dial("unix", s.socket())
	s.h.must(err)
	return newClient(conn)
}

func (c *client) close() { _ = c.conn.Close() }

// do sends one command and returns its status, integer or bulk reply; an error
// reply is an error.
func (c *client) do(args ...string) (string, error) {
	_ = c.conn.SetDeadline(time.Now().Add(waitLimit))
	buf := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		buf = fmt.Appendf(buf, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.conn.Write(buf); err != nil {
		return "", err
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	switch line[0] {
	case '-':
		return "", errors.New(line[1:])
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 {
			return "", err
		}
		bulk := make([]byte, n+2)
		_, err = io.ReadFull(c.r, bulk)
		return string(bulk[:n]), err
	}
	return line[1:], nil
}

// do runs one command on a connection of its own.
func (s *server) do(args ...string) string {
	s.h.Helper()
	c := s.dial()
	defer c.close()
	reply, err := c.do(args...)
	if err != nil {
		s.h.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return reply
}

// info returns a field of INFO, "" where there is none.
func (s *server) info(field string) string {
	s.h.Helper()
	for line := range strings.Lines(s.do("INFO", "everything")) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// infoNumber returns a field of INFO that must be there.
func (s *server) infoNumber(field string) float64 {
	s.h.Helper()
	n, err := strconv.ParseFloat(s.info(field), 64)
	if err != nil {
		s.h.Fatalf("INFO %s: %v", field, err)
	}
	return n
}

// values appends valueLen bytes for key i. The same values twice make the same
// data set in two servers.
type values func(dst []byte, i int) []byte

// randomValues cannot be compressed.
func randomValues() values {
	src, buf := rand.NewChaCha8([32]byte{1}), make([]byte, valueLen)
	return func(dst []byte, _ int) []byte {
		_, _ = src.Read(buf)
		return append(dst, buf...)
	}
}

// textValues shrink to about two thirds under LZF.
func textValues() values {
	return func(dst []byte, i int) []byte {
		return fmt.Appendf(dst, `{"id":%07[1]d,"name":"user%07[1]d","mail":"%07[1]d@example.com"}`, i)
	}
}

// appendSet appends SET key:i with its value; it allocates nothing.
func appendSet(dst []byte, i int, value values) []byte {
	dst = append(dst, "*3\r\n$3\r\nSET\r\n$11\r\nkey:"...)
	for digit := 1_000_000; digit > 0; digit /= 10 {
		dst = append(dst, '0'+byte(i/digit%10))
	}
	dst = append(dst, "\r\n$64\r\n"...)
	return append(value(dst, i), '\r', '\n')
}

// fill SETs the keys key:from to key:to-1, pipelined; each must answer OK.
func (s *server) fill(from, to int, value values) {
	s.h.Helper()
	conn, err := net.Dial("unix", s.socket())
	s.h.must(err)
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(waitLimit))
	done := make(chan error, 1)
	go func() { done <- readOKs(conn, to-from) }()
	var buf []byte
	for i := from; i < to; {
		buf = buf[:0]
		for end := min(i+batch, to); i < end; i++ {
			buf = appendSet(buf, i, value)
		}
		if _, err := conn.Write(buf); err != nil {
			s.h.Fatal(err)
		}
	}
	s.h.must(<-done)
}

func readOKs(r io.Reader, n int) error {
	want := bytes.Repeat([]byte("+OK\r\n"), batch)
	got := make([]byte, len(want))
	for n > 0 {
		size := min(n, batch) * len("+OK\r\n")
		if _, err := io.ReadFull(r, got[:size]); err != nil {
			return err
		}
		if !bytes.Equal(got[:size], want[:size]) {
			return fmt.Errorf("a SET was refused: %.200q", got[:size])
		}
		n -= batch
	}
	return nil
}

// bgsave starts a save by the given method, "" for the server's default, and
// returns what waits for it: the time from the command until the new dump stood
// in place. It is the rename that counts and not rdb_bgsave_in_progress, which
// redis-server clears up to 100 ms later.
func (s *server) bgsave(method string) (wait func() time.Duration) {
	s.h.Helper()
	args := []string{"BGSAVE"}
	if method != "" {
		args = append(args, method)
	}
	c, old := s.dial(), inode(s.dumpFile())
	defer c.close()
	begin := time.Now()
	if _, err := c.do(args...); err != nil {
		s.h.Fatalf("%v: %v", args, err)
	}
	return func() time.Duration {
		s.h.Helper()
		for looks := 1; inode(s.dumpFile()) == old; looks++ {
			time.Sleep(pollEvery)
			if looks%asksAfter != 0 || inode(s.dumpFile()) != old {
				continue
			}
			if time.Since(begin) > waitLimit || !s.saving() && inode(s.dumpFile()) == old {
				s.h.Fatalf("%v wrote no dump: %s", args, s.info("rdb_last_error"))
			}
		}
		took := time.Since(begin)
		for s.saving() {
			time.Sleep(5 * pollEvery)
		}
		if status := s.info("rdb_last_bgsave_status"); status != "ok" {
			s.h.Fatalf("%v: %s", args, status)
		}
		return took
	}
}

func (s *server) saving() bool { return s.info("rdb_bgsave_in_progress") == "1" }

func inode(path string) uint64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Ino
}
