package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
)

// TestMain makes the test binary the other process that some tests need.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_DIR"); dir != "" {
		other(dir)
		return
	}
	lockPatience = 200 * time.Millisecond
	os.Exit(m.Run())
}

// other saves a run with two trials and then waits to be killed.
func other(dir string) {
	s, err := Open(dir)
	if err == nil {
		run := sampleRun(1, 2)
		err = s.Begin(run)
		for i := range run.Trials {
			err = errors.Join(err, s.PutTrial(run.ID, i, &run.Trials[i]))
		}
	}
	fmt.Println("done:", err)
	time.Sleep(time.Minute)
}

// startOther returns once the other process has saved its trials.
func startOther(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "done: <nil>\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

func TestKilledProgramKeepsItsTrials(t *testing.T) {
	dir := t.TempDir()
	cmd := startOther(t, dir)

	// While it lives nobody else gets in, and is told who has it.
	for _, f := range []func(string) (*Store, error){Open, OpenReadOnly} {
		_, err := f(dir)
		wantError(t, err, ErrLocked, dir, fmt.Sprintf("process %d", cmd.Process.Pid))
	}

	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // "signal: killed"
	want := sampleRun(1, 2)
	want.Partial = Unfinished
	s, err := OpenReadOnly(dir)
	must(t, err)
	wantRun(t, s, want)
	must(t, s.Close())
	s = open1(t, dir)
	wantRun(t, s, want)
	must(t, s.Put(sampleRun(2, 1)))
	list, err := s.List()
	must(t, err)
	if len(list) != 2 || list[1].Partial != Unfinished || list[1].Trials != 2 {
		t.Fatalf("%+v", list)
	}
}

func TestLockInOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open1(t, dir)
	_, err := Open(dir)
	wantError(t, err, ErrLocked, dir, "this process")
	// The failed attempt has not let the lock go.
	_, err = Open(dir + "/../" + filepath.Base(dir))
	wantError(t, err, ErrLocked, dir)

	// A short use by another is waited for.
	defer func(d time.Duration) { lockPatience = d }(lockPatience)
	lockPatience = noise.Patience
	go func() {
		time.Sleep(40 * time.Millisecond)
		_ = s.Close()
	}()
	open1(t, dir)
}

// mount mounts a tmpfs, or says why it may not.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
			t.Fatalf("mount tmpfs: %v", err)
		}
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		// A database that was given up still has files open.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes until the file system is full and returns the file.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	must(t, err)
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	must(t, f.Close())
	return path
}

func TestFullDisk(t *testing.T) {
	base := mount(t, "size=4m")
	dir := filepath.Join(base, "results")
	s := open1(t, dir)
	old := sampleRun(1, 3)
	must(t, s.Put(old))
	now := sampleRun(2, 2)
	must(t, s.Begin(now))
	must(t, s.PutTrial(now.ID, 0, &now.Trials[0]))

	filler := fill(t, base)
	for range 3 {
		err := s.PutTrial(now.ID, 1, &now.Trials[1])
		wantError(t, err, syscall.ENOSPC, dir, "cannot save trial 2 of run "+now.ID, "the disk is full")
	}
	must(t, s.Err())
	wantRun(t, s, old)
	want := *now
	want.Partial, want.Trials = Unfinished, now.Trials[:1]
	wantRun(t, s, &want)

	// A program that starts now can read but not write.
	must(t, s.Close())
	_, err := Open(dir)
	wantError(t, err, syscall.ENOSPC, dir, "the disk is full")
	t.Log(err)
	s, err = OpenReadOnly(dir)
	must(t, err)
	wantRun(t, s, old)
	wantRun(t, s, &want)
	must(t, s.Close())

	// Once there is room all goes on.
	must(t, os.Remove(filler))
	s = open1(t, dir)
	must(t, s.PutTrial(now.ID, 1, &now.Trials[1]))
	want.Trials = now.Trials
	wantRun(t, s, &want)
	wantRun(t, s, old)
}

// TestFillingDisk saves until nothing fits any more, at disks of many sizes, so
// that the last byte is missed in all kinds of files.
func TestFillingDisk(t *testing.T) {
	places := map[string]int{}
	for kb := 600; kb < 680; kb += 10 {
		base := mount(t, fmt.Sprintf("size=%dk", kb))
		dir := filepath.Join(base, "results")
		s := open1(t, dir)
		run := sampleRun(1, 0)
		must(t, s.Begin(run))
		var failure error
		for n := 0; failure == nil; n++ {
			trial := sampleTrial(n, 3000+kb)
			if failure = s.PutTrial(run.ID, n, &trial); failure == nil {
				run.Trials = append(run.Trials, trial)
			}
		}
		wantError(t, failure, syscall.ENOSPC, dir, "the disk is full")
		place := "table"
		if s.Err() != nil {
			place = "manifest"
		}
		places[place]++
		run.Partial = Unfinished
		if len(run.Trials) < 5 {
			t.Fatalf("only %d trials", len(run.Trials))
		}
		wantRun(t, s, run)
		must(t, s.Close())
		r, err := OpenReadOnly(dir)
		must(t, err)
		wantRun(t, r, run)
		must(t, r.Close())
	}
	t.Log(places)
}

func TestNewStoreOnFullDisk(t *testing.T) {
	base := mount(t, "size=1m")
	fill(t, base)
	dir := filepath.Join(base, "results")
	_, err := Open(dir)
	wantError(t, err, syscall.ENOSPC, dir, "the disk is full")
	must(t, os.Remove(filepath.Join(base, "filler")))
	s := open1(t, dir) // what the failure left is no hindrance
	must(t, s.Put(sampleRun(1, 1)))
}

func TestReadOnlyFileSystem(t *testing.T) {
	base := mount(t, "size=4m")
	dir := filepath.Join(base, "results")
	s := open1(t, dir)
	run := sampleRun(1, 2)
	must(t, s.Put(run))
	must(t, s.Close())
	must(t, unix.Mount("", base, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := Open(dir)
	wantError(t, err, syscall.EROFS, dir, "the file system is read-only")
	_, err = Open(filepath.Join(base, "new"))
	wantError(t, err, syscall.EROFS, "new", "the file system is read-only")
	s, err = OpenReadOnly(dir)
	must(t, err)
	wantRun(t, s, run)
	must(t, s.Close())
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		return // may write everywhere; TestReadOnlyFileSystem is for root
	}
	dir := t.TempDir()
	s := open1(t, dir)
	run := sampleRun(1, 2)
	must(t, s.Put(run))
	must(t, s.Close())
	must(t, os.Chmod(filepath.Join(dir, lockName), 0o400))
	must(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	_, err := Open(dir)
	wantError(t, err, os.ErrPermission, dir, "not allowed")
	s, err = OpenReadOnly(dir)
	must(t, err)
	wantRun(t, s, run)
	must(t, s.Close())
}

// faulty is a file system in which writes, syncs or creations of files of a kind
// fail while armed.
type faulty struct {
	vfs.FS
	what  string // part of their names
	op    string // write, sync, create
	armed atomic.Bool
}

func (f *faulty) fails(op, name string) error {
	if f.armed.Load() && op == f.op && strings.Contains(filepath.Base(name), f.what) {
		return &os.PathError{Op: op, Path: name, Err: syscall.EIO}
	}
	return nil
}

func (f *faulty) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.fails("create", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, c)
	return &faultyFile{file, f, name}, err
}

type faultyFile struct {
	vfs.File
	fs   *faulty
	name string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.fs.fails("write", f.name); err != nil {
		// Half of it arrives, as on a disk that is full.
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.fails("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) SyncData() error {
	if err := f.fs.fails("sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func TestFailingDisk(t *testing.T) {
	for _, c := range []struct {
		what, op string
		fatal    bool // pebble gives up
		unsure   bool // the trial may be there or not
	}{
		{what: "MANIFEST-", op: "write", fatal: true},
		{what: "MANIFEST-", op: "sync", fatal: true, unsure: true},
		{what: incomingExt, op: "create"},
		{what: incomingExt, op: "write"},
		{what: incomingExt, op: "sync"},
	} {
		t.Run(c.what+" "+c.op, func(t *testing.T) {
			dir := t.TempDir()
			disk := &faulty{FS: vfs.Default, what: c.what, op: c.op}
			s, err := open(dir, disk, false)
			must(t, err)
			defer func() { must(t, s.Close()) }()
			old, now := sampleRun(1, 2), sampleRun(2, 2)
			must(t, s.Put(old))
			must(t, s.Begin(now))
			must(t, s.PutTrial(now.ID, 0, &now.Trials[0]))
			if s.Err() != nil {
				t.Fatal(s.Err())
			}

			disk.armed.Store(true)
			err = s.PutTrial(now.ID, 1, &now.Trials[1])
			wantError(t, err, syscall.EIO, dir, "cannot save trial 2 of run "+now.ID)
			if (s.Err() != nil) != c.fatal {
				t.Fatalf("Err %v", s.Err())
			}
			now.Partial = Unfinished
			whole := now.Trials
			check := func(s *Store, trials int) {
				t.Helper()
				wantRun(t, s, old)
				now.Trials = whole[:trials]
				got, err := s.Get(now.ID)
				must(t, err)
				if c.unsure && len(got.Trials) == len(whole) {
					now.Trials = whole
				}
				wantRun(t, s, now)
			}
			check(s, 1)

			disk.armed.Store(false)
			err = s.PutTrial(now.ID, 1, &whole[1])
			if c.fatal {
				wantError(t, err, ErrReadOnly, "an earlier write failed", "cannot save trial 2")
				wantError(t, s.Delete("last"), ErrReadOnly)
				must(t, s.Close())
				s, err = Open(dir)
				must(t, err)
				check(s, 1)
				err = s.PutTrial(now.ID, 1, &whole[1])
			}
			must(t, err)
			check(s, 2)
			wantNoRest(t, dir)
		})
	}
}

func wantNoRest(t *testing.T, dir string) {
	t.Helper()
	for _, name := range dirNames(t, dir) {
		if strings.HasSuffix(name, incomingExt) {
			t.Errorf("%s is left over", name)
		}
	}
}

// TestFailureWhileOpening: pebble calls a manifest that cannot be written at the
// creation fatal too.
func TestFailureWhileOpening(t *testing.T) {
	for _, op := range []string{"create", "write", "sync"} {
		dir := t.TempDir()
		disk := &faulty{FS: vfs.Default, what: "MANIFEST-", op: op}
		disk.armed.Store(true)
		_, err := open(dir, disk, false)
		wantError(t, err, syscall.EIO, dir)
		disk.armed.Store(false)
		s, err := open(dir, disk, false)
		must(t, err)
		must(t, s.Put(sampleRun(1, 1)))
		must(t, s.Close())
	}
}

func TestGuardOfPebblesOwnGoroutines(t *testing.T) {
	g := newGuard()
	release := make(chan struct{})
	go g.Fatalf("of its own: %v", syscall.EIO)
	_, err := guarded(g, func() (*result.Run, error) {
		<-release // waits for one that is gone
		return nil, nil
	})
	close(release)
	wantError(t, err, syscall.EIO, "of its own")

	g = newGuard()
	_, err = guarded(g, func() (int, error) { panic("broken") })
	wantError(t, err, nil, "pebble panicked: broken")
	if g.failed() == nil {
		t.Error("usable after a panic")
	}
}
