//go:build linux

package server

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv/command"
)

func TestPipeline(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	const n = 20000 // several reads and several turns
	var b strings.Builder
	for i := range n {
		b.WriteString(encode("SET", "k"+strconv.Itoa(i%100), strconv.Itoa(i)))
		b.WriteString(encode("GET", "k"+strconv.Itoa(i%100)))
	}
	go func() { _, _ = io.WriteString(w.Conn, b.String()) }()
	for i := range n {
		w.want("+OK")
		w.want(strconv.Itoa(i))
	}
}

func TestByteByByte(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	for _, b := range []byte(encode("SET", "key", "value\r\n") + "\r\nPING\r\n" + encode("GET", "key")) {
		w.send(string([]byte{b}))
		time.Sleep(time.Millisecond)
	}
	w.want("+OK")
	w.want("+PONG")
	w.want("value\r\n")
}

func TestManyArguments(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	const pairs = 500_000
	args := make([]string, 0, 2*pairs+1)
	args = append(args, "MSET")
	for i := range pairs {
		k := strconv.Itoa(i)
		args = append(args, k, k)
	}
	if got := w.do(args...); got != "+OK" {
		t.Fatal(got)
	}
	if got := w.do("DBSIZE"); got != ":"+strconv.Itoa(pairs) {
		t.Fatal(got)
	}
	if got := w.do("GET", "499999"); got != "499999" {
		t.Fatal(got)
	}
}

func TestBigValue(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	big := strings.Repeat("0123456789abcdef", 64<<20/16)
	w.send(encode("SET", "big", big) + encode("STRLEN", "big") + encode("PING"))
	w.want("+OK")
	w.want(":" + strconv.Itoa(len(big)))
	w.want("+PONG")
	if w.do("GET", "big") != big {
		t.Fatal("the value has changed")
	}
	eventually(t, "buffers given back", func() bool { return s.mem(t, 0) == connBytes })
}

// mem returns the memory that the server counts for its i-th client.
func (s *testServer) mem(t *testing.T, i int) (n int64) {
	t.Helper()
	s.Each(func(c *command.Client) bool {
		n = c.TotalMem.Load()
		i--
		return i >= 0
	})
	return n
}

func TestInline(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	w.send("SET a \"x y\"\r\nGET a\nPING\r\n\r\n")
	w.want("+OK")
	w.want("x y")
	w.want("+PONG")
}

func TestQuit(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	w.send(encode("PING") + encode("QUIT") + encode("SET", "a", "1"))
	w.want("+PONG")
	w.want("+OK")
	w.ended()
	if got := s.dial().do("GET", "a"); got != "$-1" {
		t.Fatal("a command after QUIT was run")
	}
}

// TestHalfClosed sends a pipeline and closes the sending side: all replies come.
func TestHalfClosed(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	value := strings.Repeat("v", 10_000)
	w.do("SET", "k", value)
	const n = 2000 // 20 MB of replies
	w.send(strings.Repeat(encode("GET", "k"), n))
	if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	for range n {
		w.want(value)
	}
	w.ended()
	eventually(t, "client gone", func() bool { return s.Count() == 0 })
}

// TestWritesFirst sends a pipeline whose replies do not fit into any buffer
// before it reads the first one, as simple clients do.
func TestWritesFirst(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	value := strings.Repeat("v", 100)
	w.do("SET", "k", value)
	const n = 400_000 // 43 MB of replies, 9 MB of requests
	w.send(strings.Repeat(encode("GET", "k"), n))
	for range n {
		w.want(value)
	}
}

func TestReset(t *testing.T) {
	s := startServer(t)
	for range 20 {
		w := s.dial()
		w.send(strings.Repeat(encode("PING"), 1000))
		_ = w.Conn.(*net.TCPConn).SetLinger(0)
		_ = w.Close()
	}
	eventually(t, "clients gone", func() bool { return s.Count() == 0 })
	if got := s.dial().do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestManyConnections(t *testing.T) {
	s := startServer(t, "--io-threads", "3")
	before := openFiles(t)
	for range 4 {
		var list []*wire
		for range 500 {
			list = append(list, s.dial())
		}
		for _, w := range list {
			w.send(encode("PING"))
		}
		for _, w := range list {
			w.want("+PONG")
		}
		if n := s.Count(); n != 500 {
			t.Fatalf("%d clients", n)
		}
		last := int64(0)
		s.Each(func(c *command.Client) bool {
			if c.ID <= last {
				t.Errorf("client %d after %d", c.ID, last)
			}
			last = c.ID
			return true
		})
		for _, l := range s.loops {
			if n := l.load.Load(); n < 150 || n > 180 {
				t.Errorf("loop %d has %d of 500 clients", l.id, n)
			}
		}
		for _, w := range list {
			_ = w.Close()
		}
		eventually(t, "clients gone", func() bool {
			return s.Count() == 0 && !slices.ContainsFunc(s.loops, func(l *loop) bool { return l.load.Load() != 0 })
		})
	}
	eventually(t, "descriptors closed", func() bool { return openFiles(t) <= before })
}

func TestKillAcrossLoops(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	a, b := s.dial(), s.dial() // one on each loop
	id := b.do("CLIENT", "ID")[1:]
	a.send(encode("CLIENT", "KILL", "ID", id) + encode("CLIENT", "LIST"))
	a.want(":1")
	if list := a.reply(); strings.Contains(list, "id="+id+" ") {
		t.Fatal("the killed client is still listed: " + list)
	}
	b.ended()
	own := a.do("CLIENT", "ID")[1:]
	a.send(encode("CLIENT", "KILL", "ID", own, "SKIPME", "no") + encode("PING"))
	a.want(":1")
	a.ended()
	eventually(t, "clients gone", func() bool { return s.Count() == 0 && s.loops[0].load.Load()+s.loops[1].load.Load() == 0 })
}

func TestPause(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	a, b, c := s.dial(), s.dial(), s.dial()
	c.do("PING") // it is accepted: later its command would come behind the pause
	if got := a.do("CLIENT", "PAUSE", "100000", "WRITE"); got != "+OK" {
		t.Fatal(got)
	}
	b.send(encode("GET", "k") + encode("SET", "k", "1") + encode("GET", "k"))
	c.send(encode("SET", "k", "2"))
	b.want("$-1")
	time.Sleep(30 * time.Millisecond)
	b.send(encode("PING"))
	_ = c.Close() // a client that goes while it is paused is not run
	eventually(t, "client gone", func() bool { return s.Count() == 2 })
	if got := a.do("GET", "k"); got != "$-1" {
		t.Fatal("a paused command was run:", got)
	}
	if got := a.do("CLIENT", "UNPAUSE"); got != "+OK" {
		t.Fatal(got)
	}
	b.want("+OK")
	b.want("1")
	b.want("+PONG")
	// A pause that ends by itself, and not before its time.
	start := time.Now()
	a.do("CLIENT", "PAUSE", "150", "WRITE")
	if got := b.do("SET", "k", "3"); got != "+OK" {
		t.Fatal(got)
	}
	if d := time.Since(start); d < 140*time.Millisecond {
		t.Fatal("the pause took", d)
	}
}

// TestHoldWrites switches the hold as often as a save near its limit of memory
// does: writers wait for it and lose nothing, readers never wait.
func TestHoldWrites(t *testing.T) {
	s := startServer(t, "--io-threads", "2")
	reader, waiter := s.dial(), s.dial()
	s.engine.HoldWrites(true)
	waiter.send(encode("MULTI") + encode("INCR", "one") + encode("EXEC"))
	waiter.want("+OK")
	if got := reader.do("GET", "one"); got != "$-1" {
		t.Fatal("while writes are held:", got)
	}
	s.engine.HoldWrites(false)
	waiter.want("+QUEUED")
	waiter.want("*1")
	waiter.want(":1")

	const writers, least, switches = 4, 300, 20
	var switched, rounds atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for on := true; ; on = !on {
			s.engine.HoldWrites(on)
			switched.Add(1)
			select {
			case <-stop:
				s.engine.HoldWrites(false)
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	var wg sync.WaitGroup
	for range writers {
		w := s.dial()
		wg.Go(func() {
			for n := 0; n < least || switched.Load() < switches; n++ {
				rounds.Add(1)
				w.send(encode("INCR", "count") + encode("MULTI") + encode("INCR", "count") + encode("GET", "nokey") + encode("EXEC"))
				for range 7 { // the number, OK, QUEUED twice, an array of two, the number, null
					if line, err := w.r.ReadString('\n'); err != nil || line[0] == '-' {
						t.Errorf("%q %v", line, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	<-stopped
	if got, want := reader.do("GET", "count"), strconv.FormatInt(2*rounds.Load(), 10); got != want {
		t.Errorf("count is %s, want %s", got, want)
	}
}

// TestGeneration gives a loop an event of a connection that is gone, as a
// forked child's copy of its socket would: the slot's new user is not touched.
func TestGeneration(t *testing.T) {
	s := newServer(t)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	l := s.loops[0] // it does not run: this test is its thread
	l.round()
	adopt := func() (*conn, int) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{fd: fds[0], loop: l}
		c.client = s.engine.NewClient(command.ClientOptions{Owner: c})
		s.clients.add(c)
		l.load.Add(1)
		l.adopt(c)
		return c, fds[1]
	}
	gone, peer := adopt()
	_ = unix.Close(peer)
	event := &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLHUP, Fd: int32(gone.slot), Pad: int32(gone.gen)}
	l.event(event)
	if !gone.closed {
		t.Fatal("its own event did not close the client")
	}
	next, peer := adopt()
	defer unix.Close(peer)
	if next.slot != gone.slot {
		t.Fatal("the slot is not reused")
	}
	event.Events = unix.EPOLLHUP
	l.event(event)
	if next.closed {
		t.Fatal("an old event closed the new client")
	}
	l.close(next)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownFromCommand(t *testing.T) {
	s := newServer(t, "--io-threads", "2")
	s.engine.Shutdown = func(command.ShutdownOptions) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return s.Close(ctx)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	a, b := s.dial(), s.dial()
	b.do("PING")
	a.do("PING")
	b.send(encode("SHUTDOWN", "NOSAVE"))
	a.ended()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Fatal("the port is still open")
	}
}
