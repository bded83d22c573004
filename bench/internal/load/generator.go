//go:build linux

package load

import (
	"context"
	"fmt"
	"time"
)

// Generator is clients at work.
type Generator struct {
	loop   *loop
	work   *workload
	rec    *recorder
	result Recording
	forget func() bool // of ctx
}

// Start connects to s.Addr and begins to send. It expects the data of Fill with
// the same Spec. The generator ends with Stop, with ctx or with the first
// failure; whichever it was, Stop must be called and has what was recorded.
//
// An error is of the Spec, or says why there is no connection.
func Start(ctx context.Context, s Spec) (*Generator, error) {
	s, err := s.check(true)
	if err != nil {
		return nil, err
	}
	g := &Generator{loop: newLoop(s.Addr), rec: newRecorder()}
	g.work = newWorkload(s, g.rec)
	l := g.loop
	l.rec, l.batch, l.finished = g.rec, int64(s.Pipeline), g.finished
	if err := g.connect(ctx, s); err != nil {
		l.close()
		return nil, err
	}
	go supply(g.rec.spare, l.done)
	started := make(chan struct{})
	go l.run(started)
	<-started
	g.forget = context.AfterFunc(ctx, func() { l.requestStop(context.Cause(ctx)) })
	return g, nil
}

func (g *Generator) connect(ctx context.Context, s Spec) error {
	l := g.loop
	if err := l.open(); err != nil {
		return err
	}
	unit := s.ValueBytes + (maxScan+2)*(KeyBytes+FieldBytes)
	reply := s.ValueBytes + replySlack
	if s.Mix.Scan > 0 {
		reply = maxScan*reply + replySlack
	}
	for range s.Conns {
		if _, err := l.connect(ctx, g.work, s.Conns, unit, reply); err != nil {
			return err
		}
	}
	if s.Rate > 0 {
		l.pace(l.conns[:s.Conns:s.Conns], float64(time.Second)/s.Rate, 0)
	}
	if s.ProbeEvery > 0 {
		c, err := l.connect(ctx, &prober{g.rec, &g.work.lost}, s.Conns, unit, reply)
		if err != nil {
			return err
		}
		l.pace([]*conn{c}, float64(s.ProbeEvery), probePhase*float64(s.ProbeEvery))
	}
	return nil
}

// Now is the time since the start, which all figures of the recording count from.
func (g *Generator) Now() time.Duration { return time.Since(g.loop.start) }

// NextSlot is the end of the current slot of 100 ms, since the start.
func (g *Generator) NextSlot() time.Duration {
	return g.Now().Truncate(slotLen) + slotLen
}

// Done is closed when the generator has ended, for whatever reason.
func (g *Generator) Done() <-chan struct{} { return g.loop.done }

// Err is why the generator ended by itself: an error reply (a *ReplyError), a
// connection that the server closed, or the cause of ctx's end. It is nil as
// long as all is well, and after an ordinary Stop. A server that does not answer
// is no error: it is what the recording shows.
func (g *Generator) Err() error { return g.loop.err() }

// Stop ends the sending and returns what was recorded, never nil, and Err. It
// waits up to half a second for replies that are still to come; what is
// unanswered then is recorded with its age (see the package comment). Further
// calls return the same.
func (g *Generator) Stop() (*Recording, error) {
	g.loop.requestStop(nil)
	<-g.loop.done
	g.forget()
	return &g.result, g.Err()
}

// finished makes the recording; the loop calls it last.
func (g *Generator) finished(now int64) {
	if g.loop.end == 0 {
		g.rec.close(now)
	}
	g.loop.giveUp(now)
	g.rec.store(g.rec.slot(g.rec.current))
	g.rec.release()
	g.result = Recording{
		Unanswered: g.work.lost,
		Misses:     g.work.misses,
		rec:        g.rec,
	}
}

// probePhase is the share of its period after which the first probe is sent, so
// that probes and paced requests seldom are due at the same moment.
const probePhase = 0.382

// warmUp is what Ceiling leaves out at the beginning.
const (
	warmUp      = 200 * time.Millisecond
	ceilingTime = time.Second
)

// Ceiling tells how many requests a second the clients can do in the shape of s
// against the server at s.Addr, which should be one that does nothing: a closed
// loop for a second, after a short one that does not count. Rate and ProbeEvery
// are ignored. The server must know the commands of s.Mix.
func Ceiling(ctx context.Context, s Spec) (opsPerSecond float64, err error) {
	s.Rate, s.ProbeEvery = 0, 0
	g, err := Start(ctx, s)
	if err != nil {
		return 0, err
	}
	select {
	case <-g.Done():
	case <-time.After(warmUp + ceilingTime):
	}
	rec, err := g.Stop()
	if err != nil {
		return 0, fmt.Errorf("load: the ceiling could not be measured: %w", err)
	}
	return rec.Window(warmUp, warmUp+ceilingTime).OpsPerSecond, nil
}
