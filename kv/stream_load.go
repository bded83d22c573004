package kv

// The form in which a stream is loaded (Record.Enc = EncStream). It follows the order in
// which an RDB file has a stream, so that a reader of files needs to keep nothing, and it
// may be cut into Records between any two parts: the first Record creates the key, those
// with Append go on. Value is a sequence of parts, each a byte that says what it is
// (StreamPart…) and its fields. Numbers are 8 bytes, little-endian; strings (text) have
// their length as a varint (binary.AppendUvarint) before them; an id is 16 bytes,
// big-endian, as RDB files have it.
//
//	'N' node      id of the master entry, listpack (text)        in ascending order
//	'H' header    length, last ms, last seq, first ms, first seq,
//	              max deleted ms, max deleted seq, entries added  once, behind the nodes
//	'h' header    length, last ms, last seq                       of RDB type 15: the rest follows
//	                                                              from the entries, as in Redis
//	'G' group     name (text), last ms, last seq, entries read    behind the header
//	'g' group     name (text), last ms, last seq                  of RDB type 15
//	'P' pending   id, delivery time (Unix ms), delivery count     of the group before it
//	'C' consumer  name (text), seen time (Unix ms)                of the group, behind its P parts
//	'O' owner     id: a pending entry of the consumer before it
//	'E' end       nothing: the stream is complete
//
// Nothing is trusted: listpacks are validated as deep as they go (structure, the counts of
// live and deleted entries), the IDs of nodes and those of all live entries are ascending, the
// length is that of the live entries, names and pending IDs are unique, and each pending
// entry has one owner. ErrStream says that something was wrong; the key may hold a part of
// the stream then, and whoever loads it deletes it. So it is if 'E' never came.

import (
	"bytes"
	"encoding/binary"
	"errors"

	"kvd/kv/packed"
)

// The parts of the form above.
const (
	StreamPartNode      = 'N'
	StreamPartHeader    = 'H'
	StreamPartHeaderOld = 'h'
	StreamPartGroup     = 'G'
	StreamPartGroupOld  = 'g'
	StreamPartPending   = 'P'
	StreamPartConsumer  = 'C'
	StreamPartOwner     = 'O'
	StreamPartEnd       = 'E'
)

// ErrStream is returned for a stream that is to be loaded and is not well formed.
var ErrStream = errors.New("kv: malformed stream")

// How far the loading of a stream has come, in its tail between two records.
const (
	streamComplete = iota
	streamInNodes  // the header has not come
	streamInGroups // it has
)

// streamLoader takes one record's parts.
type streamLoader struct {
	Stream
	rest     []byte
	bad      bool // rest was too short
	phase    uint32
	top      StreamID    // the last live entry's
	group    StreamGroup // of the parts that follow; id is 0 if there was none
	consumer StreamConsumer
}

// loadStream adds the parts of a record to a stream, which the first record creates.
func (c *coll) loadStream(r *Record) (err error) {
	l := streamLoader{Stream: Stream{c: *c}, rest: r.Value}
	defer func() { *c = l.c }()
	if r.Enc != EncStream || r.Append && !c.exists {
		return ErrStream
	}
	if r.Append {
		l.resume()
	} else if err := l.Create(); err != nil {
		return err
	} else {
		l.phase = streamInNodes
	}
	for err == nil && len(l.rest) > 0 {
		err = l.part()
	}
	tail := l.c.tail()
	putUint32(tail[streamLoading:], l.phase)
	putUint32(tail[streamLoadGroup:], l.group.id)
	putUint32(tail[streamLoadConsumer:], l.consumer.id)
	if failed := l.Save(1); err == nil { // after an error too: what is deleted then is what was saved
		err = failed
	}
	return err
}

// resume reads where the record before has left off.
func (l *streamLoader) resume() {
	tail := l.c.tail()
	l.read(tail)
	l.lastGroup = getUint32(tail[streamLastGroup:])
	l.top, _ = l.Top()
	l.phase = getUint32(tail[streamLoading:])
	l.consumer.id = getUint32(tail[streamLoadConsumer:])
	id := getUint32(tail[streamLoadGroup:])
	var g StreamGroup
	for it := l.AllGroups(); id != 0 && it.Next(&g); {
		if g.id == id {
			g.Name = append([]byte(nil), g.Name...)
			l.group = g
		}
	}
}

// part takes the next part.
func (l *streamLoader) part() error {
	kind := l.rest[0]
	l.rest = l.rest[1:]
	if l.phase == streamComplete || (l.phase == streamInNodes) != (kind == StreamPartNode || kind == StreamPartHeader || kind == StreamPartHeaderOld) {
		return ErrStream
	}
	switch kind {
	case StreamPartNode:
		return l.node(l.take(streamIDSize), l.text())
	case StreamPartHeader, StreamPartHeaderOld:
		return l.header(kind == StreamPartHeaderOld)
	case StreamPartGroup, StreamPartGroupOld:
		return l.startGroup(kind == StreamPartGroupOld)
	case StreamPartPending:
		return l.pending(l.take(streamIDSize), l.number(), l.number())
	case StreamPartConsumer:
		return l.startConsumer(l.text(), l.number())
	case StreamPartOwner:
		return l.owner(l.take(streamIDSize))
	case StreamPartEnd:
		l.phase = streamComplete
		return l.endGroup()
	}
	return ErrStream
}

// take returns the next n bytes, zeros if there are not as many.
func (l *streamLoader) take(n int) []byte {
	if n > len(l.rest) {
		l.bad = true
		return make([]byte, streamIDSize)
	}
	b := l.rest[:n]
	l.rest = l.rest[n:]
	return b
}

func (l *streamLoader) number() uint64 { return binary.LittleEndian.Uint64(l.take(8)) }

func (l *streamLoader) text() []byte {
	n, used := binary.Uvarint(l.rest)
	if used <= 0 || n > uint64(len(l.rest)-used) {
		l.bad = true
		return nil
	}
	l.rest = l.rest[used:]
	return l.take(int(n))
}

func (l *streamLoader) id() StreamID { return StreamID{l.number(), l.number()} }

// node adds a node behind those that are there.
func (l *streamLoader) node(key, lp []byte) error {
	if l.bad || len(lp) > maxStreamNode+maxStreamNode/2 {
		return ErrStream
	}
	live, top, ok := validStreamNode(key, lp, l.top)
	if !ok {
		return ErrStream
	}
	t := l.c.tree(streamEntries)
	if last, ok := t.At(t.Count - 1); ok && bytes.Compare(last.Key, key) >= 0 {
		return ErrStream
	}
	if _, err := t.Put(key, lp, false); err != nil {
		return storeError(err)
	}
	l.Length += live
	l.top = top
	return nil
}

func (l *streamLoader) header(old bool) error {
	length := l.number()
	l.Last = l.id()
	if !old {
		l.id() // the first entry's: that is known better here
		l.MaxDeleted = l.id()
		l.Added = l.number()
	} else {
		l.Added = uint64(l.Length)
	}
	if l.bad || length != uint64(l.Length) || l.top.Compare(l.Last) > 0 {
		return ErrStream
	}
	l.findFirst()
	l.phase = streamInGroups
	return nil
}

func (l *streamLoader) startGroup(old bool) error {
	if err := l.endGroup(); err != nil {
		return err
	}
	name, last := l.text(), l.id()
	read := int64(0)
	if old {
		read = l.Distance(last)
	} else {
		read = int64(l.number())
	}
	if l.bad || read < UnknownEntriesRead {
		return ErrStream
	}
	l.consumer = StreamConsumer{}
	return l.created(l.CreateGroup(name, last, read, &l.group))
}

// created turns the result of a creation into an error if there was one of that name.
func (l *streamLoader) created(created bool, err error) error {
	if err == nil && !created {
		return ErrStream
	}
	return err
}

// endGroup verifies that each of the group's pending entries has an owner.
func (l *streamLoader) endGroup() error {
	if l.group.id == 0 {
		return nil
	}
	_, pending := l.group.all(l.c.tree(streamPending))
	_, owned := l.group.all(l.c.tree(streamOwned))
	if pending != owned {
		return ErrStream
	}
	l.group, l.consumer = StreamGroup{}, StreamConsumer{}
	return nil
}

// pending adds a pending entry that is nobody's yet.
func (l *streamLoader) pending(key []byte, delivered, deliveries uint64) error {
	if l.bad || l.group.id == 0 {
		return ErrStream
	}
	p := StreamPending{DeliveredAt: int64(delivered), Deliveries: int64(deliveries)}
	v := p.value()
	var buf [maxStreamKey]byte
	added, err := l.c.tree(streamPending).Put(l.group.pendingKey(buf[:0], streamIDOf(key)), v[:], false)
	return l.created(added, storeError(err))
}

func (l *streamLoader) startConsumer(name []byte, seen uint64) error {
	if l.bad || l.group.id == 0 || l.Consumer(&l.group, name, &l.consumer) {
		return ErrStream
	}
	return l.CreateConsumer(&l.group, name, int64(seen), &l.consumer)
}

// owner makes a pending entry that of the consumer.
func (l *streamLoader) owner(key []byte) error {
	var p StreamPending
	id := streamIDOf(key)
	if l.bad || l.consumer.id == 0 || !l.Pending(&l.group, id, &p) || p.consumer != 0 {
		return ErrStream
	}
	return l.Deliver(&l.group, &l.consumer, id, &p)
}

// nodeReader reads the elements of a listpack that may not be a node.
type nodeReader struct {
	lp  []byte
	at  int // -1 at the end
	bad bool
}

// number returns the next element, which must be a number.
func (r *nodeReader) number() int64 {
	if r.at < 0 {
		r.bad = true
		return 0
	}
	v := packed.Get(r.lp, r.at)
	r.bad = r.bad || !v.IsInt
	r.at = packed.Next(r.lp, r.at)
	return v.Int
}

// skip passes over n elements.
func (r *nodeReader) skip(n int64) {
	for ; n > 0 && !r.bad; n-- {
		if r.bad = r.at < 0; !r.bad {
			r.at = packed.Next(r.lp, r.at)
		}
	}
}

// validStreamNode tells whether lp, of unknown origin, is the node of key: a listpack, of
// entries as many as its master entry says, whose live ones have ascending IDs above above. It
// returns the number of these, and the last of their IDs, or above.
func validStreamNode(key, lp []byte, above StreamID) (live int64, top StreamID, ok bool) {
	elements, err := packed.Validate(lp)
	if err != nil || elements == 0 {
		return 0, above, false
	}
	r := nodeReader{lp: lp, at: packed.First(lp)}
	count, deleted, fields := r.number(), r.number(), r.number()
	most := int64(elements)
	if r.bad || count < 0 || deleted < 0 || fields < 0 || fields > most {
		return 0, above, false
	}
	r.skip(fields)
	if r.number() != 0 || r.bad || r.at < 0 {
		return 0, above, false
	}
	master := streamIDOf(key)
	for top = above; r.at >= 0; {
		flags := r.number()
		id := StreamID{master.Ms + uint64(r.number()), master.Seq + uint64(r.number())}
		items, length := fields, fields+3
		if flags&streamSameFields == 0 {
			items = r.number()
			if items < 0 || items > most {
				return 0, above, false
			}
			items, length = 2*items, 2*items+4
		}
		r.skip(items)
		if r.number() != length || r.bad {
			return 0, above, false
		}
		if flags&streamDeleted != 0 {
			deleted--
			continue
		}
		if id.Compare(top) <= 0 {
			return 0, above, false
		}
		top = id
		live++
	}
	return live, top, live == count && deleted == 0
}
