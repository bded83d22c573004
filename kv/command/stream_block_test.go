package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// blockedReader is a client of both servers that waits for a stream.
type blockedReader struct {
	*pair
	args []string
}

// blocks sends a command that must not be answered at once by either server.
func (p *pair) blocks(args ...string) *blockedReader {
	p.t.Helper()
	o := p.other()
	o.both("HELLO", strconv.Itoa(int(p.c.resp)))
	id := o.theirs.do(p.t, "CLIENT", "ID")
	reply := o.ours(args...)
	o.theirs.send(p.t, args...)
	b := &blockedReader{o, args}
	if b.isShort() { // it may be over by now
		return b
	}
	if reply != "" || o.c.waiter == nil {
		p.t.Fatalf("%q did not wait: %q", args, reply)
	}
	await(p.t, fmt.Sprintf("%q waits in redis-server", args), func() bool { return p.isBlocked(id) })
	return b
}

// isBlocked tells whether a client of redis-server waits; id is a reply to CLIENT ID.
func (p *pair) isBlocked(id string) bool {
	_, rest, _ := strings.Cut(p.theirs.do(p.t, "CLIENT", "LIST", "ID", strings.Trim(id, ":\r\n")), " flags=")
	return strings.HasPrefix(rest, "b")
}

// isShort tells whether the client waits for 20 ms, and nobody serves it.
func (b *blockedReader) isShort() bool { return slices.Contains(b.args, "20") }

// answered compares what the client has got by now, which may be nothing.
func (b *blockedReader) answered() string {
	b.t.Helper()
	ours := ""
	over := func() bool { return b.c.waiter == nil || b.world.released(b.c) }
	isOver := false
	if b.isShort() {
		await(b.t, "the end of waiting", over)
		isOver = true
	}
	if isOver || over() {
		b.x.Resume(b.c)
		ours = string(b.c.Out)
		b.c.Out = b.c.Out[:0]
	}
	var theirs bytes.Buffer
	wait := patience
	if ours == "" {
		wait = 20 * time.Millisecond
	}
	_ = b.theirs.SetReadDeadline(time.Now().Add(wait))
	if err := readReply(b.theirs.r, &theirs); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		b.t.Fatal(err)
	}
	if ours != theirs.String() {
		b.t.Errorf("%q\n kvd   %q\n redis %q", b.args, ours, theirs.String())
	}
	return ours
}

// streamWaits are scripts: lines with > are of clients that wait, in the order in which their
// replies are looked at.
var streamWaits = [][]string{
	{"> XREAD BLOCK 0 STREAMS s $", "XADD s 1-1 a 1", "XADD s 1-2 a 2"},
	{"XADD s 1-1 a 1", "> XREAD BLOCK 0 STREAMS s $", "> XREAD BLOCK 0 STREAMS s 1-1", "> XREAD BLOCK 0 STREAMS s 9-9", "XADD s 1-2 a 2"},
	{"> XREAD BLOCK 0 COUNT 1 STREAMS s none t 0 0 0", "MULTI", "XADD t 5-1 a 1", "XADD t 5-2 a 1", "XADD s 6-1 b 2", "EXEC"},
	{"> XREAD BLOCK 0 STREAMS s s 0 5-0", "XADD s 1-1 a 1"},
	{"> XREAD BLOCK 0 STREAMS s 0", "MULTI", "XADD s 1-1 a 1", "XDEL s 1-1", "EXEC"},
	{"> XREAD BLOCK 0 STREAMS s 0", "XADD s MAXLEN 0 1-1 a 1"},
	{"> XREAD BLOCK 0 STREAMS s 0", "SET s x", "DEL s", "LPUSH s x", "DEL s", "XADD s 3-3 a 1"},
	{"> XREAD BLOCK 0 STREAMS s 0", "XADD t 1-1 a 1", "RENAME t s"},
	{"> XREAD BLOCK 0 STREAMS s 0", "XADD t 1-1 a 1", "COPY t s"},
	{"> XREAD BLOCK 0 STREAMS s 0", "XGROUP CREATE s g 0 MKSTREAM", "XSETID s 5-5", "XADD s 6-1 a 1"},
	{"> XREAD BLOCK 20 STREAMS s $"},
	{"XGROUP CREATE s g $ MKSTREAM", "> XREADGROUP GROUP g c BLOCK 20 STREAMS s >", "answers", "XINFO CONSUMERS s g"},
	{"XGROUP CREATE s g $ MKSTREAM", "> XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >", "> XREADGROUP GROUP g c2 BLOCK 0 STREAMS s >", "XADD s 1-1 a 1", "XPENDING s g", "XADD s 1-2 a 1", "XPENDING s g"},
	{"XGROUP CREATE s g $ MKSTREAM", "> XREADGROUP GROUP g c1 BLOCK 0 COUNT 1 STREAMS s >", "> XREADGROUP GROUP g c2 BLOCK 0 STREAMS s >", "MULTI", "XADD s 1-1 a 1", "XADD s 1-2 b 1", "XADD s 1-3 b 1", "EXEC", "XPENDING s g", "XINFO GROUPS s"},
	{"XGROUP CREATE s g $ MKSTREAM", "> XREADGROUP GROUP g c1 BLOCK 0 NOACK STREAMS s >", "XADD s 1-1 a 1", "XPENDING s g", "XINFO GROUPS s"},
	{"XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s h $", "> XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >", "> XREADGROUP GROUP h c1 BLOCK 0 STREAMS s >", "> XREAD BLOCK 0 STREAMS s $", "XGROUP DESTROY s g", "XADD s 1-1 a 1"},
	{"XGROUP CREATE s g $ MKSTREAM", "> XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >", "> XREAD BLOCK 0 STREAMS s $", "DEL s"},
	{"XGROUP CREATE s g $ MKSTREAM", "> XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >", "SET s x"},
	{"XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE t g $ MKSTREAM", "> XREADGROUP GROUP g c1 BLOCK 0 STREAMS s t > >", "XADD t 7-7 x y", "XPENDING t g"},
	{"XADD s 1-1 a 1", "XGROUP CREATE s g $", "> XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >", "XGROUP SETID s g 0", "XADD s 1-2 a 1", "XINFO GROUPS s"},
	{"XADD s 1-1 a 1", "XDEL s 1-1", "> XREAD BLOCK 0 STREAMS s 0", "XADD s 1-2 a 1"},
	{"XADD s 1-1 a 1", "XDEL s 1-1", "XGROUP CREATE s g 0", "> XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XADD s 1-2 a 1", "XINFO GROUPS s"},
	{"MULTI", "XREAD BLOCK 0 STREAMS s $", "XADD s 1-1 a 1", "XREAD BLOCK 0 STREAMS s $", "EXEC"},
}

func TestBlockedStreamReadersAgainstRedis(t *testing.T) {
	for i, script := range streamWaits {
		for _, proto := range []string{"2", "3"} {
			t.Run(strconv.Itoa(i)+"/RESP"+proto, func(t *testing.T) {
				p := newPair(t)
				p.both("HELLO", proto)
				var readers []*blockedReader
				for _, line := range script {
					words := strings.Fields(line)
					switch {
					case words[0] == ">":
						readers = append(readers, p.blocks(words[1:]...))
					case line == "answers":
						for _, r := range readers {
							r.answered()
						}
						readers = nil
					case words[0] == "XINFO" && words[1] == "CONSUMERS":
						ours, theirs := p.both(words...)
						a, _ := parseReply(ours)
						b, _ := parseReply(theirs)
						if shortIdle(a) != shortIdle(b) {
							t.Errorf("%q\n kvd   %q\n redis %q", words, ours, theirs)
						}
					default:
						p.same(words...)
					}
				}
				for _, r := range readers {
					r.answered()
				}
			})
		}
	}
}

// A client that has waited without COUNT gets a thousand entries at most.
func TestBlockedStreamReaderGetsAThousand(t *testing.T) {
	p := newPair(t)
	r := p.blocks("XREAD", "BLOCK", "0", "STREAMS", "s", "$")
	p.line("MULTI")
	for i := range 1005 {
		p.line("XADD s 1-" + strconv.Itoa(i+1) + " a b")
	}
	p.line("EXEC")
	if got := r.answered(); !strings.HasPrefix(got, "*1\r\n*2\r\n$1\r\ns\r\n*1000\r\n") {
		t.Errorf("%.60q", got)
	}
}
