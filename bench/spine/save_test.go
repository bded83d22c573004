//go:build linux

package spine

import (
	"cmp"
	"fmt"
	"strings"
)

const dataSet = 5_000_000 // keys of the measurements with one size

// valueKinds are the values that a save or load may find hard or easy.
var valueKinds = []struct {
	name string
	make func() values
}{{"random values", randomValues}, {"text values", textValues}}

// measureSave saves the same data with each engine and with redis-server, in
// turn: the time until the dump is in place, and the clone's own.
func measureSave(h *harness) []row {
	var rows []row
	for _, kind := range valueKinds {
		rows = append(rows, saveRows(h, kind.name, kind.make)...)
	}
	return rows
}

func saveRows(h *harness, kind string, value func() values) []row {
	n := h.count(dataSet)
	kvd, redis := h.kvd(h.dir()), h.redis(h.dir())
	defer redis.Kill()
	defer kvd.Kill()
	kvd.fill(0, n, value())
	redis.fill(0, n, value())

	methods := kvd.saveMethods()
	save, clone := make([][]float64, len(methods)), []float64{}
	var redisSave, redisClone []float64
	for range h.rounds {
		redisSave = append(redisSave, redis.saveSeconds(""))
		redisClone = append(redisClone, redis.infoNumber("stats", "latest_fork_usec"))
		for i, m := range methods {
			save[i] = append(save[i], kvd.saveSeconds(m))
			if i == 0 {
				clone = append(clone, kvd.infoNumber("stats", "latest_fork_usec"))
			}
		}
	}
	var rows []row
	for i, m := range methods {
		r := row{name: fmt.Sprintf("save %d keys of 11 + 64 B, %s, %s", n, kind, word(m)), unit: "s",
			kvd: median(save[i]), redis: median(redisSave)}
		if m != "COPY" { // the baseline
			r.maxRatio = 1.0 / 3
		}
		rows = append(rows, r)
	}
	return append(rows, row{name: fmt.Sprintf("latest_fork_usec, %d keys, %s", n, kind), unit: "µs",
		kvd: median(clone), redis: median(redisClone), maxRatio: 1.0 / 5})
}

func (s *server) saveSeconds(method string) float64 {
	s.h.Helper()
	_, wait := s.bgsave(method)
	return wait().Seconds()
}

// saveMethods lists the arguments of BGSAVE to try; the one that forks is first.
func (s *server) saveMethods() []string {
	if len(s.methods) == 0 {
		return []string{""}
	}
	return s.methods
}

// word names a method in a row.
func word(method string) string { return cmp.Or(strings.ToLower(method), "bgsave") }
