package noise

import (
	"strings"
	"testing"
)

// tb is a test that may fail.
type tb struct {
	testing.TB
	said string
}

func (t *tb) Helper() {}

func (t *tb) Errorf(format string, args ...any) { t.said += format }

func TestAttempts(t *testing.T) {
	for _, c := range []struct{ good, runs int }{{1, 1}, {3, 3}, {4, 3}} { // the first that is good, of three
		outer, runs := &tb{TB: t}, 0
		Attempts(outer, 3, func(t *T) {
			if runs++; runs < c.good {
				t.Error("spoiled")
				t.Errorf("%d", runs)
			}
		})
		if failed := strings.Contains(outer.said, "attempts"); runs != c.runs || failed != (c.good > 3) {
			t.Errorf("%+v: %d runs, said %q", c, runs, outer.said)
		}
	}
}

func TestWait(t *testing.T) {
	n := 0
	Wait(t, "three", func() bool { n++; return n == 3 })
	if n != 3 {
		t.Errorf("asked %d times", n)
	}
}
