package fork

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of this file are about the process that forks: its threads, its
// other children, its death.

// helperEnv makes the test binary a parent process that a test can kill.
const helperEnv = "KVD_FORK_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "orphan":
		helperOrphan()
	case "sigchld":
		helperSigchld()
	}
}

// The child belongs to the forking thread, not to the thread of the caller.
func TestCallersThreadEnds(t *testing.T) {
	j := prepare(t, Options{Body: beatForever})
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		done <- j.Fork(nil, nil)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if err := unix.Kill(j.Pid(), 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-j.Done():
		t.Fatalf("child died with the caller's thread: %v", j.Wait().Err)
	default:
	}
}

// Every clone is made by the same thread, or PDEATHSIG would strike at random.
func TestForkingThread(t *testing.T) {
	if RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	defer disturb()()
	f := New()
	defer f.Close()
	first := 0
	for range 10 {
		j, err := f.Prepare(Options{Body: func(*Page) int32 { return 0 }})
		if err != nil {
			t.Fatal(err)
		}
		tid := 0
		if err := j.Fork(func() error { tid = unix.Gettid(); return nil }, nil); err != nil {
			t.Fatal(err)
		}
		if r := j.Wait(); r.Err != nil {
			t.Fatal(r.Err)
		}
		j.Close()
		if first == 0 {
			first = tid
		}
		if tid != first {
			t.Fatalf("forked by thread %d, then by %d", first, tid)
		}
	}
}

// Other children of the program keep their own exit status, also those that
// have ended already and wait to be reaped.
func TestOtherChildren(t *testing.T) {
	var others []*exec.Cmd
	for i := range 4 {
		cmd := exec.Command("sh", "-c", fmt.Sprintf("exit %d", i+1))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		others = append(others, cmd)
		for { // until it is a zombie
			stat, err := readProc(cmd.Process.Pid, "stat")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(stat), ") Z ") {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	defer func() {
		for i, cmd := range others {
			var ee *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &ee) || ee.ExitCode() != i+1 {
				t.Errorf("child %d: %v", i, err)
			}
		}
	}()
	for range 8 {
		if r := start(t, Options{Body: func(*Page) int32 { return 0 }}).Wait(); r.Err != nil || !r.StatusKnown {
			t.Errorf("%+v", r)
		}
	}
}

// helper starts this test binary in the given mode, with its output in a pipe.
func helper(t *testing.T, mode string) (*exec.Cmd, io.Reader) {
	t.Helper()
	if RaceEnabled {
		t.Skip("no fork under the race detector")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, out
}

// helperOrphan forks a child that holds standard output and never ends.
func helperOrphan() {
	j, err := New().Prepare(Options{Body: beatForever, KeepFDs: []int{1}})
	if err == nil {
		err = j.Fork(nil, nil)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("forked")
	select {}
}

func TestParentDies(t *testing.T) {
	cmd, out := helper(t, "orphan")
	buf := make([]byte, 64)
	n, err := out.Read(buf)
	if err != nil || string(buf[:n]) != "forked\n" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() {
		_, err := out.Read(buf) // ends when nobody holds the pipe
		end <- err
	}()
	select {
	case err := <-end:
		if err != io.EOF {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the child outlives its parent")
	}
}

// helperSigchld is a host that ignores SIGCHLD, so that nobody learns an exit
// status.
func helperSigchld() {
	signal.Ignore(syscall.SIGCHLD)
	f := New()
	for _, body := range []func(*Page) int32{
		func(*Page) int32 { return 0 },
		func(p *Page) int32 { return p.Fail("write", syscall.EIO) },
		func(*Page) int32 { exit(9); return 0 },
	} {
		j, err := f.Prepare(Options{Body: body, Timeout: patience})
		if err == nil {
			err = j.Fork(nil, nil)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		r := j.Wait()
		fmt.Println(r.StatusKnown, r.Err)
		j.Close()
	}
}

func TestStatusLost(t *testing.T) {
	_, out := helper(t, "sigchld")
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	const want = "false <nil>\nfalse write: input/output error\nfalse child ended before it was done (its exit status is lost"
	if !strings.HasPrefix(string(text), want) {
		t.Errorf("got %s", text)
	}
}
