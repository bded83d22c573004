//go:build linux

package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestListenErrors(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("x", 108))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--port", strconv.Itoa(port)},
			fmt.Sprintf("Could not create server TCP listening socket 127.0.0.1:%d: bind: Address already in use", port)},
		{[]string{"--port", strconv.Itoa(port), "--bind", "192.0.2.1"},
			fmt.Sprintf("Could not create server TCP listening socket 192.0.2.1:%d: bind: Cannot assign requested address", port)},
		{[]string{"--port", "0", "--unixsocket", filepath.Join(dir, "none", "s")},
			"Failed opening Unix socket: bind: No such file or directory"},
		{[]string{"--port", "0", "--unixsocket", long},
			fmt.Sprintf("Failed opening Unix socket: unix socket path too long (%d), must be under 108", len(long))},
		{[]string{"--port", "0"}, "Configured to not listen anywhere, exiting."},
	} {
		s := newServer(t, c.args...)
		if err := s.Listen(); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestBindForms(t *testing.T) {
	port := strconv.Itoa(freePort(t))
	for _, c := range []struct {
		bind []string
		want []string
	}{
		{[]string{"127.0.0.1", "127.0.0.2"}, []string{"127.0.0.1:" + port, "127.0.0.2:" + port}},
		{[]string{"127.0.0.1", "-192.0.2.1"}, []string{"127.0.0.1:" + port}},
		{[]string{"localhost"}, []string{"127.0.0.1:" + port}},
		{[]string{"*"}, []string{"0.0.0.0:" + port}},
	} {
		s := startServer(t, append([]string{"--port", port, "--bind"}, c.bind...)...)
		if got := fmt.Sprint(s.Addrs()); got != fmt.Sprint(c.want) {
			t.Errorf("bind %v: %s, want %s", c.bind, got, c.want)
		}
		_ = s.Close(t.Context())
	}
	if !hasIPv6() {
		t.Log("no IPv6 here")
		return
	}
	s := startServer(t, "--port", port, "--bind", "127.0.0.1", "-::1")
	if got := s.Addrs(); len(got) != 2 || got[1] != "[::1]:"+port {
		t.Error(got)
	}
	w := dial(t, "tcp", "[::1]:"+port)
	if list := w.do("CLIENT", "LIST"); !strings.Contains(list, " addr=[::1]:") || !strings.Contains(list, " laddr=[::1]:"+port) {
		t.Error(list)
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvd.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // a stale file is no obstacle
		t.Fatal(err)
	}
	s := startServer(t, "--port", "0", "--unixsocket", path, "--unixsocketperm", "750", "--requirepass", "")
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o750 {
		t.Fatal(st.Mode(), err)
	}
	w := dial(t, "unix", path)
	if got := w.do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
	if list := w.do("CLIENT", "LIST"); !strings.Contains(list, " addr="+path+":0 ") {
		t.Fatal(list)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.ended()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatal("the socket's file is still there")
	}
}

func TestRebind(t *testing.T) {
	s := startServer(t)
	w := s.dial()
	port := strconv.Itoa(freePort(t))
	if got := w.do("CONFIG", "SET", "port", port); got != "+OK" {
		t.Fatal(got)
	}
	if got := dial(t, "tcp", "127.0.0.1:"+port).do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Fatal("the old port is still open")
	}
	if got := w.do("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"); got != "+OK" {
		t.Fatal(got)
	}
	if got := dial(t, "tcp", "127.0.0.2:"+port).do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
	// What cannot be bound leaves everything as it was.
	if got := w.do("CONFIG", "SET", "bind", "192.0.2.1"); got !=
		"-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses." {
		t.Fatal(got)
	}
	busy, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if got := w.do("CONFIG", "SET", "port", strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)); got !=
		"-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs." {
		t.Fatal(got)
	}
	if got := dial(t, "tcp", "127.0.0.2:"+port).do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
	if got := w.do("CONFIG", "SET", "port", "0"); got != "+OK" {
		t.Fatal(got)
	}
	if _, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		t.Fatal("the port is still open")
	}
	if got := w.do("PING"); got != "+PONG" {
		t.Fatal(got)
	}
}

// TestSocketOptions reads the options of an accepted socket.
func TestSocketOptions(t *testing.T) {
	s := startServer(t, "--tcp-keepalive", "90")
	w := s.dial()
	w.do("PING")
	fd := s.clients.all()[0].FD
	for _, o := range []struct{ level, name, want int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 90},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 30},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
	} {
		if got, err := unix.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.want {
			t.Errorf("option %d/%d: %d, %v, want %d", o.level, o.name, got, err, o.want)
		}
	}
	if got := w.do("CONFIG", "SET", "tcp-keepalive", "0"); got != "+OK" {
		t.Fatal(got)
	}
	b := s.dial()
	b.do("PING")
	fd = s.clients.all()[1].FD
	if got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || got != 0 {
		t.Errorf("SO_KEEPALIVE: %d, %v", got, err)
	}
}
