//go:build linux

package slowdisk

import (
	"math"
	"sync"
	"syscall"
	"time"
)

const (
	// pieceTime is how long a piece of a write takes: the unit in which writers
	// take turns, and the longest time that an interrupted one still waits when
	// it is alone.
	pieceTime = 20 * time.Millisecond
	// burstTime is how much of the rate can be saved up in idle times. It makes
	// good for timers that fire late.
	burstTime = 50 * time.Millisecond
)

// throttle is a token bucket: bytes accrue at the rate, writers take them in the
// order in which they came.
type throttle struct {
	turn chan struct{} // holds one element while a writer waits at the head

	mu      sync.Mutex
	rate    int64 // bytes per second; 0 is no limit
	tokens  float64
	at      time.Time     // when tokens was right
	changed chan struct{} // closed when a waiting writer must look again
	closed  bool
}

func newThrottle(rate int64) *throttle {
	return &throttle{
		turn: make(chan struct{}, 1), rate: max(0, rate), at: time.Now(), changed: make(chan struct{}),
	}
}

// setRate changes the rate, for the piece that is being waited for too.
func (t *throttle) setRate(rate int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refill(time.Now())
	t.rate = max(0, rate)
	t.wake()
}

// close makes take fail, now and later.
func (t *throttle) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.wake()
}

func (t *throttle) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *throttle) refill(now time.Time) {
	t.tokens += float64(t.rate) * now.Sub(t.at).Seconds()
	t.tokens = min(t.tokens, max(1, float64(t.rate)*burstTime.Seconds()))
	t.at = now
}

// take waits until some of want bytes, one at least, may be written and returns
// how many. The only error is EIO, when the throttle is closed.
func (t *throttle) take(want int) (int, syscall.Errno) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	for {
		n, wait, changed, errno := t.try(want)
		if n > 0 || errno != 0 {
			return n, errno
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
}

// try returns the bytes granted, or for how long to wait unless changed says so.
func (t *throttle) try(want int) (n int, wait time.Duration, changed <-chan struct{}, errno syscall.Errno) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, 0, nil, syscall.EIO
	}
	if t.rate == 0 {
		return want, 0, nil, 0
	}
	t.refill(time.Now())
	piece := min(float64(want), max(1, math.Floor(float64(t.rate)*pieceTime.Seconds())))
	if t.tokens >= piece {
		t.tokens -= piece
		return int(piece), 0, nil, 0
	}
	wait = time.Duration(math.Ceil((piece - t.tokens) / float64(t.rate) * float64(time.Second)))
	return 0, wait, t.changed, 0
}
