//go:build linux

package slowdisk

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roleVar makes the test binary play another process: "write FILE TOTAL CHUNK",
// "mount BACKING MOUNTPOINT RATE WATCHED" or "lock FILE". The process that
// serves a disk does not use it itself.
const roleVar = "KVD_SLOWDISK_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		if err := play(strings.Split(role, "\n")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	removeKvd()
	os.Exit(code)
}

func play(role []string) error {
	switch role[0] {
	case "write":
		return playWriter(role[1], number(role[2]), number(role[3]))
	case "lock":
		f, err := os.Open(role[1])
		if err != nil {
			return err
		}
		return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	case "mount":
		if _, err := mount(role[1], role[2], int64(number(role[3])), role[4] == "true"); err != nil {
			return err
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return nil
	}
	return fmt.Errorf("no role %q", role)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// playWriter prints, after each 100 ms, how many bytes have been written.
func playWriter(path string, total, chunk int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	buf := make([]byte, chunk)
	begin, slot := time.Now(), 0
	for done := 0; done < total; {
		n, err := f.Write(buf[:min(chunk, total-done)])
		done += n
		if err != nil {
			return err
		}
		if now := int(time.Since(begin) / (100 * time.Millisecond)); now > slot || done == total {
			slot = now
			fmt.Println(time.Since(begin).Microseconds(), done)
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// actor is a process that plays a role.
type actor struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

// act starts one and, unless the role is "lock", waits for its "ready".
func act(t testing.TB, role ...string) *actor {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+strings.Join(role, "\n"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &actor{cmd: cmd, out: bufio.NewScanner(out)}
	t.Cleanup(a.kill)
	if role[0] != "lock" && (!a.out.Scan() || a.out.Text() != "ready") {
		t.Fatalf("%q: %q", role, a.out.Text())
	}
	return a
}

// kill ends the actor with SIGKILL and waits for its end.
func (a *actor) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// unavailable skips or, where everything must be there, fails.
func unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// disk mounts one in a temporary directory and returns it with its backing
// directory.
func disk(t testing.TB, rate int64) (*Disk, string) {
	t.Helper()
	backing, mountpoint := t.TempDir(), t.TempDir()
	d, err := Mount(backing, mountpoint, rate)
	if err != nil {
		unavailable(t, err)
	}
	t.Cleanup(func() {
		if err := d.Unmount(); err != nil {
			t.Error(err)
		}
		if mounted(d.Dir()) {
			t.Errorf("%s is still mounted", d.Dir())
		}
	})
	return d, backing
}

func join(d *Disk, name string) string { return filepath.Join(d.Dir(), name) }
