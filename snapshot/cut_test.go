package snapshot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// The load of this test. Keys a:w:i and b:w:i of database 0 (in different
// shards, mostly) are always written, deleted and given an expiry together.
// With each step the writer notes in database 1 how many changes it has made in
// all, this step included: in a dump they must add up to what the cut says.
type hammer struct {
	s    *kv.Store
	quit atomic.Bool
	wg   sync.WaitGroup
}

const hammerPairs = 400

// Each writer rests after some writes, or the saver, which is nice, would get hardly any of the processors.
const (
	restAfter = 16
	rest      = 100 * time.Microsecond
)

func startHammer(s *kv.Store, writers int) *hammer {
	h := &hammer{s: s}
	for w := range writers {
		h.wg.Go(func() { h.write(w) })
	}
	h.wg.Go(h.flush)
	h.wg.Go(h.grow)
	h.wg.Go(func() {
		for !h.quit.Load() {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	})
	return h
}

func (h *hammer) stop() {
	h.quit.Store(true)
	h.wg.Wait()
}

func (h *hammer) write(w int) {
	r := rand.New(rand.NewPCG(uint64(w), 1))
	seq, changes := []byte(fmt.Sprint("seq:", w)), int64(0)
	for n := 1; !h.quit.Load(); n++ {
		if n%restAfter == 0 {
			time.Sleep(rest)
		}
		i := r.IntN(hammerPairs)
		a, b := []byte(fmt.Sprintf("a:%d:%d", w, i)), []byte(fmt.Sprintf("b:%d:%d", w, i))
		err := h.s.Update([][]byte{a, b, seq}, func(tx *kv.Tx) error {
			if r.IntN(8) == 0 {
				for _, k := range [][]byte{a, b} {
					if tx.Delete(0, k) {
						changes++
					}
				}
			} else {
				v := strings.Repeat(strconv.Itoa(r.Int()), 1+r.IntN(4)*r.IntN(40))
				at := int64(0)
				if r.IntN(4) == 0 {
					at = tx.Now() + int64(r.IntN(300))
				}
				for _, k := range [][]byte{a, b} {
					if err := tx.SetString(0, k, []byte(v), kv.EncRaw, at); err != nil {
						return err
					}
					changes++
				}
			}
			changes++
			return tx.SetString(1, seq, strconv.AppendInt(nil, changes, 10), kv.EncInt, 0)
		})
		if err != nil {
			panic(err)
		}
	}
}

func (h *hammer) flush() {
	tx, changes := h.s.NewTx(), int64(0)
	for !h.quit.Load() {
		time.Sleep(20 * time.Millisecond)
		tx.LockAll()
		changes += tx.FlushDB(0) + 1
		err := tx.SetString(1, []byte("seq:flush"), strconv.AppendInt(nil, changes, 10), kv.EncInt, 0)
		tx.Unlock()
		if err != nil {
			panic(err)
		}
	}
}

// growTo is how many keys there are in database 2 when it begins anew.
const growTo = 15_000

// grow adds keys to database 2, so that segments grow and split, and begins anew
// when they are many.
func (h *hammer) grow() {
	seq, changes, tx := []byte("seq:grow"), int64(0), h.s.NewTx()
	for n := 1; !h.quit.Load(); n++ {
		if n%restAfter == 0 {
			time.Sleep(rest)
		}
		if n%growTo == 0 {
			tx.LockAll()
			changes += tx.FlushDB(2) + 1
			err := tx.SetString(1, seq, strconv.AppendInt(nil, changes, 10), kv.EncInt, 0)
			tx.Unlock()
			if err != nil {
				panic(err)
			}
			continue
		}
		key := strconv.AppendInt([]byte("grow:"), int64(n), 10)
		if err := h.s.Update([][]byte{key, seq}, func(tx *kv.Tx) error {
			changes += 2
			if err := tx.SetString(2, key, key, kv.EncEmbstr, 0); err != nil {
				return err
			}
			return tx.SetString(1, seq, strconv.AppendInt(nil, changes, 10), kv.EncInt, 0)
		}); err != nil {
			panic(err)
		}
	}
}

// verify checks all that must hold in a dump of the cut at which the store had
// seen this many changes, by the latest at the time (Unix ms) when.
func verify(t *testing.T, path string, changes, when int64) (pairs int) {
	t.Helper()
	return verifyItems(t, readDump(t, path), changes, when)
}

func verifyItems(t *testing.T, got map[place]item, changes, when int64) (pairs int) {
	t.Helper()
	sum := int64(0)
	for p, it := range got {
		if p.db == 1 {
			n, err := strconv.ParseInt(it.value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
			continue
		}
		if p.db == 2 {
			if p.key != it.value {
				t.Fatalf("%s has %+v", p.key, it)
			}
			continue
		}
		other := "b" + p.key[1:]
		if p.key[0] == 'b' {
			other = "a" + p.key[1:]
		}
		twin, ok := got[place{p.db, other}]
		gone := it.expire != 0 && it.expire <= when // the sweep takes them one by one
		if ok && twin != it || !ok && !gone {
			t.Fatalf("%s has %+v, %s has %+v (%v)", p.key, it, other, twin, ok)
		}
		if ok {
			pairs++
		}
	}
	if sum != changes {
		t.Fatalf("the keys in the dump tell of %d changes, the cut of %d", sum, changes)
	}
	return pairs
}

// Under load every dump is the state at one instant, and says exactly which.
func TestCutIsExact(t *testing.T) {
	d := 300 * time.Millisecond
	if os.Getenv("KVD_LONG") == "1" {
		d = time.Minute
	}
	for _, engine := range engines() {
		t.Run(engine.String(), func(t *testing.T) {
			s := openStore(t, kv.Options{})
			h := startHammer(s, 8)
			defer h.stop()
			path := filepath.Join(t.TempDir(), "dump.rdb")
			saves, pairs := 0, 0
			begun := time.Now()
			for more := true; more; saves++ {
				res, err := Save(context.Background(), s, path, Options{Engine: engine, Threads: 3})
				if err != nil {
					t.Fatal(err)
				}
				pairs += verify(t, path, res.Changes, time.Now().UnixMilli())
				took := time.Since(begun) // a busy machine may take the first cuts before there is a pair
				more = took < d || saves < 5 || pairs == 0 && took < patience
			}
			if pairs == 0 {
				t.Error("no pairs in any dump")
			}
			t.Logf("%d saves, %d pairs", saves, pairs)
		})
	}
}

// Many saves in a row under load and permanent garbage collection: none hangs,
// none fails. With KVD_LONG=1 they are 2,000 of each engine.
func TestManySaves(t *testing.T) {
	saves := 10
	if os.Getenv("KVD_LONG") == "1" {
		saves = 2000
	}
	for _, engine := range background() {
		t.Run(engine.String(), func(t *testing.T) {
			s := openStore(t, kv.Options{})
			h := startHammer(s, 2)
			defer h.stop()
			h.wg.Go(func() {
				for !h.quit.Load() {
					runtime.GC()
					time.Sleep(rest)
				}
			})
			forker := fork.New()
			defer forker.Close()
			path := filepath.Join(t.TempDir(), "dump.rdb")
			for i := range saves {
				sv, err := begin(s, path, Options{Engine: engine, NoIncrementalFsync: true, Threads: 1 + i%3}, forker)
				if err != nil {
					t.Fatal(err)
				}
				res, err := sv.finish(context.Background())
				if err != nil {
					t.Fatalf("save %d: %v", i, err)
				}
				if i%10 == 0 {
					verify(t, path, res.Changes, time.Now().UnixMilli())
				}
			}
		})
	}
}
