package snapshot

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// inZone returns the schedule of an expression as if the machine stood there.
func inZone(t testing.TB, expr, zone string) *schedule {
	t.Helper()
	s, err := parseSchedule(expr)
	if err != nil {
		t.Fatal(err)
	}
	if s.loc, err = time.LoadLocation(zone); err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// sequence returns the next n times, in local time with the offset.
func sequence(s *schedule, from time.Time, n int) string {
	var out []string
	for range n {
		from = s.next(from)
		out = append(out, from.Format("2T15:04-07"))
	}
	return strings.Join(out, " ")
}

func TestScheduleNext(t *testing.T) {
	const york = "America/New_York" // 2026: forward on March 8 at 2:00, back on November 1 at 2:00
	for _, c := range []struct{ expr, zone, from, want string }{
		{"*/15 * * * *", "UTC", "2026-05-05T10:14:59.5Z", "5T10:15+00 5T10:30+00 5T10:45+00 5T11:00+00"},
		{"0 3 * * *", "UTC", "2026-05-05T03:00:00Z", "6T03:00+00 7T03:00+00"},
		{"0 3 * * 1,4", "UTC", "2026-05-05T03:00:00Z", "7T03:00+00 11T03:00+00"},
		{"@hourly", "UTC", "2026-05-05T03:00:00Z", "5T04:00+00 5T05:00+00"},
		{"@daily", "Asia/Kolkata", "2026-05-05T00:00:00Z", "6T00:00+05 7T00:00+05"},
		{"@every 90m", "UTC", "2026-05-05T03:10:00Z", "5T04:40+00 5T06:10+00"},
		{" 30 2 29 feb * ", "UTC", "2026-05-05T03:10:00Z", "29T02:30+00"},

		// The night without 2:30: saved all the same, once.
		{"30 2 * * *", york, "2026-03-07T00:00:00-05:00", "7T02:30-05 8T03:30-04 9T02:30-04"},
		{"*/20 2 * * *", york, "2026-03-07T02:50:00-05:00", "8T03:00-04 9T02:00-04"},
		{"30 3 * * *", york, "2026-03-07T04:00:00-05:00", "8T03:30-04 9T03:30-04"},
		{"30 * * * *", york, "2026-03-08T00:45:00-05:00", "8T01:30-05 8T03:30-04 8T04:30-04"},
		// The night with 1:30 twice: once, but every hour has its own.
		{"30 1 * * *", york, "2026-10-31T02:00:00-04:00", "1T01:30-04 2T01:30-05"},
		{"30 1 * * *", york, "2026-11-01T01:15:00-05:00", "2T01:30-05"},
		{"*/20 1 * * *", york, "2026-11-01T00:00:00-04:00", "1T01:00-04 1T01:20-04 1T01:40-04 2T01:00-05"},
		{"30 * * * *", york, "2026-11-01T00:45:00-04:00", "1T01:30-04 1T01:30-05 1T02:30-05"},
		{"30 0-23 * * *", york, "2026-11-01T00:45:00-04:00", "1T01:30-04 1T01:30-05 1T02:30-05"},
		// Half an hour, the other way round the year, and a midnight that is missing.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30", "4T02:45+11 5T02:15+11"},
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00", "4T01:00-02 5T00:00-02"},
	} {
		s := inZone(t, c.expr, c.zone)
		if got := sequence(s, at(t, c.from), len(strings.Fields(c.want))); got != c.want {
			t.Errorf("%s in %s from %s:\n got %s\nwant %s", c.expr, c.zone, c.from, got, c.want)
		}
	}
}

func TestScheduleParse(t *testing.T) {
	for _, none := range []string{"", "  \t"} {
		if s, err := parseSchedule(none); s != nil || err != nil || !s.next(time.Now()).IsZero() {
			t.Errorf("%q: %v, %v", none, s, err)
		}
	}
	for _, bad := range []string{"x", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "0 0 30 2 *", "@often", "@every soon", "*/0 * * * *",
		"TZ=", "TZ=UTC", "TZ=UTC ", "CRON_TZ=UTC\t* * * * *", "TZ=Atlantis * * * * *", "TZ=UTC TZ=UTC", "TZ=UTC CRON_TZ="} {
		if _, err := parseSchedule(bad); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(bad[:1])) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestScheduleOfAnotherZone(t *testing.T) {
	for _, expr := range []string{"CRON_TZ=America/New_York 30 2 * * *", " TZ=America/New_York  30 2 * * * "} {
		s, err := parseSchedule(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got := sequence(s, at(t, "2026-03-06T12:00:00Z"), 2); got != "7T02:30-05 8T03:30-04" {
			t.Errorf("%q: %s", expr, got)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{"*/5 1-3,7 * jan-mar sun", "@every 1h", "TZ=", "@daily", "0 0 29 2 1"} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 8, 1, 59, 59, 999, time.Local)
	f.Fuzz(func(t *testing.T, expr string) {
		s, err := parseSchedule(expr)
		if err != nil || s == nil {
			return
		}
		if next := s.next(now); !next.After(now) {
			t.Errorf("%q: %v", expr, next)
		}
	})
}

// looks walks a scheduler through times of one day and returns those at which
// it said that a save is due.
func looks(t *testing.T, expr string, times ...string) string {
	t.Helper()
	c := &scheduler{}
	var due []string
	for i, text := range times {
		now, err := time.ParseInLocation("2006-01-02T15:04:05", "2026-05-"+text, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := c.look(expr, now)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			due = append(due, times[i])
		}
	}
	return strings.Join(due, " ")
}

func TestSchedulerTellsOnce(t *testing.T) {
	for _, c := range []struct {
		name, expr string
		times      []string
		want       string
	}{
		{"in time", "0 * * * *", []string{"05T02:59:59", "05T03:00:00", "05T03:00:01", "05T03:59:59", "05T04:00:00"}, "05T03:00:00 05T04:00:00"},
		{"the start is no due time", "0 3 * * *", []string{"05T03:00:00", "05T03:00:01"}, ""},
		{"missed ones count once", "* * * * *", []string{"05T01:00:30", "07T12:00:30", "07T12:00:31", "07T12:01:00"}, "07T12:00:30 07T12:01:00"},
		{"a small correction does not repeat", "0 3 * * *",
			[]string{"05T02:59:59", "05T03:00:00", "05T02:59:58", "05T03:00:00", "05T03:00:01", "06T03:00:00"}, "05T03:00:00 06T03:00:00"},
		{"a correction before it is due delays", "0 3 * * *", []string{"05T02:59:59", "05T02:30:00", "05T02:59:59", "05T03:00:00"}, "05T03:00:00"},
		{"a clock that was days ahead", "0 3 * * *", []string{"20T02:00:00", "05T02:00:00", "05T03:00:00", "06T03:00:00"}, "05T03:00:00 06T03:00:00"},
		{"days ahead after it came due", "0 3 * * *", []string{"05T02:00:00", "20T12:00:00", "05T02:00:01", "05T03:00:00", "05T03:00:01"}, "20T12:00:00 05T03:00:00"},
		{"a clock that trembles", "* * * * *", []string{"05T01:00:30", "05T01:01:00", "05T01:00:59", "05T01:01:00", "05T01:00:58", "05T01:01:01", "05T01:02:00"}, "05T01:01:00 05T01:02:00"},
		{"none", "", []string{"05T01:00:30", "06T01:00:30"}, ""},
	} {
		if got := looks(t, c.expr, c.times...); got != c.want {
			t.Errorf("%s: due at %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSchedulerTakesNewExpressions(t *testing.T) {
	c := &scheduler{}
	now := time.Date(2026, 5, 5, 2, 30, 0, 0, time.Local)
	look := func(expr string, after time.Duration) (bool, string) {
		now = now.Add(after)
		due, err := c.look(expr, now)
		if err != nil {
			return due, err.Error()
		}
		return due, ""
	}
	for i, step := range []struct {
		expr  string
		after time.Duration
		due   bool
		err   string
	}{
		{"0 3 * * *", 0, false, ""},
		{"0 4 * * *", time.Hour, false, ""},   // 3:00 was of the old one
		{"bad", time.Hour, false, `"bad"`},    // said once
		{"bad", 24 * time.Hour, false, ""},    //
		{"* * * * *", time.Second, false, ""}, //
		{"* * * * *", time.Minute, true, ""},  //
		{"", time.Minute, false, ""},          // off
		{"@every 1m", time.Hour, false, ""},   //
		{"@every 1m", time.Second, false, ""}, // looking does not put it off
		{"@every 1m", 59 * time.Second, true, ""},
	} {
		due, err := look(step.expr, step.after)
		if due != step.due || !strings.Contains(err, step.err) || (step.err == "") != (err == "") {
			t.Errorf("step %d, %q: %v, %q", i, step.expr, due, err)
		}
	}
}

// The monotonic clock, which time.Now has too, does not see that the wall clock is set.
func TestSchedulerGoesByTheWallClock(t *testing.T) {
	c := &scheduler{}
	now := time.Now()
	c.look("* * * * *", now)
	if c.due.String() != c.due.Round(0).String() || c.looked.String() != now.Round(0).String() {
		t.Errorf("due %v, looked %v", c.due, c.looked)
	}
}
