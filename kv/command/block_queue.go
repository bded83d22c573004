package command

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"

	"kvd/kv"
	"kvd/kv/resp"
)

// waitKey is a key that somebody waits for.
type waitKey struct {
	db  int
	key string
}

// waiter is a blocked client: what it waits for, and how to go on. It is in the queues,
// the heap and the map of blockState, or in none of them.
type waiter struct {
	c    *Client
	spec *Spec
	args [][]byte   // owned
	also [][]byte   // of args
	keys []waitSeat // one for each key
	typ  kv.Type
	gone bool
	db   int
	resp uint8

	due   int64 // engine time in ns, 0 for ever
	index int   // in the heap

	reply []byte // set when it has left blockState, before its loop is told
}

// waitSeat is a waiter's place in the queue of one key.
type waitSeat struct {
	w          *waiter
	queue      *waitQueue
	prev, next *waitSeat
}

// waitQueue are those who wait for a key, the first who came at its head.
type waitQueue struct {
	waitKey
	head, tail *waitSeat
}

// blockState is what an engine knows of its blocked clients. A shard's lock may be held
// when mu is taken, none may be asked for while it is held: a client that finds its key
// empty enters the queue under the lock of the key's shard, so that nobody can fill the
// key unseen in between.
type blockState struct {
	queued atomic.Int64 // keys with a queue: nobody looks further while it is 0
	moves  atomic.Int64 // waiters with also

	mu     sync.Mutex
	queues map[waitKey]*waitQueue
	byID   map[int64]*waiter
	due    dueHeap
	timer  *time.Timer
	groups map[waitKey]int // how many with gone wait for a key
}

// dueHeap holds the waiters with a timeout, the next one first.
type dueHeap []*waiter

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(w any) {
	w.(*waiter).index = len(*h)
	*h = append(*h, w.(*waiter))
}
func (h *dueHeap) Pop() any {
	old := *h
	last := len(old) - 1
	w := old[last]
	old[last] = nil
	*h = old[:last]
	return w
}

// newWaiter copies what a blocked client must remember into few pieces of memory.
func (x *Ctx) newWaiter(b *blocking) *waiter {
	args := b.args
	if args == nil {
		args = x.Args
	}
	c := x.Client
	w := &waiter{c: c, spec: x.Spec, typ: b.typ, gone: b.gone, db: c.db, resp: c.resp, index: -1}
	n := 0
	for _, a := range args {
		n += len(a)
	}
	for _, a := range b.also {
		n += len(a)
	}
	text := make([]byte, 0, n)
	lists := make([][]byte, 0, len(args)+len(b.also))
	for _, from := range [][][]byte{args, b.also} {
		for _, a := range from {
			at := len(text)
			text = append(text, a...)
			lists = append(lists, text[at:len(text):len(text)])
		}
	}
	w.args, w.also = lists[:len(args):len(args)], lists[len(args):]
	return w
}

// maxWait bounds timeouts far below where engine time would overflow.
const maxWait = int64(100 * 365 * 24 * time.Hour)

// park makes the present client a waiter.
func (x *Ctx) park(b *blocking) {
	w := x.newWaiter(b)
	if b.timeout > 0 {
		w.due = x.now() + maxWait
		if b.timeout < blockTimeout(maxWait/int64(time.Millisecond)) {
			w.due = x.now() + int64(b.timeout)*int64(time.Millisecond)
		}
	}
	x.Client.waiter = w
	x.parked = true
	x.state.blocked.Add(1)
	w.c.setFlag(flagBlocked, true)
	s := &x.state.blocking
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enter(w, b.keys)
	if w.due != 0 && w.index == 0 {
		x.armBlockTimer()
	}
}

// enter puts w where it will be found. s.mu is held.
func (s *blockState) enter(w *waiter, keys [][]byte) {
	if s.queues == nil {
		s.queues, s.byID, s.groups = map[waitKey]*waitQueue{}, map[int64]*waiter{}, map[waitKey]int{}
	}
	s.byID[w.c.ID] = w
	if len(w.also) > 0 {
		s.moves.Add(1)
	}
	w.keys = make([]waitSeat, 0, len(keys))
	for _, key := range keys {
		q := s.queues[waitKey{w.db, string(key)}]
		if q == nil {
			q = &waitQueue{waitKey: waitKey{w.db, string(key)}}
			s.queues[q.waitKey] = q
			s.queued.Add(1)
		}
		if q.tail != nil && q.tail.w == w {
			continue // the key is named twice
		}
		w.keys = append(w.keys, waitSeat{w: w, queue: q, prev: q.tail})
		seat := &w.keys[len(w.keys)-1]
		if q.tail == nil {
			q.head = seat
		} else {
			q.tail.next = seat
		}
		q.tail = seat
		if w.gone {
			s.groups[q.waitKey]++
		}
	}
	if w.due != 0 {
		heap.Push(&s.due, w)
	}
}

// leave takes w out of everything; false if it was out already. s.mu is held.
func (s *blockState) leave(w *waiter) bool {
	if s.byID[w.c.ID] != w {
		return false
	}
	delete(s.byID, w.c.ID)
	if len(w.also) > 0 {
		s.moves.Add(-1)
	}
	for i := range w.keys {
		seat := &w.keys[i]
		q := seat.queue
		if seat.prev == nil {
			q.head = seat.next
		} else {
			seat.prev.next = seat.next
		}
		if seat.next == nil {
			q.tail = seat.prev
		} else {
			seat.next.prev = seat.prev
		}
		if q.head == nil {
			delete(s.queues, q.waitKey)
			s.queued.Add(-1)
		}
		if !w.gone {
			continue
		}
		if s.groups[q.waitKey]--; s.groups[q.waitKey] == 0 {
			delete(s.groups, q.waitKey)
		}
	}
	if w.due != 0 {
		heap.Remove(&s.due, w.index)
	}
	return true
}

// release ends the waiting of w, which has left blockState, with a reply, which is
// copied, and tells its loop.
func (e *Engine) release(w *waiter, reply []byte) {
	w.reply = append([]byte(nil), reply...)
	e.unmarkBlocked(w)
	e.Clients.Unblock(w.c)
}

func (e *Engine) unmarkBlocked(w *waiter) {
	w.c.setFlag(flagBlocked, false)
	e.state.blocked.Add(-1)
}

// nullReply is the reply to a waiter whose time is over.
func (w *waiter) nullReply() []byte { return resp.AppendNullArray(nil, w.resp == 3) }

// armBlockTimer sets the timer for the first of the heap. s.mu is held.
func (e *Engine) armBlockTimer() {
	s := &e.state.blocking
	if len(s.due) == 0 {
		return
	}
	left := time.Duration(min(max(s.due[0].due-e.now(), 0), int64(maxTimer)))
	if s.timer == nil {
		s.timer = time.AfterFunc(left, e.blockTimer)
		return
	}
	s.timer.Reset(left)
}

// blockTimer releases those whose time is over.
func (e *Engine) blockTimer() {
	s := &e.state.blocking
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := e.now(); len(s.due) > 0 && s.due[0].due <= now; {
		w := s.due[0]
		s.leave(w)
		e.release(w, w.nullReply())
	}
	e.armBlockTimer()
}

// unblock is CLIENT UNBLOCK: with asError the client gets an error, otherwise what it
// would get at its timeout. It returns false if no client with that ID is blocked. Redis
// counts the command that waited as failed in both cases.
func (x *Ctx) unblock(id int64, asError bool) bool {
	s := &x.state.blocking
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byID[id]
	if w == nil {
		return false
	}
	s.leave(w)
	reply := w.nullReply()
	if asError {
		reply = resp.AppendError(nil, errUnblocked)
		x.local.countError(errUnblocked)
	}
	x.local.at(w.spec).failed++
	x.release(w, reply)
	return true
}

// abandon ends the waiting of a client that is to be closed: nothing is given to it
// any more. Any goroutine may call it.
func (e *Engine) abandon(c *Client) {
	s := &e.state.blocking
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.byID[c.ID]; w != nil && s.leave(w) {
		e.unmarkBlocked(w)
	}
}

// timeouts returns how many clients wait with a timeout.
func (e *Engine) timeouts() int64 {
	s := &e.state.blocking
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.due))
}

// Resume appends the reply of the blocking command of a client that Clients.Unblock was
// called for. It is called by the client's loop, which goes on with the client's input
// then. It does nothing for a client that was not blocked.
func (x *Ctx) Resume(c *Client) {
	w := c.waiter
	if w == nil {
		return
	}
	c.waiter = nil
	if c.state&(stReplyOff|stReplySkip) == 0 {
		c.Out = append(c.Out, w.reply...)
	}
	c.state &^= stReplySkip
}
