//go:build linux

package spine

import (
	"math"
	"time"
)

// restEvery is shorter in tests.
var restEvery = 100 * time.Millisecond

const (
	// restCalm is so many times in a row: what a save has left to be done is not
	// known to the server at once.
	restCalm = 8
	// restLimit is a little more than the minute after which kvd tries again what it
	// could not join.
	restLimit = 75 * time.Second
	// While it counts as calm the resident memory moves by no more than the larger of these.
	restDrift      = 0.001 // of itself
	restDriftBytes = 1 << 20
)

// rest is the memory of a server that has done what a save or a fill left it to do,
// in bytes. What the server does not tell is NaN.
type rest struct {
	waited     float64 // seconds, until then
	rss        float64 // of /proc/PID/smaps_rollup
	infoRSS    float64 // used_memory_rss
	hugeShare  float64 // mem_huge_share, 0 to 1
	hugeMapped float64 // AnonHugePages of smaps_rollup as a share of resident: the kernel's word
	reserve    float64 // mem_arena_reserve
	resident   float64 // mem_arena_resident; rss of a server without an arena
	pending    float64 // fork_recollapse_pending_bytes: above 0 if it was waited for in vain
}

// atRest waits until the server has joined its huge pages, has freed what it held
// back, and its resident memory stays as it is, but at most restLimit.
func (s *server) atRest() rest {
	s.h.Helper()
	begin := time.Now()
	calm, since := 0, math.Inf(1)
	for {
		info, err := s.Info("memory")
		s.h.must(err)
		rss := number(info, "used_memory_rss")
		todo := number(info, "fork_recollapse_pending_bytes") > 0 || number(info, "mem_arena_deferred") > 0
		if todo || math.Abs(rss-since) > max(restDrift*rss, restDriftBytes) {
			calm, since = 0, rss
		}
		calm++
		if calm > restCalm || time.Since(begin) > restLimit {
			return s.restOf(info, time.Since(begin)-restCalm*restEvery)
		}
		time.Sleep(restEvery)
	}
}

func (s *server) restOf(info map[string]string, waited time.Duration) rest {
	s.h.Helper()
	usage := s.usage()
	r := rest{
		waited:    max(0, waited.Seconds()),
		rss:       float64(usage.RssBytes),
		infoRSS:   number(info, "used_memory_rss"),
		hugeShare: number(info, "mem_huge_share"),
		reserve:   number(info, "mem_arena_reserve"),
		resident:  number(info, "mem_arena_resident"),
		pending:   number(info, "fork_recollapse_pending_bytes"),
	}
	if math.IsNaN(r.resident) {
		r.resident = r.rss
	}
	r.hugeMapped = min(1, float64(usage.HugeBytes)/r.resident)
	return r
}
