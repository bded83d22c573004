package store

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestJSONLines(t *testing.T) {
	run := sampleRun(1, 3)
	var b bytes.Buffer
	must(t, WriteJSONL(&b, run))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], `{"type":"run","format":1,"id":"2026`) || strings.Contains(lines[0], `"trials"`) ||
		!strings.HasPrefix(lines[1], `{"type":"trial","scenario":"A"`) {
		t.Fatal(b.String())
	}
	got, err := ReadJSONL(strings.NewReader(b.String()))
	must(t, err)
	if !reflect.DeepEqual(got, run) {
		t.Fatalf("got %+v\nwant %+v", got, run)
	}
	for _, c := range []struct {
		text   string
		trials int // of the run beside the error, -1 for none
		words  string
	}{
		{"", -1, "no run in it"},
		{"\n\n", -1, "no run in it"},
		{lines[1], -1, "line 1: a trial before its run"},
		{lines[0] + "\n" + lines[0], 0, "line 2: a second run"},
		{lines[0] + "\n" + lines[1] + "\n" + lines[2][:50], 1, "line 3: not a line of results"},
		{lines[0] + "\n" + `{"type":"other"}`, 0, `line 2: unknown type "other"`},
		{lines[0] + "\n" + `{"type":"trial","round":"x"}`, 0, "line 2: "},
		{strings.Replace(lines[0], `"format":1`, `"format":2`, 1), -1, "newer format: 2"},
		{strings.Replace(lines[0], id(1), "a/b", 1), -1, `"a/b"`},
		{"hello", -1, "line 1: not a line of results"},
	} {
		got, err := ReadJSONL(strings.NewReader(c.text))
		wantError(t, err, nil, c.words)
		if (got == nil) != (c.trials < 0) || got != nil && len(got.Trials) != c.trials {
			t.Errorf("%.60s: %+v", c.text, got)
		}
	}
}
