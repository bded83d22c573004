//go:build linux

package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"log/syslog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLogFormat(t *testing.T) {
	var out bytes.Buffer
	l := newRedisLog(logOptions{Level: "debug", Stdout: &out})
	log := l.Logger()
	log.Debug("one")
	log.Log(t.Context(), levelVerbose, "two")
	l.SetRole(roleMaster)
	log.Info("Ready to accept connections")
	log.Warn("four", "err", fmt.Errorf("no space: %q", "x"), "n", 5, "empty", "", "d", 2*time.Second)
	log.With("a", 1).WithGroup("g").Error("five\nsix", "b", "two words", slog.Group("h", "c", "x\ny"))
	const head = `^\d+:%c \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d\.\d{3} `
	want := []string{
		fmt.Sprintf(head, 'C') + `\. one$`,
		fmt.Sprintf(head, 'C') + `- two$`,
		fmt.Sprintf(head, 'M') + `\* Ready to accept connections$`,
		fmt.Sprintf(head, 'M') + `# four err="no space: \\"x\\"" n=5 empty="" d=2s$`,
		fmt.Sprintf(head, 'M') + `# five\\nsix a=1 g\.b="two words" g\.h\.c="x\\ny"$`,
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for i := range want {
		if !regexp.MustCompile(want[i]).MatchString(lines[i]) {
			t.Errorf("line %q does not match %s", lines[i], want[i])
		}
		if !strings.HasPrefix(lines[i], fmt.Sprint(os.Getpid(), ":")) {
			t.Errorf("pid: %q", lines[i])
		}
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]string{"debug": ".-*#", "verbose": "-*#", "notice": "*#", "warning": "#"} {
		var out bytes.Buffer
		l := newRedisLog(logOptions{Level: "notice", Stdout: &out})
		log := l.Logger()
		l.SetLevel(level) // after the logger was made, as CONFIG SET does
		for _, at := range []slog.Level{levelDebug, levelVerbose, levelNotice, levelWarning} {
			log.Log(t.Context(), at, "x")
		}
		got := ""
		for _, line := range strings.Fields(out.String()) {
			if len(line) == 1 && line != "x" {
				got += line
			}
		}
		if got != want {
			t.Errorf("%s shows %q, want %q", level, got, want)
		}
	}
}

func TestLogFileIsReopened(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "kvd.log")
	l := newRedisLog(logOptions{File: name, Level: "notice"})
	defer l.Close()
	log := l.Logger()
	log.Info("before")
	log.Info("still before")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("after")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	log.Info("last")
	for file, want := range map[string]string{name + ".1": "before still before", name: "last"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
			_, message, _ := strings.Cut(line, " * ")
			got = append(got, message)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s has %q, want %q", file, got, want)
		}
	}
	// A directory that has gone loses lines, and the log is back with it.
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	log.Info("lost")
	if err := os.Rename(dir+"-away", dir); err != nil {
		t.Fatal(err)
	}
	log.Info("back")
	if content, _ := os.ReadFile(name); !strings.Contains(string(content), "back") {
		t.Errorf("not back: %q", content)
	}
}

func TestSyslog(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "log")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	defer func(old func(syslog.Priority, string) (*syslog.Writer, error)) { dialSyslog = old }(dialSyslog)
	dialSyslog = func(p syslog.Priority, tag string) (*syslog.Writer, error) {
		return syslog.Dial("unixgram", sock, p, tag)
	}

	var out bytes.Buffer
	l := newRedisLog(logOptions{Level: "verbose", Stdout: &out, Syslog: true, Ident: "kvd-a", Facility: "local3"})
	defer l.Close()
	log := l.Logger()
	log.Debug("nothing")
	log.Warn("bad", "n", 1)
	log.Info("good")
	log.Log(t.Context(), levelVerbose, "chatty")
	for _, want := range []struct {
		severity int
		text     string
	}{{4, "bad n=1"}, {5, "good"}, {6, "chatty"}} {
		buf := make([]byte, 1024)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got := string(buf[:n])
		if !strings.HasPrefix(got, fmt.Sprintf("<%d>", 19*8+want.severity)) || !strings.Contains(got, "kvd-a[") ||
			!strings.HasSuffix(strings.TrimSpace(got), want.text) {
			t.Errorf("got %q, want severity %d and %q", got, want.severity, want.text)
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines != 3 {
		t.Errorf("%d lines on standard output", lines)
	}
}

func TestMissingSyslogDoesNotStopTheLog(t *testing.T) {
	defer func(old func(syslog.Priority, string) (*syslog.Writer, error)) { dialSyslog = old }(dialSyslog)
	dials := 0
	dialSyslog = func(syslog.Priority, string) (*syslog.Writer, error) { dials++; return nil, os.ErrNotExist }
	var out bytes.Buffer
	l := newRedisLog(logOptions{Level: "notice", Stdout: &out, Syslog: true, Facility: "user"})
	began := time.Now()
	for range 100 {
		l.Logger().Info("x")
	}
	if most := 1 + int(time.Since(began)/time.Second); strings.Count(out.String(), "\n") != 100 || dials > most {
		t.Errorf("%d lines, %d dials", strings.Count(out.String(), "\n"), dials)
	}
}

func TestCrashLog(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		report := filepath.Join(t.TempDir(), "kvd.log")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"=crash", "KVD_TEST_REPORT="+report, "KVD_TEST_CRASH_LOG="+map[bool]string{true: "yes"}[enabled])
		stderr, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(stderr), "panic: boom") {
			t.Fatalf("%v %s", err, stderr)
		}
		content, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		inFile := strings.Contains(string(content), "last words") && strings.Contains(string(content), "panic: boom") &&
			strings.Contains(string(content), "goroutine 1")
		if inFile != enabled {
			t.Errorf("enabled %v\nlog: %s\nstderr: %s", enabled, content, stderr)
		}
	}
}
