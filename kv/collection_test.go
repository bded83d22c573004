package kv

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// member makes the i-th member of a test's sets.
func member(i int) []byte { return fmt.Appendf(nil, "member:%08d", i) }

// addMembers adds members from..to-1 to the set at key.
func addMembers(t *testing.T, tx *Tx, db int, key string, from, to int) {
	t.Helper()
	var c coll
	if err := tx.open(&c, db, []byte(key), TypeSet); err != nil {
		t.Fatal(err)
	}
	if !c.isTree() {
		if err := c.makeTrees(EncTree); err != nil {
			t.Fatal(err)
		}
	}
	var k []byte
	for i := from; i < to; i++ {
		k = tx.s.appendHashKey(k[:0], member(i))
		if _, err := c.tree(0).Put(k, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
}

// members returns what an iterator finds.
func members(it Elements) map[string]bool {
	found := map[string]bool{}
	for e := (Element{}); it.Next(&e); {
		found[string(e.Member.Append(nil))] = true
	}
	return found
}

// patience is how long a test waits for what must happen: far longer than a busy machine holds
// anything up.
const patience = 3 * time.Minute

// until waits for something that the cron does.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not: " + what)
		}
	}
}

// allocations returns how often fn allocates each time. What the cron and others allocate
// meanwhile counts too, but not in each of several attempts.
func allocations(runs int, fn func()) float64 {
	least := testing.AllocsPerRun(runs, fn)
	for range 20 {
		if least == 0 {
			break
		}
		least = min(least, testing.AllocsPerRun(runs, fn))
	}
	return least
}

// sizes of sets on both sides of promoteAt.
var setSizes = []int{1, 100, 3000, 20_000}

// A collection is moved and copied to keys of other shards and databases, and what it was
// leaves nothing behind.
func TestTransfer(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	for _, n := range setSizes {
		for _, move := range []bool{true, false} {
			tx.LockAll()
			addMembers(t, tx, 0, "from", 0, n)
			tx.SetExpire(0, []byte("from"), tx.Now()+1e6)
			for i := range 20 {
				db, key := i%3, fmt.Sprint("to:", i)
				if i%5 == 0 { // there is something already
					addMembers(t, tx, db, key, 0, 200+i*1000)
				}
				var err error
				if move {
					err = tx.Move(0, []byte("from"), db, []byte(key))
				} else {
					err = tx.Copy(0, []byte("from"), db, []byte(key))
				}
				if err != nil {
					t.Fatal(err)
				}
				it, ok := tx.Get(db, []byte(key))
				if got := members(it.Elements()); !ok || len(got) != n || it.Len() != int64(n) || it.ExpireAt == NoExpiry {
					t.Fatalf("%d members of %d at %s, expiry %d", len(got), n, key, it.ExpireAt)
				}
				if move {
					if tx.Exists(0, []byte("from")) {
						t.Fatal("what was moved is still there")
					}
					if err := tx.Move(db, []byte(key), 0, []byte("from")); err != nil {
						t.Fatal(err)
					}
				}
			}
			tx.Unlock()
			mustCheck(t, s)
			tx.LockAll()
			tx.FlushAll()
			tx.Unlock()
			mustCheck(t, s)
		}
	}
	until(t, "all is freed", func() bool { return s.Memory().Freeing == 0 })
	if m := s.Memory(); m.Entries != 0 || m.Index != 0 {
		t.Errorf("%d bytes of entries, %d of the index are left", m.Entries, m.Index)
	}
	mustCheck(t, s)
}

// content is what a set is to a test: how many members, and a sum of their hashes.
type content struct {
	members int
	sum     uint64
}

var contentSeed = maphash.MakeSeed()

func contentOf(it Elements) (c content) {
	for e := (Element{}); it.Next(&e); {
		c.members++
		c.sum += maphash.Bytes(contentSeed, e.Member.Append(nil))
	}
	return c
}

// shardContent adds the sets of a View's shard to all, by database and key.
func shardContent(all map[string]content, v *View, shard int) {
	w := v.Walk(shard)
	for e := (Entry{}); w.Next(&e); {
		all[fmt.Sprint(e.DB, string(e.Key))] = contentOf(e.Elements())
	}
}

func viewContent(v *View, from int) map[string]content {
	all := map[string]content{}
	for shard := from; shard < v.Shards(); shard++ {
		shardContent(all, v, shard)
	}
	return all
}

// What a View shows of collections does not change, whatever is done to them: changes,
// growth into heaps of their own, renames over shards and back, deletions, FLUSHALL, SWAPDB.
func TestViewOfCollections(t *testing.T) {
	for _, mode := range []Mode{ModeThread, ModeFork, ModeCopy} {
		for _, policy := range []WritePolicy{WriteValues, WritePathCopy} {
			if mode != ModeFork && policy != WriteValues {
				continue
			}
			if mode == ModeFork && policy == WriteValues {
				continue // the nodes are written in place: only a child sees what was
			}
			t.Run(fmt.Sprint(mode, policy), func(t *testing.T) { viewOfCollections(t, mode, policy) })
		}
	}
}

func viewOfCollections(t *testing.T, mode Mode, policy WritePolicy) {
	s := openStore(t, Options{Shards: 5}) // so that many are moved from a shard that is not saved yet to one that is
	tx := s.NewTx()
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 10
	if os.Getenv("KVD_LONG") == "1" {
		rounds = 100
	}
	for round := range rounds {
		tx.LockAll()
		for i := range 12 {
			addMembers(t, tx, i%2, fmt.Sprint("set:", i), rng.IntN(1000), 1000+rng.IntN(setSizes[i%len(setSizes)]))
		}
		tx.Unlock()
		v, err := s.Freeze(FreezeOptions{Mode: mode, WritePolicy: policy})
		if err != nil {
			t.Fatal(err)
		}
		want := viewContent(v, 0)
		released := 0
		for step := range 60 {
			tx.LockAll()
			disturb(t, tx, rng)
			if step == 50 && round%3 == 0 {
				tx.FlushAll()
			}
			tx.Unlock()
			if mode == ModeThread && step%4 == 3 && released < 3 {
				// A shard that was walked is not looked at any more.
				walked := map[string]content{}
				shardContent(walked, v, released)
				for key := range walked {
					delete(want, key)
				}
				v.Release(released)
				released++
			}
		}
		if got := viewContent(v, released); !maps.Equal(got, want) {
			t.Fatalf("round %d: the View has changed", round)
		}
		mustCheck(t, s)
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, s)
	}
	tx.LockAll()
	tx.FlushAll()
	tx.Unlock()
	until(t, "all is freed", func() bool { m := s.Memory(); return m.Freeing == 0 && m.Deferred == 0 && m.Entries == 0 })
	mustCheck(t, s)
}

// disturb changes something.
func disturb(t *testing.T, tx *Tx, rng *rand.Rand) {
	t.Helper()
	db, key := rng.IntN(2), fmt.Appendf(nil, "set:%d", rng.IntN(12))
	other := fmt.Appendf(nil, "set:%d", rng.IntN(12))
	switch rng.IntN(7) {
	case 0:
		if err := tx.Move(db, key, rng.IntN(2), other); err != nil {
			t.Fatal(err)
		}
	case 1:
		if err := tx.Copy(db, key, rng.IntN(2), other); err != nil {
			t.Fatal(err)
		}
	case 2:
		tx.Delete(db, key)
	case 3:
		tx.SwapDB(0, 1)
	case 4:
		var c coll
		if err := tx.open(&c, db, key, TypeSet); err != nil || !c.exists || c.tree(0).Count < 3 {
			return
		}
		if err := c.tree(0).DeleteRange(1, c.tree(0).Count/2); err != nil {
			t.Fatal(err)
		}
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
	default:
		from := rng.IntN(30_000)
		addMembers(t, tx, db, string(key), from, from+rng.IntN(500)+1)
	}
}

// Deleting a big collection takes no time, and its memory comes back.
func TestLazyFree(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	tx.LockAll()
	addMembers(t, tx, 0, "big", 0, 300_000)
	tx.Unlock()
	before := s.Memory()
	s.stages.gate.Lock() // the reaper stands still
	tx.LockKey([]byte("big"))
	tx.Delete(0, []byte("big"))
	tx.Unlock()
	m := s.Memory()
	s.stages.gate.Unlock()
	if m.Entries != 0 || m.Freeing == 0 || m.Freeing > before.Entries {
		t.Errorf("%d bytes of entries, %d are being freed of %d", m.Entries, m.Freeing, before.Entries)
	}
	until(t, "it is freed", func() bool { pending, freed := s.LazyFree(); return pending == 0 && freed == 1 })
	if m := s.Memory(); m.Freeing != 0 {
		t.Errorf("%d bytes are left", m.Freeing)
	}
	mustCheck(t, s)
}

// A stage with collections takes the place of the store's databases, also under a View.
func TestSwapCollections(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	for round := range 6 {
		tx.LockAll()
		addMembers(t, tx, 0, "big", round, 40_000)
		addMembers(t, tx, 1, "small", round, 500)
		tx.Unlock()
		st := s.NewStage()
		var flat []byte
		for i := range 30_000 {
			m := member(i + round)
			flat = append(append(flat, byte(len(m))), m...)
		}
		l := st.NewLoader()
		if _, err := l.Add([]Record{{Key: []byte("big"), Type: TypeSet, Enc: EncFlat, Value: flat}}, false); err != nil {
			t.Fatal(err)
		}
		var v *View
		if round%2 == 1 {
			var err error
			if v, err = s.Freeze(FreezeOptions{Mode: ModeThread}); err != nil {
				t.Fatal(err)
			}
		}
		st.Swap()
		mustCheck(t, s)
		it, ok := s.peek(0, "big")
		if got := members(it.Elements()); !ok || len(got) != 30_000 || !got[string(member(round))] {
			t.Fatalf("%d members after the swap", len(got))
		}
		if v != nil {
			if got := viewContent(v, 0)["0big"].members; got < 39_000 {
				t.Fatalf("the View has %d members", got)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		mustCheck(t, s)
	}
}

func (s *Store) peek(db int, key string) (Item, bool) {
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	return tx.Peek(db, []byte(key))
}

// Iterating allocates nothing: a forked child does it.
func TestElementsAllocateNothing(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	tx.LockAll()
	addMembers(t, tx, 0, "set", 0, 5000)
	tx.Unlock()
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	sum := 0
	if n := allocations(10, func() {
		for shard := range v.Shards() {
			w := v.Walk(shard)
			var e Entry
			for w.Next(&e) {
				it := e.Elements()
				var el Element
				for it.Next(&el) {
					sum += len(el.Member.Text)
				}
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if sum == 0 {
		t.Error("nothing was found")
	}
}
