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

// A save whose sink takes 50 KB a second costs neither writers nor readers their speed: beside it they do
// what would take them hours if each waited for the sink now and then, and minutes if one in a hundred did.
func TestSlowSinkStallsNobody(t *testing.T) {
	t.Parallel()
	k := start(t, "--save-rate-limit", "50kb", "--io-threads", "2")
	c := k.dial()
	c.populate("k", 30_000, 300)
	var written, read, longest, longestRead atomic.Int64
	endWriter := background(t, 1, pipeliner(k, true, &written, &longest))
	defer endWriter()
	endReader := background(t, 1, pipeliner(k, false, &read, &longestRead))
	defer endReader()
	for _, kind := range []string{"FORK", "THREAD"} {
		c.begin(kind)
		w, r := written.Load(), read.Load()
		longest.Store(0)
		longestRead.Store(0)
		began := time.Now()
		const each = 30_000
		within(t, fmt.Sprintf("%d writes and reads beside a save by %s", each, kind), func() bool {
			return written.Load() >= w+each && read.Load() >= r+each
		})
		text := c.do("INFO", "persistence")
		t.Logf("%s: %d writes and %d reads in %v, longest wait %v, extra memory %s, %s of %s keys", kind, written.Load()-w, read.Load()-r,
			time.Since(began), time.Duration(max(longest.Load(), longestRead.Load())), infoField(text, "rdb_current_extra_memory"),
			infoField(text, "current_save_keys_processed"), infoField(text, "current_save_keys_total"))
		if infoField(text, "rdb_bgsave_in_progress") != "1" || infoField(text, "rdb_current_save_phase") != "writing" {
			t.Errorf("%s: the save was over", kind)
		}
		c.endSave()
		if left := temps(k.dir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", kind, left)
		}
	}
}
