//go:build linux

package main

import (
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
