package snapshot

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// systemMemory returns how many bytes the process may still take before it is
// killed or swaps, and who says so: the least of what the kernel calls available
// and of what the control groups, its own and those around it, leave. It
// returns -1 and "" if nothing tells.
func systemMemory() (free int64, source string) { return memoryBelow("/") }

// memoryBelow is systemMemory with another root of the file system, for tests.
func memoryBelow(root string) (free int64, source string) {
	free = -1
	consider := func(n int64, who string) {
		if n = max(n, 0); free < 0 || n < free {
			free, source = n, who
		}
	}
	if kb, ok := lookUp(filepath.Join(root, "proc/meminfo"), "MemAvailable:"); ok {
		consider(kb<<10, "MemAvailable")
	}
	eachGroup(root, "memory", func(version int, dir, path string) {
		kind := cgroup2
		if version == 1 {
			kind = cgroup1
		}
		if n, ok := kind.free(dir); ok {
			consider(n, kind.limit+" of the control group "+path)
		}
	})
	return free, source
}

// eachGroup calls fn for the control groups that govern a resource, the process's own and
// those around it, with the version of control groups, the directory and the path.
func eachGroup(root, controller string, fn func(version int, dir, path string)) {
	groups := cgroupPaths(root, controller)
	for _, m := range cgroupMounts(root, controller) {
		path, ok := groups[m.version]
		if !ok {
			continue
		}
		// A container often sees only its own part of the tree, but the path from the top.
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(m.root, "/")); ok {
			path = below
		}
		for path = filepath.Clean("/" + path); ; path = filepath.Dir(path) {
			fn(m.version, filepath.Join(root, m.point, path), path)
			if path == "/" {
				break
			}
		}
	}
}

// cgroupKind names the files of a version of control groups.
type cgroupKind struct{ limit, usage, cache string }

var (
	cgroup1 = cgroupKind{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
	cgroup2 = cgroupKind{"memory.max", "memory.current", "inactive_file"}
)

// free returns what a group leaves; ok is false if it has no limit. Cached files
// that nobody used again, such as the last dump, make room when it is needed.
func (k cgroupKind) free(dir string) (n int64, ok bool) {
	limit, ok := number(filepath.Join(dir, k.limit))
	if !ok { // "max", or no such file
		return 0, false
	}
	const unlimited = 1 << 60 // version 1 writes the largest number of pages
	usage, ok := number(filepath.Join(dir, k.usage))
	if !ok || limit >= unlimited {
		return 0, false
	}
	cache, _ := lookUp(filepath.Join(dir, "memory.stat"), k.cache)
	return limit - max(usage-cache, 0), true
}

// cgroupPaths returns where in the hierarchies that govern a resource the process is, by
// the version of control groups.
func cgroupPaths(root, controller string) map[int]string {
	paths := map[int]string{}
	eachLine(filepath.Join(root, "proc/self/cgroup"), func(line string) bool {
		_, rest, _ := strings.Cut(line, ":") // number:controllers:path
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case controllers == "":
			paths[2] = path
		case hasWord(controllers, controller):
			paths[1] = path
		}
		return true
	})
	return paths
}

type cgroupMount struct {
	version     int
	root, point string // the part of the hierarchy that is to be seen, and where
}

// cgroupMounts returns where those hierarchies are mounted. In mountinfo a line is
// "id parent device root point options… - type source superoptions".
func cgroupMounts(root, controller string) (mounts []cgroupMount) {
	eachLine(filepath.Join(root, "proc/self/mountinfo"), func(line string) bool {
		place, kind, ok := strings.Cut(line, " - ")
		at, what := strings.Fields(place), strings.Fields(kind)
		if !ok || len(at) < 5 || len(what) < 1 {
			return true
		}
		switch {
		case what[0] == "cgroup2":
			mounts = append(mounts, cgroupMount{2, at[3], at[4]})
		case what[0] == "cgroup" && hasWord(what[len(what)-1], controller):
			mounts = append(mounts, cgroupMount{1, at[3], at[4]})
		}
		return true
	})
	return mounts
}

// hasWord tells whether a list with commas has a word.
func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// number returns the number that a file consists of.
func number(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// lookUp returns the number behind a word at the beginning of a line.
func lookUp(path, word string) (n int64, ok bool) {
	eachLine(path, func(line string) bool {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != word {
			return true
		}
		var err error
		n, err = strconv.ParseInt(f[1], 10, 64)
		ok = err == nil
		return false
	})
	return n, ok
}

// eachLine calls fn for the lines of a file until it returns false. A file that
// cannot be read has none.
func eachLine(path string, fn func(line string) bool) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if !fn(s.Text()) {
			return
		}
	}
}
