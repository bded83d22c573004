package command

import (
	"fmt"
	"strings"
	"testing"
)

func TestLookupFindsEveryNameInAnyCase(t *testing.T) {
	tab := sharedTable()
	for _, s := range tab.list {
		mixed := []byte(s.Name)
		for i := range mixed {
			if i%2 == 0 {
				mixed[i] = strings.ToUpper(string(mixed[i]))[0]
			}
		}
		for _, name := range []string{s.Name, strings.ToUpper(s.Name), string(mixed)} {
			if got := tab.lookupName([]byte(name)); got != s {
				t.Errorf("%q finds %v", name, got)
			}
		}
		for _, name := range []string{s.Name + "x", s.Name[1:], s.Name + "\x00", s.Name[:len(s.Name)-1] + "\x01"} {
			if got := tab.lookupName([]byte(name)); got != nil && got.Name != name {
				t.Errorf("%q finds %q", name, got.Name)
			}
		}
		for _, sub := range s.Sub {
			if got := tab.lookupFull([]byte(strings.ToUpper(sub.Name))); got != sub {
				t.Errorf("%q finds %v", sub.Name, got)
			}
		}
	}
	odd := &table{}
	odd.add(&Spec{Name: "sort_ro2", Arity: 1})
	for name, want := range map[string]bool{"sort_ro2": true, "SORT_RO2": true, "sort_ro\x12": false, "sort\x7fro2": false} {
		if got := odd.lookupName([]byte(name)) != nil; got != want {
			t.Errorf("%q found: %v", name, got)
		}
	}
	for _, name := range []string{"", "a", strings.Repeat("x", 16), strings.Repeat("x", 17), "get|x"} {
		if tab.lookupFull([]byte(name)) != nil {
			t.Errorf("%q is found", name)
		}
	}
}

func TestRefusalsAreThoseOfRedis(t *testing.T) {
	p := newPair(t)
	for _, args := range [][]string{
		{"nosuch"}, {"NoSuch", "a", "b"}, {"nosuch", strings.Repeat("x", 300), "y"}, {strings.Repeat("n", 300), "a"},
		{"nosuch", strings.Repeat("x", 60), strings.Repeat("y", 60), strings.Repeat("z", 60)}, {"no\r\nsuch", "a\r\nb"},
		{"no\x00such", "a\x00b", "c"}, {"", "a"}, {""}, {"nosuch", ""},
		{"client"}, {"client", "nosuch"}, {"CLIENT", "no\r\nsuch", "x"}, {"config", ""}, {"client", strings.Repeat("s", 200)},
		{"object"}, {"memory"}, {"command", "nosuch"}, {"function", "nosuch"},
		{"get"}, {"get", "a", "b"}, {"set", "a"}, {"CLIENT", "GETNAME", "x"}, {"config", "get"}, {"GeT"},
		{"debug"}, {"debug", "nosuch"}, {"debug", "sleep"}, {"ping", "a", "b"}, {"echo"}, {"select"},
	} {
		p.same(args...)
	}
}

func TestNoAuth(t *testing.T) {
	p := newPair(t)
	p.both("CONFIG", "SET", "requirepass", "secret")
	defer p.both("CONFIG", "SET", "requirepass", "")
	q := p.other()
	for _, cmd := range []string{
		"GET a", "nosuch", "GET", "CLIENT nosuch", "PING", "MULTI", "DEBUG DIGEST", "HELLO 3", "HELLO", "HELLO 9", "HELLO 3 AUTH default bad",
		"HELLO 2 SETNAME x", "AUTH bad", "AUTH default bad", "AUTH nobody secret", "AUTH a b c", "ECHO x", "RESET", "QUIT x",
	} {
		if cmd == "QUIT x" {
			q = p.other()
		}
		q.line(cmd)
	}
	q = p.other()
	q.line("AUTH secret")
	q.line("GET a")
	q.line("RESET")
	q.line("GET a")
	q.line("AUTH default secret")
	q.line("GET a")
	q = p.other()
	if r, _ := q.both("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me"); !strings.HasPrefix(r, "%7\r\n") {
		t.Errorf("HELLO with AUTH: %q", r)
	}
	q.line("CLIENT GETNAME")
	q.line("GET nokey")
}

func TestLoadingAndMisconf(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	expect := func(want string, args ...string) {
		t.Helper()
		if got := doString(x, c, args...); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	w.e.SetLoading(true)
	expect("-LOADING Redis is loading the dataset in memory\r\n", "GET", "a")
	expect("-LOADING", "PING")
	expect("$", "INFO", "persistence")
	expect("+OK", "SELECT", "1")
	expect("-ERR wrong number", "GET")
	expect("+OK", "MULTI")
	expect("-LOADING", "GET", "a")
	expect("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
	w.e.SetLoading(false)
	expect("+OK", "MULTI")
	expect("+QUEUED", "GET", "a")
	w.e.SetLoading(true)
	expect("-EXECABORT Transaction discarded because of: LOADING Redis", "EXEC")
	w.e.SetLoading(false)
	expect("-ERR EXEC without MULTI", "EXEC")

	w.denied = "No space left on device"
	expect("-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.", "SET", "a", "b")
	if got := doString(x, c, "SET", "a", "b"); !strings.HasSuffix(got, "details about the RDB error. Reason: No space left on device\r\n") {
		t.Errorf("no reason in %q", got)
	}
	expect("-MISCONF", "PING")
	expect("$-1", "GET", "a")
	expect("+OK", "MULTI")
	expect("-MISCONF", "SET", "a", "b")
	expect("-EXECABORT", "EXEC")
	w.denied = ""
	expect("+OK", "MULTI")
	expect("+QUEUED", "SET", "a", "b")
	w.denied = "x"
	expect("-EXECABORT Transaction discarded because of: MISCONF", "EXEC")
	w.denied = ""
	expect("$-1", "GET", "a")
}

func TestProtectedDebug(t *testing.T) {
	p := newPair(t)
	w := newWorld(t, "--enable-debug-command", "no")
	x, c := w.e.NewCtx(), w.connect()
	want := "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local " +
		"connection, otherwise you need to set this option in the configuration file, and then restart the server.\r\n"
	if got := doString(x, c, "DEBUG", "DIGEST"); got != want {
		t.Errorf("got %q", got)
	}
	w = newWorld(t, "--enable-debug-command", "local")
	x, c = w.e.NewCtx(), w.connect()
	if got := doString(x, c, "DEBUG", "DIGEST"); got[0] != '+' {
		t.Errorf("a local client gets %q", got)
	}
	c.Local = false
	if got := doString(x, c, "DEBUG", "DIGEST"); got != want {
		t.Errorf("a remote client gets %q", got)
	}
	p.line("DEBUG DIGEST")
}

func TestReplyModes(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	for i, step := range [][2]string{
		{"CLIENT REPLY SKIP", ""}, {"PING", ""}, {"PING", "+PONG\r\n"},
		{"CLIENT REPLY OFF", ""}, {"PING", ""}, {"nosuch", ""}, {"CLIENT REPLY SKIP", ""}, {"CLIENT REPLY ON", "+OK\r\n"}, {"PING", "+PONG\r\n"},
		{"CLIENT REPLY SKIP", ""}, {"CLIENT REPLY SKIP", ""}, {"PING", ""}, {"PING", "+PONG\r\n"},
		{"CLIENT REPLY OFF", ""}, {"RESET", "+RESET\r\n"}, {"PING", "+PONG\r\n"},
	} {
		if got := doString(x, c, strings.Fields(step[0])...); got != step[1] {
			t.Errorf("step %d %s: %q, want %q", i, step[0], got, step[1])
		}
	}
}

func TestPause(t *testing.T) {
	w := newWorld(t)
	x, c, other := w.e.NewCtx(), w.connect(), w.connect()
	do := func(c *Client, want, cmd string) {
		t.Helper()
		if got := doString(x, c, strings.Fields(cmd)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", cmd, got, want)
		}
	}
	do(c, "+OK", "CLIENT PAUSE 100000 WRITE")
	do(other, "$-1", "GET a")
	do(other, "postponed", "SET a 1")
	do(other, "postponed", "SET a 1")
	if got := doString(x, c, "INFO", "clients"); !strings.Contains(got, "blocked_clients:1\r\n") {
		t.Errorf("one client waits: %q", got)
	}
	if got := doString(x, c, "CLIENT", "LIST", "ID", "2"); !strings.Contains(got, " flags=bU ") {
		t.Errorf("the waiting client: %q", got)
	}
	do(c, "+OK", "CLIENT UNPAUSE")
	if w.wakes.Load() == 0 {
		t.Error("UNPAUSE wakes nobody")
	}
	do(other, "+OK", "SET a 1")
	do(other, "+OK", "MULTI")
	do(other, "+QUEUED", "SET a 2")
	do(c, "+OK", "CLIENT PAUSE 100000 WRITE")
	do(other, "postponed", "EXEC")
	do(c, "+OK", "CLIENT UNPAUSE")
	do(other, "*1", "EXEC")
	attempts(t, func(scale int) string { // it may be over before the PING
		do(c, "+OK", fmt.Sprint("CLIENT PAUSE ", 30*scale))
		if got := doString(x, c, "PING"); got != "postponed" {
			return "during a pause: " + got
		}
		return ""
	})
	got := "postponed"
	await(t, "the end of the pause", func() bool { got = doString(x, c, "PING"); return got != "postponed" })
	if got != "+PONG\r\n" {
		t.Errorf("PING: %q", got)
	}
	if got := doString(x, c, "INFO", "clients"); !strings.Contains(got, "blocked_clients:0\r\n") {
		t.Errorf("nobody waits: %q", got)
	}
}

// TestHoldWrites: while writes are held, whatever may write waits, and nothing
// else does.
func TestHoldWrites(t *testing.T) {
	w := newWorld(t)
	x, c, other := w.e.NewCtx(), w.connect(), w.connect()
	do := func(c *Client, want, cmd string) {
		t.Helper()
		if got := doString(x, c, strings.Fields(cmd)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", cmd, got, want)
		}
	}
	do(c, "+OK", "SET a 1")
	do(c, "+OK", "MULTI")
	do(c, "+QUEUED", "INCR a")
	w.e.HoldWrites(true)
	w.e.HoldWrites(true)
	do(c, "postponed", "EXEC")
	for _, cmd := range []string{"SET a 2", "DEL a", "FLUSHALL", "EXPIRE a 1", "SWAPDB 0 1", "INCR a"} {
		do(other, "postponed", cmd)
	}
	do(w.connect(), "postponed", "SNAPSHOT LOAD a")
	reader := w.connect()
	do(reader, "$1\r\n1", "GET a")
	do(reader, "+PONG", "PING")
	do(reader, "+Background saving cancelled", "BGSAVE CANCEL")
	do(reader, "+OK", "CONFIG SET save-keep 1")
	do(reader, "+OK", "MULTI")
	do(reader, "+QUEUED", "GET a")
	do(reader, "*1\r\n$1\r\n1", "EXEC")
	if got := doString(x, reader, "INFO", "clients"); !strings.Contains(got, "blocked_clients:3\r\n") {
		t.Errorf("three clients wait: %q", got)
	}
	await(t, "BGSAVE CANCEL has woken the loops", func() bool { return w.wakes.Load() == 1 }) // maybe behind its reply
	w.wakes.Store(0)
	// A pause and a hold do not end each other.
	w.e.Pause(1<<60, false)
	w.e.HoldWrites(false)
	if w.wakes.Load() != 1 {
		t.Errorf("woken %d times", w.wakes.Load())
	}
	do(other, "postponed", "INCR a")
	w.e.HoldWrites(true)
	w.e.Unpause()
	do(other, "postponed", "INCR a")
	w.e.HoldWrites(false)
	w.e.HoldWrites(false)
	if w.wakes.Load() != 3 {
		t.Errorf("woken %d times", w.wakes.Load())
	}
	do(other, ":2", "INCR a")
	do(c, "*1\r\n:3", "EXEC")
	w.e.FreeClient(w.clients[2])
	if got := doString(x, reader, "INFO", "clients"); !strings.Contains(got, "blocked_clients:0\r\n") {
		t.Errorf("nobody waits: %q", got)
	}
	if w.e.state.gate.Load() != 0 {
		t.Error("the gate is not open")
	}
}
