package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// load loads a file of the given content and arguments.
func load(t *testing.T, content string, args ...string) (*Config, error) {
	t.Helper()
	c := New()
	path := ""
	if content != "" {
		path = filepath.Join(t.TempDir(), "kvd.conf")
		writeFile(t, path, content)
	}
	return c, c.Load(path, strings.NewReader(""), args)
}

func mustLoad(t *testing.T, content string, args ...string) *Config {
	t.Helper()
	c, err := load(t, content, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryRowIsComplete(t *testing.T) {
	for _, d := range directives {
		if d.class == 0 {
			t.Errorf("%s has no class", d.name)
		}
		if (d.why == "") != (d.class == Honoured) {
			t.Errorf("%s is %v with the explanation %q", d.name, d.class, d.why)
		}
		if d.name != strings.ToLower(d.name) || d.alias != strings.ToLower(d.alias) {
			t.Errorf("%s: names are lower case", d.name)
		}
		if d.kind == kindSpecial && (d.parse == nil || d.lines == nil) {
			t.Errorf("%s lacks its functions", d.name)
		}
	}
}

func TestArguments(t *testing.T) {
	const defaultSave = "3600 1 300 100 60 10000"
	tests := []struct {
		file string
		args []string
		want map[string]string
	}{
		{"", nil, map[string]string{"port": "6379", "save": defaultSave}},
		{"", []string{"--port", "7000"}, map[string]string{"port": "7000"}},
		{"", []string{"--port 7000", "--timeout", "3"}, map[string]string{"port": "7000", "timeout": "3"}},
		{"port 1\n", []string{"--port", "2", "--PORT", "3"}, map[string]string{"port": "3"}},
		{"", []string{"--save", "900 1"}, map[string]string{"save": "900 1"}},
		{"", []string{"--save", "900", "1", "10", "2"}, map[string]string{"save": "900 1 10 2"}},
		{"", []string{"--save", "900", "1", "--save", "10 2"}, map[string]string{"save": "900 1 10 2"}},
		{"", []string{"--save", ""}, map[string]string{"save": ""}},
		{"", []string{"--save"}, map[string]string{"save": ""}},
		{"", []string{"--save", "--port", "7000"}, map[string]string{"save": "", "port": "7000"}},
		{"save 1 1\nsave 2 2\n", nil, map[string]string{"save": "1 1 2 2"}},
		{"save 1 1\nsave \"\"\nsave 2 2\n", nil, map[string]string{"save": "2 2"}},
		{"save 1 1\n", []string{"--save", "2 2"}, map[string]string{"save": "1 1 2 2"}},
		{"", []string{"--bind", "127.0.0.1", "-::1"}, map[string]string{"bind": "127.0.0.1 -::1"}},
		{"", []string{"--bind", "127.0.0.1 -::1"}, map[string]string{"bind": "127.0.0.1 -::1"}},
		{"", []string{"--requirepass", "--secret"}, map[string]string{"requirepass": "--secret"}},
		{"", []string{"--requirepass", "a b\"c\n"}, map[string]string{"requirepass": "a b\"c\n"}},
		{"requirepass 'it\\'s'\ndbfilename \"\\x41\\tb\"\n", nil, map[string]string{"requirepass": "it's", "dbfilename": "A\tb"}},
		{"  # comment\n\r\n\tPort   8 \r\n", nil, map[string]string{"port": "8"}},
		{"client-query-buffer-limit 2GB\nproto-max-bulk-len 3m\n", nil,
			map[string]string{"client-query-buffer-limit": "2147483648", "proto-max-bulk-len": "3000000"}},
		{"bgsave-default-method forkless\n", nil, map[string]string{"bgsave-default-method": "thread"}},
		{"slave-priority 5\n", nil, map[string]string{"replica-priority": "5", "slave-priority": "5"}},
		{"hz 100000\n", nil, map[string]string{"hz": "500"}},
		{"user default on nopass sanitize-payload ~* &* +@all\n", nil, nil},
		{"maxmemory 1gb\nmaxmemory 0\nreplicaof no one\n", nil, map[string]string{"maxmemory": "0", "replicaof": ""}},
		{"maxmemory 1gb\n", []string{"--maxmemory", "0"}, map[string]string{"maxmemory": "0"}},
	}
	for _, tt := range tests {
		c, err := load(t, tt.file, tt.args...)
		if err != nil {
			t.Errorf("%q %q: %v", tt.file, tt.args, err)
			continue
		}
		for name, want := range tt.want {
			if got := c.String(name); got != want {
				t.Errorf("%q %q: %s is %q, want %q", tt.file, tt.args, name, got, want)
			}
		}
	}
}

func TestStdin(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want string
	}{{[]string{"-"}, "7"}, {[]string{"--timeout", "1", "-"}, "1"}, {[]string{"-", "--timeout", "1"}, "1"}} {
		c := New()
		path, args := ParseCommandLine(tt.argv)
		if err := c.Load(path, strings.NewReader("timeout 7\nmaxclients 9"), args); err != nil {
			t.Fatal(err)
		}
		if c.String("timeout") != tt.want || c.Int("maxclients") != 9 || c.File() != "" {
			t.Errorf("%q: timeout %s, maxclients %d", tt.argv, c.String("timeout"), c.Int("maxclients"))
		}
	}
	if path, args := ParseCommandLine([]string{"a.conf", "--port", "1"}); path != "a.conf" || len(args) != 2 {
		t.Errorf("%q %q", path, args)
	}
}

func TestTypedGetters(t *testing.T) {
	c := mustLoad(t, "client-output-buffer-limit replica 1mb 2k 3\noom-score-adj-values -5 6 7\nrdbcompression no\n"+
		"save 10 2\nunixsocketperm 700\nlatency-tracking-info-percentiles 50 99.9\n")
	if got, want := c.OutputLimit("slave"), (OutputLimit{1 << 20, 2000, 3}); got != want {
		t.Errorf("replica %v", got)
	}
	if got, want := c.OutputLimit("pubsub"), (OutputLimit{32 << 20, 8 << 20, 60}); got != want {
		t.Errorf("pubsub %v", got)
	}
	if got := c.OOMScoreAdjValues(); got != [3]int64{-5, 6, 7} {
		t.Errorf("oom %v", got)
	}
	if got := c.SavePoints(); !slices.Equal(got, []SavePoint{{10, 2}}) {
		t.Errorf("save %v", got)
	}
	if c.Bool("rdbcompression") || !c.Bool("rdbchecksum") || c.Int("unixsocketperm") != 0o700 {
		t.Error("bool or octal")
	}
	if got := c.Strings("bind"); !slices.Equal(got, []string{"*", "-::*"}) {
		t.Errorf("bind %q", got)
	}
	if got := c.Percentiles(); !slices.Equal(got, []float64{50, 99.9}) {
		t.Errorf("percentiles %v", got)
	}
	if got := len(New().SavePoints()); got != 3 {
		t.Errorf("%d save points by default", got)
	}
}

func TestInclude(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.conf"), "timeout 1\ninclude b.conf\ninclude none-*.conf\n")
	writeFile(t, filepath.Join(dir, "b.conf"), "timeout 2\nmaxclients 5\n")
	writeFile(t, filepath.Join(dir, "loop.conf"), "include loop.conf\n")
	writeFile(t, filepath.Join(dir, "bad.conf"), "\n\nnonsense here\n")
	c := mustLoad(t, "dir "+dir+"\ninclude [ab].conf\n")
	if c.String("timeout") != "2" || c.Int("maxclients") != 5 {
		t.Error("timeout", c.String("timeout"))
	}
	_, err := load(t, "dir "+dir+"\ninclude loop.conf\n")
	if err == nil || !strings.Contains(err.Error(), "nested more than") {
		t.Errorf("loop: %v", err)
	}
	_, err = load(t, "include "+dir+"/bad.conf\n")
	var le *LoadError
	if !errors.As(err, &le) || le.Line != 3 || le.File != filepath.Join(dir, "bad.conf") || le.Text != "nonsense here" {
		t.Errorf("bad: %v", err)
	}
	if want := "\n*** FATAL CONFIG FILE ERROR (kvd) ***\nReading the configuration file, at line 3 of " + dir + "/bad.conf\n" +
		">>> 'nonsense here'\nBad directive or wrong number of arguments"; err.Error() != want {
		t.Errorf("got %q", err)
	}
	_, err = load(t, "include /does/not/exist\n")
	if want := "Fatal error, can't open config file '/does/not/exist': No such file or directory"; err == nil || err.Error() != want {
		t.Errorf("missing: %v", err)
	}
}

// Values that ask a refused directive for what kvd does not have.
var activeValues = map[string][]string{
	"appendonly": {"yes"}, "maxmemory": {"1gb"}, "maxmemory-policy": {"allkeys-lru", "volatile-ttl"}, "maxmemory-clients": {"5%", "1mb"},
	"replicaof": {"127.0.0.1 6379"}, "masterauth": {"secret"}, "masteruser": {"someone"}, "min-replicas-to-write": {"1"},
	"aclfile": {"/etc/users.acl"}, "notify-keyspace-events": {"KEA"}, "cluster-enabled": {"yes"}, "tls-port": {"6380"},
	"tls-session-cache-size": {"1"}, "tls-session-cache-timeout": {"1"}, "tls-cluster": {"yes"}, "tls-replication": {"yes"},
	"tls-auth-clients": {"no", "optional"}, "tls-prefer-server-ciphers": {"yes"}, "tls-session-caching": {"no"},
}

func TestRefused(t *testing.T) {
	count := 0
	for row, d := range directives {
		if d.class != Refused {
			continue
		}
		count++
		values := activeValues[d.name]
		if values == nil && strings.HasPrefix(d.name, "tls-") {
			values = []string{"something"}
		}
		if values == nil {
			t.Errorf("no test for %s", d.name)
		}
		for _, v := range values {
			for _, name := range []string{d.name, d.alias} {
				if name == "" {
					continue
				}
				_, err := load(t, "# x\n"+name+" "+v+"\n")
				var le *LoadError
				if !errors.As(err, &le) || le.Line != 2 || !strings.Contains(le.Reason, "kvd does not support '"+d.name) {
					t.Errorf("%s %s: %v", name, v, err)
				}
				if _, err := load(t, "", "--"+name, v); err == nil {
					t.Errorf("--%s %s starts", name, v)
				}
			}
			if d.flags&sensitive != 0 {
				if _, err := load(t, "", "--"+d.name, v); strings.Contains(err.(*LoadError).Reason, v) {
					t.Errorf("%s: the reason tells the secret", d.name)
				}
			}
			c := New()
			err := c.Set([]Pair{{d.name, v}})
			want := "ERR CONFIG SET failed (possibly related to argument '" + d.name + "') - "
			if err == nil || !strings.HasPrefix(err.Error(), want) || c.String(d.name) != defaults[row].text {
				t.Errorf("CONFIG SET %s %s: %v", d.name, v, err)
			}
		}
		if d.kind != kindSpecial {
			if _, err := load(t, fmt.Sprintf("%s %s\n", d.name, Quote(d.def))); err != nil {
				t.Errorf("%s at its default: %v", d.name, err)
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d refused directives", count)
	}
	for _, line := range []string{"user alice on +@all", "user default off", "user default on >pw ~* &* +@all", "rename-command CONFIG \"\"",
		"loadmodule /x.so", "loadmodule /x.so a b"} {
		if _, err := load(t, line+"\n"); err == nil {
			t.Errorf("%s starts", line)
		}
	}
}

func TestNotices(t *testing.T) {
	c := mustLoad(t, "activedefrag yes\nactiverehashing yes\nlua-replicate-commands yes\nport 7\n")
	want := []string{
		"Directive 'activedefrag yes' is accepted but has no effect in kvd: kvd's arena is not jemalloc's",
		"Directives accepted that have no effect in kvd: lua-replicate-commands, activerehashing",
	}
	if got := c.Notices(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := c.Notices(); got != nil {
		t.Errorf("again %q", got)
	}
	if err := c.Set([]Pair{{"list-compress-depth", "2"}, {"timeout", "1"}}); err != nil {
		t.Fatal(err)
	}
	if got := c.Notices(); len(got) != 1 || !strings.Contains(got[0], "'list-compress-depth 2'") {
		t.Errorf("after Set %q", got)
	}
	for _, d := range directives {
		if d.class != Harmless || d.flags&multi != 0 {
			continue
		}
		c := mustLoad(t, "", "--"+d.name, d.def)
		if got := c.Notices(); len(got) != 1 || !strings.Contains(got[0], d.name) {
			t.Errorf("%s: %q", d.name, got)
		}
	}
}

func TestStockConfiguration(t *testing.T) {
	content, err := os.ReadFile("/etc/redis/redis.conf")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	conf := strings.NewReplacer("/var/lib/redis", dir, "/var/log/redis", dir, "/run/redis", dir).Replace(string(content))
	c := mustLoad(t, conf)
	for name, want := range map[string]string{
		"daemonize": "yes", "pidfile": dir + "/redis-server.pid", "logfile": dir + "/redis-server.log", "dir": dir,
		"bind": "127.0.0.1 -::1", "save": "3600 1 300 100 60 10000", "port": "6379", "databases": "16",
	} {
		if got := c.String(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := c.Notices(); len(got) != 1 {
		t.Errorf("notices %q", got)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "file"), "")
	c := mustLoad(t, "dir "+dir+"\ndir link\nlogfile my.log\n", "--enable-protected-configs", "local")
	if got, want := c.String("dir"), filepath.Join(dir, "sub"); got != want {
		t.Errorf("dir %s, want %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "sub", "my.log")); err != nil {
		t.Error(err)
	}
	set := func(caller Caller, v string) string {
		if err := c.SetAs(caller, []Pair{{"dir", v}}); err != nil {
			return err.Error()
		}
		return ""
	}
	const failed = "ERR CONFIG SET failed (possibly related to argument 'dir') - "
	if got := set(Caller{Local: true}, ".."); got != "" || c.String("dir") != dir {
		t.Errorf("%s %s", got, c.String("dir"))
	}
	if got := set(Caller{Local: true}, "file"); got != failed+"Not a directory" {
		t.Error(got)
	}
	if got := set(Caller{Local: true}, "nothing"); got != failed+"No such file or directory" {
		t.Error(got)
	}
	if got := set(Caller{}, "/"); got != failed+"can't set protected config" {
		t.Error(got)
	}
	if got := set(Caller{Local: true, Loading: true}, "/"); got != "LOADING Redis is loading the dataset in memory" {
		t.Error(got)
	}
}

func TestSetIsAtomic(t *testing.T) {
	c := New()
	var log []string
	note := func(name string) func() error {
		return func() error {
			log = append(log, name+"="+c.String(name))
			if c.String(name) == "666" {
				return sentence("Unable to listen on this port. Check server logs.")
			}
			return nil
		}
	}
	for _, name := range []string{"timeout", "port", "maxclients"} {
		c.OnChange(name, note(name))
	}
	before := c.Match([]string{"*"})
	if err := c.Set([]Pair{{"timeout", "5"}, {"maxclients", "bad"}}); err == nil || len(log) != 0 {
		t.Errorf("%v %q", err, log)
	}
	err := c.Set([]Pair{{"timeout", "5"}, {"port", "666"}, {"maxclients", "7"}})
	if want := "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."; err == nil || err.Error() != want {
		t.Error(err)
	}
	if !reflect.DeepEqual(before, c.Match([]string{"*"})) {
		t.Error("values were not restored")
	}
	if want := []string{"timeout=5", "port=666", "timeout=0", "port=6379"}; !slices.Equal(log[:4], want) {
		t.Errorf("appliers ran %q", log)
	}
	log = nil
	if err := c.Set([]Pair{{"timeout", "0"}, {"port", "1"}}); err != nil || !slices.Equal(log, []string{"port=1"}) {
		t.Errorf("%v %q", err, log)
	}
}

func TestConcurrentUse(t *testing.T) {
	c := New()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				n := fmt.Sprint(i*1000 + j)
				if err := c.Set([]Pair{{"timeout", n}, {"tcp-keepalive", n}}); err != nil {
					t.Error(err)
				}
				got := c.Match([]string{"timeout", "tcp-keepalive"})
				if got[0].Value != got[1].Value {
					t.Errorf("half a Set: %v", got)
				}
				_, _, _ = c.Int("timeout"), c.SavePoints(), c.Notices()
			}
		})
	}
	wg.Wait()
}

func TestRewrite(t *testing.T) {
	c := New()
	if err := c.Rewrite(); err == nil || err.Error() != "ERR The server is running without a config file" {
		t.Error(err)
	}
	c = mustLoad(t, "# mine\ntimeout 3\n", "--dir", "/")
	link := filepath.Join(t.TempDir(), "link.conf")
	if err := os.Symlink(c.File(), link); err != nil {
		t.Fatal(err)
	}
	file := c.File()
	c = New()
	if err := c.Load(link, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Set([]Pair{{"requirepass", "a b"}, {"timeout", "4"}, {"save", ""}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Rewrite(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(content), "# mine\ntimeout 4\n") || !strings.Contains(string(content), "\nrequirepass \"a b\"\n") ||
		!strings.Contains(string(content), "\nsave \"\"\n") {
		t.Errorf("%s", content)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v", info.Mode())
	}
	if err := os.RemoveAll(filepath.Dir(link)); err != nil {
		t.Fatal(err)
	}
	if err := c.Rewrite(); err == nil || err.Error() != "ERR Rewriting config file: No such file or directory" {
		t.Errorf("without the directory: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Dir(file) + "/*"); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
}

func TestParseMemory(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "1b": 1, "2K": 2000, "2kB": 2048, "3m": 3000000, "3MB": 3 << 20, "4g": 4000000000, "4gb": 4 << 30,
		"9223372036854775807": 1<<63 - 1, "9223372036854775808": -1, "8589934592gb": -1, "8589934591gb": 8589934591 << 30,
		"": -1, "kb": -1, "-1": -1, "1 kb": -1, "1kbb": -1, "1.5gb": -1, "+1": -1,
	} {
		got, ok := parseMemory(in)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d, want %d", in, got, want)
		}
		if back, _ := parseMemory(formatMemory(max(want, 0))); want >= 0 && back != want {
			t.Errorf("%d is written %s", want, formatMemory(want))
		}
	}
}

func FuzzSplitArgs(f *testing.F) {
	f.Add(`set "a\x41\n" 'b\'c' d"e"`)
	f.Fuzz(func(t *testing.T, line string) {
		args, ok := SplitArgs(line)
		if !ok {
			return
		}
		var quoted []string
		for _, a := range args {
			quoted = append(quoted, Quote(a))
		}
		again, ok := SplitArgs(strings.Join(quoted, " "))
		if !ok || !slices.Equal(args, again) {
			t.Fatalf("%q: %q, quoted and split again %q", line, args, again)
		}
	})
}
