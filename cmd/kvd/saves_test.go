//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var engines = []string{"fork", "thread", "copy"}

// bgsaveCommand is the word that a user types for an engine.
var bgsaveWord = map[string]string{"fork": "FORK", "thread": "FORKLESS", "copy": "COPY"}

// save runs a background save to its end, which must be good.
func (c *conn) save(kind string) {
	c.t.Helper()
	c.wantMatch(`^Background saving started \(engine `, "BGSAVE", strings.ToUpper(kind))
	if status := c.waitSaved(); status != "ok" {
		c.t.Fatalf("save by %s: %s: %s", kind, status, c.info("rdb_last_error"))
	}
}

func checkRDB(t testing.TB, path string) {
	t.Helper()
	bin := oracle(t, "redis-check-rdb")
	out, err := exec.Command(bin, path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "RDB looks OK") {
		t.Errorf("redis-check-rdb %s: %v\n%s", path, err, tail(string(out), 500))
	}
}

// mixed makes strings of every encoding in three databases, some with an
// expiry.
func (c *conn) mixed(n int) {
	c.t.Helper()
	for db := range 3 {
		c.want("OK", "SELECT", strconv.Itoa(db))
		var b []byte
		for i := range n {
			key := fmt.Sprintf("key:%d:%d", db, i)
			value := strconv.Itoa(i)
			switch i % 7 {
			case 1:
				value = strconv.Itoa(-i * 1_000_003)
			case 2:
				value = strings.Repeat("compress me ", i%40)
			case 3:
				value = fmt.Sprintf("%x", uint64(i)*0x9E3779B97F4A7C15)
			case 4:
				value = strings.Repeat("\x00\r\n\xff", i%30)
			}
			if i%5 == 0 {
				b = appendCommand(b, "SET", key, value, "EX", strconv.Itoa(100_000+i))
			} else {
				b = appendCommand(b, "SET", key, value)
			}
		}
		c.send(b)
		for range n {
			if got := c.read(); got != "OK" {
				c.t.Fatal(got)
			}
		}
	}
	c.want("OK", "SELECT", "0")
	c.want("OK", "SET", "big", strings.Repeat("0123456789abcdef", 100_000))
	c.want("OK", "SET", "", "the empty key")
}

func TestSaveReplies(t *testing.T) {
	t.Parallel()
	k := start(t, "--bgsave-default-method", "fork") // auto would think twice after a clone that had to wait for a processor
	c := k.dial()
	c.mixed(300)
	for _, tt := range []struct{ option, kind string }{
		{"", "fork"}, {"FORK", "fork"}, {"THREAD", "thread"}, {"FORKLESS", "thread"}, {"COPY", "copy"}, {"schedule", "fork"},
	} {
		args := []string{"BGSAVE"}
		if tt.option != "" {
			args = append(args, tt.option)
		}
		before := c.infoInt("rdb_saves")
		c.wantMatch(`^Background saving started \(engine `, args...)
		if status := c.waitSaved(); status != "ok" {
			t.Errorf("%v: %s", args, status)
		}
		if got := c.info("rdb_last_bgsave_type"); got != tt.kind {
			t.Errorf("%v: type %s", args, got)
		}
		if n := c.infoInt("rdb_saves"); n != before+1 {
			t.Errorf("%v: %d saves after %d", args, n, before)
		}
		checkRDB(t, filepath.Join(k.dir, "dump.rdb"))
	}
	c.want("OK", "CONFIG", "SET", "bgsave-default-method", "forkless")
	c.want("[bgsave-default-method thread]", "CONFIG", "GET", "bgsave-default-method")
	c.wantMatch(`^Background saving started \(engine `, "BGSAVE")
	c.waitSaved()
	c.want("OK", "SAVE")
	c.want("-ERR syntax error", "BGSAVE", "NOW")
	c.want("-ERR Background saving is currently not in progress or scheduled", "BGSAVE", "CANCEL")
	if c.infoInt("rdb_last_save_time") != c.lastSave() || c.lastSave() < time.Now().Unix()-600 {
		t.Error("LASTSAVE and rdb_last_save_time disagree, or are old")
	}
	left, _ := filepath.Glob(filepath.Join(k.dir, "temp*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (c *conn) lastSave() int64 {
	c.t.Helper()
	n, _ := strconv.ParseInt(c.do("LASTSAVE"), 10, 64)
	return n
}

// pipeline sends commands in one write and returns their replies, so that all
// but the first meet what the first started.
func (c *conn) pipeline(lines ...string) []string {
	c.t.Helper()
	var b []byte
	for _, line := range lines {
		b = appendCommand(b, strings.Fields(line)...)
	}
	c.send(b)
	replies := make([]string, len(lines))
	for i := range replies {
		replies[i] = c.read()
	}
	return replies
}

// slowData makes so much that what its saves cost can be seen.
func (c *conn) slowData() {
	c.t.Helper()
	c.want("OK", "DEBUG", "POPULATE", "300000", "slow", "100")
}

// lasting are the arguments of a server whose saves of some 100 KB go on until they are cancelled; of
// halfASecond they end.
var (
	lasting     = []string{"--save-rate-limit", "1kb"}
	halfASecond = []string{"--save-rate-limit", "200kb"}
)

// some100KB are for these.
func (c *conn) some100KB() {
	c.t.Helper()
	c.populate("slow", 100, 1000)
}

// What is said to who asks for another save, or the end of this one, while one
// runs.
func TestWhileASaveRuns(t *testing.T) {
	t.Parallel()
	k := start(t, lasting...)
	c := k.dial()
	c.some100KB()
	for _, kind := range engines {
		word := bgsaveWord[kind]
		c.want("OK", "CONFIG", "SET", "save-rate-limit", "1kb")
		got := c.pipeline("BGSAVE "+word, "BGSAVE", "SAVE", "BGSAVE "+word+" SCHEDULE", "INFO persistence", "BGSAVE CANCEL")
		if !strings.HasPrefix(got[0], "Background saving started (engine ") {
			t.Fatalf("%s: %q", kind, got)
		}
		const busy = "-ERR Background save already in progress"
		if got[1] != busy || got[2] != busy {
			t.Errorf("%s: BGSAVE and SAVE during a save: %q %q", kind, got[1], got[2])
		}
		if got[3] != "Background saving scheduled" {
			t.Errorf("%s: SCHEDULE: %q", kind, got[3])
		}
		if f := infoField(got[4], "rdb_bgsave_in_progress") + infoField(got[4], "rdb_current_bgsave_type"); f != "1"+kind {
			t.Errorf("%s: INFO says %s", kind, f)
		}
		if !strings.HasPrefix(got[5], "Background saving cancelled") {
			t.Errorf("%s: CANCEL: %q", kind, got[5])
		}
		// CANCEL ends the scheduled one, too.
		before := c.info("rdb_saves")
		time.Sleep(150 * time.Millisecond)
		if after := c.info("rdb_saves"); after != before || c.info("rdb_bgsave_in_progress") != "0" {
			t.Errorf("%s: %s saves after CANCEL, %s before", kind, after, before)
		}
		c.want("OK", "CONFIG", "SET", "save-rate-limit", "0")
		c.save(kind) // the next one works
	}
}

// A scheduled save starts when the one that runs has ended.
func TestScheduledSave(t *testing.T) {
	t.Parallel()
	k := start(t, halfASecond...)
	c := k.dial()
	c.some100KB()
	for _, kind := range engines {
		var before int64
		within(t, "a scheduled save", func() bool { // the first one may be over too soon
			c.waitSaved()
			before = c.infoInt("rdb_saves")
			got := c.pipeline("BGSAVE "+bgsaveWord[kind], "BGSAVE THREAD SCHEDULE")
			return got[1] == "Background saving scheduled"
		})
		within(t, "two saves", func() bool { return c.infoInt("rdb_saves") == before+2 })
		if got := c.waitSaved(); got != "ok" || c.info("rdb_last_bgsave_type") != "thread" {
			t.Errorf("%s: %s by %s", kind, got, c.info("rdb_last_bgsave_type"))
		}
	}
}

func TestPersistenceFields(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	if got := c.info("rdb_last_bgsave_type") + c.info("rdb_current_bgsave_type"); got != "nonenone" {
		t.Errorf("types before the first save: %s", got)
	}
	if got := c.info("rdb_last_bgsave_time_sec") + c.info("rdb_current_bgsave_time_sec"); got != "-1-1" {
		t.Errorf("times before the first save: %s", got)
	}
	c.want("OK", "DEBUG", "POPULATE", "100000", "k", "100")
	saves, forks := int64(0), int64(0)
	for _, kind := range engines {
		within(t, "a cut within a second", func() bool { // if it has to wait for a processor, there is another try
			c.save(kind)
			saves++
			if kind == "fork" {
				forks++
			}
			return kind == "copy" || c.infoInt("rdb_last_pause_usec") < 1_000_000
		})
		text := c.do("INFO", "persistence")
		for field, check := range map[string]func(n int64) bool{
			"loading":                     func(n int64) bool { return n == 0 },
			"rdb_changes_since_last_save": func(n int64) bool { return n == 0 },
			"rdb_bgsave_in_progress":      func(n int64) bool { return n == 0 },
			"rdb_last_save_time":          func(n int64) bool { return n > time.Now().Unix()-600 },
			"rdb_last_bgsave_time_sec":    func(n int64) bool { return n >= 0 && n < 120 },
			"rdb_current_bgsave_time_sec": func(n int64) bool { return n == -1 },
			"rdb_saves":                   func(n int64) bool { return n == saves },
			"rdb_last_cow_size":           func(n int64) bool { return n >= 0 && (kind != "fork" || n > 0) },
			"rdb_last_pause_usec":         func(n int64) bool { return n > 0 },
			"rdb_last_extra_memory_peak":  func(n int64) bool { return kind != "copy" || n > 10_000_000 },
			"current_save_keys_total":     func(n int64) bool { return n == 0 },
		} {
			n, err := strconv.ParseInt(infoField(text, field), 10, 64)
			if err != nil || !check(n) {
				t.Errorf("%s: %s is %q", kind, field, infoField(text, field))
			}
		}
		if e := infoField(text, "rdb_last_error"); e != "" {
			t.Errorf("%s: rdb_last_error is %q after a good save", kind, e)
		}
	}
	if n := c.infoInt("total_forks"); n != forks {
		t.Errorf("total_forks is %d after %d", n, forks)
	}
	if n := c.infoInt("latest_fork_usec"); n <= 0 || n > 60_000_000 {
		t.Errorf("latest_fork_usec is %d", n)
	}
}

// rdb_changes_since_last_save after a save is the writes since its cut.
func TestChangesSinceTheCut(t *testing.T) {
	t.Parallel()
	k := start(t, halfASecond...)
	c := k.dial()
	c.some100KB()
	for _, kind := range engines {
		lines := []string{"SET before 1", "BGSAVE " + bgsaveWord[kind]}
		for i := range 40 {
			lines = append(lines, fmt.Sprintf("SET during:%d x", i))
		}
		lines = append(lines, "GET before", "DEL nothing", "INFO persistence")
		got := c.pipeline(lines...)
		if in := infoField(got[len(got)-1], "rdb_bgsave_in_progress"); in != "1" {
			t.Logf("%s: the save was over before the writes", kind)
		}
		if s := c.waitSaved(); s != "ok" {
			t.Fatal(s)
		}
		if n := c.infoInt("rdb_changes_since_last_save"); n != 40 {
			t.Errorf("%s: %d changes since the cut, want 40", kind, n)
		}
	}
	c.want("OK", "SAVE")
	if n := c.infoInt("rdb_changes_since_last_save"); n != 0 {
		t.Errorf("SAVE: %d changes", n)
	}
}

// The digest is the same in kvd, in a redis-server started on its dump, and
// in a kvd started on that server's dump.
func TestDigestsAgreeWithRedis(t *testing.T) {
	t.Parallel()
	for _, kind := range append([]string{"save"}, engines...) {
		for _, options := range [][]string{nil, {"--rdbcompression", "no", "--rdbchecksum", "no"}} {
			k := start(t, options...)
			c := k.dial()
			c.mixed(400)
			if kind == "save" {
				c.want("OK", "SAVE")
			} else {
				c.save(kind)
			}
			digest := c.do("DEBUG", "DIGEST")
			k.kill()
			checkRDB(t, filepath.Join(k.dir, "dump.rdb"))
			r := startRedis(t, k.dir)
			rc := r.dial()
			rc.want(digest, "DEBUG", "DIGEST")
			if err := os.Remove(filepath.Join(k.dir, "dump.rdb")); err != nil {
				t.Fatal(err)
			}
			rc.want("OK", "SAVE")
			r.kill()
			k = k.again()
			k.dial().want(digest, "DEBUG", "DIGEST")
			k.kill()
		}
	}
}

func (c *conn) dumpKeys(path string) int {
	c.t.Helper()
	n, err := countKeys(c.t, path)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// countKeys starts a kvd on a copy of a dump and returns DBSIZE of database 0.
func countKeys(t testing.TB, path string) (int, error) {
	t.Helper()
	dir := shortDir(t)
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), content, 0o600); err != nil {
		return 0, err
	}
	k := startIn(t, dir)
	defer k.kill()
	return strconv.Atoi(k.dial().do("DBSIZE"))
}

// FLUSHALL ends a save that runs: its dump would be of data that are gone.
// With save points the empty data set is saved at once.
func TestFlushAllDuringASave(t *testing.T) {
	t.Parallel()
	for _, kind := range engines {
		k := start(t, lasting...)
		c := k.dial()
		c.want("OK", "SET", "old", "1")
		c.want("OK", "SAVE")
		c.some100KB()
		got := c.pipeline("BGSAVE "+bgsaveWord[kind], "INFO persistence", "FLUSHALL", "INFO persistence", "DBSIZE")
		if infoField(got[1], "rdb_bgsave_in_progress") != "1" || infoField(got[3], "rdb_bgsave_in_progress") != "0" {
			t.Errorf("%s: the save ran: %s, after FLUSHALL: %s", kind, infoField(got[1], "rdb_bgsave_in_progress"),
				infoField(got[3], "rdb_bgsave_in_progress"))
		}
		if got[2] != "OK" || got[4] != "0" {
			t.Errorf("%s: %q %q", kind, got[2], got[4])
		}
		if n := c.dumpKeys(filepath.Join(k.dir, "dump.rdb")); n != 1 {
			t.Errorf("%s: the dump has %d keys, not the one of the save before", kind, n)
		}
		if s := c.info("rdb_last_bgsave_status"); s != "ok" { // a cancelled save is no failed one
			t.Errorf("%s: status %s", kind, s)
		}
		c.want("OK", "CONFIG", "SET", "save", "3600 1000000")
		c.want("OK", "SET", "a", "b")
		c.want("OK", "FLUSHALL")
		if n := c.dumpKeys(filepath.Join(k.dir, "dump.rdb")); n != 0 {
			t.Errorf("%s: after FLUSHALL with save points the dump has %d keys", kind, n)
		}
		k.kill()
	}
}

func TestSwapDBDuringASave(t *testing.T) {
	t.Parallel()
	for _, kind := range engines {
		k := start(t, halfASecond...)
		c := k.dial()
		c.some100KB()
		c.want("OK", "SELECT", "1")
		c.want("OK", "SET", "one", "1")
		c.want("OK", "SELECT", "0")
		got := c.pipeline("DEBUG DIGEST", "BGSAVE "+bgsaveWord[kind], "SWAPDB 0 1", "SET new x", "INFO persistence", "DBSIZE")
		if got[2] != "OK" || got[5] != "2" {
			t.Errorf("%s: %q", kind, got)
		}
		if infoField(got[4], "rdb_bgsave_in_progress") != "1" {
			t.Logf("%s: the save was over", kind)
		}
		if s := c.waitSaved(); s != "ok" {
			t.Errorf("%s: %s", kind, s)
		}
		k.kill()
		k = k.again()
		k.dial().want(got[0], "DEBUG", "DIGEST") // the dump is of before SWAPDB
		k.kill()
	}
}

// The dump of a running save goes where the server was when the save began;
// CONFIG SET dir counts for the next one.
func TestConfigSetDirDuringASave(t *testing.T) {
	t.Parallel()
	for _, kind := range engines {
		k := start(t, halfASecond...)
		c := k.dial()
		c.some100KB()
		other := shortDir(t)
		got := c.pipeline("BGSAVE "+bgsaveWord[kind], "CONFIG SET dir "+other, "INFO persistence")
		if got[1] != "OK" {
			t.Fatalf("%s: %q", kind, got[1])
		}
		if s := c.waitSaved(); s != "ok" {
			t.Errorf("%s: %s: %s", kind, s, c.info("rdb_last_error"))
		}
		_, errOld := os.Stat(filepath.Join(k.dir, "dump.rdb"))
		_, errNew := os.Stat(filepath.Join(other, "dump.rdb"))
		if errOld != nil || errNew == nil {
			t.Errorf("%s: dump in the old directory: %v, in the new one: %v", kind, errOld, errNew)
		}
		if left, _ := filepath.Glob(filepath.Join(k.dir, "temp*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", kind, left)
		}
		if left, _ := filepath.Glob(filepath.Join(other, "temp*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", kind, left)
		}
		_ = os.Remove(filepath.Join(other, "dump.rdb"))
		c.save(kind)
		checkRDB(t, filepath.Join(other, "dump.rdb"))
		k.kill()
	}
}

func TestSavePointsFire(t *testing.T) {
	t.Parallel()
	k := start(t, "--save", "1 3")
	c := k.dial()
	c.want("OK", "MSET", "a", "1", "b", "2")
	time.Sleep(1500 * time.Millisecond)
	if n := c.infoInt("rdb_saves"); n != 0 {
		t.Errorf("saved %d times after 2 changes", n)
	}
	c.want("OK", "SET", "c", "3")
	within(t, "the save point", func() bool { return c.infoInt("rdb_saves") == 1 })
	c.waitSaved()
	if !strings.Contains(k.out.String(), "3 changes in 1 seconds. Saving...") {
		t.Errorf("log:\n%s", k.out)
	}
	k.kill()
	k.again().dial().want("3", "DBSIZE")
}
