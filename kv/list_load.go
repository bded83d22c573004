package kv

import (
	"encoding/binary"
	"errors"

	"kvd/kv/packed"
)

// errListRecord is for a Record whose Value is not what Enc says. What reads dumps does
// not make such ones.
var errListRecord = errors.New("kv: a record of a list is damaged")

// loadList stores a record of a list, or adds it to what is there. A block within the
// limits is taken as it lies.
func (c *coll) loadList(r *Record) error {
	l := List{c: *c}
	err := l.load(r)
	*c = l.c
	return err
}

func (l *List) load(r *Record) error {
	if r.Enc == EncListpack && !l.c.exists && l.fitsBlock(int64(packed.Len(r.Value)), len(r.Value)) {
		return l.c.setPacked(EncListpack, r.Value)
	}
	var elems [][]byte
	if r.Enc == EncFlat {
		for rest := r.Value; len(rest) > 0; {
			n, used := binary.Uvarint(rest)
			if used <= 0 || n > uint64(len(rest)-used) {
				return errListRecord
			}
			elems = append(elems, rest[used:used+int(n)])
			rest = rest[used+int(n):]
		}
	} else {
		elems = blockTexts(r.Value)
	}
	return l.Push(Right, elems)
}

// blockTexts returns the elements of a listpack.
func blockTexts(b []byte) (elems [][]byte) {
	var text []byte // of the integers
	for at := packed.First(b); at >= 0; at = packed.Next(b, at) {
		v := packed.Get(b, at)
		if !v.IsInt {
			elems = append(elems, v.Text)
			continue
		}
		from := len(text)
		text = v.Append(text)
		elems = append(elems, text[from:len(text):len(text)])
	}
	return elems
}
