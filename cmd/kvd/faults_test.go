//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// digestOfDump loads a copy of a dump and returns its digest.
func digestOfDump(t testing.TB, path string) string {
	t.Helper()
	dir := shortDir(t)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	k := startIn(t, dir)
	defer k.kill()
	return k.dial().do("DEBUG", "DIGEST")
}

// Whenever the server is killed during a save, the previous dump or the new
// one loads.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 7))
	dir := shortDir(t)
	k := startIn(t, dir)
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "30000", "k", "100")
	began := time.Now()
	c.save("fork")
	took := time.Since(began)
	old := c.do("DEBUG", "DIGEST")
	kept, replaced := 0, 0
	for i := range scaled(9, 200) {
		kind := engines[i%len(engines)]
		c.want("OK", "MSET", "generation", fmt.Sprint(i), fmt.Sprint("key", i), "x", "k:"+fmt.Sprint(i), "changed")
		now := c.do("DEBUG", "DIGEST")
		c.wantMatch(`^Background saving started \(engine `, "BGSAVE", bgsaveWord[kind])
		time.Sleep(time.Duration(rnd.Int64N(int64(took)*3/2 + 1)))
		orphans := children(k.pid())
		k.kill()
		for _, pid := range orphans {
			within(t, "the end of the child", func() bool { return ended(pid) })
		}
		k = startIn(t, dir)
		c = k.dial()
		switch got := c.do("DEBUG", "DIGEST"); got {
		case now:
			replaced++
			old = now
		case old:
			kept++
		default:
			t.Fatalf("after SIGKILL in save %d by %s neither the previous nor the new dump was loaded", i, kind)
		}
	}
	t.Logf("%d times the previous dump, %d times the new one; a save takes %v", kept, replaced, took)
	if left, _ := filepath.Glob(filepath.Join(dir, "temp*")); len(left) > 0 {
		t.Errorf("temporary files of killed servers are still there: %v", left)
	}
}

func TestKilledChild(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(8, 8))
	k := start(t, "--save", "900 1000000")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "30000", "k", "100")
	began := time.Now()
	c.save("fork")
	took := time.Since(began)
	dump := filepath.Join(k.dir, "dump.rdb")
	old, failed := c.do("DEBUG", "DIGEST"), 0
	for i := range scaled(9, 200) {
		c.want("OK", "MSET", "generation", fmt.Sprint(i), fmt.Sprint("key", i), "x")
		now := c.do("DEBUG", "DIGEST")
		c.wantMatch(`^Background saving started \(engine `, "BGSAVE", "FORK")
		time.Sleep(time.Duration(rnd.Int64N(int64(took) + 1)))
		for _, pid := range children(k.pid()) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		status := c.waitSaved()
		got := digestOfDump(t, dump)
		switch {
		case status == "ok" && got == now:
			old = now
		case status == "err" && got == old:
			failed++
			if e := c.info("rdb_last_error"); !strings.Contains(e, "killed") && !strings.Contains(e, "signal") {
				t.Errorf("rdb_last_error is %q", e)
			}
			c.wantMatch("^-MISCONF .*(killed|signal)", "SET", "a", "b")
			c.save(engines[i%len(engines)])
			old = now
		default:
			t.Fatalf("save %d: %s, and the dump is the previous %v, the new %v", i, status, got == old, got == now)
		}
	}
	t.Logf("%d saves failed; a save takes %v", failed, took)
}

// mounted makes a small file system of its own. Only root can.
func mounted(t *testing.T, options string) string {
	t.Helper()
	dir := shortDir(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		missing(t, "mount: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func remount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	var err error
	within(t, "the remount", func() bool { // as long as anybody has a file open for writing
		err = syscall.Mount("tmpfs", dir, "tmpfs", flags|syscall.MS_REMOUNT, options)
		return err != syscall.EBUSY
	})
	if err != nil {
		t.Fatal(err)
	}
}

// failingSave runs a save that must fail with a reason, and checks that it is
// said everywhere. The dump of before must still be there.
func failingSave(t *testing.T, k *proc, c *conn, kind, reason, dump, digest string) {
	t.Helper()
	mark := len(k.out.String())
	if kind == "save" {
		c.wantMatch("^-ERR", "SAVE")
		c.do("BGSAVE", "FORK") // SAVE sets no status, as in Redis
	} else {
		c.do("BGSAVE", bgsaveWord[kind])
	}
	if s := c.waitSaved(); s != "err" {
		t.Errorf("%s: status %s", kind, s)
	}
	low := strings.ToLower
	if e := c.info("rdb_last_error"); !strings.Contains(low(e), reason) {
		t.Errorf("%s: rdb_last_error is %q", kind, e)
	}
	if e := c.do("SET", "a", "b"); !strings.HasPrefix(e, "-MISCONF ") || !strings.Contains(low(e), reason) {
		t.Errorf("%s: SET: %q", kind, e)
	}
	if log := k.out.String()[mark:]; !strings.Contains(low(log), reason) {
		t.Errorf("%s: log: %q", kind, log)
	}
	c.want("value:1", "GET", "first:1")
	if got := digestOfDump(t, dump); got != digest {
		t.Errorf("%s: the previous dump has changed", kind)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dump), "temp*")); len(left) > 0 {
		t.Errorf("%s: left behind: %v", kind, left)
	}
}

// fill takes all but a megabyte of a file system.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "filler")
	if err := os.WriteFile(name, make([]byte, int64(fs.Bavail)*fs.Bsize-mib), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(name) }
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := mounted(t, "size=48m")
	k := start(t, "--dir", dir, "--save", "900 1000000")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "1000", "first")
	c.populate("random", 3000, 4000)
	c.want("OK", "SAVE")
	digest := c.do("DEBUG", "DIGEST")
	for _, kind := range append([]string{"save"}, engines...) {
		empty := fill(t, dir)
		failingSave(t, k, c, kind, "no space left on device", filepath.Join(dir, "dump.rdb"), digest)
		empty()
		if kind == "save" {
			kind = "fork"
		}
		c.save(kind)
		c.want("OK", "SET", "first:1", "value:1")
		digest = c.do("DEBUG", "DIGEST")
		c.save(kind)
	}
}

func TestReadOnlyDir(t *testing.T) {
	t.Parallel()
	dir := mounted(t, "size=64m")
	k := start(t, "--dir", dir, "--save", "900 1000000")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "1000", "first")
	c.want("OK", "SAVE")
	digest := c.do("DEBUG", "DIGEST")
	for _, kind := range append([]string{"save"}, engines...) {
		remount(t, dir, syscall.MS_RDONLY, "")
		failingSave(t, k, c, kind, "read-only file system", filepath.Join(dir, "dump.rdb"), digest)
		remount(t, dir, 0, "")
		if kind == "save" {
			kind = "fork"
		}
		c.save(kind)
		c.want("OK", "SET", "first:1", "value:1")
	}
}

// A directory that went away, without any privilege.
func TestRemovedDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortDir(t), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k := start(t, "--dir", dir)
	c := k.dial()
	for _, kind := range engines {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		c.do("BGSAVE", bgsaveWord[kind])
		if s := c.waitSaved(); s != "err" || !strings.Contains(strings.ToLower(c.info("rdb_last_error")), "no such file") {
			t.Errorf("%s: %s, %q", kind, s, c.info("rdb_last_error"))
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c.want("OK", "CONFIG", "SET", "dir", dir)
		c.save(kind)
	}
}

func TestStoppedChild(t *testing.T) {
	t.Parallel()
	k := start(t, "--save", "900 1000000", "--save-rate-limit", "1kb", "--save-child-timeout", "100000")
	c := k.dial()
	c.want("OK", "SET", "a", "b")
	c.populate("k", 100, 1000)
	pid := stopChild(c, k)
	c.want("OK", "SET", "during", "x") // the server serves
	// A cancelled one goes at once, stopped or not.
	c.wantMatch("^Background saving cancelled", "BGSAVE", "CANCEL")
	if !ended(pid) {
		t.Error("the stopped child still lives after BGSAVE CANCEL")
	}
	c.want("OK", "SET", "a", "c")
	c.want("OK", "CONFIG", "SET", "save-child-timeout", "2")
	pid = stopChild(c, k)
	if s := c.waitSaved(); s != "err" {
		t.Errorf("status %s", s)
	}
	if !ended(pid) {
		t.Error("the child still lives")
	}
	c.wantMatch("^-MISCONF .*progress", "SET", "a", "d")
	if !strings.Contains(k.out.String(), "progress") {
		t.Errorf("the log says nothing:\n%s", tail(k.out.String(), 500))
	}
	c.want("OK", "CONFIG", "SET", "save-rate-limit", "0")
	c.save("fork")
	c.want("OK", "SET", "a", "d")
}
