package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// blockSize is the size of the values of these tests, in bytes.
const blockSize = 64 << 10

// blockStore returns a store of incompressible values.
func blockStore(t testing.TB, megabytes int) *kv.Store {
	s := openStore(t, kv.Options{})
	value := noise(blockSize)
	for i := range megabytes << 20 / blockSize {
		set(t, s, i%2, fmt.Sprint("block:", i), value, 0)
	}
	return s
}

// replacers replace the values of a blockStore, one after the other, in steps, and
// never more than they are allowed to: who watches them may be late.
type replacers struct {
	step       func()       // what comes after each step
	bytes      int          // of a step
	most       atomic.Int64 // bytes that may be written in all
	quit, held atomic.Bool
	written    atomic.Int64 // bytes
	heldTimes  atomic.Int64
	wg         sync.WaitGroup
}

// newReplacers returns some that write step bytes a millisecond at most, and most in all.
func newReplacers(step int, most int64) *replacers {
	w := &replacers{bytes: step, step: func() { time.Sleep(time.Millisecond) }}
	w.most.Store(most)
	return w
}

// noEnd is for newReplacers.
const noEnd = 1 << 60

// replace starts them on a blockStore of so many megabytes.
func (w *replacers) replace(s *kv.Store, megabytes int) {
	if megabytes == 0 {
		return
	}
	value := noise(blockSize)
	w.wg.Go(func() {
		for i := 0; !w.quit.Load(); {
			for n := 0; n < w.bytes && !w.held.Load() && w.written.Load() < w.most.Load(); n += blockSize {
				n := i % (megabytes << 20 / blockSize)
				if err := s.DB(n%2).Set([]byte(fmt.Sprint("block:", n)), []byte(value)); err != nil {
					panic(err)
				}
				i++
				w.written.Add(blockSize)
			}
			w.step()
		}
	})
}

// follow has them wait after each step until the watcher of a save, which throttles,
// has looked. What it says they overwrite, and put it back in the end.
func (w *replacers) follow(sv *saving) {
	const unseen = -1
	w.step = func() {
		if w.held.Load() {
			time.Sleep(time.Millisecond)
			return
		}
		said := sv.throttled.Swap(unseen)
		for !w.quit.Load() && sv.throttled.Load() == unseen {
			time.Sleep(time.Millisecond)
		}
		sv.throttled.CompareAndSwap(unseen, said)
	}
}

func (w *replacers) stop() {
	w.quit.Store(true)
	w.wg.Wait()
}

// hold is for HoldWrites.
func (w *replacers) hold(on bool) {
	if w.held.Swap(on) == on {
		panic("HoldWrites says the same twice")
	}
	if on {
		w.heldTimes.Add(1)
	}
}

// limited returns those engines that a limit concerns.
func limited() []Engine {
	if fork.RaceEnabled {
		return []Engine{Thread}
	}
	return []Engine{Fork, Thread}
}

// A save that comes to its limit is given up; all that can be seen tells so, and
// the next save point tries the other engine, once.
func TestLimitAborts(t *testing.T) {
	const megabytes, step = 96, 8 * blockSize
	for _, engine := range limited() {
		s := blockStore(t, megabytes)
		r := newRig(t, s, engine)
		r.change(func(s *Settings) { s.MemoryLimit, s.RateLimit, s.NoCompress = 1, 1<<10, true })

		// The writers are held through the Manager, and let go.
		w := newReplacers(step, noEnd)
		w.replace(s, megabytes)
		r.o.HoldWrites = w.hold
		r.change(func(s *Settings) { s.Overrun = OverrunThrottle })
		r.start("")
		within(t, "the hold of writers", func() bool { return r.Info().CurrentThrottled > 0.5 && w.heldTimes.Load() > 0 })
		if err := r.Cancel(); err != nil || w.held.Load() || r.Info().CurrentThrottled != 0 || !r.Info().LastBgsaveOK {
			t.Errorf("%v: %v, held: %v; %+v", engine, err, w.held.Load(), r.Info())
		}
		w.stop()
		r.o.HoldWrites = nil

		intact := oldDump(t, r.path())
		r.change(func(s *Settings) { s.Overrun, s.SavePoints = OverrunAbort, []SavePoint{{60, 1}} })
		const limit = MinMemoryLimit        // what 1 is raised to
		const most = limit + 16<<20         // more is not written, however late the watcher comes
		w = newReplacers(step, int64(most)) // most of which is kept
		tidyHeap()
		r.start(engine.String())
		if in := r.Info(); in.CurrentLimitBytes != limit || in.CurrentThrottled != 0 {
			t.Errorf("%v: %+v", engine, in)
		}
		w.replace(s, megabytes)
		in := r.wait()
		w.stop()
		var used, named int64
		_, text, _ := strings.Cut(in.LastError, "the extra memory of the save (")
		if n, err := fmt.Sscanf(text, "engine "+engine.String()+", %d bytes) has come to the limit of save-memory-limit (%d bytes)",
			&used, &named); n != 2 {
			t.Fatalf("%v: the error is %q: %v", engine, in.LastError, err)
		}
		if !in.LastLimitReached || in.LastBgsaveOK || named != limit || used < limit || in.LastVerified != "no" ||
			in.LastExtraMemoryPeak < used || in.LastExtraMemoryPeak > limit+48<<20 {
			t.Errorf("%v: %+v", engine, in)
		}
		t.Logf("%v: given up at %.1f MB, peak %.1f MB", engine, float64(used)/(1<<20), float64(in.LastExtraMemoryPeak)/(1<<20))
		intact()
		in = r.Info()
		if got := r.WriteDenied(); got != in.LastError {
			t.Errorf("%v: denied %q", engine, got)
		}
		r.change(func(s *Settings) { s.StopWritesOnError = false })
		if got := r.WriteDenied(); got != "" {
			t.Errorf("%v: denied %q", engine, got)
		}
		r.logged("Background saving error (engine "+engine.String()+", asked for by BGSAVE)", "save-memory-limit (67108864 bytes)")

		for i := range megabytes << 20 / blockSize { // what follows needs no such amount
			s.DB(i % 2).Delete([]byte(fmt.Sprint("block:", i)))
		}
		r.change(func(s *Settings) { s.RateLimit, s.Verify = 0, VerifyNo })
		other, why := Fork, "the last save, by thread, reached save-memory-limit"
		if engine == Fork {
			other, why = Thread, "the last save, by fork, reached save-memory-limit"
		}
		if fork.RaceEnabled {
			other, why = Thread, "this program cannot fork"
		}
		db := 1 // a small save beside it is no reason to try it again
		if _, err := r.Manager.Start(Request{Engine: engine, DB: &db}); err != nil {
			t.Fatal(err)
		}
		r.wait()
		r.clock.Add(70)
		r.cron()
		in = r.wait()
		if in.LastType != other.String() || in.LastReason != "1 changes in 60 seconds" || !strings.HasPrefix(in.LastAutoReason, why) ||
			!in.LastBgsaveOK || in.LastLimitReached || in.LastError != "" || r.WriteDenied() != "" || in.LastVerified != "no" {
			t.Errorf("%v: the next save: %+v", engine, in)
		}
		r.logged("engine " + other.String() + ", chosen since " + why)
		set(t, s, 0, "one", "change", 0)
		r.clock.Add(70)
		r.cron()
		if in = r.wait(); in.LastType != engine.String() || !in.LastBgsaveOK || in.ChangesSinceLastSave != 0 {
			t.Errorf("%v: the one after that: %+v", engine, in)
		}
		r.Close()
	}
}

// limitedRun is a save with a limit of its own, which Settings would raise, and the
// writers beside it.
type limitedRun struct {
	sv     *saving
	w      *replacers
	forker *fork.Forker
	path   string
	intact func()
}

// startLimited takes the cut; the writers are not at work yet.
func startLimited(t *testing.T, s *kv.Store, w *replacers, o Options) *limitedRun {
	t.Helper()
	l := &limitedRun{path: filepath.Join(t.TempDir(), "dump.rdb"), forker: fork.New(), w: w}
	t.Cleanup(l.forker.Close)
	l.intact = oldDump(t, l.path)
	o.NoCompress, o.HoldWrites = true, w.hold
	tidyHeap()
	var err error
	if l.sv, err = begin(s, l.path, o, l.forker); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLimitAtOnce: the first look at which the limit is reached ends the save, by engines whose memory is counted;
// what the kernel copied is looked up when it may be as much, and 15 ms later at the latest.
func TestLimitAtOnce(t *testing.T) {
	const megabytes = 12
	const limit, step = 6 << 20, blockSize
	s := blockStore(t, megabytes)
	for _, engine := range limited() {
		l := startLimited(t, s, newReplacers(0, 0), Options{Engine: engine, MemoryLimit: limit, RateLimit: 1 << 10})
		now := time.Now()
		w := &watcher{s: l.sv, looked: now, faults: minorFaults()}
		value := []byte(noise(blockSize))
		for n := 0; l.sv.failure.Load() == nil; n++ {
			if n == megabytes<<20/step {
				t.Fatalf("%v: everything was replaced, and nothing happened", engine)
			}
			if err := s.DB(n%2).Set([]byte(fmt.Sprint("block:", n)), value); err != nil {
				t.Fatal(err)
			}
			now = now.Add(watchInterval)
			w.look(now)
		}
		_, err := l.sv.finish(context.Background())
		var le *LimitError
		if !errors.As(err, &le) || le.Engine != engine || le.Limit != limit || le.Used < limit {
			t.Fatalf("%v: %v", engine, err)
		}
		most := int64(limit + step + 1024) // a step, and the index
		if engine == Fork {
			most += step + 2<<20 // one more, and what is copied of the rest of the process
		}
		if le.Used > most {
			t.Errorf("%v: given up at %d, with a limit of %d", engine, le.Used, limit)
		}
		l.intact()
	}
}

// Writers that wait when they are told to keep the save at its limit; whatever
// becomes of it, they are let go.
func TestLimitThrottles(t *testing.T) {
	const megabytes = 24
	const limit, step = 8 << 20, 1 << 20
	s := blockStore(t, megabytes)
	o := Options{MemoryLimit: limit, Overrun: OverrunThrottle}
	start := func() *limitedRun {
		l := startLimited(t, s, newReplacers(step, noEnd), o)
		l.w.follow(l.sv)
		l.w.replace(s, megabytes)
		return l
	}
	for _, engine := range limited() {
		o.Engine, o.RateLimit = engine, 32<<20
		for try := 1; ; try++ { // the save may be over before its watcher has looked often enough
			l := start()
			res, err := l.sv.finish(context.Background())
			l.w.stop()
			what := fmt.Sprintf("%v: %+v %v, held %d times, extra %.1f MB", engine, res, err, l.w.heldTimes.Load(), float64(res.Extra)/(1<<20))
			if err != nil || l.w.held.Load() || res.Extra > limit+8<<20 || l.sv.throttled.Load() != 0 {
				t.Error(what)
			}
			if n := len(readDump(t, l.path)); int64(n) != res.Keys {
				t.Errorf("%v: %d keys, want %d", engine, n, res.Keys)
			}
			if l.w.heldTimes.Load() > 0 && res.Extra >= limit*3/4 {
				break
			}
			if try == 10 {
				t.Fatal(what)
			}
		}

		ends := map[string]func(l *limitedRun, cancel func()){
			"cancelled": func(_ *limitedRun, cancel func()) { cancel() },
			"killed":    func(l *limitedRun, _ func()) { _ = syscall.Kill(l.sv.job.Pid(), syscall.SIGKILL) },
			"error":     func(l *limitedRun, _ func()) { _ = l.sv.crew.file.fail(syscall.EIO) },
		}
		for what, end := range ends {
			if engine == Fork && what == "error" || engine == Thread && what == "killed" {
				continue
			}
			if o.RateLimit = 1 << 10; what == "error" { // it does not end by itself
				o.RateLimit = 1 << 19 // but the lanes come to look for errors
			}
			l := start()
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error)
			go func() { _, err := l.sv.finish(ctx); ended <- err }()
			within(t, "writers wait for longer and longer", func() bool { return l.sv.throttled.Load() >= 900 })
			end(l, cancel)
			err := <-ended
			l.w.stop()
			if err == nil || l.w.held.Load() || l.sv.throttled.Load() != 0 {
				t.Errorf("%v, %s: %v, writers held: %v, throttled %d", engine, what, err, l.w.held.Load(), l.sv.throttled.Load())
			}
			cancel()
			l.intact()
		}
	}
}

// The share of the time that writers wait grows from three quarters of the limit on.
func TestThrottleShare(t *testing.T) {
	held, ticks := false, 0
	w := &watcher{s: &saving{o: Options{Engine: Thread, MemoryLimit: 1000, Overrun: OverrunThrottle, HoldWrites: func(on bool) { held = on }}}}
	last := -1
	for used := int64(0); used <= 1200; used += 50 {
		ticks = 0
		for range 1000 {
			w.limit(used)
			if held {
				ticks++
			}
		}
		want := min(max(0, 4*int(used)-3000), 1000)
		if ticks < want-2 || ticks > want+2 || ticks < last || w.s.throttled.Load() > int64(want) || w.s.throttled.Load() < int64(want)-1 {
			t.Errorf("at %d of 1000 writers wait %d ticks of 1000, want %d; said %d", used, ticks, want, w.s.throttled.Load())
		}
		last = ticks
	}
	w.hold(false)
	w.s.o.HoldWrites = nil // nobody to slow down: the save is given up
	if w.limit(1000); w.s.failure.Load() == nil {
		t.Error("nothing happens at the limit")
	}
}

// Below the limit nothing is done but to hurry, once, at half of it; some engines
// have no limit.
func TestLimitHurries(t *testing.T) {
	for _, engine := range []Engine{Thread, Copy, Foreground} {
		sv := &saving{o: Options{Engine: engine, MemoryLimit: 1000}}
		w := &watcher{s: sv}
		w.limit(499)
		if w.hurried {
			t.Errorf("%v: hurried at once", engine)
		}
		w.limit(999)
		if w.hurried != (engine == Thread) || sv.failure.Load() != nil {
			t.Errorf("%v: hurried %v", engine, w.hurried)
		}
		w.limit(1000)
		why := sv.failure.Load()
		if (why != nil) != (engine == Thread) || sv.stop.Load() != (engine == Thread) {
			t.Errorf("%v: at the limit: %v", engine, why)
		}
		if sv.o.MemoryLimit = 0; engine == Copy {
			w.limit(1 << 40)
		}
	}
	const megabytes = 24
	s := blockStore(t, megabytes)
	for _, engine := range limited() {
		// They stop between half of the limit and the whole.
		l := startLimited(t, s, newReplacers(2*blockSize, 16<<20), Options{Engine: engine, MemoryLimit: 28 << 20, RateLimit: 1 << 10,
			Threads: 1, ChildNice: 5})
		l.w.replace(s, megabytes)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { _, err := l.sv.finish(ctx); ended <- err }()
		within(t, "hurry", func() bool {
			if engine == Fork {
				return syscall.Geteuid() != 0 || niceness(t, l.sv.job.Pid()) == niceness(t, syscall.Getpid())
			}
			l.sv.crew.mu.Lock()
			defer l.sv.crew.mu.Unlock()
			return l.sv.crew.hurrying && l.sv.crew.working == 2
		})
		cancel()
		l.w.stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v", engine, err)
		}
		l.intact()
	}
}

// A disk that stands still does not let the memory grow: when the save is given up,
// nothing more is kept for it but what the lanes at work have.
func TestLimitWithStuckDisk(t *testing.T) {
	const megabytes = 32
	const limit = 4 << 20
	s := blockStore(t, megabytes)
	for _, at := range []string{"head", "shards"} {
		const before = limit + 4<<20 // is written before the save is given up
		l := startLimited(t, s, newReplacers(2*blockSize, before), Options{Engine: Thread, MemoryLimit: limit, Threads: 1})
		l.w.replace(s, megabytes)
		file := l.sv.crew.file
		stuck := make(chan struct{})
		if at == "head" {
			file.mu.Lock()
			close(stuck)
		} else {
			file.window.pace.rate = 1 << 40
			file.paceMu.Lock() // lanes wait for the pace: the head is written in one piece and waits too
			go func() {
				for file.size() == 0 {
					time.Sleep(time.Millisecond)
				}
				file.mu.Lock() // after the head, a lane gets no place
				file.paceMu.Unlock()
				close(stuck)
			}()
		}
		ended := make(chan error)
		go func() { _, err := l.sv.finish(context.Background()); ended <- err }()
		// Until the crew knows that the save is given up, writers keep what they replace.
		within(t, "the limit", func() bool {
			l.sv.crew.mu.Lock()
			defer l.sv.crew.mu.Unlock()
			return l.sv.failure.Load() != nil && l.sv.crew.err != nil
		})
		<-stuck
		l.w.most.Store(before + 2*megabytes<<20)
		within(t, "all values to be replaced", func() bool { return l.w.written.Load() == l.w.most.Load() })
		_, peak := l.sv.view.ExtraBytes()
		now, _ := l.sv.view.ExtraBytes()
		t.Logf("%s: %.1f MB are kept, %.1f MB at the peak", at, float64(now)/(1<<20), float64(peak)/(1<<20))
		if peak > limit+10<<20 || now > 4<<20 {
			t.Errorf("%s: %.1f MB are kept, %.1f MB at the peak", at, float64(now)/(1<<20), float64(peak)/(1<<20))
		}
		select {
		case err := <-ended:
			t.Errorf("%s: ended while the disk stood still: %v", at, err)
		default:
		}
		file.mu.Unlock()
		var limitError *LimitError
		if err := <-ended; !errors.As(err, &limitError) || limitError.Limit != limit {
			t.Errorf("%s: %v", at, err)
		}
		l.w.stop()
		l.intact()
	}
}

// Page faults, of which any may be a copy for the child, make the watcher look it up;
// they are no reason to give up.
func TestLimitIsNotGuessed(t *testing.T) {
	withoutFork(t)
	s := openStore(t, kv.Options{})
	for i := range 10_000 {
		set(t, s, 0, fmt.Sprint("key:", i), "value", 0)
	}
	l := startLimited(t, s, newReplacers(0, 0), Options{Engine: Fork, MemoryLimit: MinMemoryLimit, RateLimit: 1000})
	now := time.Now()
	w := &watcher{s: l.sv, looked: now, faults: minorFaults() - 1_000_000}
	for tick := time.Duration(1); tick < 4; tick++ {
		w.look(now.Add(tick * watchInterval))
		if why := l.sv.failure.Load(); why != nil {
			t.Fatalf("after %d ticks: %v", tick, *why)
		}
	}
	if !w.looked.After(now) || l.sv.copied.Load() == 0 {
		t.Error("it has not been looked up")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.sv.finish(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.intact()
}

// A save that has written everything when the limit is reached is none to give up.
func TestLimitTooLate(t *testing.T) {
	s := openStore(t, kv.Options{})
	set(t, s, 0, "a", "b", 0)
	for _, engine := range limited() {
		l := startLimited(t, s, newReplacers(0, 0), Options{Engine: engine})
		if engine == Fork {
			<-l.sv.job.Done()
		}
		err := error(&LimitError{Engine: engine})
		l.sv.failure.Store(&err)
		if res, err := l.sv.finish(context.Background()); err != nil || res.Keys != 1 {
			t.Errorf("%v: %+v %v", engine, res, err)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct{ limit, data, want int64 }{
		{0, 1 << 40, 0},
		{0, 0, 0},
		{1, 1 << 40, MinMemoryLimit},
		{MinMemoryLimit + 1, 0, MinMemoryLimit + 1},
		{1 << 40, 1, 1 << 40},
		{-25, 0, MinMemoryLimit},
		{-25, 4*MinMemoryLimit + 400, MinMemoryLimit + 100},
		{-25, 4*MinMemoryLimit - 400, MinMemoryLimit},
		{-100, 1 << 40, 1 << 40},
		{-250, 1 << 40, 5 << 39},
		{-1, 1 << 62, 1 << 62 / 100},
	} {
		s := Settings{MemoryLimit: c.limit}
		if got := s.memoryLimit(c.data); got < c.want-c.want>>40 || got > c.want+c.want>>40 {
			t.Errorf("limit %d with %d bytes of data: %d, want %d", c.limit, c.data, got, c.want)
		}
	}
	if o := (&Settings{MemoryLimit: -50, Overrun: OverrunThrottle}).options(Thread, 1<<30); o.MemoryLimit != 1<<29 || o.Overrun != OverrunThrottle {
		t.Errorf("%+v", o)
	}
}
