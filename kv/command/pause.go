package command

import (
	"sync"
	"sync/atomic"
	"time"
)

// pauseState is that of CLIENT PAUSE. A timer ends the pause and wakes the
// loops, so that nobody has to look at the clock.
type pauseState struct {
	untilMS atomic.Int64 // Unix ms; 0 when nothing is paused
	all     atomic.Bool  // all commands wait, not only those that may write

	mu    sync.Mutex
	timer *time.Timer
}

// Pause makes commands wait until the given Unix time in milliseconds: those
// that may write, or all. A pause that runs is changed to the new kind and
// never shortened.
func (e *Engine) Pause(untilMS int64, all bool) {
	p := &e.state.pause
	p.mu.Lock()
	defer p.mu.Unlock()
	if untilMS < p.untilMS.Load() {
		untilMS = p.untilMS.Load()
	}
	p.untilMS.Store(untilMS)
	p.all.Store(all)
	if p.timer != nil {
		p.timer.Stop()
	}
	wait := min(max(untilMS-time.Now().UnixMilli(), 0), int64(maxTimer/time.Millisecond))
	p.timer = time.AfterFunc(time.Duration(wait)*time.Millisecond, e.pauseTimer)
	e.setGate(gatePause, true)
}

// maxTimer bounds a timer's duration far below where it would overflow.
const maxTimer = 24 * time.Hour

func (e *Engine) pauseTimer() {
	p := &e.state.pause
	p.mu.Lock()
	left := p.untilMS.Load() - time.Now().UnixMilli()
	if p.untilMS.Load() != 0 && left > 0 {
		p.timer = time.AfterFunc(min(time.Duration(min(left, int64(maxTimer/time.Millisecond)))*time.Millisecond, maxTimer), e.pauseTimer)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	e.Unpause()
}

// Unpause ends a pause and makes the loops retry what they have postponed.
func (e *Engine) Unpause() {
	p := &e.state.pause
	p.mu.Lock()
	p.untilMS.Store(0)
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	e.setGate(gatePause, false)
	p.mu.Unlock()
	if e.Clients != nil {
		e.Clients.Wake()
	}
}

// Paused tells whether commands are being postponed, and until when (Unix ms).
func (e *Engine) Paused() (untilMS int64, paused bool) {
	until := e.state.pause.untilMS.Load()
	return until, until != 0
}

// paused tells whether a command must wait now.
func (e *Engine) paused(mayWrite bool) bool {
	until := e.state.pause.untilMS.Load()
	return until > time.Now().UnixMilli() && (mayWrite || e.state.pause.all.Load())
}

// setPostponed notes that c waits for the end of a pause, or no longer does.
func (e *Engine) setPostponed(c *Client, on bool) {
	if on == (c.state&stPostponed != 0) {
		return
	}
	if on {
		c.state |= stPostponed
		e.state.blocked.Add(1)
	} else {
		c.state &^= stPostponed
		e.state.blocked.Add(-1)
	}
	c.setFlag(flagBlocked, on)
}
