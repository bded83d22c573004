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
	settings := m.o.Settings()
	now := m.o.now()
	m.mu.Lock()
	st := &m.stat
	if m.closed || m.run != nil || m.load.active || st.failed && now.Sub(st.lastTry) <= retryDelay {
		m.mu.Unlock()
		return
	}
	kind := ""
	if m.scheduled != nil {
		kind = m.scheduled.String()
		m.scheduled = nil
	} else {
		point := m.due(settings.SavePoints, now.Sub(st.lastSave))
		if point == nil {
			m.mu.Unlock()
			return
		}
		m.o.Log.Info(fmt.Sprintf("%d changes in %d seconds. Saving...", point.Changes, point.Seconds))
	}
	m.mu.Unlock()
	// With schedule: if another snapshot is live, or somebody else was faster, it
	// is tried again.
	if _, err := m.Start(kind, kind != ""); err != nil && !errors.Is(err, ErrInProgress) && !errors.Is(err, ErrBusy) {
		return // Start has logged it
	}
}

// due returns the save point that is reached, if any.
func (m *Manager) due(points []SavePoint, since time.Duration) *SavePoint {
	if len(points) == 0 {
		return nil
	}
	changes := m.o.Store.Changes() - m.clean.Load()
	for i := range points {
		p := &points[i]
		if changes >= p.Changes && since > time.Duration(p.Seconds)*time.Second {
			return p
		}
	}
	return nil
}
