//go:build linux

package spine

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

var debugCommands = []string{"--enable-debug-command", "yes"}

// writers SET random keys, some of them new, until they are stopped.
type writers struct {
	hold    sync.RWMutex // held for reading while a batch is under way
	stopped atomic.Bool
	wg      sync.WaitGroup
	sets    atomic.Int64
	errs    [2]error
}

// write starts writers on a server that holds n keys.
func (s *server) write(n int) *writers {
	s.h.Helper()
	w := &writers{}
	for i := range w.errs {
		conn := s.dial()
		w.wg.Go(func() {
			defer func() { _ = conn.Close() }()
			value, buf := randomValues(), []byte(nil)
			for !w.stopped.Load() && w.errs[i] == nil {
				buf = buf[:0]
				for range batch {
					buf = appendSet(buf, rand.IntN(n+n/10), value)
				}
				w.errs[i] = w.batch(conn, buf)
			}
		})
	}
	return w
}

func (w *writers) batch(conn net.Conn, buf []byte) error {
	w.hold.RLock()
	defer w.hold.RUnlock()
	if _, err := conn.Write(buf); err != nil {
		return err
	}
	w.sets.Add(batch)
	return readOKs(conn, batch)
}

func (w *writers) stop(h *harness) {
	h.Helper()
	w.stopped.Store(true)
	w.wg.Wait()
	for _, err := range w.errs {
		h.must(err)
	}
}

// measureDump takes a dump that redis-server made through kvd and back. Its
// rows count the keys that came through; what differs fails the run.
func measureDump(h *harness) []row {
	n := h.count(dataSet)
	redis := h.redis(h.dir(), debugCommands...)
	defer redis.Kill()
	redis.fill(0, n/2, randomValues())
	redis.fill(n/2, n, textValues())
	redis.do("SAVE")
	want := redis.do("DEBUG", "DIGEST")
	redis.Kill()

	kvd := h.kvd(h.dirWith(redis.dumpFile()), debugCommands...)
	defer kvd.Kill()
	if got := kvd.do("DEBUG", "DIGEST"); got != want {
		h.Fatalf("kvd's digest of redis-server's dump is %s, redis-server's %s", got, want)
	}
	rows := []row{{name: "dump of redis-server in kvd: same digest", unit: "keys", kvd: dbsize(kvd), redis: float64(n)}}
	w := kvd.write(n)
	for _, m := range kvd.saveMethods() {
		before := w.sets.Load()
		_, wait := kvd.bgsave(m)
		took := wait()
		sets := w.sets.Load() - before
		h.run("redis-check-rdb", kvd.dumpFile())
		rows = append(rows,
			row{name: fmt.Sprintf("%s under writes: redis-check-rdb passes; save time", word(m)), unit: "s", kvd: took.Seconds()},
			row{name: fmt.Sprintf("%s under writes: SETs meanwhile", word(m)), unit: "SETs", kvd: float64(sets)})
	}
	for _, m := range kvd.saveMethods() {
		rows = append(rows, heldCut(kvd, w, m))
	}
	w.stop(h)
	return rows
}

// heldCut holds the writers around the cut only: they go on while the dump is
// written, and what they write then must not be in it.
func heldCut(kvd *server, w *writers, method string) row {
	h := kvd.h
	h.Helper()
	w.hold.Lock()
	want, keys := kvd.do("DEBUG", "DIGEST"), dbsize(kvd)
	_, wait := kvd.bgsave(method)
	w.hold.Unlock()
	wait()
	redis := h.redis(h.dirWith(kvd.dumpFile()), debugCommands...)
	defer redis.Kill()
	if got := redis.do("DEBUG", "DIGEST"); got != want {
		h.Fatalf("BGSAVE %s: redis-server's digest of the dump is %s, kvd's at the cut %s", method, got, want)
	}
	return row{name: fmt.Sprintf("%s under writes, dump in redis-server: same digest as at the cut", word(method)),
		unit: "keys", kvd: keys, redis: dbsize(redis)}
}

func dbsize(s *server) float64 {
	s.h.Helper()
	var n float64
	_, err := fmt.Sscan(s.do("DBSIZE"), &n)
	s.h.must(err)
	return n
}
