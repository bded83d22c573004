//go:build linux && (amd64 || arm64)

package apart

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"
)

// procField returns a field of a file under /proc/PID, in bytes where the file
// says kB, else as it stands there. pid may be "self".
func procField(pid, file, field string) (int64, error) {
	return fieldOf(filepath.Join("/proc", pid, file), field)
}

func fieldOf(path, field string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != field {
			continue
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err == nil && len(f) > 2 && f[2] == "kB" {
			n *= kib
		}
		return n, err
	}
	return 0, fmt.Errorf("%s has no %s", path, field)
}

// childrenOf returns the pids of the children of a process, of all its threads.
func childrenOf(pid int) []int {
	var out []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range files {
		text, _ := os.ReadFile(name) // a thread that has gone has no children
		for _, f := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// freeMemory returns the bytes that can be had without pushing anything out:
// MemAvailable, or what the control group leaves if that is less.
func freeMemory() (int64, error) {
	free, err := fieldOf("/proc/meminfo", "MemAvailable:")
	if err != nil {
		return 0, err
	}
	limit, err1 := groupBytes("memory.max")
	used, err2 := groupBytes("memory.current")
	if err1 == nil && err2 == nil {
		free = min(free, max(0, limit-used))
	}
	return free, nil
}

// groupBytes reads a figure of the control group as a container sees its own; it
// fails where there is none, or no limit ("max").
func groupBytes(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// address is where a mapping begins.
func address(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }
