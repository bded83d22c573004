//go:build linux

package peer

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"kvd/bench/internal/noise"
	"kvd/kv"
	"kvd/kv/command"
)

// value is the value of key i in the tests: some compress, some do not, some are
// numbers, one is empty, one is long.
func value(i int) string {
	switch i % 5 {
	case 0:
		return strings.Repeat(fmt.Sprint(i, " "), 1+i%40)
	case 1:
		return fmt.Sprint(i * 7)
	case 2:
		return string([]byte{byte(i), 0, '\r', '\n', byte(i >> 8)})
	case 3:
		if i == 3 {
			return ""
		}
		if i == 8 {
			return strings.Repeat("long", 1<<19)
		}
	}
	return fmt.Sprintf("%x", i*0x9e3779b1)
}

func key(i int) string { return fmt.Sprintf("key:%d", i) }

// fill sets n keys in a pipeline.
func (c *client) fill(n int) {
	c.t.Helper()
	for i := range n {
		if err := c.Send("SET", key(i), value(i)); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		c.t.Fatal(err)
	}
	for i := range n {
		if v, err := c.Receive(); v != "OK" || err != nil {
			c.t.Fatalf("SET %d: %v, %v", i, v, err)
		}
	}
}

// holds checks that the n keys of fill are there, and no others.
func (c *client) holds(n int) {
	c.t.Helper()
	c.want(fmt.Sprint(n), "DBSIZE")
	for i := range n {
		if got := c.do("GET", key(i)); got != value(i) {
			c.t.Fatalf("GET %s: %.100v, want %.100q", key(i), got, value(i))
		}
	}
}

func TestStoreAnswersAsRedis(t *testing.T) {
	for _, sync := range []string{"no", "yes"} {
		dir := t.TempDir()
		p := start(t, "pebble", "--dir", dir, "--sync="+sync, "--cache-mb", "8", "--memtable-mb", "4")
		c := p.dial()
		for _, tc := range [][2]string{
			{"PING", "PONG"}, {"GET a", "<nil>"}, {"SET a b", "OK"}, {"GET a", "b"}, {"SET a c", "OK"}, {"GET a", "c"},
			{"SET a b EX 10", "-ERR syntax error"}, {"SET a", "-ERR wrong number of arguments for 'set' command"},
			{"SET d e", "OK"}, {"MGET a x d", "[[99] <nil> [101]]"}, {"DBSIZE", "2"},
			{"DEL a a x", "1"}, {"DEL a", "0"}, {"DEL d x", "1"}, {"DBSIZE", "0"}, {"GET d", "<nil>"},
			{"SELECT 0", "OK"}, {"SELECT 1", "-ERR DB index is out of range"},
			{"MULTI", "-ERR unknown command 'MULTI', with args beginning with: "},
			{"HSET h f v", "-ERR unknown command 'HSET', with args beginning with: 'h' 'f' 'v' "},
			{"CONFIG GET databases", "[[100 97 116 97 98 97 115 101 115] [49]]"},
			{"BGSAVE FORK", "-ERR syntax error"}, {"BGSAVE RDB RDB", "-ERR syntax error"}, {"CLIENT SETNAME me", "OK"},
			{"CONFIG SET appendfsync everysec", "-ERR CONFIG SET failed (possibly related to argument 'appendfsync') - " +
				"pebble syncs its log at each write or leaves that to the system: always or no"},
		} {
			c.want(tc[1], strings.Fields(tc[0])...)
		}
		c.want("-"+textEmptyKey, "SET", "", "empty key")
		c.want("<nil>", "GET", "")
		c.want("0", "DEL", "")
		c.fill(500)
		c.holds(500)
		for name, want := range map[string]string{
			"pebble_sync": sync, "pebble_wal": "on", "pebble_cache_bytes": "8388608", "pebble_memtable_bytes": "4194304",
			"redis_version": command.RedisVersion, "loading": "0", "rdb_last_pause_usec": "0", "pebble_dir": filepath.Join(dir, "db"),
		} {
			if got := c.info(name); got != want {
				t.Errorf("INFO: %s:%s, want %s", name, got, want)
			}
		}
		if v := c.info("pebble_version"); !strings.HasPrefix(v, "v2.") {
			t.Errorf("pebble_version:%s", v)
		}
		if text, _ := c.do("INFO", "pebble").(string); !strings.HasPrefix(text, "# Pebble\r\n") || strings.Contains(text, "kvd") {
			t.Errorf("INFO pebble: %s", text)
		}
		if code := p.terminate(); code != 0 {
			t.Fatalf("status %d:\n%s", code, p.log)
		}
		again := start(t, "pebble", "--dir", dir, "--sync="+sync)
		again.dial().holds(500)
		if _, err := again.dial().Do("SHUTDOWN"); err == nil {
			t.Error("SHUTDOWN was answered")
		}
		if code := again.status(); code != 0 {
			t.Errorf("SHUTDOWN: status %d:\n%s", code, again.log)
		}
	}
}

// TestSyncedWritesSurviveAKill: what was answered with --sync=yes is there.
func TestSyncedWritesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "pebble", "--dir", dir, "--sync=yes")
	p.dial().fill(100)
	p.kill()
	p = start(t, "pebble", "--dir", dir)
	p.dial().holds(100)
	// A second one on the same data is refused in words.
	if other := launch(t, "pebble", "--dir", dir); other.status() != 1 || !strings.Contains(other.log.String(), "opening "+dir) {
		t.Errorf("a second one: status %d:\n%s", other.status(), other.log)
	}
}

// slowSync is a file system whose files named *.log take their time to sync.
type slowSync struct {
	vfs.FS
	delay time.Duration
	syncs *atomic.Int64
	stuck *sync.RWMutex // held for writing, no sync comes to its end
}

func (f slowSync) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || filepath.Ext(name) != ".log" {
		return file, err
	}
	return slowFile{file, f}, nil
}

type slowFile struct {
	vfs.File
	fs slowSync
}

func (f slowFile) wait() {
	f.fs.syncs.Add(1)
	time.Sleep(f.fs.delay)
	f.fs.stuck.RLock()
	defer f.fs.stuck.RUnlock()
}
func (f slowFile) Sync() error     { f.wait(); return f.File.Sync() }
func (f slowFile) SyncData() error { f.wait(); return f.File.SyncData() }

// inProcess serves a store in the test's own process.
func inProcess(t testing.TB, o *options, fs vfs.FS) (*program, *store) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	o.saveDir, o.bind, o.cache, o.memtable = o.dir, "127.0.0.1", 8<<20, 4<<20
	s, err := openStore(o, log, fs)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := kv.Open(kv.Options{Databases: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := listen(t, o, s, empty, log)
	go func() { p.served <- p.server.Serve() }()
	t.Cleanup(func() {
		p.request("end of test")
		if err := p.wait(); err != nil {
			t.Error(err)
		}
		empty.Close()
	})
	return p, s
}

// listen makes a program that has a port of its own: who finds a free one may lose it.
func listen(t testing.TB, o *options, s *store, empty *kv.Store, log *slog.Logger) *program {
	t.Helper()
	for try := 1; ; try++ {
		var err error
		if o.port, err = freePort(o.bind); err != nil {
			t.Fatal(err)
		}
		cfg, err := configure(o)
		if err != nil {
			t.Fatal(err)
		}
		p := newProgram(cfg, s.contestant(), empty, log)
		if err = p.server.Listen(); err == nil {
			return p
		}
		if try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// TestSetsShareFsyncs: eight clients' SETs need far fewer fsyncs than there are
// SETs, and meanwhile the loop serves others.
func TestSetsShareFsyncs(t *testing.T) {
	const delay = 40 * time.Millisecond
	disk := slowSync{vfs.Default, delay, new(atomic.Int64), new(sync.RWMutex)}
	p, _ := inProcess(t, &options{dir: t.TempDir(), sync: true, ioThreads: 1}, disk)
	proc := &process{t: t, addr: p.server.Addrs()[0]}
	noise.Attempts(t, 5, func(t *noise.T) { shareFsyncs(t, proc, disk) })

	c := proc.dial()
	c.want("OK", "CONFIG", "SET", "appendfsync", "no")
	func() {
		disk.stuck.Lock()
		defer disk.stuck.Unlock()
		c.want("OK", "SET", "a", "b") // or it would wait until the client gives up
		c.want("1", "DEL", "a")
	}()
	c.want("OK", "SET", "a", "b")
	before := disk.syncs.Load()
	c.want("OK", "CONFIG", "SET", "appendfsync", "always")
	c.want("2", "DEL", "a", "0:0", "x")
	if disk.syncs.Load() == before {
		t.Error("DEL did not wait for the disk")
	}
}

func shareFsyncs(t *noise.T, proc *process, disk slowSync) {
	const clients, each = 8, 6
	disk.syncs.Store(0)
	var wg sync.WaitGroup
	for i := range clients {
		c := proc.dial()
		wg.Go(func() {
			for k := range each {
				if v, err := c.Do("SET", fmt.Sprint(i, ":", k), "v"); v != "OK" || err != nil {
					proc.t.Errorf("SET: %v, %v", v, err)
				}
			}
		})
	}
	stop := make(chan struct{})
	pings := replies(proc.dial(), stop)
	wg.Wait()
	close(stop)
	syncs := disk.syncs.Load()
	if syncs < each {
		t.Fatalf("%d fsyncs for %d SETs", syncs, clients*each)
	}
	if syncs > clients*each/2 {
		t.Errorf("%d fsyncs for %d SETs", syncs, clients*each)
	}
	// A loop that waited would serve others between two waits only.
	if n := int64(len(<-pings)); n < 5*syncs {
		t.Errorf("others got %d replies during %d fsyncs", n, syncs)
	}
	proc.dial().want(fmt.Sprint(clients*each), "DBSIZE")
}

// TestLookUpsDoNotAllocate: nothing beyond the one allocation that pebble makes for
// each table on the disk that it looks into.
func TestLookUpsDoNotAllocate(t *testing.T) {
	if race {
		t.Skip("the race detector's build allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties pools
	p, s := inProcess(t, &options{dir: t.TempDir()}, vfs.Default)
	x, c := p.engine.NewCtx(), p.engine.NewClient(command.ClientOptions{})
	do := func(args [][]byte) {
		c.Out = c.Out[:0]
		if got := x.Do(c, args); got != command.Done {
			t.Fatalf("outcome %d", got)
		}
	}
	v := bytes.Repeat([]byte("v"), 300)
	get, set := [][]byte{[]byte("GET"), []byte("key:77")}, [][]byte{[]byte("SET"), []byte("key:77"), v}
	check := func(where string, most float64) {
		t.Helper()
		if n := testing.AllocsPerRun(2000, func() { do(get) }); n > most {
			t.Errorf("GET from %s allocates %v times", where, n)
		}
		if !bytes.HasSuffix(bytes.TrimSpace(c.Out), v) {
			t.Errorf("GET from %s: %q", where, c.Out)
		}
	}
	for i := range 1000 {
		do([][]byte{[]byte("SET"), []byte(key(i)), v})
	}
	check("a memtable", 0)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	check("a table", 1)
	if n := testing.AllocsPerRun(2000, func() { do(set) }); n >= 1 {
		t.Errorf("SET allocates %v times", n)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nosuch"}, {"pebble", "--sync=maybe"}, {"pebble", "--cache-mb", "x"}, {"pebble", "--cache-mb", "0"},
		{"pebble", "--cache-mb", "12x"}, {"nothing", "extra"}, {"pebble", "--nosuch"}, {"nothing", "--sync=yes"},
	} {
		p := launch(t, args...)
		if code := p.status(); code != 2 || !strings.HasPrefix(p.log.String(), "bench peer: ") {
			t.Errorf("%q: status %d: %s", args, code, p.log)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"pebble"}, {"pebble", "--dir", file}, {"pebble", "--dir", t.TempDir(), "--load", "checkpoint"},
		{"pebble", "--dir", t.TempDir(), "--load", "rdb"}, {"pebble", "--dir", t.TempDir(), "--load", file},
		{"pebble", "--dir", t.TempDir(), "--load", t.TempDir()}, {"nothing", "--value-bytes", "-1"}, {"nothing", "--port", "99999"},
		{"nothing", "--bind", "203.0.113.1", "--port", "7000"},
	} {
		p := launch(t, args...)
		if code := p.status(); code != 1 || p.log.String() == "" {
			t.Errorf("%q: status %d: %s", args, code, p.log)
		}
	}
	if p := launch(t, "pebble", "-h"); p.status() != 0 || !strings.Contains(p.log.String(), "-cache-mb") {
		t.Errorf("help: %s", p.log)
	}
}
