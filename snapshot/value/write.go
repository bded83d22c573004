package value

import (
	"errors"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// This file runs in the forked child too: no allocation, no lock, no pointer
// written to the heap.

// ErrType means a value that the version of the encoder cannot represent: a hash whose
// fields expire, in a version before 12.
var ErrType = errors.New("a key has a data type that the RDB format of this version cannot represent")

// source is a value to be written. It is made by one of the functions below and stays on
// the stack.
type source struct {
	typ    kv.Type
	enc    kv.Encoding
	value  []byte
	length int64
	block  []byte
	one    bool // it is one block
	elems  kv.Elements
	stream kv.StreamView
	meter  *Meter // nil where nobody watches
}

func ofEntry(e *kv.Entry) (s source) {
	s.typ, s.enc, s.value = e.Type, e.Encoding, e.Value
	if s.plain() {
		return s
	}
	if e.Type == kv.TypeStream {
		s.stream = e.Stream()
		return s
	}
	s.length, s.elems = e.Len(), e.Elements()
	s.block, s.one = e.Packed()
	return s
}

func ofItem(it *kv.Item) (s source) {
	s.typ, s.enc, s.value = it.Type, it.Encoding, it.Value
	if s.plain() {
		return s
	}
	if it.FieldsExpire() {
		s.enc |= kv.EncListpackEx // as an Entry says of big hashes too
	}
	if it.Type == kv.TypeStream {
		s.stream = it.Stream()
		return s
	}
	s.length, s.elems = it.Len(), it.Elements()
	s.block, s.one = it.Packed()
	return s
}

// plain tells whether it is a string in one piece.
func (s *source) plain() bool { return s.typ == kv.TypeString && s.enc != kv.EncChunks }

// Write writes a key of a View and counts it in m. The errors are the encoder's, and ErrType.
func Write(enc *rdb.Encoder, e *kv.Entry, m *Meter) error {
	watched := m.Done != nil
	if watched {
		m.begin(e.Bytes(), 1)
	}
	if e.Type == kv.TypeString && e.Encoding != kv.EncChunks {
		if watched {
			m.end()
		}
		return enc.String(e.Key, e.Value, e.ExpireAt)
	}
	s := ofEntry(e)
	if watched {
		m.begin(m.size, s.partsOf())
		s.meter = m
	}
	t, first := s.rdbType(enc)
	if err := enc.Key(t, e.Key, e.ExpireAt); err != nil {
		return err
	}
	err := s.write(enc, t, first)
	if watched {
		m.end()
	}
	return err
}

// Size returns how many bytes a key takes besides the key itself, to judge whether it fits
// a buffer: exact enough for strings and blocks, whole false for what is big.
func Size(e *kv.Entry) (n int, whole bool) {
	if e.Type == kv.TypeString && e.Encoding != kv.EncChunks {
		return len(e.Value), true
	}
	if b, ok := e.Packed(); ok {
		return 2*len(b) + 16, true // a set is written member by member
	}
	return 0, false
}

// rdbType returns how the value is laid out, and of a hash whose fields expire the
// earliest expiry.
func (s *source) rdbType(enc *rdb.Encoder) (t rdb.Type, first int64) {
	switch s.typ {
	case kv.TypeList:
		return rdb.TypeListQuicklist2, 0
	case kv.TypeSet:
		if s.one && s.enc == kv.EncIntset {
			return rdb.TypeSetIntset, 0
		}
		return rdb.TypeSet, 0
	case kv.TypeZset:
		if s.one {
			return rdb.TypeZsetListpack, 0
		}
		return rdb.TypeZset2, 0
	case kv.TypeHash:
		if s.enc&kv.EncListpackEx != 0 {
			first = s.firstExpiry()
		}
		switch {
		case first != 0 && enc.Version() == rdb.VersionValkey:
			return rdb.TypeHash2, first
		case first != 0:
			return rdb.TypeHashMetadata, first
		case s.one && s.enc == kv.EncListpack:
			return rdb.TypeHashListpack, 0
		}
		return rdb.TypeHash, 0
	case kv.TypeStream:
		return rdb.TypeStreamListpacks2, 0
	}
	return rdb.TypeString, 0
}

// firstExpiry returns the earliest expiry of a field, 0 if none expires.
func (s *source) firstExpiry() (first int64) {
	var e kv.Element
	for it := s.elems; it.Next(&e); {
		s.meter.pass(partLooked)
		if e.ExpireAt != kv.NoExpiry && (first == 0 || e.ExpireAt < first) {
			first = e.ExpireAt
		}
	}
	return first
}

// write writes the value behind its type and key.
func (s *source) write(enc *rdb.Encoder, t rdb.Type, first int64) error {
	switch t {
	case rdb.TypeString:
		return s.writeString(enc)
	case rdb.TypeSetIntset, rdb.TypeZsetListpack, rdb.TypeHashListpack:
		return enc.Str(s.block)
	case rdb.TypeListQuicklist2:
		return s.writeList(enc)
	case rdb.TypeHashMetadata, rdb.TypeHash2:
		return s.writeExpiring(enc, t, first)
	case rdb.TypeStreamListpacks2:
		return s.writeStream(enc)
	}
	if err := enc.Len(uint64(s.length)); err != nil {
		return err
	}
	var (
		e   kv.Element
		err error
	)
	for err == nil && s.elems.Next(&e) {
		s.meter.pass(partWritten)
		if err = enc.Value(&e.Member); err != nil {
			break
		}
		switch t {
		case rdb.TypeHash:
			err = enc.Value(&e.Value)
		case rdb.TypeZset2:
			err = enc.Score(e.Score)
		}
	}
	return err
}

// writeString writes a long string, chunk by chunk.
func (s *source) writeString(enc *rdb.Encoder) error {
	if s.plain() {
		return enc.Str(s.value)
	}
	if err := enc.BeginString(s.length); err != nil {
		return err
	}
	var e kv.Element
	for s.elems.Next(&e) {
		s.meter.pass(partWritten)
		if err := enc.Part(e.Member.Text); err != nil {
			return err
		}
	}
	return enc.EndString()
}

// writeList writes the nodes of a list.
func (s *source) writeList(enc *rdb.Encoder) error {
	if s.one {
		if err := enc.Len(1); err != nil {
			return err
		}
		return enc.PackedNode(s.block)
	}
	var e kv.Element
	enc.StartNodes()
	for it := s.elems; it.Next(&e); {
		s.meter.pass(partLooked)
		enc.CountNode(&e.Member)
	}
	if err := enc.Len(enc.Nodes()); err != nil {
		return err
	}
	enc.StartNodes()
	for s.elems.Next(&e) {
		s.meter.pass(partWritten)
		if err := enc.AddNode(&e.Member); err != nil {
			return err
		}
	}
	return enc.EndNodes()
}

// writeExpiring writes a hash whose fields expire.
func (s *source) writeExpiring(enc *rdb.Encoder, t rdb.Type, first int64) error {
	if enc.Version() < rdb.VersionFieldTTL {
		return ErrType
	}
	valkey := t == rdb.TypeHash2
	if !valkey {
		_ = enc.Uint64(uint64(first)) // errors stick
	}
	err := enc.Len(uint64(s.length))
	var e kv.Element
	for err == nil && s.elems.Next(&e) {
		s.meter.pass(partWritten)
		if !valkey {
			ttl := uint64(0) // relative to the earliest; 0 means none
			if e.ExpireAt != kv.NoExpiry {
				ttl = uint64(e.ExpireAt-first) + 1
			}
			_ = enc.Len(ttl)
		}
		_ = enc.Value(&e.Member)
		err = enc.Value(&e.Value)
		if valkey {
			at := e.ExpireAt
			if at == kv.NoExpiry {
				at = -1
			}
			err = enc.Uint64(uint64(at))
		}
	}
	return err
}

// writeStream writes a stream: blocks, header, groups.
func (s *source) writeStream(enc *rdb.Encoder) error {
	v := &s.stream
	var n kv.StreamNode
	err := enc.Len(uint64(v.Nodes))
	for it := v.AllNodes(); err == nil && it.Next(&n); {
		s.meter.pass(partWritten)
		_ = enc.Str(n.Key) // errors stick
		err = enc.Str(n.Listpack)
	}
	_ = enc.Len(uint64(v.Length))
	_ = writeID(enc, v.Last)
	_ = writeID(enc, v.First)
	_ = writeID(enc, v.MaxDeleted)
	_ = enc.Len(v.Added)
	err = enc.Len(uint64(v.Groups))
	var g kv.StreamGroup
	for it := v.AllGroups(); err == nil && it.Next(&g); {
		err = s.writeGroup(enc, &g)
	}
	return err
}

func writeID(enc *rdb.Encoder, id kv.StreamID) error {
	_ = enc.Len(id.Ms)
	return enc.Len(id.Seq)
}

// writeGroup writes a consumer group: what is pending, then who has it.
func (s *source) writeGroup(enc *rdb.Encoder, g *kv.StreamGroup) error {
	v := &s.stream
	_ = enc.Str(g.Name)
	_ = writeID(enc, g.Last)
	_ = enc.Len(uint64(g.EntriesRead))
	err := enc.Len(uint64(g.Pending))
	var p kv.StreamPending
	for it := v.Pending(g); err == nil && it.Next(&p); {
		_ = enc.Raw(p.Key)
		_ = enc.Uint64(uint64(p.DeliveredAt))
		err = enc.Len(uint64(p.Deliveries))
	}
	err = enc.Len(uint64(g.Consumers))
	var c kv.StreamConsumer
	for it := v.Consumers(g); err == nil && it.Next(&c); {
		_ = enc.Str(c.Name)
		_ = enc.Uint64(uint64(c.SeenAt))
		err = enc.Len(uint64(c.Pending))
		for own := v.PendingOf(g, &c); err == nil && own.Next(&p); {
			err = enc.Raw(p.Key)
		}
	}
	return err
}
