//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a server finds that starts after another was killed, or after its disk has lied.

// killIn starts a save and kills the server in a phase of it. It tells whether the save was
// in that phase a moment before.
func killIn(k *proc, c *conn, kind, phase string) (caught bool) {
	k.t.Helper()
	c.wantMatch(`^Background saving started \(engine `, "BGSAVE", strings.ToUpper(kind))
	ask := appendCommand(nil, "INFO", "persistence")
	for {
		c.send(ask)
		text := c.read()
		if now := infoField(text, "rdb_current_save_phase"); now == phase {
			caught = true
			break
		}
		if infoField(text, "rdb_bgsave_in_progress") != "1" {
			break
		}
	}
	orphans := children(k.pid())
	k.kill()
	for _, pid := range orphans {
		within(k.t, "the end of the child", func() bool { return ended(pid) })
	}
	return caught
}

// A server that is killed in any phase of a save leaves a dump that loads, the previous one
// unless the new one was complete, and what it leaves half done is gone after the next start.
func TestKilledInEachPhase(t *testing.T) {
	t.Parallel()
	k := start(t, "--save-verify", "full", "--rdbcompression", "no")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "25000", "k", "1000")
	c.want("OK", "SAVE")
	dump := filepath.Join(k.dir, "dump.rdb")
	old := c.do("DEBUG", "DIGEST")
	met := map[string]int{}
	kill := func(kind, phase string) {
		t.Helper()
		before, err := os.Stat(dump)
		noError(t, err)
		c.want("OK", "SET", "now", kind+phase)
		fresh := c.do("DEBUG", "DIGEST")
		caught := killIn(k, c, kind, phase)
		after, err := os.Stat(dump)
		noError(t, err)
		replaced := !os.SameFile(before, after)
		left := temps(k.dir)
		if caught && !replaced && len(left) != 1 {
			t.Errorf("%s, %s: left behind: %v", kind, phase, left)
		}
		if caught && !replaced {
			met[phase]++
		}
		k = k.again()
		c = k.dial()
		want := old
		if replaced {
			want = fresh
		}
		c.want(want, "DEBUG", "DIGEST")
		old = want
		if now := temps(k.dir); len(now) > 0 {
			t.Errorf("%s, %s: still there after the start: %v", kind, phase, now)
		}
		for _, name := range left {
			if !strings.Contains(k.out.String(), "Removed "+filepath.Base(name)+", left by a save that was cut off") {
				t.Errorf("%s, %s: the log does not tell of %s", kind, phase, name)
			}
		}
	}
	for _, kind := range engines {
		for _, phase := range []string{"writing", "syncing", "verifying"} {
			kill(kind, phase)
		}
	}
	// The save goes on between the last look and the kill. (A sync may be too short to be seen at all.)
	for _, phase := range []string{"writing", "verifying"} {
		for try := 0; met[phase] == 0 && try < 50; try++ {
			kill(engines[try%len(engines)], phase)
		}
		if met[phase] == 0 {
			t.Errorf("no kill met %s", phase)
		}
	}
	t.Logf("kills met %v", met)
	c.save("fork")
	if now := temps(k.dir); len(now) > 0 {
		t.Errorf("left behind: %v", now)
	}
}

// A server that is killed while it removes older dumps leaves whole ones, and the next save
// goes on with it.
func TestKilledDuringRetention(t *testing.T) {
	t.Parallel()
	k := start(t, "--save-keep", "2")
	c := k.dial()
	c.mixed(30)
	c.save("thread")
	if n := len(keptDumps(k.dir)); n != 1 {
		t.Fatalf("%d kept dumps", n)
	}
	known := map[string]bool{c.do("DEBUG", "DIGEST"): true}
	rnd := rand.New(rand.NewPCG(9, 9))
	inTime, rounds := 0, scaled(4, 100)
	for i := 0; i < rounds || inTime == 0 && i < 60; i++ {
		const many = 3000 // so many older ones take long to remove
		for n := range many {
			name := fmt.Sprintf("dump-20200101T00%02d%02d.%03dZ.rdb", n/1000, i%60, n%1000)
			if err := os.Link(filepath.Join(k.dir, "dump.rdb"), filepath.Join(k.dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
		c.want("OK", "SET", "generation", strconv.Itoa(i))
		fresh := c.do("DEBUG", "DIGEST")
		known[fresh] = true
		c.wantMatch("^Background saving started", "BGSAVE", strings.ToUpper(engines[i%3]))
		full := len(keptDumps(k.dir))
		for len(keptDumps(k.dir)) >= full && c.info("rdb_bgsave_in_progress") == "1" {
			continue
		}
		time.Sleep(time.Duration(rnd.IntN(10)) * time.Millisecond)
		k.kill()
		kept := keptDumps(k.dir)
		if len(kept) > 2 && len(kept) < full {
			inTime++
		}
		k = k.again()
		c = k.dial()
		if got := c.do("DEBUG", "DIGEST"); got != fresh {
			t.Errorf("kill %d: the dump is not the new one", i)
		}
		if len(temps(k.dir)) > 0 {
			t.Errorf("left behind: %v", temps(k.dir))
		}
		for _, path := range kept[max(0, len(kept)-2):] {
			if got := digestOfDump(t, path); !known[got] {
				t.Errorf("kill %d: %s has something else", i, path)
			}
		}
		c.save("thread")
		if kept := keptDumps(k.dir); len(kept) != 2 {
			t.Errorf("after kill %d and another save there are %d kept dumps", i, len(kept))
		}
	}
	if inTime == 0 {
		t.Error("no kill met the removal")
	}
	t.Logf("%d kills met the removal", inTime)
}

// A dump that ends badly is refused with the place and what could be read, and a repair keeps
// all of that.
func TestBadTails(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.mixed(300)
	c.save("thread")
	k.kill()
	dump := filepath.Join(k.dir, "dump.rdb")
	good, err := os.ReadFile(dump)
	noError(t, err)
	const total = 902
	rnd := rand.New(rand.NewPCG(10, 10))
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"without checksum", good[:len(good)-8]},
		{"half a checksum", good[:len(good)-4]},
		{"without end", good[:len(good)-9]},
		{"cut", good[:len(good)-9-rnd.IntN(200)-1]},
		{"zeroes", append(bytes.Clone(good[:len(good)-300]), make([]byte, 300)...)},
		{"junk", append(bytes.Clone(good[:len(good)-300]), bytes.Repeat([]byte{0xaa}, 300)...)},
		{"half", good[:len(good)/2]},
	} {
		noError(t, os.WriteFile(dump, tt.b, 0o600))
		log := failStart(t, k.dir)
		m := regexp.MustCompile(`(?s)(?:at offset|before byte) (\d+).*# (\d+) keys could be read before that\. .*kvd --repair-rdb ` + strconv.Quote(dump) + ` NEWFILE`).FindStringSubmatch(log)
		if m == nil {
			t.Errorf("%s: the log says:\n%s", tt.name, tail(log, 800))
			continue
		}
		offset, read := atoi(m[1]), atoi(m[2])
		if offset > len(tt.b) || read > total {
			t.Errorf("%s: %d keys until %d, of %d in %d bytes", tt.name, read, offset, total, len(tt.b))
		}
		checked, _ := check(t, dump)
		if n := regexp.MustCompile(`\[info\] (\d+) keys read`).FindStringSubmatch(checked); n == nil || atoi(n[1]) != read {
			t.Errorf("%s: %d keys could be read until %d; --check-rdb: %v", tt.name, read, offset, n)
		}
		if now, _ := os.ReadFile(dump); !bytes.Equal(now, tt.b) {
			t.Errorf("%s: the dump has changed", tt.name)
		}
		fixed := filepath.Join(k.dir, "fixed.rdb")
		out, err := exec.Command(binary(t), "--repair-rdb", dump, fixed).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) {
			t.Errorf("%s: repair: %v\n%s", tt.name, err, out)
		}
		noError(t, os.Rename(fixed, dump))
		k2 := startIn(t, k.dir)
		text := k2.dial().do("INFO", "keyspace")
		keys := 0
		for _, m := range regexp.MustCompile(`keys=(\d+)`).FindAllStringSubmatch(text, -1) {
			keys += atoi(m[1])
		}
		if tt.name == "zeroes" {
			read-- // three zeroes are a key to whoever reads on; the repair knows better
		}
		if keys < read || keys > total {
			t.Errorf("%s: %d keys after the repair, %d could be read before", tt.name, keys, read)
		}
		t.Logf("%s: %d keys read until %d of %d, %d after the repair", tt.name, read, offset, len(tt.b), keys)
		k2.kill()
		checkRDB(t, dump)
	}
}
