package store

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// guard keeps pebble from ending the process. Pebble reports what it cannot
// recover from to Logger.Fatalf and relies on that not to return: the code after
// it may remove files that the manifest already names. So Fatalf notes the cause
// and ends the goroutine that called it, with its deferred functions. All calls
// into pebble are made by guarded, on goroutines of their own, whose end is
// noticed; a goroutine of pebble's own just stops, and guarded, which may wait
// for it in vain, returns the cause.
type guard struct {
	once sync.Once
	dead chan struct{} // closed after cause is set
	err  error
}

func newGuard() *guard { return &guard{dead: make(chan struct{})} }

// fatalError is what pebble called fatal.
type fatalError struct {
	text  string
	cause error // may be nil
}

func (e *fatalError) Error() string { return e.text }
func (e *fatalError) Unwrap() error { return e.cause }

// Infof is part of pebble.Logger; there is no one to read it.
func (g *guard) Infof(string, ...any) {}

// Errorf is part of pebble.Logger: of errors that the call in question returns
// too, or that a later attempt may mend.
func (g *guard) Errorf(string, ...any) {}

// Fatalf is part of pebble.Logger; see guard.
func (g *guard) Fatalf(format string, args ...any) {
	e := &fatalError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			e.cause = err
		}
	}
	g.fail(e)
	runtime.Goexit()
}

func (g *guard) fail(err error) {
	g.once.Do(func() {
		g.err = err
		close(g.dead)
	})
}

// failed returns what pebble called fatal, if it did.
func (g *guard) failed() error {
	select {
	case <-g.dead:
		return g.err
	default:
		return nil
	}
}

// listener keeps damage that was read from being fatal, as it is by default: the
// reading call returns it as an error.
func (g *guard) listener() *pebble.EventListener {
	l := &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
	l.EnsureDefaults(g)
	return l
}

// guarded calls f on a goroutine of its own and returns what it returned, or
// what pebble called fatal meanwhile. f must hand out results by its return
// values alone: after a failure it may still be running, for ever.
func guarded[T any](g *guard, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		out := outcome{err: errors.New("pebble ended the call")}
		defer func() {
			if r := recover(); r != nil {
				// Its locks may be held for ever.
				g.fail(fmt.Errorf("pebble panicked: %v", r))
			}
			done <- out
		}()
		value, err := f()
		out = outcome{value, err}
	}()
	select {
	case out := <-done:
		if err := g.failed(); err != nil {
			return out.value, err
		}
		return out.value, out.err
	case <-g.dead:
		var none T
		return none, g.err
	}
}

// explain says what could not be done, and where, and puts the usual causes in
// words. Nil stays nil.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	words := "cannot " + doing
	switch {
	case errors.Is(err, syscall.ENOSPC):
		words += ": the disk is full"
	case errors.Is(err, syscall.EDQUOT):
		words += ": the disk quota is used up"
	case errors.Is(err, syscall.EFBIG):
		words += ": the limit of a file's size is reached"
	case errors.Is(err, syscall.EROFS):
		words += ": the file system is read-only"
	case errors.Is(err, fs.ErrPermission):
		words += ": not allowed"
	case pebble.IsCorruptionError(err):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("results in %s: %s: %w", s.dir, words, oneLine{err})
}

// oneLine is an error without the further lines that pebble's have for machines.
type oneLine struct{ error }

func (e oneLine) Unwrap() error { return e.error }

func (e oneLine) Error() string {
	text, _, _ := strings.Cut(e.error.Error(), "\n")
	return text
}
