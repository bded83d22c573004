//go:build linux

package spine

import (
	"fmt"
	"strconv"
	"time"
)

// randomKeys is the key space of redis-benchmark -r.
const randomKeys = 1_000_000

// measureCPU takes the servers' own CPU time, so that the load generator, which
// shares the machine, does not count.
func measureCPU(h *harness) []row {
	kvd, redis := h.kvd(h.dir()), h.redis(h.dir())
	defer redis.stop()
	defer kvd.stop()
	for _, s := range []*server{kvd, redis} {
		s.fillBenchmarkKeys()
	}
	var rows []row
	for _, c := range []struct {
		pipeline, requests int
		maxRatio           float64
	}{{1, 1_000_000, 1.0}, {16, 4_000_000, 0.75}} {
		for _, keys := range []int{1, randomKeys} {
			for _, command := range []string{"SET", "GET"} {
				var k, r []float64
				for range h.rounds {
					r = append(r, redis.perRequest(command, c.pipeline, c.requests, keys))
					k = append(k, kvd.perRequest(command, c.pipeline, c.requests, keys))
				}
				rows = append(rows, row{fmt.Sprintf("CPU time per %s, -c 50 -P %d, %s", command, c.pipeline, keyWords[keys]),
					"µs", median(k), median(r), c.maxRatio, 0, median(ratios(k, r))})
			}
		}
	}
	return rows
}

var keyWords = map[int]string{1: "one key", randomKeys: "random keys"}

// fillBenchmarkKeys SETs what redis-benchmark -r asks for, so that each GET hits.
func (s *server) fillBenchmarkKeys() {
	s.h.Helper()
	c := s.dial()
	defer c.close()
	for from := 0; from < s.h.count(randomKeys); from += 1000 {
		args := []string{"MSET"}
		for i := range 1000 {
			args = append(args, fmt.Sprintf("key:%012d", from+i), "xxx")
		}
		_, err := c.do(args...)
		s.h.must(err)
	}
}

// perRequest runs redis-benchmark with its default value of 3 bytes and returns
// the server's CPU time for one request in microseconds.
func (s *server) perRequest(command string, pipeline, requests, keys int) float64 {
	s.h.Helper()
	n := s.h.count(requests)
	args := []string{"-h", "127.0.0.1", "-p", s.port, "-c", "50", "-q", "-t", command,
		"-P", strconv.Itoa(pipeline), "-n", strconv.Itoa(n)}
	if keys > 1 {
		args = append(args, "-r", strconv.Itoa(s.h.count(keys)))
	}
	before := s.cpu()
	s.h.run("redis-benchmark", args...)
	return float64(s.cpu()-before) / float64(n) / float64(time.Microsecond)
}
