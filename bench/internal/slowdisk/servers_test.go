//go:build linux

package slowdisk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"kvd/bench/internal/host"
	"kvd/bench/internal/noise"
)

// daemon starts a server with its files in dir and returns a connection to it.
// It is asked for its dump's directory by argument: see the package comment.
func daemon(t *testing.T, bin, dir string, args ...string) redis.Conn {
	t.Helper()
	own, err := os.MkdirTemp("", "kvd") // its path is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket, logfile := filepath.Join(own, "s"), filepath.Join(own, "log")
	cmd := exec.Command(bin, append([]string{"--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "",
		"--enable-debug-command", "yes", "--rdbcompression", "no", "--logfile", logfile}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if log, err := os.ReadFile(logfile); err == nil && t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(bin), log)
		}
		_ = os.RemoveAll(own)
	})
	var c redis.Conn
	noise.Wait(t, bin+" answers", func() bool {
		if c, err = redis.Dial("unix", socket); err != nil {
			return false
		}
		if _, err = c.Do("PING"); err != nil {
			_ = c.Close()
			return false
		}
		return true
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// builtKvd is a kvd that is built once, when a test first wants it.
var builtKvd = sync.OnceValues(func() (bin string, err error) {
	bin, removeKvd, err = host.BuildKvd(context.Background())
	return bin, err
})

// removeKvd removes what was built.
var removeKvd = func() {}

func buildKvd(t *testing.T) string {
	t.Helper()
	bin, err := builtKvd()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func ask(t *testing.T, c redis.Conn, command string, args ...any) string {
	t.Helper()
	reply, err := redis.String(c.Do(command, args...))
	if err != nil {
		t.Fatal(command, args, err)
	}
	return reply
}

// infoField returns a field of INFO persistence.
func infoField(t *testing.T, c redis.Conn, field string) string {
	t.Helper()
	for line := range strings.Lines(ask(t, c, "INFO", "persistence")) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			return v
		}
	}
	t.Fatalf("INFO has no %s", field)
	return ""
}

// Every server saves into a slow disk, takes the time that the disk takes, and
// what it wrote is what it had.
func TestServersSaveIntoIt(t *testing.T) {
	const keys, size, rate = 2000, 1000, 5 << 20 // 0.4 s
	_, _ = disk(t, 0)                            // or skip
	redisServer, err := exec.LookPath("redis-server")
	if err != nil {
		unavailable(t, err)
	}
	kvd := buildKvd(t)
	for _, s := range []struct {
		name, bin string
		save      []any
	}{
		{"kvd fork", kvd, []any{"FORK"}}, {"kvd thread", kvd, []any{"THREAD"}}, {"redis-server", redisServer, nil},
	} {
		t.Run(s.name, func(t *testing.T) {
			d, backing := disk(t, rate)
			c := daemon(t, s.bin, d.Dir())
			rng := rand.NewChaCha8([32]byte{1})
			value := make([]byte, size)
			for i := range keys {
				_, _ = rng.Read(value)
				if err := c.Send("SET", fmt.Sprintf("key:%07d", i), value); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Do(""); err != nil {
				t.Fatal(err)
			}
			digest := ask(t, c, "DEBUG", "DIGEST")
			begin := time.Now()
			ask(t, c, "BGSAVE", s.save...)
			in := infoField(t, c, "rdb_bgsave_in_progress")
			if since := time.Since(begin).Seconds(); in != "1" && since < 0.8*keys*size/rate {
				t.Errorf("rdb_bgsave_in_progress:%s after %.3f s", in, since)
			}
			noise.Wait(t, "the save ends", func() bool {
				return infoField(t, c, "rdb_bgsave_in_progress") == "0"
			})
			took := time.Since(begin).Seconds()
			if st := infoField(t, c, "rdb_last_bgsave_status"); st != "ok" {
				t.Errorf("rdb_last_bgsave_status:%s", st)
			}
			if want := float64(d.Written()) / rate; d.Written() < keys*size || took < 0.8*want || took > want+noise.Patience.Seconds() {
				t.Errorf("%d bytes took %.3f s", d.Written(), took)
			}
			t.Logf("%d bytes took %.3f s", d.Written(), took)
			entries, err := os.ReadDir(backing)
			if err != nil || len(entries) != 1 || entries[0].Name() != "dump.rdb" {
				t.Errorf("in the backing directory: %v %v", entries, err)
			}
			loaded := daemon(t, redisServer, backing)
			if n, err := redis.Int(loaded.Do("DBSIZE")); err != nil || n != keys {
				t.Errorf("%d keys of %d: %v", n, keys, err)
			}
			if got := ask(t, loaded, "DEBUG", "DIGEST"); got != digest {
				t.Errorf("digest %s, want %s", got, digest)
			}
		})
	}
}

// A kvd that is killed in the middle of a slow save is gone long before the save could
// end, its child too: the temporary file's lock is free.
func TestKilledServerDies(t *testing.T) {
	_, _ = disk(t, 0) // or skip
	kvd := buildKvd(t)
	for _, method := range []string{"FORK", "THREAD"} {
		t.Run(method, func(t *testing.T) {
			d, backing := disk(t, 2000) // eight minutes
			c := daemon(t, kvd, d.Dir())
			for i := range 1000 {
				ask(t, c, "SET", fmt.Sprint(i), strings.Repeat("x", 1000))
			}
			ask(t, c, "BGSAVE", method)
			noise.Wait(t, "bytes arrive", func() bool { return d.Written() > 0 })
			var process int
			for line := range strings.Lines(ask(t, c, "INFO", "server")) {
				if v, ok := strings.CutPrefix(line, "process_id:"); ok {
					process = number(strings.TrimSpace(v))
				}
			}
			if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			temps, err := filepath.Glob(join(d, "temp-*"))
			if err != nil || len(temps) != 1 {
				t.Fatalf("in %s: %v %v", backing, temps, err)
			}
			noise.Wait(t, "the lock is free", func() bool {
				return act(t, "lock", temps[0]).cmd.Wait() == nil
			})
		})
	}
}
