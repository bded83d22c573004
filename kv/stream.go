package kv

import (
	"errors"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// Stream is a stream at a key of a Tx, or the place for one. Its methods change the
// stream in memory at once, but what is remembered of it as a whole only with Save, which must be
// called once after any change, also when the last one has failed.
type Stream struct {
	StreamInfo
	c         coll
	lastGroup uint32
}

// ErrStreamEntry is returned for an entry that is too long to be stored.
var ErrStreamEntry = errors.New("kv: stream entry longer than 1 GiB")

// OpenStream looks a stream up, which need not exist. It returns ErrWrongType if
// the key holds something else.
func (tx *Tx) OpenStream(s *Stream, db int, key []byte) error {
	*s = Stream{}
	if err := tx.open(&s.c, db, key, TypeStream); err != nil {
		return err
	}
	if s.c.exists {
		tail := s.c.tail()
		s.read(tail)
		s.lastGroup = getUint32(tail[streamLastGroup:])
	}
	return nil
}

// Exists tells whether there is a stream at the key.
func (s *Stream) Exists() bool { return s.c.exists }

// Create makes an empty stream where there is nothing.
func (s *Stream) Create() error { return s.c.makeTrees(EncTree) }

// Save ends a change, which counts as that many (Store.Changes).
func (s *Stream) Save(changes int64) error {
	tail := s.c.tail()
	s.put(tail)
	putUint32(tail[streamLastGroup:], s.lastGroup)
	err := s.c.save()
	if err == nil {
		s.c.tx.MarkChanged(changes - 1)
	}
	return err
}

// Append adds an entry: args are fields and values in turn. id must be above Last. A stream
// that is not there is created. It returns ErrStreamEntry or ErrNoMemory, and has changed
// nothing then.
func (s *Stream) Append(id StreamID, args [][]byte) error {
	size := int64(0)
	for _, a := range args {
		size += int64(len(a))
	}
	if size > maxStreamNode {
		return ErrStreamEntry
	}
	if !s.c.exists {
		if err := s.Create(); err != nil {
			return err
		}
		defer func() {
			if s.Length == 0 {
				s.c.remove()
			}
		}()
	}
	t := s.c.tree(streamEntries)
	var err error
	if last, ok := t.At(t.Count - 1); ok && s.hasRoom(last.Value, size) {
		err = s.appendToNode(t, &last, id, args)
	} else {
		err = s.appendNode(t, id, args)
	}
	if err != nil {
		return storeError(err)
	}
	s.Length++
	s.Added++
	s.Last = id
	if s.Length == 1 {
		s.First = id
	}
	return nil
}

// hasRoom tells whether size more bytes of fields and values go into the node lp.
func (s *Stream) hasRoom(lp []byte, size int64) bool {
	l := s.c.tx.s.Limits()
	limit := l.StreamBytes
	if limit <= 0 || limit > maxStreamNode {
		limit = maxStreamNode
	}
	if int64(len(lp))+size >= limit {
		return false
	}
	if l.StreamEntries <= 0 {
		return true
	}
	at := packed.First(lp)
	return streamInt(lp, at)+streamInt(lp, packed.Next(lp, at)) < l.StreamEntries
}

func (s *Stream) appendNode(t *tree.Tree, id StreamID, args [][]byte) error {
	tx := s.c.tx
	b := packed.AppendNew(tx.scratch())
	b = appendMaster(b, args)
	b = appendEntry(b, id, id, args, true)
	var key [streamIDSize]byte
	_, err := t.Put(id.appendKey(key[:0]), b, false)
	tx.keep(b)
	return err
}

// appendToNode adds an entry to the last node. Where the count in the master entry does not
// become longer, only what is new is written.
func (s *Stream) appendToNode(t *tree.Tree, last *tree.Record, id StreamID, args [][]byte) error {
	tx := s.c.tx
	n := readStreamNode(last.Key, last.Value)
	same := n.sameFields(args)
	add := appendEntry(packed.AppendNew(tx.scratch()), n.master, id, args, same)
	defer func() { tx.keep(add) }()
	items, old, count := entryElements(args, same), len(n.lp), n.count+1
	if packed.Next(n.lp, nodeHeader) == nodeHeader+intLen(count) {
		b, err := t.Edit(t.Count-1, old+len(add)-nodeHeader-1)
		if err == nil {
			joinNode(b, old, add, items, count)
		}
		return err
	}
	whole := packed.ReplaceInt(append([]byte(nil), n.lp...), nodeHeader, count)
	old = len(whole)
	whole = append(whole, add[nodeHeader+1:]...)
	joinNode(whole, old, add, items, count)
	return t.SetAt(t.Count-1, whole, false)
}

// intLen returns the bytes that a number takes in a listpack.
func intLen(n int64) int {
	var buf [24]byte
	return len(packed.AppendInt(packed.AppendNew(buf[:0]), n)) - nodeHeader - 1
}

// Entries returns an iterator over the live entries from start to end, both included.
func (s *Stream) Entries(start, end StreamID, reverse bool) StreamEntries {
	return entriesOf(s.c.tree(streamEntries), start, end, reverse)
}

// Has tells whether there is a live entry with that ID.
func (s *Stream) Has(id StreamID) bool {
	var e StreamEntry
	it := s.Entries(id, id, false)
	return it.Next(&e)
}

// Top returns the highest ID of the live entries, which is below Last if that one was
// deleted; false if there is none.
func (s *Stream) Top() (StreamID, bool) {
	var e StreamEntry
	it := s.Entries(StreamID{}, MaxStreamID, true)
	ok := it.Next(&e)
	return e.ID, ok
}

// findFirst brings First up to date after entries were removed.
func (s *Stream) findFirst() {
	var e StreamEntry
	if s.Length > 0 {
		it := s.Entries(StreamID{}, MaxStreamID, false)
		it.Next(&e)
	}
	s.First = e.ID
}

// Remove deletes entries and returns how many of them there were. After an error those
// that it counts are gone.
func (s *Stream) Remove(ids []StreamID) (removed int64, err error) {
	for _, id := range ids {
		ok := false
		if ok, err = s.remove(id); err != nil {
			break
		}
		if ok {
			removed++
		}
	}
	if removed > 0 {
		s.findFirst()
	}
	return removed, err
}

func (s *Stream) remove(id StreamID) (bool, error) {
	var e StreamEntry
	it := s.Entries(id, id, false)
	if !it.Next(&e) {
		return false, nil
	}
	return s.removeAt(s.c.tree(streamEntries), it.rank, &it.node, &it.read)
}

// removeAt deletes a live entry of the node at rank, and the node if it was its last.
func (s *Stream) removeAt(t *tree.Tree, rank int64, n *streamNode, e *nodeEntry) (bool, error) {
	var err error
	if n.count == 1 {
		err = t.DeleteRange(rank, 1)
	} else {
		tx := s.c.tx
		b := append(tx.scratch(), n.lp...)
		b = packed.ReplaceInt(b, e.at, e.flags|streamDeleted)
		b = n.recount(b, -1)
		err = t.SetAt(rank, b, false)
		tx.keep(b)
	}
	if err != nil {
		return false, storeError(err)
	}
	s.Length--
	if e.id.Compare(s.MaxDeleted) > 0 {
		s.MaxDeleted = e.id
	}
	return true, nil
}

// recount writes what the master entry of b, a changed copy of n, says of the number of
// entries: more live ones than n, and as many fewer deleted ones.
func (n *streamNode) recount(b []byte, more int64) []byte {
	b = packed.ReplaceInt(b, n.deletedAt, n.deleted-more)
	return packed.ReplaceInt(b, nodeHeader, n.count+more)
}

// RadixNodes returns how many nodes a radix tree such as Redis' has for the nodes of this
// stream: one for each of them, each place where keys part, and each run of bytes between.
func (s *Stream) RadixNodes() (keys, nodes int64) {
	t := s.c.tree(streamEntries)
	if t.Count == 0 {
		return 0, 1
	}
	var r tree.Record
	var last [streamIDSize]byte
	var open [streamIDSize]int // where keys part on the way to the last one, the deepest last
	n := 0
	c := t.FromAt(0)
	for first := true; c.Next(&r); first = false {
		if !first {
			at := 0
			for r.Key[at] == last[at] {
				at++
			}
			child := streamIDSize
			for ; n > 0 && open[n-1] > at; n-- {
				nodes += 1 + radixRun(open[n-1], child)
				child = open[n-1]
			}
			nodes += radixRun(at, child)
			if n == 0 || open[n-1] != at {
				open[n] = at
				n++
			}
		}
		copy(last[:], r.Key)
	}
	child := streamIDSize
	for ; n > 0; n-- {
		nodes += 1 + radixRun(open[n-1], child)
		child = open[n-1]
	}
	return t.Count, nodes + radixRun(-1, child) + t.Count
}

// radixRun returns the nodes between the place from, where one byte is taken, and the place to.
func radixRun(from, to int) int64 {
	if to > from+1 {
		return 1
	}
	return 0
}
