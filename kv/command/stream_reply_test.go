package command

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// flatten returns the replies of a client with its streams in their places, and releases them.
func flatten(t *testing.T, c *Client) string {
	t.Helper()
	var all []byte
	at := 0
	for _, s := range c.Streams {
		all = append(all, c.Out[at:s.At]...)
		at = s.At
		for p := s.Pin.Pieces(); p.Next(); {
			all = append(all, p.Bytes...)
		}
	}
	all = append(all, c.Out[at:]...)
	c.DropReplies(0)
	if len(c.Streams) != 0 {
		t.Fatal("streams are left")
	}
	return string(all)
}

// run has a client run commands, whose words are separated by blanks.
func run(x *Ctx, c *Client, lines ...string) {
	for _, line := range lines {
		x.Do(c, bytes.Fields([]byte(line)))
	}
}

// A client that can stream gets the same replies, long strings as streams.
func TestStreamedRepliesAreTheSame(t *testing.T) {
	w := newWorld(t)
	x := w.e.NewCtx()
	plain, streaming := w.connect(), w.connect()
	streaming.Streaming = true
	const long, longer, short = 300_000, 5_000_000, 200_000
	setUp := func() {
		run(x, plain, fmt.Sprintf("SETRANGE long %d end", long-3), fmt.Sprintf("SETRANGE longer %d end", longer-3),
			fmt.Sprintf("SETRANGE short %d end", short-3), "SETRANGE longer 2000000 "+strings.Repeat("x", 50_000))
		plain.Out = plain.Out[:0]
	}
	for _, c := range []struct {
		streams int
		lines   []string
	}{
		{1, []string{"GET long"}},
		{1, []string{"GET longer"}},
		{0, []string{"GET short"}},
		{1, []string{"GETEX longer"}},
		{1, []string{"GETEX longer EX 100", "TTL longer"}},
		{1, []string{"GETEX longer EXAT 1", "GET longer"}}, // it is deleted
		{1, []string{"GETDEL long", "GET long"}},
		{1, []string{"GETSET long new", "GET long"}},
		{1, []string{"SET long new GET", "GET long"}},
		{1, []string{"SET long new NX GET"}},
		{0, []string{"SET long new NX", "GETSET short x"}},
		{1, []string{"GETRANGE longer 1234 -5"}},
		{0, []string{"GETRANGE longer 1234 2345"}},
		{0, []string{fmt.Sprintf("GETRANGE longer 7 %d", 7+streamFrom-2)}},
		{1, []string{fmt.Sprintf("GETRANGE longer 7 %d", 7+streamFrom-1)}},
		{1, []string{"SUBSTR longer 1990000 2990000"}},
		{3, []string{"MGET long none short longer long"}},
		{4, []string{"PING", "GET long", "PING", "GET long", "MGET short longer longer", "PING"}},
		{5, []string{"MULTI", "GET long", "INCR n", "APPEND long more", "GET long", "GETDEL long", "MGET longer short longer", "GET long", "EXEC"}},
		{1, []string{"CLIENT REPLY SKIP", "GET long", "GET longer"}},
		{1, []string{"CLIENT REPLY OFF", "GET long", "GETDEL longer", "CLIENT REPLY ON", "MGET long longer"}},
		{0, []string{"CLIENT REPLY SKIP", "MGET long longer long"}},
	} {
		var got [2]string
		for i, cl := range []*Client{plain, streaming} {
			setUp()
			run(x, cl, c.lines...)
			if n := len(cl.Streams); n != i*c.streams {
				t.Errorf("%q: %d streams, want %d", c.lines, n, i*c.streams)
			}
			if i == 1 && c.streams > 0 && len(cl.Out) > short+1000 {
				t.Errorf("%q: %d bytes lie in the output buffer", c.lines, len(cl.Out))
			}
			got[i] = flatten(t, cl)
			run(x, plain, "FLUSHALL")
			plain.Out = plain.Out[:0]
		}
		if got[0] != got[1] {
			t.Errorf("%q: a reply of %d bytes, want %d, or others", c.lines, len(got[1]), len(got[0]))
		}
	}
	nothingHeld(t, w)
}

// nothingHeld waits until no pin keeps anything of an empty store.
func nothingHeld(t *testing.T, w *fakeWorld) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		m := w.e.Store.Memory()
		if m.Freeing == 0 && m.Deferred == 0 && m.Entries == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes are being freed, %d deferred", m.Freeing, m.Deferred)
		}
	}
}

// What a stream shows is the string as of its command, and who goes leaves none behind.
func TestStreamsOfWhatIsChanged(t *testing.T) {
	w := newWorld(t)
	x := w.e.NewCtx()
	c := w.connect()
	c.Streaming = true
	run(x, c, "SETRANGE k 999990 0123456789")
	c.Out = c.Out[:0]
	run(x, c, "GET k", "SETRANGE k 500000 changed", "GET k", "RENAME k l", "APPEND l x", "MGET l l", "FLUSHALL", "GET l")
	old := slices.Concat(make([]byte, 999_990), []byte("0123456789"))
	changed := slices.Clone(old)
	copy(changed[500_000:], "changed")
	appended := append(slices.Clone(changed), 'x')
	want := fmt.Sprintf("$1000000\r\n%s\r\n:1000000\r\n$1000000\r\n%s\r\n+OK\r\n:1000001\r\n*2\r\n$1000001\r\n%s\r\n$1000001\r\n%s\r\n+OK\r\n$-1\r\n",
		old, changed, appended, appended)
	if m := w.e.Store.Memory(); m.Freeing == 0 {
		t.Error("what streams show is freed")
	}
	streams := slices.Clone(c.Streams)
	if got := flatten(t, c); got != want {
		t.Errorf("replies of %d bytes, want %d, or others", len(got), len(want))
	}
	for _, s := range streams { // they were released already
		s.Pin.Release()
	}
	run(x, c, "SETRANGE k 999999 x", "GETDEL k", "SETRANGE k 999999 x", "MGET k k", "FLUSHALL")
	if len(c.Streams) != 3 {
		t.Errorf("%d streams, want 3", len(c.Streams))
	}
	w.e.FreeClient(c)
	nothingHeld(t, w)
}

// DropReplies takes back the streams of the replies that it takes back, and no others.
func TestDropReplies(t *testing.T) {
	w := newWorld(t)
	x := w.e.NewCtx()
	c := w.connect()
	c.Streaming = true
	run(x, c, "SETRANGE k 999999 x", "GET k")
	mark := len(c.Out)
	run(x, c, "MGET k k k")
	c.DropReplies(mark)
	if len(c.Streams) != 1 || len(c.Out) != mark || c.Streams[0].Pin.Left() != 1_000_000 {
		t.Errorf("%d streams and %d bytes are left", len(c.Streams), len(c.Out))
	}
	if got, want := len(flatten(t, c)), len(":1000000\r\n$1000000\r\n\r\n")+1_000_000; got != want {
		t.Errorf("%d bytes are left, want %d", got, want)
	}
	run(x, c, "FLUSHALL")
	nothingHeld(t, w)
}
