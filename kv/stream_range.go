package kv

import (
	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// StreamEntry is one entry.
type StreamEntry struct {
	ID     StreamID
	Fields int // pairs of a field and a value
}

// StreamEntries goes through the live entries of a range of IDs, in order or in reverse. It
// allocates nothing and takes no lock; from a ModeFork View it is for the child. It is valid
// until the stream's entries change.
type StreamEntries struct {
	nodes      tree.Cursor
	rank       int64 // of the node, once it has been read
	start, end StreamID
	reverse    bool

	inNode bool
	node   streamNode
	at     int // offset of the entry to look at next, or of the one that was read; -1: none in this node

	isRead bool
	read   nodeEntry
	left   int // fields of it that were not
	name   int // offset of the next one's name, if that is the master's
	body   int // offset of the next one's name, or value if its name is the master's
}

// entriesOf returns an iterator over the entries with IDs from start to end, both included.
func entriesOf(t *tree.Tree, start, end StreamID, reverse bool) (it StreamEntries) {
	it.start, it.end, it.reverse = start, end, reverse
	edge := start
	if reverse {
		edge = end
	}
	var buf [streamIDSize]byte
	rank, found := t.Rank(edge.appendKey(buf[:0]))
	switch {
	case reverse && found:
		rank++ // the node that begins at the edge is the first to look at
	case !reverse && !found && rank > 0:
		rank-- // the edge may be within the node before
	}
	it.nodes = t.FromAt(rank)
	it.rank = rank
	if !reverse {
		it.rank--
	}
	return it
}

// Next decodes the next entry into e and returns false at the end.
func (it *StreamEntries) Next(e *StreamEntry) bool {
	for it.inNode || it.nextNode() {
		for it.step(); it.at >= 0; it.step() {
			it.read = it.node.entry(it.at)
			it.isRead = true
			it.name, it.body, it.left = it.node.fieldsAt, it.read.body, it.read.fields
			if it.read.flags&streamDeleted != 0 || it.before(it.read.id) {
				continue
			}
			e.ID, e.Fields = it.read.id, it.read.fields
			return !it.past(it.read.id)
		}
		it.inNode = false
	}
	return false
}

// step makes it.at the entry behind it.read in the direction of the iterator.
func (it *StreamEntries) step() {
	if !it.isRead {
		return
	}
	it.isRead = false
	if it.reverse {
		it.at = it.node.before(packed.Prev(it.node.lp, it.at))
		return
	}
	rest := it.left
	if it.read.flags&streamSameFields == 0 {
		rest *= 2
	}
	it.at = skip(it.node.lp, it.body, rest+1)
}

func (it *StreamEntries) nextNode() bool {
	var r tree.Record
	if it.reverse && !it.nodes.Prev(&r) || !it.reverse && !it.nodes.Next(&r) {
		return false
	}
	it.node = readStreamNode(r.Key, r.Value)
	if it.reverse {
		it.rank--
		it.at = it.node.last()
	} else {
		it.rank++
		it.at = it.node.first()
	}
	it.inNode, it.isRead = true, false
	return true
}

// past tells whether no live entry from id on is in the range. Of deleted ones that cannot be
// said: XSETID may have gone back behind them, and what was added then is behind them too.
func (it *StreamEntries) past(id StreamID) bool {
	if it.reverse {
		return id.Compare(it.start) < 0
	}
	return id.Compare(it.end) > 0
}

// before tells whether the range has not begun.
func (it *StreamEntries) before(id StreamID) bool {
	if it.reverse {
		return id.Compare(it.end) > 0
	}
	return id.Compare(it.start) < 0
}

// Field decodes the next field of the present entry and its value; false behind the last
// one. Their texts are borrowed.
func (it *StreamEntries) Field(field, value *packed.Value) bool {
	if it.left == 0 {
		return false
	}
	it.left--
	lp := it.node.lp
	if it.read.flags&streamSameFields != 0 {
		*field = packed.Get(lp, it.name)
		it.name = packed.Next(lp, it.name)
	} else {
		*field = packed.Get(lp, it.body)
		it.body = packed.Next(lp, it.body)
	}
	*value = packed.Get(lp, it.body)
	it.body = packed.Next(lp, it.body)
	return true
}
