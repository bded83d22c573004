package command

import (
	"slices"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// streamEntry replies the entry e, at which it stands.
func (x *Ctx) streamEntry(it *kv.StreamEntries, e *kv.StreamEntry) {
	x.Array(2)
	x.streamID(e.ID)
	x.Array(2 * e.Fields)
	var field, value packed.Value
	for it.Field(&field, &value) {
		x.packedValue(&field)
		x.packedValue(&value)
	}
}

// packedValue replies an element of a listpack.
func (x *Ctx) packedValue(v *packed.Value) {
	if v.IsInt {
		x.BulkInt(v.Int)
	} else {
		x.Bulk(v.Text)
	}
}

// streamEntries replies an array of at most count entries of s; 0: all that it has.
func (x *Ctx) streamEntries(s *kv.Stream, it *kv.StreamEntries, count int64) {
	expected, at, n := s.Length, len(x.Client.Out), int64(0)
	if count > 0 {
		expected = min(expected, count)
	}
	x.Array(int(expected))
	begin, room := len(x.Client.Out), x.replyRoom(expected)
	var e kv.StreamEntry
	for ; (count == 0 || n < count) && it.Next(&e); n++ {
		x.streamEntry(it, &e)
		room.element(x)
	}
	if n != expected {
		x.Client.Out = slices.Delete(x.Client.Out, at, begin)
		x.arrayBefore(at, n)
	}
}

// arrayBefore begins an array of n elements, which have been written from at on.
func (x *Ctx) arrayBefore(at int, n int64) {
	var buf [32]byte
	x.insert(at, resp.AppendArray(buf[:0], int(n)))
}

// oneStreamEntry replies a live entry without an array around it; false if there is none.
func (x *Ctx) oneStreamEntry(s *kv.Stream, from, to kv.StreamID, reverse bool) bool {
	var e kv.StreamEntry
	it := s.Entries(from, to, reverse)
	ok := it.Next(&e)
	if ok {
		x.streamEntry(&it, &e)
	}
	return ok
}

func cmdXrange(x *Ctx) { x.streamRange(x.Args[2], x.Args[3], false) }

func cmdXrevrange(x *Ctx) { x.streamRange(x.Args[3], x.Args[2], true) }

func (x *Ctx) streamRange(from, to []byte, reverse bool) {
	start, ok := x.rangeStart(from)
	if !ok {
		return
	}
	end, ok := x.rangeEnd(to)
	if !ok {
		return
	}
	count := int64(-1)
	for i := 4; i < len(x.Args); i += 2 {
		if !is(option(x.Args[i]), "count") || i+1 == len(x.Args) {
			x.Err(errSyntax)
			return
		}
		if count, ok = x.parseInt(x.Args[i+1]); !ok {
			return
		}
		count = max(count, 0)
	}
	var s kv.Stream
	if !x.readStream(&s, x.Args[1]) {
		return
	}
	switch {
	case !s.Exists():
		x.Array(0)
	case count == 0:
		x.NullArray()
	default:
		it := s.Entries(start, end, reverse)
		x.streamEntries(&s, &it, max(count, 0))
	}
}
