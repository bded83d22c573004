package snapshot

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// outFile is a file in the making. It is written under a temporary name in the
// directory of the final one, which is held open: neither a change of the
// working directory nor a move of the directory affects it. One of commit and
// abort ends it; later calls of either do nothing.
type outFile struct {
	f    *os.File
	dir  *os.File
	temp string // names within dir
	name string
	path string // the final one, absolute, for messages

	mu    sync.Mutex
	ended bool
}

// createFile opens a temporary file beside path, locked (flock) so that nobody
// takes it for the left-over of a dead process.
func createFile(path string) (*outFile, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	o := &outFile{path: abs, name: filepath.Base(abs)}
	if info, err := os.Stat(abs); err == nil && info.IsDir() {
		return nil, &os.PathError{Op: "create", Path: abs, Err: unix.EISDIR}
	}
	o.dir, err = os.OpenFile(filepath.Dir(abs), os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for o.f == nil && err == nil {
		err = o.createTemp()
	}
	if err != nil {
		_ = o.dir.Close()
		return nil, err
	}
	return o, nil
}

// createTemp makes one attempt: o.f is nil and there is no error if it must be
// repeated.
func (o *outFile) createTemp() error {
	var random [8]byte
	rand.Read(random[:])
	o.temp = "temp-" + strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(random[:]) + ".rdb"
	name := filepath.Join(filepath.Dir(o.path), o.temp)
	fd, err := unix.Openat(int(o.dir.Fd()), o.temp, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	switch {
	case err == unix.EEXIST || err == unix.EINTR:
		return nil
	case err != nil:
		return &os.PathError{Op: "create", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	// A file system may have no locks; then nobody removes what others left.
	for unix.Flock(fd, unix.LOCK_EX) == unix.EINTR {
	}
	// Between the two calls RemoveStale of another process may have had it.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Nlink == 0 {
		return f.Close()
	}
	o.f = f
	return nil
}

// sync waits until the disk has everything.
func (o *outFile) sync() error { return o.f.Sync() }

// commit gives the file its name, durably. An error after the rename means that
// the new dump stands but may not survive a power failure.
func (o *outFile) commit() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return nil
	}
	dir := int(o.dir.Fd())
	if err := unix.Renameat(dir, o.temp, dir, o.name); err != nil {
		return &os.LinkError{Op: "rename", Old: o.f.Name(), New: o.path, Err: err}
	}
	o.ended = true
	err := o.dir.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBADF) { // no such thing on this file system
		err = nil
	}
	return errors.Join(err, o.f.Close(), o.dir.Close())
}

// abort removes the temporary file.
func (o *outFile) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	o.ended = true
	_ = unix.Unlinkat(int(o.dir.Fd()), o.temp, 0) // nothing better can be done about an error
	_ = o.f.Close()
	_ = o.dir.Close()
}

// fileSink is the way to the file in the serving process: ordinary system calls,
// which the scheduler knows of.
type fileSink struct {
	f      *os.File
	window syncWindow
	stop   *atomic.Bool // ends the writing, and a wait for the pace; nil if there is none
	err    error        // the first one stays
}

// Write implements rdb.Sink.
func (s *fileSink) Write(p []byte) error {
	for len(p) > 0 && s.err == nil {
		if s.stop != nil && s.stop.Load() { // a single key may be most of the data
			s.err = errStopped
			break
		}
		n := s.window.pace.piece(min(len(p), syncPiece))
		if s.window.pace.rate > 0 {
			if s.err = nap(s.window.pace.book(clock(), n), s.stop); s.err != nil {
				break
			}
		}
		_, s.err = s.f.Write(p[:n])
		p = p[n:]
		if off, ok := s.window.written(n); ok && s.err == nil {
			s.window.off, s.err = syncPieceAt(s.f, off)
		}
	}
	return s.err
}

// began is the zero of clock.
var began = time.Now()

// clock is what pace is kept by in the serving process.
func clock() time.Duration { return time.Since(began) }

// nap sleeps for d; when stop becomes true it soon returns errStopped.
func nap(d time.Duration, stop *atomic.Bool) error {
	for end := clock() + d; d > 0; d = end - clock() {
		if stop.Load() {
			return errStopped
		}
		time.Sleep(min(d, paceNap))
	}
	return nil
}

// syncPieceAt starts the writing to the disk of the piece of f at off and waits
// for that of an earlier one. unable: the file system cannot do that.
func syncPieceAt(f *os.File, off int64) (unable bool, err error) {
	fd := int(f.Fd())
	err = unix.SyncFileRange(fd, off, syncPiece, syncStart)
	if before := off - syncBehind; err == nil && before >= 0 {
		err = unix.SyncFileRange(fd, before, syncPiece, syncAwait)
	}
	if errno, ok := err.(syscall.Errno); ok && (unsupported(errno) || errno == unix.EINTR) {
		return errno != unix.EINTR, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return false, nil
}

var tempName = regexp.MustCompile(`^temp-[0-9]+-[0-9a-f]{16}\.rdb$`)

// RemoveStale removes the temporary files that saves of processes that died have
// left in dir, and returns their names. Those that a live process is writing are
// locked and stay, and so does what keep names: somebody may have made such a file the dump.
func RemoveStale(dir string, keep ...string) (removed []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		if !tempName.MatchString(e.Name()) || !e.Type().IsRegular() || slices.Contains(keep, e.Name()) {
			continue
		}
		ok, err := removeUnlocked(filepath.Join(dir, e.Name()))
		if ok {
			removed = append(removed, e.Name())
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}

func removeUnlocked(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return false, nil // it is alive, or there are no locks to tell
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("stale temporary file: %w", err)
	}
	return true, nil
}
