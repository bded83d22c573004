//go:build linux

package slowdisk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/noise"
)

// The whole takes the right time, and so does every part of it.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		rate, total, chunk int
	}{
		{20 << 20, 20 << 20, 4 << 20},
		{1 << 20, 1 << 20, 4096},
		{50_000, 50_000, 1 << 20},
	} {
		t.Run(fmt.Sprintf("%d B per s in pieces of %d", c.rate, c.chunk), func(t *testing.T) {
			t.Parallel()
			noise.Attempts(t, 4, func(t *noise.T) { writeAtRate(t, c.rate, c.total, c.chunk) })
		})
	}
}

func writeAtRate(t *noise.T, rate, total, chunk int) {
	d, backing := disk(t, int64(rate))
	time.Sleep(2 * burstTime) // idle time may be saved up, but little
	a := act(t, "write", join(d, "f"), fmt.Sprint(total), fmt.Sprint(chunk))
	var usec, done int
	for a.out.Scan() {
		if _, err := fmt.Sscan(a.out.Text(), &usec, &done); err != nil {
			t.Fatal(a.out.Text())
		}
		// What the kernel holds for the disk has been granted before the writer hears of it.
		if most := float64(rate) * (float64(usec)/1e6*1.05 + 0.1); float64(done) > most {
			t.Errorf("%d bytes after %d us: a burst", done, usec)
		}
	}
	if err := a.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	took, want := float64(usec)/1e6, float64(total)/float64(rate)
	if done != total || took < 0.8*want {
		t.Fatalf("%d bytes took %.3f s, want %.3f s", done, took, want)
	}
	if took > 1.5*want+0.3 {
		t.Errorf("%d bytes took %.3f s, want %.3f s", done, took, want)
	}
	if d.Written() != int64(total) {
		t.Fatalf("Written is %d", d.Written())
	}
	if info, err := os.Stat(filepath.Join(backing, "f")); err != nil || info.Size() != int64(total) {
		t.Fatal(info, err)
	}
}

// Two writers share the rate, about equally.
func TestTwoWritersShareTheRate(t *testing.T) {
	noise.Attempts(t, 4, func(t *noise.T) {
		d, _ := disk(t, 1)
		a := act(t, "write", join(d, "a"), fmt.Sprint(1<<20), "65536")
		b := act(t, "write", join(d, "b"), fmt.Sprint(1<<20), "1048576")
		time.Sleep(100 * time.Millisecond) // both are in a write now
		begin := time.Now()
		d.SetRate(4 << 20)
		errA := a.cmd.Wait()
		half := time.Since(begin)
		errB := b.cmd.Wait()
		took := time.Since(begin)
		if errA != nil || errB != nil || took < 400*time.Millisecond {
			t.Fatalf("took %v, want 0.5 s; %v %v", took, errA, errB)
		}
		if took > time.Second {
			t.Errorf("took %v, want 0.5 s", took)
		}
		if half < 300*time.Millisecond {
			t.Errorf("one of them was served first: done after %v", half)
		}
	})
}

func TestSetRateWakesWriters(t *testing.T) {
	d, _ := disk(t, 1)
	a := act(t, "write", join(d, "f"), fmt.Sprint(8<<20), "1048576")
	time.Sleep(50 * time.Millisecond)
	d.SetRate(0)
	noise.Wait(t, "all is written", func() bool { return d.Written() == 8<<20 }) // or it would take months
	if err := a.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestKilledWriterDies(t *testing.T) {
	const limit = 20 * time.Second
	for _, rate := range []int64{100, 1 << 20} { // a write would take a minute and more
		d, _ := disk(t, rate)
		for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
			a := act(t, "write", join(d, signal.String()), fmt.Sprint(128<<20), fmt.Sprint(64<<20))
			before := d.Written()
			noise.Wait(t, "the write has begun", func() bool { return d.Written() > before })
			begin := time.Now()
			if err := a.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			rescue := time.AfterFunc(limit, func() { d.SetRate(0) }) // or the test would hang
			_ = a.cmd.Wait()
			rescue.Stop()
			took := time.Since(begin)
			t.Logf("rate %d, %v: died after %v", rate, signal, took)
			if took > limit {
				t.Error("too late")
			}
		}
	}
}

// What kvd's saves, redis-server and pebble do with files. The directory is used
// by this process here, quickly and unthrottled, which is all right.
func TestFileOperations(t *testing.T) {
	d, backing := disk(t, 0)
	name := join(d, "temp")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); !errors.Is(err, os.ErrExist) {
		t.Error("O_EXCL:", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Error("flock:", err)
	}
	if err := act(t, "lock", name).cmd.Wait(); err == nil {
		t.Error("another process got the lock too")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Error(err)
	}
	if err := act(t, "lock", name).cmd.Wait(); err != nil {
		t.Error("the lock is free, but another process does not get it")
	}
	if _, err := f.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if err := unix.SyncFileRange(int(f.Fd()), 0, 5, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		t.Error("sync_file_range:", err)
	}
	if err := f.Sync(); err != nil {
		t.Error("fsync:", err)
	}
	if err := os.WriteFile(join(d, "dump"), []byte("older and longer"), 0o600); err != nil {
		t.Error(err)
	}
	reader, err := os.Open(join(d, "dump"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := os.Rename(name, join(d, "dump")); err != nil {
		t.Error("rename:", err)
	}
	dir, err := os.Open(d.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		t.Error("fsync of the directory:", err)
	}
	for _, root := range []string{d.Dir(), backing} {
		if got, err := os.ReadFile(filepath.Join(root, "dump")); err != nil || string(got) != "hello" {
			t.Errorf("%q %v", got, err)
		}
	}
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() != 0o640 || info.Size() != 5 {
		t.Error(info, err)
	}
	// The file that was replaced is still there for who has it open.
	var st unix.Stat_t
	if err := unix.Fstat(int(reader.Fd()), &st); err != nil || st.Nlink != 0 {
		t.Errorf("links of a replaced file: %d %v", st.Nlink, err)
	}
	if got := make([]byte, 5); true {
		if _, err := reader.ReadAt(got, 0); err != nil || string(got) != "older" {
			t.Errorf("%q %v", got, err)
		}
	}
	if err := os.Link(join(d, "dump"), join(d, "link")); err != nil {
		t.Error("link:", err)
	}
	if err := os.Truncate(join(d, "link"), 2); err != nil {
		t.Error("truncate:", err)
	}
	if got, err := os.ReadFile(join(d, "dump")); err != nil || string(got) != "he" {
		t.Errorf("%q %v", got, err)
	}
	if err := os.MkdirAll(join(d, "x/y"), 0o755); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(join(d, "x")); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(d.Dir())
	if err != nil || len(entries) != 2 {
		t.Error(entries, err)
	}
	var here, there unix.Statfs_t
	if err := errors.Join(unix.Statfs(d.Dir(), &here), unix.Statfs(backing, &there)); err != nil ||
		here.Blocks != there.Blocks || here.Bsize != there.Bsize {
		t.Errorf("statfs: %+v, backing %+v, %v", here, there, err)
	}
}

// Appending, overwriting and reading back through one descriptor, and a mapped
// file.
func TestContents(t *testing.T) {
	d, backing := disk(t, 0)
	want := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // not a multiple of a request
	if err := os.WriteFile(join(d, "f"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(join(d, "f"), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("tail")); err != nil {
		t.Error(err)
	}
	want = append(want, "tail"...)
	g, err := os.OpenFile(join(d, "f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := g.WriteAt([]byte("HEAD"), 300_001); err != nil {
		t.Error(err)
	}
	copy(want[300_001:], "HEAD")
	got := make([]byte, len(want))
	if _, err := g.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Error("through the descriptor that wrote:", err)
	}
	for _, root := range []string{d.Dir(), backing} {
		if got, err := os.ReadFile(filepath.Join(root, "f")); err != nil || !bytes.Equal(got, want) {
			t.Error(root, err)
		}
	}
}

// Reading is not throttled.
func TestReadsAreFast(t *testing.T) {
	d, backing := disk(t, 1000)
	want := bytes.Repeat([]byte("x"), 16<<20)
	if err := os.WriteFile(filepath.Join(backing, "f"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), noise.Patience) // throttled it would take hours
	defer cancel()
	if out, err := exec.CommandContext(ctx, "sha256sum", join(d, "f")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A copy within the disk is a write like others.
func TestCopyFileRangeIsThrottled(t *testing.T) {
	d, backing := disk(t, 1<<20)
	if err := os.WriteFile(filepath.Join(backing, "f"), make([]byte, 512<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	out, err := exec.Command("cp", "--reflink=auto", join(d, "f"), join(d, "g")).CombinedOutput()
	if took := time.Since(begin).Seconds(); err != nil || took < 0.4 || took > noise.Patience.Seconds() {
		t.Errorf("%v: %s after %.3f s", err, out, took)
	}
}

func TestUnmountIsIdempotent(t *testing.T) {
	d, backing := disk(t, 1000)
	if err := os.WriteFile(join(d, "f"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !mounted(d.Dir()) {
		t.Error("not in /proc/mounts")
	}
	for range 3 {
		if err := d.Unmount(); err != nil {
			t.Error(err)
		}
	}
	if mounted(d.Dir()) {
		t.Error("still in /proc/mounts")
	}
	if entries, err := os.ReadDir(d.Dir()); err != nil || len(entries) != 0 {
		t.Error(entries, err)
	}
	if _, err := os.Stat(filepath.Join(backing, "f")); err != nil {
		t.Error(err)
	}
	again, err := Mount(backing, d.Dir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(join(again, "f")); err != nil {
		t.Error(err)
	}
	if err := again.Unmount(); err != nil {
		t.Error(err)
	}
}

// A server that has a file open, even one that is in a write, cannot hold the
// mount.
func TestUnmountWhileOpen(t *testing.T) {
	d, _ := disk(t, 100)
	a := act(t, "write", join(d, "f"), "1000000", "1000000") // for hours
	noise.Wait(t, "the write has begun", func() bool { return d.Written() > 0 })
	begin := time.Now()
	if err := d.Unmount(); err != nil {
		t.Fatal(err)
	}
	if mounted(d.Dir()) {
		t.Error("still in /proc/mounts")
	}
	if took := time.Since(begin); took > noise.Patience {
		t.Errorf("took %v", took)
	}
	if a.out.Scan(); !strings.Contains(a.out.Text(), "write") {
		t.Errorf("the writer heard of no error: %q", a.out.Text())
	}
	if err := a.cmd.Wait(); err == nil {
		t.Error("the writer ended well")
	}
}

func TestKilledMounterLeavesNothing(t *testing.T) {
	_, _ = disk(t, 0) // or skip
	backing, mountpoint := t.TempDir(), t.TempDir()
	a := act(t, "mount", backing, mountpoint, "100", "true")
	w := act(t, "write", filepath.Join(mountpoint, "f"), "1000000", "1000000")
	if !mounted(mountpoint) {
		t.Fatal("not mounted")
	}
	time.Sleep(50 * time.Millisecond)
	a.kill()
	noise.Wait(t, "the watcher unmounts", func() bool { return !mounted(mountpoint) })
	begin := time.Now()
	if err := w.cmd.Wait(); err == nil || time.Since(begin) > noise.Patience {
		t.Errorf("the writer: %v after %v", err, time.Since(begin))
	}
}

func TestStaleMountIsTakenAway(t *testing.T) {
	_, _ = disk(t, 0) // or skip
	backing, mountpoint := t.TempDir(), t.TempDir()
	t.Cleanup(func() { _ = unmountLazily(mountpoint) })
	stale := func() {
		t.Helper()
		act(t, "mount", backing, mountpoint, "100", "false").kill()
		if _, err := os.Stat(mountpoint); !errors.Is(err, unix.ENOTCONN) || !mounted(mountpoint) {
			t.Fatalf("no stale mount: %v", err)
		}
	}
	stale()
	d, err := Mount(backing, mountpoint, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := CleanStale(mountpoint); err != nil || !mounted(mountpoint) {
		t.Errorf("a live mount: %v, mounted %v", err, mounted(mountpoint))
	}
	if err := d.Unmount(); err != nil {
		t.Error(err)
	}
	stale()
	for range 2 {
		if err := CleanStale(mountpoint); err != nil || mounted(mountpoint) {
			t.Error(err, mounted(mountpoint))
		}
	}
	if err := CleanStale(filepath.Join(mountpoint, "nothing")); err != nil {
		t.Error(err)
	}
}

// A child that had the device would keep the connection alive after our death.
func TestChildrenDoNotInherit(t *testing.T) {
	d, _ := disk(t, 0)
	a := act(t, "write", join(d, "f"), "1", "1")
	out, err := exec.Command("sh", "-c", "ls -l /proc/self/fd").CombinedOutput()
	if err != nil || strings.Contains(string(out), "fuse") || strings.Contains(string(out), "/f\n") {
		t.Errorf("%v\n%s", err, out)
	}
	_ = a.cmd.Wait()
}

func TestBadDirectories(t *testing.T) {
	_, _ = disk(t, 0) // or skip
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{dir + "/no", t.TempDir()}, {t.TempDir(), dir + "/no"}, {file, t.TempDir()}, {t.TempDir(), file},
		{dir, dir}, {sub, dir}, {dir, sub},
	} {
		d, err := Mount(c[0], c[1], 0)
		if err == nil {
			_ = d.Unmount()
		}
		if err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if _, err := Mount(t.TempDir(), t.TempDir(), -1); err == nil {
		t.Error("a negative rate was taken")
	}
}

func TestUnavailable(t *testing.T) {
	err := available("/dev/no-such-device", 0)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/dev/no-such-device") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if err := available(os.DevNull, 1000); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "fusermount3") {
		t.Error(err)
	}
	if err := available(os.DevNull, 0); err != nil {
		t.Error(err)
	}
}
