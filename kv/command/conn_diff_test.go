package command

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func sleepMS(n int) { time.Sleep(time.Duration(n) * time.Millisecond) }

func TestConnectionCommandsAreThoseOfRedis(t *testing.T) {
	p := newPair(t)
	for _, proto := range []string{"2", "3"} {
		p.both("HELLO", proto)
		for _, args := range [][]string{
			{"PING"}, {"PING", "x"}, {"ECHO", "x\r\ny"}, {"SELECT", "3"}, {"SELECT", "16"}, {"SELECT", "-1"}, {"SELECT", "x"}, {"SELECT", "0"},
			{"SELECT", "9223372036854775807"}, {"SELECT", "9223372036854775808"},
			{"AUTH", "x"}, {"AUTH", "default", "x"}, {"AUTH", "foo", "x"}, {"AUTH", "a", "b", "c"},
			{"HELLO", "4"}, {"HELLO", "1"}, {"HELLO", "x"}, {"HELLO", proto, "foo"}, {"HELLO", proto, "SETNAME"}, {"HELLO", proto, "AUTH", "a"},
			{"HELLO", proto, "SETNAME", "a b"}, {"HELLO", proto, "AUTH", "foo", "x"},
			{"CLIENT", "GETNAME"}, {"CLIENT", "SETNAME", "a b"}, {"CLIENT", "SETNAME", "me"}, {"CLIENT", "GETNAME"}, {"CLIENT", "SETNAME", ""},
			{"CLIENT", "GETNAME"}, {"CLIENT", "SETNAME", "a\n"}, {"CLIENT", "SETNAME", "\x80"},
			{"CLIENT", "PAUSE", "x"}, {"CLIENT", "PAUSE", "-1"}, {"CLIENT", "PAUSE", "1", "foo"}, {"CLIENT", "PAUSE", "99999999999999999999"},
			{"CLIENT", "PAUSE", "9223372036854775807"}, {"CLIENT", "PAUSE", "0", "WRITE"}, {"CLIENT", "UNPAUSE"}, {"CLIENT", "PAUSE", "1", "ALL", "x"},
			{"CLIENT", "KILL", "a"}, {"CLIENT", "KILL", "id"}, {"CLIENT", "KILL", "id", "x"}, {"CLIENT", "KILL", "foo", "bar"},
			{"CLIENT", "KILL", "type", "foo"}, {"CLIENT", "KILL", "user", "nobody"}, {"CLIENT", "KILL", "skipme", "x"}, {"CLIENT", "KILL", "id", "0"},
			{"CLIENT", "KILL", "id", "1", "2"}, {"CLIENT", "KILL", "addr", "1.2.3.4:5"}, {"CLIENT", "KILL", "type", "replica"},
			{"CLIENT", "KILL", "id", "123456", "type", "pubsub"}, {"CLIENT", "KILL", ""},
			{"CLIENT", "LIST", "foo"}, {"CLIENT", "LIST", "type", "foo"}, {"CLIENT", "LIST", "id"}, {"CLIENT", "LIST", "id", "x"},
			{"CLIENT", "LIST", "id", "0"}, {"CLIENT", "LIST", "type", "replica"}, {"CLIENT", "LIST", "type", "normal", "x"},
			{"CLIENT", "NO-EVICT", "foo"}, {"CLIENT", "NO-EVICT", "on"}, {"CLIENT", "NO-EVICT", "off"}, {"CLIENT", "REPLY", "foo"},
			{"CLIENT", "REPLY", "ON"}, {"CLIENT", "UNBLOCK", "x"}, {"CLIENT", "UNBLOCK", "1", "foo"}, {"CLIENT", "UNBLOCK", "123456"},
			{"CLIENT", "CACHING", "yes"}, {"CLIENT", "TRACKING", "foo"}, {"CLIENT", "TRACKING", "off"}, {"CLIENT", "TRACKINGINFO"},
			{"CLIENT", "GETREDIR"}, {"CLIENT", "NO-TOUCH", "on"}, {"CLIENT", "MAINT_NOTIFICATIONS", "on"},
			{"MULTI"}, {"RESET"}, {"EXEC"},
		} {
			p.same(args...)
		}
	}
}

func TestHello(t *testing.T) {
	p := newPair(t)
	id := regexp.MustCompile(`(\$2\r\nid\r\n:)\d+`)
	for _, args := range [][]string{{"HELLO"}, {"HELLO", "2"}, {"HELLO", "3"}, {"HELLO"}, {"HELLO", "3", "SETNAME", "x"}, {"HELLO", "2", "AUTH", "default", "any"}} {
		ours, theirs := p.both(args...)
		if a, b := id.ReplaceAllString(ours, "$1"), id.ReplaceAllString(theirs, "$1"); a != b {
			t.Errorf("%q\n kvd   %q\n redis %q", args, a, b)
		}
	}
	p.line("CLIENT GETNAME")
}

var clientField = regexp.MustCompile(`([a-z-]+)=([^ \n]*)`)

// fieldNames returns the names of the fields of a CLIENT LIST line, in order.
func fieldNames(line string) (names []string, values map[string]string) {
	values = map[string]string{}
	for _, m := range clientField.FindAllStringSubmatch(line, -1) {
		names = append(names, m[1])
		values[m[1]] = m[2]
	}
	return names, values
}

func TestClientList(t *testing.T) {
	p := newPair(t)
	check := func(p *pair) {
		t.Helper()
		ours, theirs := p.both("CLIENT", "INFO")
		a, va := fieldNames(ours)
		b, vb := fieldNames(theirs)
		if strings.Join(a, " ") != strings.Join(b, " ") {
			t.Errorf("fields\n kvd   %v\n redis %v", a, b)
		}
		for _, f := range []string{"name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "redir", "resp", "events", "obl", "oll", "omem"} {
			if va[f] != vb[f] {
				t.Errorf("%s=%s, redis has %s", f, va[f], vb[f])
			}
		}
	}
	check(p)
	p.line("CLIENT SETNAME bob")
	p.line("SELECT 5")
	p.line("CLIENT NO-EVICT on")
	check(p)
	p.both("HELLO", "3")
	check(p)
	q := p.other()
	p.both("HELLO", "2")
	p.line("WATCH k")
	q.line("SELECT 5")
	q.line("SET k 1")
	p.line("MULTI")
	p.line("SET a b")
	ours, theirs := q.both("CLIENT", "LIST")
	find := func(list string) map[string]string {
		for _, l := range strings.Split(list, "\n") {
			if strings.Contains(l, "name=bob") {
				_, v := fieldNames(l)
				return v
			}
		}
		return nil
	}
	va, vb := find(ours), find(theirs)
	for _, f := range []string{"flags", "multi", "cmd", "db"} {
		if va[f] != vb[f] || va[f] == "" {
			t.Errorf("%s=%s, redis has %s", f, va[f], vb[f])
		}
	}
	p.line("EXEC")
	p.line("nosuch")
	p.line("CLIENT SETNAME x")

	c := p.world.connect()
	for _, s := range [][3]string{{"LIB-NAME", "go-redis", "+OK"}, {"lib-ver", "9.1", "+OK"}, {"LIB-NAME", "a b", "-ERR LIB-NAME cannot contain"},
		{"foo", "x", "-ERR Unrecognized option 'foo'"}} {
		if got := doString(p.x, c, "CLIENT", "SETINFO", s[0], s[1]); !strings.HasPrefix(got, s[2]) {
			t.Errorf("CLIENT SETINFO %s %s: %q", s[0], s[1], got)
		}
	}
	if got := doString(p.x, c, "CLIENT", "INFO"); !strings.Contains(got, " lib-name=go-redis lib-ver=9.1\n") {
		t.Errorf("CLIENT INFO: %q", got)
	}
}

func TestClientKill(t *testing.T) {
	w := newWorld(t)
	x, a, b := w.e.NewCtx(), w.connect(), w.connect()
	b.Addr = "1.2.3.4:5"
	do := func(want string, args ...string) {
		t.Helper()
		w.killed = nil
		if got := doString(x, a, args...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	do("+OK\r\n", "CLIENT", "KILL", "1.2.3.4:5")
	if len(w.killed) != 1 || w.killed[0] != b {
		t.Errorf("killed %v", w.killed)
	}
	do(":1\r\n", "CLIENT", "KILL", "TYPE", "normal")
	do(":1\r\n", "CLIENT", "KILL", "ID", "2", "ADDR", "1.2.3.4:5", "USER", "default")
	do(":0\r\n", "CLIENT", "KILL", "ID", "2", "ADDR", "1.2.3.4:6")
	do(":0\r\n", "CLIENT", "KILL", "ID", "1")
	x.Client = nil
	if got := x.Do(a, [][]byte{[]byte("CLIENT"), []byte("KILL"), []byte("SKIPME"), []byte("no")}); got != Close {
		t.Errorf("who kills itself gets outcome %v", got)
	}
	if got := string(a.Out); got != ":2\r\n" {
		t.Errorf("reply %q", got)
	}
}
