package snapshot

import (
	"os"
	"path/filepath"
	"testing"
)

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	meminfo = "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:       8000 kB\n"
	mount2  = "30 29 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mount1  = "31 29 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"32 29 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)

func TestSystemMemory(t *testing.T) {
	cases := []struct {
		name   string
		files  map[string]string
		free   int64
		source string
	}{
		{"nothing tells", nil, -1, ""},
		{"no groups", map[string]string{"proc/meminfo": meminfo}, 8000 << 10, "MemAvailable"},
		{"group without a limit", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mount2,
			"sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.current": "5\n"}, 8000 << 10, "MemAvailable"},
		{"version 2", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mount2,
			"sys/fs/cgroup/a/b/memory.max": "5000\n", "sys/fs/cgroup/a/b/memory.current": "4000\n"},
			1000, "memory.max of the control group /a/b"},
		{"cached files make room", map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mount2,
			"sys/fs/cgroup/a/memory.max": "5000\n", "sys/fs/cgroup/a/memory.current": "4900\n",
			"sys/fs/cgroup/a/memory.stat": "anon 900\ninactive_file 4000\nactive_file 7\n"},
			4100, "memory.max of the control group /a"},
		{"the group around it", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mount2,
			"sys/fs/cgroup/a/b/memory.max": "5000\n", "sys/fs/cgroup/a/b/memory.current": "1000\n",
			"sys/fs/cgroup/a/memory.max": "9000\n", "sys/fs/cgroup/a/memory.current": "8900\n"},
			100, "memory.max of the control group /a"},
		{"full", map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mount2,
			"sys/fs/cgroup/memory.max": "5000\n", "sys/fs/cgroup/memory.current": "6000\n"},
			0, "memory.max of the control group /"},
		{"version 1 in a container", map[string]string{"proc/meminfo": meminfo,
			"proc/self/cgroup":                             "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x/y\n0::/docker/x\n",
			"proc/self/mountinfo":                          "32 29 0:28 /docker/x /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"sys/fs/cgroup/memory/y/memory.limit_in_bytes": "7000", "sys/fs/cgroup/memory/y/memory.usage_in_bytes": "6000",
			"sys/fs/cgroup/memory/y/memory.stat": "inactive_file 1\ntotal_inactive_file 200\n"},
			1200, "memory.limit_in_bytes of the control group /y"},
		{"version 1 without a limit", map[string]string{"proc/meminfo": meminfo,
			"proc/self/cgroup": "4:memory:/x\n", "proc/self/mountinfo": mount1,
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712", "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "6000"},
			8000 << 10, "MemAvailable"},
		{"garbage", map[string]string{"proc/meminfo": "MemAvailable: much\nMemAvailable:\n", "proc/self/cgroup": "0\n::\nx:memory\n\n",
			"proc/self/mountinfo": "- cgroup2\n1 2 - cgroup\n - \n"}, -1, ""},
	}
	for _, c := range cases {
		free, source := memoryBelow(tree(t, c.files))
		if free != c.free || source != c.source {
			t.Errorf("%s: %d by %q, want %d by %q", c.name, free, source, c.free, c.source)
		}
	}
}

func TestSystemMemoryOfThisMachine(t *testing.T) {
	free, source := systemMemory()
	if free <= 0 || source == "" {
		t.Errorf("%d by %q", free, source)
	}
	t.Logf("%d MB by %s", free>>20, source)
}
