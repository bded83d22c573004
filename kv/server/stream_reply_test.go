//go:build linux

package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/snapshot"
)

// streamServer serves on a unix socket, whose buffers are small: what a client does not read stays
// with the server. When the test ends its store has been checked, and holds nothing any more.
func streamServer(t *testing.T, args ...string) (s *testServer, path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kvd") // the path of a unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	s = newServer(t, append(args, "--unixsocket", path, "--dir", dir)...)
	t.Cleanup(func() { // after those of serve
		for i := range 16 {
			s.engine.Store.DB(i).Flush()
		}
		s.nothingHeld()
		if err := s.engine.Store.Check(); err != nil {
			t.Error(err)
		}
	})
	s.serve()
	return s, path
}

// serve serves until the test ends.
func (s *testServer) serve() {
	s.t.Helper()
	if err := s.Listen(); err != nil {
		s.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(s.Close(ctx), <-served); err != nil {
			s.t.Error(err)
		}
	})
}

// nothingHeld waits until no stream keeps memory of what is deleted or overwritten.
func (s *testServer) nothingHeld() {
	s.t.Helper()
	eventually(s.t, "nothing is held for streams", func() bool {
		m := s.engine.Store.Memory()
		pending, _ := s.engine.Store.LazyFree()
		return m.Freeing == 0 && m.Deferred == 0 && pending == 0
	})
}

// fill gives a string as many bytes, none of which is zero.
func (s *testServer) fill(key string, size int) []byte {
	s.t.Helper()
	val := bytes.Repeat([]byte("0123456789abcdefg"), size/17+1)[:size]
	if err := s.engine.Store.DB(0).Set([]byte(key), val); err != nil {
		s.t.Fatal(err)
	}
	return val
}

// A marked string has the same mark in three places, zeroes between, and any number of a's behind it. All
// that writers do, they do to all three places in one transaction.
const (
	markedSize = 1_500_000
	markSize   = 16
)

var markedAt = [...]int{0, 700_003, markedSize - markSize}

func checkMarked(b []byte) error {
	if len(b) < markedSize {
		return fmt.Errorf("%d bytes", len(b))
	}
	mark, from := b[:markSize], 0
	for _, at := range markedAt {
		if i := bytes.IndexFunc(b[from:at], func(r rune) bool { return r != 0 }); i >= 0 {
			return fmt.Errorf("a byte that nobody wrote at %d", from+i)
		}
		if from = at + markSize; !bytes.Equal(b[at:from], mark) {
			return fmt.Errorf("%q at %d, %q at the beginning", b[at:from], at, mark)
		}
	}
	if len(bytes.TrimLeft(b[from:], "a")) > 0 {
		return fmt.Errorf("%.20q at the end", b[from:])
	}
	return nil
}

// rewrite returns the nth transaction of a writer.
func rewrite(n, db int) (cmds string, replies int) {
	var b strings.Builder
	add := func(args ...string) {
		b.WriteString(encode(args...))
		replies += 2 // QUEUED, and what EXEC replies
	}
	mark := fmt.Sprintf("%016d", n)
	set := func(key string) {
		for _, at := range markedAt {
			add("SETRANGE", key, strconv.Itoa(at), mark)
		}
	}
	add("SELECT", strconv.Itoa(db))
	switch n % 8 {
	case 0:
		add("DEL", "k")
		set("k")
	case 1:
		add("RENAME", "k", "l")
		add("RENAME", "l", "k")
	case 2:
		add("FLUSHALL")
		set("k")
		add("SELECT", strconv.Itoa(1-db))
		set("k")
		add("SELECT", strconv.Itoa(db))
	case 3:
		for _, at := range markedAt {
			add("SETBIT", "k", strconv.Itoa(8*at+n%128), "1")
		}
	case 4:
		add("APPEND", "k", strings.Repeat("a", 20_000))
	case 5:
		add("PEXPIRE", "k", "1")
	case 6:
		val := make([]byte, markedSize)
		for _, at := range markedAt {
			copy(val[at:], mark)
		}
		add("SET", "k", string(val))
	default:
		set("k")
	}
	return encode("MULTI") + b.String() + encode("EXEC"), replies + 2
}

// TestStreamsBesideWriters: readers get exactly what was there at their command, and dumps what was
// there at their cut, while writers change everything.
func TestStreamsBesideWriters(t *testing.T) {
	s, path := streamServer(t, "--io-threads", "2")
	var reading, others sync.WaitGroup
	var stop atomic.Bool
	for i := range 2 {
		w := dial(t, "unix", path)
		others.Go(func() {
			for n := i; !stop.Load(); n++ {
				cmds, replies := rewrite(n, i)
				_, _ = io.WriteString(w.Conn, cmds)
				for range replies {
					if line, err := w.r.ReadString('\n'); err != nil || line[0] == '-' && !strings.Contains(line, "no such key") {
						t.Errorf("%.100q %v", line, err)
						return
					}
				}
			}
		})
	}
	others.Go(func() {
		for n := 0; !stop.Load(); n++ {
			s.save(path, []snapshot.Engine{snapshot.Fork, snapshot.Thread, snapshot.Copy}[n%3])
		}
	})
	rounds := 8
	if long() {
		rounds = 1000
	}
	for i := range 3 {
		w := dial(t, "unix", path)
		w.do("SELECT", strconv.Itoa(i%2))
		reading.Go(func() {
			for range rounds {
				w.send(encode("GET", "k") + encode("PING") + encode("MULTI") + encode("MGET", "k", "k") + encode("GETRANGE", "k", "0", "-1") + encode("EXEC"))
				values := []string{w.reply()}
				w.want("+PONG")
				for _, want := range []string{"+OK", "+QUEUED", "+QUEUED", "*2", "*2"} {
					w.want(want)
				}
				values = append(values, w.reply(), w.reply(), w.reply())
				for _, v := range values {
					if v == "$-1" || v == "" {
						continue
					}
					if err := checkMarked([]byte(v)); err != nil {
						t.Error(err)
						return
					}
				}
				if values[1] != values[2] || values[1] != values[3] && values[3] != "" {
					t.Error("a transaction reads different values of a key")
				}
			}
		})
	}
	reading.Wait()
	stop.Store(true)
	others.Wait()
}

// save saves the data and looks at what is in the dump.
func (s *testServer) save(path string, engine snapshot.Engine) {
	file := path + ".rdb"
	if _, err := snapshot.Save(s.t.Context(), s.engine.Store, file, snapshot.Options{Engine: engine}); errors.Is(err, snapshot.ErrForkUnavailable) {
		return // with the race detector
	} else if err != nil {
		s.t.Errorf("%v: %v", engine, err)
		return
	}
	loaded, err := kv.Open(kv.Options{})
	if err != nil {
		s.t.Error(err)
		return
	}
	defer loaded.Close()
	if _, err := snapshot.Load(s.t.Context(), loaded, file, snapshot.LoadOptions{}); err != nil {
		s.t.Errorf("%v: %v", engine, err)
	}
	for db := range 2 {
		if b, ok := loaded.DB(db).Get([]byte("k")); ok {
			if err := checkMarked(b); err != nil {
				s.t.Errorf("a dump of %v: %v", engine, err)
			}
		}
	}
}

// TestStreamsAndDigests: the dumps of all engines have the right digest while a client reads what is not there
// any more.
func TestStreamsAndDigests(t *testing.T) {
	s, path := streamServer(t)
	w, slow := dial(t, "unix", path), dial(t, "unix", path)
	want := s.fill("k", 4<<20)
	slow.send(encode("GET", "k"))
	if got := slow.line(); got != "$4194304" {
		t.Fatal(got)
	}
	for i, engine := range []snapshot.Engine{snapshot.Thread, snapshot.Fork, snapshot.Copy, snapshot.Foreground} {
		w.do("SETRANGE", "k", strconv.Itoa(i*1_000_000), "changed")
		digest := w.do("DEBUG", "DIGEST")
		file := path + ".rdb"
		if _, err := snapshot.Save(t.Context(), s.engine.Store, file, snapshot.Options{Engine: engine}); errors.Is(err, snapshot.ErrForkUnavailable) {
			continue // with the race detector
		} else if err != nil {
			t.Fatal(err)
		}
		w.do("SETRANGE", "k", "2000000", "not saved")
		w.do("FLUSHALL")
		if _, err := snapshot.Load(t.Context(), s.engine.Store, file, snapshot.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := w.do("DEBUG", "DIGEST"); got != digest || digest == "+"+strings.Repeat("0", 40) {
			t.Errorf("%v: digest %s, want %s", engine, got, digest)
		}
	}
	got := make([]byte, len(want)+2)
	if _, err := io.ReadFull(slow.r, got); err != nil || string(got) != string(want)+"\r\n" {
		t.Errorf("the slow client got others than the bytes that were there: %v", err)
	}
}

// TestStreamsKeepTheOrder: replies come in the order of the commands, also when the client has
// closed its side.
func TestStreamsKeepTheOrder(t *testing.T) {
	s, path := streamServer(t)
	long, longer := s.fill("long", 300_000), s.fill("longer", 3_000_000)
	w := dial(t, "unix", path)
	w.send(strings.Repeat(encode("PING")+encode("GET", "long")+encode("GETRANGE", "longer", "10", "-11")+encode("INCR", "n")+
		encode("GET", "longer")+encode("CLIENT", "REPLY", "SKIP")+encode("GET", "longer")+encode("ECHO", "x"), 5))
	if err := w.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		for _, want := range []string{"+PONG", string(long), string(longer[10 : len(longer)-10]), fmt.Sprint(":", i+1), string(longer), "x"} {
			if got := w.reply(); got != want {
				t.Fatalf("round %d: a reply of %d bytes, want %d, or others", i, len(got), len(want))
			}
		}
	}
	w.ended()
}

// begin has a client ask for a long string and read its beginning alone.
func begin(t *testing.T, path, key string) *wire {
	t.Helper()
	w := dial(t, "unix", path)
	w.send(encode("CLIENT", "SETNAME", "reader") + encode("GET", key))
	w.want("+OK")
	if line := w.line(); line[0] != '$' {
		t.Fatal(line)
	}
	return w
}

// TestStreamEndsEarly: whatever ends a client, what it did not read is released.
func TestStreamEndsEarly(t *testing.T) {
	s, path := streamServer(t, "--io-threads", "1")
	w := dial(t, "unix", path)
	for name, end := range map[string]func(r *wire){
		"close": func(r *wire) { _ = r.Close() },
		"kill": func(r *wire) {
			list := w.do("CLIENT", "LIST")
			at := strings.Index(list, "name=reader")
			if at < 0 {
				t.Fatalf("the reader is not there any more: %s", list)
			}
			line := list[at : at+strings.IndexByte(list[at:], '\n')]
			if !strings.Contains(line, " oll=1 ") || !strings.Contains(line, " events=rw ") {
				t.Errorf("CLIENT LIST shows %s", line)
			}
			id := list[strings.LastIndex(list[:at], "id=")+3:]
			id = id[:strings.IndexByte(id, ' ')]
			if got := w.do("CLIENT", "KILL", "ID", id); got != ":1" {
				t.Errorf("CLIENT KILL: %s", got)
			}
		},
		"limit": func(*wire) {
			w.do("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0")
			eventually(t, "the limit has closed the client", func() bool { return s.log.has("overcoming of output buffer limits") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.do("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")
			s.fill("k", 8<<20)
			r := begin(t, path, "k")
			w.do("DEL", "k")
			if m := s.engine.Store.Memory(); m.Freeing < 8<<20 {
				t.Errorf("%d bytes wait for the reader, want 8 MiB", m.Freeing)
			}
			end(r)
			s.nothingHeld()
		})
	}
	w.do("CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0")
	s.fill("k", 8<<20)
	r := dial(t, "unix", path)
	r.send(encode("GET", "k"))
	r.ended() // before it got anything
	w.do("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")
	begin(t, path, "k") // and is there when the server ends
}

// TestSlowReaderHoldsNobody: a client that reads nothing, and one that reads all the time, get a
// string that is far longer than all buffers between; others of the loop are served
// meanwhile, and Go's heap does not grow.
func TestSlowReaderHoldsNobody(t *testing.T) {
	const size = 256 << 20
	_, path := streamServer(t, "--io-threads", "1")
	w := dial(t, "unix", path)
	w.do("SETRANGE", "k", strconv.Itoa(size-1), "x")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	slow, fast := begin(t, path, "k"), begin(t, path, "k")
	w.want1("PING", "+PONG") // both have begun, and neither can have been written to its end
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, fast.r, size-1)
		done <- err
	}()
	pings := 0
	for ; len(done) == 0 && pings < 100_000; pings++ { // each is garbage of this test's own
		w.want1("PING", "+PONG")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d PINGs while %d MB were read", pings, size>>20)
	w.want1("GETRANGE k -1 -1", "x")
	if info := w.do("INFO", "stats"); !(infoNumber(t, info, "total_net_output_bytes") >= size) {
		t.Error("total_net_output_bytes lacks what was streamed")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > size/8 {
		t.Errorf("%d bytes of Go's memory were allocated for two strings of %d", n, size)
	}
	if got, err := io.ReadAll(io.LimitReader(slow.r, 1<<20)); err != nil || len(bytes.TrimLeft(got, "\x00")) > 0 {
		t.Error("the slow client does not get zeroes: ", err)
	}
	w.want1("APPEND k y", fmt.Sprint(":", size+1))
}

// want1 sends a line and reads its reply.
func (w *wire) want1(line, want string) {
	w.t.Helper()
	w.send(line + "\r\n")
	w.want(want)
}

func infoNumber(t *testing.T, info, name string) int64 {
	t.Helper()
	_, rest, _ := strings.Cut(info, name+":")
	digits, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestStreamTakesTurns: however fast a client reads, a turn writes no more than its share; a client that
// reads is not idle, and one that is to be closed gets its time anew.
func TestStreamTakesTurns(t *testing.T) {
	const size = 64 << 20
	s := newServer(t, "--io-threads", "1", "--timeout", "1")
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	l := s.loops[0] // it does not run: this test is its thread
	l.round()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20) // if it may
	c := &conn{fd: fds[0], loop: l}
	c.client = s.engine.NewClient(command.ClientOptions{Owner: c})
	s.clients.add(c)
	l.load.Add(1)
	l.adopt(c)
	peer := os.NewFile(uintptr(fds[1]), "peer")
	defer peer.Close()
	request := fmt.Sprintf("SETRANGE k %d x\r\nGET k\r\nPING\r\n", size-1)
	head := fmt.Sprintf(":%d\r\n$%d\r\n", size, size)
	if _, err := peer.WriteString(request); err != nil {
		t.Fatal(err)
	}
	l.readable(c)
	if left := c.unsent(c.out); left < len(head)+size-streamTurn || c.waits&waitsOutput == 0 {
		t.Errorf("%d bytes are left after the first turn, waits is %d", left, c.waits)
	}
	read := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, io.LimitReader(peer, int64(len(head)+size+2)))
		read <- n
	}()
	most := 0
	for c.streamed > 0 {
		before := c.streamed
		c.client.LastActive.Store(1)
		c.closeBy = 1
		l.clientCron(c)
		l.writable(c)
		if c.closed {
			t.Fatal("the client was closed")
		}
		if n := before - c.streamed; n > 0 {
			most = max(most, n)
			if c.closeBy != 0 {
				t.Fatal("what it has read does not count")
			}
		}
		runtime.Gosched()
	}
	t.Logf("the largest turn was %d bytes", most)
	if most > streamTurn {
		t.Errorf("a turn wrote %d bytes", most)
	}
	for len(c.out) > 0 {
		l.writable(c)
	}
	if n := <-read; n != int64(len(head)+size+2) {
		t.Errorf("%d bytes were read", n)
	}
	if c.waits != waitsTurn {
		t.Fatalf("waits is %d when all is written", c.waits)
	}
	l.takeTurns()
	pong := make([]byte, 7)
	if _, err := io.ReadFull(peer, pong); err != nil || string(pong) != "+PONG\r\n" {
		t.Errorf("%q %v", pong, err)
	}
	l.close(c)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
