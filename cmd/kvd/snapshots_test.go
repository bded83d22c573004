//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Saves under a name, of one database, and what can be done with them.

// saveTo runs a background save that is not of the dump, and returns the file.
func (c *conn) saveTo(dir, file string, args ...string) string {
	c.t.Helper()
	c.wantMatch(`^Background saving started \(engine [a-z]+\) to `+file+`$`, append([]string{"BGSAVE"}, args...)...)
	if status := c.waitSaved(); status != "ok" {
		c.t.Fatalf("BGSAVE %q: %s: %s", args, status, c.info("rdb_last_error"))
	}
	return filepath.Join(dir, file)
}

// loaded returns the digest of what a server has that was started on a file, without the
// databases that are to be emptied.
func loaded(t testing.TB, begin func(t testing.TB, dir string, args ...string) *proc, path string, empty ...int) string {
	t.Helper()
	dir := shortDir(t)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "dump.rdb"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	k := begin(t, dir)
	defer k.kill()
	c := k.dial()
	for _, db := range empty {
		c.want("OK", "SELECT", strconv.Itoa(db))
		c.want("OK", "FLUSHDB")
	}
	return c.do("DEBUG", "DIGEST")
}

// A save of a name or of a database makes a file of its own, that kvd and Redis load, and
// leaves the dump, LASTSAVE and the count of changes alone.
func TestSnapshotsBesideTheDump(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.mixed(300)
	dump := filepath.Join(k.dir, "dump.rdb")
	c.want("OK", "SAVE")
	before, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	only := []string{loaded(t, startIn, dump, 1, 2), "", loaded(t, startIn, dump, 0, 1)}
	c.want("OK", "SET", "later", "x")
	c.want("OK", "SET", "later", "y")
	all, only0 := c.do("DEBUG", "DIGEST"), ""
	lastSave := c.lastSave()
	time.Sleep(time.Second) // LASTSAVE counts seconds
	for _, method := range []string{"FORK", "THREAD", "COPY", "AUTO"} {
		name := strings.ToLower(method)
		whole := c.saveTo(k.dir, name+".rdb", method, "TO", name)
		two := c.saveTo(k.dir, name+"2.rdb", "TO", name+"2.rdb", "DB", "2", method)
		zero := c.saveTo(k.dir, "dump-db0.rdb", "DB", "0", method)
		if only0 == "" {
			only0 = loaded(t, startIn, whole, 1, 2)
		}
		for path, want := range map[string]string{whole: all, two: only[2], zero: only0} {
			if got := loaded(t, startIn, path); got != want {
				t.Errorf("%s: kvd has other data on %s", method, path)
			}
		}
		if got := c.info("rdb_last_save_keys"); got != "303" {
			t.Errorf("%s: rdb_last_save_keys is %s", method, got)
		}
	}
	if now, _ := os.ReadFile(dump); !bytes.Equal(now, before) {
		t.Error("the dump has been replaced")
	}
	if n := c.infoInt("rdb_changes_since_last_save"); n != 2 {
		t.Errorf("%d changes since the last save, 2 were made", n)
	}
	if now := c.lastSave(); now != lastSave {
		t.Errorf("LASTSAVE went from %d to %d", lastSave, now)
	}
	if only[0] == only0 || only[2] == all {
		t.Fatal("the test cannot tell databases apart")
	}
	// What is in these files is an RDB, for Redis too.
	for file, want := range map[string]string{"fork": all, "thread": all, "copy": all, "auto": all,
		"fork2": only[2], "thread2": only[2], "copy2": only[2], "auto2": only[2], "dump-db0": only0} {
		path := filepath.Join(k.dir, file+".rdb")
		checkRDB(t, path)
		if got := loaded(t, startRedis, path); got != want {
			t.Errorf("redis-server has other data on %s", path)
		}
	}
}

func TestBgsaveErrors(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "SET", "a", "b")
	for line, want := range map[string]string{
		"TO dump":                      `^-ERR snapshot name "dump": that is the dump itself$`,
		"TO dump.rdb":                  `^-ERR snapshot name "dump.rdb": that is the dump itself$`,
		"FORK TO ../x":                 `^-ERR snapshot name "../x" begins with '\.'$`,
		"TO a/b":                       `^-ERR snapshot name "a/b" has something other than letters`,
		"TO /etc/x":                    `^-ERR snapshot name "/etc/x" has something other than letters`,
		"TO -x":                        `^-ERR snapshot name "-x" begins with '-'$`,
		"TO temp-1-a":                  `^-ERR snapshot name "temp-1-a" begins with "temp-"`,
		"SCHEDULE TO ../x":             `^-ERR snapshot name "../x" begins with '\.'$`,
		"DB 16":                        `^-ERR DB index is out of range$`,
		"DB 99 TO x":                   `^-ERR DB index is out of range$`,
		"DB -1":                        `^-ERR DB index is out of range$`,
		"DB x":                         `^-ERR value is not an integer or out of range$`,
		"DB":                           `^-ERR syntax error$`,
		"TO":                           `^-ERR syntax error$`,
		"TO x TO y":                    `^-ERR syntax error$`,
		"DB 1 DB 2":                    `^-ERR syntax error$`,
		"FORK THREAD":                  `^-ERR syntax error$`,
		"CANCEL TO x":                  `^-ERR syntax error$`,
		"x":                            `^-ERR syntax error$`,
		"TO " + longName(201):          `^-ERR snapshot name "x+" has 201 bytes, 200 are the most$`,
		"TO dump-20260131T235959.123Z": `^-ERR snapshot name .* is of the form that save-keep uses, and removes$`,
	} {
		c.wantMatch(want, append([]string{"BGSAVE"}, strings.Fields(line)...)...)
	}
	c.wantMatch("^-ERR", "BGSAVE", "TO", "")
	c.wantMatch("^-ERR", "BGSAVE", "TO", "a\x00b")
	if n := c.infoInt("rdb_saves"); n != 0 {
		t.Errorf("%d saves", n)
	}
	if files, _ := filepath.Glob(filepath.Join(k.dir, "*.rdb")); len(files) > 0 {
		t.Errorf("files: %v", files)
	}
	c.saveTo(k.dir, longName(196)+".rdb", "TO", longName(196)+".rdb")
}

func longName(n int) string { return strings.Repeat("x", n) }

// A named save is none that save points count from, and one that fails denies no writes.
func TestSavePointsAndSnapshots(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "MSET", "a", "1", "b", "2", "c", "3")
	c.saveTo(k.dir, "mine.rdb", "TO", "mine")
	c.want("OK", "CONFIG", "SET", "save", "1 3")
	within(t, "the save point", func() bool {
		_, err := os.Stat(filepath.Join(k.dir, "dump.rdb"))
		return err == nil
	})
	c.waitSaved()
	if r, n := c.info("rdb_last_save_reason"), c.infoInt("rdb_changes_since_last_save"); r != "3 changes in 1 seconds" || n != 0 {
		t.Errorf("%q, %d changes", r, n)
	}
	if err := os.Mkdir(filepath.Join(k.dir, "blocked.rdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.wantMatch("^-ERR ", "BGSAVE", "TO", "blocked")
	if s := c.info("rdb_last_bgsave_status"); s != "err" {
		t.Errorf("the failed save: %s", s)
	}
	c.want("OK", "SET", "a", "1")
}

// Every event of the latency monitor that took as long as the threshold is there, and no other.
func TestLatencyOfSaves(t *testing.T) {
	t.Parallel()
	k := start(t, "--latency-monitor-threshold", "1")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "200000", "k", "100")
	c.want("OK", "DEBUG", "SLEEP", "0.02")
	seen := func() []string {
		t.Helper()
		var names []string
		for _, f := range strings.Split(strings.Trim(c.do("LATENCY", "LATEST"), "[]"), "] [") {
			name, _, _ := strings.Cut(f, " ")
			names = append(names, name)
		}
		return names
	}
	if !slices.Contains(seen(), "command") {
		t.Errorf("after DEBUG SLEEP: %v", seen())
	}
	c.want("OK", "CONFIG", "SET", "latency-monitor-threshold", "0")
	c.save("copy")
	if s := seen(); slices.Contains(s, "save-cut") {
		t.Errorf("without a threshold: %v", s)
	}
	c.want("OK", "CONFIG", "SET", "latency-monitor-threshold", "1")
	for _, kind := range []string{"fork", "thread", "copy"} {
		c.do("LATENCY", "RESET")
		c.save(kind)
		s := seen()
		checks := map[string]int64{"save-cut": c.infoInt("rdb_last_pause_usec")}
		if kind == "fork" {
			checks["fork"] = c.infoInt("latest_fork_usec")
		}
		for event, usec := range checks {
			if usec != 1000 && slices.Contains(s, event) != (usec > 1000) { // it is rounded up
				t.Errorf("%s: %s took %d us: %v", kind, event, usec, s)
			}
			t.Logf("%s: %s took %d us: %v", kind, event, usec, s)
		}
		if kind == "copy" && !slices.Contains(s, "save-cut") {
			t.Errorf("copy: %v", s)
		}
		if kind != "fork" && slices.Contains(s, "fork") {
			t.Errorf("%s: %v", kind, s)
		}
	}
	c.wantMatch(`^\[\[\d+ \d+\]\]$`, "LATENCY", "HISTORY", "save-cut")
}

// figuresOf returns a map in the form of either protocol version, by field.
func figuresOf(t *testing.T, reply any) map[string]string {
	t.Helper()
	m := map[string]string{}
	switch r := reply.(type) {
	case map[any]any: // RESP3
		for k, v := range r {
			m[fmt.Sprint(k)] = fmt.Sprint(v)
		}
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			m[fmt.Sprint(r[i])] = fmt.Sprint(r[i+1])
		}
	default:
		t.Fatalf("%T %v", reply, reply)
	}
	return m
}

// The SNAPSHOT commands as a client library sees them, in both versions of the protocol.
func TestSnapshotCommands(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	k := start(t, "--bind", "127.0.0.1", "--port", port)
	c := k.dial()
	c.mixed(100)
	c.save("fork")
	c.saveTo(k.dir, "one.rdb", "THREAD", "TO", "one", "DB", "1")
	noError(t, os.Chtimes(filepath.Join(k.dir, "dump.rdb"), time.Time{}, time.Now().Add(-time.Hour)))
	ctx := t.Context()
	for _, version := range []int{2, 3} {
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, Protocol: version, ReadTimeout: patience, DialTimeout: patience, MaxRetries: -1})
		do := func(args ...any) any {
			t.Helper()
			reply, err := rdb.Do(ctx, args...).Result()
			noError(t, err)
			return reply
		}
		list := do("SNAPSHOT", "LIST").([]any)
		if len(list) != 2 {
			t.Fatalf("RESP%d: LIST: %v", version, list)
		}
		for i, want := range []string{"one one.rdb named thread", "dump dump.rdb default fork"} { // the newest first
			f := figuresOf(t, list[i])
			size := strconv.FormatInt(fileSize(t, filepath.Join(k.dir, f["file"])), 10)
			if got := strings.Join([]string{f["name"], f["file"], f["kind"], f["engine"]}, " "); got != want || f["bytes"] != size || len(f) != 6 {
				t.Errorf("RESP%d: LIST: %v, want %s", version, f, want)
			}
		}
		yes, no := "1", "0"
		if version == 3 {
			yes, no = "true", "false"
		}
		f := figuresOf(t, do("SNAPSHOT", "VERIFY", "dump"))
		if f["keys"] != "302" || f["databases"] != "3" || f["expires"] != "60" || f["checksum"] != yes || f["version"] != "10" || len(f) != 9 {
			t.Errorf("RESP%d: VERIFY: %v", version, f)
		}
		f = figuresOf(t, do("SNAPSHOT", "STATUS"))
		if f["in-progress"] != no || f["last-engine"] != "thread" || f["last-keys"] != "100" || f["last-status"] != "ok" ||
			f["last-verified"] != "yes" || f["saves"] != "2" || f["forks"] != "1" || f["eta-seconds"] != "-1" || len(f) != 37 {
			t.Errorf("RESP%d: STATUS: %v", version, f)
		}
		if reply := do("SNAPSHOT", "LOAD", "one", "DB", "1", "INTO", strconv.Itoa(8+version)); reply != int64(100) {
			t.Errorf("RESP%d: LOAD: %v", version, reply)
		}
		if err := rdb.Do(ctx, "SNAPSHOT", "LOAD", "none").Err(); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("RESP%d: LOAD none: %v", version, err)
		}
		noError(t, rdb.Close())
	}
	// The same while a save runs.
	c.want("OK", "CONFIG", "SET", "save-rate-limit", "1kb")
	c.begin("FORK", "TO", "two")
	f := figuresOf(t, replyOf(t, port))
	if f["in-progress"] != "true" || f["engine"] != "fork" || f["name"] != "two" || f["phase"] != "writing" || f["reason"] != "BGSAVE" ||
		f["keys-total"] != "502" || f["child-pid"] != strconv.Itoa(children(k.pid())[0]) || f["limit-bytes"] != strconv.Itoa(64*mib) {
		t.Errorf("STATUS during a save: %v", f)
	}
	c.endSave()
}

// replyOf asks for SNAPSHOT STATUS over RESP3.
func replyOf(t *testing.T, port string) any {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, ReadTimeout: patience, DialTimeout: patience, MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	reply, err := rdb.Do(t.Context(), "SNAPSHOT", "STATUS").Result()
	noError(t, err)
	return reply
}
