package kv

import (
	"encoding/binary"
	"errors"

	"kvd/kv/packed"
)

// What is wrong with a Record of a hash that is refused.
var (
	errHashRecord = errors.New("kv: a record of a hash is damaged")
	errHashTwice  = errors.New("kv: a field of a hash comes twice")
)

// loadHash stores a record of a hash, or adds its fields to those that are there. A block whose
// number of fields is within the limits is taken as it lies; it is the reader's to know that it is one. Fields that
// have expired are taken too: nobody sees them.
func (c *coll) loadHash(r *Record) error {
	h := Hash{c: *c, now: c.tx.Now()}
	h.attach()
	err := h.load(r)
	*c = h.c
	return err
}

func (h *Hash) load(r *Record) (err error) {
	if r.Enc == EncListpack || r.Enc == EncListpackEx {
		width := 2
		if r.Enc == EncListpackEx {
			width = 3
		}
		if n := packed.Len(r.Value); n == 0 || n%width != 0 {
			return errHashRecord
		} else if !h.c.exists && int64(n/width) <= h.c.tx.s.Limits().HashEntries {
			return h.loadBlock(r)
		}
		err = h.loadPacked(r)
	} else if r.Enc == EncFlat && (h.c.isTree() && h.c.tree(1).Count == 0 || !h.c.exists) {
		err = h.loadMany(r)
	} else {
		err = h.loadFlat(r)
	}
	if saveErr := h.Save(); err == nil {
		err = saveErr
	}
	return err
}

// loadBlock takes a block as it lies.
func (h *Hash) loadBlock(r *Record) error {
	if err := h.c.setPacked(r.Enc, r.Value); err != nil {
		return err
	}
	h.ttls = r.Enc == EncListpackEx
	h.noteTimer()
	return nil
}

// loadPacked takes a block field by field.
func (h *Hash) loadPacked(r *Record) error {
	var field, value []byte
	it := Elements{typ: TypeHash, enc: r.Enc, block: r.Value, at: packed.First(r.Value)}
	for e := (Element{}); it.Next(&e); {
		field, value = e.Member.Append(field[:0]), e.Value.Append(value[:0])
		if err := h.loadField(field, value, e.ExpireAt); err != nil {
			return err
		}
	}
	return nil
}

// loadFlat takes fields and values that are written one behind the other.
func (h *Hash) loadFlat(r *Record) error {
	for b := r.Value; len(b) > 0; {
		var field, value []byte
		var ok bool
		if field, b, ok = flatString(b); !ok {
			return errHashRecord
		}
		if value, b, ok = flatString(b); !ok {
			return errHashRecord
		}
		at := NoExpiry
		if r.Enc == EncFlatTTL {
			if len(b) < 8 {
				return errHashRecord
			}
			at, b = int64(binary.LittleEndian.Uint64(b)), b[8:]
		}
		if err := h.loadField(field, value, at); err != nil {
			return err
		}
	}
	return nil
}

// loadMany takes fields that do not expire, where none does.
func (h *Hash) loadMany(r *Record) error {
	f, err := readFlat(TypeHash, r.Value, errHashRecord)
	if err != nil {
		return err
	}
	if !h.c.exists {
		lim := h.c.tx.s.Limits()
		if int64(f.n) <= lim.HashEntries && int64(f.long) <= lim.HashValue {
			return h.loadFlat(r)
		}
		if err = h.c.makeBulkTrees(len(r.Value)); err != nil {
			return err
		}
	}
	h.touched = true
	twice, err := h.c.addHashed(&f, h.c.tx.s.byHash(&f))
	if err == nil && twice {
		err = errHashTwice
	}
	return err
}

// flatString reads a string with its length before it.
func flatString(b []byte) (text, rest []byte, ok bool) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	return b[k : k+int(n)], b[k+int(n):], true
}

// loadField adds a field, which must be new.
func (h *Hash) loadField(field, value []byte, at int64) error {
	now := h.now
	h.now = 0 // what has expired is there all the same
	added, err := h.Set(field, value, at)
	h.now = now
	if err == nil && !added {
		err = errHashTwice
	}
	return err
}
