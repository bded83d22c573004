// Package store keeps the runs of the benchmark program in a pebble database,
// the results directory, and writes and reads them as JSON lines.
//
// A run is saved as it goes on: Begin, PutTrial after every trial, Finish. What
// a call has returned without an error for is on the disk: a program that is
// killed leaves every finished trial behind, and its run is listed as partial.
//
// # Layout
//
// Values are JSON. What lists and tables need is apart from what only pictures
// need, so that List reads little:
//
//	meta/format              version of this layout, a number
//	run/ID/apart             result.Apart
//	run/ID/config            result.Run without trials and without Apart
//	run/ID/summary/00000     result.Trial without the three below
//	run/ID/trial/00000/hist  histograms by window and operation
//	run/ID/trial/00000/memory
//	run/ID/trial/00000/series
//
// # How it is written, and why
//
// Pebble ends the process when a write-ahead log or a manifest cannot be
// written, and retries a failed flush without end. Neither may happen to a
// program that has measured for an hour. So nothing goes through a log or a
// memtable: each call writes its keys to sorted tables of its own, as ordinary
// files that may fail in ordinary ways, and has pebble take these in at once
// (DB.IngestAndExcise, which also drops what they replace). What is left that
// pebble calls fatal is one record in the manifest; guard.go turns that into an
// error, after which the store can be read but no longer written. No key is ever
// in two tables that overlap for long, so that no compaction is needed, and none
// runs: between two calls nothing writes in the directory.
//
// The package imports bench/internal/result and nothing else of the project.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors to look for with errors.Is; the text of what is returned says more.
var (
	// ErrLocked: another process, or another Store of this one, has it open.
	ErrLocked = errors.New("the results are in use")
	// ErrNoStore: there are no results in the directory yet.
	ErrNoStore = errors.New("no results yet")
	// ErrNotResults: the directory holds something else; nothing was changed.
	ErrNotResults = errors.New("not a results directory")
	// ErrNewer: written by a later version of the program.
	ErrNewer = errors.New("the results are of a newer format")
	// ErrDamaged: the files are not what was written.
	ErrDamaged = errors.New("the results are damaged")
	// ErrReadOnly: opened by OpenReadOnly, or an earlier write failed.
	ErrReadOnly = errors.New("the results are open for reading only")
	// ErrNotFound: no run fits the reference.
	ErrNotFound = errors.New("no such run")
	// ErrAmbiguous: several runs fit the reference.
	ErrAmbiguous = errors.New("several runs fit")
)

// formatVersion is the version of the layout that this package writes, and the
// latest that it reads.
const formatVersion = 1

// majorVersion is pebble's own format, named so that an update of the library
// alone does not change files.
const majorVersion = pebble.FormatValueSeparation

// Store is a results directory that is open. Its methods may be called from
// several goroutines.
type Store struct {
	dir  string
	fs   vfs.FS
	lock *os.File // nil where a read-only directory has no lock file

	mu       sync.Mutex
	db       *pebble.DB // nil when closed
	guard    *guard
	options  *pebble.Options
	readOnly bool
	broken   error // why it can no longer be written
}

// Open opens the results in dir for reading and writing and creates the
// directory if there is none. One process at a time may have them open: while
// another has, Open waits a second and then fails with ErrLocked.
//
// A directory that holds anything but results is refused and left as it is.
func Open(dir string) (*Store, error) { return open(dir, vfs.Default, false) }

// OpenReadOnly opens existing results for reading: several processes may do so
// at a time, also where the directory or the file system cannot be written. It
// fails with ErrNoStore if there are none and with ErrLocked while a process has
// them open for writing.
func OpenReadOnly(dir string) (*Store, error) { return open(dir, vfs.Default, true) }

func open(dir string, files vfs.FS, readOnly bool) (*Store, error) {
	s := &Store{dir: dir, fs: noLock{files}, readOnly: readOnly}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		_ = s.closeDB() // the first error is the one to tell
		s.unlock()
		return nil, err
	}
	return s, nil
}

// prepare makes sure that the directory is there and is ours, and locks it.
func (s *Store) prepare() error {
	info, err := os.Stat(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.readOnly:
		return fmt.Errorf("%s: %w", s.dir, ErrNoStore)
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(s.dir, 0o777); err != nil {
			return s.explain("create the directory", err)
		}
	case err != nil:
		return s.explain("open", err)
	case !info.IsDir():
		return fmt.Errorf("%s: %w: it is a file", s.dir, ErrNotResults)
	}
	// Pebble's file names come from this path, and the program may change its
	// working directory.
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return err
	}
	if err := s.refuseForeign(); err != nil {
		return err
	}
	return s.takeLock()
}

// refuseForeign fails for a directory without a database but with files that
// pebble would not have made: --results=$HOME is a slip, not a wish. JSON lines
// and hidden files are welcome.
func (s *Store) refuseForeign() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return s.explain("open", err)
	}
	var other []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "marker.manifest.") {
			return nil
		}
		known := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "MANIFEST-") ||
			strings.HasPrefix(name, "OPTIONS-") || strings.HasPrefix(name, "marker.") || name == lockName
		switch filepath.Ext(name) {
		case ".jsonl", ".log", ".sst", ".dbtmp", incomingExt:
			known = true
		}
		if !known {
			other = append(other, name)
		}
	}
	if len(other) > 0 {
		const shown = 3
		names := strings.Join(other[:min(shown, len(other))], ", ")
		if len(other) > shown {
			names += ", …"
		}
		return fmt.Errorf("%s: %w: it holds other files (%s); name an empty or a new one", s.dir, ErrNotResults, names)
	}
	if s.readOnly {
		return fmt.Errorf("%s: %w", s.dir, ErrNoStore)
	}
	return nil
}

// start opens the database. An existing one is looked at read-only first, so
// that one that is refused is not changed by the opening either.
func (s *Store) start() error {
	desc, err := pebble.Peek(s.dir, s.fs)
	if err != nil {
		return s.explain("open", err)
	}
	if desc.Exists {
		if err := s.openDB(true); err != nil {
			return err
		}
		err := s.checkFormat()
		if err == nil && s.readOnly {
			return nil
		}
		if closeErr := s.closeDB(); err == nil {
			err = closeErr
		}
		if err != nil && !errors.Is(err, errUnmarked) {
			return err
		}
	} else if s.readOnly {
		return fmt.Errorf("%s: %w", s.dir, ErrNoStore)
	}
	if err := s.openDB(false); err != nil {
		return err
	}
	if err := s.checkFormat(); !errors.Is(err, errUnmarked) {
		return err
	}
	value := fmt.Appendf(nil, "%d", formatVersion)
	return s.write("create the results", keySpan(formatKey), table{{formatKey, value}})
}

// errUnmarked: a database without a single key, as a failed creation leaves it.
var errUnmarked = errors.New("empty database")

// checkFormat tells whether the database is ours to read: errUnmarked if it is
// empty, other errors if not.
func (s *Store) checkFormat() error {
	version, err := inDB(s, "open", func(db *pebble.DB) (int, error) {
		return readFormat(db)
	})
	switch {
	case errors.Is(err, errUnmarked):
		if s.readOnly {
			err = fmt.Errorf("%s: %w", s.dir, ErrNoStore)
		}
	case err == nil && version > formatVersion:
		err = fmt.Errorf("%s: %w: written in format %d by a later version of this program; this one knows format %d",
			s.dir, ErrNewer, version, formatVersion)
	}
	return err
}

func readFormat(db *pebble.DB) (version int, err error) {
	value, closer, err := db.Get([]byte(formatKey))
	if errors.Is(err, pebble.ErrNotFound) {
		it, err := db.NewIter(nil)
		if err != nil {
			return 0, err
		}
		foreign := it.First()
		if err := it.Close(); err != nil {
			return 0, err
		}
		if foreign {
			return 0, fmt.Errorf("%w: it is a pebble database of something else", ErrNotResults)
		}
		return 0, errUnmarked
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if err := json.Unmarshal(value, &version); err != nil || version < 1 {
		return 0, fmt.Errorf("%w: format version %q", ErrDamaged, value)
	}
	return version, nil
}

// openDB opens pebble on a goroutine of its own, see guard.
func (s *Store) openDB(readOnly bool) error {
	s.guard = newGuard()
	s.options = &pebble.Options{
		FS:                          s.fs,
		Logger:                      s.guard,
		EventListener:               s.guard.listener(),
		FormatMajorVersion:          majorVersion,
		ReadOnly:                    readOnly,
		DisableWAL:                  true,
		DisableAutomaticCompactions: true,
		DisableTableStats:           true,
	}
	s.options.EnsureDefaults()
	dir, options := s.dir, s.options
	db, err := guarded(s.guard, func() (*pebble.DB, error) { return pebble.Open(dir, options) })
	if err != nil {
		return s.explain("open", err)
	}
	s.db = db
	return nil
}

// closeDB closes the database but keeps the lock. What the disk refuses now is of
// no account: all that remains to be written is the end of an empty log.
func (s *Store) closeDB() error {
	db := s.db
	s.db = nil
	if db == nil {
		return nil
	}
	_, err := guarded(s.guard, func() (struct{}, error) { return struct{}{}, db.Close() })
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return nil
	}
	return s.explain("close", err)
}

// Close ends the use of the directory. Everything was on the disk before.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.closeDB()
	s.unlock()
	return err
}

// Dir returns the absolute path of the directory.
func (s *Store) Dir() string { return s.dir }

// Err returns why the results can no longer be written: the first failure that
// left pebble in doubt of its own state, wrapped in ErrReadOnly. Nil otherwise.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// fail gives the database up after a failure that pebble calls fatal, and opens
// what is on the disk anew for reading. The old one is not closed: it may be
// held for ever by the call that failed. It writes nothing any more.
func (s *Store) fail(cause error) {
	s.broken = fmt.Errorf("%w: an earlier write failed: %w", ErrReadOnly, cause)
	s.db = nil
	// If it cannot be opened either, readers are told that it is closed, and why.
	_ = s.openDB(true)
}

// inDB runs f on the database under the store's lock and words its error.
func inDB[T any](s *Store, doing string, f func(*pebble.DB) (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none T
	if s.db == nil {
		if s.broken != nil {
			return none, s.broken
		}
		return none, fmt.Errorf("results in %s: closed", s.dir)
	}
	db := s.db
	out, err := guarded(s.guard, func() (T, error) { return f(db) })
	if err != nil {
		err = s.explain(doing, err)
		if s.guard.failed() != nil {
			s.fail(err)
		}
		return none, err
	}
	return out, nil
}

// NewID returns a name for a run that starts at t: its second in UTC, by which
// names sort, and four hexadecimal digits against two in one second.
func NewID(t time.Time) string {
	return fmt.Sprintf("%s-%04x", t.UTC().Format("20060102T150405Z"), randomUint16())
}

// Delete removes a run and everything of it; ref as in Get.
func (s *Store) Delete(ref string) error {
	id, err := s.Resolve(ref)
	if err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	_, err = inDB(s, "delete run "+id, func(db *pebble.DB) (struct{}, error) {
		return struct{}{}, db.Excise(context.Background(), runSpan(id))
	})
	return err
}
