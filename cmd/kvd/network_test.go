//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Observations of the directives of network and limits; see directives_test.go.

func seePort(t *testing.T) {
	port, other := freePort(t), freePort(t)
	k := start(t, "--bind", "127.0.0.1", "--port", port)
	c := dial(t, "tcp", "127.0.0.1:"+port)
	c.want("PONG", "PING")
	c.want("OK", "CONFIG", "SET", "port", other)
	dial(t, "tcp", "127.0.0.1:"+other).want("PONG", "PING")
	if l, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		_ = l.Close()
		t.Error("the old port is still open")
	}
	if !strings.Contains(k.dial().do("INFO", "server"), "tcp_port:"+other) {
		t.Error("INFO has another port")
	}
}

func seeBind(t *testing.T) {
	port := freePort(t)
	start(t, "--bind", "127.0.0.2 -192.0.2.1", "--port", port)
	dial(t, "tcp", "127.0.0.2:"+port).want("PONG", "PING")
	if l, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		_ = l.Close()
		t.Error("an address that is not in bind answers")
	}
}

func seeUnixSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "mine.sock")
	start(t, "--unixsocket", path)
	dial(t, "unix", path).want("PONG", "PING")
}

func seeUnixSocketPerm(t *testing.T) {
	k := start(t, "--unixsocketperm", "710")
	info, err := os.Stat(k.sock)
	if err != nil || info.Mode().Perm() != 0o710 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// outsideAddr is an address of this machine that is not the loopback's.
func outsideAddr(t *testing.T) string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	missing(t, "the machine has the loopback interface only")
	return ""
}

func seeProtectedMode(t *testing.T) {
	port, host := freePort(t), outsideAddr(t)
	k := start(t, "--port", port)
	refused := dial(t, "tcp", host+":"+port)
	if got := refused.read(); !strings.HasPrefix(got, "-DENIED Redis is running in protected mode") {
		t.Errorf("got %q", got)
	}
	k.dial().want("OK", "CONFIG", "SET", "protected-mode", "no")
	dial(t, "tcp", host+":"+port).want("PONG", "PING")
}

func seeRequirepass(t *testing.T) {
	k := start(t, "--requirepass", "secret word")
	c := k.dial()
	c.want("-NOAUTH Authentication required.", "GET", "a")
	c.want("-WRONGPASS invalid username-password pair or user is disabled.", "AUTH", "wrong")
	c.want("OK", "AUTH", "secret word")
	c.want("(nil)", "GET", "a")
	c.want("OK", "CONFIG", "SET", "requirepass", "other")
	k.dial().want("OK", "AUTH", "default", "other")
	c.want("OK", "CONFIG", "SET", "requirepass", "")
	k.dial().want("(nil)", "GET", "a")
}

// theirSocket gives fn the server's socket for which match is true.
func theirSocket(t *testing.T, k *proc, match func(fd int) bool, fn func(fd int)) {
	t.Helper()
	pidfd, err := unix.PidfdOpen(k.pid(), 0)
	if err != nil {
		missing(t, "pidfd_open: "+err.Error())
	}
	defer func() { _ = unix.Close(pidfd) }()
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", k.pid()))
	for _, l := range links {
		if target, _ := os.Readlink(l); !strings.HasPrefix(target, "socket:") {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, atoi(filepath.Base(l)), 0)
		if err != nil {
			missing(t, "pidfd_getfd: "+err.Error())
		}
		found := match(fd)
		if found {
			fn(fd)
		}
		_ = unix.Close(fd)
		if found {
			return
		}
	}
	t.Error("no such socket")
}

func option(fd, level, name int) int {
	n, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		return -1
	}
	return n
}

func isTCPListener(fd int) bool {
	return option(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN) == 1 && option(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL) == unix.IPPROTO_TCP
}

func isTCPClient(fd int) bool {
	return option(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN) == 0 && option(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL) == unix.IPPROTO_TCP
}

func seeBacklog(t *testing.T) {
	k := start(t, "--bind", "127.0.0.1", "--port", freePort(t), "--tcp-backlog", "77")
	theirSocket(t, k, isTCPListener, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.Sacked != 77 { // of a listening socket that is the backlog
			t.Errorf("backlog %d %v", info.Sacked, err)
		}
	})
}

func seeKeepalive(t *testing.T) {
	for value, want := range map[string]int{"120": 120, "0": 0} {
		port := freePort(t)
		k := start(t, "--bind", "127.0.0.1", "--port", port, "--tcp-keepalive", value)
		dial(t, "tcp", "127.0.0.1:"+port).want("PONG", "PING")
		theirSocket(t, k, isTCPClient, func(fd int) {
			on, idle := option(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE), option(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			if on != min(want, 1) || want > 0 && idle != want {
				t.Errorf("tcp-keepalive %s: on %d, after %d s", value, on, idle)
			}
		})
		k.kill()
	}
}

func seeTimeout(t *testing.T) {
	k := start(t, "--timeout", "1")
	began := time.Now()
	c := k.dial()
	_ = c.SetReadDeadline(began.Add(patience))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(began) < 900*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func seeSocketMark(t *testing.T) {
	k := start(t, "--bind", "127.0.0.1", "--port", freePort(t), "--socket-mark-id", "4711")
	theirSocket(t, k, isTCPListener, func(fd int) {
		if got := option(fd, unix.SOL_SOCKET, unix.SO_MARK); got != 4711 {
			if os.Getuid() != 0 {
				missing(t, "only root may mark sockets")
			}
			t.Errorf("mark %d", got)
		}
	})
}

func seeMaxclients(t *testing.T) {
	k := start(t, "--maxclients", "3")
	for range 3 {
		k.dial().want("PONG", "PING")
	}
	if got := k.dial().read(); got != "-ERR max number of clients reached" {
		t.Errorf("got %q", got)
	}
}

func seeOutputLimit(t *testing.T) {
	k := start(t, "--client-output-buffer-limit", "normal 3mb 0 0")
	c := k.dial()
	c.want("OK", "SET", "big", strings.Repeat("x", 100_000)) // longer strings do not wait for their client as replies
	greedy := k.dial()
	var b []byte
	for range 600 {
		b = appendCommand(b, "GET", "big")
	}
	greedy.send(b)
	k.waitLog("overcoming of output buffer limits") // nobody has read anything
	_ = greedy.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.Copy(io.Discard, greedy.r); err != nil && !strings.Contains(err.Error(), "reset") || n > 20<<20 {
		t.Errorf("got %d bytes, %v", n, err)
	}
	c.want("PONG", "PING")
}

func seeQueryLimit(t *testing.T) {
	k := start(t, "--client-query-buffer-limit", "1mb")
	c := k.dial()
	_, _ = c.Write([]byte("*2\r\n$3\r\nGET\r\n$4000000\r\n"))
	_, _ = c.Write(make([]byte, 3_000_000))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("it was not closed: %v", err)
	}
	k.waitLog("max query buffer length")
}

func seeBulkLimit(t *testing.T) {
	k := start(t, "--proto-max-bulk-len", "1mb")
	c := k.dial()
	c.want("OK", "SET", "a", strings.Repeat("x", 1<<20))
	c.want("-ERR string exceeds maximum allowed size (proto-max-bulk-len)", "APPEND", "a", "y")
	c.send([]byte("*2\r\n$3\r\nGET\r\n$" + strconv.Itoa(1<<20+1) + "\r\n"))
	if got := c.read(); got != "-ERR Protocol error: invalid bulk length" {
		t.Errorf("got %q", got)
	}
}

// seeIncrementalFsync watches the page cache of the file that is written: with
// the directive little of it is dirty at any time. Without it the system writes when it likes, and a busy
// machine may not let the test look in time, so there are some tries.
func seeIncrementalFsync(t *testing.T) {
	k := start(t, "--rdbcompression", "no", "--save-verify", "no")
	var fs unix.Statfs_t
	if err := unix.Statfs(k.dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		missing(t, "pages of tmpfs are always dirty")
	}
	c := k.dial()
	c.want("OK", "DEBUG", "POPULATE", "120", "k", "1048576")
	most := func(value string) (dirty uint64) {
		c.want("OK", "CONFIG", "SET", "rdb-save-incremental-fsync", value)
		c.wantMatch(`^Background saving started \(engine `, "BGSAVE", "THREAD")
		for c.info("rdb_bgsave_in_progress") == "1" {
			for _, name := range temps(k.dir) {
				f, err := os.Open(name)
				if err != nil {
					continue
				}
				var stat unix.Cachestat_t
				if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0); err != nil {
					missing(t, "cachestat: "+err.Error())
				}
				_ = f.Close()
				dirty = max(dirty, stat.Dirty*uint64(os.Getpagesize()))
			}
		}
		if s := c.waitSaved(); s != "ok" {
			t.Fatal(s)
		}
		return dirty
	}
	if with := most("yes"); with > 48<<20 {
		t.Errorf("%d MiB dirty with incremental fsync", with>>20)
	}
	var without uint64
	for try := 0; without < 64<<20 && try < 10; try++ {
		without = max(without, most("no"))
	}
	if without < 64<<20 {
		t.Errorf("at most %d MiB dirty without incremental fsync", without>>20)
	}
}
