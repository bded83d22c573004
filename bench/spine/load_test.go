//go:build linux

package spine

import (
	"fmt"
	"os"
	"path/filepath"
)

// measureLoad starts both servers on the same dump, made by redis-server and in
// the page cache: from the start of the process to its first PONG.
func measureLoad(h *harness) []row {
	n := h.count(dataSet)
	var rows []row
	for _, kind := range valueKinds {
		redis := h.redis(h.dir())
		redis.fill(0, n, kind.make())
		redis.do("SAVE")
		redis.Kill()
		var k, r []float64
		for range h.rounds {
			r = append(r, loadSeconds(h.redis(h.dirWith(redis.dumpFile()))))
			k = append(k, loadSeconds(h.kvd(h.dirWith(redis.dumpFile()))))
		}
		rows = append(rows, row{name: fmt.Sprintf("load %d keys of 11 + 64 B, %s", n, kind.name), unit: "s",
			kvd: median(k), redis: median(r), maxRatio: 0.5})
	}
	return rows
}

func loadSeconds(s *server) float64 {
	s.Kill()
	return s.StartSec
}

// dirWith creates a directory for a server that starts on the given dump. The
// dump is linked, not copied: a server replaces its dump, it never writes in it.
func (h *harness) dirWith(dump string) string {
	h.Helper()
	dir := h.dir()
	h.must(os.Link(dump, filepath.Join(dir, "dump.rdb")))
	return dir
}
