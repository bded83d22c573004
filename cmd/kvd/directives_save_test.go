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

// Observations of the directives about saves; see directives_test.go. A low
// save-rate-limit makes a save last, so that it can be looked at.

func init() {
	for name, see := range map[string]func(t *testing.T){
		"save-verify":       seeSaveVerify,
		"save-threads":      seeSaveThreads,
		"save-rate-limit":   seeSaveRateLimit,
		"save-memory-limit": seeMemoryLimit,
		"save-overrun":      seeOverrun,
		"save-keep":         seeSaveKeep,
		"save-cron":         seeSaveCron,
		"save-hook":         seeSaveHook,
		"save-hook-timeout": seeHookTimeout,
		"fork-write-policy": seeWritePolicy,
	} {
		observed[name] = see
	}
}

// begin starts a background save that will last, and waits until it has begun to write.
func (c *conn) begin(args ...string) {
	c.t.Helper()
	c.wantMatch(`^Background saving started \(engine `, append([]string{"BGSAVE"}, args...)...)
	within(c.t, "the writing", func() bool { return c.info("rdb_current_save_phase") == "writing" })
}

// endSave cancels the save in progress, which must be prompt: all who call it have a save that would go on for
// longer than is allowed here.
func (c *conn) endSave() {
	c.t.Helper()
	began := time.Now()
	c.want("Background saving cancelled", "BGSAVE", "CANCEL")
	if d := time.Since(began); d > 15*time.Second {
		c.t.Errorf("BGSAVE CANCEL took %v", d)
	}
}

// temps returns the files in the making of a directory.
func temps(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "temp-*"))
	return names
}

// halt stops a process, all threads of it, until the returned function is called.
func halt(t *testing.T, pid int) (goOn func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return func() {} // it has ended
	}
	within(t, "the halt of "+strconv.Itoa(pid), func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, task := range tasks {
			if b, err := os.ReadFile(task); err == nil && !bytes.Contains(b, []byte(") T ")) && !bytes.Contains(b, []byte(") Z ")) {
				return false
			}
		}
		return true
	})
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
}

// spoil damages the file that a save writes, in the middle of a compressed value, while the server and its
// child stand still. It tells whether that can be: a part of the file is there, of whole bytes, and not all.
func spoil(t *testing.T, k *proc, whole int) bool {
	t.Helper()
	defer halt(t, k.pid())()
	for _, pid := range children(k.pid()) {
		defer halt(t, pid)()
	}
	names := temps(k.dir)
	if len(names) != 1 {
		return false
	}
	b, _ := os.ReadFile(names[0])
	if len(b) < 30_000 || len(b) > whole-1000 {
		return false
	}
	// What repeats is a row of references, of three bytes each.
	at := 10_000
	for !bytes.Equal(b[at:at+27], b[at+3:at+30]) {
		if at++; at+30 > len(b) {
			t.Fatal("nothing repeats")
		}
	}
	f, err := os.OpenFile(names[0], os.O_WRONLY, 0)
	noError(t, err)
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt(make([]byte, 12), int64(at+9)); err != nil {
		t.Fatal(err)
	}
	return true
}

// spoiled runs a save to its end that is spoiled on the way. It returns the dump of before.
func spoiled(t *testing.T, k *proc, c *conn, kind string) (before []byte) {
	t.Helper()
	done := false
	within(t, "a save that can be spoiled", func() bool {
		before, _ = os.ReadFile(filepath.Join(k.dir, "dump.rdb"))
		c.begin(kind)
		for !done && c.info("rdb_bgsave_in_progress") == "1" {
			done = spoil(t, k, len(before))
		}
		c.waitSaved()
		return done
	})
	return before
}

// seeSaveVerify damages a file behind the back of the save that writes it. The framing stays
// whole, so that without a checksum only a full verification finds it.
func seeSaveVerify(t *testing.T) {
	servers := map[string]*proc{}
	for _, checksum := range []string{"yes", "no"} {
		k := start(t, "--save-rate-limit", "100kb", "--save-threads", "1", "--rdbchecksum", checksum)
		servers[checksum] = k
		c := k.dial()
		for i := range 50 {
			c.want("OK", "SET", fmt.Sprint("key", i), strings.Repeat(string(noise(uint64(i), 50)), 3000))
		}
		c.want("OK", "SAVE")
	}
	for _, tt := range []struct {
		verify, checksum, kind string
		found                  bool
	}{
		{"no", "yes", "thread", false}, {"yes", "no", "fork", false},
		{"yes", "yes", "fork", true}, {"yes", "yes", "thread", true}, {"full", "no", "thread", true}, {"full", "no", "fork", true},
	} {
		what := fmt.Sprintf("save-verify %s, rdbchecksum %s, %s", tt.verify, tt.checksum, tt.kind)
		k := servers[tt.checksum]
		c, dump := k.dial(), filepath.Join(k.dir, "dump.rdb")
		c.want("OK", "CONFIG", "SET", "save-verify", tt.verify)
		before := spoiled(t, k, c, strings.ToUpper(tt.kind))
		status, verified := c.waitSaved(), c.info("rdb_last_save_verified")
		after, _ := os.ReadFile(dump)
		if tt.found {
			if e := c.info("rdb_last_error"); status != "err" || verified != "failed" || !strings.Contains(e, "verification") {
				t.Errorf("%s: %s, verified %s, %q", what, status, verified, e)
			}
			if !bytes.Equal(before, after) {
				t.Errorf("%s: the dump has been replaced", what)
			}
		} else if status != "ok" || verified != tt.verify || bytes.Equal(before, after) {
			t.Errorf("%s: %s, verified %s, replaced %v", what, status, verified, !bytes.Equal(before, after))
		}
		if left := temps(k.dir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", what, left)
		}
	}
}

// noise returns n random bytes, always the same for a seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
	}
	return b
}

// seeSaveThreads counts the threads that are nicer than the server.
func seeSaveThreads(t *testing.T) {
	k := start(t, "--save-rate-limit", "100kb")
	c := k.dial()
	c.populate("k", 10_000, 300)
	base := niceness(t, k.pid())
	working := func() (n int) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", k.pid()))
		for _, task := range tasks {
			if b, err := os.ReadFile(task + "/stat"); err == nil && statNice(b) > base {
				n++
			}
		}
		return n
	}
	const keeper = 1 // the thread that touches memory ahead of use, from the first chunk on
	within(t, "the keeper's thread", func() bool { return working() == keeper })
	for _, want := range []int{1, 3} {
		c.want("OK", "CONFIG", "SET", "save-threads", strconv.Itoa(want))
		c.begin("THREAD")
		within(t, fmt.Sprint(want, " threads at work"), func() bool { return working() >= keeper+want })
		most := 0
		for range 10 {
			most = max(most, working())
			time.Sleep(10 * time.Millisecond)
		}
		if p := c.info("rdb_current_save_phase"); p != "writing" || most != keeper+want {
			t.Errorf("save-threads %d: %d threads are at work (%s)", want, most-keeper, p)
		}
		c.endSave()
		within(t, "the end of the threads", func() bool { return working() == keeper })
	}
}

// statNice returns the niceness in a /proc/…/stat.
func statNice(b []byte) int {
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return atoi(f[16]) // the 19th of all
}

func seeSaveRateLimit(t *testing.T) {
	k := start(t)
	c := k.dial()
	c.populate("k", 6000, 500)
	c.want("OK", "CONFIG", "SET", "save-rate-limit", "0")
	for _, kind := range []string{"fork", "thread"} {
		c.want("OK", "CONFIG", "SET", "save-rate-limit", "2mb")
		began := time.Now()
		c.save(kind)
		const least = 1200 * time.Millisecond
		if d := time.Since(began); d < least {
			t.Errorf("%s: 3 MB at 2 MB a second took %v", kind, d)
		}
		c.want("OK", "CONFIG", "SET", "save-rate-limit", "0")
		within(t, "a save without a limit that is faster than one with", func() bool { // the machine may have other work
			began := time.Now()
			c.save(kind)
			return time.Since(began) < least
		})
	}
}

// reachLimit replaces all values beside a save that is held back. From 40 MB on it does so slowly, a few at a time:
// the server looks a hundred times a second how much memory that costs, if it comes to run.
func reachLimit(t *testing.T, k *proc, c *conn, kind string) (end func()) {
	t.Helper()
	c.begin(strings.ToUpper(kind))
	return background(t, 1, func(_ int, stop *atomic.Bool) error {
		w := k.tryDial()
		if w == nil {
			return errors.New("cannot connect")
		}
		value := string(noise(7, 1000))
		for i, n := 0, 1000; i < 120_000 && !stop.Load(); i += n {
			if i >= 40_000 {
				n = 100
				time.Sleep(4 * time.Millisecond)
			}
			var b []byte
			for j := i; j < i+n; j++ {
				b = appendCommand(b, "SET", fmt.Sprint("k:", j), value)
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			for range n {
				if raw, err := w.readRaw(); err != nil || raw != "+OK\r\n" && !strings.HasPrefix(raw, "-MISCONF") {
					return fmt.Errorf("%q %w", raw, err)
				}
			}
		}
		return nil
	})
}

func seeMemoryLimit(t *testing.T) {
	k := start(t, "--save-rate-limit", "10kb")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "120000", "k", "1000")
	for _, kind := range []string{"thread", "fork"} {
		c.want("OK", "CONFIG", "SET", "save-memory-limit", "64mb")
		// What is written while the limit is being noticed comes on top. Between two looks at what
		// the kernel has copied for a child each page fault counts, which is a bit too much. Who looks
		// may have to wait for a processor: then there is another try.
		var peak int64
		for try := 0; try == 0 || peak > 100*mib && try < 5; try++ {
			end := reachLimit(t, k, c, kind)
			if s := c.waitSaved(); s != "err" || c.info("rdb_last_limit_reached") != "1" {
				t.Errorf("%s: %s, limit reached %s", kind, s, c.info("rdb_last_limit_reached"))
			}
			if e := c.info("rdb_last_error"); !strings.Contains(e, "save-memory-limit") || !strings.Contains(k.out.String(), e) {
				t.Errorf("%s: rdb_last_error is %q", kind, e)
			}
			peak = c.infoInt("rdb_last_extra_memory_peak")
			end()
		}
		if peak < 60*mib || peak > 100*mib {
			t.Errorf("%s: %d bytes of extra memory at a limit of 64mb", kind, peak)
		}
		// More than that is allowed now, and needed.
		c.want("OK", "CONFIG", "SET", "save-memory-limit", "0")
		end := reachLimit(t, k, c, kind)
		within(t, "80 MB of extra memory", func() bool { return c.infoInt("rdb_current_extra_memory") > 80*mib })
		if n := c.info("rdb_bgsave_in_progress") + " " + c.info("rdb_current_memory_limit"); n != "1 0" {
			t.Errorf("%s: without a limit: %s", kind, n)
		}
		c.endSave()
		end()
	}
	c.want("OK", "CONFIG", "SET", "save-memory-limit", "75%")
	within(t, "the end of what was kept for the saves", func() bool { return c.infoInt("used_memory") < 150*mib })
	c.begin("THREAD")
	if n := c.infoInt("rdb_current_memory_limit"); n < 85*mib || n > 115*mib {
		t.Errorf("75%% of 120 MB of data: %d", n)
	}
	c.endSave()
	c.want("OK", "CONFIG", "SET", "save-memory-limit", "1%")
	c.begin("THREAD")
	if n := c.infoInt("rdb_current_memory_limit"); n != 64*mib {
		t.Errorf("1%%: %d, not the floor of 64 MB", n)
	}
	c.endSave()
}

func seeOverrun(t *testing.T) {
	k := start(t, "--save-rate-limit", "10kb", "--save-memory-limit", "64mb", "--save-overrun", "throttle", "--io-threads", "2")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "120000", "k", "1000")
	for _, kind := range []string{"thread", "fork"} {
		var extra int64
		for try := 0; try == 0 || extra > 90*mib && try < 5; try++ { // who looks may have to wait for a processor
			end := reachLimit(t, k, c, kind)
			within(t, "slower writers", func() bool { return c.info("rdb_current_throttle") >= "0.90" })
			var text string
			for was, i := -1000, 0; i < 20; i++ { // until they are held, not by a machine without time for them
				text = c.do("INFO", "persistence")
				now := atoi(infoField(text, "rdb_changes_since_last_save"))
				if now-was < 300 && infoField(text, "rdb_current_throttle") >= "0.90" {
					break
				}
				was = now
				time.Sleep(time.Second)
			}
			extra = c.infoInt("rdb_current_extra_memory")
			c.want("1000", "STRLEN", "k:0") // reads go on, while writers wait
			if infoField(text, "rdb_bgsave_in_progress") != "1" || infoField(text, "rdb_last_limit_reached") != "0" {
				t.Errorf("%s: the save has ended", kind)
			}
			if s := infoField(text, "rdb_current_throttle"); s < "0.90" {
				t.Errorf("%s: throttled %s", kind, s)
			}
			c.endSave()
			c.want("OK", "SET", "another", "x") // and so do writes, now
			if s := c.info("rdb_current_throttle"); s != "0.00" {
				t.Errorf("%s: after the save throttled %s", kind, s)
			}
			end()
		}
		if extra > 90*mib {
			t.Errorf("%s: %d bytes of extra memory at a limit of 64mb", kind, extra)
		}
	}
	c.want("OK", "CONFIG", "SET", "save-overrun", "abort")
	end := reachLimit(t, k, c, "thread")
	if s := c.waitSaved(); s != "err" || c.info("rdb_last_limit_reached") != "1" {
		t.Errorf("abort: %s, limit reached %s", s, c.info("rdb_last_limit_reached"))
	}
	end()
}

// keptDumps returns the files that save-keep has made, the oldest first.
func keptDumps(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "dump-2*.rdb"))
	return names
}

// seeSaveKeep saves five times: the last two are kept beside the dump, with what was in them.
func seeSaveKeep(t *testing.T) {
	k := start(t, "--save-keep", "2", "--save-verify", "no")
	c := k.dial()
	c.mixed(50)
	var digests []string
	for i, kind := range []string{"fork", "thread", "copy", "fork", "thread"} {
		c.want("OK", "SET", "generation", strconv.Itoa(i))
		digests = append(digests, c.do("DEBUG", "DIGEST"))
		c.save(kind)
		// Older ones are removed for it.
		if v := c.info("rdb_last_save_verified"); v != "yes" {
			t.Errorf("verified %s", v)
		}
	}
	kept := keptDumps(k.dir)
	if len(kept) != 2 {
		t.Fatalf("kept: %v", kept)
	}
	for i, path := range append(kept, filepath.Join(k.dir, "dump.rdb")) {
		checkRDB(t, path)
		if got := digestOfDump(t, path); got != digests[min(3+i, 4)] {
			t.Errorf("%s is not save %d", path, min(3+i, 4))
		}
	}
	c.wantMatch(`kind kept .*kind kept `, "SNAPSHOT", "LIST")
	// Neither a named one nor one that fails costs an older one.
	c.wantMatch(`^Background saving started`, "BGSAVE", "THREAD", "TO", "mine")
	c.waitSaved()
	mend := breakSaves(c, k)
	c.do("BGSAVE")
	c.waitSaved()
	mend()
	if now := keptDumps(k.dir); fmt.Sprint(now) != fmt.Sprint(kept) {
		t.Errorf("kept: %v, before: %v", now, kept)
	}
	// It can be loaded by its name.
	name := strings.TrimSuffix(filepath.Base(kept[0]), ".rdb")
	c.wantMatch(`^\d+$`, "SNAPSHOT", "LOAD", name)
	c.want(digests[3], "DEBUG", "DIGEST")
	c.want("OK", "CONFIG", "SET", "save-keep", "0")
	c.save("thread")
	if now := keptDumps(k.dir); fmt.Sprint(now) != fmt.Sprint(kept) {
		t.Errorf("save-keep 0: kept: %v, before: %v", now, kept)
	}
}

func seeSaveCron(t *testing.T) {
	k := start(t, "--save-cron", "@every 1s")
	c := k.dial()
	within(t, "two saves", func() bool { return c.infoInt("rdb_saves") >= 2 })
	if r := c.info("rdb_last_save_reason"); r != `save-cron "@every 1s"` {
		t.Errorf("rdb_last_save_reason is %q", r)
	}
	c.want("OK", "CONFIG", "SET", "save-cron", "")
	more := int64(1)
	for try := 0; more > 0 && try < 5; try++ { // one may have been on its way
		c.waitSaved()
		n := c.infoInt("rdb_saves")
		time.Sleep(1300 * time.Millisecond)
		more = c.infoInt("rdb_saves") - n
	}
	if more > 0 {
		t.Errorf("%d saves without save-cron", more)
	}
	c.wantMatch("^-ERR CONFIG SET failed .*save-cron", "CONFIG", "SET", "save-cron", "often")
	c.want("[save-cron ]", "CONFIG", "GET", "save-cron")
}

// seeWritePolicy replaces values while a child stands still.
func seeWritePolicy(t *testing.T) {
	k := start(t, "--save-memory-limit", "0", "--save-rate-limit", "40mb")
	c := k.dial()
	c.want("[fork-write-policy values]", "CONFIG", "GET", "fork-write-policy")
	type figures struct{ kernel, own int64 } // what was copied by the kernel, and kept or copied by the store
	seen := map[string]figures{}
	for _, policy := range []string{"values", "in-place", "path-copy"} {
		c.want("OK", "FLUSHALL")
		c.slowData()
		c.want("OK", "CONFIG", "SET", "fork-write-policy", policy)
		child := stopChild(c, k)
		const writes = 10_000 // each to a page of its own, nearly
		var b []byte
		for i := range writes {
			b = appendCommand(b, "SET", fmt.Sprint("slow:", i*30), strings.Repeat("x", 100))
		}
		c.send(b)
		for range writes {
			if got := c.read(); got != "OK" {
				t.Fatal(got)
			}
		}
		if err := syscall.Kill(child, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if s := c.waitSaved(); s != "ok" {
			t.Fatalf("%s: %s", policy, c.info("rdb_last_error"))
		}
		kernel := c.infoInt("rdb_last_cow_size")
		seen[policy] = figures{kernel, c.infoInt("rdb_last_extra_memory_peak") - kernel}
	}
	t.Logf("bytes copied by the kernel, by the store: %v", seen)
	values, inPlace, pathCopy := seen["values"], seen["in-place"], seen["path-copy"]
	if inPlace.own > 256<<10 || values.own < mib || pathCopy.own < values.own+mib {
		t.Errorf("copied or kept by the store: %v", seen)
	}
	if inPlace.kernel < max(values.kernel, pathCopy.kernel)+8*mib {
		t.Errorf("copied by the kernel: %v", seen)
	}
}

func seeSaveHook(t *testing.T) {
	out := filepath.Join(shortDir(t), "out")
	k := start(t, "--save-hook", "env | grep ^KVD_SAVE_ | sort >> "+out+"; echo end >> "+out, "--save-keep", "3")
	c := k.dial()
	c.mixed(20)
	// next returns what the hook of the next save has got.
	seen := 0
	next := func() map[string]string {
		t.Helper()
		var parts []string
		within(t, "the hook", func() bool {
			b, _ := os.ReadFile(out)
			parts = strings.Split(string(b), "end\n")
			return len(parts) > seen+1
		})
		env := map[string]string{}
		for line := range strings.SplitSeq(strings.TrimSpace(parts[seen]), "\n") {
			name, value, _ := strings.Cut(strings.TrimPrefix(line, "KVD_SAVE_"), "=")
			env[name] = value
		}
		seen++
		return env
	}
	dump := filepath.Join(k.dir, "dump.rdb")
	for _, kind := range engines {
		c.save(kind)
		e := next()
		if e["RESULT"] != "ok" || e["ERROR"] != "" || e["PATH"] != dump || e["NAME"] != "" || e["ENGINE"] != kind || e["REASON"] != "BGSAVE" || e["VERIFIED"] != "yes" {
			t.Errorf("%s: %v", kind, e)
		}
		if e["KEYS"] != "62" || e["BYTES"] != strconv.FormatInt(fileSize(t, dump), 10) || e["SECONDS"] == "" {
			t.Errorf("%s: %v", kind, e)
		}
		if kept := keptDumps(k.dir); e["KEPT"] != filepath.Base(kept[len(kept)-1]) {
			t.Errorf("%s: %v, kept are %v", kind, e, kept)
		}
	}
	within(t, "the result", func() bool { return c.info("rdb_last_hook") == "ok" })
	c.want("OK", "SAVE")
	if e := next(); e["RESULT"] != "ok" || e["REASON"] != "SAVE" {
		t.Errorf("SAVE: %v", e)
	}
	c.wantMatch("^Background", "BGSAVE", "THREAD", "TO", "mine", "DB", "1")
	if e := next(); e["RESULT"] != "ok" || e["NAME"] != "mine" || e["PATH"] != filepath.Join(k.dir, "mine.rdb") || e["KEYS"] != "20" || e["KEPT"] != "" {
		t.Errorf("TO mine DB 1: %v", e)
	}
	mend := breakSaves(c, k)
	c.do("BGSAVE")
	if e := next(); e["RESULT"] != "error" || e["ERROR"] != c.info("rdb_last_error") {
		t.Errorf("a failed save: %v", e)
	}
	mend()
	c.want("OK", "CONFIG", "SET", "save-rate-limit", "1kb")
	c.begin("FORK")
	c.endSave()
	if e := next(); e["RESULT"] != "cancelled" || e["PATH"] != dump {
		t.Errorf("a cancelled save: %v", e)
	}
	c.wantMatch("^-ERR CONFIG SET failed .*immutable", "CONFIG", "SET", "save-hook", "id")
}

// members returns how many processes of a group run, other than dead ones that init has not buried yet.
func members(group string) (n int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, _ := os.ReadFile(path) // none if it has gone meanwhile
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 2 && f[2] == group && f[0] != "Z" && f[0] != "X" {
			n++
		}
	}
	return n
}

func seeHookTimeout(t *testing.T) {
	marks := shortDir(t)
	k := start(t, "--save-hook", "echo going; touch "+marks+"/$$; sleep 600", "--save-hook-timeout", "1")
	c := k.dial()
	c.want("OK", "SET", "a", "b")
	began := time.Now()
	c.save("thread") // which does not wait for it
	c.save("fork")
	saves := 2
	within(t, "the end of the hook", func() bool { return strings.Contains(c.info("rdb_last_hook"), "ended after 1s") })
	if d := time.Since(began); d < time.Second {
		t.Errorf("after %v", d)
	}
	within(t, "both hooks", func() bool {
		left, _ := os.ReadDir(marks)
		alive := 0
		for _, e := range left {
			alive += members(e.Name())
		}
		if len(left) < 2 && strings.Count(k.out.String(), "ended after 1s") >= saves {
			saves++ // a hook was not fast enough to leave its mark
			c.save("thread")
		}
		return len(left) >= 2 && alive == 0
	})
	c.want("b", "GET", "a")
}
