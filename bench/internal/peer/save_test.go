//go:build linux

package peer

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"golang.org/x/sys/unix"

	"kvd/bench/internal/noise"
	"kvd/kv"
	"kvd/snapshot"
)

// TestCheckpointOpensWithAllKeys: as a directory of its own, by name, and beside
// the live data.
func TestCheckpointOpensWithAllKeys(t *testing.T) {
	const n = 3000
	dir := t.TempDir()
	p := start(t, "pebble", "--dir", dir, "--memtable-mb", "1")
	c := p.dial()
	c.fill(n)
	// One value is more than a memtable holds; who writes that to a table is in no hurry.
	noise.Wait(t, "a table", func() bool { return c.info("pebble_flushes") != "0" })
	begin := time.Now().Unix()
	for i := 1; i <= 2; i++ {
		if status, problem := c.save("checkpoint"); status != "ok" || problem != "" {
			t.Fatalf("%s: %s", status, problem)
		}
		if got := lastCheckpoint(dir); got != checkpointPath(dir, i) {
			t.Fatalf("the newest is %s", got)
		}
	}
	if list, _ := checkpoints(dir); len(list) != 1 {
		t.Errorf("checkpoints %v are there: the older one was to go", list)
	}
	for name, want := range map[string]string{"rdb_saves": "2", "rdb_last_bgsave_type": "checkpoint", "rdb_last_pause_usec": "0"} {
		if got := c.info(name); got != want {
			t.Errorf("%s:%s, want %s", name, got, want)
		}
	}
	written, _ := strconv.Atoi(c.info("rdb_last_save_bytes"))
	shared, _ := strconv.Atoi(c.info("rdb_last_save_shared_bytes"))
	if written == 0 || shared == 0 {
		t.Errorf("%d bytes written, %d shared", written, shared)
	}
	if saved, _ := c.do("LASTSAVE").(int64); saved < begin {
		t.Errorf("LASTSAVE %d", saved)
	}
	c.want("OK", "SET", "behind", "the save")
	// No kill: what is not synced may still be in the process.
	if code := p.terminate(); code != 0 {
		t.Fatalf("status %d:\n%s", code, p.log)
	}

	alone := start(t, "pebble", "--dir", checkpointPath(dir, 2))
	alone.dial().holds(n)
	if code := alone.terminate(); code != 0 {
		t.Fatalf("status %d:\n%s", code, alone.log)
	}
	named := start(t, "pebble", "--dir", dir, "--load", "checkpoint")
	c = named.dial()
	c.holds(n)
	// The checkpoint that has become the live data is not removed by the next save.
	if status, problem := c.save(); status != "ok" {
		t.Fatal(problem)
	}
	c.holds(n)
	named.kill()
	live := start(t, "pebble", "--dir", dir) // its own log has what came behind the save
	live.dial().want("the save", "GET", "behind")
	live.dial().want(fmt.Sprint(n+1), "DBSIZE")
}

// TestDumpLoadsElsewhere: into kvd, redis-check-rdb, redis-server and pebble.
func TestDumpLoadsElsewhere(t *testing.T) {
	const n = 2000
	dir := t.TempDir()
	p := start(t, "pebble", "--dir", dir)
	c := p.dial()
	c.fill(n)
	if status, problem := c.save("rdb"); status != "ok" {
		t.Fatal(problem)
	}
	path := filepath.Join(dir, dumpName)
	info, err := os.Stat(path)
	if err != nil || c.info("rdb_last_save_bytes") != fmt.Sprint(info.Size()) || c.info("rdb_last_save_keys") != fmt.Sprint(n) {
		t.Errorf("%v, %v: %s bytes, %s keys by INFO", info, err, c.info("rdb_last_save_bytes"), c.info("rdb_last_save_keys"))
	}
	c.want("OK", "SET", "behind", "the save")
	p.kill()

	store, err := kv.Open(kv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if res, err := snapshot.Load(context.Background(), store, path, snapshot.LoadOptions{}); err != nil || res.Keys != n {
		t.Fatalf("kvd: %+v, %v", res, err)
	}
	tx := store.NewTx()
	for i := range n {
		tx.LockKey([]byte(key(i)))
		it, ok := tx.Get(0, []byte(key(i)))
		if v := it.AppendRange(nil, 0, it.Len()); !ok || string(v) != value(i) {
			t.Errorf("kvd has %.100q at %s", v, key(i))
		}
		tx.Unlock()
	}

	again := start(t, "pebble", "--dir", dir, "--load", "rdb")
	again.dial().holds(n)
	again.kill()

	if out, err := exec.Command(oracle(t, "redis-check-rdb"), path).CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprint(n, " keys read")) {
		t.Errorf("redis-check-rdb: %v\n%s", err, out)
	}
	redisServer(t, dir).holds(n)
}

// redisServer starts redis-server on the dump in a directory.
func redisServer(t *testing.T, dir string) *client {
	t.Helper()
	own, err := os.MkdirTemp("", "kvd") // its path is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(own) })
	socket := filepath.Join(own, "s")
	cmd := exec.Command(oracle(t, "redis-server"), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var conn redis.Conn
	noise.Wait(t, "redis-server answers", func() bool {
		if conn, err = redis.Dial("unix", socket); err != nil {
			return false
		}
		if _, err = conn.Do("PING"); err != nil { // it is still loading
			_ = conn.Close()
		}
		return err == nil
	})
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t, conn}
}

// TestKillDuringACheckpoint: whenever the process dies, a checkpoint is there that
// has all that was there when it was asked for, and nothing half done stays.
func TestKillDuringACheckpoint(t *testing.T) {
	const n, rounds = 1000, 6
	dir := t.TempDir()
	p := start(t, "pebble", "--dir", dir)
	c := p.dial()
	c.fill(n)
	if status, problem := c.save(); status != "ok" {
		t.Fatal(problem)
	}
	interrupted := 0
	for i := range rounds {
		old := lastCheckpoint(dir)
		c.want(textStarted, "BGSAVE")
		time.Sleep(time.Duration(i) * time.Millisecond)
		p.kill()
		if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 {
			interrupted++
			if _, err := os.Stat(old); err != nil {
				t.Fatalf("the older checkpoint is gone: %v", err)
			}
		}
		// A copy, so that what is looked at stays as it is.
		checkpoint := lastCheckpoint(dir)
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(checkpoint)); err != nil {
			t.Fatal(err)
		}
		alone := start(t, "pebble", "--dir", copied)
		alone.dial().holds(n)
		alone.kill()
		p = start(t, "pebble", "--dir", dir)
		c = p.dial()
		if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 {
			t.Errorf("%q stays", left)
		}
	}
	t.Logf("%d of %d saves were interrupted", interrupted, rounds)
	c.holds(n)
	if status, problem := c.save("rdb"); status != "ok" {
		t.Error(problem)
	}
}

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, bytes int, readOnly bool) string {
	t.Helper()
	dir := t.TempDir()
	var flags uintptr
	if readOnly {
		flags = unix.MS_RDONLY
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "size="+strconv.Itoa(bytes)); err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no right to mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestSaveThatFails: a directory that is full, read-only or not there is an error
// in INFO, the server lives, and the older save stays.
func TestSaveThatFails(t *testing.T) {
	const n = 3000
	p := start(t, "pebble", "--dir", t.TempDir(), "--memtable-mb", "64")
	c := p.dial()
	c.fill(n)
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	good := t.TempDir()
	fails := func(kind, dir, reason string) {
		t.Helper()
		c.want("OK", "CONFIG", "SET", "dir", dir)
		if dir == gone {
			if err := os.RemoveAll(gone); err != nil {
				t.Fatal(err)
			}
		}
		status, problem := c.save(kind)
		if status != "err" || !strings.Contains(problem, reason) {
			t.Errorf("BGSAVE %s into %s: %s, %q, want %q", kind, dir, status, problem, reason)
		}
		c.want("OK", "SET", "still", "here")
		c.want("1", "DEL", "still")
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("%q stays", left)
		}
		c.want("OK", "CONFIG", "SET", "dir", good)
		if status, problem := c.save(kind); status != "ok" || problem != "" {
			t.Errorf("behind it: %s, %s", status, problem)
		}
	}
	fails("RDB", gone, "no such file")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	fails("CHECKPOINT", gone, "no such file")
	for _, kind := range []string{"RDB", "CHECKPOINT"} {
		fails(kind, smallDisk(t, 64<<10, false), "no space left")
		fails(kind, smallDisk(t, 64<<10, true), "read-only")
	}
	c.holds(n)
	if code := p.terminate(); code != 0 {
		t.Errorf("status %d", code)
	}
}

// TestFullDiskOfTheLog: pebble cannot go on without its log, which is said, with a
// status that tells it from an orderly end.
func TestFullDiskOfTheLog(t *testing.T) {
	p := start(t, "pebble", "--dir", smallDisk(t, 24<<20, false), "--memtable-mb", "4")
	c := p.dial()
	blob := make([]byte, 1<<20)
	rand.Read(blob) // nothing to compress
	for i := range 64 {
		if _, err := c.Do("SET", fmt.Sprint(i), blob); err != nil {
			break
		}
	}
	if code := p.status(); code != 1 || !strings.Contains(p.log.String(), "no space left on device") || !strings.Contains(p.log.String(), "the server ends") {
		t.Errorf("status %d:\n%.2000s", code, p.log)
	}
}
