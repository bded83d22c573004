//go:build linux

package bench

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	idleTime  = 2 * time.Second
	cutWindow = 100 * time.Millisecond // after BGSAVE was sent; the cut is in it
)

// request is when a client sent a request and when it had the reply.
type request struct{ sent, replied time.Time }

// prober is a client that PINGs and one that SETs, each without a pause, both
// written down request by request.
type prober struct {
	stop atomic.Bool
	wg   sync.WaitGroup
	seen [2][]request
	errs [2]error
}

// probe starts a prober on a server that holds n keys.
func (s *server) probe(n int) *prober {
	p := &prober{}
	value := strings.Repeat("x", valueLen)
	requests := []func(*client) (string, error){
		func(c *client) (string, error) { return c.do("PING") },
		func(c *client) (string, error) { return c.do("SET", key(rand.IntN(n)), value) },
	}
	for i, ask := range requests {
		c := s.dial()
		p.seen[i] = make([]request, 0, 1<<20)
		p.wg.Go(func() {
			defer c.close()
			for !p.stop.Load() && p.errs[i] == nil {
				r := request{sent: time.Now()}
				_, p.errs[i] = ask(c)
				r.replied = time.Now()
				p.seen[i] = append(p.seen[i], r)
			}
		})
	}
	return p
}

// finish ends the prober and returns the requests of both its clients.
func (p *prober) finish(h *harness) []request {
	h.Helper()
	p.stop.Store(true)
	p.wg.Wait()
	for _, err := range p.errs {
		h.must(err)
	}
	return slices.Concat(p.seen[0], p.seen[1])
}

// longest returns the longest wait among the requests that were under way at
// some moment between from and to, in milliseconds.
func longest(list []request, from, to time.Time) float64 {
	var wait time.Duration
	for _, r := range list {
		if r.replied.After(from) && r.sent.Before(to) {
			wait = max(wait, r.replied.Sub(r.sent))
		}
	}
	return float64(wait) / float64(time.Millisecond)
}

// waits are the longest waits of a prober's clients in milliseconds, median of
// the rounds, and the server's own figure for the pause in microseconds.
type waits struct {
	idle       []float64 // in all of idleTime
	idleWindow []float64 // in the typical cutWindow of idleTime
	cut, save  []float64 // in the cutWindow after BGSAVE, in the whole save
	pause      []float64
}

func (w *waits) round(s *server, n int, method string) {
	// The collector of this process would be seen as a wait of the server's.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	p := s.probe(n)
	idle := time.Now()
	time.Sleep(max(2*cutWindow, time.Duration(float64(idleTime)*min(1, s.h.scale))))
	begin := time.Now()
	wait := s.bgsave(method)
	wait()
	end := time.Now()
	time.Sleep(time.Until(begin.Add(cutWindow)))
	seen := p.finish(s.h)

	w.idle = append(w.idle, longest(seen, idle, begin))
	var windows []float64
	for from := idle; from.Before(begin); from = from.Add(cutWindow) {
		windows = append(windows, longest(seen, from, from.Add(cutWindow)))
	}
	w.idleWindow = append(w.idleWindow, median(windows))
	w.cut = append(w.cut, longest(seen, begin, begin.Add(cutWindow)))
	w.save = append(w.save, longest(seen, begin, end))
	pause := "latest_fork_usec" // what Redis' clients wait for
	if len(s.methods) > 0 {
		pause = "rdb_last_pause_usec"
	}
	w.pause = append(w.pause, s.infoNumber(pause))
}

// above returns the longest wait at the cut above the idle one of a window of
// the same length.
func (w *waits) above() float64 { return max(0, median(w.cut)-median(w.idleWindow)) }

// measureCut says what the clients of a server with dataSet keys see of a save.
func measureCut(h *harness) []row {
	n := h.count(dataSet)
	kvd, redis := h.kvd(h.dir()), h.redis(h.dir())
	defer redis.stop()
	defer kvd.stop()
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
		{name: method + ": longest PING or SET at the cut, above idle", unit: "ms", kvd: w.above(), redis: redis.above(), max: gateMsec},
		{name: method + ": longest PING or SET at the cut", unit: "ms", kvd: median(w.cut), redis: median(redis.cut)},
		{name: method + ": longest PING or SET in the whole save", unit: "ms", kvd: median(w.save), redis: median(redis.save)},
		{name: method + ": longest PING or SET idle, before the save", unit: "ms", kvd: median(w.idle), redis: median(redis.idle)},
	}
}
