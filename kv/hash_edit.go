package kv

import (
	"encoding/binary"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// A big hash is two trees. The first has the fields:
//
//	hash of the field, 4 bytes | field  →  value
//	hash of the field, 4 bytes | field  →  expiry, 8 bytes LE | value    with the Flag
//
// and the second, in order of time, those that expire:
//
//	expiry, 8 bytes BE | hash | field   →  nothing
//
// The second may have strays, times at which nothing expires, after a change that found no memory.
const timeSize = 8

// maxPackedHash is the longest block, in bytes, that a hash is kept in, whatever the limits say.
const maxPackedHash = MaxString / 2

// Set gives a field a value, and tells whether the field is new. expireAt is NoExpiry, KeepExpiry (a
// new field does not expire) or a Unix time in milliseconds; one that has passed removes
// the field. It returns ErrNoMemory, and then has changed nothing.
func (h *Hash) Set(field, value []byte, expireAt int64) (added bool, err error) {
	if len(field) > MaxString || len(value) > MaxString {
		return false, ErrTooLong
	}
	if expireAt > NoExpiry && h.gone(expireAt) {
		_, err = h.Delete(field)
		return false, err
	}
	if !h.c.isTree() {
		limit := h.c.tx.s.Limits().HashValue
		if int64(len(field)) <= limit && int64(len(value)) <= limit && len(h.bytes())+len(field)+len(value) < maxPackedHash {
			return h.setPacked(field, value, expireAt)
		}
		if err = h.makeTrees(); err != nil {
			return false, err
		}
	}
	if added, err = h.setRecord(field, value, expireAt); err == nil {
		h.changes++
	}
	return added, err
}

// edit begins a change of a packed hash: it copies what there is, without what has expired.
func (h *Hash) edit() {
	if h.block != nil {
		return
	}
	b := h.c.tx.scratch()
	if h.c.packed() == nil {
		h.block = packed.AppendNew(b)
		return
	}
	b = append(b, h.c.packed()...)
	for at := packed.First(b); h.ttls && at >= 0; {
		ttlAt := packed.Next(b, packed.Next(b, at))
		if ttl := packed.Get(b, ttlAt); !h.gone(ttl.Int) {
			at = packed.Next(b, ttlAt)
			continue
		}
		h.expired++
		if b = packed.Delete(b, at, 3); at == len(b)-1 {
			break
		}
	}
	h.block = b
}

// addTTLs gives each field of the block room for an expiry.
func (h *Hash) addTTLs() {
	if h.ttls {
		return
	}
	old := append([]byte(nil), h.block...)
	b := packed.AppendNew(h.block[:0])
	var text []byte
	for at := packed.First(old); at >= 0; {
		for range 2 {
			v := packed.Get(old, at)
			text = v.Append(text[:0])
			b = packed.Append(b, text)
			at = packed.Next(old, at)
		}
		b = packed.AppendInt(b, NoExpiry)
	}
	h.block, h.ttls = b, true
}

// dropTTLs takes that room away if no field expires any more: a hash with it makes a dump one that older
// servers do not read.
func (h *Hash) dropTTLs() {
	b := h.block
	for at := packed.First(b); at >= 0; {
		at = packed.Next(b, packed.Next(b, at))
		if ttl := packed.Get(b, at); ttl.Int != NoExpiry {
			return
		}
		at = packed.Next(b, at)
	}
	old := append([]byte(nil), b...)
	b = packed.AppendNew(b[:0])
	var text []byte
	for at := packed.First(old); at >= 0; at = packed.Next(old, at) {
		for range 2 {
			v := packed.Get(old, at)
			text = v.Append(text[:0])
			b = packed.Append(b, text)
			at = packed.Next(old, at)
		}
	}
	h.block, h.ttls = b, false
}

// setPacked is Set for a hash in one block, which it may become too big for.
func (h *Hash) setPacked(field, value []byte, expireAt int64) (added bool, err error) {
	h.edit()
	if expireAt > NoExpiry {
		h.addTTLs()
	}
	b := h.block
	if at := packed.Find(b, packed.First(b), field, h.width()-1); at >= 0 {
		at = packed.Next(b, at)
		b = packed.Replace(b, at, value)
		if h.ttls && expireAt != KeepExpiry {
			b = packed.ReplaceInt(b, packed.Next(b, at), expireAt)
		}
		h.block = b
		h.changes++
		return false, nil
	}
	before := len(b)
	b = packed.Append(packed.Append(b, field), value)
	if h.ttls {
		b = packed.AppendInt(b, max(expireAt, NoExpiry))
	}
	h.block = b
	if int64(packed.Len(b)/h.width()) > h.c.tx.s.Limits().HashEntries {
		if err = h.makeTrees(); err != nil {
			h.block = packed.Delete(b, before-1, h.width())
			return false, err
		}
	}
	h.changes++
	return true, nil
}

// makeTrees makes a packed hash trees. After an error nothing has changed.
func (h *Hash) makeTrees() error {
	h.edit()
	c := &h.c
	if c.t == nil {
		c.t = c.sh.table(c.tx.s, c.db)
	}
	space := tree.Space{Heap: c.t.Nodes(), Guard: &c.sh.guard}
	fields := tree.Open(space, shapes[TypeHash][0], tree.Root{})
	times := tree.Open(space, shapes[TypeHash][1], tree.Root{})
	err := h.fill(&fields, &times)
	if err == nil {
		err = c.makeTrees(EncTree)
	}
	if err != nil {
		fields.Free()
		times.Free()
		c.tx.s.publish(c.sh, c.db, c.t)
		return err
	}
	*c.tree(0), *c.tree(1) = fields, times
	h.touched = true
	c.tx.keep(h.block)
	h.block, h.ttls = nil, false
	return nil
}

// fill puts the fields of the block into new trees.
func (h *Hash) fill(fields, times *tree.Tree) error {
	var key, value []byte
	it := h.elements()
	for e := (Element{}); it.Next(&e); {
		key = append(key[:0], make([]byte, timeSize)...)
		value = e.Member.Append(value[:0])
		key = h.c.tx.s.appendHashKey(key, value)
		value = value[:0]
		if e.ExpireAt != NoExpiry {
			value = binary.LittleEndian.AppendUint64(value, uint64(e.ExpireAt))
			binary.BigEndian.PutUint64(key, uint64(e.ExpireAt))
			if _, err := times.Put(key, nil, false); err != nil {
				return storeError(err)
			}
		}
		value = e.Value.Append(value)
		if _, err := fields.Put(key[timeSize:], value, e.ExpireAt != NoExpiry); err != nil {
			return storeError(err)
		}
	}
	return nil
}

// fieldKey returns the key of a field in the second tree, in scratch memory, the time left open;
// without its first timeSize bytes it is that in the first.
func (h *Hash) fieldKey(field []byte) []byte {
	b := h.c.tx.scratch()
	for range timeSize {
		b = append(b, 0)
	}
	return h.c.tx.s.appendHashKey(b, field)
}

// setRecord is Set for a hash of trees.
func (h *Hash) setRecord(field, value []byte, expireAt int64) (added bool, err error) {
	key := h.fieldKey(field)
	defer func() { h.c.tx.keep(key) }()
	if h.c.tree(1).Count == 0 && expireAt <= NoExpiry { // there is no expiry to ask for
		h.touched = true
		added, err = h.c.tree(0).Put(key[timeSize:], value, false)
		return added, storeError(err)
	}
	old := NoExpiry
	rec, ok := h.c.tree(0).Get(key[timeSize:])
	if ok {
		old, _ = fieldRecord(&rec)
	}
	added = !ok || h.gone(old)
	switch {
	case expireAt != KeepExpiry:
	case added:
		expireAt = NoExpiry
	default:
		expireAt = old
	}
	h.touched = true
	if expireAt != old && expireAt != NoExpiry {
		binary.BigEndian.PutUint64(key, uint64(expireAt))
		if _, err = h.c.tree(1).Put(key, nil, false); err != nil {
			return false, ErrNoMemory
		}
	}
	n := len(key)
	if expireAt != NoExpiry {
		key = binary.LittleEndian.AppendUint64(key, uint64(expireAt))
		key = append(key, value...)
		value = key[n:]
	}
	if _, err = h.c.tree(0).Put(key[timeSize:n], value, expireAt != NoExpiry); err != nil {
		if expireAt != old {
			h.dropTime(key[:n], expireAt)
		}
		return false, ErrNoMemory
	}
	if expireAt != old {
		h.dropTime(key[:n], old)
	}
	if ok && added {
		h.expired++
	}
	return added, nil
}

// dropTime removes from the second tree that a field expires at at. Its key is in fieldKey's form.
// Where a cut is live and there is no memory it stays behind: a stray.
func (h *Hash) dropTime(key []byte, at int64) {
	if at == NoExpiry {
		return
	}
	binary.BigEndian.PutUint64(key, uint64(at))
	if _, err := h.c.tree(1).Delete(key); err != nil {
		h.strays = true
	}
}

// SetExpiry changes when a field expires, a Unix time in milliseconds; one that has passed
// removes the field, NoExpiry lets it stay for good. It tells whether there was such a field. It
// returns ErrNoMemory, and then has changed nothing.
func (h *Hash) SetExpiry(field []byte, at int64) (ok bool, err error) {
	v, old, ok := h.find(field)
	if !ok || h.gone(old) {
		return false, nil
	}
	if h.gone(at) {
		return h.Delete(field)
	}
	if h.c.isTree() {
		value := append([]byte(nil), v.Text...) // its place may be another one soon
		if _, err = h.setRecord(field, value, at); err != nil {
			return false, err
		}
		h.changes++
		return true, nil
	}
	h.edit()
	h.addTTLs()
	b := h.block
	pos := packed.Find(b, packed.First(b), field, 2)
	h.block = packed.ReplaceInt(b, packed.Next(b, packed.Next(b, pos)), at)
	h.changes++
	return true, nil
}

// Delete removes a field and tells whether there was one. It returns ErrNoMemory, while a
// snapshot is taken, and then has changed nothing.
func (h *Hash) Delete(field []byte) (deleted bool, err error) {
	if h.c.isTree() {
		return h.deleteRecord(field)
	}
	if _, at, ok := h.find(field); !ok || h.gone(at) {
		return false, nil
	}
	h.edit()
	at := packed.Find(h.block, packed.First(h.block), field, h.width()-1)
	h.block = packed.Delete(h.block, at, h.width())
	h.changes++
	return true, nil
}

func (h *Hash) deleteRecord(field []byte) (deleted bool, err error) {
	key := h.fieldKey(field)
	defer h.c.tx.keep(key)
	if h.c.tree(1).Count == 0 { // there is no expiry to ask for
		if deleted, err = h.c.tree(0).Delete(key[timeSize:]); deleted {
			h.changes++
		}
		h.touched = h.touched || deleted || err != nil
		return deleted, storeError(err)
	}
	rec, ok := h.c.tree(0).Get(key[timeSize:])
	if !ok {
		return false, nil
	}
	at, _ := fieldRecord(&rec)
	h.touched = true
	if _, err = h.c.tree(0).Delete(key[timeSize:]); err != nil {
		return false, ErrNoMemory
	}
	h.dropTime(key, at)
	if h.gone(at) {
		h.expired++
		return false, nil
	}
	h.changes++
	return true, nil
}

// removeExpired removes up to max expired fields of a hash of trees.
func (h *Hash) removeExpired(max int) error {
	for range max {
		first, ok := h.c.tree(1).At(0)
		if !ok || !h.gone(int64(binary.BigEndian.Uint64(first.Key))) {
			return nil
		}
		key := append(h.c.tx.scratch(), first.Key...)
		err := h.removeDue(key)
		h.c.tx.keep(key)
		if err != nil {
			return ErrNoMemory
		}
	}
	return nil
}

// removeDue removes a field that the second tree says has expired.
func (h *Hash) removeDue(key []byte) error {
	h.touched = true
	rec, ok := h.c.tree(0).Get(key[timeSize:])
	if ok {
		at, _ := fieldRecord(&rec)
		ok = at == int64(binary.BigEndian.Uint64(key)) // it is no stray
	}
	if ok {
		if _, err := h.c.tree(0).Delete(key[timeSize:]); err != nil {
			return err
		}
		h.expired++
	}
	if _, err := h.c.tree(1).Delete(key); err != nil {
		h.strays = h.strays || ok
		return err
	}
	return nil
}
