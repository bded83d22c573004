package main

import (
	"regexp"
	"testing"
)

func TestInfoOption(t *testing.T) {
	want := regexp.MustCompile(`^kvd server v=\d+\.\d+\.\d+ sha=[0-9a-f]{8}:[01] malloc=arena bits=(64|32) build=[0-9a-f]+\n$`)
	for _, arg := range []string{"-v", "--version"} {
		if text, ok := infoOption([]string{arg, "x"}); !ok || !want.MatchString(text) {
			t.Errorf("%s: %q", arg, text)
		}
	}
	for _, arg := range []string{"-h", "--help"} {
		if text, ok := infoOption([]string{arg}); !ok || text != usage {
			t.Errorf("%s: %q", arg, text)
		}
	}
	for _, argv := range [][]string{nil, {"--port", "1"}, {"x.conf", "--version"}} {
		if _, ok := infoOption(argv); ok {
			t.Errorf("%q prints something and ends", argv)
		}
	}
}
