//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pipeliner sends batches of commands and counts the replies.
func pipeliner(k *proc, write bool, count *atomic.Int64, longest *atomic.Int64) func(i int, stop *atomic.Bool) error {
	const batch = 32
	return func(_ int, stop *atomic.Bool) error {
		w := k.tryDial()
		if w == nil {
			return errors.New("cannot connect")
		}
		value := string(noise(3, 300))
		for i := 0; !stop.Load(); i += batch {
			var b []byte
			for j := range batch {
				key := fmt.Sprint("k:", (i+j)*7919%20_000) // so few that what is replaced stays below the limit
				if write {
					b = appendCommand(b, "SET", key, value)
				} else {
					b = appendCommand(b, "GET", key)
				}
			}
			began := time.Now()
			if _, err := w.Write(b); err != nil {
				return err
			}
			for range batch {
				raw, err := w.readRaw()
				if err != nil || strings.HasPrefix(raw, "-") {
					return fmt.Errorf("%q %w", raw, err)
				}
			}
			count.Add(batch)
			longest.Store(max(longest.Load(), int64(time.Since(began))))
		}
		return nil
	}
}

// A save whose sink takes 1 MB a second costs neither writers nor readers their speed. The
// margin is wide, and there is a second try, since the machine may have other work.
func TestSlowSinkStallsNobody(t *testing.T) { // not in parallel
	for _, kind := range []string{"FORK", "THREAD"} {
		problem := besideSlowSink(t, kind)
		if problem != "" {
			t.Log(problem)
			problem = besideSlowSink(t, kind)
		}
		if problem != "" {
			t.Error(problem)
		}
	}
}

// besideSlowSink compares what clients get done without a save and beside one. It returns what
// is wrong.
func besideSlowSink(t *testing.T, kind string) (problem string) {
	k := start(t, "--save-rate-limit", "1mb", "--io-threads", "2")
	defer k.kill()
	c := k.dial()
	c.populate("k", 100_000, 300)
	var written, read, longest, longestRead atomic.Int64
	endWriter := background(t, 1, pipeliner(k, true, &written, &longest))
	defer endWriter()
	endReader := background(t, 1, pipeliner(k, false, &read, &longestRead))
	defer endReader()
	// count returns what is done in a while.
	const window = time.Second
	count := func() (w, r int64) {
		w, r = written.Load(), read.Load()
		longest.Store(0)
		longestRead.Store(0)
		time.Sleep(window)
		return written.Load() - w, read.Load() - r
	}
	time.Sleep(100 * time.Millisecond)
	freeW, freeR := count()
	c.begin(kind)
	time.Sleep(200 * time.Millisecond) // the first writes to what is shared cost something
	w, r := count()
	text := c.do("INFO", "persistence")
	late := time.Duration(max(longest.Load(), longestRead.Load()))
	t.Logf("%s: %d writes and %d reads in %v, %d and %d during the save, longest wait %v, extra memory %s, %s of %s keys", kind, freeW, freeR, window,
		w, r, late, infoField(text, "rdb_current_extra_memory"), infoField(text, "current_save_keys_processed"), infoField(text, "current_save_keys_total"))
	if infoField(text, "rdb_bgsave_in_progress") != "1" || infoField(text, "rdb_current_save_phase") != "writing" {
		t.Errorf("%s: the save was over", kind)
	}
	c.endSave()
	if left := temps(k.dir); len(left) > 0 {
		t.Errorf("%s: left behind: %v", kind, left)
	}
	if w < freeW/2 || r < freeR/2 || late > 500*time.Millisecond {
		return fmt.Sprintf("%s: %d writes and %d reads without a save, %d and %d beside one; the longest wait was %v", kind, freeW, freeR, w, r, late)
	}
	return ""
}
