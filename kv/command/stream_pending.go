package command

import "kvd/kv"

// pendingOptions are those of XPENDING with a range.
type pendingOptions struct {
	minIdle    int64
	start, end kv.StreamID
	count      int64
	consumer   []byte // nil: all
}

func (x *Ctx) parsePending() (o pendingOptions, ok bool) {
	i := 3
	if is(option(x.Args[3]), "idle") {
		if o.minIdle, ok = x.parseInt(x.Args[4]); !ok {
			return o, false
		}
		if len(x.Args) < 8 {
			x.Err(errSyntax)
			return o, false
		}
		i += 2
	}
	if o.count, ok = x.parseInt(x.Args[i+2]); !ok {
		return o, false
	}
	o.count = max(o.count, 0)
	if o.start, ok = x.rangeStart(x.Args[i]); !ok {
		return o, false
	}
	if o.end, ok = x.rangeEnd(x.Args[i+1]); !ok {
		return o, false
	}
	if i+3 < len(x.Args) {
		o.consumer = x.Args[i+3]
	}
	return o, true
}

func cmdXpending(x *Ctx) {
	n := len(x.Args)
	if n != 3 && (n < 6 || n > 9) {
		x.Err(errSyntax)
		return
	}
	var o pendingOptions
	if n > 3 {
		var ok bool
		if o, ok = x.parsePending(); !ok {
			return
		}
	}
	var c claim
	if !x.openClaim(&c) {
		return
	}
	if n == 3 {
		x.pendingSummary(&c.s, &c.g)
		return
	}
	at, found := len(x.Client.Out), int64(0)
	now := x.Tx.Now()
	each := x.pendingOf(&c, &o)
	var p kv.StreamPending
	for o.count > found && each(&p) && p.ID().Compare(o.end) <= 0 {
		if o.minIdle != 0 && now-p.DeliveredAt < o.minIdle {
			continue
		}
		found++
		x.Array(4)
		x.streamID(p.ID())
		x.Bulk(c.s.ConsumerName(&c.g, &p))
		x.Int(max(now-p.DeliveredAt, 0))
		x.Int(p.Deliveries)
	}
	x.arrayBefore(at, found)
}

// pendingOf returns a function that goes through the pending entries of the group or of one
// consumer.
func (x *Ctx) pendingOf(c *claim, o *pendingOptions) func(p *kv.StreamPending) bool {
	if o.consumer == nil {
		it := c.s.AllPending(&c.g, o.start)
		return it.Next
	}
	if !c.s.Consumer(&c.g, o.consumer, &c.consumer) {
		return func(*kv.StreamPending) bool { return false }
	}
	it := c.s.AllPendingOf(&c.g, &c.consumer, o.start)
	return func(p *kv.StreamPending) bool { return it.Next(p) && c.s.Pending(&c.g, p.ID(), p) }
}

// pendingSummary replies how many entries are pending, the first, the last, and how many
// each consumer has.
func (x *Ctx) pendingSummary(s *kv.Stream, g *kv.StreamGroup) {
	x.Array(4)
	all := s.AllPending(g, kv.StreamID{})
	x.Int(all.Len())
	var p kv.StreamPending
	if !all.Next(&p) {
		x.Null()
		x.Null()
		x.NullArray()
		return
	}
	x.streamID(p.ID())
	x.streamID(s.LastPending(g))
	at, n := len(x.Client.Out), int64(0)
	var c kv.StreamConsumer
	for it := s.Consumers(g); it.Next(&c); {
		if c.Pending > 0 {
			n++
			x.Array(2)
			x.Bulk(c.Name)
			x.BulkInt(c.Pending)
		}
	}
	x.arrayBefore(at, n)
}
