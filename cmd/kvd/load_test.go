//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// background runs fn in n goroutines until the returned function is called,
// which waits for them and reports their errors.
func background(t testing.TB, n int, fn func(i int, stop *atomic.Bool) error) (end func()) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			if err := fn(i, &stop); err != nil {
				errs <- err
			}
		})
	}
	return sync.OnceFunc(func() {
		t.Helper()
		stop.Store(true)
		wg.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
	})
}

// pairWriter sets pairs of keys in different shards to equal values, by MSET
// and by transactions, and makes new pairs all the time, so that segments
// split. A dump that was not taken at one instant has a pair that differs.
func pairWriter(c *conn, seed uint64, next *atomic.Int64, stop *atomic.Bool) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for !stop.Load() {
		var b []byte
		replies := 0
		for range 8 {
			i := rnd.Int64N(max(next.Load(), 1))
			if rnd.IntN(4) == 0 {
				i = next.Add(1)
			}
			v := strconv.FormatUint(rnd.Uint64(), 36) + strings.Repeat("x", rnd.IntN(150))
			one, other := fmt.Sprint("a:", i), fmt.Sprint("b:", i)
			if rnd.IntN(2) == 0 {
				b = appendCommand(b, "MSET", one, v, other, v)
				replies++
				continue
			}
			b = appendCommand(b, "MULTI")
			b = appendCommand(b, "SET", other, v)
			b = appendCommand(b, "SET", one, v)
			b = appendCommand(b, "EXEC")
			replies += 4
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
		for range replies {
			raw, err := c.readRaw()
			if err != nil || raw[0] == '-' {
				return fmt.Errorf("%q %w", raw, err)
			}
		}
	}
	return nil
}

// checkPairs compares the pairs 0 … n on a server that has loaded a dump.
func checkPairs(t *testing.T, c *conn, n int64, what string) {
	t.Helper()
	found := 0
	for i := int64(0); i <= n; i += 100 {
		args := []string{"MGET"}
		for j := i; j < i+100; j++ {
			args = append(args, fmt.Sprint("a:", j), fmt.Sprint("b:", j))
		}
		values := strings.Fields(strings.Trim(c.do(args...), "[]"))
		for j := 0; j < len(values); j += 2 {
			if values[j] != values[j+1] {
				t.Fatalf("%s: pair %d differs: %.40q %.40q", what, i+int64(j/2), values[j], values[j+1])
			}
			if values[j] != "(nil)" {
				found++
			}
		}
	}
	if found == 0 {
		t.Errorf("%s has no pairs", what)
	}
}

// The cut is exact under load, for every engine.
func TestCutIsExact(t *testing.T) {
	t.Parallel()
	// Several loops: with a single one nothing else would run beside the command
	// that takes the cut.
	k := start(t, "--io-threads", "2")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "30000", "ballast", "100")
	var next atomic.Int64
	end := background(t, 6, func(i int, stop *atomic.Bool) error {
		w := k.tryDial()
		if w == nil {
			return fmt.Errorf("writer %d cannot connect", i)
		}
		return pairWriter(w, uint64(i), &next, stop)
	})
	defer end()
	dumps := map[string]string{}
	for round := range scaled(2, 20) {
		for _, kind := range engines {
			before := next.Load()
			within(t, "more pairs", func() bool { return next.Load() > before+50 })
			c.save(kind)
			name := fmt.Sprint(kind, round)
			dumps[name] = filepath.Join(shortDir(t), "dump.rdb")
			if err := os.Link(filepath.Join(k.dir, "dump.rdb"), dumps[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	end()
	k.kill()
	t.Logf("%d pairs", next.Load())
	for name, path := range dumps {
		loaded := startIn(t, filepath.Dir(path))
		checkPairs(t, loaded.dial(), next.Load(), name)
		loaded.kill()
	}
	for _, kind := range engines { // and Redis agrees
		path := dumps[kind+"0"]
		checkRDB(t, path)
		r := startRedis(t, filepath.Dir(path))
		checkPairs(t, r.dial(), next.Load(), kind+" on redis-server")
		r.kill()
	}
}

// Many saves while the collector runs without a pause and clients write: no
// child may hang, no save may fail.
func TestManySaves(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"fork", "thread"} {
		k := launch(t, shortDir(t), []string{"GOGC=1"}, "--save-child-timeout", "60", "--io-threads", "2")
		k.waitReady()
		c := k.dial()
		c.want("OK", "DEBUG", "POPULATE", "2000", "k", "100")
		var next atomic.Int64
		end := background(t, 3, func(i int, stop *atomic.Bool) error {
			w := k.tryDial()
			if w == nil {
				return fmt.Errorf("client %d cannot connect", i)
			}
			if i > 0 {
				return pairWriter(w, uint64(i), &next, stop)
			}
			for !stop.Load() { // makes garbage
				if _, err := w.tryRaw("INFO", "everything"); err != nil {
					return err
				}
				if next.Load() > 20_000 { // keeps the saves short, and the segments splitting
					next.Store(0)
					if _, err := w.tryRaw("FLUSHDB"); err != nil {
						return err
					}
				}
			}
			return nil
		})
		defer end()
		n := scaled(25, 2000)
		began := time.Now()
		for i := range n {
			if i%10 == 0 {
				before := next.Load()
				within(t, "writers", func() bool { return next.Load() != before })
			}
			c.wantMatch(`^Background saving started \(engine `, "BGSAVE", bgsaveWord[kind])
			if s := c.waitSaved(); s != "ok" {
				t.Fatalf("save %d by %s: %s", i, kind, c.info("rdb_last_error"))
			}
		}
		end()
		if kind == "fork" {
			if got := c.infoInt("total_forks"); got != int64(n) {
				t.Errorf("%d forks", got)
			}
		}
		t.Logf("%d saves by %s in %v", n, kind, time.Since(began).Round(time.Millisecond))
		k.kill()
	}
}

const mib = 1 << 20

func rss(t *testing.T, k *proc) int { return procField(t, k.pid(), "VmRSS") << 10 }

func TestEmptyServerIsSmall(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("PONG", "PING")
	within(t, "an empty server of at most 16 MiB", func() bool { return rss(t, k) <= 16*mib })
	time.Sleep(500 * time.Millisecond)
	within(t, "an empty server that stays so", func() bool { return rss(t, k) <= 16*mib })
	t.Logf("%.1f MiB", float64(rss(t, k))/mib)
}

func TestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	before := rss(t, k)
	for i, flush := range []string{"FLUSHALL", "FLUSHDB", "FLUSHALL"} {
		c.want("OK", "DEBUG", "POPULATE", "100000", "k", "1000")
		if i == 2 {
			c.save("thread")
			c.save("fork")
		}
		full := rss(t, k)
		if full < before+90*mib {
			t.Fatalf("only %d MiB with 100 MB stored", full/mib)
		}
		c.want("OK", flush)
		within(t, "the memory", func() bool { return rss(t, k) < before+24*mib })
		within(t, "used_memory after "+flush, func() bool { return c.infoInt("used_memory") <= 16*mib })
	}
}

// Go's heap does not grow with the data.
func TestGoHeapStaysSmall(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", strconv.Itoa(scaled(300_000, 5_000_000)), "k", "64")
	for _, kind := range engines {
		c.save(kind)
	}
	most := int64(12 * mib)
	if long() {
		most = 64 * mib
	}
	within(t, fmt.Sprint("a heap of ", most, " bytes"), func() bool {
		c.want("OK", "MEMORY", "PURGE") // collects
		return c.infoInt("mem_go_heap") <= most
	})
}

// cpuTime returns the CPU time of all threads of a process so far.
func cpuTime(t *testing.T, k *proc) time.Duration {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", k.pid()))
	var sum time.Duration
	for _, f := range files {
		b, _ := os.ReadFile(f)
		ns, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(n)
	}
	if len(files) == 0 {
		missing(t, "no schedstat")
	}
	return sum
}

func TestIdleServerSleeps(t *testing.T) {
	t.Parallel()
	k := start(t, "--save", "3600 1 300 100 60 10000")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "100000", "k", "64")
	c.save("fork")
	// On a busy machine a wake-up costs more, and what is left to do is done later.
	const span = 2 * time.Second
	share := 1.0
	for try := 0; share > 0.02 && try < 10; try++ {
		before := cpuTime(t, k)
		time.Sleep(span)
		share = float64(cpuTime(t, k)-before) / float64(span)
	}
	if share > 0.02 {
		t.Errorf("an idle server takes %.1f %% of a core", share*100)
	}
	t.Logf("%.2f %% of a core", share*100)
}
