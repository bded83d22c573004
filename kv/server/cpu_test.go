//go:build linux

package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/kv/config"
)

// serveEnv makes the test binary a server on the unix socket that it names, so
// that its CPU time can be told from the tests'.
const serveEnv = "KVD_TEST_SERVE"

func serveForever(path string) {
	cfg := config.New()
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	check(cfg.Load("", strings.NewReader(""), []string{"--port", os.Getenv(serveEnv + "_PORT"), "--bind", "127.0.0.1",
		"--unixsocket", path, "--save", ""}))
	store, err := kv.Open(kv.Options{})
	check(err)
	engine := command.NewEngine(store, cfg, slog.New(slog.DiscardHandler))
	engine.Saver = noSaver{}
	s := New(engine, cfg, slog.New(slog.DiscardHandler))
	runtime.GOMAXPROCS(runtime.NumCPU() + s.Loops() + 1)
	check(s.Listen())
	check(s.Serve())
	os.Exit(0)
}

// process is a server in a process of its own, on a port and a unix socket.
type process struct {
	cmd        *exec.Cmd
	port, path string
}

func startProcess(t *testing.T, cmd *exec.Cmd, port int, path string) process {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "the server answers", func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
	return process{cmd, strconv.Itoa(port), path}
}

func startKvd(t *testing.T) process {
	path, port := filepath.Join(t.TempDir(), "kvd.sock"), freePort(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+path, serveEnv+"_PORT="+strconv.Itoa(port))
	cmd.Stderr = os.Stderr
	return startProcess(t, cmd, port, path)
}

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
	path, port := filepath.Join(t.TempDir(), "redis.sock"), freePort(t)
	base := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--unixsocket", path, "--save", "", "--logfile", os.DevNull}
	return startProcess(t, exec.Command(bin, append(base, args...)...), port, path)
}

// cpu returns the CPU time that p has used, user and system.
func (p process) cpu(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // from the third field on
	ticks := 0
	for _, i := range []int{14, 15} { // utime and stime, of 10 ms
		n, err := strconv.Atoi(f[i-3])
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// TestCPU compares the CPU time per request with redis-server's, under
// redis-benchmark, in turn: the median of the rounds counts.
//
//	KVD_LONG=1 go test ./kv/server -run TestCPU -v
func TestCPU(t *testing.T) {
	if !long() {
		t.Skip("KVD_LONG=1 runs it")
	}
	redis, kvd := startRedis(t), startKvd(t)
	for _, c := range []struct {
		pipeline, requests int
		gate               float64
	}{{1, 300_000, 1.0}, {16, 2_000_000, 0.75}} {
		for _, name := range []string{"set", "get"} {
			var ratios, ours, theirs []float64
			for range 5 {
				a := perRequest(t, redis, name, c.pipeline, c.requests)
				b := perRequest(t, kvd, name, c.pipeline, c.requests)
				ours, theirs, ratios = append(ours, b), append(theirs, a), append(ratios, b/a)
			}
			r := median(ratios)
			t.Logf("%s -P %d: kvd %.2f µs, redis %.2f µs a request, ratio %.2f (gate %.2f)",
				name, c.pipeline, median(ours), median(theirs), r, c.gate)
			if r > c.gate {
				t.Errorf("%s -P %d: ratio %.2f is above %.2f", name, c.pipeline, r, c.gate)
			}
		}
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// perRequest runs redis-benchmark and returns the server's CPU time per request
// in microseconds.
func perRequest(t *testing.T, p process, name string, pipeline, requests int) float64 {
	t.Helper()
	before := p.cpu(t)
	out, err := exec.Command("redis-benchmark", "-p", p.port, "-c", "50", "-t", name, "-r", "100000", "-q",
		"-n", strconv.Itoa(requests), "-P", strconv.Itoa(pipeline)).CombinedOutput()
	if err != nil {
		t.Fatal(err, string(out))
	}
	return float64((p.cpu(t) - before).Microseconds()) / float64(requests)
}
