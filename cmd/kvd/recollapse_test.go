//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seeRecollapseRate splits huge pages by writing while a child stands still:
// without a rate they stay split, with one they become whole.
func seeRecollapseRate(t *testing.T) {
	k := start(t, "--fork-recollapse-rate", "0", "--save-rate-limit", "1kb")
	c := k.dial()
	c.want("[fork-recollapse-rate 0]", "CONFIG", "GET", "fork-recollapse-rate")
	if c.info("mem_huge_pages") == "0" {
		missing(t, "no huge pages")
	}
	c.slowData()
	c.begin("FORK")
	within(t, "the child's title", func() bool {
		pids := children(k.pid())
		return len(pids) == 1 && childName(t, pids[0]) == "kvd-rdb-bgsave"
	})
	c.endSave()
	c.want("OK", "CONFIG", "SET", "save-rate-limit", "40mb")
	child := stopChild(c, k)
	// Values of another size go to memory that is not shared; the index does not.
	for i := range 200 {
		c.want("OK", "SET", fmt.Sprintf("written%d", i), "x")
	}
	c.want("OK", "CONFIG", "SET", "fork-recollapse-rate", "1gb")
	time.Sleep(200 * time.Millisecond)
	if n := c.infoInt("fork_recollapse_bytes"); n != 0 {
		t.Errorf("%d bytes joined while a child lives", n)
	}
	c.want("OK", "CONFIG", "SET", "fork-recollapse-rate", "0")
	if err := syscall.Kill(child, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := c.waitSaved(); s != "ok" {
		t.Fatal("status ", s)
	}
	within(t, "the search", func() bool { return c.infoInt("fork_recollapse_pending_bytes") > 0 })
	if n := c.infoInt("fork_recollapse_bytes"); n != 0 {
		t.Errorf("%d bytes joined without a rate", n)
	}
	c.want("OK", "CONFIG", "SET", "fork-recollapse-rate", "1gb")
	within(t, "whole pages", func() bool {
		return c.infoInt("fork_recollapse_pending_bytes") == 0 && c.info("mem_huge_share") == "1.00"
	})
	if n := c.infoInt("fork_recollapse_bytes"); n == 0 {
		t.Error("nothing was joined")
	}
}

// childName returns what ps shows of a child.
func childName(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func seeChildNice(t *testing.T) {
	k := start(t, "--save-rate-limit", "1kb")
	c := k.dial()
	c.populate("k", 100, 1000)
	base := niceness(t, k.pid())
	for _, n := range []int{10, 0, 19} { // 10 is the default
		c.want("OK", "CONFIG", "SET", "save-child-nice", strconv.Itoa(n))
		child := stopChild(c, k)
		// It is set after the clone.
		within(t, fmt.Sprintf("niceness %d", max(n, base)), func() bool { return niceness(t, child) == max(n, base) })
		if base != niceness(t, k.pid()) {
			t.Error("the server's niceness has changed")
		}
		c.want("Background saving cancelled", "BGSAVE", "CANCEL")
		c.waitSaved()
	}
}

// niceness reads the 19th field of /proc/PID/stat; the second may have blanks.
func niceness(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return atoi(strings.Fields(rest)[16])
}

func seeChildIOPriority(t *testing.T) {
	k := start(t, "--save-child-nice", "0", "--save-rate-limit", "1kb") // of niceness some kernels make an I/O priority
	c := k.dial()
	c.populate("k", 100, 1000)
	for _, row := range []struct {
		word     string
		priority uintptr
	}{{"best-effort", 2<<13 | 7}, {"idle", 3 << 13}, {"none", ioPriority(t, k.pid())}} {
		c.want("OK", "CONFIG", "SET", "save-child-ioprio", row.word)
		child := stopChild(c, k)
		within(t, row.word, func() bool { return ioPriority(t, child) == row.priority })
		c.want("Background saving cancelled", "BGSAVE", "CANCEL")
		c.waitSaved()
	}
}

func ioPriority(t *testing.T, pid int) uintptr {
	t.Helper()
	n, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(pid), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return n
}
