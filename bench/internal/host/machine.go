//go:build linux

package host

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
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

// ErrNoSpace: no directory has the space that was asked for.
var ErrNoSpace = errors.New("not enough disk space")

// DataDir creates an empty directory on a file system with at least need free
// bytes: in root, or, if that is "", in the first of $TMPDIR, /tmp, /var/tmp and
// the current directory that has the space. One that keeps its files in memory
// is taken last: dumps there would be memory too. cleanup removes the directory
// and what is in it.
func DataDir(root string, need int64) (dir string, cleanup func(), err error) {
	candidates := []string{root}
	if root == "" {
		candidates = candidateDirs()
	} else if err := os.MkdirAll(root, 0o755); err != nil {
		return "", nil, err
	}
	var why []string
	for _, c := range candidates {
		free, err := FreeBytes(c)
		if err == nil && free >= need {
			if dir, err = os.MkdirTemp(c, "kvd-bench-"); err == nil {
				if dir, err = filepath.Abs(dir); err == nil {
					return dir, func() { _ = os.RemoveAll(dir) }, nil
				}
			}
		}
		if err != nil {
			why = append(why, err.Error())
		} else {
			why = append(why, fmt.Sprintf("%s has %s", c, megabytes(free)))
		}
	}
	return "", nil, fmt.Errorf("%w: %s are needed; %s", ErrNoSpace, megabytes(need), strings.Join(why, ", "))
}

func candidateDirs() []string {
	var disk, memory []string
	for _, c := range []string{os.TempDir(), "/tmp", "/var/tmp", "."} {
		if kind := filesystem(c); kind == "tmpfs" || kind == "ramfs" {
			memory = append(memory, c)
		} else {
			disk = append(disk, c)
		}
	}
	return append(disk, memory...)
}

func megabytes(n int64) string { return strconv.FormatInt(n/1e6, 10) + " MB" }
