package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// childSum is a forked child that waits until it is told to go on, and then adds
// up what its View holds.
type childSum struct {
	job  *fork.Job
	view *kv.View
}

// The figures of the page.
const (
	figureGo = iota
	figureSum
)

// sumEntry returns a number for a key and its value that cannot be told from
// random; the sum of those of all keys tells a store's content.
func sumEntry(db int, key, value []byte, expireAt int64) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h = (h ^ uint64(db)) * 1099511628211
	h = (h ^ uint64(expireAt)) * 1099511628211
	for ; len(value) >= 8; value = value[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(value))*1099511628211, 29)
	}
	for _, b := range value {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h ^ h>>29
}

// sumStore returns the number of keys of a store that nobody writes, and the sum
// of their numbers.
func sumStore(t *testing.T, s *kv.Store) (keys int64, sum uint64) {
	t.Helper()
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeLocked})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var e kv.Entry
	return sumView(v, &e)
}

func sumView(v *kv.View, e *kv.Entry) (keys int64, sum uint64) {
	for shard := range v.Shards() {
		for w := v.Walk(shard); w.Next(e); keys++ {
			sum += sumEntry(e.DB, e.Key, e.Value, e.ExpireAt)
		}
	}
	return keys, sum
}

// forkSum takes a ModeFork View and has a child wait with it.
func forkSum(t *testing.T, s *kv.Store, forker *fork.Forker, policy kv.WritePolicy) *childSum {
	t.Helper()
	tidyHeap()
	c := &childSum{}
	var entry kv.Entry // not on the child's stack, where it would have to be moved
	var err error
	c.job, err = forker.Prepare(fork.Options{Timeout: 2 * patience, Body: func(p *fork.Page) int32 {
		for p.Figures[figureGo].Load() == 0 {
			fork.RawSleep(time.Millisecond)
			p.Beat()
		}
		n, sum := sumView(c.view, &entry)
		p.Figures[figureSum].Store(sum)
		p.Keys.Store(n)
		return 0
	}})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeFork, WritePolicy: policy,
		Around: func(v *kv.View, hold func() error, release func()) error {
			c.view = v
			return c.job.Fork(hold, release)
		}})
	if err != nil {
		c.job.Close()
		t.Fatal(err)
	}
	c.view = v
	return c
}

// finish lets the child go on and ends the View. It returns what the child saw
// and the bytes that the kernel copied for it.
func (c *childSum) finish(t *testing.T) (keys int64, sum uint64, copied int64) {
	t.Helper()
	c.job.Page().Figures[figureGo].Store(1)
	r := c.job.Wait()
	c.job.Close()
	c.view.Close()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Keys, r.Figures[figureSum], r.Copied
}

// changer changes random keys in all ways.
type changer struct {
	s    *kv.Store
	rng  *rand.Rand
	keys int
	size int // of values
}

func (c *changer) change(t *testing.T) {
	t.Helper()
	key := strconv.AppendInt(nil, int64(c.rng.IntN(c.keys)), 10)
	err := c.s.Update([][]byte{key}, func(tx *kv.Tx) error {
		at := kv.NoExpiry
		if c.rng.IntN(4) == 0 {
			at = tx.Now() + 1e9 + c.rng.Int64N(1e6)
		}
		switch op := c.rng.IntN(10); {
		case op < 7:
			value := bytes.Repeat([]byte{byte(c.rng.Int())}, c.size)
			if c.rng.IntN(50) == 0 {
				value = bytes.Repeat(value, 1+c.rng.IntN(20))
			}
			return tx.SetString(0, key, value, kv.EncRaw, at)
		case op < 8:
			tx.Delete(0, key)
		case op < 9 && at != kv.NoExpiry:
			tx.SetExpire(0, key, at)
		default:
			it, ok := tx.Peek(0, key)
			if !ok {
				return nil
			}
			v, err := tx.EditString(0, key, len(it.Value)+c.rng.IntN(3))
			if len(v) > 0 {
				v[0]++
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWritePolicies: under each policy the child sees the cut whatever is written
// meanwhile, and the kernel copies most when everything is written in place.
func TestWritePolicies(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("fork is not available under the race detector")
	}
	forker := fork.New()
	defer forker.Close()
	least := map[kv.WritePolicy]int64{} // of the copied bytes, some of which are the Go heap's
	for _, policy := range []kv.WritePolicy{kv.WriteValues, kv.WriteInPlace, kv.WritePathCopy} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			s := openStore(t, kv.Options{})
			fillRandom(t, s, 40_000)
			c := &changer{s, rand.New(rand.NewPCG(1, uint64(policy))), 50_000, 300}
			for range 3 {
				keys, sum := sumStore(t, s)
				child := forkSum(t, s, forker, policy)
				for range 10_000 {
					c.change(t)
				}
				gotKeys, gotSum, n := child.finish(t)
				if gotKeys != keys || gotSum != sum {
					t.Fatalf("the child saw %d keys, sum %x; the cut had %d, %x", gotKeys, gotSum, keys, sum)
				}
				if was, ok := least[policy]; !ok || n < was {
					least[policy] = n
				}
				if err := s.Check(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Logf("copied: values %d KB, in place %d KB, path-copy %d KB",
		least[kv.WriteValues]>>10, least[kv.WriteInPlace]>>10, least[kv.WritePathCopy]>>10)
	if max(least[kv.WriteValues], least[kv.WritePathCopy])*3 > least[kv.WriteInPlace]*2 {
		t.Error("writing in place does not cost more than not to")
	}
}

// TestReserveIsInTheNextChild: what was written to the reserve beside one child, and
// not moved since, is in the cut of the next.
func TestReserveIsInTheNextChild(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("fork is not available under the race detector")
	}
	forker := fork.New()
	defer forker.Close()
	for _, policy := range []kv.WritePolicy{kv.WriteValues, kv.WritePathCopy} {
		s := openStore(t, kv.Options{})
		c := &changer{s, rand.New(rand.NewPCG(3, uint64(policy))), 100_000, 1500}
		value := make([]byte, c.size)
		for i := range c.keys {
			if err := s.DB(0).Set(strconv.AppendInt(nil, int64(i), 10), value); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 3 {
			keys, sum := sumStore(t, s)
			child := forkSum(t, s, forker, policy)
			before := s.Memory()
			if before.Reserve == 0 || before.Reserve > before.Entries/50 {
				t.Fatalf("a reserve of %d KB for %d KB", before.Reserve>>10, before.Entries>>10)
			}
			for range 4_000 {
				c.change(t)
			}
			if m := s.Memory(); m.Reserve >= before.Reserve {
				t.Fatal("the reserve is not used")
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			gotKeys, gotSum, copied := child.finish(t) // the next cut comes at once
			if gotKeys != keys || gotSum != sum {
				t.Fatalf("policy %d, round %d: the child saw %d keys, sum %x; the cut had %d, %x", policy, round, gotKeys, gotSum, keys, sum)
			}
			t.Logf("policy %d: reserve %d KB, copied %d KB", policy, before.Reserve>>10, copied>>10)
		}
	}
}

// TestTenForkSavesKeepMemory writes and deletes keys beside ten children in a row.
// In the end the memory is what it was, and in huge pages.
func TestTenForkSavesKeepMemory(t *testing.T) {
	if fork.RaceEnabled {
		t.Skip("fork is not available under the race detector")
	}
	forker := fork.New()
	defer forker.Close()
	s := openStore(t, kv.Options{})
	needRecollapse(t, s)
	s.SetRecollapseRate(1 << 30)
	c := &changer{s, rand.New(rand.NewPCG(5, 6)), 60_000, 1500}
	for range 5 * c.keys { // then as many keys come as go
		c.change(t)
	}
	before := s.Memory()
	for range 10 {
		child := forkSum(t, s, forker, kv.WriteValues)
		for range 6000 {
			c.change(t)
		}
		child.finish(t)
		within(t, "what the child kept is freed", func() bool { return s.Memory().Deferred == 0 })
	}
	awaitRecollapse(t, s, before.Recollapsed)
	var after kv.Memory
	var grown, data float64
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // what is sparse is moved, and given back
		after = s.Memory()
		grown = float64(after.Resident-after.Ahead) / float64(before.Resident-before.Ahead)
		data = float64(after.Entries+after.Index) / float64(before.Entries+before.Index)
		if grown <= data*1.05 && after.HugeShare >= 0.95 && after.Ahead <= 8<<20 || time.Now().After(end) {
			break
		}
	}
	rss, huge := rollup(t)
	t.Logf("resident %d -> %d KB, in blocks %d -> %d KB, huge share %.3f, joined %d KB, %d KB ahead; RSS %d MB, huge pages %d MB",
		(before.Resident-before.Ahead)>>10, (after.Resident-after.Ahead)>>10, (before.Entries+before.Index)>>10,
		(after.Entries+after.Index)>>10, after.HugeShare, (after.Recollapsed-before.Recollapsed)>>10, after.Ahead>>10, rss>>20, huge>>20)
	if grown > data*1.05 || after.Ahead > 8<<20 {
		t.Errorf("resident memory has grown by %.1f %%, the data by %.1f %%; %d KB ahead", grown*100-100, data*100-100, after.Ahead>>10)
	}
	if after.Recollapsed == before.Recollapsed || after.HugeShare < 0.95 {
		t.Errorf("%d KB were joined, and %.1f %% are in huge pages", (after.Recollapsed-before.Recollapsed)>>10, after.HugeShare*100)
	}
}
