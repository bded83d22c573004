//go:build linux

package host

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/result"
)

// Machine returns the facts of this machine and of the file system that holds
// dir. What cannot be found out is empty.
func Machine(dir string) result.Machine {
	m := result.Machine{
		Kernel:     kernel(),
		Arch:       runtime.GOARCH,
		CPU:        cpuName(read("/proc/cpuinfo")),
		Cores:      runtime.NumCPU(),
		HugePages:  chosen(read("/sys/kernel/mm/transparent_hugepage/enabled")),
		HugeDefrag: chosen(read("/sys/kernel/mm/transparent_hugepage/defrag")),
		Filesystem: filesystem(dir),
		Go:         runtime.Version(),
	}
	// One at a time, so that a missing line leaves the other figure alone.
	mem := []byte(read("/proc/meminfo"))
	_ = readKiB(mem, map[string]*int64{"MemTotal": &m.MemoryBytes})
	_ = readKiB(mem, map[string]*int64{"MemAvailable": &m.FreeMemoryBytes})
	m.Load1, _, _ = strings.Cut(read("/proc/loadavg"), " ")
	return m
}

func read(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// cpuName takes the name of the processor from /proc/cpuinfo. On arm64 there are
// only the maker's and the part's numbers.
func cpuName(info string) string {
	field := map[string]string{}
	for line := range strings.Lines(info) {
		name, v, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if _, seen := field[name]; !seen {
			field[name] = strings.TrimSpace(v)
		}
	}
	if name := cmp.Or(field["model name"], field["Model"], field["Hardware"]); name != "" {
		return name
	}
	if part := field["CPU part"]; part != "" {
		return fmt.Sprintf("implementer %s, part %s", field["CPU implementer"], part)
	}
	return ""
}

// chosen returns the word in brackets: "always [madvise] never".
func chosen(list string) string {
	_, rest, _ := strings.Cut(list, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}

// filesystem returns the type of the file system that holds dir.
func filesystem(dir string) string {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return ""
	}
	device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)) //nolint:unconvert // Dev has another type elsewhere
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	return mountType(read("/proc/self/mountinfo"), device, abs)
}

// mountType finds the mount of a device, or the deepest one above path: some
// file systems give their files another device number than the mount's.
func mountType(info, device, path string) string {
	kind, depth := "", -1
	for line := range strings.Lines(info) {
		mount, rest, ok := strings.Cut(line, " - ")
		f, r := strings.Fields(mount), strings.Fields(rest)
		if !ok || len(f) < 5 || len(r) < 1 {
			continue
		}
		if f[2] == device {
			return r[0]
		}
		point := f[4]
		if (path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")) && len(point) > depth {
			kind, depth = r[0], len(point)
		}
	}
	return kind
}

// FreeBytes returns how much this process may still write to the file system
// that holds dir, which must exist.
func FreeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
