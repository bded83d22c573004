//go:build linux

package spine

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"
)

// bigFields is the number of fields and members of what is written during the saves.
const bigFields = 1_000_000

// bigRate is how many writes a second go to both together.
const bigRate = 5000

// BenchmarkBigWrites has a hash of a million fields and a sorted set of a million members
// written all the time, and saves meanwhile.
func BenchmarkBigWrites(b *testing.B) {
	if os.Getenv("KVD_BENCH_SCALE") == "" {
		b.Skip("KVD_BENCH_SCALE=1 measures at full size, which takes some minutes")
	}
	if b.N > 1 {
		return
	}
	scale, rounds := environment(b)
	fmt.Printf("\n%s\n", markdown(measureBigWrites(newHarness(b, scale, rounds))))
}

// TestBigWrites runs it on small collections: there must be figures.
func TestBigWrites(t *testing.T) {
	for _, r := range measureBigWrites(newHarness(t, 0.002, 1)) {
		if !(r.kvd >= 0 && r.redis >= 0) {
			t.Errorf("%+v: no figure", r)
		}
	}
}

// bigWaits are the longest waits of writers in milliseconds, of each round.
type bigWaits struct{ idle, clone, save []float64 }

func measureBigWrites(h *harness) []row {
	n := h.count(bigFields)
	kvd, redis := h.kvd(h.dir()), h.redis(h.dir())
	defer redis.Kill()
	defer kvd.Kill()
	for _, s := range []*server{kvd, redis} {
		s.pipe(n, func(dst []byte, k int) []byte { return resp(dst, "HSET", "hash", element(k), "value:00000000") })
		s.pipe(n, func(dst []byte, k int) []byte { return resp(dst, "ZADD", "zset", strconv.Itoa(k), element(k)) })
	}
	methods := []string{"THREAD", "FORK"}
	ours, theirs := make([]bigWaits, len(methods)), bigWaits{}
	for range h.rounds {
		theirs.round(redis, n, "")
		for i, m := range methods {
			ours[i].round(kvd, n, m)
		}
	}
	var rows []row
	for i, m := range methods {
		w := &ours[i]
		gate := row{name: word(m) + ": longest write in the save, above the longest idle", unit: "ms", kvd: w.above(), redis: theirs.above(), max: 1}
		if m == "FORK" {
			gate.name = "fork: longest write in the save but at the clone, above the longest idle"
		}
		rows = append(rows, gate,
			row{name: word(m) + ": longest write in the save", unit: "ms", kvd: median(w.save), redis: median(theirs.save)},
			row{name: word(m) + ": longest write at the cut", unit: "ms", kvd: median(w.clone), redis: median(theirs.clone)},
			row{name: word(m) + ": longest write idle", unit: "ms", kvd: median(w.idle), redis: median(theirs.idle)})
	}
	return rows
}

func (w *bigWaits) above() float64 { return max(0, median(w.save)-median(w.idle)) }

func (w *bigWaits) round(s *server, n int, method string) {
	s.h.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	p := &prober{}
	p.seen[0] = slices.Repeat([]request{{1, 1}}, maxSeen/8)[:0]
	p.begin = time.Now()
	conn := s.dial()
	p.wg.Go(func() {
		defer func() { _ = conn.Close() }()
		p.errs[0] = p.paced(conn, bufio.NewReader(conn), n)
	})
	now := func() time.Duration { return time.Since(p.begin) }
	time.Sleep(idleTime / 10)
	idle := now()
	time.Sleep(max(200*time.Millisecond, time.Duration(float64(2*idleTime)*min(1, s.h.scale))))
	begun, wait := s.bgsave(method)
	begin := begun.Sub(p.begin)
	cut := now() + cutWindow
	wait()
	end := now()
	time.Sleep(max(0, cut-end))
	seen := p.finish(s.h)
	w.idle = append(w.idle, longest(seen, idle, begin))
	w.clone = append(w.clone, longest(seen, begin, cut))
	from := begin
	if method != "THREAD" {
		from = cut
	}
	w.save = append(w.save, longest(seen, from, max(end, cut)))
}

// paced writes to both collections in turn at bigRate.
func (p *prober) paced(conn interface{ Write([]byte) (int, error) }, r *bufio.Reader, n int) error {
	var buf []byte
	for i := 0; !p.stop.Load() && len(p.seen[0]) < cap(p.seen[0]); i++ {
		due := time.Duration(i) * time.Second / bigRate
		for d := due - time.Since(p.begin); d > 0; d = due - time.Since(p.begin) {
			time.Sleep(d)
		}
		k := rand.IntN(n)
		if i%2 == 0 {
			buf = resp(buf[:0], "HSET", "hash", element(k), "value:"+strconv.Itoa(10_000_000+i))
		} else {
			buf = resp(buf[:0], "ZADD", "zset", strconv.Itoa(rand.IntN(n)), element(k))
		}
		sent := time.Since(p.begin)
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		reply, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(reply, []byte(":")) {
			return fmt.Errorf("a write was refused: %s", reply)
		}
		p.seen[0] = append(p.seen[0], request{sent, time.Since(p.begin)})
	}
	return nil
}
