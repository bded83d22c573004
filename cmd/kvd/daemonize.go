//go:build linux

package main

import (
	"context"
	"errors"
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
)

// daemonMark tells a process that it is the background half of daemonize.
const daemonMark = "KVD_DAEMON_CHILD"

// isDaemonChild reports whether this process was started by daemonize. The mark does not outlive the question, so that
// nothing that this process starts sees it. Ask once.
func isDaemonChild() bool {
	_, marked := os.LookupEnv(daemonMark)
	_ = os.Unsetenv(daemonMark)
	return marked
}

// daemonize starts this program again with the same arguments, in a session of its own, with its outputs on /dev/null.
// A Go process cannot go on in a fork of itself as redis-server does. stdin is what the caller has read from standard
// input, which the child will want to read again; nil gives it /dev/null. The caller exits with status 0 at once, as
// Redis' foreground process does: what goes wrong from here on stands in the log.
func daemonize(stdin []byte) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{
		Path: exe,
		Args: os.Args,
		Env:  append(os.Environ(), daemonMark+"=1"),
		// The descriptors of the child are files of ours or /dev/null: nothing ties it to this process.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if stdin == nil {
		return cmd.Start()
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		_ = w.Close()
		return err
	}
	_, err = w.Write(stdin)
	return errors.Join(err, w.Close())
}

// defaultPidFile is used by a daemon whose configuration names none.
const defaultPidFile = "/var/run/kvd.pid"

// pidFile is a file with the pid of this process; its zero value is none.
type pidFile struct{ path string }

// writePidFile writes the file. The path is made absolute, since the working directory may change. A file that cannot be
// written is an error to log, not one to stop for.
func writePidFile(path string) (pidFile, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return pidFile{}, err
	}
	if err := os.WriteFile(abs, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return pidFile{}, fmt.Errorf("can't write the pid file: %w", err)
	}
	return pidFile{abs}, nil
}

// remove removes the file, unless another process has written its own pid into it.
func (p pidFile) remove() {
	if p.path == "" {
		return
	}
	content, err := os.ReadFile(p.path)
	if err == nil && strings.TrimSpace(string(content)) == strconv.Itoa(os.Getpid()) {
		_ = os.Remove(p.path)
	}
}

// supervisor tells a service manager how far the server is. Without one its methods do nothing.
type supervisor struct {
	mode   string // systemd, upstart or ""
	socket string // of systemd
	log    *slog.Logger
}

// newSupervisor finds the service manager that the directive supervised names: systemd, upstart, auto or no.
func newSupervisor(directive string, log *slog.Logger) *supervisor {
	s := &supervisor{log: log}
	job, socket := os.Getenv("UPSTART_JOB"), os.Getenv("NOTIFY_SOCKET")
	if directive == "auto" {
		switch {
		case job != "":
			log.Log(context.Background(), levelVerbose, "Upstart supervision detected.")
			directive = "upstart"
		case socket != "":
			log.Log(context.Background(), levelVerbose, "Systemd supervision detected.")
			directive = "systemd"
		}
	}
	switch directive {
	case "upstart":
		if job == "" {
			log.Warn("upstart supervision requested, but UPSTART_JOB not found!")
			return s
		}
		s.mode = "upstart"
	case "systemd":
		if socket == "" {
			log.Warn("systemd supervision error: NOTIFY_SOCKET not found!")
			return s
		}
		s.mode, s.socket = "systemd", socket
		s.status("kvd is loading...")
		log.Info("Supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in your service unit.")
	}
	return s
}

// active reports whether a service manager was found: then kvd does not go to the background, whatever daemonize says.
func (s *supervisor) active() bool { return s.mode != "" }

// status sets the line that systemctl status shows.
func (s *supervisor) status(text string) { s.notify("STATUS=" + text + "\n") }

// ready says that connections are accepted. Under upstart the process stops itself, which is the sign that a job with
// "expect stop" waits for, and goes on when upstart continues it.
func (s *supervisor) ready() {
	if s.mode == "upstart" {
		s.log.Info("supervised by upstart, will stop to signal readiness.")
		_ = os.Unsetenv("UPSTART_JOB")
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			s.log.Warn("upstart supervision error", "err", err)
		}
		return
	}
	s.notify("STATUS=Ready to accept connections\nREADY=1\n")
}

// stopping says that the shutdown has begun.
func (s *supervisor) stopping() { s.notify("STOPPING=1\n") }

// notify speaks sd_notify's protocol: one datagram of lines. A socket name that starts with @ is an abstract one.
func (s *supervisor) notify(message string) {
	if s.mode != "systemd" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err == nil {
		_, err = io.WriteString(conn, message)
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		s.log.Warn("systemd supervision error: sd_notify", "err", err)
	}
}
