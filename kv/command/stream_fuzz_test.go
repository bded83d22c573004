package command

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// streamFuzzer makes random commands of the stream group over a few streams, groups and
// consumers.
type streamFuzzer struct {
	*fuzzer
	last  map[string]uint64   // time part of the last ID of a stream
	known map[string][]string // IDs that were added to it, the last ones
	queue [][]string          // commands that must follow
}

func newStreamFuzzer(t *testing.T) *streamFuzzer {
	return &streamFuzzer{fuzzer: &fuzzer{Rand: newRand(fuzzSeed(t))}, last: map[string]uint64{}, known: map[string][]string{}}
}

// rarely returns the first argument, now and then one of the others.
func (f *streamFuzzer) rarely(usual string, others ...string) string {
	if f.IntN(25) == 0 {
		return f.pick(others...)
	}
	return usual
}

func (f *streamFuzzer) key() string {
	if f.IntN(80) == 0 {
		return f.pick("", "str", "nokey")
	}
	return "x" + strconv.Itoa(f.IntN(5))
}

func (f *streamFuzzer) group() string {
	if f.IntN(60) == 0 {
		return f.pick("", "nogroup", "g\x00x")
	}
	return "g" + strconv.Itoa(f.IntN(3))
}

func (f *streamFuzzer) consumer() string {
	if f.IntN(60) == 0 {
		return f.pick("", "\x00", strings.Repeat("c", 300))
	}
	return "c" + strconv.Itoa(f.IntN(4))
}

// id returns an ID that is likely to be in the stream at key, or about there.
func (f *streamFuzzer) id(key string) string {
	switch f.IntN(60) {
	case 0:
		return f.pick("0", "0-0", "x", "", "-", "+", "$", ">", "5-*", "01-02", " 3", "3--1")
	case 1:
		if f.IntN(10) == 0 {
			return f.pick("18446744073709551615-18446744073709551615", "18446744073709551615", strconv.FormatUint(f.Uint64(), 10))
		}
	case 2, 3, 4, 5:
		return strconv.FormatUint(f.last[key]-min(f.last[key], f.Uint64N(40)), 10)
	}
	if ids := f.known[key]; len(ids) > 0 {
		return ids[f.IntN(len(ids))]
	}
	return "0"
}

func (f *streamFuzzer) ids(key string) (list []string) {
	for range 1 + f.IntN(5) {
		list = append(list, f.id(key))
	}
	return list
}

func (f *streamFuzzer) bound(key string) string {
	id := f.id(key)
	if f.IntN(4) == 0 {
		return "(" + id
	}
	return id
}

func (f *streamFuzzer) count() []string {
	return f.some([]string{"COUNT", f.rarely(f.pick("1", "2", "5", "20"), "0", "-1", "x")})
}

func (f *streamFuzzer) trim(key string) (args []string) {
	switch f.IntN(5) {
	case 0, 1:
		args = []string{"MAXLEN", f.pick("~", "~", "="), f.rarely(f.pick("12", "60", "200", "400"), "0", "1", "-1", "x")}
	case 2, 3:
		args = []string{"MINID", f.pick("~", "="), f.id(key)}
	default:
		args = []string{"MAXLEN", f.pick("3", "80", "200")}
	}
	if f.IntN(4) == 0 {
		args = append(args, "LIMIT", f.rarely(f.pick("0", "5", "20"), "1", "-1"))
	}
	return args
}

func (f *streamFuzzer) fields() (list []string) {
	if f.IntN(3) > 0 {
		return []string{"name", f.value(), "7", f.pick("1", "22", "-333", "text")}
	}
	for range 1 + f.IntN(5) {
		list = append(list, f.pick("a", "bb", "12", "name", f.value()), f.value())
	}
	return list
}

func (f *streamFuzzer) add() []string {
	k := f.key()
	args := []string{"XADD", k}
	if f.IntN(10) == 0 {
		args = append(args, "NOMKSTREAM")
	}
	if f.IntN(40) == 0 {
		args = append(args, f.trim(k)...)
	}
	switch f.IntN(20) {
	case 0:
		args = append(args, f.id(k))
	case 1, 2, 3:
		args = append(args, strconv.FormatUint(f.last[k]+f.Uint64N(2), 10)+"-*")
	default:
		args = append(args, strconv.FormatUint(f.last[k]+1+f.Uint64N(3), 10)+"-"+strconv.Itoa(f.IntN(300)))
	}
	args = append(args, f.fields()...)
	if f.IntN(100) == 0 {
		args = args[:len(args)-1]
	}
	return args
}

func (f *streamFuzzer) readGroup() []string {
	args := []string{"XREADGROUP", "GROUP", f.group(), f.consumer()}
	args = append(args, f.some(f.count(), []string{"NOACK"})...)
	args = append(args, "STREAMS")
	k := f.key()
	if f.IntN(4) == 0 {
		k2 := f.key()
		return append(args, k, k2, f.pick(">", f.id(k)), f.pick(">", ">", f.id(k2)))
	}
	return append(args, k, f.pick(">", ">", ">", ">", "0", f.id(k)))
}

func (f *streamFuzzer) claimOptions(key string) []string {
	return f.some([]string{"IDLE", f.rarely(f.pick("0", "3000000"), "-5", "x")}, []string{"TIME", f.pick("5", "1000", "-1", "9223372036854775807")},
		[]string{"RETRYCOUNT", f.rarely(f.pick("0", "3"), "-1", "x")}, []string{"FORCE"}, []string{"JUSTID"}, []string{"LASTID", f.id(key)})
}

// idle is a time that an entry was pending or was not, whatever the speed of the servers.
func (f *streamFuzzer) idle() string { return f.rarely(f.pick("0", "0", "1000000"), "-1", "x") }

func (f *streamFuzzer) command() []string {
	if len(f.queue) > 0 {
		next := f.queue[0]
		f.queue = f.queue[1:]
		return next
	}
	cat := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	list := func(args ...string) []string { return args }
	k := f.key()
	switch f.IntN(44) {
	case 0:
		return cat(list("XDEL", k), f.ids(k))
	case 1:
		return cat(list("XDEL", k), f.ids(k))
	case 2:
		return cat(list("XTRIM", k), f.trim(k))
	case 3, 4:
		return cat(list("XRANGE", k, f.bound(k), f.pick("+", f.bound(k))), f.count())
	case 5:
		return cat(list("XREVRANGE", k, f.pick("+", f.bound(k)), f.pick("-", f.bound(k))), f.count())
	case 6:
		return cat(list("XREAD"), f.count(), list("STREAMS", k, f.id(k)))
	case 7:
		k2 := f.key()
		return cat(list("XREAD"), f.count(), list("STREAMS", k, k2, f.id(k), f.pick("$", f.id(k2))))
	case 8:
		if f.IntN(3) > 0 {
			return cat(list("XDEL", k), f.ids(k))
		}
		return cat(list("XSETID", k, f.pick(strconv.FormatUint(f.last[k]+3, 10), f.id(k))), f.some(list("ENTRIESADDED", f.pick("0", "10", "1000", "-1")), list("MAXDELETEDID", f.id(k))))
	case 9, 10:
		return cat(list("XGROUP", "CREATE", k, f.group(), f.pick("$", "0", f.id(k))), f.some(list("MKSTREAM"), list("ENTRIESREAD", f.rarely(f.pick("0", "5", "30"), "-1", "-2"))))
	case 11:
		return cat(list("XGROUP", "SETID", k, f.group(), f.pick("$", "0", f.id(k))), f.some(list("ENTRIESREAD", f.rarely(f.pick("0", "5", "30"), "-1", "x"))))
	case 12:
		return list("XGROUP", f.pick("CREATECONSUMER", "DELCONSUMER"), k, f.group(), f.consumer())
	case 13:
		if f.IntN(12) == 0 {
			return list("XGROUP", "DESTROY", k, f.group())
		}
		return list("XLEN", k)
	case 14, 15, 16, 17, 18, 19, 20:
		return f.readGroup()
	case 21, 22:
		return cat(list("XACK", k, f.group()), f.ids(k))
	case 23, 24:
		return cat(list("XCLAIM", k, f.group(), f.consumer(), f.idle()), f.ids(k), f.claimOptions(k))
	case 25, 26:
		return cat(list("XAUTOCLAIM", k, f.group(), f.consumer(), f.idle(), f.bound(k)), f.some(f.count(), list("JUSTID")))
	case 27:
		return list("XPENDING", k, f.group())
	case 28, 29:
		return cat(list("XPENDING", k, f.group()), f.some(list("IDLE", f.idle())), list(f.pick("-", f.bound(k)), f.pick("+", f.bound(k)), f.rarely(f.pick("10", "1"), "-1", "x")), f.some(list(f.consumer())))
	case 30, 31:
		return list("XINFO", "STREAM", k)
	case 32:
		return cat(list("XINFO", "STREAM", k, "FULL"), f.count())
	case 33:
		return f.pickList(list("XINFO", "GROUPS", k), list("XINFO", "CONSUMERS", k, f.group()))
	case 34:
		f.queue = append(f.queue, cat(list("XADD", k, "NOMKSTREAM", "*"), f.fields()))
		if f.IntN(20) == 0 {
			return list("XSETID", k, "5000000000000-"+strconv.Itoa(f.IntN(1000))) // above the clock: * is next
		}
		return list("XSETID", k, "x")
	case 35:
		if f.IntN(16) == 0 {
			return f.pickList(list("DEL", k), list("COPY", k, f.key(), "REPLACE"), list("RENAME", k, f.key()), list("SET", "str", "x"), list("DEL", k))
		}
		return f.pickList(list("TYPE", k), list("OBJECT", "ENCODING", k), list("EXPIRE", k, "100000"), list("PERSIST", k))
	}
	return f.add()
}

// replyInt is an integer in a reply.
var replyInt = regexp.MustCompile(`:(\d+)\r\n`)

// maskTimes makes integers that are the present time, or a short one, look alike.
func maskTimes(reply string, now int64, short bool) string {
	return replyInt.ReplaceAllStringFunc(reply, func(s string) string {
		n, _ := strconv.ParseInt(strings.TrimSpace(s[1:]), 10, 64)
		const near = 10_000_000
		switch {
		case n > now-near && n < now+near:
			return fmt.Sprint(":now", (now-n+near/10)/(near/4), "\r\n")
		case short && n > 2_900_000 && n < 3_900_000:
			return ":idle\r\n"
		}
		return s
	})
}

// shortIdle masks the idle times in the reply of XPENDING with a range or XINFO CONSUMERS.
func shortIdle(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var b strings.Builder
	for _, e := range list {
		entry, ok := e.([]any)
		if !ok || len(entry) < 4 {
			return fmt.Sprint(v)
		}
		at := 2
		if len(entry) == 6 {
			at = 5
		}
		n, _ := strconv.ParseInt(strings.TrimPrefix(entry[at].(string), ":"), 10, 64)
		entry[at] = (n + 100_000) / 500_000
		fmt.Fprint(&b, entry)
	}
	return b.String()
}

// check runs a command on both servers and compares the replies but for what depends on
// when each of them ran it.
func (f *streamFuzzer) check(p *pair, args []string) {
	p.t.Helper()
	if args[0] == "XADD" && len(args) > 3 && args[3] == "*" {
		// It is deterministic only where the last ID is above the clock.
		if info, _ := p.both("XINFO", "STREAM", args[1]); !strings.Contains(info, "last-generated-id\r\n$") || !aboveClock(info) {
			return
		}
	}
	ours, theirs := p.both(args...)
	if args[0] == "XADD" {
		f.learn(p, args[1], ours)
	}
	if ours == theirs {
		return
	}
	now := time.Now().UnixMilli()
	if maskTimes(ours, now, true) == maskTimes(theirs, now, true) {
		return
	}
	if args[0] == "XPENDING" || args[0] == "XINFO" && args[1] == "CONSUMERS" {
		a, _ := parseReply(ours)
		b, _ := parseReply(theirs)
		if shortIdle(a) == shortIdle(b) {
			return
		}
	}
	at := 0
	for at < min(len(ours), len(theirs)) && ours[at] == theirs[at] {
		at++
	}
	around := func(s string) string { return s[max(at-200, 0):min(at+200, len(s))] }
	p.t.Errorf("%q, from byte %d on\n kvd   %q\n redis %q", args, at, around(ours), around(theirs))
}

// learn notes the ID that XADD has replied, or why it did not.
func (f *streamFuzzer) learn(p *pair, key, reply string) {
	switch {
	case reply[0] == '$' && reply[1] != '-':
		v, _ := parseReply(reply)
		id := v.(string)
		ms, _, _ := strings.Cut(id, "-")
		f.last[key], _ = strconv.ParseUint(ms, 10, 64)
		f.known[key] = append(f.known[key], id)
		if n := len(f.known[key]); n > 60 {
			f.known[key] = f.known[key][n-60:]
		}
	case strings.Contains(reply, "equal or smaller"):
		f.last[key] = lastOf(p.ours("XINFO", "STREAM", key))
		p.theirs.do(p.t, "XINFO", "STREAM", key) // hits are counted
	case strings.Contains(reply, "exhausted"), f.last[key] > 1<<60:
		f.queue = append(f.queue, []string{"DEL", key})
		f.last[key] = 0
	}
}

// lastOf returns the time part of the last ID in a reply of XINFO STREAM.
func lastOf(info string) uint64 {
	_, rest, _ := strings.Cut(info, "last-generated-id\r\n$")
	_, id, _ := strings.Cut(rest, "\r\n")
	ms, _, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseUint(ms, 10, 64)
	return n
}

func aboveClock(info string) bool { return lastOf(info) >= 5_000_000_000_000 }

// TestFuzzStreams sends random commands of the stream group to both servers.
func TestFuzzStreams(t *testing.T) {
	t.Run("limits", func(t *testing.T) { fuzzStreams(t, fuzzCount(25_000)) })
	t.Run("small", func(t *testing.T) {
		fuzzStreams(t, fuzzCount(15_000), "stream-node-max-entries", "5", "stream-node-max-bytes", "400")
	})
	t.Run("bytes", func(t *testing.T) {
		fuzzStreams(t, fuzzCount(10_000), "stream-node-max-entries", "0", "stream-node-max-bytes", "150")
	})
}

func fuzzStreams(t *testing.T, n int, limits ...string) {
	f := newStreamFuzzer(t)
	p := newPair(t)
	p.setLimits(t, limits...)
	changes := p.redisChanges(t)
	for i := range n {
		if i%1000 == 0 {
			p.both("HELLO", strconv.Itoa(2+i/1000%2))
		}
		args := f.command()
		f.check(p, args)
		if t.Failed() {
			t.Fatalf("command %d: %q", i, args)
		}
	}
	if ours, theirs := p.world.e.Store.Changes(), p.redisChanges(t)-changes; ours != theirs {
		t.Errorf("changes: kvd %d, redis %d", ours, theirs)
	}
	if ours, theirs := p.stat(t), p.redisStat(t); ours != theirs {
		t.Errorf("hits and misses: kvd %v, redis %v", ours, theirs)
	}
	for i := range 5 {
		key := "x" + strconv.Itoa(i)
		f.check(p, []string{"XINFO", "STREAM", key, "FULL", "COUNT", "0"})
		p.same("XREVRANGE", key, "+", "-")
	}
	p.same("DEBUG", "DIGEST")
	f.exchange(p)
}

// exchange compares the bytes of all streams as DUMP has them, but for the times, and gives
// each server what the other one has.
func (f *streamFuzzer) exchange(p *pair) {
	p.t.Helper()
	p.both("HELLO", "2")
	p.setLimits(p.t.(*testing.T), "rdbcompression", "no")
	payload := func(reply string) string {
		v, _ := parseReply(reply)
		s, _ := v.(string)
		return s
	}
	for i := range 5 {
		key := "x" + strconv.Itoa(i)
		ours, theirs := p.both("DUMP", key)
		if len(ours) != len(theirs) {
			p.t.Errorf("DUMP %s: %d bytes, redis %d", key, len(ours), len(theirs))
		}
		if ours[0] != '$' || ours == "$-1\r\n" {
			continue
		}
		if got := p.ours("RESTORE", "from"+key, "0", payload(theirs)); got != "+OK\r\n" {
			p.t.Errorf("RESTORE of redis' %s: %q", key, got)
		}
		if got := p.theirs.do(p.t, "RESTORE", "from"+key, "0", payload(ours)); got != "+OK\r\n" {
			p.t.Errorf("RESTORE of our %s: %q", key, got)
		}
		f.check(p, []string{"XINFO", "STREAM", "from" + key, "FULL", "COUNT", "0"})
	}
	p.same("DEBUG", "DIGEST")
	if p.t.Failed() {
		return
	}
	for i := range 2000 { // what was loaded is good for changes
		args := f.command()
		for j := range args {
			if len(args[j]) == 2 && args[j][0] == 'x' {
				args[j] = "from" + args[j]
			}
		}
		if f.check(p, args); p.t.Failed() {
			p.t.Fatalf("after the exchange, command %d: %q", i, args)
		}
	}
}
