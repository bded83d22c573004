package config

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// oracle is a redis-server on a socket of its own, asked through redis-cli.
type oracle struct {
	t    *testing.T
	sock string
	conf string
}

func startOracle(t *testing.T, conf string, args ...string) *oracle {
	t.Helper()
	for _, bin := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(bin); err != nil {
			if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
				t.Fatal(err)
			}
			t.Skip("no " + bin)
		}
	}
	dir := t.TempDir()
	o := &oracle{t: t, sock: filepath.Join(dir, "s")}
	all := []string{}
	if conf != "" {
		o.conf = filepath.Join(dir, "redis.conf")
		writeFile(t, o.conf, conf)
		all = append(all, o.conf)
	}
	all = append(all, "--port", "0", "--unixsocket", o.sock, "--dir", dir)
	cmd := exec.Command("redis-server", append(all, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if exec.Command("redis-cli", "-s", o.sock, "PING").Run() == nil {
			return o
		}
	}
	t.Fatal("redis-server does not answer")
	return nil
}

// call returns the reply's lines.
func (o *oracle) call(args ...string) []string {
	o.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-s", o.sock}, args...)...).Output()
	if err != nil {
		o.t.Fatalf("%v: %v", args, err)
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}

func (o *oracle) configGet(patterns ...string) map[string]string {
	o.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-s", o.sock, "CONFIG", "GET"}, patterns...)...).Output()
	if err != nil {
		o.t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	got := map[string]string{}
	for i := 0; i+1 < len(lines); i += 2 {
		got[lines[i]] = lines[i+1]
	}
	return got
}

func pairsMap(pairs []Pair) map[string]string {
	m := map[string]string{}
	for _, p := range pairs {
		m[p.Name] = p.Value
	}
	return m
}

// What CONFIG GET * has in kvd and not in Redis 7.0.
var ownNames = []string{"set-max-listpack-entries", "set-max-listpack-value", // of Redis 7.2
	"bgsave-default-method", "save-child-timeout", "save-child-nice", "save-child-ioprio", "fork-recollapse-rate",
	"rdb-field-expiry-format", "rdb-load-unsupported", "fork-write-policy", "save-verify", "save-threads", "save-rate-limit", "save-memory-limit", "save-overrun", "save-keep", "save-cron",
	"save-hook", "save-hook-timeout"}

// What differs from Redis in a fresh server, and why.
var otherDefaults = map[string]string{
	"port":       "the test gives it to the oracle",
	"unixsocket": "the same",
	"dir":        "the same",
	"io-threads": "0 lets kvd choose the number of its event loops",
}

func TestNamesAndDefaultsAgainstRedis(t *testing.T) {
	theirs := startOracle(t, "").configGet("*")
	ours := pairsMap(New().Match([]string{"*"}))
	for name, want := range theirs {
		got, ok := ours[name]
		switch {
		case !ok:
			t.Errorf("CONFIG GET * lacks %s", name)
		case got != want && otherDefaults[name] == "":
			t.Errorf("%s is %q, in Redis %q", name, got, want)
		}
	}
	for name := range ours {
		if _, ok := theirs[name]; !ok && !slices.Contains(ownNames, name) {
			t.Errorf("CONFIG GET * has %s, unknown to Redis", name)
		}
	}
}

// TestSetAgainstRedis sends the same CONFIG SETs to both and compares replies and resulting values.
func TestSetAgainstRedis(t *testing.T) {
	sets := [][]string{
		{"nope", "1"}, {"timeout", "1", "nope", "1"}, {"nope", "1", "daemonize", "yes"}, {"daemonize", "yes", "nope", "1"},
		{"timeout", "1", "timeout", "2"}, {"TIMEOUT", "7"}, {"Timeout", "x"}, {"daemonize", "yes"}, {"Daemonize", "yes"},
		{"dir", "/"}, {"dbfilename", "x.rdb"}, {"timeout", "-1"}, {"timeout", "01"}, {"timeout", " 1"}, {"timeout", ""},
		{"timeout", "2147483648"}, {"maxclients", "0"}, {"maxclients", "-1"}, {"maxclients", "99999999999"},
		{"loglevel", "foo"}, {"loglevel", "DEBUG"}, {"loglevel", ""}, {"rdbcompression", "maybe"}, {"rdbcompression", "NO"},
		{"save", "1"}, {"save", "0 1"}, {"save", "1 -1"}, {"save", "a b"}, {"save", ""}, {"save", "10 5 20 6"}, {"save", "1 1 2 "},
		{"save", "1  1"}, {"client-output-buffer-limit", "foo 1 2 3"}, {"client-output-buffer-limit", "normal 1 2"},
		{"client-output-buffer-limit", "master 1 2 3"}, {"client-output-buffer-limit", "normal 1x 2 3"},
		{"client-output-buffer-limit", "normal 1 2 -3"}, {"client-output-buffer-limit", ""},
		{"client-output-buffer-limit", "normal 1kb 2k 3 Replica 1mb 2 4"}, {"client-output-buffer-limit", "pubsub 1 2 3"},
		{"hz", "0"}, {"hz", "1000"}, {"hz", "33"}, {"hz", "-1"}, {"maxmemory-clients", "120%"}, {"maxmemory-clients", "x%"},
		{"maxmemory-clients", "-1"}, {"proto-max-bulk-len", "1"}, {"proto-max-bulk-len", "2mb"}, {"proto-max-bulk-len", "2M"},
		{"proto-max-bulk-len", "2tb"}, {"client-query-buffer-limit", "3000000B"},
		{"shutdown-on-sigint", "save nosave"}, {"shutdown-on-sigint", "force save now"}, {"shutdown-on-sigint", "default"},
		{"shutdown-on-sigint", ""}, {"shutdown-on-sigterm", "now"}, {"shutdown-on-sigterm", "bogus"}, {"appendonly", "maybe"},
		{"appendonly", "no"}, {"notify-keyspace-events", "foo"}, {"notify-keyspace-events", ""},
		{"latency-tracking-info-percentiles", "a"}, {"latency-tracking-info-percentiles", "50 101"},
		{"latency-tracking-info-percentiles", "50 99.95 0"}, {"latency-tracking-info-percentiles", ""},
		{"proc-title-template", "{foo}"}, {"proc-title-template", "{title"}, {"proc-title-template", "x {title} {port}"},
		{"cluster-announce-hostname", "a_b"}, {"cluster-announce-hostname", "a.b-c"}, {"oom-score-adj", "relative"},
		{"oom-score-adj", "no"}, {"oom-score-adj-values", "1 2"}, {"oom-score-adj-values", "1 2 9999"},
		{"oom-score-adj-values", "1 x 3"}, {"oom-score-adj-values", "10 20 30"}, {"slave-priority", "7"},
		{"hash-max-ziplist-value", "1k"}, {"lua-time-limit", "77"}, {"replica-announce-port", "70000"},
		{"slowlog-log-slower-than", "-2"}, {"slowlog-log-slower-than", "-1"}, {"list-max-ziplist-size", "-5"},
		{"unixsocketperm", "700"}, {"repl-backlog-size", "0"}, {"active-expire-effort", "11"}, {"masterauth", ""},
		{"requirepass", ""}, {"maxmemory", "x"}, {"maxmemory-policy", "x"}, {"maxmemory-policy", "noeviction"},
		{"min-slaves-to-write", "-1"}, {"timeout", "5", "loglevel", "bad"}, {"appendfsync", "ALWAYS"},
		{"sanitize-dump-payload", "clients"}, {"acl-pubsub-default", "x"}, {"rdb-key-save-delay", "x"},
	}
	o, c := startOracle(t, "", "--save", ""), New()
	if err := c.Load("", nil, []string{"--save", ""}); err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		want := o.call(append([]string{"CONFIG", "SET"}, set...)...)[0]
		var pairs []Pair
		for i := 0; i < len(set); i += 2 {
			pairs = append(pairs, Pair{set[i], set[i+1]})
		}
		got := "OK"
		if err := c.Set(pairs); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("CONFIG SET %q\n got %q\nwant %q", set, got, want)
		}
	}
	ours := pairsMap(c.Match([]string{"*"}))
	for name, want := range o.configGet("*") {
		if ours[name] != want && otherDefaults[name] == "" {
			t.Errorf("afterwards %s is %q, in Redis %q", name, ours[name], want)
		}
	}
	for _, pattern := range []string{"PORT", "MaxClients", "rdb-key-save-delay", "rdb*", "*-ziplist-*", "m[a-c]*", "SAVE*", "n?pe", "x"} {
		want := o.configGet(pattern)
		for name := range want {
			if strings.EqualFold(name, "port") {
				want[name] = "6379"
			}
		}
		delete(want, "")
		got := pairsMap(c.Match([]string{pattern}))
		for _, name := range ownNames {
			delete(got, name)
		}
		if len(got) != len(want) {
			t.Errorf("CONFIG GET %s: %v, in Redis %v", pattern, got, want)
		}
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("CONFIG GET %s: %s is %q, in Redis %q", pattern, name, got[name], want[name])
			}
		}
	}
}

// TestLoadErrorsAgainstRedis compares the reason that both give for a line that stops the start.
func TestLoadErrorsAgainstRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		startOracle(t, "")
	}
	lines := []string{
		"foo bar", "foo", `port "6379`, "port", "port 1 2", "port abc", "save 1", "save a b", "maxclients 0", "loglevel x",
		"daemonize 2", "dir /does/not/exist", "dir", "oom-score-adj-values 1 2", "include", "include a b", "rename-command a",
		"user", "loadmodule", "sentinel monitor x", "client-output-buffer-limit normal 1 2", "supervised maybe",
		"dbfilename a/b", "appendfilename ''", "list-max-ziplist-entries", "slaveof a", "replicaof a 99999",
		"unixsocketperm 8", "unixsocketperm 1000", "databases 0", "save '1", "port '1'2", "logfile /does/not/exist/x",
	}
	for _, line := range lines {
		conf := filepath.Join(t.TempDir(), "c.conf")
		writeFile(t, conf, "# first\n\n"+line+"\n")
		cmd := exec.Command("redis-server", conf, "--port", "0", "--save", "")
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: redis-server stopped without error", line)
			continue
		}
		want := strings.Split(strings.TrimSpace(string(out)), "\n")
		err = New().Load(conf, nil, []string{"--port", "0", "--save", ""})
		if err == nil {
			t.Errorf("%s: loaded, Redis says %q", line, want)
			continue
		}
		got := strings.Split(strings.TrimSpace(err.Error()), "\n")
		if got[len(got)-1] != want[len(want)-1] || len(got) != len(want) {
			t.Errorf("%s:\n got %q\nwant %q", line, got, want)
			continue
		}
		if len(got) == 4 && (!strings.HasPrefix(got[1], want[1]) || got[2] != want[2]) {
			t.Errorf("%s:\n got %q\nwant %q", line, got, want)
		}
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRewriteAgainstRedis starts both on one file, changes the same and compares the rewritten files: equal up to the
// signature, and the same set of lines behind it, where Redis' order is that of a hash table.
func TestRewriteAgainstRedis(t *testing.T) {
	conf := `# a comment
port 0
maxclients 100
# another


save 900 1
save 300 10
SAVE 60 100
timeout 5
slave-priority 50
client-output-buffer-limit pubsub 1mb 2mb 3
client-output-buffer-limit normal 1 2 3
list-max-ziplist-entries 5
timeout 6
bind 127.0.0.1
  rdbcompression   no
proto-max-bulk-len 3145728
requirepass ""
unixsocketperm 700
syslog-ident 'a "b'
masterauth ""
shutdown-on-sigint save now
`
	o := startOracle(t, conf)
	args := []string{"--port", "0", "--unixsocket", o.sock, "--dir", filepath.Dir(o.sock)}
	ourConf := filepath.Join(t.TempDir(), "kvd.conf")
	writeFile(t, ourConf, conf)
	c := New()
	if err := c.Load(ourConf, nil, args); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		for _, set := range [][2]string{
			{[]string{"acllog-max-len", "tcp-keepalive"}[round], "9"}, // new in each round: one signature all the same
			{"save", "100 1 200 2"}, {"maxclients", "200"}, {"hz", "20"}, {"timeout", "7"},
			{"client-query-buffer-limit", "2gb"}, {"bind", "* -::*"}, {"oom-score-adj-values", "1 2 3"},
		} {
			if got := o.call("CONFIG", "SET", set[0], set[1])[0]; got != "OK" {
				t.Fatal(got)
			}
			if err := c.Set([]Pair{{set[0], set[1]}}); err != nil {
				t.Fatal(err)
			}
		}
		if got := o.call("CONFIG", "REWRITE")[0]; got != "OK" {
			t.Fatal(got)
		}
		if err := c.Rewrite(); err != nil {
			t.Fatal(err)
		}
		theirHead, theirTail := splitRewritten(t, o.conf)
		ourHead, ourTail := splitRewritten(t, ourConf)
		if theirHead != ourHead {
			t.Errorf("kvd:\n%s\nRedis:\n%s", ourHead, theirHead)
		}
		if !slices.Equal(ourTail, theirTail) {
			t.Errorf("appended by kvd %q\nby Redis %q", ourTail, theirTail)
		}
	}
	again := New()
	if err := again.Load(ourConf, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := pairsMap(again.Match([]string{"*"})), pairsMap(c.Match([]string{"*"})); !maps.Equal(got, want) {
		t.Errorf("the rewritten file gives %v, want %v", got, want)
	}
}

func splitRewritten(t *testing.T, path string) (head string, tail []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(content), signature+"\n")
	for _, line := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(line, "user ") && line != "" {
			tail = append(tail, line)
		}
	}
	slices.Sort(tail)
	return head, tail
}
