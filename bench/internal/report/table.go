package report

// column is a metric as tables show it.
type column struct {
	metric string
	head   string // first line of the heading
	sub    string // second line
	unit   string
	// rank says how early a narrow table takes the column; 0 is only for the page.
	rank int
}

// columns are all that tables show, in the order of the page.
var columns = []column{
	{"longest gap, idle", "longest gap", "idle", "ms", 3},
	{"longest gap, save", "longest gap", "save", "ms", 1},
	// Where it is there, the one above is of a part of the save only.
	{"longest gap, whole save", "longest gap", "whole save", "ms", 2},
	{"writers held", "writers", "held", "ms", 7},
	{"clone", "clone", "", "ms", 0},
	{"write p50, idle", "write p50", "idle", "µs", 0},
	{"write p50, save", "write p50", "save", "µs", 0},
	{"write p99, idle", "write p99", "idle", "µs", 8},
	{"write p99, save", "write p99", "save", "µs", 4},
	{"write p99.9, idle", "write p99.9", "idle", "ms", 0},
	{"write p99.9, save", "write p99.9", "save", "ms", 0},
	{"write max, idle", "write max", "idle", "ms", 0},
	{"write max, save", "write max", "save", "ms", 0},
	{"write max, whole save", "write max", "whole save", "ms", 0},
	{"read p50, idle", "read p50", "idle", "µs", 0},
	{"read p50, save", "read p50", "save", "µs", 0},
	{"read p99, idle", "read p99", "idle", "µs", 8},
	{"read p99, save", "read p99", "save", "µs", 4},
	{"read p99.9, idle", "read p99.9", "idle", "ms", 0},
	{"read p99.9, save", "read p99.9", "save", "ms", 0},
	{"read max, idle", "read max", "idle", "ms", 0},
	{"read max, save", "read max", "save", "ms", 0},
	{"ping p50, idle", "ping p50", "idle", "µs", 0},
	{"ping p50, save", "ping p50", "save", "µs", 0},
	{"ping p99, idle", "ping p99", "idle", "µs", 0},
	{"ping p99, save", "ping p99", "save", "µs", 0},
	{"ping p99.9, idle", "ping p99.9", "idle", "ms", 0},
	{"ping p99.9, save", "ping p99.9", "save", "ms", 0},
	{"ping max, idle", "ping max", "idle", "ms", 0},
	{"ping max, save", "ping max", "save", "ms", 0},
	{"throughput, idle", "ops/s", "idle", "", 10},
	{"throughput, save", "ops/s", "save", "", 5},
	{"generator late p99, idle", "generator late", "p99, idle", "µs", 0},
	{"generator late p99, save", "generator late", "p99, save", "µs", 0},
	{"extra memory", "extra", "memory", "MB", 6},
	{"extra memory by INFO", "extra memory", "by INFO", "MB", 0},
	{"copied by the kernel", "copied by", "kernel", "MB", 0},
	{"deferred", "deferred", "", "MB", 0},
	{"page tables, peak", "page", "tables", "MB", 0},
	{"save", "save", "", "s", 9},
	{"save rate", "save", "rate", "MB/s", 0},
	{"saved", "saved", "", "MB", 0},
	{"saved as links", "saved", "as links", "MB", 0},
	{"minor faults of the server", "faults", "server", "", 0},
	{"minor faults of the child", "faults", "child", "", 0},
	{"CPU of the server", "CPU", "server", "s", 0},
	{"CPU of the child", "CPU", "child", "s", 0},
	{"load", "load", "", "s", 11},
}

// table is the figures of one scenario as text.
type table struct {
	chapter *chapter
	columns []column
	rows    []row
	notes   []string
}

// row is a group; cells has one element for each column of the table.
type row struct {
	contestant string
	size       string // of the data, if the scenario has several
	marks      string
	rounds     int
	cells      []string
}

// tableOf returns the table of a scenario with those of cols for which some
// group has a figure.
func tableOf(c *chapter, cols []column) table {
	t := table{chapter: c, notes: c.notes()}
	for _, col := range cols {
		for i := range c.groups {
			if _, ok := c.groups[i].median(col.metric); ok {
				t.columns = append(t.columns, col)
				break
			}
		}
	}
	for i := range c.groups {
		g := &c.groups[i]
		r := row{contestant: g.Contestant, marks: g.state().marks(), rounds: g.rounds()}
		if c.grows() {
			r.size = commas(g.Keys) + " keys"
			if d := g.dataBytes(); d > 0 {
				r.size = bytesText(d)
			}
		}
		for _, col := range t.columns {
			cell := absent
			if v, ok := g.median(col.metric); ok {
				cell = figure(v)
			}
			r.cells = append(r.cells, cell)
		}
		t.rows = append(t.rows, r)
	}
	return t
}

// roundsText says how many rounds the figures of the groups are medians of.
func roundsText(groups []group) string {
	var n span
	for i := range groups {
		n.add(float64(groups[i].rounds()))
	}
	switch {
	case n.hi == 0:
		return ""
	case n.hi == 1:
		return "one round"
	case n.lo == n.hi:
		return "medians of " + plural(int(n.hi), "round")
	default:
		return "medians of " + figureInt(n.lo) + " to " + plural(int(n.hi), "round")
	}
}

func figureInt(v float64) string { return commas(int64(v)) }
