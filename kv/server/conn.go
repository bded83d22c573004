//go:build linux

package server

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"kvd/kv/command"
	"kvd/kv/resp"
)

// Sizes, in bytes unless said otherwise.
const (
	// readSize is a loop's shared read buffer, and so the most that one turn
	// reads from a client that has no command under way.
	readSize = 64 << 10
	// bigReadSize is the most that one turn reads of a long argument.
	bigReadSize = 1 << 20
	// firstQuery is the smallest query buffer of a client.
	firstQuery = 4 << 10
	// firstOut and keptOut are the sizes of a loop's reply buffer: at start,
	// and the largest that it keeps when a reply has made it grow.
	firstOut = 16 << 10
	keptOut  = 256 << 10
	// flushSize is how many bytes of replies a turn gathers before it writes.
	flushSize = 256 << 10
	// pauseSize is how many bytes of unsent replies a client may have and still
	// get commands executed, where client-output-buffer-limit sets no limit.
	pauseSize = 1 << 20
	// readAhead bounds what is read from a client whose commands wait for it to
	// take its replies. It is generous: many clients send their whole pipeline
	// before they read the first reply.
	readAhead = 64 << 20
	// turnCommands is how many commands a client gets executed in one turn.
	turnCommands = 1024
	// maxSpare is how many parsers and small query buffers a loop keeps for reuse.
	maxSpare = 8
)

// Why a client's commands are not executed at the moment.
const (
	waitsOutput uint8 = 1 << iota // it does not take its replies, or not yet those with streams
	waitsPause                    // its command was postponed (CLIENT PAUSE)
	waitsTurn                     // its turn was used up; it is in loop.again
	waitsData                     // it is blocked (BLPOP …); what it sends is read all the same
)

// conn is a connection. Everything but killed belongs to its loop.
//
// A conn that has nothing under way owns no buffers: it is read into the
// loop's buffer, parsed by the loop's parser, and answered out of the loop's
// reply buffer.
type conn struct {
	client *command.Client
	loop   *loop
	fd     int
	slot   uint32
	gen    uint32
	mask   uint32 // the events that epoll watches for

	parser *resp.Parser // nil unless a command is incomplete
	query  []byte       // input that is not consumed; begins at qpos
	qpos   int
	out    []byte // replies that the socket did not take; begins at sent
	sent   int

	streamed int // bytes of the client's streams that the socket did not take

	waits     uint8
	closing   bool // no more commands: close when out is written
	eof       bool // the peer has sent its last byte
	closed    bool
	softSince int64 // loop time in ms since when the soft output limit is exceeded, 0 = not
	closeBy   int64 // loop time in ms at which a closing client is given up, 0 = not

	killed     atomic.Bool
	prev, next *conn // registry
}

// input returns the bytes that are not consumed.
func (c *conn) input() []byte { return c.query[c.qpos:] }

// readable is called when the socket has bytes, an end or an error for us.
func (l *loop) readable(c *conn) {
	if c.waits == 0 && len(c.input()) == 0 && c.parser == nil {
		n, ok := l.receive(c, l.in)
		if ok {
			l.serve(c, l.in[:n], false)
		}
		return
	}
	if c.waits == waitsTurn {
		return // its input is executed before more is read
	}
	l.makeRoom(c)
	have := len(c.query)
	n, ok := l.receive(c, c.query[have:min(cap(c.query), have+bigReadSize)])
	if !ok {
		return
	}
	c.query = c.query[:have+n]
	if c.waits != 0 {
		if len(c.input()) >= readAhead {
			l.watch(c)
		}
		return // it has commands to execute; what it waits for will do that
	}
	l.serve(c, c.input(), true)
}

// receive reads into p. ok is false if nothing came; c may be closed then.
func (l *loop) receive(c *conn, p []byte) (n int, ok bool) {
	n, e := recvRaw(c.fd, p)
	switch {
	case e == 0 && n > 0:
		if n == len(p) {
			l.rearm(c) // there may be more
		}
		l.ctx.CountRead(n)
		l.active(c)
		return n, true
	case e == syscall.EAGAIN || e == syscall.EINTR:
		l.rearm(c)
		return 0, false
	case e == 0 && c.waits&waitsData == 0 && (c.waits&^waitsPause != 0 || len(c.out) > 0):
		// A pipeline that ends with a shutdown of the sending side gets all
		// its replies.
		c.eof = true
		l.watch(c)
		return 0, false
	}
	l.close(c)
	return 0, false
}

// active notes that c has read or been written to.
func (l *loop) active(c *conn) {
	if c.client.LastActive.Load() != l.nowUnix {
		c.client.LastActive.Store(l.nowUnix)
	}
}

// makeRoom makes free space behind c.query. The buffer doubles, so that it
// never is much more than twice what has arrived; where a long argument ends
// before that, it ends there too.
func (l *loop) makeRoom(c *conn) {
	if c.qpos > 0 && c.qpos >= len(c.query)/2 {
		c.query = c.query[:copy(c.query, c.input())]
		c.qpos = 0
	}
	want := 1
	if c.parser != nil {
		want = c.parser.Want()
	}
	want = max(want, firstQuery/2)
	if cap(c.query)-len(c.query) >= min(want, readSize) {
		return
	}
	have := len(c.input())
	more := max(have, firstQuery)
	if want >= readSize && want > have/4 {
		more = min(want, max(have, readSize))
	}
	l.moveQuery(c, have+more)
}

// moveQuery gives c a query buffer of size bytes with its input in it.
func (l *loop) moveQuery(c *conn, size int) {
	fresh := l.queryBuffer(size)
	fresh = append(fresh, c.input()...)
	l.recycle(c.query)
	c.query, c.qpos = fresh, 0
}

// serve executes the commands in buf, which is the loop's buffer or (owned) the
// client's, keeps the rest and writes the replies.
func (l *loop) serve(c *conn, buf []byte, owned bool) {
	cl := c.client
	lent := len(c.out) == 0
	if lent {
		cl.Out, c.sent = l.out[:0], 0
	} else {
		cl.Out, c.out = c.out, nil
	}
	p := c.parser
	if p == nil {
		p = l.parser
	}
	p.MaxBulk = l.set.maxBulk
	cl.QueryBuf.Store(int64(len(buf))) // a CLIENT LIST among the commands shows it
	l.serving, l.relieveAt = c, l.checkOut
	l.ctx.BeginRound()
	l.ctx.Resume(cl)
	used, partial := l.execute(c, p, buf)
	l.ctx.EndRound()
	l.serving = nil
	l.keepParser(c, p, partial, owned)
	l.keepInput(c, buf, used, owned)
	l.flush(c, lent)
	if c.closed {
		return
	}
	l.afterTurn(c, partial)
}

// execute runs commands until the input ends or something stops it. used is
// how much of buf is done with; partial says that a command in it is incomplete.
func (l *loop) execute(c *conn, p *resp.Parser, buf []byte) (used int, partial bool) {
	cl := c.client
	if c.waits != 0 {
		return 0, false
	}
	for turn := 0; used < len(buf); turn++ {
		args, n, err := p.Next(buf[used:], cl.Authenticated())
		if err != nil {
			p.Reset() // the loop's parser goes on to other clients
			l.protocolError(c, err, buf[used:])
			return len(buf), false
		}
		if len(args) == 0 {
			if n == 0 {
				return used, true
			}
			used += n
			continue
		}
		if turn >= turnCommands {
			l.runAgain(c)
			return used, false
		}
		if c.killed.Load() {
			c.closing = true
			return len(buf), false
		}
		if isAttack(args[0]) {
			l.srv.attacked(l.now)
			l.drop(c)
			return len(buf), false
		}
		switch l.ctx.Do(cl, args) {
		case command.Postponed:
			c.waits |= waitsPause
			l.paused = append(l.paused, c)
			return used, false
		case command.Blocked:
			c.waits |= waitsData
		case command.Close:
			c.closing = true
			cl.Closing.Store(true)
		}
		used += n
		if len(cl.Streams) > 0 {
			l.streams(c)
		} else if len(cl.Out)-c.sent > l.relieveAt {
			l.relieve(c)
		}
		if c.closing {
			return len(buf), false
		}
		if c.waits != 0 {
			return used, false
		}
	}
	return used, false
}

// relieve is called between commands when many bytes of replies wait: it writes
// them, and stops the client if it does not take them.
func (l *loop) relieve(c *conn) {
	cl := c.client
	if hard := l.set.outHard; hard > 0 && len(cl.Out)-c.sent > hard {
		l.overLimit(c)
		return
	}
	if n, e := sendRaw(c.fd, cl.Out[c.sent:]); e == 0 {
		l.ctx.CountWrite(n)
		c.sent += n
	}
	if c.sent == len(cl.Out) {
		cl.Out, c.sent = cl.Out[:0], 0
		if cap(cl.Out) > keptOut {
			l.srv.litter.drop(cl.Out)
			cl.Out = make([]byte, 0, firstOut)
		}
		l.relieveAt = l.checkOut
		return
	}
	waiting := len(cl.Out) - c.sent
	if waiting > l.set.pauseAt {
		c.waits |= waitsOutput
	}
	// The next try comes when as much again has gathered, or a limit is reached.
	l.relieveAt = min(waiting+flushSize, max(waiting, l.set.pauseAt))
	if hard := l.set.outHard; hard > 0 {
		l.relieveAt = min(l.relieveAt, max(waiting, hard))
	}
}

// drop ends c without the replies that were not written. It is for use while
// c is being served.
func (l *loop) drop(c *conn) {
	c.client.DropReplies(c.sent)
	c.streamed = 0
	c.closing = true
}

// keepParser leaves p with c while a command is incomplete and takes it back
// when it is not.
func (l *loop) keepParser(c *conn, p *resp.Parser, partial, owned bool) {
	switch {
	case partial && c.parser == nil:
		c.parser = p
		l.parser = l.newParser()
	case !partial && c.parser != nil:
		c.parser = nil
		p.Reset()
		if len(l.parsers) < maxSpare {
			l.parsers = append(l.parsers, p)
		}
	case !partial && owned || p.Memory() > firstQuery && !partial:
		p.Reset() // it refers to the client's buffer, or has grown
	}
}

// keepInput keeps what was not consumed.
func (l *loop) keepInput(c *conn, buf []byte, used int, owned bool) {
	if used == len(buf) {
		if owned {
			l.recycle(c.query)
		}
		c.query, c.qpos = nil, 0
		return
	}
	if owned {
		c.qpos += used
		return
	}
	rest := buf[used:]
	c.query, c.qpos = append(l.queryBuffer(max(2*len(rest), firstQuery)), rest...), 0
}

// flush writes client.Out and keeps what the socket did not take. lent says
// that the buffer was the loop's to begin with.
func (l *loop) flush(c *conn, lent bool) {
	cl := c.client
	out := cl.Out
	cl.Out = nil
	if len(cl.Streams) > 0 {
		if e := l.sendStreams(c, out); e != 0 && e != syscall.EAGAIN {
			l.giveBack(out, lent)
			l.close(c)
			return
		}
	}
	for c.sent < len(out) && len(cl.Streams) == 0 {
		n, e := sendRaw(c.fd, out[c.sent:])
		if e == syscall.EINTR {
			continue
		}
		if e == syscall.EAGAIN {
			break
		}
		if e != 0 {
			l.giveBack(out, lent)
			l.close(c)
			return
		}
		l.ctx.CountWrite(n)
		c.sent += n
		if c.sent < len(out) && n < len(out)/2 {
			break // the socket's buffer is full: epoll will tell
		}
	}
	if c.sent >= len(out) {
		l.giveBack(out, lent)
		c.out, c.sent = nil, 0
		if c.closing {
			l.close(c)
		}
		return
	}
	if lent && len(out)-c.sent <= cap(out)/2 {
		c.out = append([]byte(nil), out[c.sent:]...)
		c.shifted()
		l.giveBack(out, true)
		return
	}
	if lent {
		l.out = make([]byte, 0, firstOut)
	}
	if c.sent > len(out)/2 {
		out = out[:copy(out, out[c.sent:])]
		c.shifted()
	}
	c.out = out
}

// giveBack returns the lent reply buffer to the loop, unless it has grown; others it drops.
func (l *loop) giveBack(out []byte, lent bool) {
	if !lent {
		l.srv.litter.drop(out)
		return
	}
	if cap(out) > keptOut {
		l.srv.litter.drop(out)
		out = make([]byte, 0, firstOut)
	}
	l.out = out[:0]
}

// afterTurn settles what c waits for and what epoll watches.
func (l *loop) afterTurn(c *conn, partial bool) {
	if c.closed {
		return
	}
	if c.waits&waitsOutput != 0 && len(c.client.Streams) == 0 && len(c.out)-c.sent <= l.set.pauseAt {
		c.waits &^= waitsOutput
		if len(c.input()) > 0 && c.waits == 0 {
			l.runAgain(c)
		}
	}
	if partial && l.queryTooLong(c) {
		return
	}
	if len(c.out) > 0 && l.outputTooLong(c) {
		return
	}
	if c.eof && c.waits == 0 && len(c.out) == 0 {
		l.close(c)
		return
	}
	l.figures(c)
	l.watch(c)
}

// writable is called when the socket takes bytes again.
func (l *loop) writable(c *conn) {
	if len(c.out) == 0 {
		l.watch(c)
		return
	}
	c.client.Out, c.out = c.out, nil
	streamed := c.streamed
	l.flush(c, false)
	if c.closed {
		return
	}
	if c.streamed < streamed {
		c.closeBy = 0 // it is reading, if it is to be closed afterwards
	}
	l.active(c)
	l.afterTurn(c, false)
}

// watch tells epoll what c waits for, if that has changed.
func (l *loop) watch(c *conn) {
	var mask uint32
	if !c.eof && !c.closing && c.waits&waitsPause == 0 && (c.waits == 0 || len(c.input()) < readAhead) {
		mask = unix.EPOLLIN
	}
	if c.waits&waitsPause != 0 && !c.eof {
		mask |= unix.EPOLLRDHUP
	}
	if len(c.out) > 0 {
		mask |= unix.EPOLLOUT
	}
	if mask == unix.EPOLLIN && c.waits&^waitsData == 0 {
		mask = plainMask
	}
	if mask == c.mask {
		return
	}
	if (mask^c.mask)&unix.EPOLLOUT != 0 {
		c.client.Writable.Store(mask&unix.EPOLLOUT != 0)
	}
	c.mask = mask
	_ = pollCtl(l.epfd, unix.EPOLL_CTL_MOD, c.fd, mask, c.slot, c.gen)
}

// plainMask is what epoll watches for a client that nothing is known of but that
// it may send: edges, because with levels the kernel looks at each socket
// twice, when it becomes readable and again when that has been read. After a
// read that left nothing behind the next bytes are an edge; otherwise, and when
// the other side has closed, rearm is called.
const plainMask = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// rearm has epoll report c again if it is readable.
func (l *loop) rearm(c *conn) {
	if c.mask == plainMask {
		_ = pollCtl(l.epfd, unix.EPOLL_CTL_MOD, c.fd, c.mask, c.slot, c.gen)
	}
}
