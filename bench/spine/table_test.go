//go:build linux

package spine

import (
	"cmp"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"strings"

	"kvd/bench/internal/host"
)

// row is one line of the result: medians of kvd and of redis-server, in unit.
type row struct {
	name, unit string
	kvd        float64
	redis      float64 // 0: it has no such figure
	maxRatio   float64 // the gate on kvd / redis, 0: none
	max        float64 // the gate on kvd itself, 0: none
	paired     float64 // median of the rounds' own ratios, 0: that of the medians
}

// ratio returns kvd / redis.
func (r row) ratio() float64 {
	if r.paired != 0 {
		return r.paired
	}
	return r.kvd / r.redis
}

// ratios returns the ratio of each round. Where two figures follow each other at
// once their ratio is steadier than either: the machine's speed changes.
func ratios(kvd, redis []float64) []float64 {
	list := make([]float64, len(kvd))
	for i := range kvd {
		list[i] = kvd[i] / redis[i]
	}
	return list
}

// gate words the row's gate and tells whether kvd is within it.
func (r row) gate() (words, verdict string) {
	within := true
	switch {
	case r.maxRatio != 0:
		words, within = fmt.Sprintf("≤ %.2fx", r.maxRatio), r.ratio() <= r.maxRatio
	case r.max != 0:
		words, within = fmt.Sprintf("≤ %s", figure(r.max)), r.kvd <= r.max
	default:
		return "", ""
	}
	if within {
		return words, "yes"
	}
	return words, "NO"
}

func (r row) cells() []string {
	redis, ratio := "", ""
	if r.redis != 0 {
		redis, ratio = figure(r.redis), fmt.Sprintf("%.2f", r.ratio())
	}
	words, verdict := r.gate()
	return []string{r.name, r.unit, figure(r.kvd), redis, ratio, words, verdict}
}

// figure prints three digits that matter.
func figure(v float64) string {
	switch size := math.Abs(v); {
	case size >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// markdown lays the rows out as a table.
func markdown(rows []row) string {
	table := [][]string{{"measured", "unit", "kvd", "redis", "kvd/redis", "gate", "within"}}
	for _, r := range rows {
		table = append(table, r.cells())
	}
	return layOut(table)
}

// layOut makes a Markdown table that reads in a terminal as well. The first line is
// the heads; from the third column on they are of numbers.
func layOut(table [][]string) string {
	width := make([]int, len(table[0]))
	for _, cells := range table {
		for i, c := range cells {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var out strings.Builder
	for n, cells := range table {
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-len([]rune(c)))
			if i >= 2 { // a number
				c, pad = pad+c, ""
			}
			out.WriteString("| " + c + pad + " ")
		}
		out.WriteString("|\n")
		if n == 0 {
			for i, w := range width {
				line := strings.Repeat("-", w+1)
				out.WriteString("|" + line + map[bool]string{true: ":", false: "-"}[i >= 2])
			}
			out.WriteString("|\n")
		}
	}
	return out.String()
}

// machine says what the figures were measured on.
func (h *harness) machine() string {
	m := host.Machine(tempRoot)
	return fmt.Sprintf("%d CPUs (%s), %s, %s; huge pages: %s; scale %g, medians of %d rounds\nkvd: %s\nredis: %s\n",
		m.Cores, m.Arch, m.Kernel, m.Go, m.HugePages, h.scale, h.rounds,
		version(h.kvdBin), version(h.redisBin))
}

func version(bin string) string {
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// median returns the middle of list, of an even number the upper one.
func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

func mean(list []float64) float64 {
	var sum float64
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}
