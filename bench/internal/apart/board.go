//go:build linux && (amd64 || arm64)

package apart

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// answerLimit is how long one side waits before it takes the other for gone.
const answerLimit = 5 * time.Second

// line is a word of shared memory on cache lines of its own.
type line struct {
	atomic.Int32
	_ [124]byte
}

// board is what two sides that share memory talk through: each counts up its
// own word after the other's.
type board struct{ ask, answer line }

const boardBytes = int(unsafe.Sizeof(board{}))

// over is the question that ends the other side.
const over = -1

var errNoAnswer = errors.New("the other side does not answer")

// spinFor waits until w is v, without giving up the processor.
func (w *line) spinFor(v int32) error {
	var begin time.Time
	for n := 1; w.Load() != v; n++ {
		if n&(1<<20-1) != 0 {
			continue
		}
		if begin.IsZero() {
			begin = time.Now()
		} else if time.Since(begin) > answerLimit {
			return errNoAnswer
		}
	}
	return nil
}

// waitFor sleeps until w is v.
func (w *line) waitFor(v int32) error {
	for begin := time.Now(); ; {
		got := w.Load()
		if got == v {
			return nil
		}
		if time.Since(begin) > answerLimit {
			return errNoAnswer
		}
		futex(&w.Int32, futexWait, got)
	}
}

// set writes w and wakes who sleeps on it.
func (w *line) set(v int32) {
	w.Store(v)
	futex(&w.Int32, futexWake, 1)
}

// spinAsk and sleepAsk are one round trip; n counts from 1.
func (b *board) spinAsk(n int32) error {
	b.ask.Store(n)
	return b.answer.spinFor(n)
}

func (b *board) sleepAsk(n int32) error {
	b.ask.set(n)
	return b.answer.waitFor(n)
}

// spinServe and sleepServe answer until the question is over.
func (b *board) spinServe() {
	for last := int32(0); ; {
		if v := b.ask.Load(); v == over {
			return
		} else if v != last {
			last = v
			b.answer.Store(v)
		}
	}
}

func (b *board) sleepServe() {
	for last := int32(0); ; {
		switch v := b.ask.Load(); v {
		case over:
			return
		case last:
			futex(&b.ask.Int32, futexWait, v)
		default:
			last = v
			b.answer.set(v)
		}
	}
}

// newBoard maps a board in fd, or where nobody else can see it if fd is -1.
func newBoard(fd int) (*board, error) {
	flags := unix.MAP_SHARED
	if fd < 0 {
		flags |= unix.MAP_ANONYMOUS
	}
	mem, err := unix.Mmap(fd, 0, boardBytes, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, fmt.Errorf("map a shared page: %w", err)
	}
	return (*board)(unsafe.Pointer(unsafe.SliceData(mem))), nil
}
