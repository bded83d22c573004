package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// mixedStore returns a store with all that a dump can hold, and what is in it;
// its keys called dead have expired and are not deleted.
func mixedStore(t *testing.T) (*kv.Store, map[place]item) {
	s := openStore(t, kv.Options{})
	s.SetActiveExpire(false)
	future := time.Now().Add(time.Hour).UnixMilli()
	want := map[place]item{}
	put := func(db int, key, value string, expire int64) {
		set(t, s, db, key, value, expire)
		want[place{db, key}] = item{value, expire}
	}
	for i := range 3000 {
		put(i%3, fmt.Sprint("key:", i), strings.Repeat(fmt.Sprint("v", i), i%40), []int64{0, 0, future + int64(i)}[i%3])
	}
	for _, v := range []string{"0", "-1", "127", "32768", "2147483648", "-9223372036854775808", "007", "", "\x00\xff\r\n"} {
		put(15, "int:"+v, v, 0)
	}
	put(15, "", "the empty key", 0)
	put(15, "binary\x00\xff", "x", 0)
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	put(7, "big", string(noise), 0)
	put(7, "long", strings.Repeat("compressible ", 100_000), future)
	for i := range 50 {
		put(2, fmt.Sprint("dead:", i), "x", 1000+int64(i))
	}
	return s, want
}

func TestRoundTrip(t *testing.T) {
	s, want := mixedStore(t)
	alive := maps.Clone(want)
	maps.DeleteFunc(alive, func(p place, _ item) bool { return strings.HasPrefix(p.key, "dead:") })
	for _, engine := range engines() {
		for _, o := range []Options{{}, {NoCompress: true, NoChecksum: true, NoIncrementalFsync: true,
			Aux: []AuxField{{"mine", "x"}}}} {
			o.Engine = engine
			path := filepath.Join(t.TempDir(), "dump.rdb")
			res, err := Save(context.Background(), s, path, o)
			if err != nil {
				t.Fatalf("%v: %v", engine, err)
			}
			info, _ := os.Stat(path)
			if res.Keys != int64(len(want)) || res.Bytes != info.Size() || res.Changes != s.Changes() || res.Path != path ||
				res.Engine != engine || res.Pause <= 0 || res.Took <= 0 {
				t.Errorf("%v: %+v", engine, res)
			}
			if (engine == Fork) != (res.Clone > 0 && res.PID > 0 && res.Copied > 0) || engine == Copy && res.Extra < 3<<20 {
				t.Errorf("%v: %+v", engine, res)
			}
			if got := readDump(t, path); !maps.Equal(got, want) {
				t.Errorf("%v: the file differs from the store", engine)
			}
			copied, loaded := load(t, path)
			if !maps.Equal(contents(copied), alive) {
				t.Errorf("%v: the loaded store differs", engine)
			}
			if loaded.Keys != int64(len(alive)) || loaded.Expired != int64(len(want)-len(alive)) ||
				loaded.Bytes != res.Bytes || loaded.Version != 10 || loaded.Aux["redis-bits"] != "64" ||
				loaded.Aux["redis-ver"] != "7.0.15" || loaded.Aux["aof-base"] != "0" || len(o.Aux) > 0 && loaded.Aux["mine"] != "x" {
				t.Errorf("%v: %+v", engine, loaded)
			}
			noTemps(t, filepath.Dir(path))
			encodingsSurvive(t, s, copied)
		}
	}
}

// encodingsSurvive compares OBJECT ENCODING before and after.
func encodingsSurvive(t *testing.T, a, b *kv.Store) {
	t.Helper()
	for _, key := range []string{"int:0", "int:-9223372036854775808", "int:007", "", "int:"} {
		var enc [2]kv.Encoding
		for i, s := range []*kv.Store{a, b} {
			s.Update([][]byte{[]byte(key)}, func(tx *kv.Tx) error {
				it, _ := tx.Peek(15, []byte(key))
				enc[i] = it.Encoding
				return nil
			})
		}
		if enc[0] != enc[1] {
			t.Errorf("%q: encoding %v became %v", key, enc[0], enc[1])
		}
	}
}

func TestEmptyStore(t *testing.T) {
	s := openStore(t, kv.Options{})
	path := filepath.Join(t.TempDir(), "dump.rdb")
	for _, engine := range engines() {
		if res, err := Save(context.Background(), s, path, Options{Engine: engine}); err != nil || res.Keys != 0 {
			t.Errorf("%v: %+v %v", engine, res, err)
		}
		if got := readDump(t, path); len(got) != 0 {
			t.Errorf("%v: %v", engine, got)
		}
	}
}

// A real redis-server loads every dump, and redis-check-rdb finds nothing wrong.
func TestRedisLoadsIt(t *testing.T) {
	check := oracle(t, "redis-check-rdb")
	s, want := mixedStore(t)
	for _, engine := range engines() {
		dir := t.TempDir()
		path := filepath.Join(dir, "dump.rdb")
		if _, err := Save(context.Background(), s, path, Options{Engine: engine}); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(check, path).CombinedOutput(); err != nil || !strings.Contains(string(out), "RDB looks OK") {
			t.Fatalf("%v: %v\n%s", engine, err, out)
		}
		c := startRedis(t, dir)
		n := 0
		for p, it := range want {
			if strings.HasPrefix(p.key, "dead:") {
				continue
			}
			n++
			c.Send("SELECT", p.db)
			c.Send("GET", p.key)
			c.Send("PEXPIRETIME", p.key)
			c.Flush()
			c.Receive()
			value, err := redis.String(c.Receive())
			at, _ := redis.Int64(c.Receive())
			if err != nil || value != it.value || max(at, 0) != it.expire {
				t.Fatalf("%v: %v: %.40q %d, want %.40q %d (%v)", engine, p, value, at, it.value, it.expire, err)
			}
		}
		total := 0
		for db := range 16 {
			c.Do("SELECT", db)
			k, _ := redis.Int(c.Do("DBSIZE"))
			total += k
		}
		if total != n {
			t.Errorf("%v: Redis has %d keys, want %d", engine, total, n)
		}
	}
}

// kvd loads what a real redis-server has saved.
func TestLoadsRedisDump(t *testing.T) {
	dir := t.TempDir()
	c := startRedis(t, dir)
	want := map[place]item{}
	for i := range 500 {
		p, v := place{i % 2, fmt.Sprint("k", i)}, strings.Repeat("ab", i)
		c.Do("SELECT", p.db)
		c.Do("SET", p.key, v, "PXAT", 4102444800000+int64(i))
		want[p] = item{v, 4102444800000 + int64(i)}
	}
	if _, err := c.Do("SAVE"); err != nil {
		t.Fatal(err)
	}
	s, _ := load(t, filepath.Join(dir, "dump.rdb"))
	if !maps.Equal(contents(s), want) {
		t.Error("the store differs from Redis")
	}
	c.Do("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
	c.Do("SAVE")
	_, err := Load(context.Background(), openStore(t, kv.Options{}), filepath.Join(dir, "dump.rdb"), LoadOptions{})
	var un *rdb.UnsupportedError
	if !errors.As(err, &un) || !strings.Contains(err.Error(), "function library") {
		t.Errorf("a function: %v", err)
	}
	res, err := Load(context.Background(), openStore(t, kv.Options{}), filepath.Join(dir, "dump.rdb"), LoadOptions{SkipUnsupported: true})
	if err != nil || res.Keys != 500 || res.Unsupported != 1 || fmt.Sprint(res.LeftOut) != "[function library]" {
		t.Errorf("a function: %+v, %v", res, err)
	}
}

// The body of the child allocates nothing, and the compiler sees no write barrier.
func TestChildFiles(t *testing.T) {
	s, _ := mixedStore(t)
	allTypes(t, s)
	v, err := s.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	page := new(fork.Page)
	d := &dump{view: v, only: -1, enc: rdb.NewEncoder(make([]byte, bufferSize), rdb.EncoderOptions{Compress: true, Checksum: true}),
		sized: make([]bool, s.Databases()), aux: []AuxField{{"a", "b"}}, ttl: rdb.VersionFieldTTL}
	sink := &childSink{fd: int(null.Fd()), page: page}
	body := &childBody{dump: d, sink: sink, what: "write"}
	if got := leastAllocs(3, func() {
		d.enc.Reset(sink)
		clear(d.sized)
		sink.window = syncWindow{}
		if body.run(page) != 0 {
			t.Error("failed")
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
	if page.Keys.Load() != d.total() || page.Bytes.Load() < 3<<20 {
		t.Errorf("%d keys, %d bytes", page.Keys.Load(), page.Bytes.Load())
	}
	compilerSees(t, ".", `(dump|childsink|syncwindow)\.go:.*(escapes to heap|moved to heap|write barrier)`, "save.go")
	compilerSees(t, "./value", `write\.go:.*(escapes to heap|moved to heap|write barrier)`, "dump.go")
	// What these write by pointers lies on the stack of write.go, or does not point to Go's heap.
	compilerSees(t, "../kv/packed", `(listpack|encoding|intset|packed)\.go:.*(escapes to heap|moved to heap)`, "")
	compilerSees(t, "../kv", `(elements|stream_view)\.go:.*(escapes to heap|moved to heap)`, "load.go")
}

// compilerSees looks for what the compiler should not say of a package; other is a file of which it says
// such things. An append may allocate: those in question have room.
func compilerSees(t *testing.T, pkg, pattern, other string) {
	t.Helper()
	out, err := exec.Command("go", "build", "-gcflags=-m -d=wb", "-o", os.DevNull, pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bad := regexp.MustCompile(`(?m)^.*\b` + pattern + `.*$`)
	for _, line := range bad.FindAllString(string(out), -1) {
		if !strings.Contains(line, "append escapes") && !strings.Contains(line, `"`) { // the texts of panics
			t.Error(line)
		}
	}
	if !strings.Contains(string(out), other) || other != "" && !strings.Contains(string(out), "write barrier") {
		t.Errorf("the compiler did not report: %s", out)
	}
}

// allTypes adds values of all types to database 9.
func allTypes(t testing.TB, s *kv.Store) {
	t.Helper()
	only := 0
	for _, name := range []string{"all-redis-7.0", "new-redis-7.4"} {
		path := filepath.Join("rdb", "testdata", name+".rdb")
		if _, err := Load(context.Background(), s, path, LoadOptions{Only: &only, Into: 9, Replace: true}); err != nil {
			t.Fatal(err)
		}
	}
}
