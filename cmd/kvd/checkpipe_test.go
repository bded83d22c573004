//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A pipe that nobody writes into is refused rather than waited for: not even a signal would end that.
func TestToolsRefuseAPipe(t *testing.T) {
	dir := t.TempDir()
	pipe, out := filepath.Join(dir, "pipe"), filepath.Join(dir, "out.rdb")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, code := check(t, pipe); code != 1 || !strings.Contains(text, "not a regular file") {
		t.Errorf("%d: %s", code, text)
	}
	if text, code := repair(t, pipe, out); code != 1 || !strings.Contains(text, "not a regular file") {
		t.Errorf("%d: %s", code, text)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something was written")
	}
}

// --force replaces a file, and not a device: the machine would have no /dev/null any more.
func TestRepairForceReplacesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	in, pipe, sub, link := filepath.Join(dir, "in.rdb"), filepath.Join(dir, "pipe"), filepath.Join(dir, "sub"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(in, []byte("REDIS0010\xfe\x00\x00\x01k\x01v\xff\x00\x00\x00\x00\x00\x00\x00\x00"), 0o644),
		unix.Mkfifo(pipe, 0o644), os.Mkdir(sub, 0o755), os.Symlink("nothing", link)); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{pipe, sub} {
		before, _ := os.Lstat(out)
		if text, code := repair(t, in, out, "--force"); code != 1 || !strings.Contains(text, "not a regular file") {
			t.Errorf("%s: %d: %s", out, code, text)
		}
		if after, err := os.Lstat(out); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is another file now, %v", out, err)
		}
	}
	if text, code := repair(t, in, link, "--force"); code != 0 {
		t.Errorf("%d: %s", code, text)
	}
}
