package kv

import (
	"encoding/binary"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/tree"
)

// StreamView is all of a stream, for reading: it is made from an Item or an Entry and
// as valid as that is. It, and what it gives, allocates nothing and takes no lock; from a
// ModeFork View it is for the child. What its iterators give is borrowed as well.
type StreamView struct {
	StreamInfo
	Nodes  int64 // blocks of entries
	Groups int64

	trees [maxTrees]tree.Tree
}

// Stream returns the stream of an item, which must be of TypeStream.
func (it *Item) Stream() (v StreamView) {
	v.open(it.a, it.Value)
	return v
}

// Stream returns the stream of an entry, which must be of TypeStream.
func (e *Entry) Stream() (v StreamView) {
	v.open(e.a, e.Value)
	return v
}

func (v *StreamView) open(a *arena.Arena, head []byte) {
	v.read(headTail(head, TypeStream))
	for i := range v.trees {
		v.trees[i] = tree.Read(a, shapes[TypeStream][i], headRoot(head, i))
	}
	v.Nodes, v.Groups = v.trees[streamEntries].Count, v.trees[streamGroups].Count
}

// Entries returns an iterator over all live entries.
func (v *StreamView) Entries() StreamEntries {
	return entriesOf(&v.trees[streamEntries], StreamID{}, MaxStreamID, false)
}

// StreamNode is a block of entries: Key is the 16 big-endian bytes of the ID of its master
// entry, Listpack the block as Redis has it.
type StreamNode struct {
	Key      []byte
	Listpack []byte
}

// StreamNodes goes through the nodes in order.
type StreamNodes struct{ c tree.Cursor }

// AllNodes returns an iterator.
func (v *StreamView) AllNodes() StreamNodes {
	return StreamNodes{v.trees[streamEntries].FromAt(0)}
}

// Next decodes the next node into n and returns false at the end.
func (it *StreamNodes) Next(n *StreamNode) bool {
	var r tree.Record
	ok := it.c.Next(&r)
	n.Key, n.Listpack = r.Key, r.Value
	return ok
}

// StreamGroups goes through the groups in the order of their names.
type StreamGroups struct {
	c       tree.Cursor
	pending tree.Tree // a copy, so that the view need not be on the heap
	names   tree.Tree
}

// AllGroups returns an iterator.
func (v *StreamView) AllGroups() StreamGroups {
	return groupsOf(&v.trees[streamGroups], &v.trees[streamPending], &v.trees[streamConsumers])
}

// AllGroups returns an iterator over the groups in the order of their names.
func (s *Stream) AllGroups() StreamGroups {
	return groupsOf(s.c.tree(streamGroups), s.c.tree(streamPending), s.c.tree(streamConsumers))
}

// Groups returns the number of groups.
func (s *Stream) Groups() int64 { return s.c.tree(streamGroups).Count }

func groupsOf(groups, pending, names *tree.Tree) StreamGroups {
	return StreamGroups{groups.FromAt(0), *pending, *names}
}

// Next decodes the next group into g and returns false at the end.
func (it *StreamGroups) Next(g *StreamGroup) bool {
	var r tree.Record
	if !it.c.Next(&r) {
		return false
	}
	g.read(&r)
	_, g.Pending = g.all(&it.pending)
	_, g.Consumers = g.named(&it.names)
	return true
}

// all returns where the records of g begin in a tree, and their number.
func (g *StreamGroup) all(t *tree.Tree) (first, n int64) {
	var from, to [groupPrefix]byte
	binary.BigEndian.PutUint32(from[:], g.id)
	binary.BigEndian.PutUint32(to[:], g.id+1)
	return countKeys(t, from[:], to[:])
}

// named returns where the names of g's consumers begin in their tree, and their number.
func (g *StreamGroup) named(t *tree.Tree) (first, n int64) {
	var from, to [namePrefix]byte
	binary.BigEndian.PutUint32(from[:], g.id)
	from[groupPrefix] = byName
	binary.BigEndian.PutUint32(to[:], g.id+1)
	return countKeys(t, from[:], to[:])
}

// StreamConsumers goes through the consumers of a group in the order of their names.
type StreamConsumers struct {
	c     tree.Cursor
	left  int64
	group uint32
	owned tree.Tree
}

// Consumers returns an iterator over the consumers of g.
func (v *StreamView) Consumers(g *StreamGroup) StreamConsumers {
	return consumersOf(&v.trees[streamConsumers], &v.trees[streamOwned], g)
}

// Consumers returns an iterator over the consumers of g.
func (s *Stream) Consumers(g *StreamGroup) StreamConsumers {
	return consumersOf(s.c.tree(streamConsumers), s.c.tree(streamOwned), g)
}

func consumersOf(names, owned *tree.Tree, g *StreamGroup) StreamConsumers {
	first, n := g.named(names)
	return StreamConsumers{names.FromAt(first), n, g.id, *owned}
}

// Len returns how many consumers Next has still to return.
func (it *StreamConsumers) Len() int64 { return it.left }

// Next decodes the next consumer into c and returns false at the end.
func (it *StreamConsumers) Next(c *StreamConsumer) bool {
	var r tree.Record
	if it.left == 0 || !it.c.Next(&r) {
		return false
	}
	it.left--
	c.read(&r)
	c.Pending = ownedBy(&it.owned, it.group, c.id)
	return true
}

func ownedBy(t *tree.Tree, group, consumer uint32) int64 {
	from, to := ownedRange(group, consumer)
	_, n := countKeys(t, from[:], to[:])
	return n
}

// StreamPendings goes through pending entries in the order of their IDs.
type StreamPendings struct {
	c     tree.Cursor
	left  int64
	owned bool
}

// Pending returns an iterator over the pending entries of g, whoever has them.
func (v *StreamView) Pending(g *StreamGroup) StreamPendings {
	return pendingOf(&v.trees[streamPending], g, StreamID{})
}

// PendingOf returns an iterator over the pending entries of one consumer: their Keys
// alone, nothing else is set.
func (v *StreamView) PendingOf(g *StreamGroup, c *StreamConsumer) StreamPendings {
	return ownedOf(&v.trees[streamOwned], g, c, StreamID{})
}

// AllPending returns an iterator over the pending entries of g from start on, whoever has them.
func (s *Stream) AllPending(g *StreamGroup, start StreamID) StreamPendings {
	return pendingOf(s.c.tree(streamPending), g, start)
}

// AllPendingOf returns an iterator over the pending entries of one consumer from start on: their
// Keys alone, nothing else is set.
func (s *Stream) AllPendingOf(g *StreamGroup, c *StreamConsumer, start StreamID) StreamPendings {
	return ownedOf(s.c.tree(streamOwned), g, c, start)
}

func pendingOf(t *tree.Tree, g *StreamGroup, start StreamID) StreamPendings {
	var buf [maxStreamKey]byte
	var to [groupPrefix]byte
	binary.BigEndian.PutUint32(to[:], g.id+1)
	first, n := countKeys(t, g.pendingKey(buf[:0], start), to[:])
	return StreamPendings{t.FromAt(first), n, false}
}

func ownedOf(t *tree.Tree, g *StreamGroup, c *StreamConsumer, start StreamID) StreamPendings {
	var buf [maxStreamKey]byte
	_, to := ownedRange(g.id, c.id)
	first, n := countKeys(t, g.ownedKey(buf[:0], c.id, start), to[:])
	return StreamPendings{t.FromAt(first), n, true}
}

// Len returns how many entries Next has still to return.
func (it *StreamPendings) Len() int64 { return it.left }

// Next decodes the next pending entry into p and returns false at the end.
func (it *StreamPendings) Next(p *StreamPending) bool {
	var r tree.Record
	if it.left == 0 || !it.c.Next(&r) {
		return false
	}
	it.left--
	if it.owned {
		*p = StreamPending{Key: r.Key[ownerPrefix:]}
	} else {
		p.read(&r)
	}
	return true
}
