//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const goldenDumps = "../../snapshot/rdb/testdata/"

// check runs --check-rdb.
func check(t testing.TB, path string) (string, int) {
	t.Helper()
	tool, ok := rdbOption([]string{"--check-rdb", path})
	if !ok {
		t.Fatal("no --check-rdb")
	}
	var out, fail bytes.Buffer
	code := tool(&out, &fail)
	return out.String() + fail.String(), code
}

// repair runs --repair-rdb.
func repair(t testing.TB, args ...string) (string, int) {
	t.Helper()
	tool, ok := rdbOption(append([]string{"--repair-rdb"}, args...))
	if !ok {
		t.Fatal("no --repair-rdb")
	}
	var out, fail bytes.Buffer
	code := tool(&out, &fail)
	return out.String() + fail.String(), code
}

// redisCheck runs redis-check-rdb.
func redisCheck(t testing.TB, path string) (string, int) {
	t.Helper()
	out, err := exec.Command(oracle(t, "redis-check-rdb"), path).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	code := 0
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(out), code
}

// TestCheckRDBOracle: what redis-check-rdb prints of a good file is printed too, line by line.
func TestCheckRDBOracle(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(goldenDumps + "*.rdb")
	for _, path := range files {
		if name := filepath.Base(path); strings.HasPrefix(name, "new-") || strings.HasPrefix(name, "all-valkey") {
			continue // of versions that are unknown to it
		}
		want, wantCode := redisCheck(t, path)
		got, code := check(t, path)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n%s\nredis-check-rdb:\n%s", path, got, want)
		}
		if refused := strings.Contains(got, "kvd cannot load this file"); wantCode != 0 || (code == 1) != refused {
			t.Errorf("%s: exit status %d, redis-check-rdb %d\n%s", path, code, wantCode, got)
		}
	}
}

// kept are the lines of a check of a bad file that redis-check-rdb prints alike: all up to the error,
// what was being read, and the key.
func kept(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "[info]"), strings.HasPrefix(line, "[additional info] In "),
			strings.HasPrefix(line, "[additional info] Reading type"): // Redis prints it always
		case strings.HasPrefix(line, "[offset") && len(lines) > 0 && strings.HasPrefix(lines[len(lines)-1], "---"):
		default:
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestCheckRDBDamagedOracle cuts a file everywhere and flips bits in its values.
func TestCheckRDBDamagedOracle(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dump.rdb")
	for name, step := range map[string]int{"plain": 7, "lru": 11, "strings": 499} {
		file, err := os.ReadFile(goldenDumps + name + ".rdb")
		if err != nil {
			t.Fatal(err)
		}
		for cut := 9; cut < len(file); cut += step {
			compareDamaged(t, path, file[:cut])
		}
		bad := bytes.Clone(file)
		bad[len(bad)-20] ^= 4
		if name != "plain" {
			compareDamaged(t, path, bad)
		}
	}
}

// withoutKey leaves out the key, all that is between the lines of what was being read and its type.
func withoutKey(text string) string {
	before, rest, ok := strings.Cut(text, "[additional info] Reading key")
	if !ok {
		return text
	}
	_, after, _ := strings.Cut(rest, "[additional info] Reading type")
	return before + "[additional info] Reading type" + after
}

func compareDamaged(t *testing.T, path string, file []byte) {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	want, wantCode := redisCheck(t, path)
	got, code := check(t, path)
	if i := strings.Index(got, "Reading key"); i >= 0 && strings.ContainsAny(got[i:], "\\…") || strings.Contains(got, "...'") {
		got, want = withoutKey(got), withoutKey(want) // Redis prints it raw
	}
	if kept(got) != kept(want) || code != 1 || wantCode != 1 {
		t.Errorf("%d bytes: status %d\n%s\nredis-check-rdb, status %d\n%s", len(file), code, got, wantCode, want)
	}
}

// TestCheckRDBSays: the key, its type and database, and what could be read until the damage.
func TestCheckRDBSays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dump.rdb")
	file := "REDIS0010\xfe\x05\xfb\x02\x00\x00\x01a\x01b\x00\x01\n\x05b"
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	got, code := check(t, path)
	for _, want := range []string{"[offset 24] invalid RDB: value of type \"string\" of key \"\\n\": unexpected end of input",
		"Reading key '\\n'", "Reading type 0 (string)", "In database 5, in the record that begins at offset 19",
		"[info] 1 keys read", "[info] db5: keys=1,expires=0,expired=0", "[info] db5: string keys=1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if code != 1 {
		t.Errorf("exit status %d", code)
	}
	if got, code := check(t, path+"x"); code != 1 || !strings.Contains(got, "no such file") {
		t.Errorf("%d %s", code, got)
	}
	if got, code := check(t, filepath.Dir(path)); code != 1 || !strings.Contains(got, "not a regular file") {
		t.Errorf("%d %s", code, got)
	}
}

// TestRDBOptions: only as the first option, with the right number of files.
func TestRDBOptions(t *testing.T) {
	for _, argv := range [][]string{nil, {"--port", "1"}, {"x.conf", "--check-rdb", "y"}} {
		if _, ok := rdbOption(argv); ok {
			t.Errorf("%q", argv)
		}
	}
	for _, argv := range [][]string{{"--check-rdb"}, {"--check-rdb", "a", "b"}, {"--repair-rdb", "a"}, {"--repair-rdb", "a", "b", "c"}} {
		tool, ok := rdbOption(argv)
		var out, fail bytes.Buffer
		if !ok || tool(&out, &fail) != 1 || !strings.Contains(fail.String(), "Usage: kvd --check-rdb") {
			t.Errorf("%q: %v %q", argv, ok, fail.String())
		}
	}
}

// TestBadTail is what an operator does with a dump that was cut off: the server refuses it and says what to
// do, and starts with what the repair has kept.
func TestBadTail(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.mixed(200)
	c.want("OK", "SAVE")
	c.want("OK", "SELECT", "0")
	keys := c.do("DBSIZE")
	k.signal(9)
	dump := filepath.Join(k.dir, "dump.rdb")
	file, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dump, file[:len(file)-40], 0o600); err != nil {
		t.Fatal(err)
	}
	log := failStart(t, k.dir)
	for _, want := range []string{"at offset ", "keys could be read before that", "kvd --repair-rdb \"" + dump + "\" NEWFILE", "Fatal error loading the DB"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	fixed := filepath.Join(k.dir, "fixed.rdb")
	cmd := exec.Command(binary(t), "--repair-rdb", dump, fixed)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "Lost: all from offset") || !strings.Contains(string(out), "db2: keys=") {
		t.Errorf("%v: %s", err, out)
	}
	if text, code := repair(t, dump, fixed); code != 1 || !strings.Contains(text, "--force") {
		t.Errorf("onto an existing file: %d %s", code, text)
	}
	if text, code := repair(t, dump, dump, "--force"); code != 1 || !strings.Contains(text, "it is the file to be repaired") {
		t.Errorf("onto itself: %d %s", code, text)
	}
	if text, code := check(t, fixed); code != 0 {
		t.Errorf("%d %s", code, text)
	}
	if text, code := repair(t, fixed, dump, "--force"); code != 0 {
		t.Errorf("of a sound file: %d %s", code, text)
	}
	c = startIn(t, k.dir).dial()
	if now := c.do("DBSIZE"); now != keys {
		t.Errorf("%s keys in database 0, %s before", now, keys)
	}
}

// TestRepairMends: a flipped bit is put right.
func TestRepairMends(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	file, err := os.ReadFile(goldenDumps + "strings.rdb")
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(file)
	bad[1000] ^= 1
	if err := os.WriteFile(in, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, code := repair(t, in, out); code != 0 || !strings.Contains(text, "Mended: at offset 1000 stood") {
		t.Errorf("%d %s", code, text)
	}
	if made, _ := os.ReadFile(out); !bytes.Equal(made, file) {
		t.Error("it is not what it was")
	}
}

// TestRepairUnsupported: what kvd does not hold is kept for Redis, or left out if asked for.
func TestRepairUnsupported(t *testing.T) {
	t.Parallel()
	in, out := goldenDumps+"function.rdb", filepath.Join(t.TempDir(), "out")
	if text, code := repair(t, in, out); code != 0 || !strings.Contains(text, "kvd refuses this file since 1 keys") {
		t.Errorf("%d %s", code, text)
	}
	checkRDB(t, out)
	if text, code := repair(t, "--force", "--drop-unsupported", in, out); code != 2 || !strings.Contains(text, "Left out: 1 keys") {
		t.Errorf("%d %s", code, text)
	}
	if text, code := check(t, out); code != 0 {
		t.Errorf("%d %s", code, text)
	}
}
