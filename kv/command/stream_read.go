package command

import (
	"strings"

	"kvd/kv"
	"kvd/kv/resp"
)

// readCall is a call of XREAD or XREADGROUP.
type readCall struct {
	keys, ids [][]byte
	from      []kv.StreamID // by key: what is above it is asked for; MaxStreamID is >
	count     int64
	blocks    bool
	timeout   blockTimeout
	noAck     bool
	grouped   bool
	group     []byte
	consumer  []byte
}

// streamKeys returns the keys of XREAD and XREADGROUP.
func streamKeys(args [][]byte) [][]byte {
	for i := 1; i < len(args); i++ {
		switch arg := option(args[i]); {
		case is(arg, "block"), is(arg, "count"):
			i++
		case is(arg, "group"):
			i += 2
		case is(arg, "noack"):
		case is(arg, "streams"):
			args = args[i+1:]
			return args[:len(args)/2]
		default:
			return nil
		}
	}
	return nil
}

// parseRead reads the arguments before the keys. ok is false after an error.
func (x *Ctx) parseRead(c *readCall) (ok bool) {
	xread := x.Spec.Name == "xread"
	i := 1
	for ; i < len(x.Args) && c.keys == nil; i++ {
		arg, more := option(x.Args[i]), len(x.Args)-i-1
		switch {
		case more > 0 && is(arg, "block"):
			i++
			c.blocks = true
			if c.timeout, ok = x.parseTimeout(x.Args[i], inMillis); !ok {
				return false
			}
		case more > 0 && is(arg, "count"):
			i++
			if c.count, ok = x.parseInt(x.Args[i]); !ok {
				return false
			}
			c.count = max(c.count, 0)
		case more > 0 && is(arg, "streams"):
			if more%2 != 0 {
				x.Err(errXreadUnbalanced)
				return false
			}
			c.keys, c.ids = x.Args[i+1:i+1+more/2], x.Args[i+1+more/2:]
		case xread && (more > 1 && is(arg, "group") || is(arg, "noack")):
			x.Errf(errXreadOption, strings.ToUpper(string(arg)))
			return false
		case more > 1 && is(arg, "group"):
			c.grouped, c.group, c.consumer = true, x.Args[i+1], x.Args[i+2]
			i += 2
		case is(arg, "noack"):
			c.noAck = true
		default:
			x.Err(errSyntax)
			return false
		}
	}
	switch {
	case c.keys == nil:
		x.Err(errSyntax)
		return false
	case !xread && !c.grouped:
		x.Err(errXreadGroup)
		return false
	}
	return true
}

// resolve looks at all keys and their IDs before anything is done.
func (x *Ctx) resolve(c *readCall) bool {
	c.from = make([]kv.StreamID, len(c.keys))
	for i, key := range c.keys {
		var s kv.Stream
		if !x.readStream(&s, key) {
			return false
		}
		var g kv.StreamGroup
		if c.grouped && !(s.Exists() && s.Group(c.group, &g)) {
			x.Errf(errXreadNoGroup, cText(key, len(key)), cText(c.group, len(c.group)))
			return false
		}
		ok := true
		switch id := option(c.ids[i]); {
		case string(id) == "$" && c.grouped:
			x.Err(errXreadLast)
			return false
		case string(id) == "$":
			c.from[i] = s.Last
		case string(id) == ">" && !c.grouped:
			x.Err(errXreadNew)
			return false
		case string(id) == ">":
			c.from[i] = kv.MaxStreamID
		default:
			c.from[i], ok = x.strictID(c.ids[i])
		}
		if !ok {
			return false
		}
	}
	return true
}

func cmdXread(x *Ctx) {
	var c readCall
	if !x.parseRead(&c) {
		return
	}
	if x.served() {
		x.serveRead(&c)
		return
	}
	if !x.resolve(&c) {
		return
	}
	at, n := len(x.Client.Out), 0
	for i, key := range c.keys {
		var s kv.Stream
		if !x.readStream(&s, key) {
			return
		}
		var g kv.StreamGroup
		if !s.Exists() || c.grouped && !s.Group(c.group, &g) || !c.anything(i, &s, &g) {
			continue
		}
		if n++; !x.readOne(&c, i, &s, &g) {
			x.failRead(at)
			return
		}
	}
	switch {
	case n > 0:
		x.streamsBefore(at, n)
	case c.blocks:
		x.block(blocking{typ: kv.TypeStream, keys: c.keys, timeout: c.timeout, gone: c.grouped, args: x.blockedRead(&c)})
	default:
		x.NullArray()
	}
}

// failRead leaves of a reply that was begun at at only the error at its end: what was said
// before does not matter.
func (x *Ctx) failRead(at int) {
	x.Client.Out = x.Client.Out[:at]
	x.Err(errNoMemory)
}

// anything tells whether a stream has something for a call now.
func (c *readCall) anything(i int, s *kv.Stream, g *kv.StreamGroup) bool {
	above := c.from[i]
	if c.grouped {
		if above != kv.MaxStreamID {
			return true // the consumer's own history, if only that it is empty
		}
		above = g.Last
	}
	top, ok := s.Top()
	return ok && top.Compare(above) > 0
}

// streamsBefore begins the reply of n streams, which have been written from at on.
func (x *Ctx) streamsBefore(at, n int) {
	var buf [32]byte
	if x.resp3() {
		x.insert(at, resp.AppendMap(buf[:0], n, true))
	} else {
		x.insert(at, resp.AppendArray(buf[:0], n))
	}
}

// readOne replies what stream i has; false if the memory does not suffice to remember it.
func (x *Ctx) readOne(c *readCall, i int, s *kv.Stream, g *kv.StreamGroup) bool {
	if !x.resp3() {
		x.Array(2)
	}
	x.Bulk(c.keys[i])
	if c.grouped {
		return x.readGroup(c, s, g, c.from[i])
	}
	it := s.Entries(above(c.from[i]), kv.MaxStreamID, false)
	x.streamEntries(s, &it, c.count)
	return true
}

// above returns the ID that follows; like Redis' it goes round.
func above(id kv.StreamID) kv.StreamID {
	next, _ := id.Next()
	return next
}

// blockedRead returns the arguments with which the command is run when there is something: $ is
// what it stands for now, whatever comes.
func (x *Ctx) blockedRead(c *readCall) [][]byte {
	first := len(x.Args) - len(c.ids)
	args := append([][]byte(nil), x.Args...)
	for i, id := range c.ids {
		if string(option(id)) == "$" {
			args[first+i] = c.from[i].Append(nil)
		}
	}
	return args
}

// blockedCount is how many entries a client gets at most that has waited for them without COUNT.
const blockedCount = 1000

// serveRead is cmdXread for a client that was blocked: one of its streams has become ready.
func (x *Ctx) serveRead(c *readCall) {
	if c.count == 0 {
		c.count = blockedCount
	}
	c.from = make([]kv.StreamID, len(c.keys))
	for i, key := range c.keys {
		if !x.awaits(key) {
			continue
		}
		var s kv.Stream
		var g kv.StreamGroup
		if !x.openStream(&s, key) {
			return
		}
		var last kv.StreamID
		if !c.grouped {
			last, _, _ = parseStreamID(c.ids[i], plainID, 0)
			c.from[i] = last
		} else if s.Exists() && !s.Group(c.group, &g) {
			x.Err(errXreadGone)
			return
		} else {
			last, c.from[i] = g.Last, kv.MaxStreamID
		}
		if !s.Exists() || s.Last.Compare(last) <= 0 {
			break
		}
		at := len(x.Client.Out)
		if !x.readOne(c, i, &s, &g) {
			x.failRead(at)
			return
		}
		x.streamsBefore(at, 1)
		return
	}
	x.block(blocking{})
}

// readGroup replies what a consumer gets of a stream: new entries, which become its own, or
// those of its history above from. It returns false if there was no memory.
func (x *Ctx) readGroup(c *readCall, s *kv.Stream, g *kv.StreamGroup, from kv.StreamID) bool {
	var consumer kv.StreamConsumer
	changes, err := x.useConsumer(s, g, c.consumer, &consumer)
	if err == nil {
		if from == kv.MaxStreamID {
			err = x.deliver(c, s, g, &consumer)
		} else {
			err = x.history(c, s, g, &consumer, above(from))
		}
	}
	if failed := s.Save(changes + 1); err == nil {
		err = failed
	}
	return err == nil
}

// useConsumer looks a consumer up and notes that it was seen, or creates it, which is a change.
func (x *Ctx) useConsumer(s *kv.Stream, g *kv.StreamGroup, name []byte, c *kv.StreamConsumer) (changes int64, err error) {
	if !s.Consumer(g, name, c) {
		return 1, s.CreateConsumer(g, name, x.Tx.Now(), c)
	}
	c.SeenAt = x.Tx.Now()
	return 0, s.PutConsumer(g, c)
}

// deliver replies the entries behind the last one that the group has read.
func (x *Ctx) deliver(c *readCall, s *kv.Stream, g *kv.StreamGroup, consumer *kv.StreamConsumer) error {
	at, n := len(x.Client.Out), int64(0)
	it := s.Entries(above(g.Last), kv.MaxStreamID, false)
	var e kv.StreamEntry
	for ; (c.count == 0 || n < c.count) && it.Next(&e); n++ {
		if !c.noAck {
			p := kv.StreamPending{DeliveredAt: x.Tx.Now(), Deliveries: 1}
			if err := s.Deliver(g, consumer, e.ID, &p); err != nil && n == 0 {
				return err
			} else if err != nil {
				break // what was delivered must be replied
			}
		}
		s.Read(g, e.ID)
		x.streamEntry(&it, &e)
	}
	x.arrayBefore(at, n)
	return s.PutGroup(g)
}

// history replies the entries that are pending for a consumer from start on. Of those that
// have been deleted there is no more than the ID.
func (x *Ctx) history(c *readCall, s *kv.Stream, g *kv.StreamGroup, consumer *kv.StreamConsumer, start kv.StreamID) error {
	at, n := len(x.Client.Out), int64(0)
	it := s.AllPendingOf(g, consumer, start)
	var p kv.StreamPending
	for ; (c.count == 0 || n < c.count) && it.Next(&p); n++ {
		id := p.ID()
		if !x.oneStreamEntry(s, id, id, false) {
			x.Array(2)
			x.streamID(id)
			x.NullArray()
			continue
		}
		var full kv.StreamPending
		s.Pending(g, id, &full)
		full.DeliveredAt = x.Tx.Now()
		full.Deliveries++
		if err := s.Deliver(g, consumer, id, &full); err != nil {
			return err
		}
	}
	x.arrayBefore(at, n)
	return nil
}
