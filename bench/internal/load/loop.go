//go:build linux

package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// drain is how long replies are waited for after the end.
	drain = 500 * time.Millisecond

	maxQueue    = 2 * MaxPipeline
	smallQueue  = 64
	queueBudget = 64 << 10 // places in the queues of all connections together, about
	outBudget   = 64 << 20 // bytes of output buffers that are allocated before the start
	never       = math.MaxInt64
)

// Events of descriptors that are no connection carry these in place of an index.
const (
	timerEvent = -1
	wakeEvent  = -2
)

// pacer makes requests of some connections in turn due, one every period.
type pacer struct {
	conns  []*conn
	period float64 // ns
	phase  float64 // when the first one is due, ns
	next   int64   // number of the next request
}

// at is when request n is due, ns since the start.
func (p *pacer) at(n int64) int64 { return int64(p.phase + float64(n)*p.period) }

// loop drives all connections from one thread.
type loop struct {
	addr   string
	conns  []*conn
	pacers []*pacer
	rec    *recorder // nil for Fill
	batch  int64     // closed loop: requests on their way at most
	low    int64     // closed loop: when so few are left there are new ones

	epfd, timer, wake int
	events            []unix.EpollEvent
	setting           unix.ItimerSpec
	armed             int64 // what timer is set to
	start             time.Time
	startMono         int64 // the same on the kernel's monotonic clock
	dirty             []*conn
	exhausted         bool // there will be no more requests

	end      int64 // when it was stopped, 0 until then
	finished func(now int64)

	mu      sync.Mutex // guards what follows, and the life of wake
	stopped bool
	closed  bool
	cause   error // why it was stopped or has failed; nil after an ordinary stop
	done    chan struct{}
}

func newLoop(addr string) *loop {
	return &loop{addr: addr, epfd: -1, timer: -1, wake: -1, armed: never, done: make(chan struct{}),
		events: make([]unix.EpollEvent, 256)}
}

// open creates the loop's descriptors.
func (l *loop) open() (err error) {
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("load: timerfd: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("load: eventfd: %w", err)
	}
	// Edge-triggered, they need not be read.
	if err = l.add(l.timer, timerEvent, unix.EPOLLIN|unix.EPOLLET); err != nil {
		return err
	}
	return l.add(l.wake, wakeEvent, unix.EPOLLIN|unix.EPOLLET)
}

func (l *loop) add(fd int, index int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: index}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	return nil
}

// connect adds a connection with room for unit bytes beyond the output limit,
// out of conns in all.
func (l *loop) connect(ctx context.Context, src source, conns, unit, maxReply int) (*conn, error) {
	fd, err := dial(ctx, l.addr)
	if err != nil {
		return nil, err
	}
	places := maxQueue
	for places > max(smallQueue, 2*int(l.batch)) && places*conns > queueBudget {
		places /= 2
	}
	c := &conn{
		l: l, fd: fd, index: len(l.conns), src: src,
		queue: newQueue(places),
		out:   make([]byte, 0, min(outLimit+unit, outBudget/conns)),
		in:    make([]byte, min(firstIn, outBudget/conns)),
		maxIn: max(smallestMax, maxReply),
	}
	l.conns = append(l.conns, c)
	return c, l.add(fd, int32(c.index), unix.EPOLLIN)
}

// pace has the connections send a request every period in turn, from phase on.
func (l *loop) pace(conns []*conn, period, phase float64) {
	p := &pacer{conns: conns, period: period, phase: phase}
	for i, c := range conns {
		c.pacer, c.place = p, int64(i)
	}
	l.pacers = append(l.pacers, p)
}

// watch tells epoll what is waited for.
func (l *loop) watch(c *conn) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.index)}
	if c.blocked {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	return nil
}

func (l *loop) now() int64 { return int64(time.Since(l.start)) }

// run is the loop's goroutine. started is closed when the clock runs.
func (l *loop) run(started chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	l.start, l.startMono = time.Now(), ts.Nano()
	close(started)
	if err == nil {
		err = l.turn()
	}
	now := l.now()
	if l.finished != nil {
		l.finished(now)
	}
	l.close()
	l.mu.Lock()
	if l.cause == nil {
		l.cause = err
	}
	l.mu.Unlock()
	close(l.done)
}

// turn goes round until there is nothing more to do. The error is of a
// connection or of the kernel.
func (l *loop) turn() error {
	for _, c := range l.conns {
		l.refill(c)
		if err := c.pump(); err != nil {
			return err
		}
	}
	for {
		if err := l.advance(l.now()); err != nil {
			return err
		}
		if l.exhausted && l.idle() {
			return nil
		}
		if err := l.arm(); err != nil {
			return err
		}
		n, err := unix.EpollWait(l.epfd, l.events, l.patience())
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("load: epoll: %w", err)
		}
		for i := range max(n, 0) {
			if err := l.handle(&l.events[i]); err != nil {
				return err
			}
		}
		if l.end != 0 && (l.idle() || l.now()-l.end >= int64(drain)) {
			return nil
		}
	}
}

// handle serves one event, and then what became due meanwhile: many replies at
// once must not make the requests between them late.
func (l *loop) handle(ev *unix.EpollEvent) error {
	switch {
	case ev.Fd == wakeEvent:
		return l.stop()
	case ev.Fd == timerEvent:
		l.armed = never
		return l.advance(l.now())
	}
	c := l.conns[ev.Fd]
	if ev.Events&unix.EPOLLOUT != 0 {
		if err := c.writable(); err != nil {
			return err
		}
	}
	if ev.Events&^unix.EPOLLOUT != 0 { // input, or the end: reading tells which
		if err := c.readable(); err != nil {
			return err
		}
	}
	if len(l.pacers) > 0 {
		return l.advance(l.now())
	}
	return nil
}

// patience is how many milliseconds epoll may wait.
func (l *loop) patience() int {
	if l.end == 0 {
		return -1
	}
	left := l.end + int64(drain) - l.now()
	return int(max(0, left)/int64(time.Millisecond)) + 1
}

// refill makes the next requests of a closed loop due.
func (l *loop) refill(c *conn) {
	if c.pacer == nil && l.end == 0 && c.due-c.done <= l.low && !l.exhausted {
		c.due = c.done + l.batch
	}
}

// advance sends what is due by now.
func (l *loop) advance(now int64) error {
	if l.end != 0 {
		return nil
	}
	for _, p := range l.pacers {
		l.makeDue(p, now)
	}
	for _, c := range l.dirty {
		c.dirty = false
		now := l.now()
		for i := range c.fresh {
			l.rec.late(now-c.dueAt(c.issued+i), now)
		}
		c.fresh = 0
		if err := c.pump(); err != nil {
			return err
		}
	}
	l.dirty = l.dirty[:0]
	return nil
}

func (l *loop) makeDue(p *pacer, now int64) {
	for p.at(p.next) <= now {
		c := p.conns[p.next%int64(len(p.conns))]
		p.next++
		if c.due-c.issued == c.fresh && c.hasRoom() {
			c.fresh++
		}
		c.due++
		if !c.dirty {
			c.dirty = true
			l.dirty = append(l.dirty, c)
		}
	}
}

// arm sets the timer to when the next request is due.
func (l *loop) arm() error {
	next := int64(never)
	for _, p := range l.pacers {
		next = min(next, p.at(p.next))
	}
	if next == l.armed || l.end != 0 {
		return nil
	}
	l.armed = next
	l.setting.Value = unix.NsecToTimespec(l.startMono + next)
	if err := unix.TimerfdSettime(l.timer, unix.TFD_TIMER_ABSTIME, &l.setting, nil); err != nil {
		return fmt.Errorf("load: timerfd: %w", err)
	}
	return nil
}

// idle tells whether nothing is on its way and nothing owed.
func (l *loop) idle() bool {
	for _, c := range l.conns {
		if c.queue.n > 0 || c.issued < c.due {
			return false
		}
	}
	return true
}

// stop ends the sending; the loop goes on for the replies to what was sent.
func (l *loop) stop() error {
	if l.end != 0 {
		return nil
	}
	now := l.now()
	err := l.advance(now)
	l.end = max(now, 1)
	for _, c := range l.conns {
		if c.pacer == nil {
			c.due = c.issued // the rest of a pipeline that did not fit
		}
	}
	if l.rec != nil {
		l.rec.close(now)
	}
	return err
}

// giveUp counts what has no answer at now.
func (l *loop) giveUp(now int64) {
	for _, c := range l.conns {
		for c.queue.n > 0 {
			p := c.queue.pop()
			c.src.unanswered(&p, now)
		}
		if c.pacer == nil {
			continue
		}
		for ; c.issued < c.due; c.issued++ {
			c.src.unsent(c.dueAt(c.issued), now)
		}
	}
}

// requestStop ends the loop from another goroutine; cause may be nil.
func (l *loop) requestStop(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.closed {
		return
	}
	l.stopped, l.cause = true, cause
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(l.wake, one[:]) // an eventfd takes the first value it is given
}

// err is the cause of the end, nil while there is none.
func (l *loop) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// close closes all descriptors.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, c := range l.conns {
		_ = unix.Close(c.fd)
	}
	for _, fd := range []int{l.timer, l.wake, l.epfd} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
