package command

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTransactionsAreThoseOfRedis(t *testing.T) {
	p := newPair(t)
	q := p.other()
	// Lines with "2: " go to the second client.
	for _, line := range strings.Split(strings.TrimSpace(`
EXEC
DISCARD
UNWATCH
MULTI
MULTI
SET a 1
INCR a
GET a
WATCH a
EXEC
GET a
MULTI
SET a 5
nosuch x
SET b 1
EXEC
GET a
MULTI
GET
EXEC
MULTI
CLIENT nosuch
EXEC
MULTI
SET a x
INCR a
SET a 7
EXEC
GET a
MULTI
EXEC
MULTI
SET a 9
DISCARD
GET a
WATCH a
2: SET a 10
MULTI
SET a 11
EXEC
GET a
WATCH a b c
MULTI
SET a 12
EXEC
WATCH a
UNWATCH
2: SET a 13
MULTI
GET a
EXEC
WATCH a
2: DEL a
2: SET a 13
MULTI
EXEC
WATCH missing
2: SET missing 1
MULTI
EXEC
WATCH missing2
2: DEL missing2
MULTI
PING
EXEC
WATCH a
SET a 14
MULTI
PING
EXEC
WATCH a
SELECT 1
2: SELECT 1
2: SET a 1
MULTI
PING
EXEC
SELECT 0
2: SELECT 0
WATCH a
2: FLUSHALL
MULTI
PING
EXEC
WATCH a
2: FLUSHDB
MULTI
PING
EXEC
SET a 1
WATCH a
2: SWAPDB 0 1
MULTI
PING
EXEC
2: SWAPDB 0 1
WATCH nokey
2: SWAPDB 0 1
MULTI
PING
EXEC
2: FLUSHALL
SET a 1
WATCH a
2: EXPIRE a 100
MULTI
PING
EXEC
WATCH a
2: PERSIST a
MULTI
PING
EXEC
WATCH a
2: EXPIRE a -1
MULTI
PING
EXEC
SET a 1
WATCH a
2: RENAME a b
MULTI
PING
EXEC
WATCH a
2: COPY b a
MULTI
PING
EXEC
WATCH a
2: GET a
2: TTL a
2: APPEND a x
MULTI
GET a
EXEC
WATCH a
DISCARD
MULTI
DISCARD
2: SET a 1
MULTI
PING
EXEC
MULTI
SELECT 3
SET a 1
SELECT 0
GET a
EXEC
MULTI
UNWATCH
EXEC
MULTI
SAVE
EXEC
MULTI
SHUTDOWN
EXEC
MULTI
FLUSHALL
SET a 1
FLUSHDB foo
DBSIZE
SWAPDB 0 2
GET a
EXEC
MULTI
WATCH x
RESET
EXEC
MULTI
SCAN 0
RANDOMKEY
KEYS *
EXEC
MULTI
MSET a 1 b 2 c 3
DEL a b
RENAME c d
EXISTS a b c d
EXEC
MULTI
EXEC x
EXEC
MULTI
DISCARD x
EXEC
MULTI
HELLO 9
ECHO x
EXEC
MULTI
QUIT2
DISCARD
MULTI
OBJECT nosuch a
EXEC
MULTI
DEBUG SLEEP 0
EXEC
MULTI
CLIENT GETNAME
CLIENT SETNAME n
CLIENT GETNAME
EXEC
`), "\n") {
		if cmd, second := strings.CutPrefix(line, "2: "); second {
			q.line(cmd)
		} else {
			p.line(line)
		}
	}
	if t.Failed() {
		return
	}
	p.both("HELLO", "3")
	for _, line := range []string{"WATCH a", "SET a 2", "MULTI", "EXEC", "MULTI", "GET nokey", "EXEC"} {
		p.line(line)
	}
}

func TestWatchedKeyThatExpires(t *testing.T) {
	p := newPair(t)
	attempts(t, func(scale int) string {
		p.both("UNWATCH")
		p.line(fmt.Sprint("SET a 1 PX ", 30*scale))
		p.line("WATCH a")
		if ours, theirs := p.both("EXISTS", "a"); ours != theirs || ours != ":1\r\n" {
			return fmt.Sprintf("expired before it was watched: EXISTS %q %q", ours, theirs)
		}
		sleepMS(60 * scale)
		return ""
	})
	p.line("MULTI")
	p.line("PING")
	p.line("EXEC")
	p.line("DEBUG SET-ACTIVE-EXPIRE 0")
	p.line("SET a 1 PX 30")
	sleepMS(60)
	p.line("WATCH a") // has expired already: nothing is lost
	p.line("MULTI")
	p.line("PING")
	p.line("EXEC")
	p.line("DEBUG SET-ACTIVE-EXPIRE 1")
}

func TestFlushAllHooksInAndOutsideOfExec(t *testing.T) {
	w := newWorld(t)
	x, c, other := w.e.NewCtx(), w.connect(), w.connect()
	run := func(cmds ...string) string {
		w.calls = nil
		var out string
		for _, cmd := range cmds {
			if rest, second := strings.CutPrefix(cmd, "2: "); second {
				doString(x, other, strings.Fields(rest)...)
				continue
			}
			out = doString(x, c, strings.Fields(cmd)...)
		}
		return fmt.Sprint(w.calls, " ", out)
	}
	for _, tc := range []struct{ want, cmds string }{
		{"[before after] +OK\r\n", "FLUSHALL"},
		{"[before after] +OK\r\n", "FLUSHALL async"},
		{"[] -ERR syntax error\r\n", "FLUSHALL foo"},
		{"[before after] *2\r\n+OK\r\n+OK\r\n", "MULTI;SET a b;FLUSHALL;EXEC"},
		{"[] +OK\r\n", "MULTI;FLUSHALL;DISCARD"},
		{"[] *-1\r\n", "WATCH k;MULTI;FLUSHALL;2: SET k 1;EXEC"},
		{"[] *1\r\n+Background saving scheduled\r\n", "MULTI;BGSAVE thread;EXEC"},
	} {
		if got := run(strings.Split(tc.cmds, ";")...); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.cmds, got, tc.want)
		}
	}
	if got := fmt.Sprint(w.started); got != "[thread,true]" {
		t.Errorf("started %s", got)
	}
}

// TestExecIsOneStep lets several loops move amounts between keys of different
// shards: no reader inside EXEC may see a sum in between.
func TestExecIsOneStep(t *testing.T) {
	w := newWorld(t)
	const keys, loops, rounds = 8, 4, 300
	name := func(i int) string { return fmt.Sprint("acct:", i%keys) }
	x, c := w.e.NewCtx(), w.connect()
	for i := range keys {
		doString(x, c, "SET", name(i), "100")
	}
	var wg sync.WaitGroup
	for l := range loops {
		x, c := w.e.NewCtx(), w.connect()
		wg.Go(func() {
			for i := range rounds {
				doString(x, c, "MULTI")
				if l == 0 {
					args := []string{"MGET"}
					for k := range keys {
						args = append(args, name(k))
					}
					doString(x, c, args...)
				} else {
					doString(x, c, "DECRBY", name(i*l), "7")
					for range 100 {
						doString(x, c, "PING")
					}
					doString(x, c, "INCRBY", name(i*l+l+i), "7")
				}
				got := doString(x, c, "EXEC")
				if l != 0 {
					continue
				}
				v, _ := parseReply(got)
				sum := 0
				for _, s := range v.([]any)[0].([]any) {
					var n int
					fmt.Sscan(s.(string), &n)
					sum += n
				}
				if sum != 100*keys {
					t.Errorf("the sum is %d", sum)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestExecWaitsForEveryKey holds one key at a time: EXEC must not begin before
// it has the locks of all queued commands' keys and of the watched ones.
func TestExecWaitsForEveryKey(t *testing.T) {
	w := newWorld(t)
	holder := w.e.Store.NewTx()
	for _, key := range []string{"first", "second", "third", "watched"} {
		x, c := w.e.NewCtx(), w.connect()
		for _, cmd := range []string{"WATCH watched", "MULTI", "SET first 1", "PING", "MSET second 2 third 3"} {
			doString(x, c, strings.Fields(cmd)...)
		}
		holder.LockKey([]byte(key))
		done := make(chan string, 1)
		go func() { done <- doString(x, c, "EXEC") }()
		select {
		case got := <-done:
			t.Errorf("EXEC did not wait for %s: %q", key, got)
			holder.Unlock()
			continue
		case <-time.After(20 * time.Millisecond):
		}
		holder.Unlock()
		if got := <-done; got != "*3\r\n+OK\r\n+PONG\r\n+OK\r\n" {
			t.Errorf("EXEC: %q", got)
		}
	}
}
