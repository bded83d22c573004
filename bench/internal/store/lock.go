package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// lockName is pebble's own lock file: other programs that open the directory by
// pebble are kept out too.
const lockName = "LOCK"

// lockPatience is how long the lock is waited for: a list takes less.
var lockPatience = time.Second

const lockPoll = 20 * time.Millisecond

// noLock is a file system without pebble's lock, which the Store holds instead:
// it is shared between readers, needs no writable directory, and outlives a
// database that was given up.
type noLock struct{ vfs.FS }

type nothing struct{}

func (nothing) Close() error { return nil }

func (noLock) Lock(string) (io.Closer, error) { return nothing{}, nil }

// takeLock locks the directory, for itself or shared with other readers. The
// lock is one of the open file, not of the process: it also keeps a second Store
// of this process out, and ends with the process, however that ends.
func (s *Store) takeLock() error {
	path := filepath.Join(s.dir, lockName)
	flags, kind := os.O_RDWR|os.O_CREATE, int16(unix.F_WRLCK)
	if s.readOnly {
		flags, kind = os.O_RDONLY, unix.F_RDLCK
	}
	f, err := os.OpenFile(path, flags, 0o666)
	if s.readOnly && errors.Is(err, fs.ErrNotExist) {
		return nil // copied without it: nobody writes there
	}
	if err != nil {
		return s.explain("write", err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		lock := unix.Flock_t{Type: kind, Whence: io.SeekStart}
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
		busy := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
		if !busy || time.Now().After(deadline) {
			break
		}
		time.Sleep(lockPoll)
	}
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		who := holder(f)
		_ = f.Close()
		return fmt.Errorf("%s: %w: %s has them open", s.dir, ErrLocked, who)
	case err != nil:
		_ = f.Close()
		return s.explain("lock", err)
	}
	s.lock = f
	if !s.readOnly {
		// For the words above; a full disk is told by those who write more.
		_ = f.Truncate(0)
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return nil
}

// holder names the process that has the lock, as far as it can be told: readers
// leave no number, and one that was killed leaves its own.
func holder(f *os.File) string {
	const longest = 20
	text, _ := io.ReadAll(io.LimitReader(f, longest))
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return "another process"
	}
	if pid == os.Getpid() {
		return "this process"
	}
	return fmt.Sprintf("process %d", pid)
}

// unlock gives the directory back.
func (s *Store) unlock() {
	if s.lock == nil {
		return
	}
	if !s.readOnly {
		_ = s.lock.Truncate(0) // the process number is of no use any more
	}
	_ = s.lock.Close()
	s.lock = nil
}
