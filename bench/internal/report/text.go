package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"kvd/bench/internal/result"
)

// textWidth is how many columns of a terminal Text uses at most.
const textWidth = 100

// Text writes the tables of a run for a terminal of 100 columns. The error is
// that of w.
func Text(w io.Writer, run *result.Run) error {
	b := newBook(run)
	var out strings.Builder
	if run.Partial != "" {
		out.WriteString(wrap("PARTIAL: "+clip(run.Partial, 600), textWidth, "  ") + "\n\n")
	}
	if len(b.scenarios) == 0 {
		out.WriteString("No trial was run.\n")
	}
	for i, c := range b.scenarios {
		if i > 0 {
			out.WriteByte('\n')
		}
		textTable(&out, narrowed(c))
	}
	if a := run.Apart; a != nil && len(a.Facts) > 0 {
		out.WriteString("\nFork against thread, taken apart: what is said, and a number from here (more in the report)\n")
		for _, f := range a.Facts {
			out.WriteString(factLine(f) + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// TrialLine returns a trial in one line, for progress: who, where, and the
// figures that are looked at first, or why there are none.
func TrialLine(t *result.Trial) string {
	s := fmt.Sprintf("%s %s", t.Scenario, t.Contestant)
	if t.Keys > 0 {
		s += fmt.Sprintf(", %s keys", commas(t.Keys))
	}
	if t.Round > 0 {
		s += fmt.Sprintf(", round %d", t.Round)
	}
	s += ": "
	switch {
	case t.Skipped != "":
		return s + "skipped: " + clip(t.Skipped, 200)
	case failure(t) != "" && !t.Partial:
		return s + "failed: " + clip(failure(t), 200)
	}
	var parts []string
	for _, m := range t.Metrics() {
		switch m.Name {
		case "longest gap, save", "longest gap, whole save", "writers held", "throughput, save", "extra memory", "save", "load":
			parts = append(parts, m.Name+" "+withUnit(m.Value, m.Unit))
		}
	}
	if t.Partial {
		parts = append(parts, "partial")
	}
	if t.GeneratorBound {
		parts = append(parts, "generator-bound")
	}
	if len(parts) == 0 {
		parts = []string{"no figures"}
	}
	return s + strings.Join(parts, "; ")
}

// ranked returns the columns with a rank, the most important first. Where the
// clients send at a given rate, throughput comes last: it is what was asked for.
func ranked(ch *chapter) []column {
	const last = 100
	var cols []column
	for _, c := range columns {
		if c.rank > 0 {
			if !ch.closedLoop() && strings.HasPrefix(c.metric, "throughput") {
				c.rank += last
			}
			cols = append(cols, c)
		}
	}
	slices.SortStableFunc(cols, func(x, y column) int { return x.rank - y.rank })
	return cols
}

// narrowed returns the table of a scenario with as many columns as fit, by rank,
// in their usual order.
func narrowed(c *chapter) table {
	take := ranked(c)
	for {
		var cols []column
		for _, col := range columns {
			if slices.ContainsFunc(take, col.same) {
				cols = append(cols, col)
			}
		}
		t := tableOf(c, cols)
		if lineWidth(t) <= textWidth || len(take) == 1 {
			return t
		}
		take = take[:len(take)-1]
	}
}

// same reports whether another column shows the same metric.
func (c column) same(o column) bool { return c.metric == o.metric }

// label is the first cell of a row.
func (r row) label() string {
	s := r.contestant
	if r.size != "" {
		s += " " + r.size
	}
	if r.marks != "" {
		s += " " + r.marks
	}
	return s
}

// widths returns the width of the labels and of each column.
func widths(t table) (label int, cells []int) {
	cells = make([]int, len(t.columns))
	for i, c := range t.columns {
		cells[i] = max(runes(c.head), runes(c.sub), runes(c.unit))
	}
	for _, r := range t.rows {
		label = max(label, runes(r.label()))
		for i, s := range r.cells {
			cells[i] = max(cells[i], runes(s))
		}
	}
	return label, cells
}

func lineWidth(t table) int {
	n, cells := widths(t)
	for _, c := range cells {
		n += 2 + c
	}
	return n
}

func runes(s string) int { return utf8.RuneCountInString(s) }

func textTable(out *strings.Builder, t table) {
	out.WriteString(wrap(t.chapter.heading(), textWidth, "  ") + "\n")
	info := t.chapter.shape()
	if r := roundsText(t.chapter.groups); r != "" {
		info = strings.TrimPrefix(info+"; "+r, "; ")
	}
	if info != "" {
		out.WriteString(wrap("  "+info, textWidth, "  ") + "\n")
	}
	label, cells := widths(t)
	for _, part := range []func(column) string{
		func(c column) string { return c.head },
		func(c column) string { return c.sub },
		func(c column) string { return c.unit },
	} {
		line := strings.Repeat(" ", label)
		for i, c := range t.columns {
			line += "  " + padLeft(part(c), cells[i])
		}
		if strings.TrimSpace(line) != "" {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	for _, r := range t.rows {
		line := r.label() + strings.Repeat(" ", label-runes(r.label()))
		for i, s := range r.cells {
			line += "  " + padLeft(s, cells[i])
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	for _, n := range t.notes {
		out.WriteString(wrap("  "+n, textWidth, "    ") + "\n")
	}
}

func padLeft(s string, n int) string { return strings.Repeat(" ", max(0, n-runes(s))) + s }

// wrap breaks a text at spaces into lines of at most width runes, all but the
// first indented. A longer word stays whole.
func wrap(s string, width int, indent string) string {
	lead := s[:len(s)-len(strings.TrimLeft(s, " "))]
	line, out := lead, ""
	for _, word := range strings.Fields(s) {
		switch {
		case strings.TrimSpace(line) == "":
			line += word
		case runes(line)+1+runes(word) > width:
			out += line + "\n"
			line = indent + word
		default:
			line += " " + word
		}
	}
	return out + line
}

// factLine is a claim and its number in one line.
func factLine(f result.Fact) string {
	value := absent
	if f.Value != nil {
		value = withUnit(*f.Value, f.Unit)
	}
	claim := "  " + clip(f.Claim, textWidth-len("  ")-1-utf8.RuneCountInString(value))
	return claim + strings.Repeat(" ", max(1, textWidth-utf8.RuneCountInString(claim)-utf8.RuneCountInString(value))) + value
}

// markdownColumns is how many columns Markdown takes at most, by rank: a README
// is narrower than a page.
const markdownColumns = 8

// Markdown writes one table per scenario for a README. The error is that of w.
func Markdown(w io.Writer, run *result.Run) error {
	b := newBook(run)
	var out strings.Builder
	if run.Partial != "" {
		fmt.Fprintf(&out, "Partial: %s\n\n", escapeMarkdown(clip(run.Partial, 600)))
	}
	if len(b.scenarios) == 0 {
		out.WriteString("No trial was run.\n")
	}
	for i, c := range b.scenarios {
		if i > 0 {
			out.WriteByte('\n')
		}
		markdownTable(&out, c)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func markdownTable(out *strings.Builder, c *chapter) {
	have := tableOf(c, ranked(c)).columns
	have = have[:min(len(have), markdownColumns)]
	var cols []column
	for _, col := range columns {
		if slices.ContainsFunc(have, col.same) {
			cols = append(cols, col)
		}
	}
	t := tableOf(c, cols)
	fmt.Fprintf(out, "**%s**", c.heading())
	var info []string
	for _, s := range []string{c.shape(), roundsText(c.groups)} {
		if s != "" {
			info = append(info, s)
		}
	}
	if len(info) > 0 {
		fmt.Fprintf(out, " (%s)", strings.Join(info, "; "))
	}
	out.WriteString("\n\n|")
	if c.grows() {
		out.WriteString(" | data |")
	} else {
		out.WriteString(" |")
	}
	for _, col := range t.columns {
		fmt.Fprintf(out, " %s |", col.title())
	}
	out.WriteString("\n|---|")
	if c.grows() {
		out.WriteString("---:|")
	}
	out.WriteString(strings.Repeat("---:|", len(t.columns)) + "\n")
	for _, r := range t.rows {
		fmt.Fprintf(out, "| %s |", escapeMarkdown(strings.TrimSpace(r.contestant+" "+r.marks)))
		if c.grows() {
			fmt.Fprintf(out, " %s |", r.size)
		}
		for _, s := range r.cells {
			fmt.Fprintf(out, " %s |", s)
		}
		out.WriteByte('\n')
	}
	for i, n := range t.notes {
		if i == 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(out, "* %s\n", escapeMarkdown(n))
	}
}

// title is the heading of a column in one line: "longest gap, save (ms)".
func (c column) title() string {
	switch {
	case c.unit != "":
		return c.metric + " (" + c.unit + ")"
	case strings.HasPrefix(c.head, "ops/s"):
		return c.metric + " (ops/s)"
	}
	return c.metric
}

var markdownEscapes = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "`", "\\`", "\n", " ")

func escapeMarkdown(s string) string { return markdownEscapes.Replace(s) }
