//go:build linux

package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ticksPerSec is USER_HZ, the unit of times in /proc/PID/stat: 100 on every
// architecture that this runs on.
const ticksPerSec = 100

// Spawn starts cmd from a thread that lives as long as this process: the signal
// at the parent's death is bound to the thread that started the child.
func Spawn(cmd *exec.Cmd) error {
	result := make(chan error)
	spawner() <- func() { result <- cmd.Start() }
	return <-result
}

var spawner = sync.OnceValue(func() chan func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// stat is what /proc/PID/stat tells of a process. Faults are minor page faults,
// times CPU ticks of user and system; those of the ended are of its children
// that have ended and were waited for, and of theirs.
type stat struct {
	state                   string // R, S, D, Z …
	parent, group           int
	faults, ticks           int64
	endedFaults, endedTicks int64
}

var errOddStat = errors.New("/proc/PID/stat is not as expected")

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (stat, error) {
	// The second field is the program's name, which may hold spaces and parentheses.
	at := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[at+1:]))
	if at < 0 || len(f) < 15 {
		return stat{}, errOddStat
	}
	var bad error
	field := func(n int) int64 { // by its number in proc(5)
		v, err := strconv.ParseInt(f[n-3], 10, 64)
		bad = errors.Join(bad, err)
		return v
	}
	s := stat{state: f[0], parent: int(field(4)), group: int(field(5)),
		faults: field(10), endedFaults: field(11),
		ticks: field(14) + field(15), endedTicks: field(16) + field(17)}
	return s, bad
}

// children returns the processes that any thread of pid has started, zombies
// included; none if pid has gone.
func children(pid int) []int {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	var list []int
	for _, t := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil { // the thread has ended
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// descendants returns the children of pid, theirs, and so on.
func descendants(pid int) []int {
	list := children(pid)
	for i := 0; i < len(list); i++ {
		list = append(list, children(list[i])...)
	}
	slices.Sort(list)
	return list
}

// startedBy tells whether pid, once seen among the descendants of root, is still
// that process as far as can be told: a child of root or of its group, or an
// orphan. A number that was given to another process meanwhile is spared.
func startedBy(pid, root int) bool {
	s, err := readStat(pid)
	return err == nil && (s.parent == root || s.group == root || s.group == pid)
}

// pages is what /proc/PID/smaps_rollup tells, bytes.
type pages struct{ rss, pss, privateDirty, huge, anonymous, pssAnon int64 }

// own returns the anonymous memory that a process shares with nobody.
//
// Private_Dirty is nearly that: it has also the pages of files that are not yet
// written back, such as the program itself just after it was built (4 MB of a
// kvd). Where one child shares memory with its parent alone, Pss counts a shared
// page half, so that 2 * Pss_Anon - Anonymous is what is not shared; it is the
// smaller of the two then, and equal to the KiB in a child of redis-server.
// Private_Clean is in neither: of anonymous memory it could only be what was read
// back from swap.
func (p pages) own(alone bool) int64 {
	if alone && p.pssAnon > 0 {
		return min(p.privateDirty, max(0, 2*p.pssAnon-p.anonymous))
	}
	return p.privateDirty
}

// readPages walks the page tables of a process in the kernel. It costs, measured
// on a machine with 2 cores (Linux 6.18):
//
//	redis-server, 1.9 GB in 4 KiB pages    5–10 ms
//	the same while it has a forked child   8–10 ms, and 7–10 ms for the child
//	kvd, 1.75 GB in huge pages             0.2–0.7 ms
//	kvd, 1.0 GB with a child, under load   3–17 ms, and 2–4 ms for the child
//
// (a huge page that two processes share is counted in 512 parts). In this time mmap_lock is held for reading: a clone(), which takes it for writing,
// waits. That is why a Sampler can be paused. What runs in the server itself is
// not held up, but for the core that the walk uses.
func readPages(pid int) (pages, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return pages{}, err
	}
	var p pages
	err = readKiB(b, map[string]*int64{"Rss": &p.rss, "Pss": &p.pss, "Private_Dirty": &p.privateDirty,
		"Anonymous": &p.anonymous, "AnonHugePages": &p.huge})
	_ = readKiB(b, map[string]*int64{"Pss_Anon": &p.pssAnon}) // since Linux 5.4
	return p, err
}

// readPTE returns the size of the page tables of a process in bytes.
func readPTE(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	var n int64
	err = readKiB(b, map[string]*int64{"VmPTE": &n})
	return n, err
}

// readKiB fills the fields from lines of the form "Name:  12 kB". All of them
// must be there.
func readKiB(text []byte, fields map[string]*int64) error {
	found := 0
	for line := range strings.Lines(string(text)) {
		name, v, ok := strings.Cut(line, ":")
		into := fields[name]
		if !ok || into == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*into = kib << 10
		found++
	}
	if found < len(fields) {
		return fmt.Errorf("%d of %d figures are missing", len(fields)-found, len(fields))
	}
	return nil
}
