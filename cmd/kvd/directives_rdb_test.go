//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Observations of the directives about the format of dumps; see directives_test.go.

func init() {
	observed["rdb-field-expiry-format"] = seeFieldExpiryFormat
	observed["rdb-load-unsupported"] = seeLoadUnsupported
}

// The version of a dump is the lowest that can hold the data.
func seeFieldExpiryFormat(t *testing.T) {
	k := start(t)
	c := k.dial()
	c.do("HSET", "h", "f", "v", "g", "w")
	head := func() string {
		c.want("OK", "SAVE")
		file, err := os.ReadFile(filepath.Join(k.dir, "dump.rdb"))
		noError(t, err)
		return string(file[:9])
	}
	dumped := func(suffix string) {
		t.Helper()
		if got := c.do("DUMP", "h"); !strings.Contains(got, suffix) {
			t.Errorf("DUMP %q has no version %q", got, suffix)
		}
	}
	if got := head(); got != "REDIS0010" {
		t.Errorf("no field expires: %s", got)
	}
	c.do("HPEXPIRE", "h", "1000000", "FIELDS", "1", "f")
	if got := head(); got != "REDIS0012" {
		t.Errorf("a field expires: %s", got)
	}
	dumped("\x0c\x00")
	c.want("OK", "CONFIG", "SET", "rdb-field-expiry-format", "valkey")
	if got := head(); got != "VALKEY080" {
		t.Errorf("a field expires, Valkey's format: %s", got)
	}
	dumped("\x50\x00")
	for _, engine := range []string{"FORK", "THREAD", "COPY"} {
		file := c.saveTo(k.dir, "named.rdb", engine, "TO", "named")
		if b, err := os.ReadFile(file); err != nil || string(b[:9]) != "VALKEY080" {
			t.Errorf("%s: %.9q, %v", engine, b, err)
		}
	}
	digest := c.do("DEBUG", "DIGEST")
	c.want("OK", "DEBUG", "RELOAD")
	c.want(digest, "DEBUG", "DIGEST")
	c.want("OK", "CONFIG", "SET", "rdb-field-expiry-format", "redis")
	c.want("OK", "DEBUG", "RELOAD")
	c.want(digest, "DEBUG", "DIGEST")
}

// A dump with a function library is refused, or loaded without.
func seeLoadUnsupported(t *testing.T) {
	k := start(t)
	c := k.dial()
	file, err := os.ReadFile(goldenDumps + "function.rdb")
	noError(t, err)
	noError(t, os.WriteFile(filepath.Join(k.dir, "functions.rdb"), file, 0o600))
	c.wantMatch("^-ERR .*function library", "SNAPSHOT", "LOAD", "functions")
	c.want("OK", "CONFIG", "SET", "rdb-load-unsupported", "skip")
	c.want("0", "SNAPSHOT", "LOAD", "functions")
	k.waitLog("Left out when loading the RDB: function library")
}
