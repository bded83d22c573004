//go:build linux

package spine

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// footprint is what n keys cost a server, in bytes, beyond what it used empty.
type footprint struct{ perKey, rssRatio float64 }

// measureMemory fills fresh servers step by step and reads used_memory and the
// resident memory at each size.
func measureMemory(h *harness) []row {
	sizes := []int{3_000_000, 4_000_000, 5_000_000, 6_000_000, 8_000_000}
	kvd, redis := make([][]footprint, len(sizes)), make([][]footprint, len(sizes))
	for range h.rounds {
		footprints(h.kvd(h.dir()), sizes, kvd)
		footprints(h.redis(h.dir()), sizes, redis)
	}
	var rows []row
	var kvdAll, redisAll []float64
	var kvdRSS, redisRSS float64
	for i, size := range sizes {
		k, kr := medians(kvd[i])
		r, rr := medians(redis[i])
		rows = append(rows, row{name: fmt.Sprintf("used_memory per key, %d keys of 11 + 64 B", h.count(size)), unit: "B", kvd: k, redis: r})
		kvdAll, redisAll = append(kvdAll, k), append(redisAll, r)
		kvdRSS, redisRSS = max(kvdRSS, kr), max(redisRSS, rr)
	}
	return append(rows,
		row{name: "used_memory per key, mean of the sizes", unit: "B", kvd: mean(kvdAll), redis: mean(redisAll), max: 93},
		row{name: "used_memory per key, largest", unit: "B", kvd: slices.Max(kvdAll), redis: slices.Max(redisAll), max: 97},
		row{name: "RSS growth / used_memory growth, largest", unit: "x", kvd: kvdRSS, redis: redisRSS, max: 1.06})
}

func footprints(s *server, sizes []int, into [][]footprint) {
	defer s.Kill()
	used0, rss0 := s.settled(), float64(s.usage().RssBytes)
	filled, value := 0, randomValues()
	for i, size := range sizes {
		n := s.h.count(size)
		s.fill(filled, n, value)
		filled = n
		used := s.settled() - used0
		into[i] = append(into[i], footprint{used / float64(n), (float64(s.usage().RssBytes) - rss0) / used})
	}
}

// settled waits until used_memory has stopped moving (Redis frees its old hash
// table a while after the last SET) and returns it.
func (s *server) settled() float64 {
	last := math.Inf(1)
	for range 50 {
		used := s.infoNumber("memory", "used_memory")
		if math.Abs(used-last) < 64<<10+0.001*used { // kvd's counts its Go heap in
			return used
		}
		last = used
		time.Sleep(100 * time.Millisecond)
	}
	return last
}

func medians(list []footprint) (perKey, rssRatio float64) {
	var a, b []float64
	for _, f := range list {
		a, b = append(a, f.perKey), append(b, f.rssRatio)
	}
	return median(a), median(b)
}
