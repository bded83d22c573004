//go:build linux

package spine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

const (
	valueLen = 64  // appendSet writes it, and keys of 11 bytes
	batch    = 500 // SETs in one write
)

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
	conn := s.dial()
	defer func() { _ = conn.Close() }()
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
