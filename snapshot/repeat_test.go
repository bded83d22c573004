package snapshot

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// meter counts how long writes took, by phase, in buckets that are 1/16 wide at
// most. It takes no memory that would show in the process'.
type meter struct {
	phase  atomic.Int32
	counts [3][64 * 16]atomic.Int64
}

const (
	idle = iota
	save
	recollapse
)

func (m *meter) add(d time.Duration) {
	n := uint64(max(d, 16))
	k := bits.Len64(n) - 5
	m.counts[m.phase.Load()][k*16+int(n>>k)].Add(1)
}

// text returns the quantiles of a phase.
func (m *meter) text(phase int) string {
	total, late := int64(0), int64(0)
	for i := range m.counts[phase] {
		n := m.counts[phase][i].Load()
		if total += n; bucketTime(i) > time.Millisecond {
			late += n
		}
	}
	at := func(q float64) (d time.Duration) {
		left := int64(q * float64(total-1))
		for i := range m.counts[phase] {
			if n := m.counts[phase][i].Load(); n > 0 {
				if d = bucketTime(i); left < n {
					return d
				}
				left -= n
			}
		}
		return d
	}
	return fmt.Sprintf("%d writes, p50 %v, p99 %v, p99.9 %v, max %v, %d over 1 ms", total, at(.5), at(.99), at(.999), at(1), late)
}

// bucketTime returns where a bucket begins.
func bucketTime(i int) time.Duration {
	k := max(i/16-1, 0)
	return time.Duration(i-k*16) << k
}

// fillRandom sets n keys to values of 300 random bytes.
func fillRandom(t testing.TB, s *kv.Store, n int) {
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 300)
	for i := range n {
		for k := 0; k < len(value); k += 8 {
			x := rng.Uint64()
			for j := k; j < min(k+8, len(value)); j++ {
				value[j] = byte(x)
				x >>= 8
			}
		}
		if err := s.DB(0).Set(strconv.AppendInt(nil, int64(i), 10), value); err != nil {
			t.Fatal(err)
		}
	}
}

// writeSteadily has 8 writers write rate random keys a second in all, until the
// returned function is called.
func writeSteadily(s *kv.Store, keys, rate int, m *meter) (stop func()) {
	var done atomic.Bool
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			value := bytes.Repeat([]byte{byte(w)}, 300)
			start, sent := time.Now(), 0
			for !done.Load() {
				for due := int(time.Since(start).Seconds() * float64(rate) / 8); sent < due; sent++ {
					key := strconv.AppendInt(nil, rng.Int64N(int64(keys)), 10)
					begun := time.Now()
					_ = s.DB(0).Set(key, value) // a lost write shows in the counts
					m.add(time.Since(begun))
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() { done.Store(true); wg.Wait() }
}

// rollup returns Rss and AnonHugePages of this process, in bytes.
func rollup(t testing.TB) (rss, huge int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "Rss:":
			rss = n << 10
		case "AnonHugePages:":
			huge = n << 10
		}
	}
	return rss, huge
}

// TestForkSavesInARow saves again and again while the store is written, and
// wants huge pages and memory to be as before in the end. KVD_LONG=1 makes it 3
// million keys, 8,000 writes a second and ten saves, and looks at the clone too.
func TestForkSavesInARow(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("fork is not available under the race detector")
	}
	long := os.Getenv("KVD_LONG") != ""
	keys, saves, rate := 200_000, 3, 50_000
	if long {
		keys, saves, rate = 3_000_000, 10, 8_000
	}
	s := openStore(t, kv.Options{})
	needRecollapse(t, s)
	s.SetRecollapseRate(1 << 30)
	if long {
		s.SetRecollapseRate(kv.DefaultRecollapseRate)
	}
	fillRandom(t, s, keys)
	o := ManagerOptions{Store: s, Settings: func() Settings {
		return Settings{Dir: t.TempDir(), Filename: "dump.rdb", NoCompress: true, Verify: VerifyNo}
	}}
	m := NewManager(o)
	defer m.Close()
	saveOnce := func() Info {
		if _, err := m.Start(Request{Engine: Fork}); err != nil {
			t.Fatal(err)
		}
		for m.Info().BgsaveInProgress {
			time.Sleep(time.Millisecond)
		}
		in := m.Info()
		if in.LastError != "" {
			t.Fatal(in.LastError)
		}
		return in
	}
	var quiet []int64 // clones when nothing was written yet
	for range 3 {
		quiet = append(quiet, saveOnce().LatestForkUsec)
	}
	rss, huge := rollup(t)
	t.Logf("before: RSS %d MB, huge pages %d MB, clones %v us", rss>>20, huge>>20, quiet)

	figures := &meter{}
	stop := writeSteadily(s, keys, rate, figures)
	var busy []int64
	split := false
	for i := 0; i < saves || !split && i < 10*saves; i++ { // the writers may not be fast enough for a save
		figures.phase.Store(save)
		joined := s.Memory().Recollapsed
		in := saveOnce()
		busy = append(busy, in.LatestForkUsec)
		_, after := rollup(t)
		figures.phase.Store(recollapse)
		begun := time.Now()
		split = awaitRecollapse(t, s, joined) || split
		took := time.Since(begun)
		figures.phase.Store(idle)
		time.Sleep(100 * time.Millisecond)
		rss, huge := rollup(t)
		t.Logf("save %d: clone %d us, copied %d MB, huge pages %d MB; after %v: huge pages %d MB, RSS %d MB", i+1, busy[i],
			in.LastCOWBytes>>20, after>>20, took.Round(time.Millisecond), huge>>20, rss>>20)
	}
	stop()
	for phase, name := range []string{"idle", "save", "recollapse"} {
		t.Logf("%s: %s", name, figures.text(phase))
	}
	mem := s.Memory()
	rss2, huge2 := rollup(t)
	for end := time.Now().Add(patience); (mem.HugeShare < 0.95 || huge2 < huge*95/100) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		mem = s.Memory()
		rss2, huge2 = rollup(t)
	}
	t.Logf("joined %d MB, longest step %v", mem.Recollapsed>>20, mem.RecollapseLongest)
	switch {
	case !split:
		t.Error("no write split a huge page: the test shows nothing")
	case mem.HugeShare < 0.95 || huge2 < huge*95/100:
		t.Errorf("%d MB of huge pages were %d MB; share of the store %.3f", huge2>>20, huge>>20, mem.HugeShare)
	case long && rss2 > rss*105/100:
		t.Errorf("RSS has grown from %d to %d MB", rss>>20, rss2>>20)
	case long && median(busy[len(busy)-3:])*10 > median(quiet)*13:
		t.Errorf("clones took %v us, the last ones %v", quiet, busy)
	}
}

func median(n []int64) int64 { return slices.Sorted(slices.Values(n))[len(n)/2] }

// needRecollapse skips where huge pages stay split, or fails where everything must
// be there.
func needRecollapse(t *testing.T, s *kv.Store) {
	t.Helper()
	why := s.RecollapseOff()
	if _, err := os.Stat("/proc/self/smaps_rollup"); why == "" && err != nil {
		why = err.Error()
	}
	switch {
	case why == "":
	case os.Getenv("KVD_REQUIRE_ORACLES") == "1":
		t.Fatal("huge pages stay split here: ", why)
	default:
		t.Skip("huge pages stay split here: ", why)
	}
}

// awaitRecollapse waits until no huge page is split any more, and tells whether
// any was since so many bytes had been joined.
func awaitRecollapse(t *testing.T, s *kv.Store, before int64) bool {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		// The search begins a moment after the save: wait for a first step.
		m := s.Memory()
		if m.RecollapsePending == 0 && (m.Recollapsed > before || time.Until(deadline) < 58*time.Second) {
			return m.Recollapsed > before
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes still wait", m.RecollapsePending)
		}
	}
}
