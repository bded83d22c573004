package fork

import (
	"syscall"
	_ "unsafe" // for go:linkname
)

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// procPin adds one to the locks of the calling thread. With it held, a panic is
// fatal at once and the scheduler refuses to run.
//
//go:linkname procPin runtime.procPin
func procPin() int

// writeBarrier is what the compiler tests before every pointer that it writes to
// the heap. Whether it is on at the clone is a matter of luck, and in the child
// nobody would ever turn it off.
//
//go:linkname writeBarrier runtime.writeBarrier
var writeBarrier struct {
	enabled bool
	_       [3]byte
	_       uint64
}

// clone makes the child: pid 0 in the child, the child's pid in the parent. The
// argument order of clone differs between amd64 and arm64 only behind the first
// three, and all but the flags are 0 here.
//
//go:noinline
//go:norace
func clone() (pid int, errno syscall.Errno) {
	beforeFork()
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if r == 0 && errno == 0 {
		afterForkInChild()
	}
	afterFork()
	return int(r), errno
}

const (
	// padSize is the largest power of two that the compiler leaves on the stack
	// with room to spare (its limit is 128 KiB).
	padSize = 64 << 10
	// padFrames nested pads keep the forking goroutine above a quarter of its
	// stack, below which the collector would shrink it.
	padFrames = 3

	// StackFree is the number of bytes of stack that the body of a child may use.
	StackFree = 128 << 10
)

// descend serves jobs below padFrames frames of padSize bytes each, and returns
// when jobs is closed. The arithmetic keeps the pads alive.
//
//go:noinline
func descend(depth int, jobs <-chan *Job) byte {
	var pad [padSize]byte
	pad[depth&(padSize-1)] = byte(depth)
	if depth > 1 {
		return descend(depth-1, jobs) + pad[depth&(padSize-1)]
	}
	probe(padFrames)
	for j := range jobs {
		j.fork()
	}
	return pad[depth&(padSize-1)]
}

// probe touches as much stack again, so that it is grown before the first clone
// and never after. It lasts: the collector halves a stack only if less than a
// quarter is in use, which leaves as much free as is in use, 192 KiB or more.
//
//go:noinline
func probe(depth int) byte {
	var pad [padSize]byte
	pad[depth&(padSize-1)] = byte(depth)
	if depth > 1 {
		return probe(depth-1) + pad[depth&(padSize-1)]
	}
	return pad[depth&(padSize-1)]
}
