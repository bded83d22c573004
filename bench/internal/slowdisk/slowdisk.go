//go:build linux

package slowdisk

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// ErrUnavailable says that this machine, or this user, cannot have a FUSE mount;
// the error that wraps it has the reason.
var ErrUnavailable = errors.New("no throttled disk, since FUSE cannot be used here")

// fsName stands as the type, after "fuse.", in /proc/mounts.
const fsName = "slowdisk"

// Disk is a mounted directory with throttled writes. Its methods may be called
// from several goroutines.
type Disk struct {
	mountpoint string
	throttle   *throttle
	written    atomic.Int64
	server     *fuse.Server
	watcher    *watcher

	mu        sync.Mutex
	unmounted bool
}

// Mount shows the directory backing at the directory mountpoint, writes
// throttled to bytesPerSecond; 0 is no throttle. Both directories must exist, and
// neither lie in the other. What a mount of a dead process left at mountpoint is
// taken away first.
//
// The caller owns the Disk and must call Unmount. The error wraps ErrUnavailable
// if the machine has no FUSE for this process: no /dev/fuse, no right to open it
// or to mount, or neither root nor fusermount3.
func Mount(backing, mountpoint string, bytesPerSecond int64) (*Disk, error) {
	return mount(backing, mountpoint, bytesPerSecond, true)
}

func mount(backing, mountpoint string, bytesPerSecond int64, watched bool) (*Disk, error) {
	if bytesPerSecond < 0 {
		return nil, fmt.Errorf("slowdisk: a rate of %d bytes per second", bytesPerSecond)
	}
	if err := available("/dev/fuse", os.Geteuid()); err != nil {
		return nil, err
	}
	backing, mountpoint, err := directories(backing, mountpoint)
	if err != nil {
		return nil, err
	}
	d := &Disk{mountpoint: mountpoint, throttle: newThrottle(bytesPerSecond)}
	root, err := newRoot(d, backing)
	if err != nil {
		return nil, fmt.Errorf("slowdisk: %s: %w", backing, err)
	}
	if err := d.serve(root); err != nil {
		return nil, fmt.Errorf("%w: mounting %s: %w", ErrUnavailable, mountpoint, err)
	}
	if watched {
		d.watcher = watch(mountpoint)
	}
	return d, nil
}

// serve mounts and begins to serve.
func (d *Disk) serve(root fs.InodeEmbedder) (err error) {
	asRoot := os.Geteuid() == 0
	quiet := log.New(io.Discard, "", 0)
	// Names and attributes are not cached (no timeouts): what others do in the
	// backing directory is seen at once.
	options := &fs.Options{
		MountOptions: fuse.MountOptions{
			Name: fsName, FsName: fsName, DisableXAttrs: true, Logger: quiet,
			DirectMountStrict: asRoot, // else by fusermount3
		},
		Logger: quiet,
	}
	if asRoot {
		// go-fuse leaves this descriptor open across exec. A child that has it
		// would keep the connection alive when this process is killed, and
		// whoever waits for a write would wait for ever.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		defer closeDeviceOnExec()
	}
	d.server, err = fs.Mount(d.mountpoint, root, options)
	return err
}

// closeDeviceOnExec keeps the descriptors of /dev/fuse from children.
func closeDeviceOnExec() {
	const dir = "/proc/self/fd"
	entries, _ := os.ReadDir(dir) // without /proc there is nothing to be done
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if fd, bad := strconv.Atoi(e.Name()); err == nil && bad == nil && target == "/dev/fuse" {
			unix.CloseOnExec(fd)
		}
	}
}

// available tells why a process of that user cannot mount, as far as can be seen
// before trying.
func available(device string, euid int) error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, device, err)
	}
	_ = unix.Close(fd)
	if euid != 0 && fusermount() == "" {
		return fmt.Errorf("%w: not root, and there is no fusermount3", ErrUnavailable)
	}
	return nil
}

// directories makes both paths absolute and sees that they are fit.
func directories(backing, mountpoint string) (string, string, error) {
	var err error
	if mountpoint, err = filepath.Abs(mountpoint); err != nil {
		return "", "", err
	}
	if err := CleanStale(mountpoint); err != nil {
		return "", "", err
	}
	for _, p := range []*string{&backing, &mountpoint} {
		if *p, err = filepath.Abs(*p); err == nil {
			*p, err = filepath.EvalSymlinks(*p)
		}
		if err != nil {
			return "", "", fmt.Errorf("slowdisk: %w", err)
		}
		info, err := os.Stat(*p)
		if err != nil {
			return "", "", fmt.Errorf("slowdisk: %w", err)
		}
		if !info.IsDir() {
			return "", "", fmt.Errorf("slowdisk: %s is no directory", *p)
		}
	}
	if within(mountpoint, backing) || within(backing, mountpoint) {
		// The file system would wait for itself, or show itself in itself.
		return "", "", fmt.Errorf("slowdisk: of backing directory %s and mount point %s one lies in the other", backing, mountpoint)
	}
	return backing, mountpoint, nil
}

// within tells whether path is dir or lies in it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Dir returns the mount point, absolute.
func (d *Disk) Dir() string { return d.mountpoint }

// SetRate changes the rate, in bytes per second, at once and for writes under
// way too; 0 or less is no throttle.
func (d *Disk) SetRate(bytesPerSecond int64) { d.throttle.setRate(bytesPerSecond) }

// Written returns the bytes written into the backing directory since Mount.
func (d *Disk) Written() int64 { return d.written.Load() }

const (
	// busyTime is for how long Unmount hopes that whoever has the disk open lets
	// go: a server that has just been stopped may still be closing its files.
	busyTime  = 250 * time.Millisecond
	busyPause = 5 * time.Millisecond
	// endTime is for how long it waits for the serving goroutines.
	endTime = 2 * time.Second
)

// Unmount takes the disk away; the backing directory stays. A disk that a
// process still has open is forced or lazily unmounted: its name is gone at
// once, and what that process still writes fails with an I/O error. Further
// calls do nothing and return nil. On an error, which wraps the system's, it may
// be tried again.
func (d *Disk) Unmount() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unmounted {
		return nil
	}
	d.throttle.close() // nobody waits for a slow write any more
	var err error
	for deadline := time.Now().Add(busyTime); ; time.Sleep(busyPause) {
		if err = unmount(d.mountpoint); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		err = unmountLazily(d.mountpoint)
	}
	// Somebody else may have unmounted: what counts is that it is gone.
	if err != nil && mounted(d.mountpoint) {
		return fmt.Errorf("slowdisk: unmounting %s: %w", d.mountpoint, err)
	}
	d.unmounted = true
	d.watcher.stop()
	ended := make(chan struct{})
	go func() {
		d.server.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endTime): // lazily: they end when the last file is closed
	}
	return nil
}

// fusermount returns the path of the set-uid helper, "" if there is none.
func fusermount() string {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if bin, err := exec.LookPath(name); err == nil {
			return bin
		}
	}
	return ""
}
