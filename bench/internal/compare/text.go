package compare

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Text is made for a terminal of this many columns.
const columns = 100

// Text writes the report for a terminal of 100 columns.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	r.A.head(&b, "A")
	r.B.head(&b, "B")
	list(&b, "Not alike, which may make the comparison unfair:", r.Warnings)
	list(&b, "What differs in the contestants:", r.Notes)
	for i := range r.Rows {
		row := &r.Rows[i]
		if i == 0 || !sameGroup(&r.Rows[i-1], row) {
			r.groupHead(&b, i)
		}
		row.line(&b)
	}
	if len(r.Rows) == 0 {
		b.WriteString("\nNothing to compare: A and B have no scenario, contestant and size in common.\n")
	}
	list(&b, "In A only:", r.OnlyA)
	list(&b, "In B only:", r.OnlyB)
	r.foot(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// head writes one line for a side.
func (s Side) head(b *strings.Builder, name string) {
	line := fmt.Sprintf("%s  %s", name, s.Run.ID)
	if s.Contestant != "" {
		line += ":" + s.Contestant
	}
	if s.Run.Label != "" {
		line += "  " + s.Run.Label
	}
	line += "  " + s.Run.Started.UTC().Format("2006-01-02 15:04 MST")
	if s.Run.Version != "" {
		line += "  kvd " + s.Run.Version
	}
	b.WriteString(cut(line, columns) + "\n")
}

// list writes a title and items, wrapped; nothing if there are none.
func list(b *strings.Builder, title string, items []string) {
	if len(items) == 0 {
		return
	}
	b.WriteString("\n" + title + "\n")
	for _, item := range items {
		const first, next = "  - ", "    "
		line := first
		for _, word := range strings.Fields(item) {
			word = cut(word, columns-len(next))
			if utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > columns && line != first && line != next {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
				line = next
			}
			line += word + " "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

func sameGroup(a, b *Row) bool {
	return a.Scenario == b.Scenario && a.ContestantA == b.ContestantA && a.ContestantB == b.ContestantB && a.Keys == b.Keys
}

// groupHead writes the heading of the group that starts at row i.
func (r *Report) groupHead(b *strings.Builder, i int) {
	first := &r.Rows[i]
	var roundsA, roundsB int // a metric may lack in some
	for k := i; k < len(r.Rows) && sameGroup(first, &r.Rows[k]); k++ {
		roundsA = max(roundsA, len(r.Rows[k].A))
		roundsB = max(roundsB, len(r.Rows[k].B))
	}
	who := first.ContestantA
	if first.ContestantB != who {
		who = fmt.Sprintf("%s (A) and %s (B)", who, first.ContestantB)
	}
	line := fmt.Sprintf("Scenario %s, %s, %s keys, rounds: %d and %d", first.Scenario, who, thousands(first.Keys), roundsA, roundsB)
	b.WriteString("\n" + cut(line, columns) + "\n")
	writeLine(b, "", "A", "B", "B/A", "shift", "p", "effect", "B is")
}

// writeLine aligns the columns of a row.
func writeLine(b *strings.Builder, metric, medianA, medianB, ratio, shift, p, effect, verdict string) {
	line := fmt.Sprintf("  %-28s %9s %9s %6s %9s %6s %6s  %s", cut(metric, 28), medianA, medianB, ratio, shift, p, effect, verdict)
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// line writes the row.
func (row *Row) line(b *strings.Builder) {
	name := row.Metric
	if row.Unit != "" {
		name += " (" + row.Unit + ")"
	}
	medianA, medianB, shift, p, effect := "-", "-", "-", "-", "-"
	if len(row.A) > 0 {
		medianA = figure(row.MedianA)
	}
	if len(row.B) > 0 {
		medianB = figure(row.MedianB)
	}
	if row.Rounds() > 0 {
		shift, effect = signed(row.Shift, figure(row.Shift)), fmt.Sprintf("%+.2f", row.Cliff)
		if row.Cliff == 0 {
			effect = "0"
		}
	}
	verdict := string(row.Verdict)
	if row.Verdict == CannotTell {
		verdict += fmt.Sprintf(" (n=%d)", row.Rounds())
	} else {
		p = probability(row.P)
	}
	writeLine(b, name, medianA, medianB, ratio(row.Ratio), shift, p, effect, verdict)
}

// foot explains the table.
func (r *Report) foot(b *strings.Builder) {
	tested, better, worse, differs := 0, 0, 0, 0
	for i := range r.Rows {
		switch r.Rows[i].Verdict {
		case Better:
			better++
		case Worse:
			worse++
		case Differs:
			differs++
		case CannotTell:
			continue
		}
		tested++
	}
	if len(r.Rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d metrics: B is better in %d, worse in %d, within noise in %d; cannot tell in %d.\n",
		len(r.Rows), better, worse, tested-better-worse-differs, len(r.Rows)-tested)
	if differs > 0 {
		fmt.Fprintf(b, "B differs in %d of which neither more nor less is better.\n", differs)
	}
	b.WriteString("A and B: medians over the rounds. shift: how much larger B is (Hodges-Lehmann). effect: Cliff's\n" +
		"delta, +1 if every value of B is above all of A. p: Mann-Whitney U, two-sided; below 0.05 is called\n" +
		"a difference.")
	if tested > 0 {
		fmt.Fprintf(b, " Of %d tests %.1f are expected to be below by chance alone.", tested, Alpha*float64(tested))
	}
	b.WriteString("\n")
	if tested < len(r.Rows) {
		fmt.Fprintf(b, "cannot tell: fewer than %d rounds a side; run more with the same configuration.\n", MinRounds)
	}
}

// figure formats a value to at most 9 columns.
func figure(v float64) string {
	const precise, whole, large = 10, 1000, 1e8
	a := math.Abs(v)
	switch {
	case a == 0:
		return "0"
	case a < 0.001 || a >= large:
		return strconv.FormatFloat(v, 'e', 1, 64)
	case a < precise:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case a < whole:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// signed puts a plus before what is above zero.
func signed(v float64, text string) string {
	if v > 0 {
		return "+" + text
	}
	return text
}

func ratio(v float64) string {
	const large = 1000
	switch {
	case math.IsNaN(v):
		return "-"
	case v >= large:
		return ">1000"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func probability(p float64) string {
	const least = 0.0001
	if p < least {
		return "<.0001"
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}

// thousands writes 3000000 as 3,000,000.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// cut shortens a text to so many columns.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}
