//go:build linux

package spine

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kvd/bench/internal/host"
	"kvd/bench/internal/result"
)

const waitLimit = 10 * time.Minute // for anything a server does

// harness is one measurement's surroundings. What it starts and creates goes
// away with the test or benchmark.
type harness struct {
	testing.TB
	kvdBin, redisBin string
	scale            float64
	rounds           int
}

func newHarness(tb testing.TB, scale float64, rounds int) *harness {
	tb.Helper()
	h := &harness{TB: tb, redisBin: oracle(tb, "redis-server"), scale: scale, rounds: rounds}
	var err error
	h.kvdBin, err = buildKvd()
	h.must(err)
	return h
}

// oracle finds one of Redis' programs, or skips the test where there is none.
func oracle(tb testing.TB, name string) string {
	tb.Helper()
	bin, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	return bin
}

// removeKvd removes what buildKvd has built.
var removeKvd = func() {}

var buildKvd = sync.OnceValues(func() (path string, err error) {
	path, removeKvd, err = host.BuildKvd(context.Background())
	return path, err
})

// count scales a full count of keys or requests.
func (h *harness) count(full int) int { return max(1000, int(float64(full)*h.scale)) }

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// limit is a context for anything a server does.
func limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), waitLimit)
}

// dir creates a temporary directory; its path is short enough for a socket.
func (h *harness) dir() string {
	h.Helper()
	d, err := os.MkdirTemp(tempRoot, "")
	h.must(err)
	h.Cleanup(func() { _ = os.RemoveAll(d) })
	return d
}

// run executes one of Redis' programs to its end and returns its output.
func (h *harness) run(name string, args ...string) string {
	h.Helper()
	ctx, cancel := limit()
	defer cancel()
	out, err := exec.CommandContext(ctx, oracle(h, name), args...).CombinedOutput()
	if err != nil {
		h.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// server is a running kvd or redis-server. Data go through its socket, commands
// and redis-benchmark through TCP.
type server struct {
	*host.Server
	h       *harness
	methods []string // that BGSAVE knows by name
}

func (h *harness) kvd(dir string, args ...string) *server {
	s := h.start(h.kvdBin, dir, args...)
	if !strings.Contains(filepath.Base(h.kvdBin), "redis-server") {
		s.methods = []string{"FORK", "THREAD", "COPY"}
	}
	return s
}

func (h *harness) redis(dir string, args ...string) *server {
	return h.start(h.redisBin, dir, args...)
}

// start runs a server in dir and waits until it has loaded the dump there.
func (h *harness) start(bin, dir string, args ...string) *server {
	h.Helper()
	ctx, cancel := limit()
	defer cancel()
	args = append([]string{"--unixsocket", filepath.Join(dir, "sock")}, args...)
	s, err := host.Start(ctx, host.Launch{Bin: bin, Dir: dir, Args: args})
	h.must(err)
	h.Cleanup(s.Kill)
	return &server{Server: s, h: h}
}

func (s *server) dial() net.Conn {
	s.h.Helper()
	conn, err := net.Dial("unix", filepath.Join(s.Dir, "sock"))
	s.h.must(err)
	_ = conn.SetDeadline(time.Now().Add(waitLimit))
	return conn
}

func (s *server) dumpFile() string { return filepath.Join(s.Dir, "dump.rdb") }

// usage returns the server's memory and CPU time.
func (s *server) usage() result.MemorySample {
	s.h.Helper()
	u, err := s.Usage()
	s.h.must(err)
	return u
}

// do runs one command.
func (s *server) do(args ...string) string {
	s.h.Helper()
	ctx, cancel := limit()
	defer cancel()
	reply, err := s.DoContext(ctx, args...)
	s.h.must(err)
	return fmt.Sprint(reply)
}

// infoNumber returns a field of a section of INFO that must be there.
func (s *server) infoNumber(section, field string) float64 {
	s.h.Helper()
	info, err := s.Info(section)
	s.h.must(err)
	n, err := strconv.ParseFloat(info[field], 64)
	if err != nil {
		s.h.Fatalf("INFO %s: %v", field, err)
	}
	return n
}

// bgsave starts a save by the given method, "" for the server's default. It
// returns the moment before the command, and what waits for the save: the time
// from that moment until the new dump stood in place.
func (s *server) bgsave(method string) (begun time.Time, wait func() time.Duration) {
	s.h.Helper()
	args := []string{"BGSAVE"}
	if method != "" {
		args = append(args, method)
	}
	ctx, cancel := limit()
	saving, err := s.Bgsave(ctx, args)
	if err != nil {
		cancel()
		s.h.Fatal(err)
	}
	return saving.Begun(), func() time.Duration {
		s.h.Helper()
		defer cancel()
		save, err := saving.Wait(ctx, func() time.Duration { return time.Since(saving.Begun()) })
		s.h.must(err)
		if save.Error != "" {
			s.h.Fatalf("%v: %s", args, save.Error)
		}
		return time.Duration(save.Seconds * float64(time.Second))
	}
}
