//go:build linux

package trial

import (
	"maps"
	"testing"
	"time"

	"kvd/bench/internal/result"
)

const (
	ms   = time.Millisecond
	slot = 100 * ms
)

func TestWindows(t *testing.T) {
	save := func(at, end time.Duration) *result.Save {
		return &result.Save{AtSec: at.Seconds(), EndSec: end.Seconds()}
	}
	for _, c := range []struct {
		name      string
		save      *result.Save
		from, end time.Duration
		want      map[string]span
	}{
		{"no save", nil, 260 * ms, 900 * ms, map[string]span{"before": {260 * ms, 900 * ms}}},
		{"short", save(1001*ms, 1020*ms), 250 * ms, 2000 * ms, map[string]span{
			"before": {250 * ms, 1000 * ms}, "during": {1000 * ms, 1200 * ms}, "after": {1200 * ms, 2000 * ms},
			"idle": {800 * ms, 1000 * ms}, "save": {1000 * ms, 1200 * ms}}},
		{"long", save(1001*ms, 3950*ms), 210 * ms, 5000 * ms, map[string]span{
			"before": {210 * ms, 1000 * ms}, "during": {1000 * ms, 4100 * ms}, "after": {4100 * ms, 5000 * ms},
			"idle": {200 * ms, 1000 * ms}, "save": {1000 * ms, 1800 * ms}}},
		{"cut short", save(1001*ms, 1250*ms), 0, 1260 * ms, map[string]span{
			"before": {0, 1000 * ms}, "during": {1000 * ms, 1260 * ms},
			"idle": {740 * ms, 1000 * ms}, "save": {1000 * ms, 1260 * ms}}},
	} {
		if got := cut(c.save, c.from, c.end, slot); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A pause that begins with the save, or at its very end, is in the window of the save
// wherever the save begins and ends in its slots, and never in the idle one.
func TestNoPauseIsLost(t *testing.T) {
	const from, end, pause = 250 * ms, 9000 * ms, 90 * ms
	for at := 2000 * ms; at < 2100*ms; at += 7 * ms {
		for length := 1 * ms; length < 400*ms; length += 3 * ms {
			w := cut(&result.Save{AtSec: at.Seconds(), EndSec: (at + length).Seconds()}, from, end, slot)
			idle, save := w["idle"], w["save"]
			if idle.to-idle.from != save.to-save.from {
				t.Fatalf("%v and %v are not alike", idle, save)
			}
			// Its replies come when it is over.
			if over := max(at+1*ms, at+length) + pause; over > save.to || idle.to > at || save.from > at {
				t.Fatalf("a save from %v for %v: idle %v, save %v; the pause is over at %v", at, length, idle, save, over)
			}
		}
	}
}
