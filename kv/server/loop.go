//go:build linux

package server

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv/command"
	"kvd/kv/resp"
)

// maxEvents is how many events one poll returns.
const maxEvents = 128

// loop is an event loop: a goroutine locked to its OS thread, an epoll
// instance and the connections that it watches. Other goroutines reach it
// through post alone; load and tid are the only other fields that they read.
type loop struct {
	srv *Server
	id  int
	tid atomic.Int64 // thread id while it runs

	epfd, evfd int
	ctx        *command.Ctx
	set        *settings // as of the present round
	now        int64     // milliseconds since the server was made, as of the present round
	nowUnix    int64     // seconds

	events         []unix.EpollEvent
	slots          []*conn
	free           []uint32
	gen            uint32
	mayHold, quick bool         // see poll; quick: events come in quick succession
	load           atomic.Int64 // connections, those on their way included

	in      []byte // shared by all clients that have nothing under way
	out     []byte // lent to the client that is being served
	parts   []unix.Iovec
	parser  *resp.Parser
	parsers []*resp.Parser
	buffers [][]byte

	serving   *conn
	checkOut  int // bytes of replies that make execute call relieve
	relieveAt int // the same for the client being served
	again     []*conn
	turn      []*conn
	paused    []*conn // their command was postponed

	nextCron int64 // in ms, as now
	cronSlot int
	stopped  bool

	spareMail []message // for mail, when that is taken

	mu     sync.Mutex // guards what follows, but for closed
	mail   []message
	rung   bool // the eventfd was signalled and not yet drained
	dead   bool // the descriptors are closed
	closed chan struct{}
}

// message is what other threads ask of a loop.
type message struct {
	what uint8
	c    *conn
	hold *hold
}

const (
	msgAdopt   uint8 = iota // watch a new connection
	msgKill                 // close one
	msgWake                 // retry postponed commands
	msgUnblock              // go on with a client that waited for data
	msgHold                 // wait for the end of the hold
	msgStop                 // close everything and end
)

func newLoop(s *Server, id int) (*loop, error) {
	l := &loop{srv: s, id: id, closed: make(chan struct{})}
	var err error
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if l.evfd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		_ = unix.Close(l.epfd)
		return nil, err
	}
	if err = pollCtl(l.epfd, unix.EPOLL_CTL_ADD, l.evfd, unix.EPOLLIN, wakeSlot, 0); err != nil {
		l.closeFDs()
		return nil, err
	}
	l.ctx = s.engine.NewCtx()
	l.events = make([]unix.EpollEvent, maxEvents)
	l.in = make([]byte, readSize)
	l.out = make([]byte, 0, firstOut)
	l.parts = make([]unix.Iovec, 0, maxParts)
	l.parser = &resp.Parser{}
	return l, nil
}

// closeFDs is called when no loop runs any more. Later messages are lost;
// connections that were handed over too late are closed here.
func (l *loop) closeFDs() {
	l.mu.Lock()
	dead, late := l.dead, l.mail
	l.dead, l.mail = true, nil
	l.mu.Unlock()
	if dead {
		return
	}
	for _, m := range late {
		if m.what == msgAdopt {
			l.discard(m.c)
		}
	}
	_ = unix.Close(l.evfd)
	_ = unix.Close(l.epfd)
}

// run is the loop. It returns after msgStop.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.tid.Store(int64(unix.Gettid()))
	defer close(l.closed)
	defer l.tid.Store(0)
	l.mayHold = mayHold(l.srv.Loops())
	l.round()
	for !l.stopped {
		n, e := l.poll()
		if e != 0 {
			n = 0 // EINTR
		}
		l.round()
		for i := range n {
			l.event(&l.events[i])
		}
		if len(l.again) > 0 {
			l.takeTurns()
		}
		if l.now >= l.nextCron {
			l.cron()
		}
	}
}

// round reads the clock and the settings.
func (l *loop) round() {
	t := time.Now()
	l.now = t.Sub(l.srv.start).Milliseconds()
	l.nowUnix = t.Unix()
	if set := l.srv.set.Load(); set != l.set {
		l.set = set
		l.checkOut = flushSize
		if set.outHard > 0 {
			l.checkOut = min(l.checkOut, set.outHard)
		}
	}
}

// sleepMs is the time to the next tick, in whole milliseconds.
func (l *loop) sleepMs() int {
	now := time.Since(l.srv.start).Milliseconds()
	return int(max(0, l.nextCron-now))
}

func (l *loop) event(ev *unix.EpollEvent) {
	slot, gen := uint32(ev.Fd), uint32(ev.Pad)
	if slot < uint32(len(l.slots)) {
		c := l.slots[slot]
		if c == nil || c.gen != gen {
			return
		}
		l.connEvent(c, ev.Events)
		return
	}
	switch {
	case slot == wakeSlot:
		l.readMail()
	case slot&listenerFlag != 0:
		l.srv.accept(l, int(slot&^listenerFlag), gen)
	}
}

func (l *loop) connEvent(c *conn, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		l.writable(c)
		if c.closed {
			return
		}
	}
	const gone = unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLRDHUP
	if events&unix.EPOLLIN != 0 && c.mask&unix.EPOLLIN != 0 {
		l.readable(c)
		if events&unix.EPOLLRDHUP != 0 && !c.closed {
			l.rearm(c) // what is behind the bytes just read is no edge
		}
	} else if events&gone != 0 && c.waits&waitsTurn == 0 {
		// Nobody is there any more to read replies, or to wait for a pause.
		l.close(c)
	}
}

// post hands a message to the loop and wakes it. Any goroutine may call it.
func (l *loop) post(m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.mail = append(l.mail, m)
	if !l.rung {
		l.rung = true
		signalEventfd(l.evfd)
	}
}

func (l *loop) readMail() {
	l.mu.Lock()
	drainEventfd(l.evfd)
	l.rung = false
	batch := l.mail
	l.mail, l.spareMail = l.spareMail, nil
	l.mu.Unlock()
	stop := false
	for _, m := range batch {
		switch m.what {
		case msgAdopt:
			l.adopt(m.c)
		case msgKill:
			if !m.c.closed {
				l.close(m.c)
			}
		case msgWake:
			l.retryPaused()
		case msgUnblock:
			l.unblocked(m.c)
		case msgHold:
			stop = l.park(m.hold) || stop
		case msgStop:
			stop = true
		}
	}
	clear(batch)
	l.spareMail = batch[:0]
	if stop {
		l.stop()
	}
}

// adopt starts to watch a connection.
func (l *loop) adopt(c *conn) {
	if l.stopped || c.killed.Load() {
		l.discard(c)
		return
	}
	var slot uint32
	if n := len(l.free); n > 0 {
		slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		slot = uint32(len(l.slots))
		l.slots = append(l.slots, nil)
	}
	l.gen++
	c.slot, c.gen, c.mask = slot, l.gen, plainMask
	c.client.Streaming = true
	l.slots[slot] = c
	if err := pollCtl(l.epfd, unix.EPOLL_CTL_ADD, c.fd, c.mask, slot, c.gen); err != nil {
		l.srv.log.Warn("Error registering a client connection: " + errnoText(err))
		l.close(c)
	}
}

// close ends a connection that the loop watches.
func (l *loop) close(c *conn) {
	c.closed = true
	// A forked child may hold a copy of the socket, which would keep it in epoll.
	_ = pollCtl(l.epfd, unix.EPOLL_CTL_DEL, c.fd, 0, 0, 0)
	l.slots[c.slot] = nil
	l.free = append(l.free, c.slot)
	l.recycle(c.query)
	l.srv.litter.drop(c.out)
	c.query, c.out, c.parser, c.qpos, c.sent = nil, nil, nil, 0, 0
	l.discard(c)
}

// discard ends a connection that is in no loop's table.
func (l *loop) discard(c *conn) {
	c.closed = true
	c.client.Closing.Store(true)
	l.srv.clients.remove(c)
	_ = unix.Close(c.fd)
	l.srv.engine.FreeClient(c.client)
	l.load.Add(-1)
}

// runAgain puts c in the queue of those whose turn was used up.
func (l *loop) runAgain(c *conn) {
	if c.waits&waitsTurn == 0 {
		c.waits |= waitsTurn
		l.again = append(l.again, c)
	}
}

// takeTurns gives each client in the queue one more turn.
func (l *loop) takeTurns() {
	l.again, l.turn = l.turn[:0], l.again
	for _, c := range l.turn {
		c.waits &^= waitsTurn
		if !c.closed && c.waits == 0 {
			l.serve(c, c.input(), true)
		}
	}
	clear(l.turn)
}

// retryPaused runs the commands that were postponed; those that still must wait
// are postponed again.
func (l *loop) retryPaused() {
	if len(l.paused) == 0 {
		return
	}
	list := l.paused
	l.paused = nil
	for _, c := range list {
		if c.closed {
			continue
		}
		c.waits &^= waitsPause
		if c.waits == 0 {
			l.serve(c, c.input(), true)
		}
	}
}

// unblocked gives a client that waited for data its reply and goes on with what it has
// sent meanwhile.
func (l *loop) unblocked(c *conn) {
	if !c.closed {
		c.waits &^= waitsData
		l.serve(c, c.input(), true)
	}
}

// stop writes what can be written at once, closes all connections and lets run
// return.
func (l *loop) stop() {
	if l.stopped {
		return
	}
	l.stopped = true
	for _, c := range l.slots {
		switch {
		case c == nil:
		case c == l.serving:
			// SHUTDOWN on this loop: serve closes it, if the program goes on at all.
			_ = l.sendSome(c, c.client.Out)
			l.drop(c)
		default:
			if len(c.out) > 0 {
				_ = l.sendSome(c, c.out)
			}
			l.close(c)
		}
	}
}

func (l *loop) newParser() *resp.Parser {
	if n := len(l.parsers); n > 0 {
		p := l.parsers[n-1]
		l.parsers = l.parsers[:n-1]
		return p
	}
	return &resp.Parser{}
}

// queryBuffer returns an empty buffer with room for size bytes.
func (l *loop) queryBuffer(size int) []byte {
	if n := len(l.buffers); size <= readSize && n > 0 {
		b := l.buffers[n-1]
		l.buffers = l.buffers[:n-1]
		if cap(b) >= size {
			return b
		}
	}
	return make([]byte, 0, size)
}

// recycle keeps a small query buffer for the next client.
func (l *loop) recycle(b []byte) {
	if cap(b) > 0 && cap(b) <= readSize && len(l.buffers) < maxSpare {
		l.buffers = append(l.buffers, b[:0])
		return
	}
	l.srv.litter.drop(b)
}
