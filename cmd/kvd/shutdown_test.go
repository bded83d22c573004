//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A restart reads the data back, whichever way the server ended.
func TestShutdown(t *testing.T) {
	t.Parallel()
	const point = "900 1"
	for _, tt := range []struct {
		name, save, how string
		keep            bool
	}{
		{"SIGTERM with save points", point, "SIGTERM", true},
		{"SIGINT with save points", point, "SIGINT", true},
		{"SIGTERM without", "", "SIGTERM", false},
		{"SHUTDOWN with save points", point, "SHUTDOWN", true},
		{"SHUTDOWN without", "", "SHUTDOWN", false},
		{"SHUTDOWN SAVE", "", "SHUTDOWN SAVE", true},
		{"SHUTDOWN NOSAVE", point, "SHUTDOWN NOSAVE", false},
		{"SHUTDOWN NOW FORCE", point, "SHUTDOWN NOW FORCE", true},
	} {
		k := start(t, "--save", tt.save)
		c := k.dial()
		c.want("OK", "SET", "a", "b")
		var code int
		switch tt.how {
		case "SIGTERM":
			code = k.signal(syscall.SIGTERM)
		case "SIGINT":
			code = k.signal(syscall.SIGINT)
		default:
			c.send(appendCommand(nil, strings.Fields(tt.how)...))
			code = k.wait()
			if _, err := c.readRaw(); err == nil {
				t.Errorf("%s: a reply", tt.name)
			}
		}
		if code != 0 {
			t.Errorf("%s: exit status %d", tt.name, code)
		}
		if _, err := os.Stat(k.sock); err == nil {
			t.Errorf("%s: the unix socket is still there", tt.name)
		}
		want := "0"
		if tt.keep {
			want = "1"
		}
		again := k.again("--save", "")
		if got := again.dial().do("DBSIZE"); got != want {
			t.Errorf("%s: %s keys after the restart", tt.name, got)
		}
		again.kill()
	}
}

// A shutdown that cannot save does not happen, unless it is forced.
func TestShutdownThatCannotSave(t *testing.T) {
	t.Parallel()
	k := start(t, "--save", "900 1")
	c := k.dial()
	c.want("OK", "SET", "a", "b")
	breakSaves(c, k)
	const failed = "-ERR Errors trying to SHUTDOWN. Check logs."
	c.want(failed, "SHUTDOWN")
	c.want(failed, "SHUTDOWN", "SAVE")
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	k.waitLog("SIGTERM received but errors trying to shut down the server")
	c.want("b", "GET", "a")
	c.send(appendCommand(nil, "SHUTDOWN", "SAVE", "FORCE"))
	if code := k.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// A save that runs is ended by a shutdown, and leaves nothing behind.
func TestShutdownDuringASave(t *testing.T) {
	t.Parallel()
	for _, kind := range engines {
		k := start(t)
		c := k.dial()
		c.slowData()
		c.send(append(appendCommand(nil, "BGSAVE", bgsaveWord[kind]), appendCommand(nil, "SHUTDOWN", "SAVE")...))
		if code := k.wait(); code != 0 {
			t.Errorf("%s: exit status %d", kind, code)
		}
		if left, _ := filepath.Glob(filepath.Join(k.dir, "temp*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", kind, left)
		}
		again := k.again()
		again.dial().want("300000", "DBSIZE")
		again.kill()
	}
}
