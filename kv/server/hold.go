//go:build linux

package server

// hold is a stop of the loops between two commands, for a save at shutdown:
// what a client was told has been done is in the dump, since nothing is done
// behind the cut.
type hold struct {
	parked []chan struct{} // by loop, closed by it
	resume chan struct{}
}

// Hold waits until every loop is between two commands and keeps it there, until
// the returned function is called, or Close, which ends the loops without
// another command. A loop that calls it from a command goes on with that. Only
// one Hold may be in force. It does nothing if the server does not serve.
func (s *Server) Hold() (release func()) {
	s.mu.Lock()
	if s.state != isServing {
		s.mu.Unlock()
		return func() {}
	}
	h := &hold{parked: make([]chan struct{}, len(s.loops)), resume: make(chan struct{})}
	s.held = h
	s.mu.Unlock()
	own := s.current()
	for i, l := range s.loops {
		h.parked[i] = make(chan struct{})
		if l != own {
			l.post(message{what: msgHold, hold: h})
		}
	}
	for i, l := range s.loops {
		if l == own {
			continue
		}
		select {
		case <-h.parked[i]:
		case <-l.closed:
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endHold()
	}
}

// endHold lets the loops go on. s.mu is held.
func (s *Server) endHold() {
	if s.held != nil {
		close(s.held.resume)
		s.held = nil
	}
}

// park is the loop's side of a hold. It tells whether the server was closed
// meanwhile.
func (l *loop) park(h *hold) (closed bool) {
	close(h.parked[l.id])
	<-h.resume
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	return l.srv.state == isClosed
}
