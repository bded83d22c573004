//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
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
		k := start(t, lasting...)
		c := k.dial()
		c.some100KB()
		c.send(append(appendCommand(nil, "BGSAVE", bgsaveWord[kind]), appendCommand(nil, "SHUTDOWN", "SAVE")...))
		if code := k.wait(); code != 0 {
			t.Errorf("%s: exit status %d", kind, code)
		}
		if left, _ := filepath.Glob(filepath.Join(k.dir, "temp*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", kind, left)
		}
		again := k.again()
		again.dial().want("100", "DBSIZE")
		again.kill()
	}
}

// A server that is told to end while it loads must not write what it has so far
// over the dump.
func TestShutdownWhileLoading(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "600000", "k", "100")
	c.want("OK", "SAVE")
	k.kill()
	dump := filepath.Join(k.dir, "dump.rdb")
	before, err := os.Stat(dump)
	noError(t, err)
	for _, how := range []string{"SIGTERM", "SIGINT", "SHUTDOWN", "SHUTDOWN SAVE"} {
		within(t, "a server that ends while it loads", func() bool {
			k = launch(t, k.dir, nil, "--save", "900 1")
			within(t, "the socket", func() bool { c = k.tryDial(); return c != nil })
			switch how {
			case "SIGTERM":
				err = k.cmd.Process.Signal(syscall.SIGTERM)
			case "SIGINT":
				err = k.cmd.Process.Signal(syscall.SIGINT)
			default:
				c.send(appendCommand(nil, strings.Fields(how)...))
			}
			noError(t, err)
			if code := k.wait(); code != 0 {
				t.Errorf("%s: exit status %d", how, code)
			}
			loaded := strings.Contains(k.out.String(), "DB loaded")
			after, err := os.Stat(dump)
			noError(t, err)
			if !loaded && (after.Size() != before.Size() || !os.SameFile(before, after)) {
				t.Errorf("%s: the dump was replaced while it was loading: %d bytes instead of %d", how, after.Size(), before.Size())
			}
			before = after
			if left := temps(k.dir); len(left) > 0 {
				t.Errorf("%s: left behind: %v", how, left)
			}
			return !loaded || t.Failed()
		})
	}
}

// What was acknowledged is in the dump: nothing is answered between the save at
// shutdown and the end.
func TestShutdownKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	for round := range scaled(4, 50) {
		k := start(t, "--save", "900 1", "--io-threads", "3")
		const writers = 6
		var acked [writers]atomic.Int64
		var conns [writers]*conn
		for i := range conns {
			conns[i] = k.dial()
		}
		end := background(t, writers, func(i int, stop *atomic.Bool) error {
			w := conns[i]
			for !stop.Load() {
				s, err := w.try("INCR", fmt.Sprint("counter", i))
				if err != nil {
					return nil // the server has gone
				}
				n, err := strconv.ParseInt(s, 10, 64)
				if err != nil {
					return fmt.Errorf("reply %q", s)
				}
				acked[i].Store(n)
			}
			return nil
		})
		allServed(t, acked[:])
		if round%2 == 0 {
			k.signal(syscall.SIGTERM)
		} else {
			k.dial().send(appendCommand(nil, "SHUTDOWN"))
			k.wait()
		}
		end()
		k = k.again()
		c := k.dial()
		for i := range acked {
			saved, _ := strconv.ParseInt(c.do("GET", fmt.Sprint("counter", i)), 10, 64)
			if want := acked[i].Load(); saved < want {
				t.Errorf("round %d: %d was acknowledged, %d was saved", round, want, saved)
			}
		}
		k.kill()
	}
}
