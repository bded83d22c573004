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
	p.untilMS.Store(max(untilMS, p.untilMS.Load(), 1)) // 0 means that nothing is paused
	p.all.Store(all)
	e.armPause()
	e.Store.HoldExpiry(true)
	e.setGate(gatePause, true)
}

// maxTimer bounds a timer's duration far below where it would overflow.
const maxTimer = 24 * time.Hour

// armPause sets the timer for the end of the pause. p.mu is held.
func (e *Engine) armPause() {
	p := &e.state.pause
	if p.timer != nil {
		p.timer.Stop()
	}
	left := min(max(p.untilMS.Load()-time.Now().UnixMilli(), 0), maxTimer.Milliseconds())
	p.timer = time.AfterFunc(time.Duration(left)*time.Millisecond, e.pauseTimer)
}

// pauseTimer ends the pause if its time has come.
func (e *Engine) pauseTimer() {
	p := &e.state.pause
	p.mu.Lock()
	until := p.untilMS.Load()
	over := until != 0 && until <= time.Now().UnixMilli()
	switch {
	case over:
		e.endPause()
	case until != 0:
		e.armPause()
	}
	p.mu.Unlock()
	if over {
		e.Clients.Wake()
	}
}

// Unpause ends a pause and makes the loops retry what they have postponed.
func (e *Engine) Unpause() {
	e.state.pause.mu.Lock()
	e.endPause()
	e.state.pause.mu.Unlock()
	e.Clients.Wake()
}

// endPause lets commands run again. p.mu is held.
func (e *Engine) endPause() {
	p := &e.state.pause
	p.untilMS.Store(0)
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	e.Store.HoldExpiry(false)
	e.setGate(gatePause, false)
}

// Paused tells whether commands are being postponed, and until when (Unix ms).
func (e *Engine) Paused() (untilMS int64, paused bool) {
	until := e.state.pause.untilMS.Load()
	return until, until != 0
}

// HoldWrites makes commands that may write wait, EXEC with such commands among
// them, or lets them go on; reads are not touched. It slows writers down while a
// save is near its limit of memory: whoever does so switches it on and off many
// times a second, which costs a bit of a word and, when it goes off, a message to
// each event loop. Switching it to what it is already does nothing. Clients that
// wait count as blocked, as during a pause; a pause is independent of it. Any
// goroutine may call it.
func (e *Engine) HoldWrites(on bool) {
	switch was := e.state.gate.Load()&gateHold != 0; {
	case was == on:
	case on:
		e.setGate(gateHold, true)
	default:
		e.setGate(gateHold, false)
		e.Clients.Wake()
	}
}

// paused tells whether a command must wait now.
func (e *Engine) paused(mayWrite bool) bool {
	until := e.state.pause.untilMS.Load()
	return until > time.Now().UnixMilli() && (mayWrite || e.state.pause.all.Load())
}

// setPostponed notes that c waits for the end of a pause, of a hold of writes or
// of an errand, or no longer does.
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
