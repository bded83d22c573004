package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// noise returns n bytes that do not compress.
func noise(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return string(b)
}

// lanesStore returns a store with keys in all databases, small and larger than
// any buffer, of which each shard has some.
func lanesStore(t *testing.T) *kv.Store {
	s := openStore(t, kv.Options{})
	future := time.Now().Add(time.Hour).UnixMilli()
	for i := range 16_000 {
		set(t, s, i%16, fmt.Sprint("key:", i), strings.Repeat(fmt.Sprint("v", i), i%60), []int64{0, 0, future}[i%3])
	}
	big := noise(5 << 20)
	for i := range 8 {
		if i < 2 {
			set(t, s, i%16, fmt.Sprint("big:", i), big[i:], 0)
		}
		set(t, s, i%16, fmt.Sprint("edge:", i), big[:bufferSize-40+4*i], future)
	}
	return s
}

// The blocks of several lanes make one standard file, whichever lane was first.
func TestLanes(t *testing.T) {
	s := lanesStore(t)
	want := contents(s)
	check := oracle(t, "redis-check-rdb")
	for _, engine := range []Engine{Thread, Copy} {
		for _, o := range []Options{{Threads: 1}, {Threads: 3}, {Threads: 1000}, {Threads: 3, NoCompress: true, NoChecksum: true, NoIncrementalFsync: true}} {
			path := filepath.Join(t.TempDir(), "dump.rdb")
			o.Engine = engine
			forker := fork.New()
			sv, err := begin(s, path, o, forker)
			if err != nil {
				t.Fatal(err)
			}
			go sv.hurry()
			res, err := sv.finish(context.Background())
			forker.Close()
			if err != nil {
				t.Fatal(err)
			}
			if info, _ := os.Stat(path); info.Size() != res.Bytes || res.Keys != int64(len(want)) {
				t.Errorf("%v: %+v, the file has %d bytes, the store %d keys", engine, res, info.Size(), len(want))
			}
			if !maps.Equal(readDump(t, path), want) {
				t.Errorf("%v: the file differs from the store", engine)
			}
			if out, err := exec.Command(check, path).CombinedOutput(); err != nil || !strings.Contains(string(out), "RDB looks OK") {
				t.Errorf("%v: %v\n%s", engine, err, out)
			}
		}
	}
	dir := t.TempDir()
	if _, err := Save(context.Background(), s, filepath.Join(dir, "dump.rdb"), Options{Engine: Thread, Threads: 3}); err != nil {
		t.Fatal(err)
	}
	c := startRedis(t, dir)
	for db := range 16 {
		c.Do("SELECT", db)
		n, _ := c.Do("DBSIZE")
		if keys := s.DB(db).Len(); n != keys {
			t.Errorf("Redis has %v keys in database %d, want %d", n, db, keys)
		}
	}
}

// A lane whose write fails ends the save, and the error is that one alone.
func TestLaneWriteError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dump.rdb")
	intact := oldDump(t, path)
	s := bulkStore(t, 8)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	limited := was
	limited.Cur = 5 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &was)
	before := descriptors(t)
	for _, engine := range engines() {
		_, err := Save(context.Background(), s, path, Options{Engine: engine, Threads: 3})
		if !errors.Is(err, unix.EFBIG) || strings.Count(err.Error(), "file too large") != 1 || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: %v", engine, err)
		}
		intact()
	}
	sameDescriptors(t, before)
}

// One database alone is saved, and counted.
func TestSaveOneDB(t *testing.T) {
	s, all := mixedStore(t)
	for _, engine := range engines() {
		for _, db := range []int{0, 2, 7, 11, 15} {
			want := maps.Clone(all)
			maps.DeleteFunc(want, func(p place, _ item) bool { return p.db != db })
			path := filepath.Join(t.TempDir(), "dump.rdb")
			res, err := Save(context.Background(), s, path, Options{Engine: engine, DB: &db, Threads: 3})
			if err != nil {
				t.Fatal(err)
			}
			if got := readDump(t, path); !maps.Equal(got, want) || res.Keys != int64(len(want)) {
				t.Errorf("%v: %d keys of database %d in the file, %d reported, want %d", engine, len(got), db, res.Keys, len(want))
			}
		}
		for _, db := range []int{-1, 16} {
			path := filepath.Join(t.TempDir(), "dump.rdb")
			if _, err := Save(context.Background(), s, path, Options{Engine: engine, DB: &db}); !errors.Is(err, ErrNoDB) ||
				!strings.Contains(err.Error(), "DB index is out of range") {
				t.Errorf("%v, database %d: %v", engine, db, err)
			}
			noTemps(t, filepath.Dir(path))
		}
	}
}

// A file grows at the rate that is asked for, the child is not taken for dead, and
// a save that waits can be cancelled.
func TestRateLimit(t *testing.T) {
	big := noise(2 << 20)
	for _, engine := range []Engine{Fork, Thread, Foreground} {
		if engine == Fork && fork.RaceEnabled {
			continue
		}
		t.Run(engine.String(), func(t *testing.T) {
			t.Parallel() // it mostly waits
			s := openStore(t, kv.Options{})
			for i := range 150 {
				set(t, s, 0, fmt.Sprint("key:", i), big[i*10_000:][:9_980-i], 0)
			}
			set(t, s, 0, "big", big, 0) // a record in pieces, which waits with the file locked
			path := filepath.Join(t.TempDir(), "dump.rdb")
			o := Options{Engine: engine, Threads: 3, RateLimit: 5_000_000}
			begun := time.Now()
			res, err := Save(context.Background(), s, path, o)
			want := time.Duration(res.Bytes * int64(time.Second) / o.RateLimit)
			// TestPace says how exact it is where nothing else needs the processors.
			if took := time.Since(begun); err != nil || took < want*8/10 || took > want+patience {
				t.Errorf("%v for %d bytes, want %v: %v", took, res.Bytes, want, err)
			}

			// A byte a second: the child is asleep for longer than the watchdog allows. On a busy machine it may
			// stand still for so long though it is not, and the end may come late, but not every time.
			o.RateLimit, o.ChildTimeout = 1, 200*time.Millisecond
			for begun = time.Now(); ; {
				ctx, cancel := context.WithCancel(context.Background())
				var cancelled time.Time
				timer := time.AfterFunc(400*time.Millisecond, func() { cancelled = time.Now(); cancel() })
				_, err = Save(ctx, s, path, o)
				if timer.Stop() {
					cancel() // it has not come so far
				}
				<-ctx.Done()
				late := time.Since(cancelled)
				noTemps(t, filepath.Dir(path))
				if errors.Is(err, context.Canceled) && late < 250*time.Millisecond {
					break
				}
				if time.Since(begun) > patience {
					t.Fatalf("%v after %v", err, late)
				}
			}
		})
	}
}

func TestPace(t *testing.T) {
	p := pace{rate: 1000}
	if n := p.piece(1 << 20); n != 50 {
		t.Errorf("pieces of %d", n)
	}
	if n := (&pace{rate: 3}).piece(100); n != 1 {
		t.Errorf("pieces of %d", n)
	}
	now, waited := 10*time.Second, time.Duration(0) // idle time before is not made up for
	for range 100 {
		d := p.book(now, 50)
		now, waited = now+d, waited+d
	}
	if want := 100*50*time.Millisecond - paceCredit; waited < want-51*time.Millisecond || waited > want {
		t.Errorf("5,000 bytes waited %v", waited)
	}
}

// hurry adds one lane, at whatever time, and it does its share.
func TestHurry(t *testing.T) {
	s := bulkStore(t, 4)
	forker := fork.New()
	defer forker.Close()
	sv, err := begin(s, filepath.Join(t.TempDir(), "dump.rdb"), Options{Engine: Thread, Threads: 1, RateLimit: 10_000}, forker)
	if err != nil {
		t.Fatal(err)
	}
	working := func() int {
		sv.crew.mu.Lock()
		defer sv.crew.mu.Unlock()
		return sv.crew.working
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { _, err := sv.finish(ctx); ended <- err }()
	// A buffer holds a thousand keys, and is longer on its way than anything is waited for.
	within(t, "the first lane works", func() bool { return working() == 1 && sv.keys.Load() > 800 })
	sv.hurry()
	sv.hurry()
	if n := working(); n != 2 {
		t.Errorf("%d lanes at work", n)
	}
	within(t, "the added lane has encoded", func() bool { return sv.keys.Load() > 1600 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	sv.hurry() // the end
}

// The shard that retains most is saved first, and a lane allocates nothing.
func TestNextShard(t *testing.T) {
	s := bulkStore(t, 2)
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for i := range 20 {
		set(t, s, i%2, fmt.Sprint("bulk:", i), noise(1000), 0)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	sv := &saving{dump: dump{view: v, only: -1, sized: make([]bool, s.Databases())}}
	c := newCrew(&sv.dump, &laneFile{f: null, stop: &sv.stop, checksum: true}, make([]byte, 2*bufferSize), 2,
		rdb.EncoderOptions{Compress: true, Checksum: true}, &sv.keys, &sv.stop)
	c.taken = make([]bool, v.Shards())
	last := int64(1) << 60
	for shard := c.next(); shard >= 0; shard = c.next() {
		n := v.Retained(shard)
		if n > last {
			t.Errorf("shard %d retains %d, the one before %d", shard, n, last)
		}
		last = n
	}
	if last != 0 {
		t.Errorf("the last shard retains %d", last)
	}
	for shard, taken := range c.taken {
		if !taken {
			t.Errorf("shard %d is left", shard)
		}
	}
	if n := leastAllocs(5, func() {
		for shard := range v.Shards() {
			if err := c.writeShard(c.lanes[0], shard); err != nil {
				t.Error(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d bytes", n, c.file.size())
	}
	if c.file.size() < 10<<20 {
		t.Errorf("%d bytes", c.file.size())
	}
}
