//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestWireLikeRedis sends random commands of the connection, server and
// transaction groups to kvd and to redis-server: several connections take
// turns, and each turn is a pipeline in one write. The replies must be equal
// byte by byte, but for the connection's number in HELLO. What differs by its
// nature is not sent (TIME, INFO, RANDOMKEY, SCAN; KEYS and CONFIG GET with more
// than one match, whose order is that of a hash table). The commands on keys
// have a test of their own in kv/command.
func TestWireLikeRedis(t *testing.T) {
	t.Parallel()
	r := startRedis(t, shortDir(t))
	k := start(t)
	f := &wireFuzz{Rand: rand.New(rand.NewPCG(2026, 11)), t: t, kvd: k, redis: r}
	for range 5 {
		f.pairs = append(f.pairs, f.connect())
	}
	total := scaled(25_000, 1_000_000)
	for f.sent < total && !t.Failed() {
		f.turn(f.IntN(len(f.pairs)))
	}
	if t.Failed() {
		t.Logf("the commands before:\n%s", strings.Join(f.history, "\n"))
		return
	}
	for db := range 16 { // and the data are the same
		f.pairs[0].both("RESET")
		f.pairs[0].both("SELECT", strconv.Itoa(db))
	}
	ours, theirs := f.pairs[0].both("DEBUG", "DIGEST")
	if ours != theirs {
		t.Errorf("digests %q %q", ours, theirs)
	}
	t.Logf("%d commands", f.sent)
}

type wireFuzz struct {
	*rand.Rand
	t          testing.TB
	kvd, redis *proc
	pairs      []*wirePair
	sent       int
	history    []string
}

// wirePair is one client, connected to both servers.
type wirePair struct {
	ours, theirs *conn
	nonce        int
}

func (f *wireFuzz) connect() *wirePair { return &wirePair{ours: f.kvd.dial(), theirs: f.redis.dial()} }

func (p *wirePair) both(args ...string) (ours, theirs string) {
	return p.exchange(appendCommand(nil, args...), 1)
}

// exchange sends the same bytes to both and reads n replies of each.
func (p *wirePair) exchange(b []byte, n int) (ours, theirs string) {
	p.ours.send(b)
	p.theirs.send(b)
	read := func(c *conn) string {
		_ = c.SetReadDeadline(time.Now().Add(ioTimeout))
		var out bytes.Buffer
		for range n {
			if err := copyReply(c.r, &out); err != nil {
				fmt.Fprintf(&out, "<%v>", err)
				break
			}
		}
		return out.String()
	}
	return read(p.ours), read(p.theirs)
}

// untilEcho sends the bytes and an ECHO, and reads up to the reply of that:
// where replies are off nobody knows how many there are.
func (p *wirePair) untilEcho(b []byte) (ours, theirs string) {
	p.nonce++
	word := "nonce" + strconv.Itoa(p.nonce)
	b = appendCommand(b, "CLIENT", "REPLY", "ON")
	b = appendCommand(b, "ECHO", word)
	p.ours.send(b)
	p.theirs.send(b)
	read := func(c *conn) string {
		_ = c.SetReadDeadline(time.Now().Add(ioTimeout))
		var out bytes.Buffer
		for !strings.Contains(out.String(), word) {
			if err := copyReply(c.r, &out); err != nil {
				fmt.Fprintf(&out, "<%v>", err)
				break
			}
		}
		return out.String()
	}
	return read(p.ours), read(p.theirs)
}

var helloID = regexp.MustCompile(`(\$2\r\nid\r\n):\d+`)

// turn is one pipeline of one client.
func (f *wireFuzz) turn(i int) {
	p := f.pairs[i]
	if f.IntN(100) == 0 { // the client goes and another comes
		ours, theirs := p.both("QUIT")
		f.compare(i, []string{"QUIT"}, ours, theirs)
		f.pairs[i] = f.connect()
		return
	}
	if f.IntN(40) == 0 {
		f.silence(i)
		return
	}
	n := 1 + f.IntN(12)
	var b []byte
	var names []string
	for range n {
		args := f.command()
		if f.IntN(30) == 0 && plain(args) {
			b = append(b, strings.Join(args, " ")+"\r\n"...) // inline
		} else {
			b = appendCommand(b, args...)
		}
		names = append(names, fmt.Sprintf("%q", args))
	}
	f.sent += n
	ours, theirs := p.exchange(b, n)
	f.compare(i, names, ours, theirs)
}

func plain(args []string) bool {
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \r\n\x00\"'") {
			return false
		}
	}
	return true
}

// silence plays with CLIENT REPLY, outside of a transaction.
func (f *wireFuzz) silence(i int) {
	p := f.pairs[i]
	b := appendCommand(nil, "RESET")
	names := []string{"RESET"}
	for range 1 + f.IntN(8) {
		args := []string{"CLIENT", "REPLY", f.pick("OFF", "SKIP", "SKIP", "ON", "off", "bad")}
		if f.IntN(2) == 0 {
			for args = f.command(); strings.EqualFold(args[0], "MULTI"); {
				args = f.command()
			}
		}
		b = appendCommand(b, args...)
		names = append(names, fmt.Sprintf("%q", args))
	}
	f.sent += len(names)
	ours, theirs := p.untilEcho(b)
	f.compare(i, names, ours, theirs)
}

func (f *wireFuzz) compare(i int, names []string, ours, theirs string) {
	f.t.Helper()
	f.history = append(f.history, fmt.Sprintf("%d: %s", i, strings.Join(names, " ")))
	if len(f.history) > 40 {
		f.history = f.history[1:]
	}
	ours, theirs = helloID.ReplaceAllString(ours, "$1:0"), helloID.ReplaceAllString(theirs, "$1:0")
	if ours != theirs {
		f.t.Errorf("client %d, %s\n kvd   %q\n redis %q", i, strings.Join(names, " "), around(ours, theirs), around(theirs, ours))
	}
}

// around shows s where it begins to differ from the other.
func around(s, other string) string {
	i := 0
	for i < min(len(s), len(other)) && s[i] == other[i] {
		i++
	}
	return s[max(0, i-300):min(len(s), i+300)]
}

func (f *wireFuzz) pick(list ...string) string { return list[f.IntN(len(list))] }

func (f *wireFuzz) key() string { return "k" + strconv.Itoa(f.IntN(6)) }

// command returns the next one. MULTI and its kin come often, and wrong
// commands too, since they spoil a transaction.
func (f *wireFuzz) command() []string {
	switch f.IntN(60) {
	case 0, 1, 2, 3:
		return []string{f.pick("MULTI", "multi")}
	case 4, 5, 6, 7, 8:
		return []string{f.pick("EXEC", "exec")}
	case 9:
		return []string{"DISCARD"}
	case 10, 11, 12:
		return []string{"WATCH", f.key(), f.key()}
	case 13:
		return []string{"UNWATCH"}
	case 14, 15, 16, 17, 18:
		return []string{"SET", f.key(), f.pick("1", "2", "x", "")}
	case 19, 20, 21:
		return []string{"INCR", f.key()}
	case 22, 23, 24:
		return []string{"GET", f.key()}
	case 25, 26:
		return []string{f.pick("DEL", "UNLINK", "EXISTS", "TOUCH"), f.key(), f.key()}
	case 27, 28:
		return []string{"SELECT", f.pick("0", "0", "0", "1", "2", "16", "-1", "x", "")}
	case 29:
		return []string{"SWAPDB", f.pick("0", "1", "2", "x", "16"), f.pick("0", "1", "2", "x", "-1")}
	case 30:
		return []string{f.pick("FLUSHDB", "FLUSHALL"), f.pick("SYNC", "ASYNC", "bad")}
	case 31, 32:
		return []string{"DBSIZE"}
	case 33:
		return []string{"KEYS", f.pick("k1", "k[2]", "[k]3", "k?[^4]", "z*")}
	case 34, 35:
		return f.hello()
	case 36:
		return []string{"RESET"}
	case 37, 38, 39:
		return f.client()
	case 40:
		return [][]string{{"PING"}, {"PING", "x y"}, {"PING", "a", "b"}, {"ECHO", "hi"}, {"ECHO"}}[f.IntN(5)]
	case 41:
		return []string{"AUTH", f.pick("x", "default"), "y"}[:2+f.IntN(2)]
	case 42, 43:
		return f.config()
	case 44:
		return []string{f.pick("nosuch", "GET", "SET", "EXEC", "WATCH", "MULTI", "SELECT", "CONFIG", "CLIENT", "DEBUG"), "a", "b", "c", "d"}[:1+f.IntN(5)]
	case 45:
		return []string{f.pick("GET", "SET", "nosuch", "ECHO", "SWAPDB", "WATCH", "SELECT", "CONFIG", "OBJECT", "MEMORY")}
	case 46, 47:
		return f.commandCommand()
	case 48:
		return [][]string{{"DEBUG", "SLEEP", "0"}, {"DEBUG", "DIGEST"}, {"DEBUG", "DIGEST-VALUE", f.key()}, {"DEBUG", "nosuch"},
			{"DEBUG", "SET-ACTIVE-EXPIRE", "1"}}[f.IntN(5)]
	case 49:
		return [][]string{{"FUNCTION", "FLUSH"}, {"FUNCTION", "LIST"}, {"FUNCTION", "KILL"}, {"FUNCTION", "FLUSH", "bad"}}[f.IntN(4)]
	case 50:
		return [][]string{{"BGSAVE", "bad"}, {"SHUTDOWN", "bad"}, {"SHUTDOWN", "ABORT"}, {"SHUTDOWN", "SAVE", "NOSAVE"}, {"LASTSAVE", "x"},
			{"TIME", "x"}, {"SAVE", "x"}}[f.IntN(7)]
	case 51, 52:
		return []string{"MSET", f.key(), "1", f.key(), "2"}[:3+2*f.IntN(2)]
	case 53:
		return []string{"EXPIRE", f.key(), f.pick("0", "-1", "100000")}
	case 54:
		return []string{"MOVE", f.key(), f.pick("1", "2", "x")}
	case 55:
		return []string{"RENAME", f.key(), f.key()}
	case 56:
		return []string{"COPY", f.key(), f.key(), "DB", f.pick("0", "1", "2")}
	}
	return []string{"APPEND", f.key(), "z"}
}

func (f *wireFuzz) hello() []string {
	return [][]string{{"HELLO"}, {"HELLO", "2"}, {"HELLO", "3"}, {"HELLO", "4"}, {"HELLO", "x"}, {"HELLO", "3", "SETNAME", "me"},
		{"HELLO", "2", "SETNAME", "a b"}, {"HELLO", "3", "AUTH", "default", "x"}, {"HELLO", "3", "BAD"}}[f.IntN(9)]
}

func (f *wireFuzz) client() []string {
	return [][]string{{"CLIENT", "SETNAME", f.pick("a", "b", "", "with blank")}, {"CLIENT", "GETNAME"},
		{"CLIENT", "NO-EVICT", f.pick("on", "off", "bad")}, {"CLIENT", "KILL", "ID", "99999999"},
		{"CLIENT", "KILL", "1.2.3.4:5"}, {"CLIENT", "UNPAUSE"}, {"CLIENT", "nosuch"}, {"CLIENT", "UNBLOCK", "99999999"},
		{"CLIENT", "LIST", "ID", "99999999"}, {"CLIENT", "LIST", "TYPE", "bad"}, {"CLIENT", "PAUSE", "x"}, {"CLIENT", "PAUSE", "0"},
		{"CLIENT", "GETREDIR"}, {"CLIENT", "KILL", "TYPE", "pubsub"}}[f.IntN(14)]
}

func (f *wireFuzz) config() []string {
	return [][]string{{"CONFIG", "GET", f.pick("maxclients", "timeo*", "databases", "nosuch", "hash-max-listpack-v*", "SAVE")},
		{"CONFIG", "SET", "timeout", f.pick("0", "100000", "-1", "x")}, {"CONFIG", "SET", "nosuch", "1"},
		{"CONFIG", "SET", "hz", f.pick("10", "20", "x")}, {"CONFIG", "SET", "port"}, {"CONFIG", "SET", "databases", "3"},
		{"CONFIG", "RESETSTAT"}, {"CONFIG", "SET", "timeout", "1", "timeout", "2"}, {"CONFIG", "GET", "hz", "nosuch"},
		{"CONFIG", "REWRITE"}}[f.IntN(10)]
}

func (f *wireFuzz) commandCommand() []string {
	return [][]string{{"COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"}, {"COMMAND", "GETKEYS", "PING"}, {"COMMAND", "GETKEYS", "nosuch"},
		{"COMMAND", "INFO", f.pick("get", "set", "nosuch", "multi")}, {"COMMAND", "nosuch"}, {"COMMAND", "LIST", "FILTERBY", "BAD", "x"},
		{"COMMAND", "GETKEYS"}}[f.IntN(7)]
}
