package fork

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// prepare makes a job that is closed at the end of the test.
func prepare(t testing.TB, o Options) *Job {
	t.Helper()
	if RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	f := New()
	t.Cleanup(f.Close)
	j, err := f.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// start prepares and forks.
func start(t testing.TB, o Options) *Job {
	t.Helper()
	j := prepare(t, o)
	if err := j.Fork(nil, nil); err != nil {
		t.Fatal(err)
	}
	return j
}

// wantErr fails the test unless err says all of the words.
func wantErr(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// patience is how long a test waits for what must happen: on a busy machine anything may take seconds.
const patience = time.Minute

func sleepForever(*Page) int32 {
	for {
		RawSleep(time.Second)
	}
}

// beatForever shows progress and never ends.
func beatForever(p *Page) int32 {
	for {
		RawSleep(5 * time.Millisecond)
		p.Beat()
	}
}

func TestSuccess(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data := []byte(strings.Repeat("0123456789abcdef", 200<<10)) // 3.2 MB: several pieces
	fd, seen := int(file.Fd()), int64(0)
	value := int64(7)
	adj := 500
	j := prepare(t, Options{Nice: 3, OOMScoreAdj: &adj, KeepFDs: []int{fd}, Timeout: patience,
		Body: func(p *Page) int32 {
			p.Figures[3].Store(uint64(value)) // as it was at the clone
			if e := p.Write(fd, data); e != 0 {
				return p.Fail("write", e)
			}
			p.SetPhase(PhaseSyncing)
			if e := RawFsync(fd); e != 0 {
				return p.Fail("fsync", e)
			}
			p.Keys.Store(42)
			return 0
		}})
	err = j.Fork(func() error { value = 8; return nil }, func() { value = 9; seen++ })
	if err != nil {
		t.Fatal(err)
	}
	r := j.Wait()
	if r.Err != nil || r.Warning != nil {
		t.Fatalf("error %v, warning %v", r.Err, r.Warning)
	}
	if r.Keys != 42 || r.Bytes != int64(len(data)) || r.Figures[3] != 8 || seen != 1 {
		t.Errorf("keys %d bytes %d figure %d released %d", r.Keys, r.Bytes, r.Figures[3], seen)
	}
	if !r.StatusKnown || r.Copied <= 0 || r.CloneDuration <= 0 || r.Runtime < r.CloneDuration {
		t.Errorf("result %+v", r)
	}
	if got, _ := os.ReadFile(file.Name()); string(got) != string(data) {
		t.Errorf("file has %d bytes, want %d", len(got), len(data))
	}
	if err := j.Fork(nil, nil); !errors.Is(err, ErrUsed) {
		t.Errorf("second Fork: %v", err)
	}
	j.Close()
	if keys, n, phase := j.Progress(); keys != 42 || n != r.Bytes || phase != PhaseDone {
		t.Errorf("progress after Close: %d %d %v", keys, n, phase)
	}
}

func TestFailure(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	fd, data := int(full.Fd()), []byte("x")
	r := start(t, Options{KeepFDs: []int{fd}, Body: func(p *Page) int32 {
		return p.Fail("write dump", p.Write(fd, data))
	}}).Wait()
	wantErr(t, r.Err, "write dump: no space left on device")
	if !errors.Is(r.Err, syscall.ENOSPC) {
		t.Errorf("%v is not ENOSPC", r.Err)
	}
	r = start(t, Options{Body: func(p *Page) int32 { return 77 }}).Wait()
	wantErr(t, r.Err, "code 77")
	r = start(t, Options{Body: func(p *Page) int32 { exit(0); return 0 }}).Wait()
	wantErr(t, r.Err, "without its done-record")
}

// A panic must end the child, even below a recover, and its deferred functions
// must not run: they would be the server's.
func TestPanic(t *testing.T) {
	var empty []int
	index := 5
	bodies := map[string]func(p *Page) int32{
		"index":   func(p *Page) int32 { return int32(empty[index]) },
		"nil":     func(p *Page) int32 { var q *Page; q.Beat(); return 0 },
		"goexit":  func(p *Page) int32 { runtime.Goexit(); return 0 },
		"gosched": func(p *Page) int32 { runtime.Gosched(); return 0 },
		"recover": func(p *Page) int32 {
			defer func() {
				p.Figures[0].Store(1)
				_ = recover()
			}()
			return int32(empty[index])
		},
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			timeout := patience
			if name == "goexit" || name == "gosched" {
				timeout = 300 * time.Millisecond // they may find something to run for ever
			}
			r := start(t, Options{Body: body, Timeout: timeout}).Wait()
			switch name {
			case "index", "recover":
				wantErr(t, r.Err, "status 2", "panic", "fork_test.go")
			case "nil":
				wantErr(t, r.Err, "signal 11")
			case "gosched":
				if r.Err == nil || !strings.Contains(r.Err.Error(), "no progress") {
					wantErr(t, r.Err, "status 2", "schedule: holding locks")
				}
			default:
				wantErr(t, r.Err)
			}
			if r.Figures[0] != 0 {
				t.Error("a deferred function ran in the child")
			}
		})
	}
}

func TestKill(t *testing.T) {
	j := start(t, Options{Body: sleepForever})
	j.Kill()
	if r := j.Wait(); !errors.Is(r.Err, ErrKilled) || r.Runtime > patience {
		t.Errorf("%+v", r)
	}
	j = start(t, Options{Body: sleepForever})
	if err := unix.Kill(j.Pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantErr(t, j.Wait().Err, "signal 9", "OOM")
	j = start(t, Options{Body: sleepForever})
	pid := j.Pid()
	j.Close() // kills
	if err := unix.Kill(pid, 0); err != unix.ESRCH {
		t.Errorf("child after Close: %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	// On a busy machine a child may stand still for long, but not ever longer.
	for timeout := 200 * time.Millisecond; ; timeout *= 2 {
		j := start(t, Options{Body: beatForever, Timeout: timeout})
		time.Sleep(2 * timeout)
		alive := true
		select {
		case <-j.Done():
			if alive = false; timeout > 5*time.Second {
				t.Fatalf("a child with progress was ended: %v", j.Wait().Err)
			}
		default:
		}
		if err := unix.Kill(j.Pid(), unix.SIGSTOP); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		}
		r := j.Wait()
		wantErr(t, r.Err, fmt.Sprintf("child made no progress for %v; killed", timeout), "phase writing")
		if !errors.Is(r.Err, ErrStalled) {
			t.Errorf("%v is not ErrStalled", r.Err)
		}
		if alive {
			return
		}
	}
}

// A child that SIGKILL does not reach must not hold Wait for ever.
func TestAbandoned(t *testing.T) {
	j := prepare(t, Options{Body: sleepForever, Timeout: 50 * time.Millisecond, KillGrace: 100 * time.Millisecond})
	dropSignals = true
	defer func() { dropSignals = false }()
	if err := j.Fork(nil, nil); err != nil {
		t.Fatal(err)
	}
	r := j.Wait()
	wantErr(t, r.Err, "no progress", "child does not die; abandoned")
	if !errors.Is(r.Err, ErrAbandoned) || !errors.Is(r.Err, ErrStalled) {
		t.Errorf("%v", r.Err)
	}
	j.Close()
	select {
	case <-j.Gone():
		t.Fatal("gone too early")
	default:
	}
	if err := unix.Kill(j.Pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-j.Gone():
	case <-time.After(patience):
		t.Fatal("not reaped in the background")
	}
}

// The child must not hold descriptors that it was not given.
func TestDescriptors(t *testing.T) {
	for _, fallback := range []bool{false, true} {
		t.Run(fmt.Sprint("fallback=", fallback), func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			kr, kw, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer kr.Close()
			// Fd makes a descriptor blocking, which a pipe between processes may be.
			kept, lost := int(kw.Fd()), int(w.Fd())
			word, bad := []byte("kept"), []byte("BAD!")
			j := prepare(t, Options{KeepFDs: []int{kept, kept}, Body: func(p *Page) int32 {
				if fallback {
					closeEach(uint32(lost), uint32(lost))
				}
				if RawWrite(lost, bad) != syscall.EBADF || RawWrite(1, bad) != syscall.EBADF {
					return p.Fail("descriptors were left open", 0)
				}
				if e := RawWrite(kept, word); e != 0 {
					return p.Fail("kept", e)
				}
				return beatForever(p)
			}})
			if fallback { // as on a kernel without close_range
				j.plan.shut = []fdRange{{0, 1}}
			}
			if err := j.Fork(nil, nil); err != nil {
				t.Fatal(err)
			}
			kw.Close()
			w.Close()
			buf := make([]byte, 4)
			if _, err := io.ReadFull(kr, buf); err != nil || string(buf) != "kept" {
				t.Fatalf("kept descriptor: %q %v (%v)", buf, err, j.Wait().Err)
			}
			if n, err := r.Read(buf); n != 0 || err != io.EOF {
				t.Fatalf("%d %v: the child holds the pipe", n, err)
			}
			j.Kill()
			if n, err := kr.Read(buf); n != 0 || err != io.EOF {
				t.Fatalf("kept pipe after the end: %d %v", n, err)
			}
		})
	}
}

func TestGaps(t *testing.T) {
	last := ^uint32(0)
	for _, c := range []struct {
		keep []int
		want []fdRange
	}{
		{nil, []fdRange{{0, last}}},
		{[]int{0}, []fdRange{{1, last}}},
		{[]int{7, 2, 7, -1}, []fdRange{{0, 1}, {3, 6}, {8, last}}},
		{[]int{2, 3}, []fdRange{{0, 1}, {4, last}}},
	} {
		if got := gaps(c.keep); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("gaps(%v) = %v, want %v", c.keep, got, c.want)
		}
	}
}

// What ps and the kernel see of the child.
func TestAppearance(t *testing.T) {
	adj := 321
	j := start(t, Options{Body: beatForever, Name: "saver", Nice: 7, OOMScoreAdj: &adj})
	deadline := time.Now().Add(patience)
	var stat []string
	var score []byte
	for time.Now().Before(deadline) {
		text, _ := readProc(j.Pid(), "stat")
		stat = strings.Fields(string(text))
		score, _ = readProc(j.Pid(), "oom_score_adj")
		if len(stat) > 18 && stat[1] == "(saver)" && stat[18] == "7" && string(score) == "321\n" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if len(stat) < 20 || stat[1] != "(saver)" || stat[4] != strconv.Itoa(j.Pid()) || stat[18] != "7" || string(score) != "321\n" {
		t.Errorf("stat %q, oom_score_adj %q", stat, score)
	}
	limits, _ := readProc(j.Pid(), "limits")
	if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("core dumps are on: %s", limits)
	}
	status, _ := readProc(j.Pid(), "status")
	if !strings.Contains(string(status), "Threads:\t1\n") {
		t.Errorf("child has more than one thread: %s", status)
	}
	// A terminal's signal reaches the child only if it is meant.
	if err := unix.Kill(j.Pid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantErr(t, j.Wait().Err, "signal 15")
}

func TestSampleCopied(t *testing.T) {
	const size = 8 << 20
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	touch := func(b byte) {
		for i := 0; i < size; i += 4096 {
			mem[i] = b
		}
	}
	touch(1)
	stop := make([]byte, 1)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	defer pw.Close()
	fd := int(pr.Fd())
	j := start(t, Options{KeepFDs: []int{fd}, Body: func(p *Page) int32 {
		syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), rawPointer(stop), 1)
		for i := 0; i < size; i += 4096 {
			if mem[i] != 1 {
				return p.Fail("saw a write after the clone", 0)
			}
		}
		return 0
	}})
	before, err := j.SampleCopied()
	if err != nil {
		t.Fatal(err)
	}
	touch(2)
	after, err := j.SampleCopied()
	if err != nil || after-before < size*9/10 || after-before > size*2 {
		t.Errorf("copied %d before, %d after writing %d: %v", before, after, size, err)
	}
	if _, err := pw.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if r := j.Wait(); r.Err != nil || r.Copied < size*9/10 {
		t.Errorf("%+v", r)
	}
	if _, err := j.SampleCopied(); err == nil {
		t.Error("sample of a dead child")
	}
}

// hold may give up, and nothing has happened then.
func TestHoldFails(t *testing.T) {
	j := prepare(t, Options{Body: func(*Page) int32 { return 0 }})
	busy, released := errors.New("busy"), 0
	for range 3 {
		err := j.Fork(func() error { return busy }, func() { released++ })
		if err != busy || released != 0 || j.Pid() != 0 {
			t.Fatalf("%v, released %d, pid %d", err, released, j.Pid())
		}
	}
	if err := j.Fork(nil, func() { released++ }); err != nil || released != 1 {
		t.Fatalf("%v, released %d", err, released)
	}
	if r := j.Wait(); r.Err != nil {
		t.Fatal(r.Err)
	}
}

func TestClosed(t *testing.T) {
	j := prepare(t, Options{Body: func(*Page) int32 { return 0 }})
	j.forker.Close()
	j.forker.Close()
	if err := j.Fork(nil, nil); err != ErrClosed {
		t.Error(err)
	}
	if _, err := j.forker.Prepare(Options{Body: sleepForever}); err != ErrClosed {
		t.Error(err)
	}
	j.Close()
	j.Close()
}
