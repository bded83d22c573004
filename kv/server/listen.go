//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// listener is a listening socket. Its slot in the event data is its index in
// Server.listeners with listenerFlag, its generation changes with each rebind.
type listener struct {
	fd   int
	unix bool
	path string // of a unix socket
	addr string // as the log and Addrs show it
}

// bindTarget is one word of the bind directive.
type bindTarget struct {
	word     string // as error texts show it
	addr     string // "" = all addresses
	v6       bool
	optional bool // "-::1": an address that this machine does not have is no error
}

// parseBind splits the words of the bind directive. "*" is every IPv4 address,
// "::*" every IPv6 one; "" closes the TCP port, as in Redis. A host name stands
// for its first address.
func parseBind(words []string, port int) ([]bindTarget, error) {
	var out []bindTarget
	for _, word := range words {
		name, optional := strings.CutPrefix(word, "-")
		t := bindTarget{word: name, addr: name, optional: optional}
		switch {
		case t.addr == "":
			continue
		case t.addr == "*":
			t.addr = ""
		case t.addr == "::*":
			t.addr, t.v6 = "", true
		case strings.Contains(t.addr, ":"):
			t.v6 = true
		default:
			if _, err := netip.ParseAddr(t.addr); err != nil {
				ip, err := net.ResolveIPAddr("ip", t.addr)
				if err != nil {
					return nil, bindError(name, port, "Name or service not known")
				}
				t.addr, t.v6 = ip.String(), ip.IP.To4() == nil
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// listenError is the text of a log line, in Redis' words.
type listenError string

func (e listenError) Error() string { return string(e) }

func bindError(host string, port int, why string) error {
	return listenError(fmt.Sprintf("Could not create server TCP listening socket %s:%d: %s", host, port, why))
}

// familyMissing tells whether err means that the kernel lacks the protocol.
func familyMissing(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) ||
		errors.Is(err, unix.ESOCKTNOSUPPORT) || errors.Is(err, unix.EPFNOSUPPORT) || errors.Is(err, unix.ENOPROTOOPT)
}

// tcpOptions are the directives that a TCP listener depends on.
type tcpOptions struct {
	bind    []string
	port    int // 0 listens nowhere
	backlog int
	mark    int // socket-mark-id, 0 = none
}

// listenTCP opens a listening socket for every address, or none at all with the
// error. skipped is called for addresses that may be missing, and are.
func listenTCP(o tcpOptions, skipped func(error)) ([]listener, error) {
	if o.port == 0 {
		return nil, nil
	}
	targets, err := parseBind(o.bind, o.port)
	if err != nil {
		return nil, err
	}
	var out []listener
	for _, t := range targets {
		l, step, err := listenOne(t, o)
		if err == nil {
			out = append(out, l)
			continue
		}
		worded := bindError(t.word, o.port, step+": "+errnoText(err))
		if t.optional && errors.Is(err, unix.EADDRNOTAVAIL) || familyMissing(err) {
			skipped(worded)
			continue
		}
		closeListeners(out)
		return nil, worded
	}
	return out, nil
}

// listenOne opens the socket for t. step names the call that failed.
func listenOne(t bindTarget, o tcpOptions) (l listener, step string, err error) {
	family, sa := unix.AF_INET, unix.Sockaddr(nil)
	if t.v6 {
		family = unix.AF_INET6
	}
	if sa, err = sockaddr(t, o.port); err != nil {
		return l, "bind", err
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return l, "socket", err
	}
	if t.v6 {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			_ = unix.Close(fd)
			return l, "setsockopt", err
		}
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		_ = unix.Close(fd)
		return l, "setsockopt SO_REUSEADDR", err
	}
	if o.mark > 0 { // best effort, as in Redis: it needs CAP_NET_ADMIN
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, o.mark)
	}
	if err = unix.Bind(fd, sa); err != nil {
		_ = unix.Close(fd)
		return l, "bind", err
	}
	if err = unix.Listen(fd, o.backlog); err != nil {
		_ = unix.Close(fd)
		return l, "listen", err
	}
	l = listener{fd: fd}
	if name, err := unix.Getsockname(fd); err == nil {
		l.addr = sockaddrText(name)
	}
	return l, "", nil
}

func sockaddr(t bindTarget, port int) (unix.Sockaddr, error) {
	if t.addr == "" {
		if t.v6 {
			return &unix.SockaddrInet6{Port: port}, nil
		}
		return &unix.SockaddrInet4{Port: port}, nil
	}
	ip, err := netip.ParseAddr(t.addr)
	if err != nil {
		return nil, unix.EINVAL
	}
	if !t.v6 {
		return &unix.SockaddrInet4{Port: port, Addr: ip.Unmap().As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: port, Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		if nif, err := net.InterfaceByName(zone); err == nil {
			sa.ZoneId = uint32(nif.Index)
		}
	}
	return sa, nil
}

// listenUnix opens the unix socket. A stale file of that name is removed first,
// as Redis does. perm 0 leaves the umask's permissions.
func listenUnix(path string, perm uint32, backlog int) (listener, error) {
	fail := func(step string, err error) (listener, error) {
		return listener{}, listenError("Failed opening Unix socket: " + step + ": " + errnoText(err))
	}
	if most := len(unix.RawSockaddrUnix{}.Path); len(path) >= most {
		return listener{}, listenError(fmt.Sprintf(
			"Failed opening Unix socket: unix socket path too long (%d), must be under %d", len(path), most))
	}
	_ = unix.Unlink(path)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd)
		return fail("bind", err)
	}
	// Listening comes last: nobody connects before the permissions are right.
	if perm != 0 {
		if err := os.Chmod(path, os.FileMode(perm)&0o777); err != nil {
			_ = unix.Close(fd)
			_ = unix.Unlink(path)
			return fail("chmod", errors.Unwrap(err))
		}
	}
	if err := unix.Listen(fd, backlog); err != nil {
		_ = unix.Close(fd)
		_ = unix.Unlink(path)
		return fail("listen", err)
	}
	return listener{fd: fd, unix: true, path: path, addr: path}, nil
}

func closeListeners(ls []listener) {
	for _, l := range ls {
		_ = unix.Close(l.fd)
	}
}

// sockaddrText words an address as CLIENT LIST does: "127.0.0.1:6379", with
// IPv6 in brackets.
func sockaddrText(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrUnix:
		return a.Name
	}
	return "?:0"
}

// isLoopback is Redis' test of protected mode.
func isLoopback(sa unix.Sockaddr) bool {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return a.Addr[0] == 127
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(a.Addr).Unmap()
		return ip.IsLoopback()
	case *unix.SockaddrUnix:
		return true
	}
	return false
}

// errnoText is the C library's text of an error, which is what Redis' users
// search for: Go's own lacks the capital.
func errnoText(err error) string {
	var e syscall.Errno
	if !errors.As(err, &e) {
		if err == nil {
			return "unknown error"
		}
		return err.Error()
	}
	s := e.Error()
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
