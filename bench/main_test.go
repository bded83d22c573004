//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kvd/bench/internal/host"
	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
	"kvd/bench/internal/store"
)

// The tests run the program as a process of its own, which is this test binary:
// asProgram as its first argument makes it one.
const asProgram = "as-program"

// kvdBin is a kvd built once for all tests.
var kvdBin string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{asProgram, "peer", "apart-child"}, os.Args[1]) {
		args := os.Args[1:]
		if args[0] == asProgram {
			args = args[1:]
		}
		os.Exit(program(args))
	}
	path, cleanup, err := host.BuildKvd(context.Background())
	if err != nil {
		panic(err)
	}
	kvdBin = path
	code := m.Run()
	cleanup()
	os.Exit(code)
}

// bench is the program with directories of its own for its results and for what it
// keeps for a while.
type bench struct {
	testing.TB
	results, temp string
}

func newBench(t testing.TB) *bench { return benchIn(t, filepath.Join(t.TempDir(), "results")) }

func benchIn(t testing.TB, results string) *bench {
	t.Helper()
	// Not t.TempDir: what a killed program leaves there may still be in use.
	temp, err := os.MkdirTemp("", "kvd-bench-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	return &bench{t, results, temp}
}

func (b *bench) command(args ...string) *exec.Cmd {
	name := args[0]
	cmd := exec.Command(os.Args[0], append([]string{asProgram, name, "-results", b.results}, args[1:]...)...)
	cmd.Env = append(os.Environ(), "KVD_BIN="+kvdBin, "TMPDIR="+b.temp)
	return cmd
}

// ok runs a command that must succeed and returns its standard output.
func (b *bench) ok(args ...string) string {
	b.Helper()
	out, errs, err := b.run(args...)
	if err != nil {
		b.Fatalf("%v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

func (b *bench) run(args ...string) (stdout, stderr string, err error) {
	b.Helper()
	var out, errs bytes.Buffer
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// tiny is a run of a few seconds.
var tiny = []string{"run", "-scale", "0.002", "-rounds", "1", "-before", "200ms", "-after", "250ms"}

func (b *bench) last() *result.Run {
	b.Helper()
	s, err := store.OpenReadOnly(b.results)
	if err != nil {
		b.Fatal(err)
	}
	run, err := s.Get("last")
	if err := errors.Join(err, s.Close()); err != nil {
		b.Fatal(err)
	}
	return run
}

// oracle returns the path of a program that a test needs, or skips the test.
func oracle(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

func TestAWholeRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	args := append(slices.Clone(tiny), "-scenarios", "A,H", "-contestants", "fork,thread,copy,pebble,pebble-sync,pebble-rdb", "-label", "first", "-no-apart")
	contestants := 6
	if redis, err := exec.LookPath("redis-server"); err == nil || os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
		args = append(args, "-start", "redis-server="+redis)
		contestants++
	}
	table := b.ok(args...)
	run := b.last()
	if want := contestants * 2; len(run.Trials) != want || run.Partial != "" || len(run.Contestants) != contestants {
		t.Fatalf("%d trials of %d contestants, want %d; partial: %q", len(run.Trials), len(run.Contestants), want, run.Partial)
	}
	for _, trial := range run.Trials {
		checkTrial(t, run, &trial)
	}
	for _, c := range run.Contestants {
		if !strings.Contains(table, c.Name) || c.Server == "" {
			t.Errorf("the table has no %s (%q)", c.Name, c.Server)
		}
	}
	if list := b.ok("list"); !strings.Contains(list, run.ID) || !strings.Contains(list, "first") {
		t.Errorf("list:\n%s", list)
	}
	if again := b.ok("report", run.ID[:10]); again != table {
		t.Errorf("report prints another table:\n%s\nthan the run:\n%s", again, table)
	}
	if text := b.ok("compare", run.ID+":fork", run.ID+":thread"); !strings.Contains(text, "cannot tell") {
		t.Errorf("one round a side was compared:\n%s", text)
	}
	checkReport(t, filepath.Join(b.results, run.ID+".html"), run)

	lines := filepath.Join(t.TempDir(), "run.jsonl.gz")
	b.ok("export", "-o", lines, run.ID)
	other := newBench(t)
	if id := strings.TrimSpace(other.ok("import", lines)); id != run.ID || other.ok("report") != table {
		t.Errorf("%s was imported as another run, %s", run.ID, id)
	}
}

// A scenario may be of several sizes.
func TestSizes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ok(append(slices.Clone(tiny), "-scenarios", "B,G", "-contestants", "fork", "-no-apart")...)
	run, sizes := b.last(), map[string][]int64{}
	for _, trial := range run.Trials {
		checkTrial(t, run, &trial)
		sizes[trial.Scenario] = append(sizes[trial.Scenario], trial.Keys)
	}
	if !slices.Equal(sizes["G"], []int64{1000, 2000, 4000, 8000}) || len(sizes["B"]) != 1 {
		t.Errorf("trials by size: %v", sizes)
	}
}

// checkTrial asks for every figure that a trial must have at any size.
func checkTrial(t *testing.T, run *result.Run, trial *result.Trial) {
	t.Helper()
	name := trial.Scenario + " " + trial.Contestant
	if trial.Error != "" || trial.Skipped != "" || trial.Save == nil {
		t.Errorf("%s: error %q, skipped %q, save %v", name, trial.Error, trial.Skipped, trial.Save)
		return
	}
	if trial.Save.Seconds <= 0 || trial.Save.Bytes <= 0 || trial.Save.ExtraMemoryBytes == nil {
		t.Errorf("%s: a save without figures: %+v", name, trial.Save)
	}
	forked := trial.Contestant == "fork" || trial.Contestant == "redis-server"
	if (trial.Save.CloneUsec != nil) != forked {
		t.Errorf("%s: clone %v", name, trial.Save.CloneUsec)
	}
	if trial.Scenario == "A" || trial.Scenario == "H" {
		if trial.Load == nil || trial.Load.Seconds <= 0 || trial.Load.Keys < trial.Keys {
			t.Errorf("%s: load %+v of %d keys", name, trial.Load, trial.Keys)
		}
	}
	if trial.Scenario == "H" {
		return
	}
	writes := trial.Series.Ops["write"]
	if writes == nil {
		t.Fatalf("%s: no writes", name)
	}
	longest := slices.Max(writes.MaxUsec) / 1e6
	for _, w := range []string{"before", "during", "after", "idle", "save"} {
		win := trial.Windows[w]
		if win == nil || win.LongestGapSec <= 0 {
			t.Errorf("%s: window %s: %+v", name, w, win)
			continue
		}
		// It is empty only if the server, or a disk, stood still for all of it.
		if (win.Ops["write"].Count == 0 || win.OpsPerSecond <= 0) && longest < 0.9*(win.ToSec-win.FromSec) {
			t.Errorf("%s: no writes in window %s: %+v", name, w, win)
		}
	}
	if trial.TargetRate > 0 && trial.TargetRate > trial.CeilingOps/2 || trial.CeilingOps <= 0 {
		t.Errorf("%s: a rate of %g under a ceiling of %g", name, trial.TargetRate, trial.CeilingOps)
	}
	if len(trial.Memory) < 2 || trial.Memory[0].PssBytes <= 0 {
		t.Errorf("%s: memory %v", name, trial.Memory)
	}
	if len(run.Ceilings) == 0 {
		t.Error("no ceilings")
	}
}

// checkReport reads the pictures as XML; what the page looks like is tested where
// it is made.
func checkReport(t *testing.T, path string, run *result.Run) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(page, []byte(run.ID)) || !bytes.Contains(page, []byte("<svg")) {
		t.Fatalf("%s: %v, %d bytes", path, err, len(page))
	}
	pictures, err := filepath.Glob(strings.TrimSuffix(path, ".html") + "-charts/*.svg")
	if err != nil || len(pictures) < 4 {
		t.Fatalf("pictures %v, %v", pictures, err)
	}
	for _, p := range pictures {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(f); err == nil; {
			_, err = d.Token()
		}
		if err != io.EOF {
			t.Errorf("%s: %v", p, err)
		}
		_ = f.Close()
	}
}

// The canaries are wrong on purpose, by a known amount: the program must see it.
func TestCanariesAreCaught(t *testing.T) {
	noise.Attempts(t, 4, catchCanaries)
}

func catchCanaries(t *noise.T) {
	b := newBench(t)
	b.ok(append(slices.Clone(tiny), "-scenarios", "A", "-contestants", "canary-pause,canary-leak", "-rounds", "3", "-no-apart")...)
	run := b.last()
	for i, want := range []string{"canary-pause", "canary-leak", "canary-pause"} { // there and back
		if got := run.Trials[2*i].Contestant; got != want {
			t.Fatalf("round %d begins with %s, not with %s", i+1, got, want)
		}
	}
	_, samples := run.Collect()
	// One round must have it right: whatever else the machine does makes a pause look
	// longer, and a reply from just before it that is read late takes its lateness off.
	within := func(contestant, metric string, least, most float64) {
		t.Helper()
		var values []float64
		for g, list := range samples {
			for _, s := range list {
				if g.Contestant == contestant && s.Name == metric {
					values = append(values, s.Values...)
				}
			}
		}
		if !slices.ContainsFunc(values, func(v float64) bool { return v >= least && v <= most }) {
			t.Errorf("%s: %s is %v in the rounds, not from %g to %g", contestant, metric, values, least, most)
		}
	}
	const paused, leaked = 50, 100 // ms, MB
	within("canary-pause", "longest gap, save", 0.85*paused, 1.9*paused)
	within("canary-pause", "write max, save", 0.95*paused, 1.9*paused)
	// 8,000 writes a second meet a pause: one in a hundred of a second's. Without what
	// should have been sent meanwhile only 8 of them would be slow.
	within("canary-pause", "write p99, save", 1e3*paused/4, 1e3*1.9*paused)
	within("canary-leak", "extra memory", 0.95*leaked, 1.3*leaked)
	within("canary-pause", "extra memory", 0, 0.3*leaked)
}

// Of a file that was cut, as on a full disk, what is whole is imported.
func TestImportOfACutFile(t *testing.T) {
	t.Parallel()
	from, to := newBench(t), newBench(t)
	s, err := store.Open(from.results)
	if err != nil {
		t.Fatal(err)
	}
	run := &result.Run{ID: store.NewID(time.Now()), Trials: []result.Trial{{Scenario: "A", Contestant: "fork"}, {Scenario: "A", Contestant: "copy"}}}
	if err := errors.Join(s.Put(run), s.Close()); err != nil {
		t.Fatal(err)
	}
	lines := from.ok("export")
	file := filepath.Join(t.TempDir(), "cut.jsonl")
	if err := os.WriteFile(file, []byte(lines[:len(lines)-20]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := to.run("import", file); err == nil || !strings.Contains(errs, "line 3") {
		t.Errorf("%v, %s", err, errs)
	}
	if got := to.last(); got.ID != run.ID || len(got.Trials) != 1 || !strings.Contains(got.Partial, "line 3") {
		t.Errorf("%d trials, partial: %q", len(got.Trials), got.Partial)
	}
}

// deaf returns an address that is taken, and at which nobody listens.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(addr.(*syscall.SockaddrInet4).Port)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "-scenarios", "Z"}, `unknown scenario "Z"; there are A, B`},
		{[]string{"run", "-contestants", "spoon"}, `unknown contestant "spoon"; there are fork, thread`},
		{[]string{"run", "-scale", "huge"}, "quick, full or a factor"},
		{[]string{"run", "-scale", "NaN"}, "quick, full or a factor"},
		{[]string{"run", "-rounds", "-1"}, "-rounds"},
		{[]string{"run", "-start", "redis"}, "NAME=/path"},
		{[]string{"run", "-start", "redis=/no/such/file"}, "/no/such/file"},
		{[]string{"run", "-start", "fork=/bin/true"}, `two contestants are called "fork"`},
		{[]string{"run", "-contestants", "none", "-start", "silent=/bin/false"}, "silent"},
		{[]string{"run", "-server", "nobody=" + deaf(t)}, "connection refused"},
		{[]string{"run", "-contestants", "none"}, "no contestants"},
		{[]string{"run", "-dir", "/no/such/directory"}, "/no/such/directory"},
		{[]string{"run", "surprise"}, "surprise"},
		{[]string{"report", "2031"}, "no results"},
		{[]string{"compare", "last"}, "two runs"},
		{[]string{"import", "/no/such/file"}, "/no/such/file"},
		{[]string{"import", file}, file},
		{[]string{"dance"}, `unknown command "dance"`},
	} {
		b := newBench(t)
		_, errs, err := b.run(c.args...)
		if err == nil || !strings.Contains(errs, c.want) || strings.Contains(errs, "goroutine ") {
			t.Errorf("%v: %v\n%s, want %q", c.args, err, errs, c.want)
		}
	}
	b := newBench(t)
	b.results = file
	if _, errs, err := b.run("list"); err == nil || !strings.Contains(errs, file) {
		t.Errorf("results in a file: %v, %s", err, errs)
	}
}

// twoTrials are a save without clients, and one of which clients run for as long as
// before says.
func twoTrials(before string) []string {
	return []string{"run", "-scale", "0.002", "-scenarios", "H,A", "-contestants", "thread", "-rounds", "1", "-before", before, "-after", "250ms", "-no-apart"}
}

// started waits until the program says that it takes a step of scenario A. It returns
// what the program has said on its standard error, when that has ended.
func started(t testing.TB, progress io.Reader, step string) (said <-chan string) {
	t.Helper()
	begun, all := make(chan bool, 1), make(chan string, 1)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(progress)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "] A ") && strings.HasSuffix(lines.Text(), ": "+step) {
				begun <- true
			}
		}
		close(begun)
		all <- text.String()
	}()
	if !<-begun {
		t.Fatal("the program ended early: " + <-all)
	}
	return all
}

// Ctrl-C, and the death of the program, keep what was measured.
func TestAnInterruptedRunIsKept(t *testing.T) {
	t.Parallel()
	if signal.Ignored(syscall.SIGHUP) { // under nohup, which the program would inherit
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, syscall.SIGHUP)
		defer signal.Ignore(syscall.SIGHUP)
	}
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		trials int // of the two, at least
	}{{"Ctrl-C", syscall.SIGINT, 2}, {"the terminal goes", syscall.SIGHUP, 2}, {"kill -9", syscall.SIGKILL, 1}} {
		t.Run(c.name, func(t *testing.T) {
			pause := 500 * time.Millisecond // of the ten minutes in which clients write
			noise.Attempts(t, 4, func(t *noise.T) {
				interrupt(t, c.signal, c.trials, pause)
				pause *= 2
			})
		})
	}
}

// interrupt ends a run a while after its clients were to begin, which they may not have done
// by then.
func interrupt(t *noise.T, signal syscall.Signal, trials int, pause time.Duration) {
	b := newBench(t)
	tmp := t.TempDir()
	cmd := b.command(append(twoTrials("10m"), "-dir", tmp)...)
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := started(t, progress, "before")
	time.Sleep(pause)
	_ = cmd.Process.Signal(signal)
	<-said
	_ = cmd.Wait()
	run := b.last()
	if run.Partial == "" || len(run.Trials) < trials || run.Trials[0].Error != "" || run.Trials[0].Save == nil {
		t.Fatalf("partial %q, trials %+v", run.Partial, run.Trials)
	}
	if signal == syscall.SIGKILL {
		b.ok(append(slices.Clone(tiny), "-scenarios", "A", "-contestants", "thread", "-no-apart", "-dir", tmp)...)
	}
	if dirs, _ := os.ReadDir(tmp); len(dirs) != 0 {
		t.Fatalf("%d directories were left in -dir", len(dirs))
	}
	if signal == syscall.SIGKILL {
		return
	}
	cut := run.Trials[1]
	if code := cmd.ProcessState.ExitCode(); code != 130 || !cut.Partial {
		t.Fatalf("exit status %d; the trial that was cut: %+v", code, cut)
	}
	if w := cut.Windows["before"]; w == nil || w.Ops["write"].Count == 0 {
		t.Errorf("the trial that was cut after %v: %+v", pause, cut)
	}
	if left, err := os.ReadDir(b.temp); err != nil || len(left) != 0 {
		t.Fatalf("%v are left, %v", left, err)
	}
	if list := b.ok("list"); !strings.Contains(list, "partial") {
		t.Fatalf("list does not say that the run is partial:\n%s", list)
	}
}

// A save or a start that Ctrl-C cut has not failed.
func TestInterruptedSave(t *testing.T) {
	t.Parallel()
	redis := oracle(t, "redis-server")
	pause := 500 * time.Millisecond
	noise.Attempts(t, 4, func(t *noise.T) {
		interruptSave(t, redis, pause)
		pause *= 2
	})
}

// interruptSave ends a run a while after its save has begun, by when the reply to BGSAVE should
// have come.
func interruptSave(t *noise.T, redis string, pause time.Duration) {
	b := newBench(t)
	// Two thousand keys, 50 ms each.
	cmd := b.command("run", "-scale", "0.002", "-scenarios", "A", "-contestants", "none", "-rounds", "1", "-before", "200ms", "-no-apart",
		"-start", "slow="+redis+" --rdb-key-save-delay 50000")
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := started(t, progress, "save")
	noise.Wait(t, "the save begins", func() bool {
		dumps, err := filepath.Glob(filepath.Join(b.temp, "kvd-bench-*", "slow-*", "data", "temp-*.rdb"))
		return err == nil && len(dumps) > 0
	})
	time.Sleep(pause)
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Process.Signal(syscall.SIGINT) // a key that bounces
	text := <-said
	_ = cmd.Wait()
	trials := b.last().Trials
	if len(trials) != 1 || !trials[0].Partial || trials[0].Error != "" {
		t.Fatalf("%+v\n%s", trials, text)
	}
	if trials[0].Save == nil || trials[0].Save.Error != "interrupted" {
		t.Errorf("%+v\n%s", trials, text)
	}
}

// A reader of the progress that goes away ends no run.
func TestReaderGoesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cmd := b.command(append(slices.Clone(tiny), "-scenarios", "A", "-contestants", "thread", "-no-apart")...)
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewScanner(progress).Scan()
	_ = progress.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if run := b.last(); run.Partial != "" || len(run.Trials) != 1 {
		t.Errorf("partial %q, %d trials", run.Partial, len(run.Trials))
	}
}

// A server that somebody else runs must be empty, and is again afterwards: a key
// in another database is data too, and the dump is what it would start on.
func TestServerThatRunsAlready(t *testing.T) {
	t.Parallel()
	for name, bin := range map[string]string{"kvd": kvdBin, "redis-server": "redis-server"} {
		t.Run(name, func(t *testing.T) {
			if name == "redis-server" {
				bin = oracle(t, bin)
			}
			dir := t.TempDir()
			s, err := host.Start(t.Context(), host.Launch{Name: name, Bin: bin, Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Stop()
			b := newBench(t)
			args := append(slices.Clone(tiny), "-scenarios", "A", "-contestants", "none", "-server", "mine="+s.Addr, "-no-apart")
			b.ok(args...)
			trial := b.last().Trials[0]
			if trial.Error != "" || trial.Save == nil || trial.Save.Seconds <= 0 || len(trial.Memory) != 0 || trial.Save.ExtraMemoryBytes != nil {
				t.Errorf("%+v", trial)
			}
			if n, err := s.Do("DBSIZE"); err != nil || n != int64(0) {
				t.Fatalf("%v keys were left, %v", n, err)
			}
			if st, err := os.Stat(filepath.Join(dir, "dump.rdb")); err != nil || st.Size() > 1000 {
				t.Errorf("keys were left in the dump: %v, %v", st, err)
			}
			for _, db := range []string{"0", "3"} {
				if _, err := s.Do("SELECT", db); err != nil {
					continue // kvd has one database
				}
				if _, err := s.Do("SET", "precious", "data"); err != nil {
					t.Fatal(err)
				}
				_, errs, err := b.run(args...)
				if err == nil || !strings.Contains(errs, "must be empty") {
					t.Errorf("a server with data was measured: %v, %s", err, errs)
				}
				if n, _ := s.Do("GET", "precious"); n != "data" {
					t.Errorf("the data of the server: %v", n)
				}
				if _, err := s.Do("FLUSHALL"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A disk that is full when the results are to be written loses nothing.
func TestFullDiskUnderTheResults(t *testing.T) {
	t.Parallel()
	noise.Attempts(t, 4, fillTheDisk)
}

// fillTheDisk fills it while a trial is measured; a test that is too late for that has
// to try again.
func fillTheDisk(t *noise.T) {
	dir := t.TempDir()
	const bytesOfDisk = 3 << 20
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(bytesOfDisk)); err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip("no small disk to fill: ", err)
	}
	defer func() { _ = syscall.Unmount(dir, 0) }()
	b := benchIn(t, filepath.Join(dir, "results"))
	b.ok(append(slices.Clone(tiny), "-scenarios", "A", "-contestants", "thread", "-no-apart")...)
	first := b.last().ID

	rescue := t.TempDir()
	cmd := b.command(twoTrials("2s")...)
	cmd.Env = append(cmd.Env, "TMPDIR="+rescue)
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := started(t, progress, "start")
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<10); err == nil; {
		_, err = filler.Write(block)
	}
	_ = filler.Close()
	text := <-said // before Wait, which closes the pipe
	err = cmd.Wait()
	if strings.Contains(text, "goroutine ") {
		t.Fatalf("%v\n%s", err, text)
	}
	if err == nil || !strings.Contains(text, "no space left on device") {
		t.Errorf("%v\n%s", err, text)
		return
	}
	files, _ := filepath.Glob(filepath.Join(rescue, "*.jsonl"))
	if len(files) != 1 || !strings.Contains(text, files[0]) {
		t.Fatalf("rescued: %v\n%s", files, text)
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	b.ok("import", files[0])
	if list := b.ok("list"); !strings.Contains(list, first) || strings.Count(list, "\n") < 2 {
		t.Fatalf("the results after the disk had room again:\n%s", list)
	}
}
