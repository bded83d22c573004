//go:build linux

package server

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// process is a redis-server, on a port and a unix socket.
type process struct{ port, path string }

// startRedis starts a real server, or skips the test where there is none.
func startRedis(t *testing.T, args ...string) process {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	path, port := filepath.Join(t.TempDir(), "redis.sock"), strconv.Itoa(freePort(t))
	base := []string{"--port", port, "--bind", "127.0.0.1", "--unixsocket", path, "--save", "", "--logfile", os.DevNull}
	cmd := exec.Command(bin, append(base, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "redis-server answers", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return process{port, path}
}
