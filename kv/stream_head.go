package kv

import "encoding/binary"

// A stream is five trees and a header, whose tail has what follows (numbers of 8
// bytes, little-endian, IDs as two of them):
//
//	 0  length: live entries
//	 8  last ID           the highest that was ever added, or set
//	24  first ID          of the live entries; zero if there is none
//	40  max deleted ID    the highest that XDEL has removed
//	56  entries added     ever
//	64  last group        4 bytes: the highest number that a group has had
//	68  loading           4 bytes: see loadStream; 0 when the stream is complete
//	72  loading group, loading consumer, 4 bytes each
//	80  16 bytes that are not used
//
// The trees:
//
//	entries    master ID (16) → a listpack, see streamNode
//	groups     name → number (4), next consumer (4), last ID (16), entries read (8)
//	consumers  group (4) ‖ 1 ‖ name → number (4), seen time (8)
//	           group (4) ‖ 0 ‖ number (4) → name
//	pending    group (4) ‖ ID (16) → consumer (4), delivery time (8), deliveries (8)
//	owned      group (4) ‖ consumer (4) ‖ ID (16) → nothing
//
// In keys groups and consumers stand as their numbers, from 1 on and big-endian; the last
// tree has the same entries as the one before it, ordered by their consumers.
const (
	streamEntries = iota
	streamGroups
	streamConsumers
	streamPending
	streamOwned
)

// Where in the tail the numbers of 4 bytes are.
const (
	streamLastGroup = 64 + 4*iota
	streamLoading
	streamLoadGroup
	streamLoadConsumer
)

// Lengths of values, in bytes.
const (
	streamGroupSize    = 32
	streamConsumerSize = 12
	streamPendingSize  = 20
)

// StreamInfo is what is remembered of a stream as a whole.
type StreamInfo struct {
	Length     int64 // live entries
	Last       StreamID
	First      StreamID // of the live entries; zero if there is none
	MaxDeleted StreamID
	Added      uint64 // entries ever added
}

// UnknownEntriesRead is in the place of a group's number of entries read.
const UnknownEntriesRead = -1

// streamLen returns the number of live entries from the tail of a stream's header.
func streamLen(tail []byte) int64 { return int64(binary.LittleEndian.Uint64(tail)) }

func getStreamID(b []byte) StreamID {
	return StreamID{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func putStreamID(b []byte, id StreamID) {
	binary.LittleEndian.PutUint64(b, id.Ms)
	binary.LittleEndian.PutUint64(b[8:], id.Seq)
}

func (f *StreamInfo) read(tail []byte) {
	f.Length = streamLen(tail)
	f.Last, f.First, f.MaxDeleted = getStreamID(tail[8:]), getStreamID(tail[24:]), getStreamID(tail[40:])
	f.Added = binary.LittleEndian.Uint64(tail[56:])
}

func (f *StreamInfo) put(tail []byte) {
	binary.LittleEndian.PutUint64(tail, uint64(f.Length))
	putStreamID(tail[8:], f.Last)
	putStreamID(tail[24:], f.First)
	putStreamID(tail[40:], f.MaxDeleted)
	binary.LittleEndian.PutUint64(tail[56:], f.Added)
}

// holed tells whether an entry with an ID from start on may have been deleted by XDEL:
// then nobody knows how many there are from there on.
func (f *StreamInfo) holed(start StreamID) bool {
	if f.Length == 0 || f.MaxDeleted == (StreamID{}) || f.First.Compare(f.MaxDeleted) > 0 {
		return false
	}
	return start.Compare(f.MaxDeleted) <= 0
}

// Distance returns how many entries were ever added up to id: that is the number of entries
// read of a group whose last ID it is. It returns UnknownEntriesRead if that cannot be told
// from the header.
func (f *StreamInfo) Distance(id StreamID) int64 {
	last := id.Compare(f.Last)
	switch {
	case f.Added == 0:
		return 0
	case f.Length == 0 && last <= 0, last == 0:
		return int64(f.Added)
	case last > 0:
		return UnknownEntriesRead
	}
	if f.MaxDeleted == (StreamID{}) || f.MaxDeleted.Compare(f.First) < 0 {
		switch id.Compare(f.First) {
		case -1:
			return int64(f.Added - uint64(f.Length))
		case 0:
			return int64(f.Added - uint64(f.Length) + 1)
		}
	}
	return UnknownEntriesRead
}

// Lag returns how many entries g has still to read; false if that is not known.
func (f *StreamInfo) Lag(g *StreamGroup) (int64, bool) {
	if f.Added == 0 {
		return 0, true
	}
	read := g.EntriesRead
	if read == UnknownEntriesRead || f.holed(g.Last) {
		if read = f.Distance(g.Last); read == UnknownEntriesRead {
			return 0, false
		}
	}
	return int64(f.Added) - read, true
}

// advance notes that g has read the entry id, which is above all that it had read.
func (f *StreamInfo) advance(g *StreamGroup, id StreamID) {
	if g.EntriesRead != UnknownEntriesRead && !f.holed(id) {
		g.EntriesRead++
	} else if f.Added != 0 {
		g.EntriesRead = f.Distance(id)
	}
	g.Last = id
}
