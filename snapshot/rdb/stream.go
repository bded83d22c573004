package rdb

import (
	"bytes"
	"encoding/binary"

	"kvd/kv/packed"
)

// A stream stands in a file as
//
//	count of blocks, then each: id (a string of 16 bytes), listpack
//	length, last id; from type 19 on: first id, largest deleted id, entries added
//	count of groups, then each: name, last id; from type 19 on: entries read
//	    count of pending entries, then each: id (16 bytes), delivery time (8), deliveries
//	    count of consumers, then each: name, seen time (8); from type 21 on: active time (8)
//	        count of its pending entries, then each: id (16 bytes)
//
// where an id is two lengths, ms and seq, if nothing else is said.
type streamState struct {
	stage     streamStage
	lastEntry [16]byte // of the blocks so far
	entries   uint64   // live ones in the blocks
	deleted   uint64   // the others
	group     uint64   // number of the present one
	groups    uint64   // left, as the next ones
	pending   uint64
	consumers uint64
	owned     uint64
	unowned   uint64 // pending entries of the group that no consumer had yet
}

type streamStage uint8

const (
	streamNodes streamStage = iota
	streamHeader
	streamGroup
	streamPending
	streamConsumer
	streamOwner
)

const (
	errStreamNode   = "stream block is damaged"
	errStreamKey    = "stream block's id has not 16 bytes"
	errStreamOrder  = "stream blocks are not in order"
	errStreamLength = "stream length is not the number of its entries"
	errStreamLast   = "stream's last id is below that of an entry"
	errStreamRead   = "stream group has read fewer than no entries"
	errStreamTwice  = "stream has a group, consumer or pending entry twice"
	errStreamOwner  = "stream entries pending and those that consumers have are not the same"
)

// streamStep adds the next part of a stream to the piece, or closes the value.
func (d *Decoder) streamStep() error {
	v := &d.val
	s := &v.stream
	switch s.stage {
	case streamNodes:
		if v.left > 0 {
			v.left--
			return d.streamNode()
		}
		s.stage = streamHeader
		v.count++ // a stream without entries is no empty key
	case streamHeader:
		s.stage = streamGroup
		return d.streamHeader()
	case streamGroup:
		if s.groups == 0 {
			d.piece = append(d.piece, 'E')
			v.open = false
			return nil
		}
		s.groups--
		return d.streamGroup()
	case streamPending:
		if s.pending > 0 {
			s.pending--
			s.unowned++
			return d.streamPending()
		}
		s.stage = streamConsumer
		var err error
		s.consumers, err = d.count()
		return err
	case streamConsumer:
		if s.consumers > 0 {
			s.consumers--
			return d.streamConsumer()
		}
		if s.unowned != 0 {
			return d.fail(d.Offset(), errStreamOwner)
		}
		s.stage = streamGroup
	case streamOwner:
		if s.owned == 0 {
			s.stage = streamConsumer
			return nil
		}
		s.owned--
		if s.unowned == 0 {
			return d.fail(d.Offset(), errStreamOwner)
		}
		s.unowned--
		d.piece = append(d.piece, 'O')
		start := d.Offset()
		if err := d.copyBytes(16); err != nil {
			return err
		}
		id := d.piece[len(d.piece)-16:]
		if !d.had('P', id) {
			return d.fail(start, errStreamOwner)
		}
		return d.claim('O', id, start)
	}
	return nil
}

// claim notes a group, a consumer, a pending entry or that one has an owner, and returns an error if it was
// there; had reports whether it was. With DecoderOptions.Unique only: the store finds out itself.
func (d *Decoder) claim(kind byte, name []byte, at int64) error {
	if !d.unique {
		return nil
	}
	v := &d.val
	if v.members == nil {
		v.members = map[[2]uint64]struct{}{}
	}
	h := d.hash(d.claimed(kind, name))
	if _, twice := v.members[h]; twice {
		return d.fail(at, errStreamTwice)
	}
	v.members[h] = struct{}{}
	return nil
}

func (d *Decoder) had(kind byte, name []byte) bool {
	_, ok := d.val.members[d.hash(d.claimed(kind, name))]
	return ok || !d.unique
}

func (d *Decoder) claimed(kind byte, name []byte) []byte {
	group := d.val.stream.group
	if kind == 'G' {
		group = 0
	}
	d.val.block.text = binary.LittleEndian.AppendUint64(append(d.val.block.text[:0], kind), group)
	d.val.block.text = append(d.val.block.text, name...)
	return d.val.block.text
}

func (d *Decoder) streamNode() error {
	s := &d.val.stream
	start := d.Offset()
	if err := d.element(); err != nil {
		return err
	}
	id := d.bytes(&d.elem)
	if len(id) != 16 {
		return d.fail(start, errStreamKey)
	}
	if s.entries+s.deleted > 0 && bytes.Compare(id, s.lastEntry[:]) <= 0 {
		return d.fail(start, errStreamOrder)
	}
	master := streamID{binary.BigEndian.Uint64(id), binary.BigEndian.Uint64(id[8:])}
	d.piece = append(append(d.piece, 'N'), id...)
	start = d.Offset()
	if err := d.element(); err != nil {
		return err
	}
	b := d.bytes(&d.elem)
	live, deleted, last, ok := streamEntries(master, b)
	if !ok {
		return d.fail(start, errStreamNode)
	}
	s.entries += live
	s.deleted += deleted
	binary.BigEndian.PutUint64(s.lastEntry[:], last.ms)
	binary.BigEndian.PutUint64(s.lastEntry[8:], last.seq)
	d.add(b)
	return nil
}

// streamHeader reads what stands behind the blocks, and the number of groups.
func (d *Decoder) streamHeader() (err error) {
	part, numbers := byte('H'), 8
	if d.val.typ == TypeStreamListpacks {
		part, numbers = 'h', 3
	}
	d.piece = append(d.piece, part)
	start := d.Offset()
	at := len(d.piece)
	if err := d.copyCounts(numbers); err != nil {
		return err
	}
	if binary.LittleEndian.Uint64(d.piece[at:]) != d.val.stream.entries {
		return d.fail(start, errStreamLength)
	}
	last := streamID{binary.LittleEndian.Uint64(d.piece[at+8:]), binary.LittleEndian.Uint64(d.piece[at+16:])}
	if s := &d.val.stream; s.entries+s.deleted > 0 &&
		last.less(streamID{binary.BigEndian.Uint64(s.lastEntry[:]), binary.BigEndian.Uint64(s.lastEntry[8:])}) {
		return d.fail(start, errStreamLast)
	}
	d.val.stream.groups, err = d.count()
	return err
}

func (d *Decoder) streamGroup() (err error) {
	s := &d.val.stream
	part, numbers := byte('G'), 3
	if d.val.typ == TypeStreamListpacks {
		part, numbers = 'g', 2
	}
	d.piece = append(d.piece, part)
	start := d.Offset()
	if err := d.addString(false); err != nil {
		return err
	}
	s.group++
	if err := d.claim('G', d.bytes(&d.elem), start); err != nil {
		return err
	}
	if err := d.copyCounts(numbers); err != nil {
		return err
	}
	if part == 'G' && int64(binary.LittleEndian.Uint64(d.piece[len(d.piece)-8:])) < -1 {
		return d.fail(start, errStreamRead)
	}
	s.stage, s.unowned = streamPending, 0
	s.pending, err = d.count()
	return err
}

func (d *Decoder) streamPending() error {
	d.piece = append(d.piece, 'P')
	start := d.Offset()
	if err := d.copyBytes(16 + 8); err != nil {
		return err
	}
	if err := d.claim('P', d.piece[len(d.piece)-16-8:len(d.piece)-8], start); err != nil {
		return err
	}
	return d.copyCounts(1)
}

func (d *Decoder) streamConsumer() (err error) {
	s := &d.val.stream
	d.piece = append(d.piece, 'C')
	start := d.Offset()
	if err := d.addString(false); err != nil {
		return err
	}
	if err := d.claim('C', d.bytes(&d.elem), start); err != nil {
		return err
	}
	if err := d.copyBytes(8); err != nil {
		return err
	}
	if d.val.typ >= TypeStreamListpacks3 { // the time of the last success, which the store does not have
		if _, err := d.uint64(); err != nil {
			return err
		}
	}
	s.stage = streamOwner
	s.owned, err = d.count()
	return err
}

// copyCounts reads n lengths and adds them to the piece as eight bytes each.
func (d *Decoder) copyCounts(n int) error {
	for range n {
		d.mark = d.pos
		c, err := d.count()
		if err != nil {
			return err
		}
		d.piece = binary.LittleEndian.AppendUint64(d.piece, c)
	}
	return nil
}

// copyBytes adds the next n bytes to the piece; n is small.
func (d *Decoder) copyBytes(n int) error {
	d.mark = d.pos
	if err := d.need(n); err != nil {
		return err
	}
	d.piece = append(d.piece, d.buf[d.pos:d.pos+n]...)
	d.pos += n
	return nil
}

// Flags of an entry in a stream's block.
const (
	streamDeleted    = 1
	streamSameFields = 2
)

// listReader reads a listpack of numbers and strings; bad stays once something was not as it should be.
type listReader struct {
	b   []byte
	at  int
	bad bool
}

// skip passes over n elements.
func (r *listReader) skip(n int64) {
	for ; n > 0 && !r.bad; n-- {
		if r.bad = r.at < 0; !r.bad {
			r.at = packed.Next(r.b, r.at)
		}
	}
}

// number reads an element that must be one, and not negative.
func (r *listReader) number() int64 {
	n := r.integer()
	r.bad = r.bad || n < 0
	return n
}

func (r *listReader) integer() int64 {
	if r.bad = r.bad || r.at < 0; r.bad {
		return 0
	}
	v := packed.Get(r.b, r.at)
	r.at = packed.Next(r.b, r.at)
	r.bad = !v.IsInt
	return v.Int
}

// streamID is an id of an entry.
type streamID struct{ ms, seq uint64 }

func (a streamID) less(b streamID) bool { return a.ms < b.ms || a.ms == b.ms && a.seq < b.seq }

// streamEntries looks through a block of entries and returns how many there are, and the id of the last
// one, which is above that of those before:
//
//	live | deleted | number of fields | field … | 0
//	entry: flags | ms and seq less the master's | same fields: value …
//	                                             else: number of fields | field | value | …
//	       | elements of the entry
func streamEntries(master streamID, b []byte) (live, deleted uint64, last streamID, ok bool) {
	if _, err := packed.Validate(b); err != nil {
		return 0, 0, last, false
	}
	r := listReader{b: b, at: packed.First(b)}
	wantLive, wantDeleted, fields := r.number(), r.number(), r.number()
	r.skip(fields)
	r.bad = r.number() != 0 || r.bad
	last = master
	for r.at >= 0 && !r.bad {
		flags := r.integer()
		id := streamID{master.ms + uint64(r.integer()), master.seq + uint64(r.integer())}
		size := fields + 3
		if flags&streamSameFields != 0 {
			r.skip(fields)
		} else {
			own := r.number()
			r.skip(own)
			r.skip(own)
			size = 2*own + 4
		}
		r.bad = r.number() != size || r.bad || !last.less(id) && (last != id || live+deleted > 0)
		last = id
		if flags&streamDeleted != 0 {
			deleted++
		} else {
			live++
		}
	}
	ok = !r.bad && deleted == uint64(wantDeleted) && live == uint64(wantLive) && live+deleted > 0
	return live, deleted, last, ok
}
