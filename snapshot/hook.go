package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hookEnv is what a save-hook is told, in its environment.
type hookEnv struct {
	Result   string // ok, error or cancelled
	Error    string // "" if Result is ok
	Path     string // of the file, absolute
	Kept     string // the second name that save-keep gave it, within the same directory
	Name     string // of the snapshot; "" for the dump
	Engine   string
	Reason   string // who asked for the save
	Verified string // yes, full, no or failed
	Keys     int64
	Bytes    int64
	Seconds  float64
}

// environ returns the environment of a hook: the server's, and the save. All the
// variables are always there, so that none is left of a server that was itself
// started by a hook.
func (e *hookEnv) environ() []string {
	// The system refuses a variable above 128 KiB, and a zero byte in it.
	clean := func(s string) string { return strings.ReplaceAll(s[:min(len(s), hookOutput)], "\x00", "") }
	return append(os.Environ(),
		"KVD_SAVE_RESULT="+clean(e.Result),
		"KVD_SAVE_ERROR="+clean(e.Error),
		"KVD_SAVE_PATH="+clean(e.Path),
		"KVD_SAVE_KEPT="+clean(e.Kept),
		"KVD_SAVE_NAME="+clean(e.Name),
		"KVD_SAVE_ENGINE="+clean(e.Engine),
		"KVD_SAVE_REASON="+clean(e.Reason),
		"KVD_SAVE_VERIFIED="+clean(e.Verified),
		"KVD_SAVE_KEYS="+strconv.FormatInt(e.Keys, 10),
		"KVD_SAVE_BYTES="+strconv.FormatInt(e.Bytes, 10),
		"KVD_SAVE_SECONDS="+strconv.FormatFloat(e.Seconds, 'f', 3, 64),
	)
}

const (
	hookOutput = 4 << 10 // bytes of output that are kept, the last ones
	hookQuoted = 200     // bytes of it that an error shows
	hookMercy  = 2 * time.Second
	// hookLinger is how long the output is waited for when the command has ended:
	// something that it left in the background may hold it open for ever.
	hookLinger = time.Second
)

// runHook runs a shell command and returns the end of what it wrote, in one
// line. It has no input and a process group of its own. When ctx is done, or
// the timeout is over (0: there is none), the group gets SIGTERM, and 2 s later SIGKILL.
// What the command leaves in the background goes on after an ordinary end, but its
// output is cut off. The error has the exit status, or why it was ended.
func runHook(ctx context.Context, command string, env *hookEnv, timeout time.Duration) (output string, err error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("ended after %v", timeout))
		defer cancel()
	}
	if err := context.Cause(ctx); err != nil {
		return "", fmt.Errorf("save-hook: %w", err)
	}
	h, err := startHook(command, env)
	if err != nil {
		return "", fmt.Errorf("save-hook: %w", err)
	}
	select {
	case err = <-h.ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
		if !h.stop() {
			err = fmt.Errorf("%w, and does not die", err)
		}
	}
	output = h.output()
	switch {
	case err == nil:
		return output, nil
	case output == "":
		return "", fmt.Errorf("save-hook: %w", err)
	}
	return output, fmt.Errorf("save-hook: %w: %s", err, lastBytes(output, hookQuoted))
}

// hookProcess is a command that runs.
type hookProcess struct {
	cmd   *exec.Cmd
	ended chan error // of cmd.Wait, once
	pipe  *os.File
	tail  tailBuffer
	eof   chan struct{}
}

func startHook(command string, env *hookEnv) (*hookProcess, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	h := &hookProcess{cmd: exec.Command("/bin/sh", "-c", command), ended: make(chan error, 1), pipe: read, eof: make(chan struct{})}
	h.cmd.Env = env.environ()
	h.cmd.Stdout, h.cmd.Stderr = write, write
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = h.cmd.Start()
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return nil, err
	}
	go func() { h.ended <- h.cmd.Wait() }()
	go func() {
		defer close(h.eof)
		buf := make([]byte, hookOutput)
		for {
			n, err := h.pipe.Read(buf)
			h.tail.write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return h, nil
}

// stop ends the whole process group. It returns false if the system does not let
// the command go, which is then left to itself.
func (h *hookProcess) stop() bool {
	pid, exited := h.cmd.Process.Pid, false
	_ = unix.Kill(-pid, unix.SIGTERM) // it may just have ended
	mercy, look := time.NewTimer(hookMercy), time.NewTicker(20*time.Millisecond)
	defer mercy.Stop()
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case <-h.ended:
			exited = true
		case <-look.C:
		case <-mercy.C:
			waiting = false
		}
		if exited && !groupAlive(pid) {
			return true
		}
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	if exited {
		return true
	}
	select {
	case <-h.ended:
		return true
	case <-time.After(hookMercy): // it waits for a dead disk
		return false
	}
}

// groupAlive tells whether a process group has a member that runs. Dead ones that
// init has not buried yet keep the group, and whoever asks kill waiting.
func groupAlive(group int) bool {
	if unix.Kill(-group, 0) == unix.ESRCH {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // an error is about the pattern
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone
		}
		// "pid (name) state parent group …"; the name may contain anything.
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(f) > 2 && f[2] == strconv.Itoa(group) && f[0] != "Z" && f[0] != "X" {
			return true
		}
	}
	return false
}

// output returns what was written, when all is or enough time has passed.
func (h *hookProcess) output() string {
	select {
	case <-h.eof:
	case <-time.After(hookLinger):
	}
	_ = h.pipe.Close() // wakes the reader
	<-h.eof
	return h.tail.line()
}

// tailBuffer keeps the last hookOutput bytes.
type tailBuffer struct {
	buf []byte
	cut bool
}

func (b *tailBuffer) write(p []byte) {
	b.buf = append(b.buf, p...)
	if over := len(b.buf) - hookOutput; over > 0 {
		b.buf = append(b.buf[:0], b.buf[over:]...)
		b.cut = true
	}
}

// line returns it fit for a log and for INFO: lines are joined, and what is not text
// becomes a question mark.
func (b *tailBuffer) line() string {
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < ' ' || 0x7f <= r && r < 0xa0:
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(b.buf), "?"))
	text = strings.TrimSpace(text)
	if b.cut {
		return "…" + text
	}
	return text
}

// lastBytes returns the end of a text, n bytes or a little less.
func lastBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + strings.TrimLeft(strings.ToValidUTF8(s[len(s)-n:], ""), " ")
}

// hookRun is a hook to run.
type hookRun struct {
	Command string
	Timeout time.Duration // 0: none
	Env     hookEnv
}

// hookReport is how that went.
type hookReport struct {
	Env    hookEnv
	Output string // in one line
	Err    error  // nil if it ended with status 0
	Took   time.Duration
}

// hooksPending is how many hooks may wait while one runs.
const hooksPending = 8

var errHooksPending = fmt.Errorf("save-hook: not run: %d are waiting already", hooksPending)

// hookQueue runs hooks one after the other, in the order in which they came. It
// must be closed. Its methods may be called from any goroutine.
type hookQueue struct {
	report func(hookReport)
	ctx    context.Context
	cancel context.CancelCauseFunc
	gone   chan struct{}

	mu     sync.Mutex
	closed bool
	runs   chan hookRun
}

// newHookQueue returns a queue that calls report after each hook, from one
// goroutine.
func newHookQueue(report func(hookReport)) *hookQueue {
	q := &hookQueue{report: report, gone: make(chan struct{}), runs: make(chan hookRun, hooksPending)}
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	go q.work()
	return q
}

func (q *hookQueue) work() {
	defer close(q.gone)
	for run := range q.runs {
		begun := time.Now()
		output, err := runHook(q.ctx, run.Command, &run.Env, run.Timeout)
		q.report(hookReport{Env: run.Env, Output: output, Err: err, Took: time.Since(begun)})
	}
}

// add has a hook run when those before it have. The error says why it will not.
func (q *hookQueue) add(run hookRun) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("save-hook: not run: %w", errHooksClosed)
	}
	select {
	case q.runs <- run:
		return nil
	default:
		return errHooksPending
	}
}

var errHooksClosed = errors.New("the server ends")

// close ends the queue: what is in it may run for at most grace, then the one
// that runs is killed and the others are reported as not run. It returns when
// nothing runs any more.
func (q *hookQueue) close(grace time.Duration) {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.runs)
	}
	q.mu.Unlock()
	if grace > 0 {
		select {
		case <-q.gone:
		case <-time.After(grace):
		}
	}
	q.cancel(errHooksClosed)
	<-q.gone
}
