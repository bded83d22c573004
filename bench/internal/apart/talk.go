//go:build linux && (amd64 || arm64)

package apart

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/result"
)

const (
	talkBatch   = 100 // round trips between two looks at the clock
	talkLimit   = 250 * time.Millisecond
	answerLimit = 5 * time.Second // then the other side is gone
	bulkTotal   = 32 * mib        // through the pipe, for each size
	bulkAtMost  = 2000            // messages of each size
)

// bulkSizes are the sizes of what is handed over.
var bulkSizes = []int64{valueBytes, smallPage, mib}

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

// talk measures what it costs to reach another goroutine, thread or process.
func (j *job) talk() error {
	steps := []func() error{
		j.channels, j.threadsSleeping, j.pipes, j.pagesSleeping, j.handOver,
	}
	if runtime.NumCPU() > 1 {
		steps = append(steps, j.threadsSpinning, j.pagesSpinning)
	} else {
		const why = "one core: who spins keeps the other side from answering"
		if err := errors.Join(note("talk/threads spin", why), note("talk/pages spin", why)); err != nil {
			return err
		}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// roundTrips times batches of ask and prints the median of a round trip.
func roundTrips(name string, ask func(n int32) error) error {
	n := int32(0)
	batch := func() (float64, error) {
		begin := time.Now()
		for range talkBatch {
			n++
			if err := ask(n); err != nil {
				return 0, err
			}
		}
		return micros(time.Since(begin)) / talkBatch, nil
	}
	if _, err := batch(); err != nil { // the other side may still be starting
		return fmt.Errorf("%s: %w", name, err)
	}
	values, err := samples(100, talkLimit, batch)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return emit("talk/"+name, 0, result.Median(values))
}

func (j *job) channels() error {
	// This goroutine is locked to the main thread, which makes each hand-over
	// one between threads; ordinary goroutines are meant.
	failed := make(chan error)
	go func() {
		ask, answer := make(chan int32), make(chan int32)
		go func() {
			for n := range ask {
				answer <- n
			}
		}()
		defer close(ask)
		failed <- roundTrips("channel", func(n int32) error {
			ask <- n
			<-answer
			return nil
		})
	}()
	return <-failed
}

func (j *job) threadsSpinning() error {
	return withThread("threads spin", (*board).spinServe, (*board).spinAsk, func(b *board) { b.ask.Store(over) })
}

func (j *job) threadsSleeping() error {
	// Each side sits in a raw call: without processors to spare the other one
	// could not run.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.NumCPU())))
	return withThread("threads futex", (*board).sleepServe, (*board).sleepAsk, func(b *board) { b.ask.set(over) })
}

// withThread measures against a second thread of this process.
func withThread(name string, serve func(*board), ask func(*board, int32) error, end func(*board)) error {
	b, err := newBoard(-1)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		serve(b)
	}()
	err = roundTrips(name, func(n int32) error { return ask(b, n) })
	end(b)
	<-ended
	return err
}

func (j *job) pagesSpinning() error {
	return withPage("spin", "pages spin", (*board).spinAsk, func(b *board) { b.ask.Store(over) })
}

func (j *job) pagesSleeping() error {
	return withPage("futex", "pages futex", (*board).sleepAsk, func(b *board) { b.ask.set(over) })
}

// withPage measures against a process that shares one page.
func withPage(how, name string, ask func(*board, int32) error, end func(*board)) error {
	fd, err := unix.MemfdCreate("kvd-bench-page", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("memory file: %w", err)
	}
	file := os.NewFile(uintptr(fd), "page")
	defer func() { _ = file.Close() }()
	if err := file.Truncate(int64(boardBytes)); err != nil {
		return err
	}
	b, err := newBoard(fd)
	if err != nil {
		return err
	}
	peer, err := startEcho(how, 0, file)
	if err != nil {
		return err
	}
	answered := roundTrips(name, func(n int32) error { return ask(b, n) })
	end(b)
	return errors.Join(answered, peer.Wait())
}

// startEcho starts the other side as a process of its own.
func startEcho(how string, size int64, files ...*os.File) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", childCommand, "echo", "-how", how, "-data", fmt.Sprint(size))
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// pipePair is this side of two pipes to an echo process.
type pipePair struct {
	read, write int
	peer        *exec.Cmd
}

func openPipes(how string, size int64) (*pipePair, error) {
	var there, back [2]int
	if err := errors.Join(unix.Pipe2(there[:], unix.O_CLOEXEC), unix.Pipe2(back[:], unix.O_CLOEXEC)); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	r, w := os.NewFile(uintptr(there[0]), "in"), os.NewFile(uintptr(back[1]), "out")
	peer, err := startEcho(how, size, r, w)
	_, _ = r.Close(), w.Close()
	return &pipePair{back[0], there[1], peer}, err
}

// close ends the other side.
func (p *pipePair) close() error {
	_, _ = unix.Close(p.write), unix.Close(p.read)
	return p.peer.Wait()
}

func (j *job) pipes() error {
	p, err := openPipes("pipe", 1)
	if err != nil {
		return err
	}
	buf := []byte{0}
	err = roundTrips("pipe", func(int32) error {
		return errors.Join(sendAll(p.write, buf), receiveAll(p.read, buf))
	})
	return errors.Join(err, p.close())
}

// handOver measures how long it takes until the other side has size bytes and
// has said so with one byte; against a pointer to them, and a copy of them.
func (j *job) handOver() error {
	failed := make(chan error)
	for _, size := range bulkSizes {
		go func() { failed <- pointers(size) }() // not on the locked thread
		if err := errors.Join(<-failed, bulk(size)); err != nil {
			return err
		}
	}
	return nil
}

// bulk sends size bytes through a pipe to a process.
func bulk(size int64) error {
	p, err := openPipes("bulk", size)
	if err != nil {
		return err
	}
	data, ack := make([]byte, size), make([]byte, 1)
	touch(data)
	send := func() (float64, error) {
		begin := time.Now()
		err := errors.Join(sendAll(p.write, data), receiveAll(p.read, ack))
		return micros(time.Since(begin)), err
	}
	_, err = send() // until the other side is there
	values, err2 := samples(int(min(bulkAtMost, bulkTotal/size)), talkLimit, send)
	if err := errors.Join(err, err2, p.close()); err != nil {
		return fmt.Errorf("pipe of %d bytes: %w", size, err)
	}
	return emit("bulk/pipe", size, result.Median(values))
}

// pointers passes a pointer to size bytes to a goroutine, and copies as much.
func pointers(size int64) error {
	ask, answer := make(chan []byte), make(chan int)
	defer close(ask)
	go func() {
		for data := range ask {
			answer <- len(data)
		}
	}()
	data, into := make([]byte, size), make([]byte, size)
	touch(data)
	touch(into)
	perBatch := func(fn func()) ([]float64, error) {
		return samples(int(min(100, bulkTotal/size)), talkLimit/4, func() (float64, error) {
			const n = 20
			begin := time.Now()
			for range n {
				fn()
			}
			return micros(time.Since(begin)) / n, nil
		})
	}
	passed, _ := perBatch(func() { ask <- data; <-answer })
	copied, _ := perBatch(func() { copy(into, data) })
	return errors.Join(
		emit("bulk/pointer", size, result.Median(passed)),
		emit("bulk/copy", size, result.Median(copied)))
}

// echo is the other side. Descriptor 3 is the page, or 3 and 4 are the pipes.
func (j *job) echo() error {
	if j.how == "spin" || j.how == "futex" {
		b, err := newBoard(3)
		switch {
		case err != nil:
			return err
		case j.how == "spin":
			b.spinServe()
		default:
			b.sleepServe()
		}
		return nil
	}
	buf := make([]byte, j.data)
	for {
		switch err := receiveAll(3, buf); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := sendAll(4, buf[:1]); err != nil {
			return err
		}
	}
}

// sendAll and receiveAll are blocking raw calls, for the reason of futex.
func sendAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), address(p), uintptr(len(p)))
		if errno != 0 && errno != syscall.EINTR {
			return fmt.Errorf("write: %w", errno)
		} else if errno == 0 {
			p = p[n:]
		}
	}
	return nil
}

// receiveAll fills p. It returns io.EOF if the other side has closed.
func receiveAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), address(p), uintptr(len(p)))
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return fmt.Errorf("read: %w", errno)
		case n == 0:
			return io.EOF
		default:
			p = p[n:]
		}
	}
	return nil
}
