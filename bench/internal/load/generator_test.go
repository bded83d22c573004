//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/noise"
)

// small is a Spec for the fake.
func small(f *fake) Spec {
	return Spec{Addr: f.addr(), Keys: 1000, ValueBytes: 64, Conns: 4, Mix: MixA}
}

// TestPauseIsSeenByAllWhomItHits is the canary against coordinated omission: the
// server stands still for 200 ms, and every request that was due meanwhile must
// say so, not one for each connection.
func TestPauseIsSeenByAllWhomItHits(t *testing.T) {
	noise.Attempts(t, tries, func(t *noise.T) {
		f := newFake(t)
		s := small(f)
		s.Mix, s.ProbeEvery = WriteOnly, 2*time.Millisecond
		closed, _ := seePause(t, f, s)
		// Each connection has one request on its way, so that no more can be slow.
		if n, most := atLeast(t, closed.Window(0, closed.End()).Ops["set"], pause/2), int64(s.Conns)*int64(1+closed.End()/(pause/2)); n < 1 || n > most {
			t.Errorf("closed loop: %d requests above %v, at most %d can be", n, pause/2, most)
		}
		s.Rate = 5000
		paced, took := seePause(t, f, s)
		w := paced.Window(0, paced.End())
		if n, want := atLeast(t, w.Ops["set"], long), int64(s.Rate*(took-slack-long).Seconds()); n < want {
			t.Errorf("paced: %d requests above %v, want at least %d", n, long, want)
		}
		if n, want := atLeast(t, w.Ops["ping"], long), int64((took-slack-long)/s.ProbeEvery); n < want-1 {
			t.Errorf("paced: %d probes above %v, want at least %d", n, long, want)
		}
	})
}

const (
	tries = 12 // where many want the processors, most are spoiled
	pause = 200 * time.Millisecond
	slack = 50 * time.Millisecond // the last reply before a pause may be read late
	long  = 20 * time.Millisecond
)

// seePause has the fake stand still for a while amid a recording, and checks how long
// that looks. It returns how long the pause was in truth.
func seePause(t *noise.T, f *fake, s Spec) (rec *Recording, took time.Duration) {
	g, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	f.served(t, 200)
	time.Sleep(2*slotLen - g.Now()) // for a window before it
	f.served(t, 50)
	f.gate.Lock()
	from := g.Now()
	time.Sleep(pause + slack)
	took = g.Now() - from
	f.gate.Unlock()
	f.served(t, 200)
	if rec, err = g.Stop(); err != nil {
		t.Fatal(err)
	}
	checkRecording(t.TB, rec)
	w := rec.Window(0, rec.End())
	seen := map[string]time.Duration{"gap": time.Duration(w.LongestGapSec * 1e9)}
	for _, o := range []string{"set", "ping"} {
		seen[o] = msec(w.Ops[o].MaxUsec)
	}
	for what, d := range seen {
		if d < took-slack || d > took+pause {
			t.Errorf("rate %g: %s of %v at a pause of %v", s.Rate, what, d, took)
		}
	}
	if gap := time.Duration(rec.Window(0, from.Truncate(slotLen)).LongestGapSec * 1e9); gap >= pause {
		t.Errorf("rate %g: a gap of %v before the pause", s.Rate, gap)
	}
	return rec, took
}

// TestPacedCount: what was due was sent, no more and no less.
func TestPacedCount(t *testing.T) {
	f := newFake(t)
	s := small(f)
	s.Rate = 3000
	noise.Attempts(t, tries, func(t *noise.T) {
		rec := run(t.TB, s, 500*time.Millisecond)
		w := rec.Window(0, rec.End())
		got := float64(w.Ops["write"].Count + w.Ops["read"].Count)
		if want := rec.End().Seconds() * s.Rate; math.Abs(got-want) > 0.012*s.Rate {
			t.Fatalf("%v requests in %v at %v a second", got, rec.End(), s.Rate)
		}
		// What had no answer by the end was due no longer before it than the longest took.
		slowest := max(w.Ops["write"].MaxUsec, w.Ops["read"].MaxUsec)
		answered := w.OpsPerSecond * rec.End().Seconds()
		if answered > got+0.5 || answered < got-s.Rate*(slowest/1e6+0.012) {
			t.Fatalf("throughput %v at a rate of %v, the slowest took %v µs", w.OpsPerSecond, s.Rate, slowest)
		}
		if lag, ok := rec.LagP99(); !ok || lag <= 0 || lag > slowest {
			t.Fatalf("late by %v µs, %v; the slowest took %v µs", lag, ok, slowest)
		}
		if rec.Misses != 0 {
			t.Fatalf("%d missed", rec.Misses)
		}
		if rec.Unanswered != 0 {
			t.Errorf("%d unanswered", rec.Unanswered)
		}
	})
	s.Rate = 0
	if _, ok := run(t, s, 20*time.Millisecond).LagP99(); ok {
		t.Error("a closed loop without probes has nothing to be late for")
	}
}

// TestSendsWithoutReplies: paced requests go out when they are due, whatever
// became of the earlier ones.
func TestSendsWithoutReplies(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	s := Spec{Addr: l.Addr().String(), Keys: 10, Mix: ReadOnly, Rate: 1000}
	g, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	rec, err := g.Stop()
	if err != nil {
		t.Fatal(err)
	}
	want := rec.End().Seconds() * s.Rate
	request := len("*2\r\n$3\r\nGET\r\n$14\r\nkey:0000000000\r\n")
	if n := float64(<-got) / float64(request); math.Abs(n-want) > 12 {
		t.Errorf("%v requests were sent in %v", n, rec.End())
	}
	if math.Abs(float64(rec.Unanswered)-want) > 12 {
		t.Errorf("%d are unanswered of %v", rec.Unanswered, want)
	}
}

// TestKnownDelays: every fifth reply takes 20 ms.
func TestKnownDelays(t *testing.T) {
	const delay = 20 * time.Millisecond
	noise.Attempts(t, tries, func(t *noise.T) {
		f := newFake(t)
		var n, delayed atomic.Int64
		f.reply = func(dst []byte, args [][]byte) ([]byte, error) {
			if n.Add(1)%5 == 0 {
				delayed.Add(1)
				time.Sleep(delay)
			}
			return ordinary(dst, args)
		}
		s := small(f)
		s.Mix = WriteOnly
		g, err := Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		f.served(t, 400)
		rec, err := g.Stop()
		if err != nil {
			t.Fatal(err)
		}
		checkRecording(t.TB, rec)
		l := rec.Window(0, rec.End()).Ops["set"]
		if got, want := atLeast(t, l, delay-delay/500), delayed.Load(); got < want-rec.Unanswered || got > want+want/3+2 {
			t.Errorf("%d latencies of %v and more, want %d", got, delay, want)
		}
		if p50, p90 := msec(l.P50Usec), msec(l.P90Usec); p50 > delay/2 || p90 < delay-delay/500 || p90 > 5*delay {
			t.Errorf("a fifth of the replies takes %v: p50 %v, p90 %v", delay, p50, p90)
		}
		if mean := msec(l.MeanUsec); mean < delay/5-time.Millisecond || mean > delay {
			t.Errorf("mean %v of a fifth of %v", mean, delay)
		}
		if l.P50Usec > l.P90Usec || l.P90Usec > l.P99Usec || l.P99Usec > l.P999Usec || l.P999Usec > l.P9999Usec || l.P9999Usec > l.MaxUsec {
			t.Fatalf("percentiles fall: %+v", l)
		}
	})
}

// TestHangingServer: whether requests wait in the socket or for it, Stop is
// quick, and every one that was due is in the figures.
func TestHangingServer(t *testing.T) {
	for name, valueBytes := range map[string]int{"small": 64, "socket full": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			noise.Attempts(t, tries, func(t *noise.T) { hang(t, valueBytes) })
		})
	}
}

func hang(t *noise.T, valueBytes int) {
	const held = 420 * time.Millisecond
	f := newFake(t)
	s := small(f)
	s.Rate, s.Mix, s.ValueBytes = 2000, WriteOnly, valueBytes
	g, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	f.served(t, 200)
	f.gate.Lock()
	defer f.gate.Unlock()
	from := g.Now()
	time.Sleep(held)
	begin := time.Now()
	rec, err := g.Stop()
	if took := time.Since(begin); took > 2*drain {
		t.Errorf("Stop took %v", took)
	}
	if err != nil {
		t.Fatalf("a hanging server is no error: %v", err)
	}
	checkRecording(t.TB, rec)
	w := rec.Window(0, rec.End())
	total, want := w.Ops["set"].Count, rec.End().Seconds()*s.Rate
	if math.Abs(float64(total)-want) > 0.012*s.Rate {
		t.Fatalf("%d requests in %v at %v a second", total, rec.End(), s.Rate)
	}
	since := (rec.End() - from).Seconds() // what was due then has no answer
	if lost := float64(rec.Unanswered) / s.Rate; lost < since-0.012 || lost > since+0.2 {
		t.Errorf("%d requests unanswered, those of %v s expected", rec.Unanswered, since)
	}
	if n := atLeast(t, w.Ops["set"], drain-drain/500); n < rec.Unanswered {
		t.Fatalf("%d requests above %v, %d unanswered", n, drain, rec.Unanswered)
	}
	if top := msec(w.Ops["set"].MaxUsec); top < held+drain-long {
		t.Errorf("the oldest request has %v", top)
	}
	if gap := w.LongestGapSec; gap < since-slack.Seconds() || gap > since+0.2 {
		t.Errorf("gap of %v s", gap)
	}
	if answered := w.OpsPerSecond * rec.End().Seconds(); math.Abs(answered-float64(total-rec.Unanswered)) > 0.5 {
		t.Errorf("throughput counts %v requests, %d were answered", answered, total-rec.Unanswered)
	}
	if again, _ := g.Stop(); again != rec {
		t.Fatal("the second Stop returned something else")
	}
}

// TestFailures: what ends a generator by itself, and that it says so and keeps
// what it has.
func TestFailures(t *testing.T) {
	after := func(n int64, reply string, err error) func(*fake) {
		return func(f *fake) {
			f.reply = func(dst []byte, args [][]byte) ([]byte, error) {
				if f.total.Load() >= n {
					return append(dst, reply...), err
				}
				return ordinary(dst, args)
			}
		}
	}
	for name, c := range map[string]struct {
		breaks func(*fake)
		want   string
	}{
		"closes":          {after(500, "", io.EOF), "the server closed it"},
		"error reply":     {after(500, "-MISCONF no disk\r\n", nil), "the server answered: MISCONF no disk"},
		"unknown command": {after(0, "-ERR unknown command 'SET'\r\n", nil), "set: the server answered: ERR unknown command 'SET'"},
		"wrong type":      {after(500, ":1\r\n", nil), "makes no sense"},
		"not OK":          {after(500, "+NO\r\n", nil), "makes no sense"},
		"answers twice":   {after(500, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n", nil), "an answer to nothing"},
		"no RESP":         {after(500, "HTTP/1.1 400 Bad Request\r\n", nil), "no RESP"},
		"huge bulk":       {after(500, "$9223372036854775807\r\n", nil), "no RESP"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			c.breaks(f)
			s := small(f)
			s.Mix = WriteOnly
			before := openFiles(t)
			g, err := Start(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-g.Done():
			case <-time.After(noise.Patience):
				t.Fatal("it goes on")
			}
			if err := g.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			rec, err := g.Stop()
			if !errors.Is(err, g.Err()) {
				t.Errorf("Stop says %v, Err %v", err, g.Err())
			}
			checkRecording(t, rec)
			if n := rec.Window(0, rec.End()).Ops["set"].Count; name != "unknown command" && n < 400 {
				t.Errorf("%d requests are recorded of at least 400", n)
			}
			if files := openFiles(t); files > before+s.Conns { // the fake's own
				t.Errorf("%d files open after %d before", files, before)
			}
		})
	}
}

func TestReplyError(t *testing.T) {
	f := newFake(t)
	s := small(f)
	s.Kind, s.Members = Lists, 10
	for name, do := range map[string]func() error{
		"Fill": func() error { return Fill(t.Context(), s, nil) },
		"Start": func() error {
			g, err := Start(t.Context(), s)
			if err != nil {
				return err
			}
			<-g.Done()
			_, err = g.Stop()
			return err
		},
		"Ceiling": func() error { _, err := Ceiling(t.Context(), s); return err },
	} {
		var reply *ReplyError
		if err := do(); !errors.As(err, &reply) || !strings.HasPrefix(reply.Text, "ERR unknown command") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	g, err := Start(ctx, small(f))
	if err != nil {
		t.Fatal(err)
	}
	f.served(t, 200)
	why := errors.New("interrupted")
	cancel(why)
	<-g.Done()
	rec, err := g.Stop()
	if !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
	if rec.Window(0, rec.End()).Ops["write"].Count == 0 {
		t.Error("nothing is left of it")
	}
	if _, err := Start(ctx, small(f)); err == nil {
		t.Error("started under a context that has ended")
	}
}

func TestNobodyListens(t *testing.T) {
	// A port that is taken, so that nobody else comes to listen there.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Addr: fmt.Sprint("127.0.0.1:", addr.(*unix.SockaddrInet4).Port), Keys: 1, Mix: WriteOnly}
	_, _ = Start(t.Context(), s) // the first opens what the runtime keeps open
	before := openFiles(t)
	if _, err := Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Start: %v", err)
	}
	if err := Fill(t.Context(), s, nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Fill: %v", err)
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files open after %d before", after, before)
	}
}

// TestReadModifyWrite: the parts and the whole.
func TestReadModifyWrite(t *testing.T) {
	const delay = 2 * time.Millisecond
	f := newFake(t)
	f.reply = func(dst []byte, args [][]byte) ([]byte, error) {
		time.Sleep(delay)
		return ordinary(dst, args)
	}
	s := small(f)
	s.Mix = Mix{RMW: 1}
	noise.Attempts(t, tries, func(t *noise.T) {
		rec := run(t.TB, s, 300*time.Millisecond)
		w := rec.Window(0, rec.End())
		whole, get, set := w.Ops["rmw"], w.Ops["get"], w.Ops["set"]
		if rec.Unanswered != 0 {
			t.Errorf("%d are unanswered", rec.Unanswered)
			return
		}
		if whole.Count == 0 || get.Count != whole.Count || set.Count != whole.Count {
			t.Errorf("%d wholes, %d reads, %d writes", whole.Count, get.Count, set.Count)
			return
		}
		if least := usec(int64(delay)); get.MeanUsec < least || set.MeanUsec < least || whole.MeanUsec < 0.999*(get.MeanUsec+set.MeanUsec) {
			t.Fatalf("means: %v whole, %v read, %v write", whole.MeanUsec, get.MeanUsec, set.MeanUsec)
		}
		if whole.MeanUsec > 1.2*(get.MeanUsec+set.MeanUsec) {
			t.Errorf("means: %v whole, %v read, %v write", whole.MeanUsec, get.MeanUsec, set.MeanUsec)
		}
		if ops := w.OpsPerSecond * rec.End().Seconds(); math.Abs(ops-float64(get.Count+set.Count)) > 0.1*ops+10 {
			t.Errorf("throughput counts %v of %d requests", ops, get.Count+set.Count)
		}
		if w.Ops["read"].Count != get.Count || w.Ops["write"].Count != set.Count {
			t.Fatal("the whole is in a roll-up")
		}
	})
}

// TestNoAllocation: neither requests nor replies cost memory.
func TestNoAllocation(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	noise.Attempts(t, tries, func(t *noise.T) {
		f := newFake(t)
		s := small(f)
		s.Mix = Mix{Read: 1, Update: 1, Scan: 0.1, RMW: 1}
		s.Distribution, s.Pipeline, s.ProbeEvery = Latest, 4, time.Millisecond
		g, err := Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		f.served(t, 3000) // the fake's buffers grow
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := f.total.Load()
		f.served(t, 10_000)
		n = f.total.Load() - n
		runtime.ReadMemStats(&after)
		if _, err := g.Stop(); err != nil {
			t.Fatal(err)
		}
		if m := after.Mallocs - before.Mallocs; float64(m) > 0.02*float64(n)+50 {
			t.Errorf("%d allocations at %d requests", m, n)
		}
	})
}

func TestCeiling(t *testing.T) {
	noise.Attempts(t, tries, func(t *noise.T) {
		f := newFake(t)
		s := small(f)
		s.Rate, s.ProbeEvery = 10, time.Second // ignored
		ops, err := Ceiling(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		sent := float64(f.total.Load()) // in that second, and before and after it
		if ops > sent {
			t.Fatalf("ceiling %v, with %v requests sent", ops, sent)
		}
		if ops < sent/4 || ops < 10*s.Rate {
			t.Errorf("ceiling %v, with %v requests sent", ops, sent)
		}
	})
}

func TestSlots(t *testing.T) {
	f := newFake(t)
	g, err := Start(t.Context(), small(f))
	if err != nil {
		t.Fatal(err)
	}
	now := g.Now()
	next := g.NextSlot()
	if next <= now || next%slotLen != 0 || next > g.Now()+slotLen {
		t.Errorf("the slot after %v begins at %v", now, next)
	}
	if g.Err() != nil {
		t.Error(g.Err())
	}
	if _, err := g.Stop(); err != nil {
		t.Error(err)
	}
}
