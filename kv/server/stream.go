//go:build linux

package server

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A long string among a client's replies is not in its output buffer: the client's Streams
// say what comes where, and the loop has the kernel copy it from the store's memory into the
// socket, piece by piece. In a turn a client gets streamTurn bytes at most, then the other
// clients of the loop have theirs; and none of its commands is executed until
// all has been written.
//
//	out     ...$536870912\r\n | \r\n+OK\r\n
//	             sent ^       ^ At: here the stream goes
//
// Invariant: while there are streams, bytes of out are unsent (the line end behind the last of
// them), and waitsOutput is set.

const (
	// streamTurn is the most that a turn writes of replies with streams, in bytes.
	streamTurn = 1 << 20
	// maxParts is how many parts one call writes: a turn's chunks, which are of 16 KiB, with
	// what is before, between and behind.
	maxParts = streamTurn>>14 + 8
)

// unsent returns how many bytes of replies the socket has not taken, streams included;
// out is the client's buffer.
func (c *conn) unsent(out []byte) int { return len(out) - c.sent + c.streamed }

// streams is called when a command has left streams among the replies of c, which is being served.
func (l *loop) streams(c *conn) {
	c.streamed = 0
	for i := range c.client.Streams {
		c.streamed += int(c.client.Streams[i].Pin.Left())
	}
	if hard := l.set.outHard; hard > 0 && c.unsent(c.client.Out) > hard {
		l.overLimit(c)
		return
	}
	c.waits |= waitsOutput
}

// sendSome writes what the socket takes at once of out, up to streamTurn bytes if there are
// streams.
func (l *loop) sendSome(c *conn, out []byte) syscall.Errno {
	if len(c.client.Streams) > 0 {
		return l.sendStreams(c, out)
	}
	n, e := sendRaw(c.fd, out[c.sent:])
	if e == 0 {
		l.ctx.CountWrite(n)
		c.sent += n
	}
	return e
}

// sendStreams writes up to streamTurn bytes of out and the streams in it. It returns EAGAIN if the
// socket took less.
func (l *loop) sendStreams(c *conn, out []byte) syscall.Errno {
	for turn := streamTurn; turn > 0 && len(c.client.Streams) > 0; {
		parts, size := l.gather(c, out, turn)
		n, e := sendParts(c.fd, parts)
		clear(parts)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return e
		}
		l.ctx.CountWrite(n)
		c.advance(n)
		if n < size {
			return syscall.EAGAIN
		}
		turn -= n
	}
	return 0
}

// gather returns the parts that come next, limit bytes at most, and how many they are.
func (l *loop) gather(c *conn, out []byte, limit int) (parts []unix.Iovec, size int) {
	parts = l.parts[:0]
	add := func(b []byte) bool {
		if b = b[:min(len(b), limit-size)]; len(b) > 0 {
			parts = append(parts, unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
			size += len(b)
		}
		return size < limit && len(parts) < cap(parts)
	}
	from := c.sent
	for i := range c.client.Streams {
		s := &c.client.Streams[i]
		if !add(out[from:s.At]) {
			return parts, size
		}
		from = s.At
		for p := s.Pin.Pieces(); p.Next(); {
			if !add(p.Bytes) {
				return parts, size
			}
		}
	}
	add(out[from:])
	return parts, size
}

// advance notes that n bytes more were written, and releases the streams that are done.
func (c *conn) advance(n int) {
	cl := c.client
	for len(cl.Streams) > 0 && n > 0 {
		s := &cl.Streams[0]
		k := min(n, s.At-c.sent)
		c.sent += k
		n -= k
		k = min(n, int(s.Pin.Left()))
		s.Pin.Skip(int64(k))
		c.streamed -= k
		n -= k
		if s.Pin.Left() > 0 {
			return
		}
		s.Pin.Release()
		s.Pin = nil
		if cl.Streams = cl.Streams[1:]; len(cl.Streams) == 0 {
			cl.Streams = nil
		}
	}
	c.sent += n
}

// shifted makes up for the bytes that were sent and have been taken out of the output buffer.
func (c *conn) shifted() {
	for i := range c.client.Streams {
		c.client.Streams[i].At -= c.sent
	}
	c.sent = 0
}

// sendParts is sendRaw for what does not lie in one piece.
func sendParts(fd int, parts []unix.Iovec) (int, syscall.Errno) {
	m := unix.Msghdr{Iov: unsafe.SliceData(parts)}
	m.SetIovlen(len(parts))
	n, _, e := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&m)), unix.MSG_NOSIGNAL)
	return int(n), e
}
