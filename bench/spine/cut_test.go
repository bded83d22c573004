//go:build linux

package spine

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	idleTime  = 2 * time.Second
	cutWindow = 10 * time.Millisecond // beyond BGSAVE and its reply, between which the cut is
	maxSeen   = 1 << 21               // requests of one client that are written down
)

// mostSeen is maxSeen, or what is enough for tests.
func (h *harness) mostSeen() int {
	if h.scale < 0.1 {
		return maxSeen / 4
	}
	return maxSeen
}

// request is when a client sent a request and when it had the reply, since the
// prober's start.
type request struct{ sent, replied time.Duration }

// prober is a client that PINGs and one that SETs, each without a pause, both
// written down request by request. They allocate nothing meanwhile: a page fault
// or a collection here would look like a wait of the server's.
type prober struct {
	begin time.Time
	stop  atomic.Bool
	wg    sync.WaitGroup
	seen  [2][]request
	errs  [2]error
}

// probe starts a prober on a server that holds n keys.
func (s *server) probe(n int) *prober {
	p := &prober{}
	value := bytes.Repeat([]byte("x"), valueLen)
	requests := []func(dst []byte) []byte{
		func(dst []byte) []byte { return append(dst, "PING\r\n"...) },
		func(dst []byte) []byte {
			return appendSet(dst, rand.IntN(n), func(dst []byte, _ int) []byte { return append(dst, value...) })
		},
	}
	for i := range requests {
		p.seen[i] = slices.Repeat([]request{{1, 1}}, s.h.mostSeen())[:0] // touched
	}
	p.begin = time.Now()
	for i, appendRequest := range requests {
		conn := s.dial()
		p.wg.Go(func() {
			defer func() { _ = conn.Close() }()
			p.errs[i] = p.ask(conn, appendRequest, &p.seen[i])
		})
	}
	return p
}

func (p *prober) ask(conn net.Conn, appendRequest func([]byte) []byte, seen *[]request) error {
	buf, r := make([]byte, 0, 1024), bufio.NewReader(conn)
	for !p.stop.Load() && len(*seen) < cap(*seen) {
		buf = appendRequest(buf[:0])
		sent := time.Since(p.begin)
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		reply, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if reply[0] != '+' {
			return fmt.Errorf("a probe was refused: %s", reply)
		}
		*seen = append(*seen, request{sent, time.Since(p.begin)})
	}
	return nil
}

// finish ends the prober and returns the requests of both its clients.
func (p *prober) finish(h *harness) []request {
	h.Helper()
	p.stop.Store(true)
	p.wg.Wait()
	for i, err := range p.errs {
		h.must(err)
		if n := len(p.seen[i]); n > 0 && n == cap(p.seen[i]) {
			h.Fatal("the save outlasted the probe")
		}
	}
	return slices.Concat(p.seen[0], p.seen[1])
}

// longest returns the longest wait among the requests that were under way at
// some moment between from and to, in milliseconds.
func longest(list []request, from, to time.Duration) float64 {
	var wait time.Duration
	for _, r := range list {
		if r.replied > from && r.sent < to {
			wait = max(wait, r.replied-r.sent)
		}
	}
	return float64(wait) / float64(time.Millisecond)
}

// waits are the longest waits of a prober's clients in milliseconds, median of
// the rounds, and the server's own figure for the pause in microseconds.
type waits struct {
	idle       []float64 // in all of idleTime
	idleWindow []float64 // in the typical part of it that is as long as the next
	cut, save  []float64 // from BGSAVE until cutWindow after its reply, in the whole save
	pause      []float64
}

func (w *waits) round(s *server, n int, method string) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	p := s.probe(n)
	now := func() time.Duration { return time.Since(p.begin) }
	time.Sleep(idleTime / 10)
	idle := now()
	time.Sleep(max(10*cutWindow, time.Duration(float64(idleTime)*min(1, s.h.scale))))
	begun, wait := s.bgsave(method)
	begin := begun.Sub(p.begin)
	cut := now() + cutWindow
	wait()
	end := now()
	time.Sleep(cut - end)
	seen := p.finish(s.h)

	w.idle = append(w.idle, longest(seen, idle, begin))
	var windows []float64
	for from := idle; from+cut-begin <= begin; from += cut - begin {
		windows = append(windows, longest(seen, from, from+cut-begin))
	}
	if len(windows) == 0 { // the reply took longer than the whole idle time
		windows = w.idle[len(w.idle)-1:]
	}
	w.idleWindow = append(w.idleWindow, median(windows))
	w.cut = append(w.cut, longest(seen, begin, cut))
	w.save = append(w.save, longest(seen, begin, end))
	section, pause := "stats", "latest_fork_usec" // what Redis' clients wait for
	if len(s.methods) > 0 {
		section, pause = "persistence", "rdb_last_pause_usec"
	}
	w.pause = append(w.pause, s.infoNumber(section, pause))
}

// above returns the longest wait at the cut above the longest idle one: where
// three threads want two cores, a time slice of the kernel (4 ms) is lost now and
// then with or without a save.
func (w *waits) above() float64 { return max(0, median(w.cut)-median(w.idle)) }

// aboveWindow compares with the typical idle window of the same length, in which
// that is rare. It is the stricter figure, and a noisy one.
func (w *waits) aboveWindow() float64 { return max(0, median(w.cut)-median(w.idleWindow)) }

// measureCut says what the clients of a server with dataSet keys see of a save.
func measureCut(h *harness) []row {
	n := h.count(dataSet)
	kvd, redis := h.kvd(h.dir()), h.redis(h.dir())
	defer redis.Kill()
	defer kvd.Kill()
	kvd.fill(0, n, randomValues())
	redis.fill(0, n, randomValues())

	methods := kvd.saveMethods()
	ours, theirs := make([]waits, len(methods)), waits{}
	for range h.rounds {
		theirs.round(redis, n, "")
		for i, m := range methods {
			ours[i].round(kvd, n, m)
		}
	}
	var rows []row
	for i, m := range methods {
		rows = append(rows, ours[i].rows(word(m), &theirs)...)
	}
	return rows
}

func (w *waits) rows(method string, redis *waits) []row {
	var gateUsec, gateMsec float64
	if method == "thread" {
		gateUsec, gateMsec = 1000, 1
	}
	return []row{
		{name: method + ": writers held at the cut, by INFO", unit: "µs", kvd: median(w.pause), redis: median(redis.pause), max: gateUsec},
		{name: method + ": longest PING or SET at the cut, above the longest idle", unit: "ms", kvd: w.above(), redis: redis.above(), max: gateMsec},
		{name: method + ": longest PING or SET at the cut, above a typical idle window", unit: "ms", kvd: w.aboveWindow(), redis: redis.aboveWindow()},
		{name: method + ": longest PING or SET at the cut", unit: "ms", kvd: median(w.cut), redis: median(redis.cut)},
		{name: method + ": longest PING or SET in the whole save", unit: "ms", kvd: median(w.save), redis: median(redis.save)},
		{name: method + ": longest PING or SET idle, before the save", unit: "ms", kvd: median(w.idle), redis: median(redis.idle)},
	}
}
