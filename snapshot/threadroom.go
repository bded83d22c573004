package snapshot

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The Go runtime ends the whole program when the system refuses it a thread. A save
// begins several; so where the number of threads is limited (pids.max of a container,
// RLIMIT_NPROC) there must be room for them before it begins.

// spareThreads is room for what the runtime may begin on top of a save's own threads.
const spareThreads = 4

// threads returns how many threads and processes the save may need at a time, with some spare.
// A save in the foreground is the last way out, and makes do.
func (s *saving) threads() int {
	if s.o.Engine == Foreground {
		return 1 + verifyThreads
	}
	return max(s.lanes(), 1+verifyThreads) + spareThreads
}

// threadError means that a save was not begun for want of threads.
type threadError struct {
	left, need int64
	source     string
}

func (e *threadError) Error() string {
	return fmt.Sprintf("limit of threads: %s leaves %d, and a save takes %d", e.source, e.left, e.need)
}

// roomForThreads returns an error if the process may not have n more threads. root is where
// /proc and /sys are, "" if not elsewhere.
func roomForThreads(root string, n int) error {
	left, source := threadsLeft(cmp.Or(root, "/"), int64(n), processLimit)
	if left >= 0 && left < int64(n) {
		return &threadError{left, int64(n), source}
	}
	return nil
}

// pidsGroup are the files of both versions of control groups that limit threads.
var pidsGroup = cgroupKind{limit: "pids.max", usage: "pids.current"}

// threadsLeft returns how many more threads the process may have, and who says so; -1 and
// "" if nothing does. Of a limit of its user's processes it asks only if the whole
// machine has so many that n more could be too many: it must count them.
func threadsLeft(root string, n int64, userLimit func() (int64, bool)) (left int64, source string) {
	left = -1
	consider := func(n int64, who string) {
		if n = max(n, 0); left < 0 || n < left {
			left, source = n, who
		}
	}
	all, known := tasks(root)
	if most, ok := number(filepath.Join(root, "proc/sys/kernel/threads-max")); ok && known {
		consider(most-all, "kernel.threads-max")
	}
	if most, ok := userLimit(); ok && (!known || all+n > most) {
		consider(most-tasksOfUser(root, os.Getuid()), "RLIMIT_NPROC")
	}
	eachGroup(root, "pids", func(_ int, dir, path string) {
		if n, ok := pidsGroup.free(dir); ok {
			consider(n, pidsGroup.limit+" of the control group "+path)
		}
	})
	return left, source
}

// tasks returns how many threads the machine has.
func tasks(root string) (n int64, ok bool) {
	text, err := os.ReadFile(filepath.Join(root, "proc/loadavg"))
	f := strings.Fields(string(text)) // "0.20 0.18 0.12 1/80 11206"
	if err != nil || len(f) < 4 {
		return 0, false
	}
	_, total, _ := strings.Cut(f[3], "/")
	n, err = strconv.ParseInt(total, 10, 64)
	return n, err == nil
}

// processLimit returns how many threads all processes of the user may have; ok is false if
// that is not limited, or not for this process.
func processLimit() (n int64, ok bool) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &lim); err != nil || lim.Cur > math.MaxInt64 || os.Getuid() == 0 {
		return 0, false
	}
	const exempt = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_RESOURCE
	eachLine("/proc/self/status", func(line string) bool {
		caps, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			return true
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(caps), 16, 64)
		ok = err != nil || bits&exempt == 0
		return false
	})
	return int64(lim.Cur), ok
}

// tasksOfUser counts the threads of a user's processes.
func tasksOfUser(root string, uid int) (n int64) {
	dirs, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*")) // an error is about the pattern
	for _, dir := range dirs {
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil || int(st.Uid) != uid {
			continue
		}
		if threads, err := os.ReadDir(filepath.Join(dir, "task")); err == nil {
			n += int64(len(threads))
		}
	}
	return n
}
