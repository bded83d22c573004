//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Observations of the directives of persistence; see directives_test.go.

func seeDir(t *testing.T) {
	dir := shortDir(t)
	k := start(t, "--dir", dir)
	c := k.dial()
	if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", k.pid())); cwd != dir {
		t.Errorf("it works in %s", cwd)
	}
	c.want("OK", "SAVE")
	if _, err := os.Stat(filepath.Join(dir, "dump.rdb")); err != nil {
		t.Error(err)
	}
}

func seeDBFilename(t *testing.T) {
	k := start(t, "--dbfilename", "mine.rdb")
	c := k.dial()
	c.want("OK", "SET", "a", "b")
	c.want("OK", "SAVE")
	c.want("OK", "CONFIG", "SET", "dbfilename", "other.rdb")
	c.save("fork")
	for _, name := range []string{"mine.rdb", "other.rdb"} {
		if _, err := os.Stat(filepath.Join(k.dir, name)); err != nil {
			t.Error(err)
		}
	}
	k.kill()
	k.again().dial().want("1", "DBSIZE")
}

// breakSaves makes saves fail, and returns what makes them work again.
func breakSaves(c *conn, k *proc) (mend func()) {
	c.t.Helper()
	name := filepath.Join(k.dir, "blocked")
	if err := os.Mkdir(name, 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.want("OK", "CONFIG", "SET", "dbfilename", "blocked")
	return func() {
		c.t.Helper()
		c.want("OK", "CONFIG", "SET", "dbfilename", "dump.rdb")
		_ = os.Remove(name)
	}
}

func seeStopWrites(t *testing.T) {
	k := start(t, "--save", "900 1000000")
	c := k.dial()
	mend := breakSaves(c, k)
	c.do("BGSAVE")
	if s := c.waitSaved(); s != "err" {
		t.Fatalf("status %s", s)
	}
	c.wantMatch("^-MISCONF ", "SET", "a", "b")
	c.want("(nil)", "GET", "a")
	c.want("OK", "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
	c.want("OK", "SET", "a", "b")
	c.want("OK", "CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
	c.wantMatch("^-MISCONF ", "SET", "a", "b")
	mend()
	c.save("fork")
	c.want("OK", "SET", "a", "c")
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func seeCompression(t *testing.T) {
	k := start(t)
	c := k.dial()
	c.want("OK", "SET", "a", strings.Repeat("compress", 10_000))
	path := filepath.Join(k.dir, "dump.rdb")
	for _, kind := range engines {
		c.want("OK", "CONFIG", "SET", "rdbcompression", "yes")
		c.save(kind)
		small := fileSize(t, path)
		c.want("OK", "CONFIG", "SET", "rdbcompression", "no")
		c.save(kind)
		if large := fileSize(t, path); small > 5000 || large < 80_000 {
			t.Errorf("%s: %d bytes compressed, %d not", kind, small, large)
		}
	}
}

func seeChecksum(t *testing.T) {
	for value, want := range map[string]bool{"yes": false, "no": true} {
		k := start(t, "--rdbchecksum", value)
		c := k.dial()
		c.want("OK", "SET", "a", "b")
		for _, kind := range engines {
			c.save(kind)
			b, err := os.ReadFile(filepath.Join(k.dir, "dump.rdb"))
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.HasSuffix(b, make([]byte, 8)); got != want {
				t.Errorf("rdbchecksum %s, %s: zero checksum %v", value, kind, got)
			}
		}
		k.kill()
	}
}

func seeDefaultMethod(t *testing.T) {
	for value, want := range map[string]string{"fork": "fork", "thread": "thread", "forkless": "thread"} {
		k := start(t, "--bgsave-default-method", value)
		c := k.dial()
		c.wantMatch(`^Background saving started \(engine `, "BGSAVE")
		c.waitSaved()
		if got := c.info("rdb_last_bgsave_type"); got != want {
			t.Errorf("%s: %s", value, got)
		}
		k.kill()
	}
	seeAuto(t)
}

// seeAuto has the default method choose both engines: a quiet server forks, and one that
// many clients write to does not. They are two, since a clone that has to wait for a processor
// speaks against the next.
func seeAuto(t *testing.T) {
	choose := func(c *conn) (reply, kind, reason string) {
		t.Helper()
		reply = c.do("BGSAVE")
		if s := c.waitSaved(); s != "ok" {
			t.Fatal(c.info("rdb_last_error"))
		}
		return reply, c.info("rdb_last_bgsave_type"), c.info("rdb_last_auto_reason")
	}
	c := start(t).dial()
	c.want("[bgsave-default-method auto]", "CONFIG", "GET", "bgsave-default-method")
	c.want("OK", "SET", "a", "b")
	if reply, kind, reason := choose(c); kind != "fork" || !strings.HasSuffix(reply, "(engine fork)") || !strings.Contains(reason, "clone") {
		t.Errorf("quiet: %q, %s since %q", reply, kind, reason)
	}
	k := start(t)
	c = k.dial()
	// Many writes for little of a processor: a rate that a busy machine keeps from getting high has a child made,
	// and if its clone then had to wait for a processor the next saves are by a thread for that.
	mset := []string{"MSET"}
	for i := range 1000 {
		mset = append(mset, strconv.Itoa(i%100), "x")
	}
	var b []byte
	for range 20 {
		b = appendCommand(b, mset...)
	}
	// The rate of writes is the mean of some seconds. A busy machine needs more of them.
	reply, kind, reason := "", "", ""
	for began := time.Now(); !strings.Contains(reason, "writes per second, ") && time.Since(began) < patience; {
		for began := time.Now(); time.Since(began) < 1500*time.Millisecond; {
			c.send(b)
			for range 20 {
				c.read()
			}
		}
		reply, kind, reason = choose(c)
	}
	if kind != "thread" || !strings.HasSuffix(reply, "(engine thread)") || !strings.Contains(reason, "writes per second") {
		t.Errorf("busy: %q, %s since %q", reply, kind, reason)
	}
	if !strings.Contains(k.out.String(), "engine thread, chosen since "+reason) {
		t.Error("the log does not say why")
	}
	c.want("OK", "CONFIG", "SET", "bgsave-default-method", "fork")
	if reply, kind, _ := choose(c); kind != "fork" || !strings.HasSuffix(reply, "(engine fork)") {
		t.Errorf("told to fork: %q, %s", reply, kind)
	}
}

func seeChildTimeout(t *testing.T) {
	k := start(t, "--save-child-timeout", "1", "--save-rate-limit", "1kb")
	c := k.dial()
	c.populate("k", 100, 1000)
	stopChild(c, k)
	if s := c.waitSaved(); s != "err" {
		t.Error(s)
	}
	if !strings.Contains(c.info("rdb_last_error"), "progress") {
		t.Errorf("rdb_last_error is %q", c.info("rdb_last_error"))
	}
}
