package snapshot

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule says when saves are due: the five fields of a crontab (minute, hour,
// day of the month, month, day of the week), or @hourly, @daily, @weekly, @monthly,
// @yearly, "@every 90m". Times are local unless "TZ=Europe/Berlin " stands in front. A nil
// schedule has no times.
//
// On the days when the clock is changed, times of fixed hours come once: one that the
// clock passes over comes when it would have come without the change, and of
// two by the same name the first counts. Where every hour is meant, real hours are.
type schedule struct {
	spec cron.Schedule
	wall bool // by the face of the clock: fixed hours
	loc  *time.Location
}

// parseSchedule returns the schedule of an expression, nil for an empty one.
func parseSchedule(expr string) (*schedule, error) {
	text, loc := strings.TrimSpace(expr), time.Local
	if text == "" {
		return nil, nil
	}
	fail := func(err error) (*schedule, error) { return nil, fmt.Errorf("schedule %q: %w", expr, err) }
	if zone, rest, ok := cutZone(text); ok {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil {
			return fail(err)
		}
		if _, _, again := cutZone(rest); again {
			return fail(errors.New("a second time zone"))
		}
		text = rest
	}
	spec, err := cron.ParseStandard(text)
	if err != nil {
		return fail(err)
	}
	s := &schedule{spec: spec, loc: loc}
	if fields, ok := spec.(*cron.SpecSchedule); ok {
		const everyHour = 1<<24 - 1
		s.wall = fields.Hour&everyHour != everyHour
		if spec.Next(time.Now().UTC()).IsZero() {
			return fail(errNeverDue)
		}
	}
	return s, nil
}

// cutZone splits an expression that begins with a time zone. The parser would do
// that too, but panics at a zone with nothing behind it.
func cutZone(text string) (zone, rest string, ok bool) {
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		if after, found := strings.CutPrefix(text, prefix); found {
			zone, rest, _ = strings.Cut(after, " ")
			return zone, strings.TrimSpace(rest), true
		}
	}
	return "", text, false
}

var errNeverDue = errors.New("it never comes due")

// next returns the first time after the given one, zero if there is none.
func (s *schedule) next(after time.Time) time.Time {
	switch {
	case s == nil:
		return time.Time{}
	case !s.wall:
		return s.spec.Next(after.In(s.loc))
	}
	for face := clockFace(after.In(s.loc)); ; {
		if face = s.spec.Next(face); face.IsZero() {
			return face
		}
		if t := s.instant(face); t.After(after) {
			return t
		}
	}
}

// clockFace returns what the clock shows at t, as a time in UTC: there every day
// has all its hours.
func clockFace(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns when the clock shows face for the first time, or would have
// if it had not been put forward.
func (s *schedule) instant(face time.Time) time.Time {
	_, before := face.Add(-24 * time.Hour).In(s.loc).Zone()
	_, after := face.Add(24 * time.Hour).In(s.loc).Zone()
	// The larger offset belongs to the earlier instant.
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := face.Add(-time.Duration(offset) * time.Second).In(s.loc)
		if clockFace(t).Equal(face) {
			return t
		}
	}
	return face.Add(-time.Duration(before) * time.Second).In(s.loc)
}

// scheduler tells when a time of a schedule has come. It is for one goroutine; the
// zero value has none.
type scheduler struct {
	expr   string
	sched  *schedule
	due    time.Time
	looked time.Time
	fired  time.Time
}

// clockCorrection is how far back a clock is put to be right again. When it is, what
// came due a moment ago does not come again.
const clockCorrection = time.Hour

// look tells whether a time of the schedule has come since the last look,
// however many have. Times before the first look with an expression do not
// count. The error is about the expression, once; then there is no schedule.
func (c *scheduler) look(expr string, now time.Time) (due bool, err error) {
	now = now.Round(0) // by the wall clock: without its monotonic reading
	if expr != c.expr {
		c.sched, err = parseSchedule(expr)
		c.expr, c.due, c.fired = expr, c.sched.next(now), time.Time{}
	}
	back := now.Before(c.looked)
	c.looked = now
	if c.sched == nil {
		return false, err
	}
	if back {
		c.due = c.sched.next(now)
		if !c.due.After(c.fired) && c.fired.Sub(now) < clockCorrection {
			c.due = c.sched.next(c.fired)
		}
	}
	if c.due.IsZero() || now.Before(c.due) {
		return false, nil
	}
	c.fired, c.due = now, c.sched.next(now)
	return true, nil
}
