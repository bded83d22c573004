package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"kvd/kv"
)

func TestThreadsLeft(t *testing.T) {
	const load = "0.20 0.18 0.12 1/500 11206\n"
	none := func() (int64, bool) { return 0, false }
	most := func(n int64) func() (int64, bool) { return func() (int64, bool) { return n, true } }
	group := map[string]string{"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mount2,
		"sys/fs/cgroup/a/b/pids.max": "max\n", "sys/fs/cgroup/a/b/pids.current": "3\n",
		"sys/fs/cgroup/a/pids.max": "100\n", "sys/fs/cgroup/a/pids.current": "93\n"}
	for _, c := range []struct {
		name   string
		files  map[string]string
		limit  func() (int64, bool)
		left   int64
		source string
	}{
		{"nothing tells", nil, none, -1, ""},
		{"the machine", map[string]string{"proc/loadavg": load, "proc/sys/kernel/threads-max": "510\n"}, none, 10, "kernel.threads-max"},
		{"more than allowed", map[string]string{"proc/loadavg": load, "proc/sys/kernel/threads-max": "400\n"}, none, 0, "kernel.threads-max"},
		{"no count", map[string]string{"proc/sys/kernel/threads-max": "400\n", "proc/loadavg": "0.20\n"}, none, -1, ""},
		{"the group around it", group, none, 7, "pids.max of the control group /a"},
		{"version 1", map[string]string{"proc/self/cgroup": "4:memory:/m\n7:pids:/x\n",
			"proc/self/mountinfo":           "33 29 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
			"sys/fs/cgroup/pids/x/pids.max": "9\n", "sys/fs/cgroup/pids/x/pids.current": "4\n"}, none, 5, "pids.max of the control group /x"},
		// The machine has fewer than the user may have: nobody is counted.
		{"a high limit", map[string]string{"proc/loadavg": load}, most(512), -1, ""},
		{"a low limit", map[string]string{"proc/loadavg": load, "proc/7/task/7/comm": "", "proc/7/task/8/comm": "", "proc/9/task/9/comm": "",
			"proc/self/task/7/comm": "", "proc/sys/x": ""}, most(100), 97, "RLIMIT_NPROC"},
	} {
		left, source := threadsLeft(tree(t, c.files), 12, c.limit)
		if left != c.left || source != c.source {
			t.Errorf("%s: %d by %q, want %d by %q", c.name, left, source, c.left, c.source)
		}
	}
}

// Of this machine something must be known, or the limits are not looked at at all.
func TestThreadsOfThisMachine(t *testing.T) {
	left, source := threadsLeft("/", 1, processLimit)
	if left <= 0 || source == "" {
		t.Errorf("%d by %q", left, source)
	}
	if n := tasksOfUser("/", os.Geteuid()); n < 1 {
		t.Error("the user has no threads")
	}
}

// A save that may not have its threads is an error, and not the end of the program.
func TestSaveWithoutThreads(t *testing.T) {
	s := oldData(t, kv.Options{})
	root := func(left int) string {
		return tree(t, map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mount2,
			"sys/fs/cgroup/a/pids.max": "1000\n", "sys/fs/cgroup/a/pids.current": strconv.Itoa(1000 - left)})
	}
	for _, e := range engines() {
		dir := t.TempDir()
		path := filepath.Join(dir, "dump.rdb")
		_, err := Save(t.Context(), s, path, Options{Engine: e, root: root(2)})
		var limit *threadError
		if !errors.As(err, &limit) || limit.left != 2 || len(names(t, dir)) > 0 {
			t.Errorf("%v: %v, left %q", e, err, names(t, dir))
		}
		if _, err := Save(t.Context(), s, path, Options{Engine: e, root: root(200)}); err != nil {
			t.Errorf("%v with room: %v", e, err)
		}
	}
	// A server that ends must be able to save where it could not do so in the background.
	if _, err := Save(t.Context(), s, filepath.Join(t.TempDir(), "dump.rdb"), Options{Engine: Foreground, root: root(3)}); err != nil {
		t.Error(err)
	}
}
