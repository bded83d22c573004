package snapshot

import (
	"errors"
	"fmt"
	"time"
)

const (
	tickInterval = 100 * time.Millisecond
	// retryDelay is how long a failed background save keeps the save points and
	// a scheduled save waiting, as in Redis.
	retryDelay = 5 * time.Second
)

func (m *Manager) tick() {
	t := time.NewTicker(tickInterval)
	defer t.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-t.C:
		case <-m.kick:
		}
		m.cron()
	}
}

// cron starts what is due.
func (m *Manager) cron() {
	m.report()
	settings := m.o.Settings()
	now := m.o.now()
	m.mu.Lock()
	st := &m.stat
	m.rate.note(now, m.o.Store.Changes())
	due, err := m.timer.look(settings.Cron, now)
	if err != nil {
		m.o.Log.Warn("save-cron: " + err.Error())
	}
	m.onTime = (m.onTime || due) && settings.Cron != ""
	if m.closed || m.run != nil || m.load.active || st.deniedBy != "" && now.Sub(st.lastTry) <= retryDelay {
		m.mu.Unlock()
		return
	}
	var q Request
	onTime := m.onTime
	if len(m.scheduled) > 0 {
		q = m.scheduled[0]
		q.Schedule = true
		m.scheduled = m.scheduled[1:]
	} else if point := m.due(settings.SavePoints, now.Sub(st.lastSave)); point != nil {
		q.Reason = fmt.Sprintf("%d changes in %d seconds", point.Changes, point.Seconds)
		m.o.Log.Info(q.Reason + ". Saving...")
	} else if m.onTime {
		q.Reason = fmt.Sprintf("save-cron %q", settings.Cron)
	} else {
		m.mu.Unlock()
		return
	}
	m.onTime = onTime && !q.whole() // any save of the dump will do
	m.mu.Unlock()
	// Start has logged what went wrong. A scheduled save is tried again if another
	// snapshot is live, or somebody else was faster; a save point is reached the next
	// time too; a time of the schedule must be remembered.
	if _, err := m.Start(q); errors.Is(err, ErrInProgress) || errors.Is(err, ErrBusy) {
		m.mu.Lock()
		m.onTime = m.onTime || onTime
		m.mu.Unlock()
	}
}

// writeRate is how fast the store has changed of late.
type writeRate struct {
	at      time.Time
	changes int64
	rate    float64 // per second
}

// rateWindow is how long changes are counted before they weigh.
const rateWindow = time.Second

// note takes the count of changes; half of the rate is that of the last second.
func (w *writeRate) note(now time.Time, changes int64) {
	if w.at.IsZero() {
		w.at, w.changes = now, changes
		return
	}
	if d := now.Sub(w.at); d >= rateWindow {
		w.rate = (w.rate + float64(changes-w.changes)/d.Seconds()) / 2
		w.at, w.changes = now, changes
	}
}

func (w *writeRate) perSecond() float64 { return w.rate }

// due returns the save point that is reached, if any.
func (m *Manager) due(points []SavePoint, since time.Duration) *SavePoint {
	if len(points) == 0 {
		return nil
	}
	changes := m.o.Store.Changes() - m.clean.Load()
	for i := range points {
		p := &points[i]
		if changes >= p.Changes && since.Seconds() > float64(p.Seconds) { // as a Duration it might overflow
			return p
		}
	}
	return nil
}
