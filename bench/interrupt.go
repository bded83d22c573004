//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const interruptedStatus = 130 // 128 + SIGINT, as of a shell

// bounce is for how long further signals count as the first: a key that was hit
// twice, a terminal and a shell that both send one.
const bounce = time.Second

// interruptible returns a context that the first Ctrl-C ends, or SIGTERM, or the
// end of the terminal: what was measured is kept. A second one ends the program,
// and only what would fill the disk goes first.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // not under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, signals...)
	go func() {
		s := <-ch
		cancel(errors.New("signal: " + s.String()))
		for begin := time.Now(); ; {
			if <-ch; time.Since(begin) > bounce {
				break
			}
		}
		scratch.remove()
		os.Exit(interruptedStatus)
	}()
	return ctx, func() { cancel(nil) }
}

// keepOnWithoutReader has writes to a pipe that nobody reads fail, instead of
// ending the program: `bench | head` shall not lose a run. Children do not
// inherit it, as they would inherit an ignored signal.
func keepOnWithoutReader() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// scratch are the directories of the servers' data, which may be large.
var scratch scratchDirs

type scratchDirs struct {
	mu    sync.Mutex
	paths []string
}

const (
	scratchPattern = "kvd-bench-*"
	scratchLock    = "in-use" // locked as long as the program runs
)

// make makes a directory below dir that goes with the program. Those of programs
// that were killed go now.
func (s *scratchDirs) make(dir string) (string, error) {
	old, _ := filepath.Glob(filepath.Join(dir, scratchPattern))
	for _, path := range old {
		if lock, err := os.OpenFile(filepath.Join(path, scratchLock), os.O_RDWR, 0); err == nil {
			if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
				_ = os.RemoveAll(path)
			}
			_ = lock.Close()
		}
	}
	path, err := os.MkdirTemp(dir, scratchPattern)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.paths = append(s.paths, path)
	s.mu.Unlock()
	// Never closed: the lock ends with the program. Servers do not inherit it, and
	// nobody finds it before it is locked.
	lock := filepath.Join(path, scratchLock)
	fd, err := syscall.Open(lock+"-soon", syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err == nil {
		err = errors.Join(syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB), os.Rename(lock+"-soon", lock))
	}
	if err != nil {
		s.remove()
		return "", err
	}
	return path, nil
}

// remove removes what was made. Servers may still be writing there: what they put
// back goes before the next run.
func (s *scratchDirs) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range s.paths {
		_ = os.RemoveAll(path)
	}
	s.paths = nil
}
