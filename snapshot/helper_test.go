package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"go.uber.org/goleak"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// TestMain wants no goroutine left. One that is about to end may wait long for a processor.
func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(patience); code == 0; time.Sleep(10 * time.Millisecond) {
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// patience is how long a test waits for what must happen: on a busy machine anything may take seconds.
const patience = time.Minute

// engines returns those that work in this test binary.
func engines() []Engine {
	if fork.RaceEnabled {
		return []Engine{Thread, Copy, Foreground}
	}
	return []Engine{Fork, Thread, Copy, Foreground}
}

// background returns those of engines that let writers write.
func background() []Engine { return engines()[:len(engines())-1] }

// openStore returns a store that is checked and closed at the end.
func openStore(t testing.TB, o kv.Options) *kv.Store {
	t.Helper()
	s, err := kv.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
		if err != nil {
			t.Error("a View was left open:", err)
		} else {
			v.Close()
		}
		s.Close()
	})
	return s
}

func set(t testing.TB, s *kv.Store, db int, key, value string, expire int64) {
	t.Helper()
	if err := s.Update([][]byte{[]byte(key)}, func(tx *kv.Tx) error {
		return tx.SetString(db, []byte(key), []byte(value), kv.EncodingOf([]byte(value)), expire)
	}); err != nil {
		t.Fatal(err)
	}
}

// item is a key in a dump, or in a store.
type item struct {
	value  string
	expire int64
}

type place struct {
	db  int
	key string
}

// readDump reads a file with the decoder alone.
func readDump(t testing.TB, path string) map[place]item {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[place]item{}
	hints := map[int]int64{}
	d := rdb.NewDecoder(f, rdb.DecoderOptions{})
	var ev rdb.Event
	for {
		err := d.Next(&ev)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		switch ev.Kind {
		case rdb.KindMore:
			p := place{ev.DB, string(ev.Key)}
			out[p] = item{out[p].value + string(ev.Value), out[p].expire}
		case rdb.KindKey:
			p := place{ev.DB, string(ev.Key)}
			if _, ok := out[p]; ok {
				t.Fatalf("%s: %v twice", path, p)
			}
			out[p] = item{string(ev.Value), ev.ExpireAtMs}
			hints[ev.DB]--
			if ev.ExpireAtMs != 0 {
				hints[ev.DB] -= 1 << 32
			}
		case rdb.KindResizeDB:
			hints[ev.DB] += int64(ev.Keys) + int64(ev.Expires)<<32
		}
	}
	for db, n := range hints {
		if n != 0 {
			t.Errorf("%s: RESIZEDB of database %d is wrong by %d keys and %d with expiry", path, db, int32(n), n>>32)
		}
	}
	return out
}

// contents returns all live keys of a store.
func contents(s *kv.Store) map[place]item {
	out := map[place]item{}
	for db := range s.Databases() {
		for cursor := uint64(0); ; {
			cursor = s.DB(db).Scan(cursor, 1000, func(key []byte, it kv.Item) {
				out[place{db, string(key)}] = item{text(&it), it.ExpireAt}
			})
			if cursor == 0 {
				break
			}
		}
	}
	return out
}

// text returns a value: a string as it is, the elements of a collection, its fields with their values and
// expiries, in an order that does not depend on how it is held.
func text(it *kv.Item) string {
	if it.Type == kv.TypeString && it.Encoding != kv.EncChunks {
		return string(it.Value)
	}
	var list []string
	var e kv.Element
	if it.Type == kv.TypeStream {
		v := it.Stream()
		var n kv.StreamNode
		for nodes := v.AllNodes(); nodes.Next(&n); {
			list = append(list, string(n.Key)+string(n.Listpack))
		}
		return fmt.Sprint(list, v.Length, v.Last, v.MaxDeleted, v.Added, v.Groups)
	}
	var long []byte
	for elems := it.Elements(); elems.Next(&e); {
		if it.Type == kv.TypeString {
			long = append(long, e.Member.Text...)
			continue
		}
		list = append(list, fmt.Sprintf("%q %q %v %d", e.Member.Append(nil), e.Value.Append(nil), e.Score, e.ExpireAt))
	}
	if it.Type != kv.TypeList && it.Type != kv.TypeZset {
		slices.Sort(list)
	}
	return string(long) + strings.Join(list, ", ")
}

// load loads a file into a new store.
func load(t testing.TB, path string) (*kv.Store, LoadResult) {
	t.Helper()
	s := openStore(t, kv.Options{})
	res, err := Load(context.Background(), s, path, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s, res
}

// noTemps fails the test if a temporary file is left in dir.
func noTemps(t testing.TB, dir string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, "temp-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// descriptors returns how many files this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// within waits until ok, and fails the test if that never comes.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// sameDescriptors fails the test unless as many files are open as before, those apart that something in the
// background has open for a moment.
func sameDescriptors(t testing.TB, before int) {
	t.Helper()
	after := 0
	for end := time.Now().Add(patience / 6); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if after = descriptors(t); after == before {
			return
		}
	}
	t.Errorf("%d descriptors before, %d after", before, after)
}

// tidyHeap gives back what Go's heap does not need, of the tests before too. If the runtime did that beside a
// forked child, the child would be left with the pages, and they would count as memory that the save costs.
func tidyHeap() { debug.FreeOSMemory() }

// leastAllocs returns how many allocations a call of fn makes. The runtime counts those of the whole process, so
// what others do meanwhile is told from what fn does by trying again.
func leastAllocs(runs int, fn func()) float64 {
	least := testing.AllocsPerRun(runs, fn)
	for try := 0; try < 20 && least > 0; try++ {
		least = min(least, testing.AllocsPerRun(runs, fn))
	}
	return least
}

// oracle returns the path of a program of the Redis package, or skips the test.
func oracle(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// startRedis starts a redis-server on the dump in dir and returns a connection.
func startRedis(t testing.TB, dir string) redis.Conn {
	t.Helper()
	path := oracle(t, "redis-server")
	socketDir, err := os.MkdirTemp("", "snap") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(socketDir, "s")
	var out bytes.Buffer
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir, "--enable-debug-command", "yes")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(socketDir)
	})
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := redis.Dial("unix", socket); err == nil {
			if _, err = c.Do("PING"); err == nil {
				t.Cleanup(func() { c.Close() })
				return c
			}
			c.Close()
		}
	}
	t.Fatalf("redis-server does not answer: %s", out.String())
	return nil
}
