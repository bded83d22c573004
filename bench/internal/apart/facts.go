//go:build linux && (amd64 || arm64)

package apart

import (
	"fmt"
	"strings"

	"kvd/bench/internal/result"
)

// Topics of the facts, in their order.
const (
	topicCreation = "creation"
	topicTables   = "page tables"
	topicFaults   = "faults"
	topicIsolate  = "isolation"
	topicTalk     = "communication"
)

// claim is one sentence of the textbooks and how to hold it against figures.
type claim struct {
	topic, claim, what, unit string
	needs                    []string // figures without which there is no finding
	// finding returns the value in unit and the verdict. It is called only if
	// all figures are there.
	finding func() (value float64, text string)
}

// apart words all that was measured.
func (m *measurement) apart() *result.Apart {
	a := &result.Apart{}
	for _, claims := range [][]claim{m.creationClaims(), m.tableClaims(), m.faultClaims(),
		m.hugeFaultClaims(), m.isolationClaims(), m.talkClaims(), m.bulkClaims()} {
		for _, c := range claims {
			a.Facts = append(a.Facts, m.fact(c))
		}
	}
	a.Tables = m.tables()
	return a
}

// fact holds a claim against the figures.
func (m *measurement) fact(c claim) result.Fact {
	f := result.Fact{Topic: c.topic, Claim: c.claim, What: c.what, Unit: c.unit}
	for _, name := range c.needs {
		if !m.has(name) {
			f.Text = "Not measured: " + m.reason(name) + "."
			return f
		}
	}
	v, text := c.finding()
	f.Value, f.Text = &v, text
	return f
}

// has tells whether there is a figure of that name, at any size.
func (f *figures) has(name string) bool { return len(f.sizes[name]) > 0 }

// get returns a figure that does not depend on size.
func (f *figures) get(name string) float64 { return f.values[point{Name: name}] }

// at returns a figure at a size; it must be there.
func (f *figures) at(name string, size int64) float64 { return f.values[point{Name: name, Size: size}] }

// ends returns the smallest and the largest size of a figure, and its values
// there. Sizes are measured in ascending order.
func (f *figures) ends(name string) (from, to int64, first, last float64) {
	s := f.sizes[name]
	from, to = s[0], s[len(s)-1]
	return from, to, f.at(name, from), f.at(name, to)
}

// reason returns why a figure is missing: the note with the longest beginning of
// its name.
func (f *figures) reason(name string) string {
	best, why := -1, "the measuring process ended before it"
	for part, text := range f.why {
		if strings.HasPrefix(name, part) && len(part) > best {
			best, why = len(part), text
		}
	}
	return why
}

// verdict words whether a claim holds, before the figures that say so.
func verdict(holds bool) string {
	if holds {
		return "Borne out: "
	}
	return "Not borne out: "
}

// noise is the ratio up to which two figures count as equal.
const noise = 1.25

// usText words microseconds with three digits.
func usText(us float64) string {
	switch {
	case us >= 1e6:
		return digits(us/1e6) + " s"
	case us >= 1e3:
		return digits(us/1e3) + " ms"
	case us >= 1:
		return digits(us) + " µs"
	}
	return digits(us*1e3) + " ns"
}

func nsText(ns float64) string { return usText(ns / 1e3) }

// ratioText words how often b is in a.
func ratioText(a, b float64) string {
	if b <= 0 {
		return "many times"
	}
	return digits(a/b) + " times"
}

// digits writes three significant digits without an exponent.
func digits(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// bytesText words a number of bytes in the largest unit that fits.
func bytesText(n int64) string {
	switch {
	case n >= gib:
		return digitsShort(float64(n)/gib) + " GiB"
	case n >= mib:
		return digitsShort(float64(n)/mib) + " MiB"
	case n >= kib:
		return digitsShort(float64(n)/kib) + " KiB"
	}
	return fmt.Sprintf("%d B", n)
}

// digitsShort is digits without zeros behind the point.
func digitsShort(v float64) string {
	s := digits(v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// column is a column of a table: a figure by size, and what it is divided by.
type column struct {
	title, name string
	per         float64
}

// tables returns cost against size, for charts. Columns with the same sizes
// share a table; one that was measured up to a smaller size has its own, and one
// that was not measured has none.
func (m *measurement) tables() []result.Table {
	var out []result.Table
	for _, t := range []struct {
		title, first string
		per          float64
		columns      []column
	}{
		{"Time of clone() by size of the data", "data, MiB", mib, []column{
			{"fork, 4 KiB pages, ms", "small/fork", 1e3},
			{"fork, huge pages, ms", "huge/fork", 1e3},
			{"vfork + exec, ms", "small/exec", 1e3},
			{"thread, ms", "small/thread", 1e3}}},
		{"Page tables of the forked child (VmPTE) by size of the data", "data, MiB", mib, []column{
			{"4 KiB pages, KiB", "small/tables", kib},
			{"huge pages, KiB", "huge/tables", kib}}},
		{"Handing data over, there and acknowledged, by size", "data, bytes", 1, []column{
			{"pipe to a process, µs", "talk/bulk pipe", 1},
			{"pointer through a channel, µs", "talk/bulk pointer", 1},
			{"copy within a thread, µs", "talk/bulk copy", 1}}},
	} {
		byCount := map[int]int{} // number of sizes, which all begin with the smallest: index in out
		for _, c := range t.columns {
			sizes := m.sizes[c.name]
			if len(sizes) == 0 {
				continue
			}
			at, ok := byCount[len(sizes)]
			if !ok {
				at = len(out)
				byCount[len(sizes)] = at
				out = append(out, result.Table{Title: t.title, Columns: []string{t.first}})
				for _, size := range sizes {
					out[at].Rows = append(out[at].Rows, []float64{float64(size) / t.per})
				}
			}
			out[at].Columns = append(out[at].Columns, c.title)
			for i, size := range sizes {
				out[at].Rows[i] = append(out[at].Rows[i], m.at(c.name, size)/c.per)
			}
		}
	}
	return out
}
