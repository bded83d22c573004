//go:build linux

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestReload(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.mixed(300)
	digest := c.do("DEBUG", "DIGEST")
	c.want("OK", "DEBUG", "RELOAD")
	c.want(digest, "DEBUG", "DIGEST")
	c.want("OK", "SET", "later", "1")
	c.want("OK", "DEBUG", "RELOAD", "NOSAVE")
	c.want("(nil)", "GET", "later")
	c.want(digest, "DEBUG", "DIGEST")
}

// While a dump is loading the server answers, and says so.
func TestLoadingReplies(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "600000", "k", "100")
	c.want("OK", "SAVE")
	k.kill()
	var l *conn
	var got []string
	within(t, "a server that is seen while it loads", func() bool {
		k.kill()
		k = launch(t, k.dir, nil)
		within(t, "the socket", func() bool { l = k.tryDial(); return l != nil })
		got = l.pipeline("INFO persistence", "GET a", "PING", "INFO persistence")
		k.waitReady()
		return infoField(got[0], "loading") == "1" && infoField(got[3], "loading") == "1"
	})
	if got[1] != "-LOADING Redis is loading the dataset in memory" {
		t.Errorf("GET: %q", got[1])
	}
	for _, f := range []string{"loading_start_time", "loading_total_bytes", "loading_loaded_bytes", "loading_loaded_perc", "loading_eta_seconds"} {
		if v := infoField(got[0], f); strings.HasPrefix(v, "(no") {
			t.Errorf("no %s while loading", f)
		}
	}
	l.want("600000", "DBSIZE")
	if got := l.info("rdb_last_load_keys_loaded"); got != "600000" {
		t.Errorf("rdb_last_load_keys_loaded is %s", got)
	}
	if !strings.Contains(k.out.String(), "DB loaded") {
		t.Error("the log says nothing about the load")
	}
}

// allServed waits until each of some counts has grown.
func allServed(t *testing.T, counts []atomic.Int64) {
	t.Helper()
	for i := range counts {
		before := counts[i].Load()
		within(t, fmt.Sprint("client ", i), func() bool { return counts[i].Load() > before })
	}
}

// DEBUG RELOAD happens between two commands of the others, as in Redis: no
// write that was acknowledged is lost.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	k := start(t, "--io-threads", "3")
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "20000", "k", "100")
	const clients = 4
	var served [clients]atomic.Int64
	end := background(t, clients, func(i int, stop *atomic.Bool) error {
		w := k.tryDial()
		if w == nil {
			return errors.New("cannot connect")
		}
		for want := int64(1); !stop.Load(); {
			s, err := w.try("INCR", fmt.Sprint("counter", i))
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(s, "-LOADING"):
				continue
			case s != strconv.FormatInt(want, 10):
				return fmt.Errorf("counter %d: %s instead of %d", i, s, want)
			}
			served[i].Store(want)
			want++
		}
		return nil
	})
	defer end()
	for range scaled(8, 100) {
		allServed(t, served[:])
		c.want("OK", "DEBUG", "RELOAD")
	}
	end()
	c.want("20004", "DBSIZE")
}

// Keys that have expired by the time of the load are left out, and counted.
func TestExpiredKeysAreNotLoaded(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	c.want("OK", "DEBUG", "SET-ACTIVE-EXPIRE", "0")
	c.want("OK", "SET", "short", "x", "PX", "150")
	c.want("OK", "SET", "long", "x", "EX", "1000000")
	c.want("OK", "SET", "forever", "x")
	for _, kind := range engines {
		c.save(kind)
	}
	time.Sleep(200 * time.Millisecond)
	k.kill()
	c = k.again().dial()
	c.want("2", "DBSIZE")
	c.want("2", "EXISTS", "long", "forever")
	if got := c.info("rdb_last_load_keys_expired") + c.info("rdb_last_load_keys_loaded"); got != "12" {
		t.Errorf("expired and loaded: %s", got)
	}
	c.wantMatch(`^99\d\d\d\d|1000000$`, "TTL", "long")
}
