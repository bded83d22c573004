package kv

import (
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
// KVD_LONG=1 makes it a million keys and ten Views.
func TestForkViewsLeaveMemoryDense(t *testing.T) {
	keys, views := 30_000, 5
	if os.Getenv("KVD_LONG") != "" {
		keys, views = 1_000_000, 10
	}
	for _, percent := range []int{1, 20} {
		for _, size := range [][2]int{{300, 300}, {100, 500}} {
			t.Run(strconv.Itoa(percent)+"%/"+strconv.Itoa(size[0])+"-"+strconv.Itoa(size[1]), func(t *testing.T) {
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
					v, err := s.Freeze(FreezeOptions{Mode: ModeFork})
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
					if n := s.arena.Stats().Apart; n == 0 {
						t.Fatal("nothing lies apart")
					}
					v.Close()
					for end := time.Now().Add(20 * time.Second); s.deferred.Load() > 0 || s.arena.Stats().Apart > 0; time.Sleep(time.Millisecond) {
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
			})
		}
	}
}
