//go:build linux

package load

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	cmd := exec.Command(bin, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	// The server dies with the thread that started it, which therefore stays.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	addr = "127.0.0.1:" + port
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr, cmd.Process.Pid
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("redis-server does not come up")
		}
	}
}

// TestStoppedServer stops a real server for 200 ms.
func TestStoppedServer(t *testing.T) {
	addr, pid := startRedis(t)
	const (
		rate  = 4000
		pause = 200 * time.Millisecond
		long  = 20 * time.Millisecond
	)
	s := Spec{Addr: addr, Keys: 1000, ValueBytes: 100, Conns: 4, Rate: rate, Mix: WriteOnly, ProbeEvery: 2 * time.Millisecond}
	if err := Fill(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	g, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(250 * time.Millisecond)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(pause + 25*time.Millisecond) // the signal, and the last reply before it, need a moment
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(250 * time.Millisecond)
	rec, err := g.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkRecording(t, rec)
	w := rec.Window(0, rec.End())
	for _, o := range []string{"set", "write", "ping"} {
		if top := msec(w.Ops[o].MaxUsec); top < pause || top > pause+300*time.Millisecond {
			t.Errorf("%s: at most %v at a stop of %v", o, top, pause)
		}
	}
	if gap := time.Duration(w.LongestGapSec * 1e9); gap < pause || gap > pause+300*time.Millisecond {
		t.Errorf("gap %v at a stop of %v", gap, pause)
	}
	if n, want := atLeast(t, w.Ops["set"], long), int64(rate*(pause-long).Seconds()); n < want {
		t.Errorf("%d requests above %v, want at least %d", n, long, want)
	}
}

// TestStoppedForever: the server is never woken; Stop returns with what there is.
func TestStoppedForever(t *testing.T) {
	addr, pid := startRedis(t)
	for _, rate := range []float64{0, 2000} {
		s := Spec{Addr: addr, Keys: 1000, ValueBytes: 100, Conns: 4, Rate: rate, Mix: WriteOnly}
		g, err := Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		begin := time.Now()
		rec, err := g.Stop()
		if took := time.Since(begin); err != nil || took > time.Second {
			t.Errorf("Stop took %v: %v", took, err)
		}
		if rec.Unanswered < int64(s.Conns) || rec.Window(0, rec.End()).Ops["set"].MaxUsec < 600_000 {
			t.Errorf("%d unanswered, at most %v µs", rec.Unanswered, rec.Window(0, rec.End()).Ops["set"].MaxUsec)
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCommands: a real server understands what is sent for every kind, and has
// afterwards what it ought to have.
func TestCommands(t *testing.T) {
	addr, _ := startRedis(t)
	c, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
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
			rec := run(t, s, 150*time.Millisecond)
			w := rec.Window(0, rec.End())
			if rec.Unanswered != 0 || rec.Misses > w.Ops["read"].Count/1000 {
				t.Errorf("%v: %d unanswered, %d of %d reads found nothing", k.kind, rec.Unanswered, rec.Misses, w.Ops["read"].Count)
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
	begin := time.Now()
	if err := Fill(t.Context(), s, nil); err == nil || time.Since(begin) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Fill(ctx, s, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
