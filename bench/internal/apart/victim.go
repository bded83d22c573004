//go:build linux && (amd64 || arm64)

package apart

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	askPing  = 'p' // is answered by itself
	askFault = 'f' // a thread faults
)

// victim serves one connection, whose port it prints, until a thread of it
// faults. It holds data as a server would: the end of a process takes as long as
// it takes to free that.
func (j *job) victim() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	mem, _, err := region(j.data, false)
	if err != nil {
		return err
	}
	touch(mem)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := emit("port", 0, float64(l.Addr().(*net.TCPAddr).Port)); err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return err
		}
		if b[0] == askFault {
			go fault(j.how)
			continue
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// fault writes through a pointer to nothing, on a thread of its own. With how
// "signal" the thread has SIGSEGV blocked, so that Go's handler does not come
// between: the kernel then does what it does to a program without one.
func fault(how string) {
	runtime.LockOSThread()
	if how == "signal" {
		var set unix.Sigset_t
		set.Val[0] = 1 << (unix.SIGSEGV - 1)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	*nowhere = 1
}

// nowhere is a global, lest the compiler sees that it is always nil.
var nowhere *byte
