//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary plays kvd in a process of its own when this variable names a role.
const roleVariable = "KVD_TEST_ROLE"

func init() {
	role, report := os.Getenv(roleVariable), os.Getenv("KVD_TEST_REPORT")
	switch role {
	case "":
		return
	case "daemon":
		input, _ := io.ReadAll(os.Stdin)
		if isDaemonChild() {
			reportDaemon(report, string(input))
		} else if err := daemonize(input); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	case "crash":
		l := newRedisLog(logOptions{File: report})
		l.SetCrashLog(os.Getenv("KVD_TEST_CRASH_LOG") == "yes")
		_ = os.Rename(report, report+".1") // rotated: the report belongs to the new file
		l.Logger().Warn("last words")
		panic("boom")
	case "upstart":
		s := newSupervisor("auto", slog.New(slog.DiscardHandler))
		s.ready()
		_ = os.WriteFile(report, []byte(s.mode+" "+os.Getenv("UPSTART_JOB")), 0o600)
	}
	os.Exit(0)
}

// reportDaemon writes what the background process finds out about itself.
func reportDaemon(path, input string) {
	sid, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	out, _ := os.Readlink("/proc/self/fd/1")
	errOut, _ := os.Readlink("/proc/self/fd/2")
	text := fmt.Sprint(int(sid) == os.Getpid(), out, errOut, input, " marked=", os.Getenv(daemonMark))
	_ = os.WriteFile(path+".tmp", []byte(text), 0o600)
	_ = os.Rename(path+".tmp", path)
}

func TestDaemonize(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report")
	cmd := exec.Command(os.Args[0], "some", "args")
	cmd.Env = append(os.Environ(), roleVariable+"=daemon", "KVD_TEST_REPORT="+report)
	cmd.Stdin = strings.NewReader("port 0\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out // a daemon that kept them open would hold Run back
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Fatalf("%v %s", err, out.String())
	}
	var content []byte
	within(t, "the daemon's report", func() bool {
		var err error
		content, err = os.ReadFile(report)
		return err == nil
	})
	if want := "true/dev/null/dev/nullport 0\n marked="; string(content) != want {
		t.Errorf("got %q, want %q", content, want)
	}
}

func TestPidFile(t *testing.T) {
	t.Chdir(t.TempDir())
	p, err := writePidFile("kvd.pid")
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(p.path); string(content) != strconv.Itoa(os.Getpid())+"\n" || !filepath.IsAbs(p.path) {
		t.Errorf("%s has %q", p.path, content)
	}
	t.Chdir("/")
	p.remove()
	if _, err := os.Stat(p.path); err == nil {
		t.Error("still there")
	}
	if err := os.WriteFile(p.path, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.remove()
	if _, err := os.Stat(p.path); err != nil {
		t.Error("removed the file of another process")
	}
	if _, err := writePidFile("/does/not/exist/kvd.pid"); err == nil {
		t.Error("no error")
	}
	pidFile{}.remove()
}

func TestSystemd(t *testing.T) {
	for _, directive := range []string{"systemd", "auto"} {
		sock := filepath.Join(t.TempDir(), "notify")
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: sock, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("UPSTART_JOB", "")
		t.Setenv("NOTIFY_SOCKET", sock)
		s := newSupervisor(directive, slog.New(slog.DiscardHandler))
		if !s.active() {
			t.Fatal("not active")
		}
		s.ready()
		s.status("Saving the final RDB snapshot")
		s.stopping()
		for _, want := range []string{"STATUS=kvd is loading...\n", "STATUS=Ready to accept connections\nREADY=1\n",
			"STATUS=Saving the final RDB snapshot\n", "STOPPING=1\n"} {
			buf := make([]byte, 200)
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			n, err := conn.Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Errorf("%s: %v %q, want %q", directive, err, buf[:n], want)
			}
		}
		_ = conn.Close()
		var out bytes.Buffer
		s.log = newRedisLog(logOptions{Stdout: &out}).Logger()
		s.ready() // nobody listens: a line in the log, nothing else
		if !strings.Contains(out.String(), "sd_notify") {
			t.Errorf("log %q", out.String())
		}
	}
}

func TestNoSupervisor(t *testing.T) {
	t.Setenv("UPSTART_JOB", "")
	t.Setenv("NOTIFY_SOCKET", "")
	for directive, want := range map[string]string{"no": "", "auto": "", "systemd": "NOTIFY_SOCKET not found", "upstart": "UPSTART_JOB not found"} {
		var out bytes.Buffer
		s := newSupervisor(directive, newRedisLog(logOptions{Stdout: &out}).Logger())
		s.ready()
		s.stopping()
		if s.active() || want == "" && out.Len() > 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: active %v, log %q", directive, s.active(), out.String())
		}
	}
}

func TestUpstart(t *testing.T) {
	report := filepath.Join(t.TempDir(), "report")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=upstart", "KVD_TEST_REPORT="+report, "UPSTART_JOB=kvd")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err != syscall.EINTR {
			break
		}
	}
	if !status.Stopped() || status.StopSignal() != syscall.SIGSTOP {
		t.Fatalf("status %x", status)
	}
	if _, err := os.Stat(report); err == nil {
		t.Error("went on before it was continued")
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(report); string(content) != "upstart " {
		t.Errorf("report %q", content)
	}
}
