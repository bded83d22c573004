package command

import (
	"math"
	"strings"

	"kvd/kv"
	"kvd/kv/resp"
)

// claim is a call of XCLAIM or XAUTOCLAIM under way.
type claim struct {
	s        kv.Stream
	g        kv.StreamGroup
	consumer kv.StreamConsumer
	found    bool // the consumer; that is put off until there is something to claim
	changes  int64

	minIdle int64
	time    int64 // of delivery
	retries int64 // -1: one more
	force   bool
	justID  bool
	lastID  kv.StreamID
}

// openClaim opens the stream and the group, which must exist.
func (x *Ctx) openClaim(c *claim) (ok bool) { return x.claimable(c, x.lookupStream(&c.s, x.Args[1])) }

// claimable is openClaim where the stream has been looked up, with that result.
func (x *Ctx) claimable(c *claim, err error) (ok bool) {
	if err != nil {
		x.storeErr(err)
		return false
	}
	if !c.s.Exists() || !c.s.Group(x.Args[2], &c.g) {
		x.Errf(errNoGroup, cText(x.Args[1], len(x.Args[1])), cText(x.Args[2], len(x.Args[2])))
		return false
	}
	return true
}

// claimInt reads an integer or replies an error of XCLAIM.
func (x *Ctx) claimInt(arg []byte, format string, about string) (int64, bool) {
	n, ok := resp.ParseInt(arg)
	if !ok {
		x.Errf(format, about)
	}
	return n, ok
}

func (x *Ctx) parseMinIdle(c *claim) (ok bool) {
	c.minIdle, ok = x.claimInt(x.Args[4], errXclaimMinIdle, strings.ToUpper(x.Spec.Name))
	c.minIdle = max(c.minIdle, 0)
	return ok
}

// parseClaim reads the options of XCLAIM from argument i on.
func (x *Ctx) parseClaim(c *claim, i int) (ok bool) {
	now := x.Tx.Now()
	c.time, c.retries = -1, -1
	for ; i < len(x.Args); i++ {
		arg, more := option(x.Args[i]), i+1 < len(x.Args)
		ok = true
		switch {
		case is(arg, "force"):
			c.force = true
		case is(arg, "justid"):
			c.justID = true
		case more && is(arg, "idle"):
			i++
			c.time, ok = x.claimInt(x.Args[i], errXclaimValue, "IDLE")
			c.time = now - c.time
		case more && is(arg, "time"):
			i++
			c.time, ok = x.claimInt(x.Args[i], errXclaimValue, "TIME")
		case more && is(arg, "retrycount"):
			i++
			c.retries, ok = x.claimInt(x.Args[i], errXclaimValue, "RETRYCOUNT")
		case more && is(arg, "lastid"):
			i++
			c.lastID, ok = x.strictID(x.Args[i])
		default:
			x.Errf(errXclaimOption, cText(arg, len(arg)))
			ok = false
		}
		if !ok {
			return false
		}
	}
	if c.time < 0 || c.time > now {
		c.time = now // what makes no sense, and what was not given
	}
	return true
}

func cmdXclaim(x *Ctx) {
	var c claim
	if !x.openClaim(&c) || !x.parseMinIdle(&c) {
		return
	}
	var ids []kv.StreamID
	i := 5
	for ; i < len(x.Args); i++ {
		id, _, ok := parseStreamID(x.Args[i], plainID, 0)
		if !ok {
			break // what follows are options
		}
		ids = append(ids, id)
	}
	if !x.parseClaim(&c, i) {
		return
	}
	var err error
	advanced := c.lastID.Compare(c.g.Last) > 0
	if advanced {
		c.g.Last = c.lastID
		err = c.s.PutGroup(&c.g)
	}
	mark, n := len(x.Client.Out), int64(0)
	for i := 0; i < len(ids) && err == nil; i++ {
		var claimed bool
		if claimed, err = x.claimID(&c, ids[i]); claimed {
			n++
		}
	}
	x.arrayBefore(mark, n)
	if advanced && c.changes == 0 {
		c.changes = 1
	}
	if c.changes > 0 || err != nil {
		x.saveStream(&c.s, c.changes, mark, err)
	}
}

// claimID makes one entry the consumer's, if it is to be claimed, and replies it.
func (x *Ctx) claimID(c *claim, id kv.StreamID) (claimed bool, err error) {
	var p kv.StreamPending
	pending := c.s.Pending(&c.g, id, &p)
	switch {
	case !c.s.Has(id):
		if pending {
			c.changes++
			_, err = c.s.Ack(&c.g, id)
		}
		return false, err
	case !pending && !c.force, pending && c.minIdle > 0 && x.Tx.Now()-p.DeliveredAt < c.minIdle:
		return false, nil
	case !pending:
		p.Deliveries = 1
	}
	return true, x.take(c, id, p)
}

// take makes an entry the consumer's and replies it.
func (x *Ctx) take(c *claim, id kv.StreamID, p kv.StreamPending) error {
	if !c.found {
		c.found = true
		n, err := x.useConsumer(&c.s, &c.g, x.Args[3], &c.consumer)
		c.changes += n
		if err != nil {
			return err
		}
	}
	p.DeliveredAt = c.time
	if c.retries >= 0 {
		p.Deliveries = c.retries
	} else if !c.justID {
		p.Deliveries++
	}
	if err := c.s.Deliver(&c.g, &c.consumer, id, &p); err != nil {
		return err
	}
	c.changes++
	if c.justID {
		x.streamID(id)
	} else {
		x.oneStreamEntry(&c.s, id, id, false)
	}
	return nil
}

// parseAutoclaim reads the options of XAUTOCLAIM.
func (x *Ctx) parseAutoclaim(c *claim) (count int64, ok bool) {
	count = 100
	for i := 6; i < len(x.Args); i++ {
		arg := option(x.Args[i])
		switch {
		case is(arg, "count") && i+1 < len(x.Args):
			i++
			if count, ok = resp.ParseInt(x.Args[i]); !ok || count < 1 || count > math.MaxInt64/16 {
				x.Err(errXclaimCount)
				return 0, false
			}
		case is(arg, "justid"):
			c.justID = true
		default:
			x.Err(errSyntax)
			return 0, false
		}
	}
	return count, true
}

func cmdXautoclaim(x *Ctx) {
	c := claim{retries: -1}
	opened := x.lookupStream(&c.s, x.Args[1]) // counted, whatever is wrong with the arguments
	if !x.parseMinIdle(&c) {
		return
	}
	next, ok := x.rangeStart(x.Args[5])
	if !ok {
		return
	}
	count, ok := x.parseAutoclaim(&c)
	if !ok || !x.claimable(&c, opened) {
		return
	}
	c.time = x.Tx.Now()
	const triesEach = 10 // entries to look at for each to be claimed
	mark, n := len(x.Client.Out), int64(0)
	var gone []kv.StreamID
	var p kv.StreamPending
	var err error
	more := c.s.NextPending(&c.g, next, &p)
	for tries := count * triesEach; more && tries > 0 && count > 0 && err == nil; tries-- {
		id := p.ID()
		switch {
		case !c.s.Has(id):
			c.changes++
			count--
			gone = append(gone, id)
			_, err = c.s.Ack(&c.g, id)
		case c.minIdle == 0 || c.time-p.DeliveredAt >= c.minIdle:
			count--
			n++
			err = x.take(&c, id, p)
		}
		next, more = id.Next()
		more = more && c.s.NextPending(&c.g, next, &p)
	}
	cursor := kv.StreamID{}
	if more {
		cursor = p.ID()
	}
	x.autoclaimReply(mark, n, cursor, gone)
	if c.changes > 0 || err != nil {
		x.saveStream(&c.s, c.changes, mark, err)
	}
}

// autoclaimReply completes the reply, whose n entries have been written from at on.
func (x *Ctx) autoclaimReply(at int, n int64, cursor kv.StreamID, gone []kv.StreamID) {
	x.arrayBefore(at, n)
	end := len(x.Client.Out)
	x.Array(3)
	x.streamID(cursor)
	head := append([]byte(nil), x.Client.Out[end:]...)
	x.Client.Out = x.Client.Out[:end]
	x.insert(at, head)
	x.Array(len(gone))
	for _, id := range gone {
		x.streamID(id)
	}
}
