package kv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/keyspace"
)

// TestForkViewsLeaveMemoryDense rewrites keys during ModeFork Views, one after the
// other, and wants the memory to be as dense afterwards as before: what was
// written beside the child is moved into the room of what it replaced.
// KVD_LONG=1 makes it a million keys.
func TestForkViewsLeaveMemoryDense(t *testing.T) {
	keys, views := 20_000, 6
	if os.Getenv("KVD_LONG") != "" {
		keys = 1_000_000
	}
	for policy, name := range []string{"values", "in-place", "path-copy"} {
		for _, percent := range []int{1, 20} {
			for _, size := range [][2]int{{300, 300}, {100, 500}} {
				t.Run(fmt.Sprintf("%s/%d%%/%d-%d", name, percent, size[0], size[1]), func(t *testing.T) {
					testDense(t, WritePolicy(policy), keys, views, percent, size)
				})
			}
		}
	}
}

func testDense(t *testing.T, policy WritePolicy, keys, views, percent int, size [2]int) {
	s := openStore(t, Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	value := func(i int) []byte {
		v := make([]byte, size[0]+rng.IntN(size[1]-size[0]+1))
		return append(v, strconv.Itoa(i)...)
	}
	want := map[int]string{}
	for i := range keys {
		v := value(i)
		if err := s.DB(0).Set(strconv.AppendInt(nil, int64(i), 10), v); err != nil {
			t.Fatal(err)
		}
		want[i] = string(v)
	}
	before := s.arena.Stats()
	for range views {
		v, err := s.Freeze(FreezeOptions{Mode: ModeFork, WritePolicy: policy})
		if err != nil {
			t.Fatal(err)
		}
		for range keys * percent / 100 {
			i := rng.IntN(keys)
			v := value(i)
			if err := s.DB(0).Set(strconv.AppendInt(nil, int64(i), 10), v); err != nil {
				t.Fatal(err)
			}
			want[i] = string(v)
		}
		if n := s.arena.Stats().Apart; (n == 0) != (policy == WriteInPlace) {
			t.Fatalf("%d bytes lie apart", n)
		}
		v.Close()
		settleAll(t, s)
	}
	before.Resident -= before.Ahead
	slack := int64(2 * arena.ChunkSize) // runs that are not full
	limit := int64(105)
	if policy == WriteInPlace { // values of other sizes go among the old ones
		limit = 110
	}
	until(t, fmt.Sprintf("memory is what it was: %+v", before), func() bool { // the keeper gives it back
		after := s.arena.Stats()
		after.Resident -= after.Ahead
		return after.RunBytes <= before.RunBytes*105/100 && after.Resident <= before.Resident*limit/100+slack
	})
	for i, v := range want {
		if got, ok := s.DB(0).Get(strconv.AppendInt(nil, int64(i), 10)); !ok || string(got) != v {
			t.Fatalf("key %d has changed", i)
		}
	}
}

// TestForkViewsWithDeletions deletes and writes keys during ModeFork Views. With as
// many new keys as deleted ones the memory stays what it was; with fewer it shrinks,
// since runs that hold little are emptied.
func TestForkViewsWithDeletions(t *testing.T) {
	keys, views := 40_000, 10
	long := os.Getenv("KVD_LONG") != "" // only then has a heap many runs of a class
	if long {
		keys = 1_000_000
	}
	for _, shrink := range []bool{false, true} {
		t.Run(fmt.Sprintf("shrink=%v", shrink), func(t *testing.T) {
			s := openStore(t, Options{Shards: 8})
			rng := rand.New(rand.NewPCG(1, 2))
			next, want := 0, map[string]string{}
			put := func(k string) {
				v := string(make([]byte, 200+rng.IntN(200)))
				if err := s.DB(0).Set([]byte(k), []byte(v)); err != nil {
					t.Fatal(err)
				}
				want[k] = v
			}
			insert := func() {
				put(strconv.Itoa(next))
				next++
			}
			for range keys {
				insert()
			}
			before := s.arena.Stats()
			dense := func() bool {
				m, a := s.Memory(), s.arena.Stats()
				slack := int64(2 * arena.ChunkSize)
				return a.Apart == 0 && a.RunBytes <= (m.Entries+m.Index*8/9)*120/100 && // without access clocks
					(!long || a.Resident-a.Ahead <= a.RunBytes*115/100+slack)
			}
			for view := range views {
				v, err := s.Freeze(FreezeOptions{Mode: ModeFork})
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for k := range want { // in random order
					switch n++; {
					case n%2 == 0:
						put(k)
					default:
						s.DB(0).Delete([]byte(k))
						delete(want, k)
						if !shrink {
							insert()
						}
					}
					if n > keys/8 {
						break
					}
				}
				v.Close()
				if view < views-1 {
					settleAll(t, s)
				}
			}
			until(t, fmt.Sprintf("memory is dense, as before: %+v", before), func() bool { // here the cron does it
				after := s.arena.Stats()
				slack := int64(2 * arena.ChunkSize) // runs that are not full
				return dense() && after.RunBytes <= before.RunBytes*105/100 &&
					after.Resident-after.Ahead <= (before.Resident-before.Ahead)*105/100+slack
			})
			for k, v := range want {
				if got, ok := s.DB(0).Get([]byte(k)); !ok || string(got) != v {
					t.Fatalf("key %s has changed", k)
				}
			}
		})
	}
}

// settleAll does what the cron does after a View, at once.
func settleAll(t *testing.T, s *Store) {
	t.Helper()
	s.settle()
	noLimit := time.Now().Add(time.Hour)
	if !s.move(noLimit, (*keyspace.Table).Gather) || !s.move(noLimit, (*keyspace.Table).Evacuate) {
		t.Fatal("not all was moved")
	}
	if n := s.arena.Stats().Apart; n != 0 {
		t.Fatalf("%d bytes lie apart", n)
	}
}
