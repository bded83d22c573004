//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kvd/kv/config"
)

// observed has a test for every directive that kvd honours: it sees the effect
// from outside, on a running server.
var observed = map[string]func(t *testing.T){
	// The process.
	"daemonize":                seeDaemonize,
	"pidfile":                  seePidfile,
	"supervised":               seeSupervised,
	"databases":                seeDatabases,
	"hz":                       seeHz,
	"io-threads":               seeIOThreads,
	"enable-protected-configs": seeProtectedConfigs,
	"enable-debug-command":     seeDebugCommand,
	"shutdown-on-sigint":       func(t *testing.T) { seeShutdownOn(t, "shutdown-on-sigint", syscall.SIGINT) },
	"shutdown-on-sigterm":      func(t *testing.T) { seeShutdownOn(t, "shutdown-on-sigterm", syscall.SIGTERM) },
	"oom-score-adj":            seeOOMScore,
	"oom-score-adj-values":     seeOOMScoreOfChild,
	// Network: see network_test.go.
	"port":           seePort,
	"bind":           seeBind,
	"unixsocket":     seeUnixSocket,
	"unixsocketperm": seeUnixSocketPerm,
	"protected-mode": seeProtectedMode,
	"requirepass":    seeRequirepass,
	"tcp-backlog":    seeBacklog,
	"tcp-keepalive":  seeKeepalive,
	"timeout":        seeTimeout,
	"socket-mark-id": seeSocketMark,
	// Limits: see network_test.go.
	"maxclients":                 seeMaxclients,
	"client-output-buffer-limit": seeOutputLimit,
	"client-query-buffer-limit":  seeQueryLimit,
	"proto-max-bulk-len":         seeBulkLimit,
	// Logging.
	"loglevel":                          seeLoglevel,
	"logfile":                           seeLogfile,
	"syslog-enabled":                    seeSyslog,
	"syslog-ident":                      seeSyslog,
	"syslog-facility":                   seeSyslog,
	"crash-log-enabled":                 seeCrashLog,
	"latency-tracking":                  seeLatencyTracking,
	"latency-tracking-info-percentiles": seePercentiles,
	"latency-monitor-threshold":         seeLatencyMonitor,
	// Persistence: see persistence_test.go.
	"save":                        TestSavePointsFire,
	"dir":                         seeDir,
	"dbfilename":                  seeDBFilename,
	"stop-writes-on-bgsave-error": seeStopWrites,
	"rdbcompression":              seeCompression,
	"rdbchecksum":                 seeChecksum,
	"rdb-save-incremental-fsync":  seeIncrementalFsync,
	"bgsave-default-method":       seeDefaultMethod,
	"save-child-timeout":          seeChildTimeout,
	"save-child-nice":             seeChildNice,
	"save-child-ioprio":           seeChildIOPriority,
	"fork-recollapse-rate":        seeRecollapseRate,
}

func TestHonouredDirectives(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, p := range config.New().Match([]string{"*"}) {
		known[p.Name] = true
		if class, _ := config.ClassOf(p.Name); class == config.Honoured && observed[p.Name] == nil {
			t.Errorf("%s is honoured, but no test observes it", p.Name)
		}
	}
	for name, see := range observed {
		if class, _ := config.ClassOf(name); !known[name] || class != config.Honoured {
			t.Errorf("%s has a test, but is %v", name, class)
		}
		if name != "save" { // a test of its own
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				see(t)
			})
		}
	}
}

func seeDaemonize(t *testing.T) {
	dir := shortDir(t)
	pidfile, sock := filepath.Join(dir, "pid"), filepath.Join(dir, "s")
	ctx, cancel := context.WithTimeout(t.Context(), patience) // a daemon that kept the outputs open would be waited for
	defer cancel()
	out, err := exec.CommandContext(ctx, binary(t), "--daemonize", "yes", "--port", "0", "--unixsocket", sock, "--dir", dir, "--pidfile", pidfile).CombinedOutput()
	if err != nil || ctx.Err() != nil {
		t.Fatalf("%v %s", err, out)
	}
	var pid int
	within(t, "the daemon's pid file", func() bool { // written when it listens
		b, _ := os.ReadFile(pidfile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	c := dial(t, "unix", sock)
	within(t, "the daemon has looked for a dump", func() bool { return c.do("PING") == "PONG" })
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// pid (comm) state ppid pgrp session tty
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if fields[3] != strconv.Itoa(pid) || fields[4] != "0" {
		t.Errorf("session %s, terminal %s: not those of a daemon", fields[3], fields[4])
	}
}

func seePidfile(t *testing.T) {
	path := filepath.Join(shortDir(t), "my.pid")
	k := start(t, "--pidfile", path)
	if b, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(k.pid()) {
		t.Errorf("%q %v", b, err)
	}
	k.signal(syscall.SIGTERM)
	if _, err := os.Stat(path); err == nil {
		t.Error("it is still there after the end")
	}
}

func seeSupervised(t *testing.T) {
	dir := shortDir(t)
	sock := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	k := launch(t, dir, []string{"NOTIFY_SOCKET=" + sock}, "--supervised", "systemd")
	k.waitReady()
	expect := func(what string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			_ = l.SetReadDeadline(time.Now().Add(patience))
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", what, err)
			}
			if strings.Contains(string(buf[:n]), what) {
				return
			}
		}
	}
	expect("READY=1")
	noError(t, k.cmd.Process.Signal(syscall.SIGTERM))
	expect("STOPPING=1")
	k.wait()
}

func seeDatabases(t *testing.T) {
	c := start(t, "--databases", "3").dial()
	c.want("OK", "SELECT", "2")
	c.want("-ERR DB index is out of range", "SELECT", "3")
	c.want("[databases 3]", "CONFIG", "GET", "databases")
}

// seeHz counts how often the loop wakes up by itself. A busy machine lets it wake up less often: then there
// is another try.
func seeHz(t *testing.T) {
	count := func(k *proc) (n int) {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", k.pid()))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			n += atoi(field(string(b), "voluntary_ctxt_switches"))
		}
		return n
	}
	slow, fast := start(t, "--hz", "1", "--io-threads", "1"), start(t, "--hz", "500", "--io-threads", "1")
	within(t, "more wake-ups at hz 500 than at hz 1", func() bool {
		s, f := count(slow), count(fast)
		time.Sleep(500 * time.Millisecond)
		return count(fast)-f >= count(slow)-s+120
	})
}

func field(text, name string) string {
	for line := range strings.SplitSeq(text, "\n") {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func atoi(s string) int { n, _ := strconv.Atoi(s); return n }

func seeIOThreads(t *testing.T) {
	polls := func(n string) (count int) {
		k := start(t, "--io-threads", n)
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", k.pid()))
		for _, l := range links {
			if target, _ := os.Readlink(l); target == "anon_inode:[eventpoll]" {
				count++
			}
		}
		k.kill()
		return count
	}
	if one, four := polls("1"), polls("4"); four != one+3 {
		t.Errorf("%d event loops with io-threads 4, %d with 1", four, one)
	}
}

func seeProtectedConfigs(t *testing.T) {
	dir := shortDir(t)
	for value, want := range map[string]string{
		"no":    "-ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
		"local": "OK", "yes": "OK",
	} {
		k := start(t, "--enable-protected-configs", value)
		k.dial().want(want, "CONFIG", "SET", "dir", dir)
		k.kill()
	}
}

func seeDebugCommand(t *testing.T) {
	for value, want := range map[string]string{"no": "^-ERR DEBUG command not allowed", "local": "^0{40}$", "yes": "^0{40}$"} {
		k := start(t, "--enable-debug-command", value)
		k.dial().wantMatch(want, "DEBUG", "DIGEST")
		k.kill()
	}
}

func seeShutdownOn(t *testing.T, name string, sig syscall.Signal) {
	for _, tt := range []struct {
		value, save string
		dumped      bool
	}{{"default", "900 1", true}, {"nosave", "900 1", false}, {"save", "", true}, {"now force", "", false}} {
		k := start(t, "--"+name, tt.value, "--save", tt.save)
		k.dial().want("OK", "SET", "a", "b")
		if code := k.signal(sig); code != 0 {
			t.Errorf("%s: exit status %d", tt.value, code)
		}
		_, err := os.Stat(filepath.Join(k.dir, "dump.rdb"))
		if (err == nil) != tt.dumped {
			t.Errorf("%s %q with save %q: dumped %v", name, tt.value, tt.save, err == nil)
		}
	}
}

func oomScore(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func seeOOMScore(t *testing.T) {
	base := atoi(oomScore(t, os.Getpid()))
	k := start(t, "--oom-score-adj", "absolute", "--oom-score-adj-values", "111 200 800")
	if got := oomScore(t, k.pid()); got != "111" {
		t.Errorf("absolute: %s", got)
	}
	c := k.dial()
	c.want("OK", "CONFIG", "SET", "oom-score-adj-values", "222 300 800")
	if got := oomScore(t, k.pid()); got != "222" {
		t.Errorf("after CONFIG SET: %s", got)
	}
	k.kill()
	k = start(t, "--oom-score-adj", "relative", "--oom-score-adj-values", "50 200 800")
	if got := oomScore(t, k.pid()); got != strconv.Itoa(min(base+50, 1000)) {
		t.Errorf("relative to %d: %s", base, got)
	}
	k.kill()
	k = start(t)
	if got := oomScore(t, k.pid()); got != strconv.Itoa(base) {
		t.Errorf("no: %s instead of %d", got, base)
	}
}

func seeOOMScoreOfChild(t *testing.T) {
	k := start(t, "--oom-score-adj", "absolute", "--oom-score-adj-values", "10 200 345", "--save-rate-limit", "1kb")
	c := k.dial()
	c.populate("k", 100, 1000)
	child := stopChild(c, k)
	within(t, "the child's score", func() bool { return oomScore(t, child) == "345" })
}

// stopChild starts a save by fork and stops its child. A child that was too
// quick is let go, and another one tried.
func stopChild(c *conn, k *proc) (pid int) {
	c.t.Helper()
	for range 50 {
		c.wantMatch(`^Background saving started \(engine `, "BGSAVE", "FORK")
		for end := time.Now().Add(patience); time.Now().Before(end); {
			if pids := children(k.pid()); len(pids) == 1 {
				if syscall.Kill(pids[0], syscall.SIGSTOP) == nil && len(children(k.pid())) == 1 && !isZombie(pids[0]) {
					return pids[0]
				}
				break
			}
			if c.info("rdb_bgsave_in_progress") == "0" {
				break
			}
		}
		c.waitSaved()
	}
	c.t.Fatal("no child could be caught")
	return 0
}

func isZombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(b, []byte(") Z "))
}

func seeLoglevel(t *testing.T) {
	lines := func(level string) string {
		k := start(t, "--loglevel", "notice")
		c := k.dial()
		c.want("OK", "CONFIG", "SET", "loglevel", level)
		before := len(k.out.String())
		bad := k.dial()
		bad.send([]byte("*x\r\n")) // a protocol error is a verbose line
		bad.read()
		text := k.out.String()[before:]
		k.kill()
		return text
	}
	if got := lines("verbose"); !strings.Contains(got, " - ") || !strings.Contains(got, "Protocol error") {
		t.Errorf("verbose: %q", got)
	}
	if got := lines("notice"); strings.Contains(got, "Protocol error") {
		t.Errorf("notice: %q", got)
	}
	k := launch(t, shortDir(t), nil, "--loglevel", "warning")
	within(t, "the end of the load", func() bool { // without the line that it is ready
		c := k.tryDial()
		return c != nil && c.do("PING") == "PONG"
	})
	if got := k.out.String(); strings.Contains(got, " * ") || !strings.Contains(got, " # ") {
		t.Errorf("warning: %q", got)
	}
}

func seeLogfile(t *testing.T) {
	dir := shortDir(t)
	k := launch(t, dir, nil, "--logfile", "my.log") // relative to dir
	within(t, "the ready line", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "my.log"))
		return bytes.Contains(b, []byte(readyLine))
	})
	if got := k.out.String(); got != "" {
		t.Errorf("printed %q", got)
	}
}

// syslogMutex is for /dev/log, of which there is one.
var syslogMutex sync.Mutex

// seeSyslog plays the system log, where there is none.
func seeSyslog(t *testing.T) {
	syslogMutex.Lock()
	defer syslogMutex.Unlock()
	const path = "/dev/log"
	addr := &net.UnixAddr{Name: path, Net: "unixgram"}
	if _, err := os.Lstat(path); err == nil {
		c, err := net.DialUnix("unixgram", nil, addr)
		if !errors.Is(err, syscall.ECONNREFUSED) { // else it was left by a test that was killed
			if err == nil {
				_ = c.Close()
			}
			missing(t, "the system has a log; log_test.go has what it gets")
		}
		_ = os.Remove(path)
	}
	l, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		missing(t, err.Error())
	}
	defer func() { _ = l.Close(); _ = os.Remove(path) }()
	// Only few lines wait for who reads them.
	launch(t, shortDir(t), nil, "--syslog-enabled", "yes", "--syslog-ident", "mykvd", "--syslog-facility", "local3")
	buf := make([]byte, 4096)
	for {
		_ = l.SetReadDeadline(time.Now().Add(patience))
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if line := string(buf[:n]); strings.Contains(line, readyLine) {
			// local3 is 19, notice 5
			if !strings.HasPrefix(line, "<"+strconv.Itoa(19*8+5)+">") || !strings.Contains(line, "mykvd[") {
				t.Errorf("got %q", line)
			}
			return
		}
	}
}

func seeCrashLog(t *testing.T) {
	for value, want := range map[string]bool{"yes": true, "no": false} {
		dir := shortDir(t)
		k := launch(t, dir, nil, "--logfile", "log", "--crash-log-enabled", value)
		k.kvd = false // its output is to have the report
		log := func() string { b, _ := os.ReadFile(filepath.Join(dir, "log")); return string(b) }
		within(t, "the ready line", func() bool { return strings.Contains(log(), readyLine) })
		if code := k.signal(syscall.SIGABRT); code == 0 {
			t.Error("exit status 0")
		}
		if got := strings.Contains(log(), "SIGABRT"); got != want {
			t.Errorf("crash-log-enabled %s: report in the log %v", value, got)
		}
	}
}

func seeLatencyTracking(t *testing.T) {
	c := start(t).dial()
	c.want("PONG", "PING")
	c.wantMatch(`latency_percentiles_usec_ping:p50=[\d.]+,p99=[\d.]+,p99\.9=`, "INFO", "latencystats")
	c.want("OK", "CONFIG", "SET", "latency-tracking", "no")
	if got := c.do("INFO", "latencystats"); strings.Contains(got, "ping") {
		t.Errorf("off: %q", got)
	}
}

func seeLatencyMonitor(t *testing.T) {
	c := start(t, "--latency-monitor-threshold", "20").dial()
	c.want("OK", "DEBUG", "SLEEP", "0.05")
	c.wantMatch(`\[command \d+ \d+ \d+\]`, "LATENCY", "LATEST") // others may have had to wait for a processor
	c.want("OK", "CONFIG", "SET", "latency-monitor-threshold", "0")
	c.wantMatch("^[1-9]", "LATENCY", "RESET")
	c.want("OK", "DEBUG", "SLEEP", "0.05")
	c.want("[]", "LATENCY", "LATEST")
}

func seePercentiles(t *testing.T) {
	c := start(t, "--latency-tracking-info-percentiles", "10 25.5").dial()
	c.want("PONG", "PING")
	c.wantMatch(`latency_percentiles_usec_ping:p10=[\d.]+,p25\.5=[\d.]+\r\n`, "INFO", "latencystats")
}
