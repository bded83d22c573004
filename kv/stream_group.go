package kv

import (
	"encoding/binary"

	"kvd/kv/internal/tree"
)

// StreamGroup is a consumer group. Name is borrowed.
type StreamGroup struct {
	Name        []byte
	Last        StreamID
	EntriesRead int64 // UnknownEntriesRead if that cannot be told
	Consumers   int64 // set by those who go through all groups
	Pending     int64 // the same

	id           uint32
	nextConsumer uint32
}

// StreamConsumer is a consumer of a group. Name is borrowed.
type StreamConsumer struct {
	Name    []byte
	SeenAt  int64 // Unix milliseconds
	Pending int64 // set by those who go through all consumers

	id uint32
}

// StreamPending is an entry that was delivered and not acknowledged. Key is the 16
// big-endian bytes of its ID, borrowed.
type StreamPending struct {
	Key         []byte
	DeliveredAt int64 // Unix milliseconds
	Deliveries  int64

	consumer uint32 // 0: nobody's yet
}

// ID returns the ID of the entry.
func (p *StreamPending) ID() StreamID { return streamIDOf(p.Key) }

// Of tells whether c has the entry.
func (p *StreamPending) Of(c *StreamConsumer) bool { return p.consumer == c.id }

// Sizes of what stands in front of names and IDs in keys.
const (
	groupPrefix = 4
	namePrefix  = 5
	ownerPrefix = 8
)

// What stands behind the group in the keys of consumers.
const (
	byNumber = 0
	byName   = 1
)

// maxStreamKey is the room for the keys that have an ID.
const maxStreamKey = ownerPrefix + streamIDSize

func (g *StreamGroup) pendingKey(dst []byte, id StreamID) []byte {
	return id.appendKey(binary.BigEndian.AppendUint32(dst, g.id))
}

func (g *StreamGroup) ownedKey(dst []byte, consumer uint32, id StreamID) []byte {
	dst = binary.BigEndian.AppendUint32(dst, g.id)
	return id.appendKey(binary.BigEndian.AppendUint32(dst, consumer))
}

func (g *StreamGroup) consumerKey(dst, name []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(dst, g.id), byName), name...)
}

func (g *StreamGroup) numberKey(dst []byte, consumer uint32) []byte {
	dst = append(binary.BigEndian.AppendUint32(dst, g.id), byNumber)
	return binary.BigEndian.AppendUint32(dst, consumer)
}

func (g *StreamGroup) read(r *tree.Record) {
	v := r.Value
	*g = StreamGroup{
		Name: r.Key, id: getUint32(v), nextConsumer: getUint32(v[4:]),
		Last: getStreamID(v[8:]), EntriesRead: int64(binary.LittleEndian.Uint64(v[24:])),
	}
}

func (g *StreamGroup) value() (v [streamGroupSize]byte) {
	putUint32(v[:], g.id)
	putUint32(v[4:], g.nextConsumer)
	putStreamID(v[8:], g.Last)
	binary.LittleEndian.PutUint64(v[24:], uint64(g.EntriesRead))
	return v
}

func (c *StreamConsumer) read(r *tree.Record) {
	*c = StreamConsumer{
		Name: r.Key[namePrefix:], id: getUint32(r.Value),
		SeenAt: int64(binary.LittleEndian.Uint64(r.Value[4:])),
	}
}

func (c *StreamConsumer) value() (v [streamConsumerSize]byte) {
	putUint32(v[:], c.id)
	binary.LittleEndian.PutUint64(v[4:], uint64(c.SeenAt))
	return v
}

func (p *StreamPending) read(r *tree.Record) {
	*p = StreamPending{
		Key: r.Key[groupPrefix:], consumer: getUint32(r.Value),
		DeliveredAt: int64(binary.LittleEndian.Uint64(r.Value[4:])),
		Deliveries:  int64(binary.LittleEndian.Uint64(r.Value[12:])),
	}
}

func (p *StreamPending) value() (v [streamPendingSize]byte) {
	putUint32(v[:], p.consumer)
	binary.LittleEndian.PutUint64(v[4:], uint64(p.DeliveredAt))
	binary.LittleEndian.PutUint64(v[12:], uint64(p.Deliveries))
	return v
}

func getUint32(b []byte) uint32    { return binary.LittleEndian.Uint32(b) }
func putUint32(b []byte, n uint32) { binary.LittleEndian.PutUint32(b, n) }

// Group looks a group up by its name, which g keeps.
func (s *Stream) Group(name []byte, g *StreamGroup) bool {
	r, ok := s.c.tree(streamGroups).Get(name)
	if ok {
		g.read(&r)
		g.Name = name // what is in the tree moves when that changes
	}
	return ok
}

// CreateGroup makes a group; false if there is one of that name.
func (s *Stream) CreateGroup(name []byte, last StreamID, entriesRead int64, g *StreamGroup) (bool, error) {
	if s.Group(name, g) {
		return false, nil
	}
	*g = StreamGroup{Name: name, Last: last, EntriesRead: entriesRead, nextConsumer: 1}
	if g.id = s.lastGroup + 1; g.id == 1<<32-1 {
		return false, ErrNoMemory // no stream lives to see that many
	}
	if err := s.PutGroup(g); err != nil {
		return false, err
	}
	s.lastGroup++
	return true, nil
}

// PutGroup stores what has changed of a group.
func (s *Stream) PutGroup(g *StreamGroup) error {
	v := g.value()
	_, err := s.c.tree(streamGroups).Put(g.Name, v[:], false)
	return storeError(err)
}

// Read notes that g has been given the entry id, which is above its Last.
func (s *Stream) Read(g *StreamGroup, id StreamID) { s.advance(g, id) }

// DestroyGroup deletes a group with its consumers and pending entries. Where there is no
// memory for all of that it is gone nevertheless: what is left belongs to no group then.
func (s *Stream) DestroyGroup(g *StreamGroup) error {
	if _, err := s.c.tree(streamGroups).Delete(g.Name); err != nil {
		return storeError(err)
	}
	for _, i := range [...]int{streamOwned, streamPending, streamConsumers} {
		t := s.c.tree(i)
		if first, n := g.all(t); n > 0 {
			_ = t.DeleteRange(first, n)
		}
	}
	return nil
}

// countKeys returns where the keys from from on that are below to begin, and their number.
func countKeys(t *tree.Tree, from, to []byte) (first, n int64) {
	first, _ = t.Rank(from)
	end, _ := t.Rank(to)
	return first, end - first
}

// Consumer looks a consumer up by its name, which c keeps.
func (s *Stream) Consumer(g *StreamGroup, name []byte, c *StreamConsumer) bool {
	tx := s.c.tx
	key := g.consumerKey(tx.scratch(), name)
	r, ok := s.c.tree(streamConsumers).Get(key)
	tx.keep(key)
	if ok {
		c.read(&r)
		c.Name = name
	}
	return ok
}

// CreateConsumer makes a consumer whose name g has not.
func (s *Stream) CreateConsumer(g *StreamGroup, name []byte, now int64, c *StreamConsumer) error {
	*c = StreamConsumer{Name: name, SeenAt: now, id: g.nextConsumer}
	if c.id == 1<<32-1 {
		return ErrNoMemory
	}
	g.nextConsumer++
	if err := s.PutGroup(g); err != nil {
		g.nextConsumer--
		return err
	}
	var buf [maxStreamKey]byte
	t := s.c.tree(streamConsumers)
	if _, err := t.Put(g.numberKey(buf[:0], c.id), name, false); err != nil {
		return storeError(err)
	}
	err := s.PutConsumer(g, c)
	if err != nil {
		_, undo := t.Delete(g.numberKey(buf[:0], c.id))
		s.c.tx.must(undo)
	}
	return err
}

// ConsumerName returns the name of the consumer that has p, borrowed.
func (s *Stream) ConsumerName(g *StreamGroup, p *StreamPending) []byte {
	var buf [maxStreamKey]byte
	r, _ := s.c.tree(streamConsumers).Get(g.numberKey(buf[:0], p.consumer))
	return r.Value
}

// PutConsumer stores what has changed of a consumer.
func (s *Stream) PutConsumer(g *StreamGroup, c *StreamConsumer) error {
	tx := s.c.tx
	key := g.consumerKey(tx.scratch(), c.Name)
	v := c.value()
	_, err := s.c.tree(streamConsumers).Put(key, v[:], false)
	tx.keep(key)
	return storeError(err)
}

// ownedRange returns the range of keys of the pending entries of a consumer.
func ownedRange(group, consumer uint32) (from, to [ownerPrefix]byte) {
	binary.BigEndian.PutUint32(from[:], group)
	binary.BigEndian.PutUint32(from[4:], consumer)
	binary.BigEndian.PutUint32(to[:], group)
	binary.BigEndian.PutUint32(to[4:], consumer+1)
	return from, to
}

// PendingOf returns the number of pending entries of a consumer.
func (s *Stream) PendingOf(g *StreamGroup, c *StreamConsumer) int64 {
	return ownedBy(s.c.tree(streamOwned), g.id, c.id)
}

// DeleteConsumer deletes a consumer with its pending entries. After an error some of these
// may be gone.
func (s *Stream) DeleteConsumer(g *StreamGroup, c *StreamConsumer) error {
	drop := s.dropPending
	if s.c.copies() {
		drop = s.ackPending
	}
	if err := drop(g, c); err != nil {
		return err
	}
	var buf [maxStreamKey]byte
	tx, t := s.c.tx, s.c.tree(streamConsumers)
	key := g.consumerKey(tx.scratch(), c.Name)
	_, err := t.Delete(key)
	tx.keep(key)
	if err == nil {
		_, _ = t.Delete(g.numberKey(buf[:0], c.id)) // its number is not given again
	}
	return storeError(err)
}

// ackPending removes the pending entries of a consumer one by one: each step may find no memory.
func (s *Stream) ackPending(g *StreamGroup, c *StreamConsumer) error {
	var p StreamPending
	for {
		it := s.AllPendingOf(g, c, StreamID{})
		if !it.Next(&p) {
			return nil
		}
		if _, err := s.Ack(g, p.ID()); err != nil {
			return err
		}
	}
}

// dropPending removes the pending entries of a consumer where no nodes are copied: those that follow each
// other among the group's at once. Nothing but the first step can fail.
func (s *Stream) dropPending(g *StreamGroup, c *StreamConsumer) error {
	owned, pending := s.c.tree(streamOwned), s.c.tree(streamPending)
	from, to := ownedRange(g.id, c.id)
	first, n := countKeys(owned, from[:], to[:])
	var buf [maxStreamKey]byte
	var r tree.Record
	for i, run := int64(0), int64(0); i < n; i += run {
		r, _ = owned.At(first + i)
		rank, _ := pending.Rank(g.pendingKey(buf[:0], streamIDOf(r.Key[ownerPrefix:])))
		cur := pending.FromAt(rank)
		run = 0
		for i+run < n && cur.Next(&r) && getUint32(r.Value) == c.id {
			run++
		}
		if err := pending.DeleteRange(rank, run); err != nil {
			if i == 0 {
				return storeError(err)
			}
			s.c.tx.must(err)
		}
	}
	s.c.tx.must(owned.DeleteRange(first, n))
	return nil
}

// Pending looks up whether an entry is pending in a group.
func (s *Stream) Pending(g *StreamGroup, id StreamID, p *StreamPending) bool {
	var buf [maxStreamKey]byte
	r, ok := s.c.tree(streamPending).Get(g.pendingKey(buf[:0], id))
	if ok {
		p.read(&r)
	}
	return ok
}

// Deliver makes an entry one of c's pending ones, whoever had it, with what p says of times
// and deliveries. After an error nothing has changed.
func (s *Stream) Deliver(g *StreamGroup, c *StreamConsumer, id StreamID, p *StreamPending) error {
	var buf [maxStreamKey]byte
	t, owned := s.c.tree(streamPending), s.c.tree(streamOwned)
	var old [streamPendingSize]byte
	had := uint32(0)
	r, found := t.Get(g.pendingKey(buf[:0], id))
	if found {
		copy(old[:], r.Value)
		had = getUint32(old[:])
	}
	if had != c.id {
		if _, err := owned.Put(g.ownedKey(buf[:0], c.id, id), nil, false); err != nil {
			return storeError(err)
		}
	}
	p.consumer = c.id
	v := p.value()
	_, err := t.Put(g.pendingKey(buf[:0], id), v[:], false)
	if err == nil && had != 0 && had != c.id {
		if _, err = owned.Delete(g.ownedKey(buf[:0], had, id)); err != nil {
			_, undo := t.Put(g.pendingKey(buf[:0], id), old[:], false) // where it has just been written
			s.c.tx.must(undo)
		}
	}
	if err != nil && had != c.id {
		_, undo := owned.Delete(g.ownedKey(buf[:0], c.id, id))
		s.c.tx.must(undo)
	}
	return storeError(err)
}

// Ack removes an entry from those that are pending; false if it was not one. After an error
// nothing has changed.
func (s *Stream) Ack(g *StreamGroup, id StreamID) (bool, error) {
	var p StreamPending
	if !s.Pending(g, id, &p) {
		return false, nil
	}
	var buf [maxStreamKey]byte
	pending := s.c.tree(streamPending)
	if s.c.copies() {
		v := p.value()
		if _, err := pending.Put(g.pendingKey(buf[:0], id), v[:], false); err != nil {
			return false, storeError(err)
		}
	}
	if _, err := s.c.tree(streamOwned).Delete(g.ownedKey(buf[:0], p.consumer, id)); err != nil {
		return false, storeError(err)
	}
	_, err := pending.Delete(g.pendingKey(buf[:0], id))
	s.c.tx.must(err)
	return true, nil
}

// NextPending looks for the first pending entry of g from start on, whoever has it.
func (s *Stream) NextPending(g *StreamGroup, start StreamID, p *StreamPending) bool {
	var buf [maxStreamKey]byte
	var r tree.Record
	key := g.pendingKey(buf[:0], start)
	cur := s.c.tree(streamPending).From(key)
	if !cur.Next(&r) || string(r.Key[:groupPrefix]) != string(key[:groupPrefix]) {
		return false
	}
	p.read(&r)
	return true
}

// LastPending returns the highest ID that is pending in g; zero if there is none.
func (s *Stream) LastPending(g *StreamGroup) StreamID {
	t := s.c.tree(streamPending)
	first, n := g.all(t)
	if n == 0 {
		return StreamID{}
	}
	r, _ := t.At(first + n - 1)
	return streamIDOf(r.Key[groupPrefix:])
}
