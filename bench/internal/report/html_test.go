package report

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"kvd/bench/internal/result"
)

var (
	tagPattern   = regexp.MustCompile(`<(/?)([a-zA-Z][a-zA-Z0-9]*)((?:[^>"']|"[^"]*"|'[^']*')*)>`)
	stylePattern = regexp.MustCompile(`(?s)<style>.*?</style>`)
	voidElements = map[string]bool{"meta": true, "br": true}
)

// checkPage fails unless the tags of a page are balanced, ids are unique, and
// nothing in it is fetched from anywhere or runs.
func checkPage(t *testing.T, name, page string) {
	t.Helper()
	var open []string
	ids := map[string]bool{}
	for _, m := range tagPattern.FindAllStringSubmatch(stylePattern.ReplaceAllString(page, ""), -1) {
		closing, tag, attrs := m[1] == "/", m[2], m[3]
		if id := regexp.MustCompile(`\sid="([^"]*)"`).FindStringSubmatch(attrs); id != nil {
			if ids[id[1]] {
				t.Errorf("%s: id %q twice", name, id[1])
			}
			ids[id[1]] = true
		}
		switch {
		case voidElements[tag] || strings.HasSuffix(attrs, "/"):
		case !closing:
			open = append(open, tag)
		case len(open) == 0 || open[len(open)-1] != tag:
			t.Fatalf("%s: </%s> closes %v", name, tag, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: not closed: %v", name, open)
	}
	for _, link := range regexp.MustCompile(`(?:href|src|srcset|xlink:href|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(link[1], "#") && !strings.HasPrefix(link[1], "data:application/gzip;base64,") {
			t.Errorf("%s: a link to %q", name, clip(link[1], 80))
		}
		if id, local := strings.CutPrefix(link[1], "#"); local && !ids[id] {
			t.Errorf("%s: a link to #%s, which is nowhere", name, id)
		}
	}
	for _, label := range regexp.MustCompile(`aria-labelledby="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		for _, id := range strings.Fields(label[1]) {
			if !ids[id] {
				t.Errorf("%s: labelled by %q, which is nowhere", name, id)
			}
		}
	}
	page = regexp.MustCompile(`base64,[^"]*"`).ReplaceAllString(page, `"`)
	for _, never := range []string{"http:", "https:", "//cdn", "<script", "@import", "url(", "<link", "<img", "<iframe", "ZgotmplZ", "NaN", "+Inf", "%!"} {
		if strings.Contains(page, never) {
			t.Errorf("%s: %q in the page", name, never)
		}
	}
}

func TestPageOfAFullRun(t *testing.T) {
	run := sharedRun()
	page := pageOf(t, run)
	checkPage(t, "full", page)
	if n := len(page); n > 3<<20 {
		t.Errorf("the page has %d bytes", n)
	}
	for _, want := range []string{
		"go run ./bench run --scenarios A,B,E,G,H --rounds 3 --start redis-server=/usr/bin/redis-server", // the command
		"Linux 6.18.5", "madvise", "17.2 GB", // the machine
		"write-ahead log on, NoSync, cache 256 MB", "redis 7.0.15", "241,234 requests/s", // contestants and ceiling
		"Creating a process is much dearer", "14.2 ms", "1257 times less", // apart
		"prefers-color-scheme:dark", "How to read it", `name="viewport"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, c := range Charts(run) {
		for _, w := range []string{"w", "n"} {
			if !strings.Contains(page, `<title id="`+c.Name+"-"+w+`-t">`) {
				t.Errorf("chart %s is not in the page at width %s", c.Name, w)
			}
		}
	}
}

// TestRawData reads the run back from the page's link.
func TestRawData(t *testing.T) {
	run := makeRun([]string{"thread"}, 1, &maker{memorys: true})
	m := regexp.MustCompile(`href="data:application/gzip;base64,([^"]*)" download="20261122T031500Z-1a2b.json.gz"`).FindStringSubmatch(pageOf(t, run))
	if m == nil {
		t.Fatal("no raw data")
	}
	// The template escapes + in attributes.
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.ReplaceAll(m[1], "&#43;", "+"))))
	if err != nil {
		t.Fatal(err)
	}
	var back result.Run
	if err := json.NewDecoder(z).Decode(&back); err != nil {
		t.Fatal(err)
	}
	if len(back.Trials) != len(run.Trials) || back.Trials[3].Windows["save"].LongestGapSec != run.Trials[3].Windows["save"].LongestGapSec {
		t.Error("the raw data are not those of the run")
	}
}

// TestOddRuns shows everything of runs that are not as they should be.
func TestOddRuns(t *testing.T) {
	for name, run := range oddRuns() {
		checkPage(t, name, pageOf(t, run))
		var text, markdown bytes.Buffer
		if err := errors.Join(Text(&text, run), Markdown(&markdown, run)); err != nil {
			t.Error(name, err)
		}
		for what, s := range map[string]string{"text": text.String(), "markdown": markdown.String(), "summary": strings.Join(Summary(run), "\n")} {
			if s == "" || strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
				t.Errorf("%s: the %s is %q", name, what, clip(s, 200))
			}
		}
		for _, c := range Charts(run) {
			svg, err := c.SVG(Dark, Narrow)
			if err != nil {
				t.Fatal(err)
			}
			parseSVG(t, name+", "+c.Name, svg)
		}
	}
}

func TestHostileTextsAreEscaped(t *testing.T) {
	run := makeRun([]string{"thread", "fork"}, 1, &maker{memorys: true})
	evil := `</title><script>alert("1")</script>&`
	for i := range run.Trials {
		if run.Trials[i].Contestant == "thread" {
			run.Trials[i].Contestant = evil
		}
	}
	run.Contestants[1].Note, run.Label, run.Partial, run.ID = evil, evil, evil, evil
	run.Command = append(run.Command, evil)
	run.Apart.Facts[0].Claim, run.Apart.Tables[0].Title, run.Apart.Tables[0].Columns[1] = evil, evil, evil
	checkPage(t, "hostile", pageOf(t, run))
	for _, c := range Charts(run) {
		svg, err := c.SVG(Light, Wide)
		if err != nil {
			t.Fatal(err)
		}
		parseSVG(t, c.Name, svg)
	}
}

func TestShellCommand(t *testing.T) {
	if got := shellCommand([]string{"go", "run", "./bench", "--label", "it's here", ""}); got != `go run ./bench --label 'it'\''s here' ''` {
		t.Error(got)
	}
}
