//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestVersionOption(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"--version", "-v"} {
		out, err := exec.Command(binary(t), option).Output()
		if err != nil || !regexp.MustCompile(`(^| )v=\d+\.\d+\.\d+ `).Match(out) {
			t.Errorf("%s: %q %v", option, out, err)
		}
	}
}

// A plain start, without any option, is on 127.0.0.1:6379 and logs as Redis
// does. The port is only free on a machine without another server.
func TestPlainStart(t *testing.T) {
	if l, err := net.Listen("tcp4", "127.0.0.1:6379"); err != nil {
		missing(t, "port 6379 is in use")
	} else {
		_ = l.Close()
	}
	k := &proc{t: t, dir: shortDir(t), kvd: true}
	cmd := exec.Command(binary(t))
	cmd.Dir = k.dir
	k.run(cmd, nil)
	k.waitReady()
	c := dial(t, "tcp", "127.0.0.1:6379")
	c.want("PONG", "PING")
	line := regexp.MustCompile(`(?m)^\d+:M \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} \* Ready to accept connections$`)
	if !line.MatchString(k.out.String()) {
		t.Errorf("no ready line in\n%s", k.out)
	}
	if !strings.Contains(k.out.String(), "no config file specified") {
		t.Error("a start without a configuration file does not say so")
	}
	c.want("OK", "SET", "a", "b")
	if code := k.signal(syscall.SIGTERM); code != 0 { // the default save points save
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Stat(filepath.Join(k.dir, "dump.rdb")); err != nil {
		t.Error(err)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("unknown.conf", "# a comment\nport 0\nno-such-thing 1\n")
	included := write("include.conf", "include "+file+"\n")
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"unknown":    {[]string{file}, []string{"at line 3 of " + file, "no-such-thing 1", "Bad directive or wrong number of arguments"}},
		"in include": {[]string{included}, []string{"at line 3 of " + file}},
		"option":     {[]string{"--no-such-thing", "1"}, []string{"no-such-thing"}},
		"bad value":  {[]string{write("v.conf", "\nport x\n")}, []string{"at line 2 of ", "port x"}},
		"no file":    {[]string{filepath.Join(dir, "none.conf")}, []string{"none.conf", "No such file or directory"}},
		"no dir":     {[]string{"--dir", filepath.Join(dir, "none")}, []string{"none", "No such file or directory"}},
		"log file":   {[]string{"--logfile", filepath.Join(dir, "none", "log")}, []string{"Can't open the log file"}},
		"bad bind":   {[]string{"--bind", "192.0.2.1", "--port", freePort(t)}, []string{"192.0.2.1", "Cannot assign requested address"}},
	} {
		cmd := exec.Command(binary(t), tt.args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: started", name)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in %q", name, want, out)
			}
		}
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	out := failStart(t, shortDir(t), "--bind", "127.0.0.1", "--port", port)
	for _, want := range []string{"127.0.0.1:" + port, "Address already in use"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
}

// asNobody makes cmd run without the rights of root, to whom every directory
// is writable.
func asNobody(cmd *exec.Cmd) {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}

func TestUnwritableDir(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(dir, 0o755)
	if err := os.Chmod(filepath.Dir(binary(t)), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t), "--bind", "127.0.0.1", "--port", freePort(t), "--dir", locked)
	cmd.Dir = dir
	asNobody(cmd)
	k := &proc{t: t, dir: dir, kvd: true}
	k.run(cmd, nil)
	if code := k.wait(); code <= 0 {
		t.Errorf("exit status %d", code)
	}
	if out := k.out.String(); !strings.Contains(out, locked) || !strings.Contains(strings.ToLower(out), "permission denied") {
		t.Errorf("printed %q", out)
	}
}

func TestBadDump(t *testing.T) {
	t.Parallel()
	good := shortDir(t)
	k := startIn(t, good)
	c := k.dial()
	c.populate("k", 200, 50)
	c.want("OK", "SAVE")
	k.kill()
	dump, err := os.ReadFile(filepath.Join(good, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), dump...)
	flipped[len(dump)/2] ^= 1
	function, err := os.ReadFile("../../snapshot/rdb/testdata/function.rdb")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		content []byte
		want    string
	}{
		"cut short": {dump[:len(dump)/2], "dump.rdb"},
		"flipped":   {flipped, "dump.rdb"},
		"no magic":  {[]byte("MEDIS0010"), "dump.rdb"},
		"newer":     {[]byte("REDIS9999"), "9999"},
		"function":  {function, "function library"},
		"empty":     {nil, "dump.rdb"},
	} {
		dir := shortDir(t)
		if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), tt.content, 0o600); err != nil {
			t.Fatal(err)
		}
		out := failStart(t, dir)
		if !strings.Contains(out, "loading the DB") || !strings.Contains(strings.ToLower(out), strings.ToLower(tt.want)) {
			t.Errorf("%s: no %q in\n%s", name, tt.want, tail(out, 600))
		}
		if strings.Contains(out, readyLine) {
			t.Errorf("%s: was ready", name)
		}
		if after, _ := os.ReadFile(filepath.Join(dir, "dump.rdb")); string(after) != string(tt.content) {
			t.Errorf("%s: the bad dump was changed", name)
		}
	}
}

// Debian's redis.conf as it is installed, with only its paths changed.
func TestDebianConfiguration(t *testing.T) {
	t.Parallel()
	const stock = "/etc/redis/redis.conf"
	text, err := os.ReadFile(stock)
	if err != nil {
		missing(t, err.Error())
	}
	dir := shortDir(t)
	port := freePort(t)
	conf := strings.NewReplacer("/run/redis/", dir+"/", "/var/log/redis/", dir+"/", "dir /var/lib/redis", "dir "+dir,
		"port 6379", "port "+port).Replace(string(text))
	path := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary(t), path).CombinedOutput() // daemonize yes: returns at once
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	log := filepath.Join(dir, "redis-server.log")
	var pid int
	within(t, "the daemon", func() bool {
		content, _ := os.ReadFile(log)
		p, _ := os.ReadFile(filepath.Join(dir, "redis-server.pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(p)))
		return pid > 0 && strings.Contains(string(content), readyLine)
	})
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	c := dial(t, "tcp", "127.0.0.1:"+port)
	c.want("PONG", "PING")
	c.want("[save 3600 1 300 100 60 10000]", "CONFIG", "GET", "save")
	c.want("OK", "SET", "a", "b")
	content, _ := os.ReadFile(log)
	if !strings.Contains(string(content), "have no effect in kvd") {
		t.Error("no line about directives without effect")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "the end of the daemon", func() bool {
		_, err := os.Stat(filepath.Join(dir, "redis-server.pid"))
		return os.IsNotExist(err) && ended(pid)
	})
	if _, err := os.Stat(filepath.Join(dir, "dump.rdb")); err != nil {
		t.Error("no dump after SIGTERM with save points: ", err)
	}
}

// What would lose data, open access or lift a limit if it were ignored.
func TestRefusedDirectives(t *testing.T) {
	t.Parallel()
	k := start(t)
	c := k.dial()
	for _, line := range []string{
		"appendonly yes", "maxmemory 100mb", "maxmemory-policy allkeys-lru", "maxmemory-clients 1gb", "user alice on nopass ~* +@all",
		"aclfile /etc/redis/users.acl", "tls-port 6380", "tls-cert-file /x", "tls-key-file /x", "tls-ca-cert-file /x",
		"tls-ca-cert-dir /x", "tls-auth-clients no", "tls-protocols TLSv1.3", "tls-ciphers x", "tls-dh-params-file /x",
		"replicaof 127.0.0.1 6379", "slaveof 127.0.0.1 6379", "masterauth x", "masteruser x",
		"min-replicas-to-write 1", "rename-command FLUSHALL nothing", "cluster-enabled yes",
		"loadmodule /x.so", "notify-keyspace-events KEA",
	} {
		dir := shortDir(t)
		path := filepath.Join(dir, "c")
		if err := os.WriteFile(path, []byte("port 0\n"+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(binary(t), path, "--dir", dir).CombinedOutput()
		name, value, _ := strings.Cut(line, " ")
		shown := name
		if name == "slaveof" {
			shown = "replicaof"
		}
		if err == nil || !strings.Contains(string(out), shown) || !strings.Contains(string(out), "at line 2 of "+path) {
			t.Errorf("%s: %v %q", line, err, out)
		}
		if got := c.do("CONFIG", "SET", name, value); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("CONFIG SET %s: %q", line, got)
		}
	}
	// The inactive defaults are fine.
	start(t, "--appendonly", "no", "--maxmemory", "0", "--maxmemory-policy", "noeviction", "--tls-port", "0",
		"--cluster-enabled", "no", "--notify-keyspace-events", "")
}

func TestHarmlessDirectives(t *testing.T) {
	t.Parallel()
	k := start(t, "--activedefrag", "yes", "--list-compress-depth", "2", "--repl-backlog-size", "2mb", "--lua-time-limit", "10")
	for _, name := range []string{"activedefrag yes", "list-compress-depth 2", "repl-backlog-size 2097152", "busy-reply-threshold 10"} {
		if n := strings.Count(k.out.String(), "'"+name+"' is accepted but has no effect"); n != 1 {
			t.Errorf("%s: %d lines in the log", name, n)
		}
	}
	c := k.dial()
	c.want("OK", "CONFIG", "SET", "slowlog-max-len", "7")
	c.want("[slowlog-max-len 7]", "CONFIG", "GET", "slowlog-max-len")
	within(t, "the log line of CONFIG SET", func() bool {
		return strings.Contains(k.out.String(), "slowlog-max-len 7' is accepted but has no effect")
	})
}

// CONFIG REWRITE, then a start from the file: the settings are those that were
// set.
func TestRewrittenFileStarts(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "my.conf")
	text := fmt.Sprintf("# mine\nport 0\nunixsocket %s/s\ndir %q\nsave 900 1\nenable-debug-command yes\n", dir, dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() *proc {
		k := &proc{t: t, dir: dir, sock: filepath.Join(dir, "s"), kvd: true}
		k.run(exec.Command(binary(t), path), nil)
		k.waitReady()
		return k
	}
	k := run()
	c := k.dial()
	c.want("OK", "CONFIG", "SET", "timeout", "77", "save", "10 2 30 4", "bgsave-default-method", "thread")
	c.want("OK", "CONFIG", "REWRITE")
	k.kill()
	k = run()
	c = k.dial()
	c.want("[timeout 77]", "CONFIG", "GET", "timeout")
	c.want("[save 10 2 30 4]", "CONFIG", "GET", "save")
	c.want("[bgsave-default-method thread]", "CONFIG", "GET", "bgsave-default-method")
	if content, _ := os.ReadFile(path); !strings.HasPrefix(string(content), "# mine\nport 0\n") {
		t.Errorf("the file became %q", content)
	}
}
