package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noChildren fails the test if a child of this process is left, alive or not, or
// a descriptor.
func noChildren(t *testing.T) {
	t.Helper()
	if _, err := runHook(t.Context(), "true", &hookEnv{}, 0); err != nil { // the first one opens what stays open
		t.Fatal(err)
	}
	open := descriptors(t)
	t.Cleanup(func() {
		within(t, "all that was opened is closed", func() bool { return descriptors(t) <= open })
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // it has gone
			}
			// pid (name) state parent …
			_, rest, _ := strings.Cut(string(text), ") ")
			if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
				t.Errorf("a child is left: %s", text)
			}
		}
	})
}

// alive tells whether the process whose number is in a file runs.
func alive(t *testing.T, path string) bool {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(readText(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	return runs(pid)
}

// runs tells whether a process does.
func runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func TestHookEnvironment(t *testing.T) {
	noChildren(t)
	t.Setenv("KVD_SAVE_ERROR", "of another server")
	t.Setenv("KVD_OF_THE_SERVER", "yes")
	file := filepath.Join(t.TempDir(), "env")
	env := hookEnv{Result: "error", Error: "disk \"full\"\nreally\x00", Path: "/data/my dump.rdb", Kept: "k.rdb", Name: "$(n)", Engine: "fork",
		Reason: "save point", Verified: "full", Keys: 12, Bytes: 3456, Seconds: 1.23456}
	out, err := runHook(t.Context(), "env -0 > "+file+"; cat; readlink /proc/self/fd/0", &env, time.Minute)
	if err != nil || out != "/dev/null" {
		t.Errorf("%q, %v", out, err)
	}
	got := map[string]string{}
	for line := range strings.SplitSeq(readText(t, file), "\x00") {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	for name, want := range map[string]string{"RESULT": "error", "ERROR": "disk \"full\"\nreally", "PATH": "/data/my dump.rdb", "KEPT": "k.rdb",
		"NAME": "$(n)", "ENGINE": "fork", "REASON": "save point", "VERIFIED": "full", "KEYS": "12", "BYTES": "3456", "SECONDS": "1.235"} {
		if got["KVD_SAVE_"+name] != want {
			t.Errorf("KVD_SAVE_%s is %q, want %q", name, got["KVD_SAVE_"+name], want)
		}
	}
	if got["KVD_OF_THE_SERVER"] != "yes" {
		t.Error("the server's environment is missing")
	}
	// What is empty is there, and hides what was inherited; what is long fits.
	out, err = runHook(t.Context(), `echo "${KVD_SAVE_ERROR-none}|${#KVD_SAVE_NAME}"`, &hookEnv{Name: strings.Repeat("x", 1<<20)}, time.Minute)
	if out != "|4096" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

func TestHookResult(t *testing.T) {
	noChildren(t)
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ command, out, err string }{
		{"true", "", ""},
		{"echo one; echo two >&2", "one two", ""},
		{"exit 3", "", "save-hook: exit status 3"},
		{"echo why >&2; exit 1", "why", "save-hook: exit status 1: why"},
		{"kill -9 $$", "", "save-hook: signal: killed"},
		{"no-such-command-here", "no-such-command-here: not found", "exit status 127"},
		{"printf 'a\\033[1mb\\377c\\r\\nd\\n'", "a?[1mb?c  d", ""},
		{"printf " + long + "; exit 1", long, "exit status 1: …" + long[:200]},
		{"a\x00b", "", "save-hook: fork/exec"},
	} {
		out, err := runHook(t.Context(), c.command, &hookEnv{}, time.Minute)
		if !strings.HasSuffix(out, c.out) || (c.out == "") != (out == "") {
			t.Errorf("%s: %q, want %q", c.command, out, c.out)
		}
		if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.command, err, c.err)
		}
	}
}

func TestHookFlood(t *testing.T) {
	noChildren(t)
	out, err := runHook(t.Context(), "head -c 30000000 /dev/zero | tr '\\0' a; echo; echo the end; exit 1", &hookEnv{}, time.Minute)
	if len(out) > hookOutput+10 || !strings.HasPrefix(out, "…aaa") || !strings.HasSuffix(out, "aaa the end") {
		t.Errorf("%d bytes: %.10q…%q", len(out), out, lastBytes(out, 20))
	}
	if err == nil || len(err.Error()) > hookQuoted+100 || !strings.Contains(err.Error(), "the end") {
		t.Errorf("%v", err)
	}
	// One that never stops.
	for timeout := 200 * time.Millisecond; ; timeout *= 2 { // until it has begun
		out, err = runHook(t.Context(), "yes", &hookEnv{}, timeout)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint("ended after ", timeout)) {
			t.Errorf("%q, %v", lastBytes(out, 20), err)
		}
		if strings.HasSuffix(out, "y y") {
			break
		}
		if timeout > 10*time.Second {
			t.Fatalf("%q, %v", lastBytes(out, 20), err)
		}
	}
}

func TestHookThatHangs(t *testing.T) {
	noChildren(t)
	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range []struct {
		name, command string
		at            time.Duration // when it is dead
		tidy          string
	}{
		{"a sleep", "echo $$ > pid; echo begun; sleep 100", 0, ""},
		{"a child in the group that wants its time", "(trap 'sleep 0.3; echo -n tidied > tidy; exit' TERM; echo begun; " +
			"while :; do sleep 0.02; done) & echo $! > pid; wait", 300 * time.Millisecond, "tidied"},
		{"one that ignores SIGTERM", "trap '' TERM; echo $$ > pid; echo begun; while :; do sleep 1; done", hookMercy, ""},
		{"a child that ignores it, silently", "(trap '' TERM; exec >/dev/null 2>&1; while :; do sleep 1; done) & echo $! > pid; " +
			"echo begun; sleep 100", hookMercy, ""},
	} {
		all.Go(func() {
			// On a busy machine the command may not have begun in time, nor be dead in time: not every time.
			timeout := 300 * time.Millisecond
			err := hang(t, c.command, c.tidy, timeout, c.at)
			for try := 1; err != nil && try < 6; try++ {
				timeout *= 2
				err = hang(t, c.command, c.tidy, timeout, c.at)
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

// hang runs a command that hangs, and wants it dead at a time after the timeout.
func hang(t *testing.T, command, tidy string, timeout, at time.Duration) error {
	dir := t.TempDir()
	begun := time.Now()
	out, err := runHook(t.Context(), "cd "+dir+"; "+command, &hookEnv{}, timeout)
	took := time.Since(begun) - timeout
	if err == nil || !strings.HasPrefix(out, "begun") || !strings.Contains(err.Error(), fmt.Sprintf("ended after %v: begun", timeout)) {
		return fmt.Errorf("%q, %w", out, err)
	}
	if took < at || took > at+time.Second {
		return fmt.Errorf("ended %v after the timeout, not after %v", took, at)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	for end := time.Now().Add(patience); runs(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("it goes on")
		}
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "tidy")); string(got) != tidy {
		return fmt.Errorf("left %q, want %q", got, tidy)
	}
	return nil
}

func TestHookIsCancelled(t *testing.T) {
	noChildren(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(ErrClosed) })
	begun := time.Now()
	if _, err := runHook(ctx, "sleep 100", &hookEnv{}, 0); !errors.Is(err, ErrClosed) || time.Since(begun) > patience {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	file := filepath.Join(t.TempDir(), "ran")
	if _, err := runHook(ctx, "echo > "+file, &hookEnv{}, 0); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it ran though it was cancelled before")
	}
}

// What a hook leaves in the background neither holds it up nor is ended.
func TestHookWithAGrandchild(t *testing.T) {
	noChildren(t)
	pid := filepath.Join(t.TempDir(), "pid")
	begun := time.Now()
	out, err := runHook(t.Context(), "sleep 300 & echo $! > "+pid+"; echo said", &hookEnv{}, 2*time.Minute)
	if took := time.Since(begun); out != "said" || err != nil || took > patience {
		t.Errorf("%q, %v after %v", out, err, took)
	}
	if !alive(t, pid) {
		t.Error("it was ended")
	}
	n, _ := strconv.Atoi(strings.TrimSpace(readText(t, pid)))
	if err := unix.Kill(n, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

// The thread of a save is niced; what the process starts is not.
func TestHookIsNotNiced(t *testing.T) {
	noChildren(t)
	niced, stop := make(chan struct{}), make(chan struct{})
	go onOwnThread(func() {
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19); err != nil {
			t.Error(err)
		}
		close(niced)
		<-stop
	})
	<-niced
	defer close(stop)
	own, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid()) // 20 - nice
	if err != nil {
		t.Fatal(err)
	}
	if out, err := runHook(t.Context(), "nice", &hookEnv{}, time.Minute); err != nil || out != strconv.Itoa(20-own) {
		t.Errorf("niceness %q, %v", out, err)
	}
}

func TestHookQueueKeepsTheOrder(t *testing.T) {
	noChildren(t)
	file := filepath.Join(t.TempDir(), "log")
	var reports []string
	q := newHookQueue(func(r hookReport) { reports = append(reports, fmt.Sprintln(r.Env.Keys, r.Output, r.Err)) })
	begun := make(chan struct{})
	for i := range hooksPending + 1 {
		run := hookRun{Command: "echo $KVD_SAVE_KEYS >> " + file + "; echo out; exit $KVD_SAVE_KEYS", Timeout: time.Minute, Env: hookEnv{Keys: int64(i)}}
		if i == 0 {
			run.Command = "until [ -e " + file + " ]; do sleep 0.01; done; " + run.Command
			time.AfterFunc(200*time.Millisecond, func() {
				<-begun
				os.WriteFile(file, nil, 0o644)
			})
		}
		if err := q.add(run); err != nil {
			t.Fatal(err)
		}
		within(t, "the first does not run", func() bool { return i > 0 || len(q.runs) == 0 })
	}
	if err := q.add(hookRun{Command: "true"}); !errors.Is(err, errHooksPending) {
		t.Errorf("one too many: %v", err)
	}
	close(begun)
	q.close(patience)
	if got := strings.Join(strings.Fields(readText(t, file)), ""); got != "012345678" {
		t.Errorf("ran in the order %s", got)
	}
	if len(reports) != hooksPending+1 || reports[0] != "0 out <nil>\n" || !strings.Contains(reports[8], "exit status 8") {
		t.Errorf("%q", reports)
	}
	if err := q.add(hookRun{Command: "true"}); !errors.Is(err, errHooksClosed) {
		t.Errorf("after the end: %v", err)
	}
	q.close(0)
}

func TestHookQueueCloseKills(t *testing.T) {
	noChildren(t)
	for _, grace := range []time.Duration{0, 300 * time.Millisecond} {
		dir := t.TempDir()
		var reports []hookReport
		q := newHookQueue(func(r hookReport) { reports = append(reports, r) })
		for _, command := range []string{"echo $$ > " + dir + "/pid; sleep 100", "echo > " + dir + "/second"} {
			if err := q.add(hookRun{Command: command, Timeout: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		within(t, "the first does not run", func() bool {
			text, _ := os.ReadFile(dir + "/pid")
			return bytes.HasSuffix(text, []byte("\n"))
		})
		begun := time.Now()
		q.close(grace)
		if took := time.Since(begun); took < grace || took > patience {
			t.Errorf("closed after %v", took)
		}
		if alive(t, dir+"/pid") {
			t.Error("it runs on")
		}
		if _, err := os.Stat(dir + "/second"); err == nil {
			t.Error("the second was run")
		}
		if len(reports) != 2 || !errors.Is(reports[0].Err, errHooksClosed) || !errors.Is(reports[1].Err, errHooksClosed) || reports[0].Took <= 0 {
			t.Errorf("%+v", reports)
		}
	}
}
