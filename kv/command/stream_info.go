package command

import (
	"math"

	"kvd/kv"
)

// openInfo opens the stream of an XINFO command, which must exist.
func (x *Ctx) openInfo(s *kv.Stream) (ok bool) {
	if !x.readStream(s, x.Args[2]) {
		return false
	}
	if !s.Exists() {
		x.Err(errNoSuchKey)
		return false
	}
	return true
}

func cmdXinfoConsumers(x *Ctx) {
	var s kv.Stream
	if !x.openInfo(&s) {
		return
	}
	var g kv.StreamGroup
	if !s.Group(x.Args[3], &g) {
		x.noGroup(x.Args[3], x.Args[2])
		return
	}
	it := s.Consumers(&g)
	x.Array(int(it.Len()))
	var c kv.StreamConsumer
	for it.Next(&c) {
		x.Map(3)
		x.BulkString("name")
		x.Bulk(c.Name)
		x.namedInt("pending", c.Pending)
		x.namedInt("idle", max(x.Tx.Now()-c.SeenAt, 0))
	}
}

func (x *Ctx) namedInt(name string, n int64) {
	x.BulkString(name)
	x.Int(n)
}

func (x *Ctx) namedID(name string, id kv.StreamID) {
	x.BulkString(name)
	x.streamID(id)
}

// groupProgress replies how far a group has come.
func (x *Ctx) groupProgress(s *kv.Stream, g *kv.StreamGroup) {
	x.namedID("last-delivered-id", g.Last)
	x.BulkString("entries-read")
	if g.EntriesRead == kv.UnknownEntriesRead {
		x.Null()
	} else {
		x.Int(g.EntriesRead)
	}
	x.BulkString("lag")
	if lag, ok := s.Lag(g); ok {
		x.Int(lag)
	} else {
		x.Null()
	}
}

func cmdXinfoGroups(x *Ctx) {
	var s kv.Stream
	if !x.openInfo(&s) {
		return
	}
	x.Array(int(s.Groups()))
	var g kv.StreamGroup
	for it := s.AllGroups(); it.Next(&g); {
		x.Map(6)
		x.BulkString("name")
		x.Bulk(g.Name)
		x.namedInt("consumers", g.Consumers)
		x.namedInt("pending", g.Pending)
		x.groupProgress(&s, &g)
	}
}

func cmdXinfoStream(x *Ctx) {
	var s kv.Stream
	if !x.openInfo(&s) {
		return
	}
	count, full := int64(10), len(x.Args) > 3
	if full {
		n := len(x.Args)
		if n != 4 && n != 6 || !is(option(x.Args[3]), "full") || n == 6 && !is(option(x.Args[4]), "count") {
			x.subcommandSyntax("XINFO")
			return
		}
		if n == 6 {
			given, ok := x.parseInt(x.Args[5])
			if !ok {
				return
			}
			if given >= 0 {
				count = given
			}
		}
	}
	x.streamFacts(&s, full)
	if full {
		x.BulkString("entries")
		it := s.Entries(kv.StreamID{}, kv.MaxStreamID, false)
		x.streamEntries(&s, &it, count)
		x.fullGroups(&s, count)
		return
	}
	x.namedInt("groups", s.Groups())
	for i, name := range []string{"first-entry", "last-entry"} {
		x.BulkString(name)
		if !x.oneStreamEntry(&s, kv.StreamID{}, kv.MaxStreamID, i == 1) {
			x.Null()
		}
	}
}

// streamFacts begins the reply with what both forms of XINFO STREAM have.
func (x *Ctx) streamFacts(s *kv.Stream, full bool) {
	if full {
		x.Map(9)
	} else {
		x.Map(10)
	}
	keys, nodes := s.RadixNodes()
	x.namedInt("length", s.Length)
	x.namedInt("radix-tree-keys", keys)
	x.namedInt("radix-tree-nodes", nodes)
	x.namedID("last-generated-id", s.Last)
	x.namedID("max-deleted-entry-id", s.MaxDeleted)
	x.namedInt("entries-added", int64(s.Added))
	x.namedID("recorded-first-entry-id", s.First)
}

// fullGroups replies all of the groups, but of each list of pending entries no more than
// count; 0: all.
func (x *Ctx) fullGroups(s *kv.Stream, count int64) {
	if count == 0 {
		count = math.MaxInt64
	}
	x.BulkString("groups")
	x.Array(int(s.Groups()))
	var g kv.StreamGroup
	for it := s.AllGroups(); it.Next(&g); {
		x.Map(7)
		x.BulkString("name")
		x.Bulk(g.Name)
		x.groupProgress(s, &g)
		x.namedInt("pel-count", g.Pending)
		x.BulkString("pending")
		all := s.AllPending(&g, kv.StreamID{})
		x.fullPending(s, &g, &all, count, true)
		x.BulkString("consumers")
		consumers := s.Consumers(&g)
		x.Array(int(consumers.Len()))
		var c kv.StreamConsumer
		for consumers.Next(&c) {
			x.Map(4)
			x.BulkString("name")
			x.Bulk(c.Name)
			x.namedInt("seen-time", c.SeenAt)
			x.namedInt("pel-count", c.Pending)
			x.BulkString("pending")
			own := s.AllPendingOf(&g, &c, kv.StreamID{})
			x.fullPending(s, &g, &own, count, false)
		}
	}
}

// fullPending replies pending entries, with the name of the consumer or without.
func (x *Ctx) fullPending(s *kv.Stream, g *kv.StreamGroup, it *kv.StreamPendings, count int64, named bool) {
	n := min(it.Len(), count)
	x.Array(int(n))
	var p kv.StreamPending
	for ; n > 0 && it.Next(&p); n-- {
		if named {
			x.Array(4)
		} else {
			s.Pending(g, p.ID(), &p)
			x.Array(3)
		}
		x.streamID(p.ID())
		if named {
			x.Bulk(s.ConsumerName(g, &p))
		}
		x.Int(p.DeliveredAt)
		x.Int(p.Deliveries)
	}
}

func cmdXinfoHelp(x *Ctx) {
	x.Strings([]string{
		"XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"CONSUMERS <key> <groupname>",
		"    Show consumers of <groupname>.",
		"GROUPS <key>",
		"    Show the stream consumer groups.",
		"STREAM <key> [FULL [COUNT <count>]",
		"    Show information about the stream.",
		"HELP",
		"    Prints this help.",
	})
}
