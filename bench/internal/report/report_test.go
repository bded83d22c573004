package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"kvd/bench/internal/result"
)

var sharedRun = sync.OnceValue(fullRun)

// valuesOf collects a figure of the trials by hand, apart from what the package does.
func valuesOf(run *result.Run, scenario, contestant string, keys int64, pick func(*result.Trial) (float64, bool)) []float64 {
	var out []float64
	for i := range run.Trials {
		t := &run.Trials[i]
		if t.Scenario == scenario && t.Contestant == contestant && (keys == 0 || t.Keys == keys) {
			if v, ok := pick(t); ok {
				out = append(out, v)
			}
		}
	}
	return out
}

func saveGapMsec(t *result.Trial) (float64, bool) {
	w := t.Windows["save"]
	if w == nil {
		return 0, false
	}
	return w.LongestGapSec * 1000, true
}

func extraMB(t *result.Trial) (float64, bool) {
	if t.Save == nil || t.Save.ExtraMemoryBytes == nil {
		return 0, false
	}
	return float64(*t.Save.ExtraMemoryBytes) / 1e6, true
}

func pageOf(t *testing.T, run *result.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, run); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestFiguresAreMedians checks the figures of all three tables against medians
// taken by hand.
func TestFiguresAreMedians(t *testing.T) {
	run := sharedRun()
	var text, markdown bytes.Buffer
	if err := errors.Join(Text(&text, run), Markdown(&markdown, run)); err != nil {
		t.Fatal(err)
	}
	html := pageOf(t, run)
	// Each scenario by itself, so that a figure of another one is not found.
	part := func(s, from, to string) string {
		i := strings.Index(s, from)
		if i < 0 {
			t.Fatalf("no %q", from)
		}
		s = s[i:]
		if j := strings.Index(s[len(from):], to); j >= 0 {
			s = s[:j+len(from)]
		}
		return s
	}
	checked := 0
	for _, scenario := range []string{"A", "B", "E"} {
		inText := part(text.String(), "Scenario "+scenario+":", "\n\n")
		inMarkdown := part(markdown.String(), "**Scenario "+scenario+":", "\n**")
		inHTML := part(html, `<section id="scenario-`+scenario+`"`, "</table>")
		for _, name := range fiveNames {
			for _, pick := range []func(*result.Trial) (float64, bool){saveGapMsec, extraMB} {
				want := figure(result.Median(valuesOf(run, scenario, name, 0, pick)))
				for what, in := range map[string]string{
					"text":     line(inText, regexp.MustCompile(`(?m)^`+name+` .*$`)),
					"markdown": line(inMarkdown, regexp.MustCompile(`(?m)^\| `+name+` .*$`)),
					"page":     line(inHTML, regexp.MustCompile(`</span> `+name+`<.*</tr>`)),
				} {
					if !slices.Contains(regexp.MustCompile(`[\s|<>]+`).Split(in, -1), want) {
						t.Errorf("scenario %s, %s: no %s in the %s: %s", scenario, name, want, what, in)
					}
					checked++
				}
			}
		}
	}
	if checked != 3*5*2*3 {
		t.Fatalf("checked %d figures", checked)
	}
}

func line(s string, re *regexp.Regexp) string { return re.FindString(s) }

// TestAbsentIsADash checks that what was not measured is no zero.
func TestAbsentIsADash(t *testing.T) {
	c := newBook(sharedRun()).chapter("A")
	tab := tableOf(c, columns)
	at := slices.IndexFunc(tab.columns, func(c column) bool { return c.metric == "writers held" })
	for _, r := range tab.rows {
		absentHere := r.cells[at] == absent
		if want := r.contestant == "pebble" || r.contestant == "redis-server"; absentHere != want {
			t.Errorf("%s: writers held is %q", r.contestant, r.cells[at])
		}
	}
}

// TestLatenessIsSaid checks that the generator's own lag stands below paced
// scenarios, and only there.
func TestLatenessIsSaid(t *testing.T) {
	b := newBook(sharedRun())
	for id, want := range map[string]bool{"A": true, "B": false} {
		if got := strings.Contains(strings.Join(b.chapter(id).notes(), " "), "up to 31 µs late"); got != want {
			t.Errorf("scenario %s: %v", id, got)
		}
	}
}

// TestLatenessIsOfTheWindows checks that warming up, which is in the figure of the
// whole trial, is not told where the windows tell of themselves.
func TestLatenessIsOfTheWindows(t *testing.T) {
	lag := func(p99 float64) *result.Window {
		return &result.Window{Ops: map[string]result.Latencies{"lag": {Count: 9, P99Usec: p99}}}
	}
	for _, c := range []struct {
		windows map[string]*result.Window
		want    string
	}{
		{map[string]*result.Window{"idle": lag(40), "save": lag(70), "before": lag(900), "during": lag(800)}, "up to 70 µs late"},
		{map[string]*result.Window{"idle": lag(90), "save": {}}, "up to 90 µs late"},
		{map[string]*result.Window{"idle": {}, "save": {}}, "up to 5 ms late"},
	} {
		run := &result.Run{Trials: []result.Trial{{Scenario: "A", Contestant: "fork", Windows: c.windows, LagP99Usec: ref(5000.0)}}}
		if got := strings.Join(newBook(run).chapter("A").notes(), " "); !strings.Contains(got, c.want) {
			t.Errorf("no %q in %q", c.want, got)
		}
	}
}

// TestEveryMetricHasAColumn gives a trial all that can be measured: the page shows
// each figure, and in the same unit.
func TestEveryMetricHasAColumn(t *testing.T) {
	window := func(to float64) *result.Window {
		w := &result.Window{ToSec: to, Ops: map[string]result.Latencies{}}
		for _, op := range []string{"write", "read", "ping", "lag"} {
			w.Ops[op] = result.Latencies{Count: 1}
		}
		return w
	}
	full := result.Trial{
		Windows: map[string]*result.Window{"idle": window(1), "save": window(1), "during": window(2)},
		Save:    &result.Save{Seconds: 1}, Load: &result.Load{},
	}
	save := reflect.ValueOf(full.Save).Elem()
	for i := range save.NumField() {
		if f := save.Field(i); f.Kind() == reflect.Pointer {
			f.Set(reflect.New(f.Type().Elem()))
		}
	}
	linked := full
	linked.Save = ref(*full.Save)
	linked.Save.SharedBytes = 1
	var names []string
	for _, m := range append(full.Metrics(), linked.Metrics()...) {
		names = append(names, m.Name)
		at := slices.IndexFunc(columns, func(c column) bool { return c.metric == m.Name })
		if at < 0 {
			t.Errorf("no column of %q", m.Name)
		} else if u := columns[at].unit; u != m.Unit && columns[at].head != m.Unit {
			t.Errorf("%s in %q, its column in %q", m.Name, m.Unit, u)
		}
	}
	for i, c := range columns {
		if !slices.Contains(names, c.metric) || slices.IndexFunc(columns, c.same) != i {
			t.Errorf("the column of %q is of no metric, or there twice", c.metric)
		}
	}
}

// TestTheWholeSaveIsShown checks that a pause after the window of a save is in the
// narrow tables, the sentences and the chart, and only where there is one.
func TestTheWholeSaveIsShown(t *testing.T) {
	run := makeRun([]string{"copy", "thread"}, 1, &maker{memorys: true})
	for i := range run.Trials {
		if tr := &run.Trials[i]; tr.Scenario == "E" && tr.Contestant == "copy" {
			tr.Windows["during"] = &result.Window{FromSec: tr.Save.AtSec, ToSec: tr.Save.EndSec, LongestGapSec: 8.715}
		}
	}
	var text, markdown bytes.Buffer
	if err := errors.Join(Text(&text, run), Markdown(&markdown, run)); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"text": text.String(), "markdown": markdown.String()} {
		before, in, _ := strings.Cut(s, "Scenario E")
		in, _, _ = strings.Cut(in, "Scenario G")
		if strings.Contains(before, "whole save") || !strings.Contains(in, "whole save") || !strings.Contains(in, "8,715") {
			t.Errorf("%s: %s", name, s)
		}
		if !regexp.MustCompile(`(?m)thread .*\d\D+–`).MatchString(in) {
			t.Errorf("%s: no dash for thread: %s", name, in)
		}
	}
	if s := strings.Join(Summary(run), " "); strings.Count(s, "8.71 s in the whole save")+strings.Count(s, "8.72 s in the whole save") != 1 {
		t.Error(s)
	}
	for _, c := range Charts(run) {
		if want := c.Name == "pause-e"; strings.Contains(c.Alt, "gap, whole") != want || strings.Contains(c.Caption, "Whole: ") != want {
			t.Errorf("%s: %s %s", c.Name, c.Caption, c.Alt)
		}
	}
}

// TestAnInterruptedSaveDidNotFail checks that partial is said in place of failed.
func TestAnInterruptedSaveDidNotFail(t *testing.T) {
	trial := result.Trial{Scenario: "A", Contestant: "fork", Partial: true, Error: "interrupted", Save: &result.Save{Error: "interrupted"}}
	b := newBook(&result.Run{Trials: []result.Trial{trial}})
	c := b.chapter("A")
	if got := c.groups[0].state().marks(); got != markPartial {
		t.Errorf("marks %q", got)
	}
	if got := c.notes(); len(got) != 1 || !strings.HasPrefix(got[0], markPartial+" fork: 1 of 1 round partial") {
		t.Errorf("notes %q", got)
	}
	if got := TrialLine(&trial); got != "A fork: partial" {
		t.Error(got)
	}
}

func TestTextFitsATerminal(t *testing.T) {
	runs := oddRuns()
	runs["full"] = sharedRun()
	for name, run := range runs {
		var b bytes.Buffer
		if err := Text(&b, run); err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(l); n > textWidth {
				t.Errorf("%s: a line of %d columns: %s", name, n, l)
			}
			if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%s: a control character goes to the terminal: %q", name, l)
			}
		}
	}
}

func TestMarkdownTablesAreTables(t *testing.T) {
	var b bytes.Buffer
	if err := Markdown(&b, sharedRun()); err != nil {
		t.Fatal(err)
	}
	columns := 0
	for _, l := range strings.Split(b.String(), "\n") {
		if !strings.HasPrefix(l, "|") {
			columns = 0
			continue
		}
		n := strings.Count(l, "|")
		if columns == 0 {
			columns = n
		}
		if n != columns {
			t.Errorf("%d bars, the head has %d: %s", n, columns, l)
		}
	}
}

// TestSummarySaysWhatWasMeasured checks figures, order and rounds of a sentence.
func TestSummarySaysWhatWasMeasured(t *testing.T) {
	run := sharedRun()
	s := Summary(run)[0]
	type entry struct {
		v    float64
		text string
	}
	var all []entry
	for _, n := range fiveNames {
		v := result.Median(valuesOf(run, "A", n, 0, saveGapMsec))
		all = append(all, entry{v, scaled(v/1000, secUnits) + " with " + n})
	}
	slices.SortFunc(all, func(x, y entry) int { return compareFloats(x.v, y.v) })
	from := 0
	for _, e := range all {
		i := strings.Index(s[from:], e.text)
		if i < 0 {
			t.Fatalf("%q is not where it should be in %q", e.text, s)
		}
		from += i
	}
	if !strings.Contains(s, "medians of 3 rounds") || !strings.HasPrefix(s, "In scenario A (3,000,000 keys") {
		t.Error(s)
	}
	one := makeRun([]string{"fork"}, 1, &maker{})
	if s := Summary(one)[0]; !strings.Contains(s, "(one round)") {
		t.Error(s)
	}
	for _, word := range []string{"better", "worse", "best", "faster than", "wins"} {
		if all := strings.Join(Summary(run), " "); strings.Contains(all, word) {
			t.Errorf("the summary judges: %q", word)
		}
	}
}

func TestTroubleIsMarked(t *testing.T) {
	runs := oddRuns()
	for name, want := range map[string][]string{
		"partial":           {"interrupted", markPartial, "partial"},
		"only errors":       {markFailed, "connection refused"},
		"skipped and bound": {markSkipped, "pebble has no lists", markBound, "generator-bound", "no space left on device"},
		"no trials":         {"No trial was run"},
	} {
		var text, markdown bytes.Buffer
		if err := errors.Join(Text(&text, runs[name]), Markdown(&markdown, runs[name])); err != nil {
			t.Fatal(err)
		}
		for what, s := range map[string]string{"text": text.String(), "markdown": markdown.String(), "page": pageOf(t, runs[name])} {
			// The text is wrapped.
			s = strings.Join(strings.Fields(s), " ")
			for _, w := range want {
				if !strings.Contains(s, w) {
					t.Errorf("%s: no %q in the %s", name, w, what)
				}
			}
		}
	}
	said := strings.Join(Summary(runs["skipped and bound"]), " ")
	for _, w := range []string{"Generator-bound", "Skipped: pebble", "Failed: 2 trials"} {
		if !strings.Contains(said, w) {
			t.Errorf("no %q in the summary: %s", w, said)
		}
	}
}

func TestTrialLine(t *testing.T) {
	trial := sharedRun().Trials[0]
	if s := TrialLine(&trial); !strings.HasPrefix(s, "A fork, 3,000,000 keys, round 1: longest gap, save ") || strings.Contains(s, "\n") {
		t.Error(s)
	}
	trial.Error = "the server\nis gone"
	if s := TrialLine(&trial); s != "A fork, 3,000,000 keys, round 1: failed: the server is gone" {
		t.Error(s)
	}
	if s := TrialLine(&result.Trial{Scenario: "C", Contestant: "x", Skipped: "no lists"}); s != "C x: skipped: no lists" {
		t.Error(s)
	}
}

// parseSVG returns the texts of an SVG and fails if it is not well formed.
func parseSVG(t *testing.T, name string, svg []byte) (texts []string, title, desc string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var in []string
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return texts, title, desc
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			in = append(in, e.Name.Local)
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s: %s=%q", name, a.Name.Local, clip(a.Value, 80))
				}
			}
		case xml.EndElement:
			in = in[:len(in)-1]
		case xml.CharData:
			if len(in) == 0 {
				continue
			}
			switch in[len(in)-1] {
			case "text":
				texts = append(texts, string(e))
			case "title":
				title = string(e)
			case "desc":
				desc = string(e)
			}
		}
	}
}

func TestChartsOfAFullRun(t *testing.T) {
	want := []string{"pause", "pause-a", "latency-a", "percentiles-a", "throughput-a", "memory-a", "growth-pause-g", "growth-memory-g", "load-h", "apart-1", "apart-2"}
	var names []string
	for _, c := range Charts(sharedRun()) {
		names = append(names, c.Name)
		if c.Title == "" || len(c.Caption) < 40 || len(c.Alt) < 20 {
			t.Errorf("%s: title %q, caption %q, alt %q", c.Name, c.Title, c.Caption, c.Alt)
		}
		for _, theme := range []Theme{Light, Dark} {
			for _, width := range []int{Wide, Narrow} {
				svg, err := c.SVG(theme, width)
				if err != nil {
					t.Fatal(err)
				}
				texts, title, desc := parseSVG(t, c.Name, svg)
				if title != c.Title || desc != c.Alt {
					t.Errorf("%s: title %q, description %q", c.Name, title, desc)
				}
				if strings.HasPrefix(c.Name, "apart") || c.Name == "pause-h" {
					continue // not of all contestants
				}
				for _, n := range fiveNames {
					if !slices.Contains(texts, n) {
						t.Errorf("%s, width %d: %s is missing", c.Name, width, n)
					}
				}
			}
		}
	}
	for _, n := range want {
		if !slices.Contains(names, n) {
			t.Errorf("no chart %s among %v", n, names)
		}
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("two charts of one name: %v", names)
	}
}

// TestHuesAreTheSameEverywhere checks that a contestant keeps its colour from
// chart to chart and from run to run.
func TestHuesAreTheSameEverywhere(t *testing.T) {
	hue := assignHues(fiveNames)
	seen := map[int]bool{}
	for _, n := range fiveNames {
		if seen[hue[n]] {
			t.Errorf("%s shares its hue", n)
		}
		seen[hue[n]] = true
	}
	if other := assignHues([]string{"redis-server", "x", "thread"}); other["thread"] != hue["thread"] || other["redis-server"] != hue["redis-server"] {
		t.Errorf("hues depend on the company: %v, %v", hue, other)
	}
	for _, c := range Charts(sharedRun()) {
		if strings.HasPrefix(c.Name, "apart") {
			continue
		}
		svg, err := c.SVG(Light, Wide)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range fiveNames {
			for _, m := range regexp.MustCompile(`fill="(#[0-9a-f]+)"[^>]*>`+n+`</text>`).FindAllStringSubmatch(string(svg), -1) {
				if want := colorOf(hueRole(hue[n]), Light); m[1] != want {
					t.Errorf("%s: %s is written in %s, not %s", c.Name, n, m[1], want)
				}
			}
		}
	}
}

func TestWriteCharts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	run := makeRun([]string{"fork", "thread"}, 1, &maker{memorys: true})
	if err := WriteCharts(dir, run); err != nil {
		t.Fatal(err)
	}
	for _, c := range Charts(run) {
		var colors []string
		for _, theme := range []string{"light", "dark"} {
			b, err := os.ReadFile(filepath.Join(dir, c.Name+"-"+theme+".svg"))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte("class=")) || bytes.Contains(b, []byte("var(")) {
				t.Errorf("%s needs a stylesheet", c.Name)
			}
			colors = append(colors, string(regexp.MustCompile(`<rect [^>]*fill="(#\w+)"`).FindSubmatch(b)[1]))
		}
		if !slices.Equal(colors, []string{palette["paper"].light, palette["paper"].dark}) {
			t.Errorf("%s: backgrounds %v", c.Name, colors)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteCharts(file, run); err == nil {
		t.Error("charts were written into a file")
	}
}
