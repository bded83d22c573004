package kv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"kvd/kv/internal/arena"
)

// TestForkViewsLeaveMemoryDense rewrites keys during ModeFork Views, one after the
// other, and wants the memory to be as dense afterwards as before: what was
// written beside the child is moved into the room of what it replaced.
// KVD_LONG=1 makes it a million keys.
func TestForkViewsLeaveMemoryDense(t *testing.T) {
	keys, views := 20_000, 10
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
		for end := time.Now().Add(20 * time.Second); s.deferred.Load() > 0 || s.arena.Stats().Apart > 0; time.Sleep(time.Millisecond) {
			s.tidy() // as the cron does
			if time.Now().After(end) {
				t.Fatalf("%d bytes are deferred, %d lie apart", s.deferred.Load(), s.arena.Stats().Apart)
			}
		}
	}
	after := s.arena.Stats()
	before.Resident -= before.Ahead // the keeper may not have given all back
	after.Resident -= after.Ahead
	t.Logf("runs %d -> %d KB, resident %d -> %d KB", before.RunBytes>>10, after.RunBytes>>10, before.Resident>>10, after.Resident>>10)
	slack := int64(2 * arena.ChunkSize) // runs that are not full
	if after.RunBytes > before.RunBytes*105/100+slack || after.Resident > before.Resident*105/100+slack {
		t.Errorf("memory has grown: %+v, then %+v", before, after)
	}
	for i, v := range want {
		if got, ok := s.DB(0).Get(strconv.AppendInt(nil, int64(i), 10)); !ok || string(got) != v {
			t.Fatalf("key %d has changed", i)
		}
	}
}
