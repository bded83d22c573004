package command

import (
	"strings"
	"testing"
)

// TestSlowSaverHoldsUpOneClientOnly: whoever starts, cancels or flushes during a
// save may have to wait for the disk or for a child to end; the loop does not.
func TestSlowSaverHoldsUpOneClientOnly(t *testing.T) {
	for _, cmd := range []string{"BGSAVE", "BGSAVE THREAD SCHEDULE", "FLUSHALL"} {
		w := newWorld(t)
		w.hold = make(chan struct{})
		w.info.BgsaveInProgress = true
		x, c, other := w.e.NewCtx(), w.connect(), w.connect()
		var args [][]byte
		for _, a := range strings.Fields(cmd) {
			args = append(args, []byte(a))
		}
		for range 3 {
			if got := x.Do(c, args); got != Postponed || len(c.Out) > 0 {
				t.Fatalf("%s: outcome %d, reply %q", cmd, got, c.Out)
			}
			if got := doString(x, other, "SET", "k", "v"); got != "+OK\r\n" {
				t.Fatalf("meanwhile: %q", got)
			}
		}
		if n := len(w.started) + len(w.calls); n != 0 || w.e.Store.Len(0) != 1 {
			t.Errorf("%s: done %d times before its time", cmd, n)
		}
		close(w.hold)
		await(t, "somebody is woken", func() bool { return w.wakes.Load() > 0 })
		if got := x.Do(c, args); got != Done || len(c.Out) == 0 || c.Out[0] != '+' {
			t.Errorf("%s: outcome %d, reply %q", cmd, got, c.Out)
		}
		if len(w.started)+min(len(w.calls), 1) != 1 {
			t.Errorf("%s: started %v, called %v", cmd, w.started, w.calls)
		}
		if got := doString(x, c, "INFO", "commandstats"); !strings.Contains(got, "cmdstat_"+strings.ToLower(string(args[0]))+":calls=1,") {
			t.Errorf("%s is not counted once: %s", cmd, got)
		}
	}
}

// TestRefusedWhileItWaits: a command may be woken when it is no longer allowed.
// What it had begun must not become the reply to another one.
func TestRefusedWhileItWaits(t *testing.T) {
	w := newWorld(t)
	w.hold = make(chan struct{})
	x, c := w.e.NewCtx(), w.connect()
	bgsave := [][]byte{[]byte("BGSAVE")}
	if got := x.Do(c, bgsave); got != Postponed {
		t.Fatal("outcome", got)
	}
	w.e.SetLoading(true)
	if got := x.Do(c, bgsave); got != Done || !strings.HasPrefix(string(c.Out), "-LOADING") {
		t.Fatalf("outcome %d, reply %q", got, c.Out)
	}
	c.Out = c.Out[:0]
	w.e.SetLoading(false)
	close(w.hold)
	await(t, "somebody is woken", func() bool { return w.wakes.Load() > 0 })
	if got := doString(x, c, "BGSAVE", "CANCEL"); got != "+Background saving cancelled\r\n" {
		t.Errorf("the next command: %q", got)
	}
}
