//go:build linux

package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"
)

const (
	fillPipeline  = 128
	fillBytes     = 1 << 20 // in one request, and on their way per connection, about
	progressEvery = 100 * time.Millisecond
)

// stallLimit is after how long without a reply Fill gives up.
var stallLimit = time.Minute

// Fill writes all items of s to the server, on s.Conns connections, and checks
// every reply. It expects none of the keys to exist: lists are appended to.
// progress, if there is one, is called now and then, with done at total last;
// both are items. It runs on the caller's goroutine.
//
// Fill fails with the first error reply (a *ReplyError), when a connection
// breaks, when the server has not answered for a minute, and with ctx.
func Fill(ctx context.Context, s Spec, progress func(done, total int64)) error {
	s, err := s.check(false)
	if err != nil {
		return err
	}
	f := newFiller(s)
	l := newLoop(s.Addr)
	unit := f.perRequest * itemBytes(s)
	l.batch = max(1, min(fillPipeline, fillBytes/unit))
	l.low = l.batch / 2
	err = l.open()
	for i := 0; i < s.Conns && err == nil; i++ {
		_, err = l.connect(ctx, f, s.Conns, int(unit), 0)
	}
	if err != nil {
		l.close()
		return err
	}
	go l.run(make(chan struct{}))
	return f.wait(ctx, l, progress)
}

// wait follows the loop until it has ended.
func (f *filler) wait(ctx context.Context, l *loop, progress func(done, total int64)) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	last, lastAt, quit := int64(0), time.Now(), ctx.Done()
	for {
		select {
		case <-l.done:
			if err := l.err(); err != nil {
				return err
			}
			if progress != nil {
				progress(f.done.Load(), f.total)
			}
			return nil
		case <-quit:
			l.requestStop(context.Cause(ctx))
			quit = nil
		case now := <-tick.C:
			done := f.done.Load()
			if progress != nil {
				progress(done, f.total)
			}
			if done != last {
				last, lastAt = done, now
			}
			if now.Sub(lastAt) > stallLimit {
				l.requestStop(fmt.Errorf("load: filling: the server has not answered for %v, with %d of %d items written", stallLimit, done, f.total))
			}
		}
	}
}

// filler is the source of the requests of Fill.
type filler struct {
	encoder
	perRequest int64 // items, at most
	next       int64
	total      int64
	done       atomic.Int64
}

func newFiller(s Spec) *filler {
	f := &filler{encoder: newEncoder(s), perRequest: 1, total: s.Items()}
	if s.Kind != Strings {
		f.perRequest = max(1, min(fillBatch, int64(s.Members), fillBytes/itemBytes(s)))
	}
	return f
}

// itemBytes is about how long an item is in a request of Fill.
func itemBytes(s Spec) int64 { return int64(s.ValueBytes + FieldBytes + replySlack) }

func (f *filler) issue(c *conn, at int64) bool {
	if f.next == f.total {
		return false
	}
	key, member := f.split(f.next)
	n := int64(1)
	switch f.kind {
	case Strings:
		c.out = f.appendUpdate(c.out, key)
	case Lists:
		n = min(f.perRequest, f.members-member)
		c.out = appendKey(append(appendHead(c.out, '*', n+2), "$5\r\nRPUSH\r\n"...), key)
		for range n {
			c.out = f.values.appendBulk(c.out, f.rng)
		}
	case Hashes:
		n = min(f.perRequest, f.members-member)
		c.out = appendKey(append(appendHead(c.out, '*', 2*n+2), "$4\r\nHSET\r\n"...), key)
		for i := range n {
			c.out = f.values.appendBulk(appendField(c.out, member+i), f.rng)
		}
	}
	f.next += n
	c.queue.push(pending{at: at, item: n, op: fillOps[f.kind]})
	return true
}

var fillOps = [...]op{opSet, opRPush, opHSet}

func (f *filler) answered(_ *conn, p *pending, _ redcon.RESP, _ int64) { f.done.Add(p.item) }

// What is lost is in no figure: Fill fails then.
func (f *filler) unanswered(*pending, int64) {}
func (f *filler) unsent(_, _ int64)          {}
