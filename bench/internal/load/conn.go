//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTimeout = 5 * time.Second
	outLimit    = 64 << 10 // bytes that wait for the socket; no more requests are encoded then
	firstIn     = 64 << 10 // of a connection's read buffer
	smallestMax = 1 << 20  // a reply may always be that long
	replySlack  = 64       // a bulk's head and tail, generously
)

// conn is one connection. Its requests are numbered; a paced one has pacer.
type conn struct {
	l     *loop
	fd    int
	index int // in loop.conns, and in epoll's events
	src   source

	pacer *pacer
	place int64 // in pacer.conns

	due    int64 // requests that ought to be on their way
	issued int64 // of these were encoded
	done   int64 // of these are answered
	fresh  int64 // of due-issued: held up by nothing but the loop itself

	out     []byte // not taken by the socket yet
	blocked bool   // the socket is full, epoll will tell
	queue   queue
	answer  pending // whose reply is being looked at
	in      []byte
	inLen   int
	maxIn   int
	dirty   bool
}

// dial connects and returns a non-blocking socket without Nagle's delay that the
// Go runtime knows nothing of.
func dial(ctx context.Context, addr string) (fd int, err error) {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return -1, fmt.Errorf("load: %w", err)
	}
	defer func() { _ = nc.Close() }() // what remains is the duplicate
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("load: %w", err)
	}
	var dupErr error
	err = raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, dupErr); err != nil {
		return -1, fmt.Errorf("load: %w", err)
	}
	return fd, nil
}

func (c *conn) clock() int64 { return c.l.now() }

// hasRoom tells whether a request can be encoded: one takes up to two places in
// the queue.
func (c *conn) hasRoom() bool { return !c.blocked && len(c.out) < outLimit && c.queue.room() >= 2 }

// pump sends what is due, as far as there is room.
func (c *conn) pump() error {
	for {
		for c.issued < c.due && c.hasRoom() {
			if !c.src.issue(c, c.dueAt(c.issued)) {
				c.due, c.l.exhausted = c.issued, true
				break
			}
			c.issued++
		}
		if err := c.flush(); err != nil {
			return err
		}
		if c.issued == c.due || !c.hasRoom() {
			return nil
		}
	}
}

// dueAt is when request n was or is due; without a pacer, now.
func (c *conn) dueAt(n int64) int64 {
	if c.pacer == nil {
		return c.clock()
	}
	return c.pacer.at(c.place + n*int64(len(c.pacer.conns)))
}

// flush writes what the socket takes.
func (c *conn) flush() error {
	for len(c.out) > 0 && !c.blocked {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			c.blocked = true
			return c.l.watch(c)
		case err != nil:
			return c.failed(err)
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
	return nil
}

// writable is called when epoll says that a full socket has room again.
func (c *conn) writable() error {
	c.blocked = false
	if err := c.l.watch(c); err != nil {
		return err
	}
	return c.pump()
}

// readable takes what the socket has, and answers to it.
func (c *conn) readable() error {
	n, err := unix.Read(c.fd, c.in[c.inLen:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return c.failed(err)
	case n == 0:
		return c.failed(io.EOF)
	}
	now := c.clock()
	c.inLen += n
	rest := c.in[:c.inLen]
	for len(rest) > 0 {
		n, resp, err := nextReply(rest)
		if err != nil {
			return c.failed(err)
		}
		if n == 0 {
			break
		}
		if c.queue.n == 0 {
			return c.failed(fmt.Errorf("an answer to nothing: %.80q", resp.Raw))
		}
		c.answer = c.queue.pop() // a field: a variable would be allocated for each call through the interface
		p := &c.answer
		if err := p.op.check(resp); err != nil {
			return c.failed(err)
		}
		c.src.answered(c, p, resp, now)
		if p.role != roleFirst && p.role != roleRead {
			c.done++
		}
		rest = rest[n:]
	}
	if c.inLen = copy(c.in, rest); c.inLen == len(c.in) {
		if err := c.growIn(); err != nil {
			return err
		}
	}
	c.l.refill(c)
	return c.pump()
}

func (c *conn) growIn() error {
	if len(c.in) >= c.maxIn {
		return c.failed(fmt.Errorf("an answer longer than %d bytes", c.maxIn))
	}
	c.in = append(c.in, make([]byte, min(len(c.in), c.maxIn-len(c.in)))...)
	return nil
}

// failed says what ended a connection, in words.
func (c *conn) failed(err error) error {
	what := fmt.Sprintf("load: connection %d of %d to %s", c.index+1, len(c.l.conns), c.l.addr)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s: the server closed it: %w", what, err)
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return fmt.Errorf("%s: the server broke it off: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
