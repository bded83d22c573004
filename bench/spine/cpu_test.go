//go:build linux

package spine

import (
	"fmt"
	"net"
	"strconv"
)

// randomKeys is the key space of redis-benchmark -r.
const randomKeys = 1_000_000

const usecPerSec = 1e6

// measureCPU takes the servers' own CPU time, so that the load generator, which
// shares the machine, does not count.
func measureCPU(h *harness) []row {
	kvd, redis := h.kvd(h.dir()), h.redis(h.dir())
	defer redis.Kill()
	defer kvd.Kill()
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
	for from := 0; from < s.h.count(randomKeys); from += 1000 {
		args := []string{"MSET"}
		for i := range 1000 {
			args = append(args, fmt.Sprintf("key:%012d", from+i), "xxx")
		}
		s.do(args...)
	}
}

// perRequest runs redis-benchmark with its default value of 3 bytes and returns
// the server's CPU time for one request in microseconds.
func (s *server) perRequest(command string, pipeline, requests, keys int) float64 {
	s.h.Helper()
	n := s.h.count(requests)
	address, port, err := net.SplitHostPort(s.Addr)
	s.h.must(err)
	args := []string{"-h", address, "-p", port, "-c", "50", "-q", "-t", command,
		"-P", strconv.Itoa(pipeline), "-n", strconv.Itoa(n)}
	if keys > 1 {
		args = append(args, "-r", strconv.Itoa(s.h.count(keys)))
	}
	before := s.usage().ServerCPUSec
	s.h.run("redis-benchmark", args...)
	return (s.usage().ServerCPUSec - before) / float64(n) * usecPerSec
}
