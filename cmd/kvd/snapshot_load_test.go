//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// SNAPSHOT LOAD: all or nothing, beside clients.

// damaged makes files that cannot be loaded, and returns their names with what is said of them.
func damaged(t *testing.T, dir string, good []byte) map[string]string {
	t.Helper()
	flipped := bytes.Clone(good)
	flipped[len(good)/2] ^= 16
	function, err := os.ReadFile(goldenDumps + "function.rdb")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"flipped": flipped, "cut": good[:len(good)*2/3], "nosum": good[:len(good)-8], "function": function,
		"empty": nil, "text": []byte("this is no dump at all\n"), "version": append([]byte("REDIS0099"), good[9:]...), "longer": append(bytes.Clone(good), 'x')} {
		if err := os.WriteFile(filepath.Join(dir, name+".rdb"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	noError(t, os.Mkdir(filepath.Join(dir, "dir.rdb"), 0o700))
	return map[string]string{"flipped": "offset|checksum", "cut": "offset", "nosum": "offset", "function": "function library", "empty": "offset", "text": "RDB", "version": "version",
		"longer": "", "dir": "directory|regular", "missing": "no such file", "../s": "name", "": "name"}
}

// Whatever is wrong with a file, the data stay as they are.
func TestLoadOfBadSnapshots(t *testing.T) {
	t.Parallel()
	k := start(t, "--save", "3600 1")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "20000", "old", "50")
	good, err := os.ReadFile(c.saveTo(k.dir, "good.rdb", "THREAD", "TO", "good"))
	noError(t, err)
	c.want("OK", "FLUSHALL")
	c.mixed(200)
	digest, used := c.do("DEBUG", "DIGEST"), c.infoInt("used_memory")
	changes := c.infoInt("rdb_changes_since_last_save")
	for name, want := range damaged(t, k.dir, good) {
		if want == "" {
			continue // what stands behind the end is none of a server's business
		}
		for _, args := range [][]string{{"LOAD", name}, {"LOAD", name, "DB", "0"}, {"LOAD", name, "DB", "0", "INTO", "3"}, {"VERIFY", name}} {
			c.wantMatch("^-ERR .*("+want+")", append([]string{"SNAPSHOT"}, args...)...)
			c.want(digest, "DEBUG", "DIGEST")
		}
	}
	if n := c.infoInt("rdb_changes_since_last_save"); n != changes {
		t.Errorf("%d changes since the last save, %d before", n, changes)
	}
	within(t, "the memory", func() bool { return c.infoInt("used_memory") < used+mib && c.info("mem_arena_staged") == "0" })
	c.wantMatch("^-ERR DB index", "SNAPSHOT", "LOAD", "good", "DB", "0", "INTO", "16")
	c.wantMatch("^-ERR DB index", "SNAPSHOT", "LOAD", "good", "DB", "99")
	c.wantMatch("^-ERR syntax", "SNAPSHOT", "LOAD", "good", "INTO", "1")
	c.want(digest, "DEBUG", "DIGEST")
	c.save("thread")
	c.want("20000", "SNAPSHOT", "LOAD", "good")
	c.want("20000", "DBSIZE")
	c.signal(k)
}

// signal ends the server, which must be able to.
func (c *conn) signal(k *proc) {
	c.t.Helper()
	if code := k.signal(syscall.SIGTERM); code != 0 {
		c.t.Errorf("exit status %d", code)
	}
}

func TestLoadOneDatabase(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.mixed(100)
	c.saveTo(k.dir, "all.rdb", "COPY", "TO", "all")
	keys := func(db string) string {
		t.Helper()
		c.want("OK", "SELECT", db)
		defer c.want("OK", "SELECT", "0")
		return c.do("DBSIZE")
	}
	c.want("OK", "SET", "here", "stays")
	c.want("OK", "SELECT", "2")
	c.want("OK", "SET", "gone", "x")
	c.want("OK", "SELECT", "0")
	c.want("100", "SNAPSHOT", "LOAD", "all", "DB", "1", "INTO", "2")
	c.want("stays", "GET", "here")
	c.want("OK", "SELECT", "2")
	c.want("0", "EXISTS", "gone", "key:2:1")
	c.want("2", "EXISTS", "key:1:1", "key:1:50")
	c.wantMatch(`^(100|9\d)\d\d\d$`, "TTL", "key:1:5")
	c.want("OK", "SELECT", "0")
	c.want("102", "SNAPSHOT", "LOAD", "all", "DB", "0")
	c.want("(nil)", "GET", "here")
	c.want("0", "SNAPSHOT", "LOAD", "all", "DB", "7", "INTO", "1") // the dump has none: it becomes empty
	if got := keys("0") + " " + keys("1") + " " + keys("2"); got != "102 0 100" {
		t.Errorf("keys: %s", got)
	}
	c.want("0", "SNAPSHOT", "LOAD", "all", "DB", "500", "INTO", "1") // of a server with more of them
	c.want("302", "SNAPSHOT", "LOAD", "all.rdb")
	if got := keys("0") + " " + keys("1") + " " + keys("2"); got != "102 100 100" {
		t.Errorf("keys: %s", got)
	}
	if n := c.infoInt("rdb_changes_since_last_save"); n == 0 {
		t.Error("a load is no change")
	}
}

// What was loaded is in the next dump, and only there.
func TestRestartAfterLoad(t *testing.T) {
	t.Parallel()
	k := start(t, "--save", "3600 1")
	c := k.dial()
	c.mixed(100)
	c.saveTo(k.dir, "early.rdb", "FORK", "TO", "early")
	early := c.do("DEBUG", "DIGEST")
	c.want("OK", "SET", "later", "x")
	late := c.do("DEBUG", "DIGEST")
	c.save("thread")
	c.want("302", "SNAPSHOT", "LOAD", "early")
	c.want(early, "DEBUG", "DIGEST")
	k.kill()
	k = k.again()
	c = k.dial()
	c.want(late, "DEBUG", "DIGEST")
	c.want("302", "SNAPSHOT", "LOAD", "early")
	c.want("OK", "SET", "new", "1") // in memory of the load's
	after := c.do("DEBUG", "DIGEST")
	c.signal(k)
	k = k.again()
	c = k.dial()
	c.want(after, "DEBUG", "DIGEST")
	c.want("302", "SNAPSHOT", "LOAD", "early")
	for _, kind := range engines {
		c.save(kind)
		if got := digestOfDump(t, filepath.Join(k.dir, "dump.rdb")); got != early {
			t.Errorf("%s: the dump after a load has something else", kind)
		}
	}
}

// A load falls between two commands of all clients: writers see their counters jump to what
// the snapshot has, once and all at the same time, and nothing else is lost.
func TestLoadWhileClientsWrite(t *testing.T) {
	t.Parallel()
	const clients, start0 = 3, 1_000_000_000
	k := start(t, "--io-threads", "2")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "30000", "ballast", "100")
	for i := range clients {
		c.want("OK", "MSET", fmt.Sprint("one", i), strconv.Itoa(start0), fmt.Sprint("two", i), strconv.Itoa(start0))
	}
	c.saveTo(k.dir, "then.rdb", "THREAD", "TO", "then", "DB", "0")
	var loads atomic.Int64 // begun
	var rounds [clients]atomic.Int64
	end := background(t, clients, func(i int, stop *atomic.Bool) error {
		w := k.tryDial()
		if w == nil {
			return errors.New("cannot connect")
		}
		jumps, last, other := int64(0), int64(0), int64(0)
		b := appendCommand(nil, "MULTI")
		b = appendCommand(b, "INCR", fmt.Sprint("one", i))
		b = appendCommand(b, "INCR", fmt.Sprint("two", i))
		b = appendCommand(b, "EXEC")
		b = appendCommand(b, "SELECT", "1")
		b = appendCommand(b, "INCR", fmt.Sprint("other", i))
		b = appendCommand(b, "SELECT", "0")
		for !stop.Load() {
			if _, err := w.Write(b); err != nil {
				return err
			}
			var replies []string
			for range 7 {
				raw, err := w.readRaw()
				if err != nil {
					return err
				}
				replies = append(replies, raw)
			}
			var one, two int64
			if _, err := fmt.Sscanf(replies[3], "*2\r\n:%d\r\n:%d\r\n", &one, &two); err != nil || one != two {
				return fmt.Errorf("EXEC: %q", replies)
			}
			if last != 0 && one != last+1 {
				if jumps++; one != start0+1 || jumps > loads.Load() {
					return fmt.Errorf("after %d: %d, at %d loads", last, one, loads.Load())
				}
			}
			last = one
			if other++; replies[5] != fmt.Sprintf(":%d\r\n", other) {
				return fmt.Errorf("the other database: %q instead of %d", replies[5], other)
			}
			rounds[i].Add(1)
		}
		if n := loads.Load(); jumps != n {
			return fmt.Errorf("%d of %d loads were seen", jumps, n)
		}
		return nil
	})
	defer end()
	for range scaled(6, 60) {
		allServed(t, rounds[:])
		allServed(t, rounds[:]) // the round that this one waited for began behind the last load
		loads.Add(1)
		c.want("30006", "SNAPSHOT", "LOAD", "then", "DB", "0")
	}
	allServed(t, rounds[:])
	allServed(t, rounds[:])
	c.save("fork") // the writers go on beside it, in what was loaded
	end()
	c.want("30006", "DBSIZE")
	within(t, "the old data's memory", func() bool { return c.info("mem_arena_staged") == "0" })
}

// BGSAVE and another load are refused while a load runs, which INFO tells.
func TestDuringLoad(t *testing.T) {
	t.Parallel()
	k := start(t, "--io-threads", "2")
	c, l := k.dial(), k.dial()
	c.want("OK", "DEBUG", "POPULATE", "600000", "k", "20")
	c.saveTo(k.dir, "big.rdb", "THREAD", "TO", "big")
	l.send(appendCommand(nil, "SNAPSHOT", "LOAD", "big"))
	got := c.pipeline("PING", "PING", "INFO persistence", "BGSAVE", "SNAPSHOT LOAD big", "SET a b", "INFO persistence")
	within(t, "the start of the load", func() bool {
		if infoField(got[2], "async_loading") == "1" && infoField(got[6], "async_loading") == "1" {
			return true
		}
		if strings.HasPrefix(got[3], "Background saving started") {
			c.waitSaved()
		}
		l.read()
		l.send(appendCommand(nil, "SNAPSHOT", "LOAD", "big"))
		got = c.pipeline("PING", "PING", "INFO persistence", "BGSAVE", "SNAPSHOT LOAD big", "SET a b", "INFO persistence")
		return false
	})
	for _, i := range []int{3, 4} {
		if !strings.HasPrefix(got[i], "-") {
			t.Errorf("during a load: %q", got[i])
		}
	}
	if got[5] != "OK" || infoField(got[2], "loading") != "0" {
		t.Errorf("the server does not serve: %q", got[5])
	}
	if reply := l.read(); reply != "600000" {
		t.Errorf("LOAD: %q", reply)
	}
	// SIGTERM ends a load.
	l.send(appendCommand(nil, "SNAPSHOT", "LOAD", "big"))
	time.Sleep(20 * time.Millisecond)
	c.signal(k)
}
