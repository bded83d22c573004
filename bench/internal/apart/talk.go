//go:build linux && (amd64 || arm64)

package apart

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/result"
)

const (
	talkBatch  = 100 // round trips between two looks at the clock
	talkLimit  = 150 * time.Millisecond
	bulkTotal  = 32 * mib // through the pipe, for each size
	bulkAtMost = 2000     // messages of each size
)

// bulkSizes are the sizes of what is handed over.
var bulkSizes = []int64{valueBytes, smallPage, mib}

// anyCore leaves the choice to the kernel.
const anyCore = -1

// twoCores ends the names of figures of two sides on a core each. Who sleeps
// with a core of his own may find it asleep as well, which in a virtual machine
// can cost more than everything else: where the kernel puts the two sides must
// not be left to luck.
const twoCores = " on two cores"

// talk measures what it costs to reach another goroutine, thread or process.
func (j *job) talk() error {
	cores, err := allowedCores()
	if err != nil {
		return err
	}
	steps := []func() error{j.channels, j.handOver}
	sleeping := func(suffix string, mine, theirs int) {
		steps = append(steps,
			func() error { return j.threadsSleeping("threads futex"+suffix, mine, theirs) },
			func() error { return j.pages("futex", "pages futex"+suffix, mine, theirs) },
			func() error { return j.pipes("pipe"+suffix, mine, theirs) })
	}
	sleeping("", cores[0], cores[0])
	if len(cores) > 1 {
		sleeping(twoCores, cores[0], cores[1])
		steps = append(steps,
			func() error { return j.threadsSpinning(cores[0], cores[1]) },
			func() error { return j.pages("spin", "pages spin", cores[0], cores[1]) })
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

func (j *job) threadsSpinning(mine, theirs int) error {
	return withThread("threads spin", mine, theirs, (*board).spinServe, (*board).spinAsk,
		func(b *board) { b.ask.Store(over) })
}

func (j *job) threadsSleeping(name string, mine, theirs int) error {
	// Each side sits in a raw call: without processors to spare the other one
	// could not run.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(4, runtime.NumCPU())))
	return withThread(name, mine, theirs, (*board).sleepServe, (*board).sleepAsk,
		func(b *board) { b.ask.set(over) })
}

// withThread measures against a second thread of this process, each on a core.
func withThread(name string, mine, theirs int, serve func(*board), ask func(*board, int32) error, end func(*board)) error {
	b, err := newBoard(-1)
	if err != nil {
		return err
	}
	restore, err := pin(mine)
	if err != nil {
		return err
	}
	defer restore()
	pinned, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with its core
		_, err := pin(theirs)
		if pinned <- err; err == nil {
			serve(b)
		}
	}()
	if err := <-pinned; err != nil {
		return err
	}
	err = roundTrips(name, func(n int32) error { return ask(b, n) })
	end(b)
	<-ended
	return err
}

// pages measures against a process that shares one page, each on a core.
func (j *job) pages(how, name string, mine, theirs int) error {
	ask, end := (*board).spinAsk, func(b *board) { b.ask.Store(over) }
	if how == "futex" {
		ask, end = (*board).sleepAsk, func(b *board) { b.ask.set(over) }
	}
	restore, err := pin(mine)
	if err != nil {
		return err
	}
	defer restore()
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
	peer, err := startEcho(how, 0, theirs, file)
	if err != nil {
		return err
	}
	answered := roundTrips(name, func(n int32) error { return ask(b, n) })
	end(b)
	return errors.Join(answered, peer.Wait())
}

// startEcho starts the other side as a process of its own, on a core; -1: any.
func startEcho(how string, size int64, core int, files ...*os.File) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", childCommand, "echo", "-how", how, "-data", fmt.Sprint(size), "-core", fmt.Sprint(core))
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// allowedCores returns the cores that this process may use, one at least.
func allowedCores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("cores: %w", err)
	}
	var out []int
	for i := 0; i < 64*len(set); i++ {
		if set.IsSet(i) {
			out = append(out, i)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("cores: none is allowed")
	}
	return out, nil
}

// pin binds the calling thread, to which the goroutine must be locked, to a core
// until restore. Threads that Go makes meanwhile do not inherit that.
func pin(core int) (restore func(), err error) {
	var old, set unix.CPUSet
	set.Set(core)
	if err := errors.Join(unix.SchedGetaffinity(0, &old), unix.SchedSetaffinity(0, &set)); err != nil {
		return nil, fmt.Errorf("bind a thread to core %d: %w", core, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &old) }, nil
}

// pipePair is this side of two pipes to an echo process.
type pipePair struct {
	read, write int
	peer        *exec.Cmd
}

func openPipes(size int64, core int) (*pipePair, error) {
	var there, back [2]int
	if err := errors.Join(unix.Pipe2(there[:], unix.O_CLOEXEC), unix.Pipe2(back[:], unix.O_CLOEXEC)); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	r, w := os.NewFile(uintptr(there[0]), "in"), os.NewFile(uintptr(back[1]), "out")
	peer, err := startEcho("pipe", size, core, r, w)
	_, _ = r.Close(), w.Close()
	return &pipePair{back[0], there[1], peer}, err
}

// close ends the other side.
func (p *pipePair) close() error {
	_, _ = unix.Close(p.write), unix.Close(p.read)
	return p.peer.Wait()
}

func (j *job) pipes(name string, mine, theirs int) error {
	restore, err := pin(mine)
	if err != nil {
		return err
	}
	defer restore()
	p, err := openPipes(1, theirs)
	if err != nil {
		return err
	}
	buf := []byte{0}
	err = roundTrips(name, func(int32) error {
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
	p, err := openPipes(size, anyCore)
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
	return emit("talk/bulk pipe", size, result.Median(values))
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
		emit("talk/bulk pointer", size, result.Median(passed)),
		emit("talk/bulk copy", size, result.Median(copied)))
}

// echo is the other side. Descriptor 3 is the page, or 3 and 4 are the pipes.
func (j *job) echo() error {
	if j.core != anyCore {
		if _, err := pin(j.core); err != nil {
			return err
		}
	}
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
