//go:build linux

package server

import (
	"sync"
	"sync/atomic"

	"kvd/kv/command"
)

// registry is the list of connected clients, in order of their ID: connections
// are accepted by one loop only, which numbers them.
type registry struct {
	mu    sync.Mutex
	head  conn // sentinel of the ring
	count atomic.Int64
}

func (r *registry) init() { r.head.next, r.head.prev = &r.head, &r.head }

func (r *registry) add(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.prev, c.next = r.head.prev, &r.head
	c.prev.next, r.head.prev = c, c
	r.count.Add(1)
}

// remove takes c out of the list, if it is still there.
func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.next == nil {
		return
	}
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
	r.count.Add(-1)
}

// all returns the clients of this moment.
func (r *registry) all() []*command.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*command.Client, 0, r.count.Load())
	for c := r.head.next; c != &r.head; c = c.next {
		out = append(out, c.client)
	}
	return out
}

// Each implements command.Clients. fn may call any other method of the server.
func (s *Server) Each(fn func(*command.Client) bool) {
	for _, c := range s.clients.all() {
		if !fn(c) {
			return
		}
	}
}

// Count implements command.Clients.
func (s *Server) Count() int { return int(s.clients.count.Load()) }

// Kill implements command.Clients. The killed client is gone from Each and
// Count when Kill returns; its connection is closed by its own loop soon after.
func (s *Server) Kill(cl *command.Client) {
	c, ok := cl.Owner.(*conn)
	if !ok {
		return
	}
	cl.Closing.Store(true)
	if s.current() == c.loop && c.loop.serving == c {
		c.closing = true // its own command: after the replies
		return
	}
	s.clients.remove(c)
	if !c.killed.Swap(true) {
		c.loop.post(message{what: msgKill, c: c})
	}
}

// Unblock implements command.Clients.
func (s *Server) Unblock(cl *command.Client) {
	if c, ok := cl.Owner.(*conn); ok {
		c.loop.post(message{what: msgUnblock, c: c})
	}
}

// Wake implements command.Clients.
func (s *Server) Wake() {
	for _, l := range s.loops {
		l.post(message{what: msgWake})
	}
}
