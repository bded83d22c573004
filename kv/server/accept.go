//go:build linux

package server

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"kvd/kv/command"
)

// maxAccepts is how many connections one event of a listener accepts: those of
// loop 0 must not wait for a flood of new ones.
const maxAccepts = 64

// watchListeners adds the listeners to loop 0's epoll. s.mu is held.
func (s *Server) watchListeners() error {
	for i, ln := range s.listeners {
		err := pollCtl(s.loops[0].epfd, unix.EPOLL_CTL_ADD, ln.fd, unix.EPOLLIN, listenerFlag|uint32(i), s.gen)
		if err != nil {
			return err
		}
	}
	return nil
}

// setAccepting suspends accepting, or goes on with it. s.mu is held.
func (s *Server) setAccepting(on bool) {
	mask := uint32(0)
	if on {
		mask = unix.EPOLLIN
	}
	s.muted = !on
	for i, ln := range s.listeners {
		_ = pollCtl(s.loops[0].epfd, unix.EPOLL_CTL_MOD, ln.fd, mask, listenerFlag|uint32(i), s.gen)
	}
}

// dropListeners closes listeners that loop 0 may watch. s.mu is held.
func (s *Server) dropListeners(list []listener) {
	for _, ln := range list {
		if s.state >= isServing {
			_ = pollCtl(s.loops[0].epfd, unix.EPOLL_CTL_DEL, ln.fd, 0, 0, 0)
		}
		// A forked child's copy would keep the port.
		_ = unix.Shutdown(ln.fd, unix.SHUT_RDWR)
	}
	closeListeners(list)
}

// rebind follows a change of port or bind. An error is in the log; the old
// listeners are gone then if the port is the same: setting the directives back
// opens them again.
func (s *Server) rebind() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.tcpOptions()
	if s.state != isServing || o.port == s.tcp.port && slices.Equal(o.bind, s.tcp.bind) {
		return nil
	}
	isTCP := func(ln listener) bool { return !ln.unix }
	rest := slices.DeleteFunc(slices.Clone(s.listeners), isTCP)
	old := slices.DeleteFunc(slices.Clone(s.listeners), func(ln listener) bool { return ln.unix })
	if o.port == s.tcp.port {
		s.dropListeners(old)
		s.listeners, s.tcp, old = rest, tcpOptions{}, nil
	}
	fresh, err := listenTCP(o, s.logSkipped)
	if err != nil {
		s.logSkipped(err)
		return err
	}
	s.dropListeners(old)
	for _, ln := range rest {
		_ = pollCtl(s.loops[0].epfd, unix.EPOLL_CTL_DEL, ln.fd, 0, 0, 0)
	}
	s.listeners, s.tcp, s.muted = append(fresh, rest...), o, false
	s.gen++
	if err := s.watchListeners(); err != nil {
		s.logSkipped(err)
		return err
	}
	return nil
}

// accept takes the connections that wait at listener i.
func (s *Server) accept(l *loop, i int, gen uint32) {
	for range maxAccepts {
		s.mu.Lock()
		if gen != s.gen || i >= len(s.listeners) {
			s.mu.Unlock()
			return // it was closed after the event
		}
		ln := s.listeners[i]
		fd, peer, err := unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if exhausted(err) {
			s.setAccepting(false) // until the next tick: epoll would not stop to tell
		}
		s.mu.Unlock()
		switch {
		case err == nil:
			s.connected(l, ln, fd, peer)
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED):
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			s.log.Warn("Accepting client connection: accept: " + errnoText(err))
			return
		}
	}
}

// exhausted tells whether accept failed for lack of descriptors or memory.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) ||
		errors.Is(err, unix.ENOMEM)
}

// connected refuses a new connection or gives it to a loop.
func (s *Server) connected(l *loop, ln listener, fd int, peer unix.Sockaddr) {
	set := s.set.Load()
	if s.Count() >= set.maxClients {
		s.refuse(fd, errMaxClients)
		return
	}
	o := command.ClientOptions{FD: fd, Unix: ln.unix, Local: ln.unix || isLoopback(peer)}
	if ln.unix {
		o.Addr, o.LAddr = ln.path+":0", ln.path+":0"
	} else {
		o.Addr = sockaddrText(peer)
		if name, err := unix.Getsockname(fd); err == nil {
			o.LAddr = sockaddrText(name)
		}
		setTCPOptions(fd, set.keepAlive)
	}
	s.engine.ConnectionAccepted()
	s.logf(levelVerbose, "Accepted %s", o.Addr)
	if !ln.unix && denied(set, peer) {
		s.refuse(fd, errProtected)
		return
	}
	c := &conn{fd: fd, loop: s.leastLoaded()}
	o.Owner = c
	c.client = s.engine.NewClient(o)
	c.client.TotalMem.Store(connBytes)
	s.clients.add(c)
	c.loop.load.Add(1)
	if c.loop == l {
		l.adopt(c)
	} else {
		c.loop.post(message{what: msgAdopt, c: c})
	}
}

// refuse sends a last word, which fits into the socket's empty buffer.
func (s *Server) refuse(fd int, text string) {
	s.engine.ConnectionRejected()
	_, _ = sendRaw(fd, []byte(text))
	_ = unix.Close(fd)
}

func (s *Server) leastLoaded() *loop {
	best := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	return best
}

// setTCPOptions turns off Nagle's algorithm and turns on keep-alive probes: the
// first after interval seconds, three more at a third of that. Errors leave
// the kernel's defaults.
func setTCPOptions(fd, interval int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if interval <= 0 {
		return
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, interval)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(1, interval/3))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
}
