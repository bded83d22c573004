//go:build linux

package host

import (
	"context"
	"time"
)

const (
	settleEvery = 100 * time.Millisecond
	settleTicks = 1 // in settleEvery: a tenth of a core
	settleCalm  = 2 // so many times in a row
)

// Settle waits until the server and its descendants use less than a tenth of a core,
// so that what a fill has left to do (the compactions of a log-structured tree) does
// not pass for what follows. It gives up after limit and returns how long it has
// waited. Of a remote server nobody knows; there it does not wait. The only error is
// that of ctx, or that the server has ended.
func (s *Server) Settle(ctx context.Context, limit time.Duration) (waited time.Duration, err error) {
	if s.Remote {
		return 0, nil
	}
	return s.settle(ctx, limit, settleEvery, s.ticks)
}

// settle is Settle, which looks at ticks so often.
func (s *Server) settle(ctx context.Context, limit, every time.Duration, ticks func() int64) (waited time.Duration, err error) {
	begin := time.Now()
	last := ticks()
	t := time.NewTicker(every)
	defer t.Stop()
	for calm := 0; calm < settleCalm && time.Since(begin) < limit; {
		select {
		case <-ctx.Done():
			return time.Since(begin), context.Cause(ctx)
		case <-s.done:
			return time.Since(begin), s.exit()
		case <-t.C:
		}
		now := ticks()
		if calm++; now-last > settleTicks {
			calm = 0
		}
		last = now
	}
	return time.Since(begin), nil
}

// ticks returns the CPU time of the server and its descendants.
func (s *Server) ticks() (n int64) {
	for _, pid := range append(descendants(s.PID), s.PID) {
		if st, err := readStat(pid); err == nil {
			n += st.ticks
		}
	}
	return n
}
