//go:build linux

package server

import (
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMaxClients(t *testing.T) {
	s := startServer(t, "--maxclients", "3")
	var list []*wire
	for range 3 {
		list = append(list, s.dial())
		list[len(list)-1].do("PING")
	}
	w := s.dial()
	w.want("-ERR max number of clients reached")
	w.ended()
	if got := list[0].do("CONFIG", "SET", "maxclients", "4"); got != "+OK" {
		t.Fatal(got)
	}
	if got := s.dial().do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
	if got := list[0].do("CONFIG", "SET", "maxclients", "4000000000"); !strings.HasPrefix(got,
		"-ERR CONFIG SET failed (possibly related to argument 'maxclients') - "+
			"The operating system is not able to handle the specified number of clients, try with ") {
		t.Fatal(got)
	}
	if got := s.cfg.Int("maxclients"); got != 4 {
		t.Fatal(got)
	}
}

func TestProtectedMode(t *testing.T) {
	set := &settings{protected: true}
	for _, c := range []struct {
		sa   unix.Sockaddr
		want bool
	}{
		{&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, false},
		{&unix.SockaddrInet4{Addr: [4]byte{127, 9, 9, 9}}, false},
		{&unix.SockaddrInet4{Addr: [4]byte{10, 0, 0, 1}}, true},
		{&unix.SockaddrInet6{Addr: [16]byte{15: 1}}, false},
		{&unix.SockaddrInet6{Addr: [16]byte{0: 0xfe, 1: 0x80, 15: 1}}, true},
		{&unix.SockaddrInet6{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 10}}, true},
		{&unix.SockaddrUnix{}, false},
	} {
		if got := denied(set, c.sa); got != c.want {
			t.Errorf("%+v: %v", c.sa, got)
		}
		if denied(&settings{}, c.sa) {
			t.Errorf("%+v: refused without protected mode", c.sa)
		}
	}
	ip := outsideAddress()
	if ip == "" {
		t.Log("no address but loopback here")
		return
	}
	s := startServer(t, "--bind", "*")
	_, port, _ := net.SplitHostPort(s.addr)
	w := dial(t, "tcp", net.JoinHostPort(ip, port))
	if got := w.line(); got+"\r\n" != errProtected {
		t.Fatal(got)
	}
	w.ended()
	local := s.dial()
	if got := local.do("CONFIG", "SET", "requirepass", "secret"); got != "+OK" {
		t.Fatal(got)
	}
	if got := dial(t, "tcp", net.JoinHostPort(ip, port)).do("AUTH", "secret"); got != "+OK" {
		t.Fatal(got)
	}
}

// outsideAddress returns an IPv4 address of this machine that is not loopback.
func outsideAddress() string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	return ""
}

func TestTimeout(t *testing.T) {
	s := startServer(t, "--timeout", "1")
	for range 20 {
		if idleAndBusy(t, s) {
			return
		}
	}
	t.Fatal("a client that is busy is closed")
}

// idleAndBusy has a client that is idle until it is closed, and a busy one. It tells whether that one
// was served all the time; if not, one of its commands must have taken long, as on a machine that has no
// time for it or for the server.
func idleAndBusy(t *testing.T, s *testServer) bool {
	start := time.Now()
	idle, busy := s.dial(), s.dial()
	closed := make(chan time.Time, 1)
	go func() {
		idle.ended()
		closed <- time.Now()
	}()
	// Between the round in which the server has read one of its commands and the one in which it closes it
	// lie two waits at most.
	longest := time.Duration(0)
	for last := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := io.WriteString(busy.Conn, encode("PING"))
		if err == nil {
			_, err = busy.r.ReadString('\n')
		}
		if longest = max(longest, time.Since(last)); err != nil && longest < 500*time.Millisecond {
			t.Fatal("closed, though never silent for longer than ", longest, ": ", err)
		}
		last = time.Now()
		if err == nil && len(closed) == 0 {
			continue
		}
		if d := (<-closed).Sub(start); d < 900*time.Millisecond {
			t.Fatal("closed after ", d)
		}
		return err == nil
	}
}

// goMemory returns what the Go runtime holds now.
func goMemory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSlowReader asks for 10 GB and reads nothing: the server must not hold it.
func TestSlowReader(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	w.do("SET", "k", strings.Repeat("v", 100_000))
	before := goMemory()
	w.send(strings.Repeat(encode("GET", "k"), 100_000))
	time.Sleep(300 * time.Millisecond)
	if grown := goMemory() - before; grown > 20<<20 {
		t.Fatalf("%d bytes for a client that does not read", grown)
	}
	other := s.dial()
	if got := other.do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
	// It gets its replies as soon as it reads.
	for range 1000 {
		if got := w.reply(); len(got) != 100_000 {
			t.Fatal(len(got))
		}
	}
}

func TestHardLimit(t *testing.T) {
	s := startServer(t, "--client-output-buffer-limit", "normal", "20mb", "0", "0")
	w := s.dial()
	w.do("SET", "k", strings.Repeat("v", 100_000))
	before := goMemory()
	_, _ = io.WriteString(w.Conn, strings.Repeat(encode("GET", "k"), 10_000))
	eventually(t, "client closed", func() bool { return s.Count() == 0 })
	if !s.log.has("overcoming of output buffer limits") {
		t.Fatal("nothing in the log")
	}
	eventually(t, "memory given back", func() bool { return goMemory()-before <= 20<<20 })
	// A single reply beyond the limit.
	if got := s.dial().do("CONFIG", "SET", "client-output-buffer-limit", "normal 50000 0 0"); got != "+OK" {
		t.Fatal(got)
	}
	w = s.dial()
	w.send(encode("PING") + encode("GET", "k"))
	w.ended()
}

func TestSoftLimit(t *testing.T) {
	s := startServer(t, "--client-output-buffer-limit", "normal", "0", "1mb", "1")
	w := s.dial()
	w.do("SET", "k", strings.Repeat("v", 100_000))
	start := time.Now()
	slow := s.dial() // another one: for w the loop may go on with an earlier time
	_, _ = io.WriteString(slow.Conn, strings.Repeat(encode("GET", "k"), 1000))
	eventually(t, "client closed", func() bool { return s.Count() == 1 && s.log.has("overcoming of output buffer limits") })
	if d := time.Since(start); d < 900*time.Millisecond {
		t.Fatal("closed after", d)
	}
}

func TestQueryLimit(t *testing.T) {
	s := startServer(t, "--client-query-buffer-limit", "1mb")
	w := s.dial()
	w.do("PING")
	_, _ = io.WriteString(w.Conn, "*2\r\n$4\r\nECHO\r\n$3000000\r\n"+strings.Repeat("x", 2_000_000))
	eventually(t, "client closed", func() bool { return s.Count() == 0 })
	if !s.log.has("Closing client that reached max query buffer length") {
		t.Fatal("nothing in the log")
	}
	// Many tiny arguments cost more than their bytes.
	w = s.dial()
	w.do("PING")
	_, _ = io.WriteString(w.Conn, "*1000000\r\n"+strings.Repeat("$0\r\n\r\n", 100_000))
	eventually(t, "client closed", func() bool { return s.Count() == 0 })
}

func TestUnauthenticated(t *testing.T) {
	s := startServer(t, "--requirepass", "secret")
	for in, want := range map[string]string{
		"*11\r\n":                          "-ERR Protocol error: unauthenticated multibulk length",
		"*2\r\n$4\r\nAUTH\r\n$16385\r\n":   "-ERR Protocol error: unauthenticated bulk length",
		encode("GET", "a"):                 "-NOAUTH Authentication required.",
		encode("AUTH", "secret"):           "+OK",
		"AUTH secret\r\n*11\r\n$4\r\nPING": "+OK",
	} {
		w := s.dial()
		t.Logf("%.40q", in)
		w.send(in)
		w.want(want)
	}
}

func TestHostileInput(t *testing.T) {
	s := startServer(t)
	for _, c := range []struct{ in, want string }{
		{"*1\r\n$9223372036854775807\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*9223372036854775807\r\n", "-ERR Protocol error: invalid multibulk length"},
		{"*-9223372036854775808\r\nPING\r\n", "+PONG"},
		{"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1\r\n$99999999999999999999999\r\n", "-ERR Protocol error: invalid bulk length"},
		{"*1\r\nPING\r\n", "-ERR Protocol error: expected '$', got 'P'"},
		{"\"unbalanced\r\n", "-ERR Protocol error: unbalanced quotes in request"},
		{strings.Repeat("x", 70_000), "-ERR Protocol error: too big inline request"},
		{"*" + strings.Repeat("1", 70_000), "-ERR Protocol error: too big mbulk count string"},
		{"*1\r\n$" + strings.Repeat("1", 70_000), "-ERR Protocol error: too big bulk count string"},
	} {
		w := s.dial()
		t.Logf("%.40q", c.in)
		_, _ = io.WriteString(w.Conn, c.in) // the server may close before it has read all
		w.want(c.want)
		if strings.HasPrefix(c.want, "-") {
			w.ended()
		}
	}
	for _, in := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\n", "Host: localhost\r\nSET a b\r\n"} {
		w := s.dial()
		_, _ = io.WriteString(w.Conn, in)
		if strings.HasPrefix(in, "GET") {
			continue // wrong number of arguments, then whatever follows
		}
		w.ended()
	}
	if !s.log.has("Possible SECURITY ATTACK detected") {
		t.Error("the attack is not in the log")
	}
	if got := s.dial().do("GET", "a"); got != "$-1" {
		t.Fatal("a command after Host: was run")
	}
}

// TestRandomBytes throws noise at a live server.
func TestRandomBytes(t *testing.T) {
	s := startServer(t)
	connections := 400
	if long() {
		connections = 100_000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"*", "$", "\r\n", "1", "2", "-1", "999999999999", "PING", "SET", "GET", "\"", "'", "\\x", " ", "\x00",
		encode("PING"), encode("SET", "a", "b"), encode("GET", "a"), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n"}
	for range connections {
		w := s.dial()
		go func() { _, _ = io.Copy(io.Discard, w.Conn) }()
		for range rng.IntN(30) {
			var b strings.Builder
			for range rng.IntN(20) {
				b.WriteString(pieces[rng.IntN(len(pieces))])
				if rng.IntN(10) == 0 {
					b.WriteByte(byte(rng.Uint32()))
				}
			}
			if _, err := io.WriteString(w.Conn, b.String()); err != nil {
				break
			}
		}
		_ = w.Close()
	}
	eventually(t, "clients gone", func() bool { return s.Count() == 0 })
	if got := s.dial().do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
}

// TestFairness keeps one client busy with an endless pipeline of long replies
// while another wants its answers.
func TestFairness(t *testing.T) {
	s := startServer(t)
	hog := s.dial()
	go func() { _, _ = io.Copy(io.Discard, hog.Conn) }()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		batch := strings.Repeat(encode("PING"), 10_000)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := io.WriteString(hog.Conn, batch); err != nil {
					return
				}
			}
		}
	}()
	w := s.dial()
	var waits []time.Duration
	for i := range 200 {
		start := time.Now()
		if got := w.do("ECHO", strconv.Itoa(i)); got != strconv.Itoa(i) {
			t.Fatal(got)
		}
		waits = append(waits, time.Since(start))
	}
	_ = hog.Close()
	close(stop)
	<-done
	// A machine that is busy with other things holds up some of them, an unfair server all.
	slices.Sort(waits)
	if middle := waits[len(waits)/2]; middle > 500*time.Millisecond {
		t.Fatal("a client waited ", middle, " each time")
	}
}

// TestNoAllocations counts what a request costs the Go heap.
func TestNoAllocations(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	req := []byte(strings.Repeat(encode("SET", "key", "value")+encode("GET", "key"), 8))
	replies := make([]byte, 8*len("+OK\r\n$5\r\nvalue\r\n"))
	roundTrip := func() {
		if _, err := w.Conn.Write(req); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(w.Conn, replies); err != nil {
			t.Error(err)
		}
	}
	roundTrip()
	if n := testing.AllocsPerRun(2000, roundTrip); n >= 1 {
		t.Errorf("%.2f allocations for 16 requests", n)
	}
}
