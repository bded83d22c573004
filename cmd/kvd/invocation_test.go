//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestConfigurationFromStandardInput puts the dash where redis-server takes
// it: first, and last.
func TestConfigurationFromStandardInput(t *testing.T) {
	const text = "port 7001\nmaxclients 77\n"
	path := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	t.Cleanup(func() { os.Stdin = stdin })
	for _, argv := range [][]string{{"-"}, {"-", "--timeout", "3"}, {"--timeout", "3", "-"}, {path, "-"}} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Stdin = f
		cfg, read, err := configure(argv)
		f.Close()
		if err != nil {
			t.Fatalf("%q: %v", argv, err)
		}
		if cfg.Int("port") != 7001 || cfg.Int("maxclients") != 77 {
			t.Errorf("%q: port %s, maxclients %s", argv, cfg.String("port"), cfg.String("maxclients"))
		}
		if string(read) != text {
			t.Errorf("%q: the process in the background would get %q", argv, read)
		}
	}
}

// TestDaemonWithRelativePaths names the file and the directory as seen from
// where kvd is started, which the background process must see alike.
func TestDaemonWithRelativePaths(t *testing.T) {
	t.Parallel()
	home := shortDir(t)
	data := filepath.Join(home, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := "daemonize yes\nport 0\nunixsocket s\ndir data\nlogfile log\npidfile pid\nsave ''\n"
	if err := os.WriteFile(filepath.Join(home, "kvd.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t), "kvd.conf")
	cmd.Dir = home
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := 0
	within(t, "the daemon", func() bool {
		text, _ := os.ReadFile(filepath.Join(data, "pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return pid > 0
	})
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "the end of the daemon", func() bool { return ended(pid) })
}
