package kv

import (
	"encoding/binary"

	"kvd/kv/packed"
)

// A node is a listpack of entries, byte for byte as Redis has it, so that nodes are saved
// and loaded as they lie:
//
//	count deleted fields field … 0         the master entry
//	flags ms seq value … n                 an entry with the master's fields
//	flags ms seq fields field value … n    another one
//
// count and deleted are the entries that live and that are marked as deleted; ms and seq
// are added to the ID of the master, which is the node's key; n is the number of elements of
// the entry before it, so that it can be found from its end: the master's 0 ends that way back.
const (
	streamDeleted    = 1 // flags: the entry is gone
	streamSameFields = 2 // flags: it has the fields of the master
)

// maxStreamNode is the longest node, in bytes, whatever the limits say, and the longest entry.
const maxStreamNode = 1 << 30

// nodeHeader is where the first element of a listpack lies.
const nodeHeader = 6

// streamNode is a node whose master entry has been read.
type streamNode struct {
	lp        []byte
	master    StreamID
	count     int64
	deleted   int64
	deletedAt int // offset of the number of deleted entries
	fields    int // of the master
	fieldsAt  int // offset of the first of them
}

func readStreamNode(key, lp []byte) (n streamNode) {
	n.lp, n.master = lp, streamIDOf(key)
	at := packed.First(lp)
	n.count = streamInt(lp, at)
	at = packed.Next(lp, at)
	n.deletedAt, n.deleted = at, streamInt(lp, at)
	at = packed.Next(lp, at)
	n.fields = int(streamInt(lp, at))
	n.fieldsAt = packed.Next(lp, at)
	return n
}

func streamInt(lp []byte, at int) int64 {
	v := packed.Get(lp, at)
	return v.Int
}

// skip returns the offset of the element that stands n behind the one at at, -1 at the end.
func skip(lp []byte, at, n int) int {
	for ; n > 0; n-- {
		at = packed.Next(lp, at)
	}
	return at
}

// first returns the offset of the first entry, deleted or not; -1 if there is none.
func (n *streamNode) first() int { return skip(n.lp, n.fieldsAt, n.fields+1) }

// last returns the offset of the last entry, deleted or not; -1 if there is none.
func (n *streamNode) last() int { return n.before(packed.Last(n.lp)) }

// before returns the offset of the entry that ends with the element at end; -1 if that is the
// master.
func (n *streamNode) before(end int) int {
	items := streamInt(n.lp, end)
	if items == 0 {
		return -1
	}
	for ; items > 0; items-- {
		end = packed.Prev(n.lp, end)
	}
	return end
}

// nodeEntry is an entry of a node.
type nodeEntry struct {
	id     StreamID
	flags  int64
	at     int // offset of its first element
	fields int
	body   int // offset of the first element behind ID and number of fields
}

func (n *streamNode) entry(at int) (e nodeEntry) {
	e.at, e.flags = at, streamInt(n.lp, at)
	at = packed.Next(n.lp, at)
	e.id.Ms = n.master.Ms + uint64(streamInt(n.lp, at))
	at = packed.Next(n.lp, at)
	e.id.Seq = n.master.Seq + uint64(streamInt(n.lp, at))
	at = packed.Next(n.lp, at)
	e.fields = n.fields
	if e.flags&streamSameFields == 0 {
		e.fields = int(streamInt(n.lp, at))
		at = packed.Next(n.lp, at)
	}
	e.body = at
	return e
}

// elements returns the number of elements of fields and values.
func (e *nodeEntry) elements() int {
	if e.flags&streamSameFields != 0 {
		return e.fields
	}
	return 2 * e.fields
}

// next returns the offset of the entry behind e, -1 at the end.
func (n *streamNode) next(e *nodeEntry) int { return skip(n.lp, e.body, e.elements()+1) }

// sameFields tells whether the names among args, which are fields and values in turn, are
// those of the master.
func (n *streamNode) sameFields(args [][]byte) bool {
	if len(args) != 2*n.fields {
		return false
	}
	at := n.fieldsAt
	for i := 0; i < len(args); i += 2 {
		v := packed.Get(n.lp, at)
		if !v.Equal(args[i]) {
			return false
		}
		at = packed.Next(n.lp, at)
	}
	return true
}

// appendMaster appends the master entry of a new node to the empty listpack b.
func appendMaster(b []byte, args [][]byte) []byte {
	b = packed.AppendInt(b, 1)
	b = packed.AppendInt(b, 0)
	b = packed.AppendInt(b, int64(len(args)/2))
	for i := 0; i < len(args); i += 2 {
		b = packed.Append(b, args[i])
	}
	return packed.AppendInt(b, 0)
}

// appendEntry appends an entry to the listpack b of a node with that master.
func appendEntry(b []byte, master, id StreamID, args [][]byte, same bool) []byte {
	flags := int64(0)
	if same {
		flags = streamSameFields
	}
	b = packed.AppendInt(b, flags)
	b = packed.AppendInt(b, int64(id.Ms-master.Ms))
	b = packed.AppendInt(b, int64(id.Seq-master.Seq))
	if !same {
		b = packed.AppendInt(b, int64(len(args)/2))
	}
	for i := range args {
		if i%2 == 1 || !same {
			b = packed.Append(b, args[i])
		}
	}
	return packed.AppendInt(b, int64(entryElements(args, same)-1))
}

// entryElements returns the number of elements of an entry in its node.
func entryElements(args [][]byte, same bool) int {
	if same {
		return 3 + len(args)/2 + 1
	}
	return 4 + len(args) + 1
}

// joinNode makes b, which begins with a node of old bytes and is as long as that and more, the
// node with those elements behind it: add is a listpack of them, elements their number. The
// count of the master must stay as long as it is.
func joinNode(b []byte, old int, add []byte, elements int, count int64) {
	copy(b[old-1:], add[nodeHeader:])
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	const uncounted = 1<<16 - 1
	if n := int(binary.LittleEndian.Uint16(b[4:])); n != uncounted {
		binary.LittleEndian.PutUint16(b[4:], uint16(min(n+elements, uncounted)))
	}
	packed.ReplaceInt(b, nodeHeader, count)
}
