//go:build linux

package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestMachine(t *testing.T) {
	m := Machine(t.TempDir())
	if !strings.HasPrefix(m.Kernel, "Linux ") || m.Arch != runtime.GOARCH || m.Cores != runtime.NumCPU() || m.Go != runtime.Version() {
		t.Errorf("%+v", m)
	}
	if m.MemoryBytes < 64*mib || m.FreeMemoryBytes <= 0 || m.FreeMemoryBytes > m.MemoryBytes || m.Filesystem == "" || m.Load1 == "" {
		t.Errorf("%+v", m)
	}
	if kind := Machine("/proc").Filesystem; kind != "proc" {
		t.Errorf("/proc is %q", kind)
	}
	if m := Machine("/nowhere"); m.Filesystem != "" || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
}

func TestMachineTexts(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nprocessor\t: 1\nmodel name\t: Other\n": "A CPU @ 3 GHz",
		"processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n":                       "implementer 0x41, part 0xd0c",
		"": "",
	} {
		if got := cpuName(text); got != want {
			t.Errorf("cpuName(%q) = %q", text, got)
		}
	}
	for text, want := range map[string]string{"always [madvise] never\n": "madvise", "[always] madvise never": "always", "": ""} {
		if got := chosen(text); got != want {
			t.Errorf("chosen(%q) = %q", text, got)
		}
	}
	const mounts = "22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n" +
		"23 22 0:20 / /mnt/a rw shared:2 master:1 - btrfs /dev/vdb rw\n" +
		"24 22 0:21 / /mnt/a/b rw - tmpfs tmpfs rw\nodd\n"
	for _, c := range []struct{ device, path, want string }{
		{"254:0", "/mnt/a/b", "ext4"},
		{"0:99", "/mnt/a/c", "btrfs"},
		{"0:99", "/mnt/a/b/c", "tmpfs"},
		{"0:99", "/mnt/ab", "ext4"},
	} {
		if got := mountType(mounts, c.device, c.path); got != c.want {
			t.Errorf("mountType(%s, %s) = %q, want %q", c.device, c.path, got, c.want)
		}
	}
}

func TestFreeBytes(t *testing.T) {
	if n, err := FreeBytes(t.TempDir()); err != nil || n <= 0 {
		t.Errorf("%d, %v", n, err)
	}
	_, err := FreeBytes("/nowhere")
	contains(t, err, "/nowhere", "no such file")
}

func TestBuildKvd(t *testing.T) {
	t.Chdir(t.TempDir()) // elsewhere
	bin, cleanup, err := BuildKvd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "--version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v=") {
		t.Errorf("%s, %v", out, err)
	}
	t.Setenv("KVD_BIN", bin)
	if own, clean, err := BuildKvd(t.Context()); err != nil || own != bin {
		t.Errorf("%s, %v", own, err)
	} else if clean(); exec.Command(bin, "--version").Run() != nil {
		t.Error("cleanup removes the user's kvd")
	}
	cleanup()
	if _, err := os.Stat(bin); !errors.Is(err, os.ErrNotExist) {
		t.Error("cleanup leaves what was built")
	}
	_, _, err = BuildKvd(t.Context())
	contains(t, err, "KVD_BIN", "no such file")
	t.Setenv("KVD_BIN", "")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = BuildKvd(ctx)
	contains(t, err, "building kvd", "context canceled")
	t.Setenv("PATH", "/nowhere")
	_, _, err = BuildKvd(t.Context())
	contains(t, err, "needs the go command", "KVD_BIN")
}
