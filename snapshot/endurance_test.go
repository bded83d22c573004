package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// children returns the processes whose parent is this one, zombies among them.
func children(t testing.TB) (list []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone
		}
		if parentOf(string(text)) == os.Getpid() {
			list = append(list, strings.TrimSpace(string(text))[:min(40, len(text)-1)])
		}
	}
	return list
}

// osThreads returns how many threads this process has.
func osThreads(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// usage is what must not grow.
type usage struct {
	files, goroutines, threads, maps int
	rss, used, deferred              int64
}

func (u usage) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines, %d threads, %d mappings, RSS %.1f MB, used memory %.1f MB, deferred %d B",
		u.files, u.goroutines, u.threads, u.maps, float64(u.rss)/(1<<20), float64(u.used)/(1<<20), u.deferred)
}

// measure returns the usage when nothing is under way any more.
func measure(t testing.TB, s *kv.Store) usage {
	t.Helper()
	within(t, "the end of all processes", func() bool { return len(children(t)) == 0 })
	within(t, "what a cut kept is freed", func() bool { return s.Memory().Deferred == 0 })
	runtime.GC()
	u := usage{files: descriptors(t), goroutines: runtime.NumGoroutine(), threads: osThreads(t)}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	u.maps = bytes.Count(maps, []byte("\n"))
	u.rss, _ = rollup(t)
	m := s.Memory()
	u.used, u.deferred = m.Used-m.GoHeap, m.Deferred
	return u
}

// exceeds returns what there is more of than before, "" if nothing.
func (u usage) exceeds(before usage) string {
	switch {
	case u.files > before.files || u.goroutines > before.goroutines:
		return "descriptors or goroutines"
	case u.threads > before.threads+20:
		return "threads"
	case u.maps > before.maps+60:
		return "mappings"
	case u.rss > before.rss+before.rss/10+24<<20:
		return "bytes of memory"
	case u.used > before.used+before.used/4+2<<20:
		return "bytes of the store"
	}
	return ""
}

// churn is the load: as many keys as there were before, of the same sizes, are
// replaced and deleted all the time. The writers can be made to rest.
type churn struct {
	quit   atomic.Bool
	gate   sync.RWMutex // held by whoever has them rest
	wg     sync.WaitGroup
	writes atomic.Int64
}

func startChurn(s *kv.Store, writers, keys int) *churn {
	c := &churn{}
	for w := range writers {
		c.wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			for !c.quit.Load() {
				c.gate.RLock()
				for range 20 {
					k := []byte(fmt.Sprintf("%d:%d", w, rng.IntN(keys)))
					value := bytes.Repeat([]byte{byte(rng.Int())}, 200)
					if rng.IntN(10) == 0 {
						s.DB(w % 3).Delete(k)
					} else if err := s.DB(w%3).Set(k, value); err != nil {
						panic(err)
					}
					c.writes.Add(1)
				}
				c.gate.RUnlock()
				time.Sleep(500 * time.Microsecond)
			}
		})
	}
	return c
}

func (c *churn) stop() {
	c.quit.Store(true)
	c.wg.Wait()
}

// tally counts how saves ended.
type tally struct {
	good, killed, cancelled, hooks int
	engines                        map[string]int
}

// saveSomehow makes one save of any kind, which ends in any way.
func saveSomehow(t *testing.T, r *rig, rng *rand.Rand, i int, c *tally) {
	t.Helper()
	kinds := []Engine{Fork, Thread, Copy, Auto}
	q := Request{Engine: kinds[i%4]}
	if fork.RaceEnabled && q.Engine == Fork {
		q.Engine = Thread
	}
	if rng.IntN(3) == 0 {
		q.Name = fmt.Sprint("name", rng.IntN(4))
	}
	if db := rng.IntN(3); rng.IntN(5) == 0 {
		q.DB = &db
	}
	how := rng.IntN(8)
	r.change(func(s *Settings) {
		s.Keep, s.Threads, s.NoCompress = rng.IntN(4), 1+rng.IntN(3), rng.IntN(2) == 0
		s.Verify = []VerifyMode{VerifyYes, VerifyFull, VerifyNo}[rng.IntN(3)]
		if s.RateLimit = 0; how <= 1 {
			s.Verify = VerifyYes              // it tells a good one from a cancelled one
			s.RateLimit = rng.Int64N(2) * 100 // every other one does not end by itself
		}
		s.WritePolicy = []kv.WritePolicy{kv.WriteValues, kv.WriteInPlace, kv.WritePathCopy}[rng.IntN(3)]
		if s.Hook = ""; rng.IntN(20) == 0 {
			s.Hook = []string{"true", "exit 3", "sleep 0.01 & echo done"}[rng.IntN(3)]
			c.hooks++
		}
	})
	if _, err := r.Manager.Start(q); err != nil {
		t.Fatalf("save %d: %v", i, err)
	}
	pause := time.Duration(rng.IntN(1<<rng.IntN(12))) * time.Microsecond
	switch pid := r.Info().ChildPID; {
	case how == 0 && pid != 0:
		killChild(pid, pause)
	case how <= 1:
		time.Sleep(pause)
		if err := r.Cancel(); err != nil && !errors.Is(err, ErrNoSave) {
			t.Errorf("save %d: %v", i, err)
		}
	}
	r.wait()
	switch in := r.Info(); {
	case strings.Contains(in.LastError, "signal 9"):
		c.killed++
	case !in.LastBgsaveOK:
		t.Fatalf("save %d: %+v", i, in)
	case how <= 1 && in.LastVerified == "no":
		c.cancelled++
	default:
		c.good++
	}
	c.engines[r.Info().LastType]++
}

// killChild kills a child of this process, if it still is one.
func killChild(pid int, after time.Duration) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || parentOf(string(stat)) != os.Getpid() {
		return // it may be somebody else's by now
	}
	time.Sleep(after)
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}

// parentOf returns the parent in the text of a process' stat file, 0 if there is none.
func parentOf(stat string) int {
	_, after, _ := strings.Cut(stat, ") ")
	f := strings.Fields(after)
	if len(f) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(f[1])
	return pid
}

// Thousands of saves, killed and cancelled among them, of every engine to every
// place, leave nothing behind. With KVD_LONG=1 they are 10,000.
func TestNothingLeaks(t *testing.T) {
	const keys, writers, warm = 400, 3, 30
	saves := 120
	if os.Getenv("KVD_LONG") == "1" {
		saves = 10_000
	}
	s := openStore(t, kv.Options{})
	value := bytes.Repeat([]byte{'v'}, 200)
	for w := range writers {
		for i := range keys {
			set(t, s, w%3, fmt.Sprintf("%d:%d", w, i), string(value), 0)
		}
	}
	r := newRig(t, s, Auto)
	r.Manager.o.Log = slog.New(slog.DiscardHandler) // it would grow
	r.Run()
	load := startChurn(s, writers, keys)
	defer load.stop()
	rng := rand.New(rand.NewPCG(1, 5))
	count := &tally{engines: map[string]int{}}
	rested := func() usage {
		load.gate.Lock()
		defer load.gate.Unlock()
		return measure(t, s)
	}
	var before usage
	begun := time.Now()
	most := 0
	for i := range saves + warm {
		if i == warm {
			before, begun = rested(), time.Now()
		}
		saveSomehow(t, r, rng, i, count)
		most = max(most, osThreads(t))
		if i%1000 == 999 {
			t.Logf("after %d: %v", i+1, rested())
		}
	}
	took := time.Since(begun)
	after := rested()
	for end := time.Now().Add(patience / 3); after.exceeds(before) != "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		after = rested() // a goroutine may be about to end, and a collection be due
	}
	t.Logf("%d saves in %.1f s (%v; %d good, %d killed, %d cancelled, %d with a hook) beside %d writes", saves, took.Seconds(),
		count.engines, count.good, count.killed, count.cancelled, count.hooks, load.writes.Load())
	t.Logf("before: %v", before)
	t.Logf("after:  %v; at most %d threads", after, most)
	if what := after.exceeds(before); what != "" {
		t.Error(what + " have leaked")
	}
	switch {
	case most > before.threads+40:
		t.Error("threads have leaked")
	case count.good < saves/2 || count.cancelled == 0 || count.killed == 0 && !fork.RaceEnabled || count.hooks == 0:
		t.Error("not all kinds of ends were seen")
	case len(count.engines) < 3 && !fork.RaceEnabled:
		t.Error("not all engines were seen")
	}
	noTemps(t, r.dir)
	r.change(func(s *Settings) { s.Keep, s.RateLimit = 2, 0 })
	r.start("")
	if in := r.wait(); !in.LastBgsaveOK {
		t.Errorf("%+v", in)
	}
	r.Close()
	load.stop()
	var kinds []string
	list, err := r.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		kinds = append(kinds, info.Kind)
		readDump(t, filepath.Join(r.dir, info.File))
	}
	if files, _ := os.ReadDir(r.dir); len(files) != len(list) {
		t.Errorf("%d files, %d of them are snapshots", len(files), len(list))
	}
	slices.Sort(kinds)
	if text := strings.Join(slices.Compact(kinds), " "); text != "default kept named" || len(list) > 4+3+2+1 {
		t.Errorf("%d snapshots: %s", len(list), text)
	}
}
