//go:build linux

package spine

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"kvd/bench/internal/host"
	"kvd/bench/internal/load"
)

const (
	mb = 1e6
	gb = 1e9
)

// list returns a figure of every save of the row, in order.
func (t *tenSaves) list(figure func(*saved) float64) []float64 {
	list := make([]float64, len(t.saves))
	for i := range t.saves {
		list[i] = figure(&t.saves[i])
	}
	return list
}

func (t *tenSaves) cuts() []float64 {
	return t.list(func(s *saved) float64 { return s.cutUsec })
}

// clones are in milliseconds.
func (t *tenSaves) clones() []float64 {
	return t.list(func(s *saved) float64 { return s.cloneUsec / 1e3 })
}

// growth is that of the resident memory over all saves, in percent.
func (t *tenSaves) growth() float64 {
	return (t.saves[len(t.saves)-1].rest.rss/t.before.rss - 1) * 100
}

// resident is the arena's memory at rest, in bytes: the median of before and after
// each save.
func (t *tenSaves) resident() float64 {
	return median(append(t.list(func(s *saved) float64 { return s.rest.resident }), t.before.resident))
}

// hugeShare and hugeMapped are the smallest at rest, in percent, before the first
// save included.
func (t *tenSaves) hugeShare() float64 {
	return 100 * least(append(t.list(func(s *saved) float64 { return s.rest.hugeShare }), t.before.hugeShare))
}

func (t *tenSaves) hugeMapped() float64 {
	return 100 * least(append(t.list(func(s *saved) float64 { return s.rest.hugeMapped }), t.before.hugeMapped))
}

// reserveShare is the largest reserve, in percent of keys and values.
func (t *tenSaves) reserveShare() float64 {
	data := float64(t.keys) * (load.KeyBytes + tenSavesValue)
	return 100 / data * most(t.list(func(s *saved) float64 { return s.reserve }))
}

// of reduces the figures that there are; NaN if there are none.
func of(reduce func([]float64) float64, list []float64) float64 {
	if list = slices.DeleteFunc(slices.Clone(list), math.IsNaN); len(list) == 0 {
		return math.NaN()
	}
	return reduce(list)
}

func least(list []float64) float64 { return of(slices.Min[[]float64], list) }
func most(list []float64) float64  { return of(slices.Max[[]float64], list) }

func middle(list []float64) float64 { return of(median[float64], list) }

// slope is that of the straight line through the points that fits best; NaN if there are
// no two.
func slope(x, y []float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for i := range x {
		if !math.IsNaN(x[i] + y[i]) {
			n, sx, sy, sxx, sxy = n+1, sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
		}
	}
	if d := n*sxx - sx*sx; n > 1 && d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return math.NaN()
}

// known prints a figure, or a dash.
func known(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return figure(v)
}

// four prints the first, the median, the last and the largest of a list.
func four(list []float64) string {
	if math.IsNaN(most(list)) {
		return "–"
	}
	return fmt.Sprintf("%s / %s / %s / %s", known(list[0]), known(middle(list)), known(list[len(list)-1]), known(most(list)))
}

// tenSavesTable has a line for each size and engine. The slope of a line is that
// from the size before.
func tenSavesTable(all []tenSaves) string {
	table := [][]string{{"keys", "engine", "cut µs: first / median / last / max", "clone ms: first / median / last / max", "slope ms/GB",
		"resident MB", "save s", "extra MB", "faults", "RSS growth %", "huge % least", "smaps huge % least", "failed"}}
	last := map[string]*tenSaves{}
	for i := range all {
		t := &all[i]
		var x, y []float64
		for _, p := range []*tenSaves{last[t.engine], t} {
			if p != nil {
				x, y = append(x, p.resident()/gb), append(y, middle(p.clones()))
			}
		}
		last[t.engine] = t
		failed := len(t.saves) - len(slices.DeleteFunc(t.cuts(), math.IsNaN))
		table = append(table, []string{fmt.Sprint(t.keys), t.engine, four(t.cuts()), four(t.clones()), known(slope(x, y)),
			known(t.resident() / mb), known(middle(t.list(func(s *saved) float64 { return s.seconds }))),
			known(most(t.list(func(s *saved) float64 { return s.extra })) / mb),
			known(middle(t.list(func(s *saved) float64 { return s.faults }))), known(t.growth()),
			known(t.hugeShare()), known(t.hugeMapped()), fmt.Sprint(failed)})
	}
	return layOut(table)
}

// tenSavesGates compares with what kvd promises.
func tenSavesGates(all []tenSaves) (rows []row) {
	byEngine := map[string][]*tenSaves{}
	for i := range all {
		t := &all[i]
		byEngine[t.engine] = append(byEngine[t.engine], t)
		name := fmt.Sprintf("%s, %d keys: ", t.engine, t.keys)
		if t.engine == "thread" {
			rows = append(rows, row{name: name + "cut, median", unit: "µs", kvd: middle(t.cuts()), max: 100},
				row{name: name + "cut, longest", unit: "µs", kvd: most(t.cuts()), max: 100})
		}
		rows = append(rows, row{name: name + "RSS after the last save, off that before the first", unit: "%", kvd: math.Abs(t.growth()), max: 5},
			row{name: name + "memory at rest not on huge pages, most, by INFO", unit: "%", kvd: 100 - t.hugeShare(), max: 5},
			row{name: name + "memory at rest not on huge pages, most, by smaps", unit: "%", kvd: 100 - t.hugeMapped(), max: 5},
			row{name: name + "reserve just after the cut, of the data", unit: "%", kvd: t.reserveShare(), max: 2},
			row{name: name + "reserve before the fill", unit: "B", kvd: t.emptyReserve})
	}
	for _, engine := range []string{"thread", "fork", "bgsave"} {
		rows = append(rows, sizeRows(engine, byEngine[engine])...)
	}
	return slices.DeleteFunc(rows, func(r row) bool { return math.IsNaN(r.kvd) })
}

// sizeRows says how the cut and the clone of an engine grow with the data, by
// their medians and at the last save.
func sizeRows(engine string, list []*tenSaves) []row {
	var resident, cuts, clones, last []float64
	for _, t := range list {
		clone := t.clones()
		resident = append(resident, t.resident()/gb)
		cuts, clones, last = append(cuts, middle(t.cuts())), append(clones, middle(clone)), append(last, clone[len(clone)-1])
	}
	return []row{
		{name: engine + ": slope of the cut, medians", unit: "µs/GB", kvd: slope(resident, cuts)},
		{name: engine + ": slope of the clone, medians", unit: "ms/GB", kvd: slope(resident, clones), max: 1},
		{name: engine + ": slope of the clone, last saves", unit: "ms/GB", kvd: slope(resident, last), max: 1},
	}
}

// saveColumns are those of the lines by save, which come as the saves do.
var saveColumns = []string{"keys", "engine", "save", "cut µs", "clone ms", "save s", "verify s", "extra MB", "faults", "reserve MB",
	"SET/s", "longest SET ms", "rest s", "RSS MB", "used_memory_rss MB", "resident MB", "huge %", "smaps huge %", "reserve at rest MB", "pending MB"}

// printSave prints, with -v, the line of the last save, or what was before the first.
func printSave(t *tenSaves) {
	if !testing.Verbose() {
		return
	}
	if len(t.saves) == 0 {
		fmt.Printf("\n| %s |\n|%s\n", strings.Join(saveColumns, " | "), strings.Repeat("---|", len(saveColumns)))
	}
	cells := []string{fmt.Sprint(t.keys), t.engine, fmt.Sprint(len(t.saves))}
	r := &t.before
	if n := len(t.saves); n == 0 {
		cells = append(cells, slices.Repeat([]string{"–"}, 9)...)
	} else {
		s := &t.saves[n-1]
		r = &s.rest
		for _, v := range []float64{s.cutUsec, s.cloneUsec / 1e3, s.seconds, s.verify, s.extra / mb, s.faults, s.reserve / mb, s.rate, s.longestMsec} {
			cells = append(cells, known(v))
		}
	}
	for _, v := range []float64{r.waited, r.rss / mb, r.infoRSS / mb, r.resident / mb, 100 * r.hugeShare, 100 * r.hugeMapped, r.reserve / mb, r.pending / mb} {
		cells = append(cells, known(v))
	}
	for i, c := range cells { // it is not known yet how long those to come are
		cells[i] = strings.Repeat(" ", max(0, len([]rune(saveColumns[i]))-len([]rune(c)))) + c
	}
	fmt.Printf("| %s |\n", strings.Join(cells, " | "))
}

// setting says what was measured, and on what.
func (h *harness) setting() string {
	m := host.Machine(tempRoot)
	policy := os.Getenv("KVD_BENCH_POLICY")
	if policy == "" {
		policy = "the default"
	}
	return fmt.Sprintf("%d CPUs (%s), %s, %s; huge pages: %s\n%s; fork-write-policy: %s\n"+
		"keys of %d B, random values of %d B; %.0f SET/s of %d clients during each save; GB are of the arena's resident memory\n",
		m.Cores, m.Arch, m.Kernel, m.Go, m.HugePages, version(h.kvdBin), policy,
		load.KeyBytes, tenSavesValue, tenSavesRate, tenSavesConns)
}
