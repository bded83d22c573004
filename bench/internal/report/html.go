package report

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"kvd/bench/internal/result"
)

var (
	//go:embed page.html
	pageText string
	//go:embed style.css
	styleText string

	pageTemplate = template.Must(template.New("page").Parse(pageText))
)

// rawLimit is up to which size, bytes of base64, the raw data go into the page.
const rawLimit = 1 << 20

// page is what the template shows.
type page struct {
	Title, Label, When, Version string
	Partial                     string
	Style                       template.CSS
	Summary                     []pageSummary
	Overview                    []pageChart
	Chapters                    []pageChapter
	Facts                       []pageFacts
	ApartCharts                 []pageChart
	ApartTables                 []pageGrid
	Machine                     []pair
	Command                     string
	Contestants                 []pageContestant
	Ceilings                    []pair
	Raw                         template.URL
	RawName                     string
	RawSize                     string
}

type pageSummary struct {
	ID, Shape string
	Sentences []string
}

type pair struct{ Key, Value string }

type pageContestant struct {
	result.Contestant
	Role string
}

type pageChart struct {
	Name, Title, Caption string
	lead                 bool
	Wide, Narrow         template.HTML
}

type pageChapter struct {
	ID, Heading, Shape, Rounds string
	Lead, Charts               []pageChart
	Grows                      bool
	Heads                      []pageHead
	Rows                       []pageRow
	Notes                      []string
}

type pageHead struct{ Head, Sub, Unit string }

type pageRow struct {
	Name, Role, Size, Marks string
	Cells                   []string
	Next                    bool // the first of another size
}

type pageFacts struct {
	Topic string
	Facts []pageFact
}

type pageFact struct{ Claim, What, Value, Text string }

type pageGrid struct {
	Title   string
	Columns []string
	Rows    [][]string
}

// HTML writes the report of a run as one page that needs nothing else: no
// script, no font, no picture from elsewhere. The error is that of w or of a
// chart that cannot be drawn.
func HTML(w io.Writer, run *result.Run) error {
	b := newBook(run)
	p, err := newPage(b, chartsOf(b))
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := pageTemplate.Execute(&buf, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(buf.Bytes())
	return err
}

func newPage(b *book, charts []Chart) (*page, error) {
	run := b.run
	p := &page{
		Title: "Benchmark of background saves", Label: run.Label, Version: run.Version, Partial: run.Partial,
		Style:   template.CSS(":root{" + cssColors(Light) + "}\n@media (prefers-color-scheme:dark){:root{" + cssColors(Dark) + "}}\n" + cssRoles() + styleText),
		Machine: machineFacts(run), Command: shellCommand(run.Command),
		When: when(run),
	}
	hue := assignHues(b.names)
	for _, name := range b.names {
		p.Contestants = append(p.Contestants, pageContestant{b.contestant(name), hueRole(hue[name])})
	}
	for _, c := range run.Ceilings {
		p.Ceilings = append(p.Ceilings, pair{c.Shape, figure(c.OpsPerSecond)})
	}
	drawn := map[string][]pageChart{}
	for i := range charts {
		c, err := newPageChart(&charts[i])
		if err != nil {
			return nil, err
		}
		drawn[charts[i].section] = append(drawn[charts[i].section], c)
	}
	p.Overview, p.ApartCharts = drawn[overviewSection], drawn[apartSection]
	for _, c := range b.scenarios {
		p.Summary = append(p.Summary, pageSummary{c.id, c.shape(), c.sentences("")})
		p.Chapters = append(p.Chapters, newPageChapter(c, hue, drawn[c.id]))
	}
	p.addApart(run.Apart)
	p.addRaw(run)
	return p, nil
}

func newPageChart(c *Chart) (pageChart, error) {
	out := pageChart{Name: c.Name, Title: c.Title, Caption: c.Caption, lead: c.lead}
	for _, v := range []struct {
		width int
		id    string
		to    *template.HTML
	}{{Wide, c.Name + "-w-", &out.Wide}, {Narrow, c.Name + "-n-", &out.Narrow}} {
		svg, err := c.render(v.width, nil, v.id)
		if err != nil {
			return out, err
		}
		// Every text in it went through attr.
		*v.to = template.HTML(svg)
	}
	return out, nil
}

func newPageChapter(c *chapter, hue map[string]int, charts []pageChart) pageChapter {
	t := tableOf(c, columns)
	out := pageChapter{
		ID: c.id, Heading: c.heading(), Shape: c.shape(), Rounds: roundsText(c.groups),
		Grows: c.grows(), Notes: t.notes,
	}
	for _, ch := range charts {
		if ch.lead {
			out.Lead = append(out.Lead, ch)
		} else {
			out.Charts = append(out.Charts, ch)
		}
	}
	for _, col := range t.columns {
		out.Heads = append(out.Heads, pageHead{col.head, col.sub, col.unit})
	}
	for i, r := range t.rows {
		next := i > 0 && r.size != t.rows[i-1].size
		out.Rows = append(out.Rows, pageRow{r.contestant, hueRole(hue[r.contestant]), r.size, r.marks, r.cells, next})
	}
	return out
}

func (p *page) addApart(a *result.Apart) {
	if a == nil {
		return
	}
	for _, f := range a.Facts {
		if n := len(p.Facts); n == 0 || p.Facts[n-1].Topic != f.Topic {
			p.Facts = append(p.Facts, pageFacts{Topic: f.Topic})
		}
		last := &p.Facts[len(p.Facts)-1]
		v := pageFact{Claim: f.Claim, What: f.What, Text: f.Text}
		if f.Value != nil {
			v.Value = withUnit(*f.Value, f.Unit)
		}
		last.Facts = append(last.Facts, v)
	}
	for _, t := range a.Tables {
		g := pageGrid{Title: t.Title, Columns: t.Columns}
		for _, r := range t.Rows {
			var cells []string
			for i := range t.Columns {
				cell := absent
				if i < len(r) {
					cell = figure(r[i])
				}
				cells = append(cells, cell)
			}
			g.Rows = append(g.Rows, cells)
		}
		p.ApartTables = append(p.ApartTables, g)
	}
}

// addRaw puts the run into the page for downloading, if it is small and JSON
// can hold it.
func (p *page) addRaw(run *result.Run) {
	var buf bytes.Buffer
	b64 := base64.NewEncoder(base64.StdEncoding, &buf)
	z := gzip.NewWriter(b64)
	if json.NewEncoder(z).Encode(run) != nil || z.Close() != nil || b64.Close() != nil || buf.Len() > rawLimit {
		return
	}
	p.Raw = template.URL("data:application/gzip;base64," + buf.String())
	p.RawName = fileName(run.ID) + ".json.gz"
	p.RawSize = bytesText(float64(buf.Len()) * 3 / 4)
}

// fileName keeps of an id what is safe in the name of a file.
func fileName(id string) string {
	s := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, id)
	if s == "" {
		return "run"
	}
	return s
}

func when(run *result.Run) string {
	if run.Started.IsZero() {
		return ""
	}
	s := run.Started.UTC().Format("2 January 2006, 15:04 UTC")
	if d := run.Ended.Sub(run.Started).Round(time.Second); d > 0 && !run.Ended.IsZero() {
		s += ", took " + d.String()
	}
	return s
}

// machineFacts returns what is known of the machine, in words.
func machineFacts(run *result.Run) []pair {
	m := run.Machine
	var out []pair
	add := func(key, value string) {
		if value != "" {
			out = append(out, pair{key, value})
		}
	}
	add("Processor", m.CPU)
	if m.Cores > 0 {
		add("Cores", fmt.Sprint(m.Cores))
	}
	if m.MemoryBytes > 0 {
		s := bytesText(float64(m.MemoryBytes))
		if m.FreeMemoryBytes > 0 {
			s += ", " + bytesText(float64(m.FreeMemoryBytes)) + " of it available at the start"
		}
		add("Memory", s)
	}
	add("Kernel", strings.TrimSpace(m.Kernel+" "+m.Arch))
	add("Transparent huge pages", m.HugePages)
	add("Huge page defragmentation", m.HugeDefrag)
	add("File system of the data", m.Filesystem)
	add("Load average at the start", m.Load1)
	add("Go", m.Go)
	add("kvd", run.Version)
	if c := run.Config; c.Scale != "" || c.Rounds > 0 {
		add("Scale", c.Scale)
		add("Rounds", fmt.Sprint(c.Rounds))
		add("Seed", fmt.Sprint(c.Seed))
	}
	return out
}

// shellCommand returns the arguments as one would type them.
func shellCommand(args []string) string {
	var out []string
	for _, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\$&|;<>()*?#`[]{}!~") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
