package command

import (
	"strings"
	"testing"

	"kvd/kv"
	"kvd/kv/packed"
)

// TestMissedKeysAreServed: what comes into a key by other means than commands is found by
// the tick.
func TestMissedKeysAreServed(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	args := [][]byte{[]byte("BLPOP"), []byte("other"), []byte("l"), []byte("0")}
	if got := x.Do(c, args); got != Blocked {
		t.Fatal("outcome: ", got)
	}
	x.ServeMissed()
	if len(w.unblocked) != 0 {
		t.Fatal("unblocked by nothing")
	}
	loader := w.e.Store.NewLoader()
	if _, err := loader.Add([]kv.Record{{Key: []byte("l"), Type: kv.TypeList, Enc: kv.EncListpack, Value: packed.Append(packed.NewListpack(), []byte("v"))}}, true); err != nil {
		t.Fatal(err)
	}
	x.ServeMissed()
	if len(w.unblocked) != 1 {
		t.Fatal("not unblocked")
	}
	x.Resume(c)
	if got := string(c.Out); got != "*2\r\n$1\r\nl\r\n$1\r\nv\r\n" {
		t.Errorf("%q", got)
	}
	c.Out = nil
	if got := doString(x, c, "INFO", "clients"); !strings.Contains(got, "\r\nblocked_clients:0\r\n") {
		t.Error(got)
	}
}

// TestFreedClientIsForgotten: nothing is given to a client that is gone, and nothing of it
// is left.
func TestFreedClientIsForgotten(t *testing.T) {
	w := newWorld(t)
	x, c, p := w.e.NewCtx(), w.connect(), w.connect()
	x.Do(c, [][]byte{[]byte("BLMOVE"), []byte("a"), []byte("b"), []byte("LEFT"), []byte("LEFT"), []byte("100")})
	if got := doString(x, p, "INFO", "clients"); !strings.Contains(got, "\r\nclients_in_timeout_table:1\r\n") {
		t.Error(got)
	}
	w.e.FreeClient(c)
	if got := doString(x, p, "RPUSH", "a", "1"); got != ":1\r\n" {
		t.Error(got)
	}
	if got := doString(x, p, "LLEN", "a"); got != ":1\r\n" {
		t.Error(got)
	}
	s := &w.e.state.blocking
	if len(s.queues)+len(s.byID)+len(s.due)+len(s.groups) != 0 || s.queued.Load() != 0 || w.e.state.blocked.Load() != 0 {
		t.Errorf("left: %v %v %v %v", s.queues, s.byID, s.due, s.groups)
	}
}
