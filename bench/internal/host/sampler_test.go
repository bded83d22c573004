//go:build linux

package host

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
)

const mib = 1 << 20

// touched is memory that has pages. It is not Go's: the race detector keeps a
// shadow of that.
func touched(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(err)
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return b
}

// memory does what it is told on standard input, and says so: "grow" touches
// 100 MiB, "child" starts a burner and tells what that has burnt, "reap" lets it end
// and waits for it.
func memory() {
	var keep [][]byte
	var child *exec.Cmd
	var end io.Closer
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		switch in.Text() {
		case "grow":
			keep = append(keep, touched(100*mib))
		case "child":
			child = exec.Command(os.Args[0])
			child.Env = append(os.Environ(), roleEnv+"=burner")
			out, err := child.StdoutPipe()
			must(err)
			end, err = child.StdinPipe()
			must(err)
			must(child.Start())
			var burnt int
			_, err = fmt.Fscan(out, &burnt)
			must(err)
			fmt.Println(in.Text(), burnt)
			continue
		case "reap":
			_ = end.Close()
			_ = child.Wait()
		}
		fmt.Println(in.Text(), len(keep))
	}
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// burner touches 60 MiB and uses 200 ms of CPU time, says how many ms it was in truth
// and waits for the end of its input.
func burner() {
	b := touched(60 * mib)
	for begin := time.Now(); cpuTime() < 0.2 && time.Since(begin) < noise.Patience; {
		b[0]++
	}
	fmt.Println(int(1000 * cpuTime()))
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Fprint(io.Discard, b[0])
}

func cpuTime() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// puppet is a memory process and a Server for it.
type puppet struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Scanner
	*Server
}

func newPuppet(t testing.TB) *puppet {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=memory")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &Server{Name: "puppet", Addr: silentAddr(t), PID: cmd.Process.Pid, cmd: cmd, done: make(chan struct{})}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p := &puppet{t, in, bufio.NewScanner(out), s}
	p.out.Scan()
	return p
}

// silentAddr returns an address that is taken, and at which nobody listens.
func silentAddr(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", addr.(*unix.SockaddrInet4).Port)
}

// tell returns the number that the puppet says when it has done what it is told.
func (p *puppet) tell(what string) (n float64) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, what); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("%s: the puppet has ended", what)
	}
	if _, err := fmt.Sscanf(p.out.Text(), what+" %g", &n); err != nil {
		p.t.Fatalf("%s: %q", what, p.out.Text())
	}
	return n
}

func between(t testing.TB, what string, got, least, most float64) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %g, want %g to %g", what, got, least, most)
	}
}

func near(t testing.TB, what string, got, want, off float64) {
	t.Helper()
	if got < want-off || got > want+off {
		t.Errorf("%s: %g, want %g ± %g", what, got, want, off)
	}
}

// A growth of 100 MiB, and a child with 60 MiB and 0.2 s of CPU time, are found
// with these figures, also after the child has ended.
func TestSamplerMeasures(t *testing.T) {
	noise.Attempts(t, 4, measureWithSampler)
}

// What a process uses when it waits and when it ends, in seconds of CPU time.
const (
	ticksLost = 0.03 // of /proc, rounded down
	ending    = 0.09
)

func measureWithSampler(t *noise.T) {
	p := newPuppet(t)
	now := clock()
	m := NewSampler(p.Server, now, time.Hour)
	m.Pause()
	save := result.Save{AtSec: now().Seconds()}
	p.tell("grow")
	burnt := p.tell("child") / 1e3
	m.Resume()
	wait(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.samples) == 3 })
	p.tell("reap")
	save.EndSec = now().Seconds()
	m.Pause()
	samples := m.Stop()
	if m.Err() != nil || len(samples) < 4 {
		t.Fatal(m.Err(), samples)
	}
	base, during, after := samples[1], samples[2], samples[3]
	// A Go program has 2 MiB of its own, 18 under the race detector.
	near(t, "RSS growth", float64(during.RssBytes-base.RssBytes)/mib, 100, 12)
	near(t, "Pss growth", float64(during.PssBytes-base.PssBytes)/mib, 172, 16)
	near(t, "copied", float64(during.CopiedBytes)/mib, 70, 12)
	if base.Children != 0 || during.Children != 1 || after.Children != 0 || base.CopiedBytes != 0 || after.CopiedBytes != 0 {
		t.Errorf("children: %+v", samples)
	}
	between(t, "child's CPU time, alive", during.ChildCPUSec, burnt-ticksLost, burnt+ending)
	between(t, "child's CPU time, ended", after.ChildCPUSec, during.ChildCPUSec, during.ChildCPUSec+ending)
	if during.ChildFaults < 200 || after.ChildFaults < during.ChildFaults || during.MinorFaults <= base.MinorFaults {
		t.Errorf("faults: %+v", samples)
	}
	if during.PTEBytes <= base.PTEBytes || base.PTEBytes == 0 {
		t.Errorf("page tables: %d, %d", base.PTEBytes, during.PTEBytes)
	}

	unseenBurnt := p.tell("child") / 1e3 // and one that no sample sees
	p.tell("reap")
	unseen, err := p.Usage()
	if err != nil {
		t.Fatal(err)
	}
	both := after.ChildCPUSec + unseenBurnt
	between(t, "CPU time of both children", unseen.ChildCPUSec, both-ticksLost, both+ending)
	if unseen.ChildFaults < after.ChildFaults+200 {
		t.Errorf("faults of both children: %d, of one %d", unseen.ChildFaults, after.ChildFaults)
	}

	Summarize(samples, &save)
	near(t, "extra memory", float64(*save.ExtraMemoryBytes)/mib, 172, 16)
	near(t, "copied", float64(*save.CopiedBytes)/mib, 70, 12)
	between(t, "child's CPU time", *save.ChildCPUSec, burnt-ticksLost, burnt+2*ending)
	if save.DeferredBytes != nil {
		t.Error("deferred bytes out of nothing")
	}
}

func wait(t testing.TB, until func() bool) {
	t.Helper()
	noise.Wait(t, "what is waited for", until)
}

func TestSamplerPause(t *testing.T) {
	p := newPuppet(t)
	now := clock()
	m := NewSampler(p.Server, now, time.Millisecond)
	taken := func() int { m.mu.Lock(); defer m.mu.Unlock(); return len(m.samples) }
	wait(t, func() bool { return taken() > 5 })
	before := now()
	m.Pause()
	paused := taken()
	if at := m.samples[paused-1].AtSec; at < before.Seconds() || at > now().Seconds() {
		t.Errorf("the last sample is of %g s, Pause of %v", at, before)
	}
	time.Sleep(50 * time.Millisecond)
	if n := taken(); n != paused {
		t.Errorf("%d samples while paused", n-paused)
	}
	m.Resume()
	resumed := now()
	if n := taken(); n <= paused || m.samples[paused].AtSec > resumed.Seconds() {
		t.Errorf("%d samples by the end of Resume, %d before", n, paused)
	}
	m.Pause()
	paused = taken()
	samples := m.Stop()
	if len(samples) != paused+1 || len(m.Stop()) != len(samples) {
		t.Errorf("%d samples after Stop, %d before", len(samples), paused)
	}
	for i := range samples[1:] {
		if samples[i+1].AtSec < samples[i].AtSec {
			t.Errorf("samples are not in order: %v", samples)
		}
	}
}

// Samples of a real save: a fork has a child, a thread has none.
func TestSamplerSeesSaves(t *testing.T) {
	for _, c := range []struct {
		name    string
		bin     func(*testing.T) string
		command []string
		slow    []string // an option that has the save last
		child   bool
	}{
		{"redis", redisBin, []string{"BGSAVE"}, []string{"rdb-key-save-delay", "-20"}, true},
		{"kvd fork", kvdBin, []string{"BGSAVE", "FORK"}, slowly, true},
		{"kvd thread", kvdBin, []string{"BGSAVE", "THREAD"}, slowly, false},
		{"kvd copy", kvdBin, []string{"BGSAVE", "COPY"}, slowly, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := launch(t, c.bin(t), "--enable-debug-command", "yes")
			do(t, s, "DEBUG", "POPULATE", "150000", "k", "500")
			do(t, s, "CONFIG", "SET", c.slow[0], c.slow[1])
			noise.Attempts(t, 4, func(t *noise.T) { seeSave(t, s, c.command, c.child) })
		})
	}
}

// slowly has kvd save 75 MB in half a second.
var slowly = []string{"save-rate-limit", "150000000"}

func seeSave(t *noise.T, s *Server, command []string, child bool) {
	now, ctx := clock(), limit(t, noise.Patience)
	m := NewSampler(s, now, 2*time.Millisecond)
	m.Pause()
	v, err := s.Bgsave(ctx, command)
	if err != nil {
		t.Fatal(err)
	}
	m.Resume()
	save, err := v.Wait(ctx, now)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, func() bool { return len(descendants(s.PID)) == 0 })
	samples := m.Stop()
	Summarize(samples, save)
	if save.ExtraMemoryBytes == nil || *save.ExtraMemoryBytes < 0 || save.PTEPeakBytes == nil || *save.PTEPeakBytes < *save.PTEBeforeBytes ||
		save.MinorFaults == nil || save.ServerCPUSec == nil || *save.ServerCPUSec < 0 {
		t.Errorf("%+v", save)
	}
	if (save.CopiedBytes != nil) != child || (save.ChildFaults != nil) != child || (save.ChildCPUSec != nil) != child {
		t.Errorf("child: copied %v, faults %v, CPU %v", save.CopiedBytes, save.ChildFaults, save.ChildCPUSec)
	} else if child && *save.ChildFaults == 0 {
		t.Errorf("a child without faults")
	}
	if (save.DeferredBytes != nil) != strings.HasPrefix(s.Version(), "kvd") {
		t.Errorf("deferred: %v", save.DeferredBytes)
	}
	var last result.MemorySample
	for _, x := range samples {
		if x.ChildFaults < last.ChildFaults || x.ChildCPUSec < last.ChildCPUSec || x.MinorFaults < last.MinorFaults || x.ServerCPUSec < last.ServerCPUSec {
			t.Fatalf("a counter goes backwards: %+v after %+v", x, last)
		}
		if x.RssBytes < 75_000_000 {
			t.Fatalf("RSS %d with 75 MB of values", x.RssBytes)
		}
		last = x
	}
}

// The sampler ends with its server, and keeps what it has.
func TestSamplerOfKilledServer(t *testing.T) {
	s := launch(t, redisBin(t))
	m := NewSampler(s, clock(), time.Millisecond)
	wait(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.samples) > 3 })
	s.Kill()
	m.Pause()
	if len(m.Stop()) < 4 || m.Err() == nil {
		t.Error(m.Err())
	}
}

func ptr[T any](v T) *T { return &v }

func TestSummarize(t *testing.T) {
	samples := []result.MemorySample{
		{AtSec: 0, PssBytes: 900, PTEBytes: 5},
		{AtSec: 1, PssBytes: 1000, PTEBytes: 10, MinorFaults: 100, ServerCPUSec: 1, ChildFaults: 7, ChildCPUSec: 0.5},
		{AtSec: 2, PssBytes: 1100, PTEBytes: 30, MinorFaults: 200, ServerCPUSec: 2, ChildFaults: 9, ChildCPUSec: 0.6, CopiedBytes: 50, Children: 1, DeferredBytes: 3},
		{AtSec: 3, PssBytes: 1050, PTEBytes: 20, MinorFaults: 300, ServerCPUSec: 3, ChildFaults: 9, ChildCPUSec: 0.7, CopiedBytes: 40, Children: 1, DeferredBytes: 9},
		{AtSec: 4, PssBytes: 2000, PTEBytes: 90, MinorFaults: 400, ServerCPUSec: 4, ChildFaults: 10, ChildCPUSec: 0.8, DeferredBytes: 99},
	}
	save := result.Save{AtSec: 1.5, EndSec: 3.5, DeferredBytes: ptr(int64(1))}
	Summarize(samples, &save)
	if *save.ExtraMemoryBytes != 100 || *save.CopiedBytes != 50 || *save.PTEBeforeBytes != 10 || *save.PTEPeakBytes != 30 || *save.DeferredBytes != 9 {
		t.Errorf("extra %d, copied %d, PTE %d, %d, deferred %d", *save.ExtraMemoryBytes, *save.CopiedBytes, *save.PTEBeforeBytes, *save.PTEPeakBytes, *save.DeferredBytes)
	}
	if *save.MinorFaults != 200 || *save.ServerCPUSec != 2 || *save.ChildFaults != 2 {
		t.Errorf("faults %d, CPU %g, child's faults %d", *save.MinorFaults, *save.ServerCPUSec, *save.ChildFaults)
	}
	near(t, "child's CPU time", *save.ChildCPUSec, 0.2, 1e-9)

	save = result.Save{AtSec: 3.2, EndSec: 3.6} // shorter than the interval: nothing was seen of it but its ended child
	Summarize(samples, &save)
	if save.ExtraMemoryBytes != nil || save.CopiedBytes != nil || save.PTEPeakBytes != nil || save.DeferredBytes != nil || *save.ChildFaults != 1 {
		t.Errorf("%+v", save)
	}
	near(t, "CPU time of a part of an interval", *save.ServerCPUSec, 0.4, 1e-9)

	for _, list := range [][]result.MemorySample{nil, samples[4:], samples[:1]} {
		save = result.Save{AtSec: 1.5, EndSec: 3.5}
		Summarize(list, &save)
		if save.ExtraMemoryBytes != nil || save.MinorFaults != nil || save.ChildCPUSec != nil {
			t.Errorf("figures out of %d samples: %+v", len(list), save)
		}
	}

	shrinks := []result.MemorySample{{AtSec: 0, PssBytes: 1000}, {AtSec: 1, PssBytes: 500}, {AtSec: 2, PssBytes: 500}}
	save = result.Save{AtSec: 0.5, EndSec: 1.5}
	Summarize(shrinks, &save)
	if *save.ExtraMemoryBytes != 0 || save.CopiedBytes != nil || save.ChildFaults != nil {
		t.Errorf("%+v", save)
	}
}

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte("77 (a) b (c) S 12 34 56 0 -1 4194304 1000 20 3 4 250 50 7 3 20 0 1 0 100\n"))
	if err != nil || s != (stat{state: "S", parent: 12, group: 34, faults: 1000, endedFaults: 20, ticks: 300, endedTicks: 10}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, odd := range []string{"", "77 a S 1", "77 (a) S 1 2 3", "77 (a) S x 34 56 0 -1 4194304 1000 20 3 4 250 50 7 3 20"} {
		if _, err := parseStat([]byte(odd)); err == nil {
			t.Errorf("%q is accepted", odd)
		}
	}
	if err := readKiB([]byte("Rss: 12 kB\n"), map[string]*int64{"Rss": new(int64), "Pss": new(int64)}); err == nil {
		t.Error("a missing figure is accepted")
	}
}

// A sample that a server keeps waiting, as one that stands still does, must not put
// off the next ones: it is then that memory grows. As a cost, 100 ms would put off the
// next one by a second.
func TestSamplesThatWaitCostNothing(t *testing.T) {
	const delay, count = 100 * time.Millisecond, 5
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerLate(c, delay)
		}
	}()
	p := newPuppet(t)
	p.Addr = l.Addr().String()
	noise.Attempts(t, 4, func(t *noise.T) {
		begin := time.Now()
		m := NewSampler(p.Server, clock(), time.Millisecond)
		wait(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.samples) >= count })
		took := time.Since(begin)
		samples := m.Stop()
		// The first two follow each other at once; the others would be put off.
		if took > (count-2)*longestIdle || samples[len(samples)-1].DeferredBytes != 7 {
			t.Errorf("%d samples in %v: %+v", len(samples), took, samples)
		}
	})
}

// answerLate answers whatever comes with the deferred bytes.
func answerLate(c net.Conn, delay time.Duration) {
	defer func() { _ = c.Close() }()
	for b := make([]byte, 1<<10); ; {
		if _, err := c.Read(b); err != nil {
			return
		}
		time.Sleep(delay)
		_, _ = c.Write([]byte("$20\r\nmem_arena_deferred:7\r\n"))
	}
}
