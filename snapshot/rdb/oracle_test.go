package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/hdt3213/rdb/model"
	"github.com/hdt3213/rdb/parser"
)

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

// startRedis starts a redis-server in dir on a socket and returns a connection to it.
func startRedis(t testing.TB, dir string, args ...string) redis.Conn {
	t.Helper()
	return startServer(t, oracle(t, "redis-server"), dir, args...)
}

// startServer is startRedis for any server that takes its options.
func startServer(t testing.TB, path, dir string, args ...string) redis.Conn {
	t.Helper()
	socketDir, err := os.MkdirTemp("", "rdb") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(socketDir, "s")
	var out bytes.Buffer
	cmd := exec.Command(path, append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir,
		"--enable-debug-command", "yes"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(socketDir)
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // the machine may be busy
		if c, err := redis.Dial("unix", socket); err == nil {
			if _, err = c.Do("PING"); err == nil {
				t.Cleanup(func() { c.Close() })
				return c
			}
			c.Close()
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Fatalf("redis-server does not come up:\n%s", out.String())
	return nil
}

func do(t testing.TB, c redis.Conn, cmd string, args ...any) any {
	t.Helper()
	reply, err := c.Do(cmd, args...)
	if err != nil {
		t.Fatalf("%s %.100q: %v", cmd, fmt.Sprint(args...), err)
	}
	return reply
}

// TestRedisLoads: redis-check-rdb passes what the Encoder writes, redis-server has all of it, and the
// Decoder reads what that server saves.
func TestRedisLoads(t *testing.T) {
	check := oracle(t, "redis-check-rdb")
	list := edgeEntries()
	for _, opts := range []EncoderOptions{{}, {Compress: true, Checksum: true}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "dump.rdb")
		if err := os.WriteFile(path, encodeEntries(t, list, 1<<20, opts), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(check, path).CombinedOutput(); err != nil ||
			!bytes.Contains(out, []byte("RDB looks OK")) || opts.Checksum && !bytes.Contains(out, []byte("Checksum OK")) {
			t.Fatalf("%+v: redis-check-rdb: %v\n%s", opts, err, out)
		}
		c := startRedis(t, dir)
		db := 0
		for _, x := range list {
			if x.db != db {
				db = x.db
				do(t, c, "SELECT", db)
			}
			if got, err := redis.String(c.Do("GET", x.key)); err != nil || got != x.value {
				t.Fatalf("%+v: GET %.100q: %.100q, %v", opts, x.key, got, err)
			}
			at := x.expireAtMs
			if at == 0 {
				at = -1 // how PEXPIRETIME says none
			}
			if got, err := redis.Int64(c.Do("PEXPIRETIME", x.key)); err != nil || got != at {
				t.Fatalf("%+v: PEXPIRETIME %.100q: %d, %v", opts, x.key, got, err)
			}
		}
		do(t, c, "SAVE")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := decodeEntries(bytes.NewReader(file), DecoderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		compareSorted(t, got, list)
	}
}

// compareSorted compares two lists whose order does not matter.
func compareSorted(t testing.TB, got, want []entry) {
	t.Helper()
	got, want = append([]entry(nil), got...), append([]entry(nil), want...)
	for _, l := range [][]entry{got, want} {
		sort.Slice(l, func(i, j int) bool {
			return l[i].db < l[j].db || l[i].db == l[j].db && l[i].key < l[j].key
		})
	}
	compareEntries(t, got, want)
}

// TestRedisDump compares payloads of DUMP byte for byte without compression, in length with it, and has
// RESTORE take ours.
func TestRedisDump(t *testing.T) {
	c := startRedis(t, t.TempDir())
	values := []string{"12345678901", "-1234567890", "99999999999", "00000000001"}
	for _, x := range edgeEntries() {
		values = append(values, x.value)
	}
	for shift := range 40 {
		for _, d := range []int64{-1, 0, 1} {
			values = append(values, strconv.FormatInt(1<<shift+d, 10), strconv.FormatInt(-1<<shift+d, 10))
		}
	}
	table := new(LZFTable)
	ours, theirs := 0, 0
	for _, compression := range []string{"no", "yes"} {
		do(t, c, "CONFIG", "SET", "rdbcompression", compression)
		for _, v := range values {
			do(t, c, "SET", "k", v)
			want, err := redis.Bytes(c.Do("DUMP", "k"))
			if err != nil {
				t.Fatal(err)
			}
			if _, value, err := ParseDump(want, defaultMaxString); err != nil || string(value) != v {
				t.Fatalf("payload of %.100q is read as %.100q, %v", v, value, err)
			}
			got := AppendDumpString(nil, []byte(v), nil)
			if compression == "yes" {
				got = AppendDumpString(nil, []byte(v), table)
				if len(want) < len(v) {
					ours, theirs = ours+len(got), theirs+len(want)
				}
			} else if !bytes.Equal(got, want) {
				t.Fatalf("payload of %.100q:\n got %.100q\nwant %.100q", v, got, want)
			}
			do(t, c, "RESTORE", "r", 0, got, "REPLACE")
			if r, err := redis.String(c.Do("GET", "r")); err != nil || r != v {
				t.Fatalf("%.100q is restored as %.100q, %v", v, r, err)
			}
		}
	}
	t.Logf("compressed payloads: %d bytes, Redis' %d", ours, theirs)
	if float64(ours) > 1.05*float64(theirs) {
		t.Errorf("compression is worse than that of Redis: %d bytes against %d", ours, theirs)
	}
}

// TestOtherParser has another implementation read what the Encoder writes.
func TestOtherParser(t *testing.T) {
	list := edgeEntries()
	file := encodeEntries(t, list, 1<<20, EncoderOptions{Compress: true, Checksum: true})
	var got []entry
	err := parser.NewDecoder(bytes.NewReader(file)).Parse(func(o model.RedisObject) bool {
		s, ok := o.(*parser.StringObject)
		if !ok {
			t.Fatalf("%T", o)
		}
		x := entry{o.GetDBIndex(), o.GetKey(), string(s.Value), 0}
		if at := o.GetExpiration(); at != nil {
			x.expireAtMs = at.UnixMilli()
		}
		got = append(got, x)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	compareEntries(t, got, list)
}

// TestRedisRefusesDamage: our idea of a checksum is theirs.
func TestRedisRefusesDamage(t *testing.T) {
	check := oracle(t, "redis-check-rdb")
	file := encodeEntries(t, edgeEntries(), 1<<20, EncoderOptions{Checksum: true})
	file[len(file)-30] ^= 1
	path := filepath.Join(t.TempDir(), "dump.rdb")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if out, err := exec.Command(check, path).CombinedOutput(); !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, out)
	}
}
