package snapshot

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// storm is more load than a hammer: beside writes, deletions and expiries there
// are transactions over many keys and databases, SWAPDB, FLUSHALL, which cancels the
// save, and the loading of other snapshots.
//
//	databases 0, 1, 2   as for a hammer; 1 has the counts of changes
//	3                   transactions: all keys have the same value
//	4, 5                one has keys "even", the other "odd"; they change places
//	6                   what was loaded: keys of one generation
//
// FLUSHALL deletes the counts too. It notes all changes until then as one, and
// an epoch, in which every writer counts from 0.
type storm struct {
	s      *kv.Store
	dir    string
	quit   atomic.Bool
	wg     sync.WaitGroup
	cancel atomic.Pointer[context.CancelFunc] // of the save in progress
	mayEnd atomic.Bool                        // there was a save that came to its end since one was cancelled

	epoch   int64      // guarded by all locks of the store
	loading sync.Mutex // held while database 6 is loaded, and by FLUSHALL
	counted atomic.Int64
	flushes atomic.Int64
	loads   atomic.Int64
}

const (
	stormKeys  = 60 // of a transaction, of each of the databases 4 and 5
	stormLoads = 150
)

func startStorm(t *testing.T, s *kv.Store) *storm {
	h := &storm{s: s, dir: t.TempDir()}
	tx := s.NewTx()
	tx.LockAll()
	h.refill(tx)
	tx.Unlock()
	for w := range 3 {
		h.wg.Go(func() { h.write(w) })
	}
	for _, fn := range []func(){h.transact, h.swap, h.flush, h.load} {
		h.wg.Go(fn)
	}
	return h
}

func (h *storm) stop() {
	h.quit.Store(true)
	h.wg.Wait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// counter is how many changes a writer made in an epoch, and where it says so.
type counter struct {
	key        []byte
	epoch, sum int64
}

// note notes n more changes, that of the note included; the Tx holds the key.
func (h *storm) note(tx *kv.Tx, c *counter, n int64) {
	if c.epoch != h.epoch {
		c.epoch, c.sum = h.epoch, 0
	}
	c.sum += n + 1
	must(tx.SetString(1, c.key, strconv.AppendInt(nil, c.sum, 10), kv.EncInt, 0))
}

func (h *storm) write(w int) {
	r := rand.New(rand.NewPCG(uint64(w), 3))
	c := counter{key: []byte(fmt.Sprint("seq:", w))}
	for n := 1; !h.quit.Load(); n++ {
		if n%restAfter == 0 {
			time.Sleep(rest)
		}
		i := r.IntN(hammerPairs)
		a, b := []byte(fmt.Sprintf("a:%d:%d", w, i)), []byte(fmt.Sprintf("b:%d:%d", w, i))
		grown := []byte(fmt.Sprintf("grow:%d:%d", w, r.IntN(20_000)))
		must(h.s.Update([][]byte{a, b, grown, c.key}, func(tx *kv.Tx) error {
			n := int64(1)
			must(tx.SetString(2, grown, grown, kv.EncEmbstr, 0))
			v := strings.Repeat(strconv.Itoa(r.Int()), 1+r.IntN(4)*r.IntN(60))
			at := int64(0)
			if r.IntN(4) == 0 {
				at = tx.Now() + int64(r.IntN(100))
			}
			remove, expire := r.IntN(8) == 0, r.IntN(8) == 0
			for _, k := range [][]byte{a, b} {
				switch {
				case remove:
					if tx.Delete(0, k) {
						n++
					}
				default:
					must(tx.SetString(0, k, []byte(v), kv.EncRaw, at))
					if n++; expire && tx.SetExpire(0, k, tx.Now()+100_000) {
						n++
					}
				}
			}
			h.note(tx, &c, n)
			return nil
		}))
	}
}

// transact is MULTI: a value in all keys, or none of them.
func (h *storm) transact() {
	c := counter{key: []byte("seq:multi")}
	keys := [][]byte{c.key}
	for i := range stormKeys {
		keys = append(keys, []byte(fmt.Sprint("multi:", i)))
	}
	for n := 0; !h.quit.Load(); n++ {
		must(h.s.Update(keys, func(tx *kv.Tx) error {
			changes := int64(0)
			value := []byte(strings.Repeat(fmt.Sprint(n, " "), 1+n%600))
			for _, k := range keys[1:] {
				if n%5 == 4 {
					if tx.Delete(3, k) {
						changes++
					}
					continue
				}
				changes++
				must(tx.SetString(3, k, value, kv.EncRaw, 0))
			}
			h.note(tx, &c, changes)
			return nil
		}))
		time.Sleep(time.Duration(n%3) * time.Millisecond)
	}
}

func (h *storm) swap() {
	c := counter{key: []byte("seq:swap")}
	tx := h.s.NewTx()
	for !h.quit.Load() {
		time.Sleep(3 * time.Millisecond)
		tx.LockAll()
		tx.SwapDB(4, 5)
		h.note(tx, &c, 1)
		tx.Unlock()
	}
}

// refill makes the databases 4 and 5, and sums up all changes so far. All locks
// are held.
func (h *storm) refill(tx *kv.Tx) {
	for i := range stormKeys {
		must(tx.SetString(4, []byte(fmt.Sprint("even:", i)), []byte("v"), kv.EncEmbstr, 0))
		must(tx.SetString(5, []byte(fmt.Sprint("odd:", i)), []byte("v"), kv.EncEmbstr, 0))
	}
	h.epoch++
	must(tx.SetString(1, []byte("seq:base"), strconv.AppendInt(nil, h.s.Changes()+1, 10), kv.EncInt, 0))
	h.counted.Store(0)
}

// flush is FLUSHALL.
func (h *storm) flush() {
	tx := h.s.NewTx()
	for !h.quit.Load() {
		time.Sleep(70 * time.Millisecond)
		h.loading.Lock()
		if cancel := h.cancel.Load(); cancel != nil && h.flushes.Load()%2 == 0 && h.mayEnd.Swap(false) {
			(*cancel)()
		}
		tx.LockAll()
		tx.FlushAll()
		h.refill(tx)
		tx.Unlock()
		h.flushes.Add(1)
		h.loading.Unlock()
	}
}

// load loads a generation after the other. Its file says how many changes that
// will have been.
func (h *storm) load() {
	for n := 0; !h.quit.Load(); n++ {
		h.loading.Lock()
		changes := h.counted.Load() + h.s.Len(6) + stormLoads + 1
		path := filepath.Join(h.dir, "load.rdb")
		sink := &bytesSink{}
		e := rdb.NewEncoder(make([]byte, 1<<16), rdb.EncoderOptions{Checksum: true, Compress: true})
		e.Reset(sink)
		must(e.Header())
		must(e.SelectDB(1)) // nobody asks for this
		must(e.String([]byte("seq:0"), []byte("nonsense"), 0))
		must(e.SelectDB(9))
		for i := range stormLoads {
			must(e.String([]byte(fmt.Sprint("load:", i)), []byte(strings.Repeat(fmt.Sprint(n, " "), 1+n%7*i)), 0))
		}
		must(e.String([]byte("seq:load"), []byte(fmt.Sprint(changes)), 0))
		must(e.Footer())
		must(os.WriteFile(path, sink.b, 0o600))
		only := 9
		_, err := Restore(context.Background(), h.s, path, RestoreOptions{Only: &only, Into: 6})
		must(err)
		h.counted.Store(changes)
		h.loads.Add(1)
		h.loading.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
}

// verifyStorm checks all that must hold in a dump of a storm.
func verifyStorm(t *testing.T, path string, changes int64) (pairs int) {
	t.Helper()
	got := readDump(t, path)
	swaps, _ := strconv.Atoi(got[place{1, "seq:swap"}].value) // 2 at a time
	names := [2]string{"even:", "odd:"}
	counts := map[int]int{}
	values := map[int]string{}
	for p, it := range got {
		if p.db < 3 {
			continue
		}
		counts[p.db]++
		delete(got, p)
		switch {
		case p.key == "seq:load":
			got[place{1, p.key}] = it
			continue
		case p.db == 3:
		case p.db == 4 || p.db == 5:
			if want := names[(p.db+swaps/2)%2]; !strings.HasPrefix(p.key, want) {
				t.Fatalf("after %d swaps database %d has %s", swaps/2, p.db, p.key)
			}
		case p.db == 6 && it.value != "":
			it.value, _, _ = strings.Cut(it.value, " ")
		}
		if v, ok := values[p.db]; ok && v != it.value {
			t.Fatalf("database %d has values %q and %q", p.db, v, it.value)
		}
		values[p.db] = it.value
	}
	for db, want := range map[int]int{3: stormKeys, 4: stormKeys, 5: stormKeys, 6: stormLoads + 1} {
		if n := counts[db]; n != want && (n != 0 || db == 4 || db == 5) {
			t.Fatalf("database %d has %d keys, want %d", db, n, want)
		}
	}
	return verifyItems(t, got, changes, time.Now().UnixMilli())
}

// Whatever happens, and however it is held still, a dump is the state at one instant.
func TestCutInStorm(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	d := 200 * time.Millisecond
	if os.Getenv("KVD_LONG") == "1" {
		d = 30 * time.Second
	}
	options := []Options{}
	for _, engine := range engines() {
		switch engine {
		case Fork:
			for _, policy := range []kv.WritePolicy{kv.WriteValues, kv.WriteInPlace, kv.WritePathCopy} {
				options = append(options, Options{Engine: engine, WritePolicy: policy})
			}
		case Foreground:
			options = append(options, Options{Engine: engine})
		default:
			options = append(options, Options{Engine: engine, Threads: 1}, Options{Engine: engine, Threads: 3})
		}
	}
	for _, o := range options {
		o.Verify = VerifyFull
		t.Run(fmt.Sprintf("%v-%d-%d", o.Engine, o.WritePolicy, o.Threads), func(t *testing.T) {
			s := openStore(t, kv.Options{})
			h := startStorm(t, s)
			defer h.stop()
			path := filepath.Join(t.TempDir(), "dump.rdb")
			saves, cancelled, pairs := 0, 0, 0
			begun := time.Now()
			for took := time.Duration(0); took < d || saves < 4 || h.loads.Load() < 2 || h.flushes.Load() < 2 ||
				pairs == 0 && took < patience; took = time.Since(begun) {
				ctx, cancel := context.WithCancel(context.Background())
				h.cancel.Store(&cancel)
				res, err := Save(ctx, s, path, o)
				h.cancel.Store(nil)
				cancel()
				if errors.Is(err, context.Canceled) {
					cancelled++
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				saves++
				h.mayEnd.Store(true)
				pairs += verifyStorm(t, path, res.Changes)
			}
			if pairs == 0 {
				t.Error("no pairs in any dump")
			}
			t.Logf("%d saves, %d cancelled, %d pairs, %d flushes, %d loads", saves, cancelled, pairs, h.flushes.Load(), h.loads.Load())
		})
	}
}

// A save of one database is of the same instant as one of all.
func TestCutOfOneDatabase(t *testing.T) {
	for _, engine := range engines() {
		s := openStore(t, kv.Options{})
		h := startHammer(s, 4)
		path := filepath.Join(t.TempDir(), "dump.rdb")
		pairs := 0
		// A busy machine may take the first cuts before the writers have made a pair.
		for i, end := 0, time.Now().Add(patience); i < 6 || pairs == 0 && time.Now().Before(end); i++ {
			db := i % 3
			res, err := Save(context.Background(), s, path, Options{Engine: engine, DB: &db, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			got := readDump(t, path)
			for p := range got {
				if p.db != db {
					t.Fatalf("database %d has been saved, not only %d", p.db, db)
				}
			}
			if int64(len(got)) != res.Keys {
				t.Errorf("%d keys, want %d", len(got), res.Keys)
			}
			if db == 1 {
				verifyItems(t, got, res.Changes, 0) // the counts tell of all databases
				continue
			}
			got[place{1, "seq"}] = item{fmt.Sprint(res.Changes), 0}
			pairs += verifyItems(t, got, res.Changes, time.Now().UnixMilli())
		}
		h.stop()
		if pairs == 0 {
			t.Errorf("%v: no pairs", engine)
		}
	}
}
