package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// seeRecollapseRate splits huge pages by writing while a child stands still:
// without a rate they stay split, with one they become whole.
func seeRecollapseRate(t *testing.T) {
	k := start(t, "--fork-recollapse-rate", "0", "--save-child-timeout", "60")
	c := k.dial()
	c.want("[fork-recollapse-rate 0]", "CONFIG", "GET", "fork-recollapse-rate")
	if c.info("mem_huge_pages") == "0" {
		t.Skip("no huge pages")
	}
	c.slowData()
	child := stopChild(c, k)
	if name := childName(t, child); name != "kvd-rdb-bgsave" {
		t.Errorf("the child's title is %q", name)
	}
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
	within(t, 5*time.Second, "the search", func() bool { return c.infoInt("fork_recollapse_pending_bytes") > 0 })
	if n := c.infoInt("fork_recollapse_bytes"); n != 0 {
		t.Errorf("%d bytes joined without a rate", n)
	}
	c.want("OK", "CONFIG", "SET", "fork-recollapse-rate", "1gb")
	within(t, 10*time.Second, "whole pages", func() bool {
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
