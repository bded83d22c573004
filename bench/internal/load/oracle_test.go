//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"kvd/bench/internal/noise"
)

// startRedis starts a redis-server, or skips the test where there is none.
func startRedis(t *testing.T) (addr string, pid int) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	// The server dies with the thread that started it, which therefore stays.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	noise.Wait(t, "redis-server is up", func() bool {
		addr, pid = tryRedis(t, bin)
		return addr != ""
	})
	return addr, pid
}

// tryRedis returns no address if the server ends: another process may take the port
// that was free.
func tryRedis(t *testing.T, bin string) (addr string, pid int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(bin, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	pid = cmd.Process.Pid
	up := false
	noise.Wait(t, "redis-server answers or ends", func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		c, err := redis.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		info, err := redis.String(c.Do("INFO", "server"))
		up = err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid))
		return up
	})
	if !up {
		return "", 0
	}
	return addr, pid
}

// standStill stops a process and returns when all of it stands.
func standStill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	noise.Wait(t, "the server stands still", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && bytes.Contains(stat, []byte(") T "))
	})
}

func goOn(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// commands is how many the server has executed.
func commands(t testing.TB, c redis.Conn) (n int) {
	t.Helper()
	info, err := redis.String(c.Do("INFO", "stats"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(info, "total_commands_processed:")
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func dialRedis(t testing.TB, addr string) redis.Conn {
	t.Helper()
	c, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// further waits until the server has executed n commands more.
func further(t testing.TB, c redis.Conn, n int) {
	t.Helper()
	n += commands(t, c)
	noise.Wait(t, "commands", func() bool { return commands(t, c) >= n })
}

// TestStoppedServer stops a real server for 200 ms.
func TestStoppedServer(t *testing.T) {
	addr, pid := startRedis(t)
	s := Spec{Addr: addr, Keys: 1000, ValueBytes: 100, Conns: 4, Rate: 4000, Mix: WriteOnly, ProbeEvery: 2 * time.Millisecond}
	if err := Fill(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	c := dialRedis(t, addr)
	noise.Attempts(t, tries, func(t *noise.T) {
		g, err := Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		further(t, c, 500)
		standStill(t, pid)
		from := g.Now()
		time.Sleep(pause + slack)
		took := g.Now() - from
		goOn(t, pid)
		further(t, c, 500)
		rec, err := g.Stop()
		if err != nil {
			t.Fatal(err)
		}
		checkRecording(t.TB, rec)
		w := rec.Window(0, rec.End())
		seen := map[string]time.Duration{"gap": time.Duration(w.LongestGapSec * 1e9)}
		for _, o := range []string{"set", "write", "ping"} {
			seen[o] = msec(w.Ops[o].MaxUsec)
		}
		for what, d := range seen {
			if d < took-slack || d > took+pause {
				t.Errorf("%s of %v at a stop of %v", what, d, took)
			}
		}
		if n, want := atLeast(t, w.Ops["set"], long), int64(s.Rate*(took-slack-long).Seconds()); n < want {
			t.Errorf("%d requests above %v, want at least %d", n, long, want)
		}
	})
}

// TestStoppedForever: the server is never woken; Stop returns with what there is.
func TestStoppedForever(t *testing.T) {
	addr, pid := startRedis(t)
	c := dialRedis(t, addr)
	for _, rate := range []float64{0, 2000} {
		noise.Attempts(t, tries, func(t *noise.T) { stopForever(t, addr, pid, c, rate) })
	}
}

func stopForever(t *noise.T, addr string, pid int, c redis.Conn, rate float64) {
	const held = 100 * time.Millisecond
	s := Spec{Addr: addr, Keys: 1000, ValueBytes: 100, Conns: 4, Rate: rate, Mix: WriteOnly}
	g, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	further(t, c, 100)
	standStill(t, pid)
	defer goOn(t, pid)
	time.Sleep(held)
	rec, err := g.Stop() // or never
	if err != nil {
		t.Fatal(err)
	}
	// A closed loop that finds replies from before only now sends no more.
	if top := msec(rec.Window(0, rec.End()).Ops["set"].MaxUsec); rec.Unanswered < int64(s.Conns) || top < held+drain-long {
		t.Errorf("%d unanswered, at most %v", rec.Unanswered, top)
	}
}

// TestCommands: a real server understands what is sent for every kind, and has
// afterwards what it ought to have.
func TestCommands(t *testing.T) {
	addr, _ := startRedis(t)
	c := dialRedis(t, addr)
	ask := func(args ...any) int {
		t.Helper()
		n, err := redis.Int(c.Do(args[0].(string), args[1:]...))
		if err != nil {
			t.Fatal(args, err)
		}
		return n
	}
	for _, k := range []struct {
		kind          Kind
		keys, members int
		length        string
	}{{Strings, 5000, 1, "STRLEN"}, {Lists, 7, 613, "LLEN"}, {Hashes, 3, 1201, "HLEN"}} {
		for _, by := range []Distribution{Uniform, Latest} {
			ask("DBSIZE")
			if _, err := c.Do("FLUSHALL"); err != nil {
				t.Fatal(err)
			}
			s := Spec{
				Addr: addr, Kind: k.kind, Keys: int64(k.keys), Members: k.members, ValueBytes: 100, Conns: 3, Pipeline: 3,
				Mix: Mix{Read: 1, Update: 1, Insert: 0.1, Scan: 0.1, RMW: 1}, Distribution: by, Seed: 9,
			}
			var done, total, calls int64
			if err := Fill(t.Context(), s, func(d, n int64) { done, total, calls = d, n, calls+1 }); err != nil {
				t.Fatal(err)
			}
			if done != s.Items() || total != done || calls < 1 {
				t.Errorf("%v: progress ends with %d of %d", k.kind, done, total)
			}
			want := k.members
			if k.kind == Strings {
				want = s.ValueBytes
			}
			for i := range min(k.keys, 50) {
				key := string(appendDigits([]byte("key:"), int64(k.keys-1-i)))
				if n := ask(k.length, key); n != want {
					t.Errorf("%s %s is %d, want %d", k.length, key, n, want)
				}
			}
			if n := ask("DBSIZE"); n != k.keys {
				t.Errorf("%v: %d keys of %d", k.kind, n, k.keys)
			}
			var rec *Recording
			noise.Attempts(t, tries, func(t *noise.T) {
				g, err := Start(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				further(t, c, 3000)
				if rec, err = g.Stop(); err != nil {
					t.Fatal(err)
				}
				checkRecording(t.TB, rec)
				if rec.Unanswered != 0 {
					t.Errorf("%d unanswered", rec.Unanswered)
				}
			})
			w := rec.Window(0, rec.End())
			if rec.Misses > w.Ops["read"].Count/1000 {
				t.Errorf("%v: %d of %d reads found nothing", k.kind, rec.Misses, w.Ops["read"].Count)
			}
			for _, parts := range [][]op{readOps[:], updateOps[:], insertOps[:], scanOps[:]} {
				if w.Ops[parts[k.kind].String()].Count == 0 {
					t.Errorf("%v: no %v", k.kind, parts[k.kind])
				}
			}
			if n := ask("DBSIZE"); k.kind == Strings && n == k.keys || k.kind != Strings && n != k.keys {
				t.Errorf("%v: %d keys after inserts", k.kind, n)
			}
			if k.kind == Lists {
				if n := ask("LLEN", "key:0000000003"); n != k.members {
					t.Errorf("a list of %d is %d long after LPUSH and LTRIM", k.members, n)
				}
			}
		}
	}
}

// TestFillStalls: Fill does not wait for ever, and ends with its context.
func TestFillStalls(t *testing.T) {
	defer func(d time.Duration) { stallLimit = d }(stallLimit)
	stallLimit = 250 * time.Millisecond
	f := newFake(t)
	f.gate.Lock()
	defer f.gate.Unlock()
	s := small(f)
	if err := Fill(t.Context(), s, nil); err == nil || !strings.Contains(err.Error(), "has not answered") { // or never
		t.Error(err)
	}
	stallLimit = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Fill(ctx, s, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
