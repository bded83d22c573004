//go:build linux

package server

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"kvd/kv/resp"
)

// The texts are those of Redis: clients and operators search for them.
const (
	errMaxClients = "-ERR max number of clients reached\r\n"

	errProtected = "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set " +
		"for the default user. In this mode connections are only accepted from the loopback interface. If you want to " +
		"connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected " +
		"mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from " +
		"the same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do " +
		"so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by " +
		"editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the " +
		"server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' option. " +
		"4) Setup a an authentication password for the default user. NOTE: You only need to do one of the above things in " +
		"order for the server to start accepting connections from the outside.\r\n"

	logAttack = "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. " +
		"This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. " +
		"Connection aborted."
)

// attackLogMs is the least time between two log lines about attacks: an
// attacker must not fill the disk.
const attackLogMs = 60_000

// closeAfterMs is how long a client that is to be closed after its last reply
// may take to read that reply.
const closeAfterMs = 10_000

func clientsError(most int64) error {
	return listenError("The operating system is not able to handle the specified number of clients, try with " +
		strconv.FormatInt(most, 10))
}

// isAttack recognises the first words of an HTTP request that a browser was
// tricked into sending.
func isAttack(name []byte) bool {
	switch len(name) {
	case 4:
		return name[0]|0x20 == 'p' && equalFold(name, "post")
	case 5:
		return name[4] == ':' && equalFold(name, "host:")
	}
	return false
}

// equalFold compares a with the lower-case s of the same length.
func equalFold(a []byte, s string) bool {
	for i, b := range a {
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		if b != s[i] {
			return false
		}
	}
	return true
}

// attacked logs an attack, at most once a minute.
func (s *Server) attacked(now int64) {
	last := s.attackLog.Load()
	if (last == 0 || now-last > attackLogMs) && s.attackLog.CompareAndSwap(last, max(now, 1)) {
		s.log.Warn(logAttack)
	}
}

// denied tells whether protected mode refuses a peer.
func denied(set *settings, peer unix.Sockaddr) bool { return set.protected && !isLoopback(peer) }

// describe names a client in a log line.
func (l *loop) describe(c *conn) string {
	cl := c.client
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s qbuf=%d obl=%d omem=%d", cl.ID, cl.Addr, cl.LAddr, c.fd,
		cl.Name(), len(c.input()), c.unsent(c.out)+len(cl.Out), cap(c.out)+cap(cl.Out))
}

// protocolError replies err and lets the connection end.
func (l *loop) protocolError(c *conn, err error, input []byte) {
	c.closing = true
	c.client.Out = resp.AppendError(c.client.Out, err.Error())
	const shown = 64
	if len(input) > shown {
		input = input[:shown]
	}
	l.srv.logf(levelVerbose, "Protocol error (%s) from client: %s. Query buffer during protocol error: %q",
		err, l.describe(c), input)
}

// overLimit ends a client that has exceeded an output limit, unsent replies and
// all. It is called while c is being served.
func (l *loop) overLimit(c *conn) {
	l.srv.logf(levelWarning, "Client %s scheduled to be closed ASAP for overcoming of output buffer limits.", l.describe(c))
	l.drop(c)
}

// outputTooLong applies the output limits to the replies that the socket did
// not take, streams included, as if they were held. It closes c and returns true if they are exceeded.
func (l *loop) outputTooLong(c *conn) bool {
	size := c.unsent(c.out)
	over := l.set.outHard > 0 && size > l.set.outHard
	switch {
	case l.set.outSoft == 0 || size <= l.set.outSoft:
		c.softSince = 0
	case c.softSince == 0:
		c.softSince = max(l.now, 1)
	case l.now-c.softSince > l.set.outSoftMs:
		over = true
	}
	if !over {
		return false
	}
	l.srv.logf(levelWarning, "Client %s closed for overcoming of output buffer limits.", l.describe(c))
	l.close(c)
	return true
}

// queryTooLong applies the limits on what a command that is not complete may
// hold. It closes c and returns true if they are exceeded.
func (l *loop) queryTooLong(c *conn) bool {
	size := int64(len(c.input())) + c.client.QueuedBytes()
	if c.parser != nil {
		size += int64(c.parser.Memory())
	}
	if size <= l.set.queryLimit && (size <= resp.UnauthenticatedMaxQuery || c.client.Authenticated()) {
		return false
	}
	start := c.input()
	if len(start) > 64 {
		start = start[:64]
	}
	l.srv.logf(levelWarning, "Closing client that reached max query buffer length: %s (qbuf initial bytes: %q)",
		l.describe(c), start)
	l.close(c)
	return true
}

// cron is the loop's tick, hz times a second.
func (l *loop) cron() {
	l.nextCron = l.now + 1000/l.set.hz
	l.ctx.EndRound()
	if l.id == 0 {
		l.srv.cron(l.now)
		l.ctx.ServeMissed()
	}
	l.clientsCron()
}

// clientsCron visits so many clients that each gets its turn once a second.
func (l *loop) clientsCron() {
	n := len(l.slots)
	for visits := min(n, max(5, (n+int(l.set.hz)-1)/int(l.set.hz))); visits > 0; visits-- {
		if l.cronSlot >= len(l.slots) {
			l.cronSlot = 0
		}
		if c := l.slots[l.cronSlot]; c != nil {
			l.clientCron(c)
		}
		l.cronSlot++
	}
}

func (l *loop) clientCron(c *conn) {
	if len(c.out) > 0 && l.outputTooLong(c) {
		return
	}
	if c.closing {
		if c.closeBy == 0 {
			c.closeBy = l.now + closeAfterMs
		} else if l.now > c.closeBy {
			l.close(c)
		}
		return
	}
	idle := l.nowUnix - c.client.LastActive.Load()
	if l.set.timeout > 0 && c.waits == 0 && idle > l.set.timeout {
		l.srv.logf(levelVerbose, "Closing idle client")
		l.close(c)
	}
}

// connBytes is the memory of a client that has nothing under way.
const connBytes = 1024

// figures publishes what CLIENT LIST shows.
func (l *loop) figures(c *conn) {
	cl := c.client
	cl.QueryBuf.Store(int64(len(c.input())))
	if len(c.query)|len(c.out) == 0 && cl.TotalMem.Load() == connBytes {
		return
	}
	mem := 0
	if c.parser != nil {
		mem = c.parser.Memory()
	}
	cl.QueryBufFree.Store(int64(cap(c.query) - len(c.query)))
	cl.ArgvMem.Store(int64(mem))
	cl.OutBuf.Store(int64(len(c.out) - c.sent))
	cl.OutList.Store(int64(len(cl.Streams)))
	cl.OutMem.Store(int64(cap(c.out)))
	cl.TotalMem.Store(connBytes + int64(cap(c.query)+cap(c.out)+mem))
}
