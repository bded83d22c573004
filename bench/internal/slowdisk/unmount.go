//go:build linux

package slowdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// unmount is for a disk that nobody has open.
func unmount(mountpoint string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(mountpoint, 0)
	}
	return runFusermount("-u", mountpoint)
}

// unmountLazily takes the name away whoever has the disk open. Root also cuts
// the connection between kernel and file system, so that nothing hangs.
func unmountLazily(mountpoint string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(mountpoint, unix.MNT_FORCE|unix.MNT_DETACH)
	}
	return runFusermount("-u", "-z", mountpoint)
}

func runFusermount(args ...string) error {
	bin := fusermount()
	if bin == "" {
		return exec.ErrNotFound
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// CleanStale unmounts what a slow disk of a process that died has left at
// mountpoint, which must be an absolute path. It does nothing to a live mount,
// and nothing if there is none or no such directory.
func CleanStale(mountpoint string) error {
	var st unix.Stat_t
	// A dead FUSE mount is the only thing that answers so.
	for errors.Is(unix.Stat(mountpoint, &st), unix.ENOTCONN) {
		if err := unmountLazily(mountpoint); err != nil {
			return fmt.Errorf("slowdisk: a stale mount at %s: %w", mountpoint, err)
		}
	}
	return nil
}

// mounted tells whether a slow disk, alive or dead, is mounted at mountpoint.
func mounted(mountpoint string) bool {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return true // who knows
	}
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(mountpoint)
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[1] == escaped && f[2] == "fuse."+fsName {
			return true
		}
	}
	return false
}

// watcher is a shell that unmounts when this process is gone, however it went.
// A nil watcher is one that could not be started.
type watcher struct {
	cmd  *exec.Cmd
	pipe io.Closer // its standard input; nobody writes to it
}

const watchScript = `read -r _
umount -l "$1" || fusermount3 -u -z "$1" || fusermount -u -z "$1"`

// watch starts a watcher. It is in a session of its own: a Ctrl-C at the
// terminal, which ends this process, must not end it.
func watch(mountpoint string) *watcher {
	cmd := exec.Command("sh", "-c", watchScript, fsName, mountpoint)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return nil
	}
	return &watcher{cmd: cmd, pipe: pipe}
}

// stop ends the watcher; the disk has been unmounted.
func (w *watcher) stop() {
	if w == nil {
		return
	}
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	_ = w.pipe.Close()
}
