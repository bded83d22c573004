//go:build linux

package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
)

// fake is a server that holds no data and answers what its reply function says.
// Nothing of it allocates per request.
type fake struct {
	net.Listener
	// reply appends the answer to the command in args[0]; an error closes the
	// connection. It runs on the goroutine of its connection.
	reply func(dst []byte, args [][]byte) ([]byte, error)

	gate  sync.RWMutex // held for writing, nothing is read or answered
	total atomic.Int64 // commands
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

// newFake starts a fake with the ordinary answers, and ends it with the test.
func newFake(tb testing.TB) *fake {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := &fake{Listener: l, reply: ordinary}
	f.wg.Go(f.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fake) addr() string { return f.Addr().String() }

func (f *fake) accept() {
	for {
		c, err := f.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, c)
		f.mu.Unlock()
		f.wg.Go(func() { f.serve(c) })
	}
}

func (f *fake) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 128<<10)
	out := []byte{}
	var cmd command
	for {
		if err := cmd.read(r); err != nil {
			return
		}
		if out = f.answer(c, r, out, cmd.args); out == nil {
			return
		}
	}
}

// answer replies to a command, or keeps the reply until the last that has come; nil
// when the connection has ended. Whoever has the gate knows that no reply is on its
// way but what the client may not have read yet.
func (f *fake) answer(c net.Conn, r *bufio.Reader, out []byte, args [][]byte) []byte {
	f.gate.RLock()
	defer f.gate.RUnlock()
	out, err := f.reply(out, args)
	f.total.Add(1)
	if r.Buffered() == 0 || err != nil {
		if _, werr := c.Write(out); werr != nil || err != nil {
			return nil
		}
		out = out[:0]
	}
	return out
}

// served waits until n further commands have come.
func (f *fake) served(tb testing.TB, n int64) {
	tb.Helper()
	n += f.total.Load()
	noise.Wait(tb, "requests", func() bool { return f.total.Load() >= n })
}

// command is one request; its memory is used again for the next.
type command struct {
	buf  []byte
	ends []int
	args [][]byte
}

var errProtocol = errors.New("the client's request is no RESP")

func (c *command) read(r *bufio.Reader) error {
	n, err := readHead(r, '*')
	if err != nil {
		return err
	}
	c.buf, c.ends, c.args = c.buf[:0], c.ends[:0], c.args[:0]
	for range n {
		size, err := readHead(r, '$')
		if err != nil {
			return err
		}
		for begin := len(c.buf); size+2 > cap(c.buf)-begin; {
			c.buf = append(c.buf[:cap(c.buf)], 0)[:begin]
		}
		at := len(c.buf)
		c.buf = c.buf[:at+size+2]
		if _, err := io.ReadFull(r, c.buf[at:]); err != nil {
			return err
		}
		if !bytes.HasSuffix(c.buf, []byte("\r\n")) {
			return errProtocol
		}
		c.buf = c.buf[:at+size]
		c.ends = append(c.ends, at+size)
	}
	at := 0
	for _, end := range c.ends {
		c.args = append(c.args, c.buf[at:end])
		at = end
	}
	return nil
}

func readHead(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind || len(line) < 4 {
		return 0, fmt.Errorf("%w: %q", errProtocol, line)
	}
	return strconv.Atoi(string(line[1 : len(line)-2]))
}

func ordinary(dst []byte, args [][]byte) ([]byte, error) {
	switch string(args[0]) {
	case "PING":
		return append(dst, "+PONG\r\n"...), nil
	case "SET":
		return append(dst, "+OK\r\n"...), nil
	case "GET":
		return append(dst, "$5\r\nvalue\r\n"...), nil
	case "MGET":
		dst = appendHead(dst, '*', int64(len(args)-1))
		for range args[1:] {
			dst = append(dst, "$5\r\nvalue\r\n"...)
		}
		return dst, nil
	}
	return fmt.Appendf(dst, "-ERR unknown command '%s'\r\n", args[0]), nil
}

// run has a generator send for d, stops it and checks what must always hold.
func run(t testing.TB, s Spec, d time.Duration) *Recording {
	t.Helper()
	g, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	rec, err := g.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkRecording(t, rec)
	return rec
}

// checkRecording compares windows, series and histograms of a recording with
// each other.
func checkRecording(t testing.TB, rec *Recording) {
	t.Helper()
	all, series := rec.Window(0, rec.End()), rec.Series()
	if len(all.Ops) != len(series.Ops) {
		t.Errorf("%d operations in the window, %d in the series", len(all.Ops), len(series.Ops))
	}
	for name, l := range all.Ops {
		var sum int64
		for _, n := range series.Ops[name].Count {
			sum += n
		}
		if sum != l.Count {
			t.Errorf("%s: the series has %d, the window %d", name, sum, l.Count)
		}
		h := decode(t, l)
		if h.TotalCount() != l.Count {
			t.Errorf("%s: the histogram has %d, the window %d", name, h.TotalCount(), l.Count)
		}
		var below, upTo int64 // it
		for _, bar := range h.Distribution() {
			if usec(bar.To) < l.P99Usec {
				below += bar.Count
			}
			if usec(bar.From) <= l.P99Usec {
				upTo += bar.Count
			}
		}
		if want := 0.99 * float64(l.Count); float64(below) >= want || float64(upTo) < want {
			t.Errorf("%s: p99 is %v µs; of %d latencies %d are below and %d up to it", name, l.P99Usec, l.Count, below, upTo)
		}
	}
	var halves int64
	mid := rec.End() / 2
	for _, w := range []*result.Window{rec.Window(0, mid), rec.Window(mid, rec.End())} {
		halves += w.Ops["write"].Count + w.Ops["read"].Count
	}
	if want := all.Ops["write"].Count + all.Ops["read"].Count; halves != want {
		t.Errorf("%d requests in the halves, %d in the whole", halves, want)
	}
}

func decode(t testing.TB, l result.Latencies) *hdrhistogram.Histogram {
	t.Helper()
	h, err := hdrhistogram.Decode([]byte(l.Histogram))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// atLeast counts the latencies that are not below d.
func atLeast(t testing.TB, l result.Latencies, d time.Duration) int64 {
	t.Helper()
	var n int64
	for _, bar := range decode(t, l).Distribution() {
		if bar.From >= int64(d) {
			n += bar.Count
		}
	}
	return n
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func msec(usec float64) time.Duration { return time.Duration(usec * float64(time.Microsecond)) }
