package command

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kvd/kv"
)

func TestServerCommandsAreThoseOfRedis(t *testing.T) {
	p := newPair(t)
	for _, proto := range []string{"2", "3"} {
		p.both("HELLO", proto)
		for _, cmd := range []string{
			"DBSIZE", "SET a 1", "DBSIZE", "SELECT 1", "DBSIZE", "SET b 2 EX 100", "FLUSHDB foo", "FLUSHDB async sync", "FLUSHALL foo",
			"SWAPDB 0 1", "GET a", "SWAPDB 1 99", "SWAPDB a 1", "SWAPDB 1 b", "SWAPDB 1 1", "SWAPDB -1 0", "SWAPDB 99999999999 0",
			"FLUSHDB", "DBSIZE", "SELECT 0", "DBSIZE", "FLUSHDB SYNC", "FLUSHDB ASYNC", "FLUSHALL SYNC", "FLUSHALL ASYNC", "DBSIZE",
			"FUNCTION FLUSH", "FUNCTION FLUSH SYNC", "FUNCTION FLUSH async", "FUNCTION FLUSH x", "FUNCTION FLUSH a b", "FUNCTION DELETE x",
			"FUNCTION KILL", "FUNCTION LIST", "FUNCTION LIST WITHCODE", "FUNCTION LIST LIBRARYNAME x", "FUNCTION LIST LIBRARYNAME", "FUNCTION LIST a",
			"MEMORY USAGE a b", "MEMORY USAGE nokey", "MEMORY USAGE nokey SAMPLES 0", "MEMORY USAGE nokey SAMPLES -1", "MEMORY USAGE nokey SAMPLES",
			"MEMORY USAGE nokey SAMPLES x", "MEMORY PURGE", "MEMORY USAGE",
			"SHUTDOWN ABORT", "SHUTDOWN foo", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW", "BGSAVE foo", "BGSAVE SCHEDULE x",
			"CONFIG SET a", "CONFIG SET maxmemory-samples 1 maxmemory", "CONFIG GET nosuch", "CONFIG GET hz", "CONFIG SET nosuch 1",
			"CONFIG GET requirepass", "CONFIG SET timeout x", "CONFIG SET timeout 5 timeout 6", "CONFIG SET port x", "CONFIG RESETSTAT",
			"CONFIG SET timeout 5", "CONFIG GET timeout", "CONFIG SET timeout 0", "CONFIG REWRITE",
			"TIME x", "LASTSAVE x", "SAVE x", "DBSIZE x",
			"DEBUG foo", "DEBUG populate", "DEBUG POPULATE x", "DEBUG POPULATE 1 a x", "DEBUG POPULATE -1", "DEBUG DIGEST-VALUE",
			"DEBUG RELOAD foo", "DEBUG SET-ACTIVE-EXPIRE", "DEBUG SET-ACTIVE-EXPIRE 1", "DEBUG SLEEP 0.001", "DEBUG SLEEP x", "DEBUG DIGEST",
			"DEBUG ERROR foo", "DEBUG POPULATE 20", "DEBUG DIGEST", "GET key:7", "DEBUG POPULATE 10 pre", "GET pre:3", "DEBUG POPULATE 5 big 100",
			"GET big:4", "DEBUG POPULATE 5 tiny 3", "GET tiny:4", "OBJECT ENCODING big:1", "OBJECT ENCODING tiny:1", "DEBUG POPULATE 30",
			"DBSIZE", "DEBUG DIGEST", "DEBUG DIGEST-VALUE key:1 nokey big:2", "SET key:1 x EX 100", "DEBUG DIGEST-VALUE key:1",
			"FLUSHALL", "DEBUG DIGEST",
		} {
			p.line(cmd)
		}
	}
}

var infoLine = regexp.MustCompile(`(?m)^([^#:\r\n]+):([^\r\n]*)\r$|^# (\w+)\r$`)

// infoFields returns section titles and field names in order, and the values.
func infoFields(reply string) (names []string, values map[string]string) {
	values = map[string]string{}
	for _, m := range infoLine.FindAllStringSubmatch(reply, -1) {
		if m[3] != "" {
			names = append(names, "# "+m[3])
			continue
		}
		names = append(names, m[1])
		values[m[1]] = m[2]
	}
	return names, values
}

// more are the fields that kvd has and Redis 7.0 does not.
var more = regexp.MustCompile(`^(kvd_version|go_version|rdb_(current|last)_bgsave_type|rdb_last_pause_usec|rdb_last_extra_memory_peak|rdb_last_error|` +
	`rdb_last_(save_(reason|verified|keys|bytes|seconds)|auto_reason|verify_seconds|cow_faults|limit_reached|hook)|rdb_current_(save_\w+|extra_memory|memory_limit|throttle)|mem_arena_\w+|mem_go_heap|mem_huge_\w+|fork_recollapse_\w+|expired_subkeys)$`)

func TestInfoHasTheFieldsOfRedis(t *testing.T) {
	p := newPair(t)
	p.line("SET a 1 EX 1000")
	p.line("INCR x")
	p.line("GET nokey")
	p.line("GET a")
	p.line("nosuch")
	p.line("SET a")
	for _, cmd := range []string{"SET s x", "MULTI", "INCR s", "GET s", "GET nokey", "EXEC"} {
		p.line(cmd)
	}
	for _, args := range []string{"", "all", "everything", "default", "server", "Clients memory", "persistence stats", "replication", "cpu", "modules",
		"commandstats", "errorstats", "latencystats", "cluster", "keyspace", "nosuch", "nosuch keyspace", "server default", "KEYSPACE CPU"} {
		ours, theirs := p.both(append([]string{"INFO"}, strings.Fields(args)...)...)
		a, _ := infoFields(ours)
		b, _ := infoFields(theirs)
		var kept []string
		for _, n := range a {
			if !more.MatchString(n) {
				kept = append(kept, n)
			}
		}
		norm := func(names []string) string {
			var l []string
			for _, n := range names { // the order of statistics is that of a hash table; commands of the test itself
				if !strings.HasPrefix(n, "cmdstat_") && !strings.HasPrefix(n, "latency_percentiles") && !strings.HasPrefix(n, "used_memory_peak") {
					l = append(l, n)
				}
			}
			return strings.Join(l, "\n")
		}
		if norm(kept) != norm(b) {
			t.Errorf("INFO %s\n kvd\n%s\n\n redis\n%s", args, norm(kept), norm(b))
		}
	}
	ours, theirs := p.both("INFO", "everything")
	_, a := infoFields(ours)
	_, b := infoFields(theirs)
	for _, f := range []string{"redis_version", "redis_mode", "arch_bits", "role", "keyspace_hits", "keyspace_misses", "loading", "rdb_bgsave_in_progress",
		"rdb_last_bgsave_status", "rdb_last_bgsave_time_sec", "maxmemory", "maxmemory_policy", "maxclients", "total_error_replies", "errorstat_ERR",
		"hz", "os", "uptime_in_days", "cluster_enabled", "aof_enabled", "total_system_memory", "evicted_keys", "expired_keys", "repl_backlog_size"} {
		if a[f] != b[f] || a[f] == "" {
			t.Errorf("%s:%s, redis has %s", f, a[f], b[f])
		}
	}
	calls := regexp.MustCompile(`^calls=\d+|rejected_calls=\d+|failed_calls=\d+`)
	for _, f := range []string{"cmdstat_get", "cmdstat_incr", "cmdstat_set"} {
		if x, y := calls.FindAllString(a[f], -1), calls.FindAllString(b[f], -1); strings.Join(x, ",") != strings.Join(y, ",") {
			t.Errorf("%s:%s, redis has %s", f, a[f], b[f])
		}
	}
	ttl := regexp.MustCompile(`avg_ttl=\d+`)
	if x, y := ttl.ReplaceAllString(a["db0"], ""), ttl.ReplaceAllString(b["db0"], ""); x != y {
		t.Errorf("db0:%s, redis has %s", a["db0"], b["db0"])
	}
	if !regexp.MustCompile(`^p50=\d+\.\d{3},p99=\d+\.\d{3},p99\.9=\d+\.\d{3}$`).MatchString(a["latency_percentiles_usec_get"]) {
		t.Errorf("latency_percentiles_usec_get:%s", a["latency_percentiles_usec_get"])
	}
	p.line("CONFIG RESETSTAT")
	_, a = infoFields(p.ours("INFO", "all"))
	if a["keyspace_hits"] != "0" || a["errorstat_ERR"] != "" || a["cmdstat_get"] != "" || a["total_commands_processed"] != "1" {
		t.Errorf("after RESETSTAT: %v", a)
	}
}

// TestInfoMemoryAddsUp: all that is used stands in one of the fields, while a
// save holds memory of its own too.
func TestInfoMemoryAddsUp(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	doString(x, c, "DEBUG", "POPULATE", "50000", "key", "100")
	view, err := w.e.Store.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	doString(x, c, "FLUSHALL")
	_, v := infoFields(doString(x, c, "INFO", "memory"))
	n := func(name string) int64 {
		f, err := strconv.ParseInt(v[name], 10, 64)
		if err != nil {
			t.Error(name, err)
		}
		return f
	}
	sum := n("mem_go_heap")
	for _, part := range []string{"entries", "index", "deferred", "copy", "staged", "freeing", "reserve", "overhead"} {
		sum += n("mem_arena_" + part)
	}
	if used := n("used_memory"); sum != used {
		t.Errorf("the parts come to %d, used_memory is %d", sum, used)
	}
	held := n("mem_arena_deferred") + n("mem_arena_copy") + n("mem_arena_staged") + n("mem_arena_reserve")
	if held < 5<<20 || n("mem_not_counted_for_evict") != held {
		t.Errorf("a save holds %d bytes, of which %s are not counted", held, v["mem_not_counted_for_evict"])
	}
}

func TestMemoryStatsHasTheFieldsOfRedis(t *testing.T) {
	p := newPair(t)
	p.line("SET a 1")
	p.both("HELLO", "3")
	ours, theirs := p.both("MEMORY", "STATS")
	keys := func(raw string) string {
		v, _ := parseReply(raw)
		var l []string
		for i, f := range v.([]any) {
			if i%2 == 0 {
				l = append(l, f.(string))
			}
		}
		return strings.Join(l, "\n")
	}
	if a, b := keys(ours), keys(theirs); a != b {
		t.Errorf("kvd\n%s\nredis\n%s", a, b)
	}
	for _, cmd := range []string{"DOCTOR", "MALLOC-STATS"} {
		if got := p.ours("MEMORY", cmd); got[0] != '=' {
			t.Errorf("MEMORY %s: %q", cmd, got)
		}
	}
}

func TestSavesAndShutdown(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	do := func(want, cmd string) {
		t.Helper()
		if got := doString(x, c, strings.Fields(cmd)...); got != want {
			t.Errorf("%s: %q, want %q", cmd, got, want)
		}
	}
	do("+OK\r\n", "SAVE")
	do("+Background saving started\r\n", "BGSAVE")
	do("+Background saving started\r\n", "BGSAVE SCHEDULE")
	do("+Background saving started\r\n", "BGSAVE FORK")
	do("+Background saving started\r\n", "BGSAVE forkless schedule")
	do("+Background saving started\r\n", "BGSAVE SCHEDULE copy")
	do("-ERR syntax error\r\n", "BGSAVE FORK THREAD")
	do("-ERR syntax error\r\n", "BGSAVE CANCEL SCHEDULE")
	if got := strings.Join(w.started, " "); got != ",false ,true fork,false thread,true copy,true" {
		t.Errorf("started %s", got)
	}
	do("+Background saving cancelled\r\n", "BGSAVE CANCEL")
	w.saveErr = ErrNoSave
	do("-ERR Background saving is currently not in progress or scheduled\r\n", "BGSAVE CANCEL")
	w.saveErr = ErrSaveInProgress
	do("-ERR Background save already in progress\r\n", "SAVE")
	do("-ERR Background save already in progress\r\n", "BGSAVE")
	w.saveErr = errors.New("No space left on device")
	do("-ERR No space left on device\r\n", "SAVE")
	do("-ERR Error trying to load the RDB dump, check server logs.\r\n", "DEBUG RELOAD")
	w.saveErr = nil
	do("+OK\r\n", "DEBUG RELOAD NOSAVE MERGE")

	var asked ShutdownOptions
	w.e.Shutdown = func(o ShutdownOptions) error { asked = o; return errors.New("cannot save") }
	do("-ERR Errors trying to SHUTDOWN. Check logs.\r\n", "SHUTDOWN SAVE NOW FORCE")
	if asked != (ShutdownOptions{Save: true, Now: true, Force: true}) {
		t.Errorf("asked for %+v", asked)
	}
	w.info.LastSaveUnix = 1234
	do(":1234\r\n", "LASTSAVE")
}
