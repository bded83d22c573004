package kv

import (
	"errors"
	"strconv"

	"kvd/kv/packed"
)

// errSetRecord is for a Record whose Value is not what Enc says. What reads dumps does
// not make such ones.
var errSetRecord = errors.New("kv: a record of a set is damaged")

// loadSet stores a record of a set. A block within the limits is taken as it lies.
func (c *coll) loadSet(r *Record) error {
	s := Set{c: *c}
	err := s.load(r)
	*c = s.c
	return err
}

func (s *Set) load(r *Record) error {
	if r.Enc == EncFlat {
		return s.loadFlat(r.Value)
	}
	if !s.c.exists && setBlockFits(s.c.tx.s.Limits(), r.Value, r.Enc) {
		return s.c.setPacked(r.Enc, r.Value)
	}
	_, err := s.add(setBlockMembers(r.Value, r.Enc))
	return err
}

// loadFlat adds the members of a record. What is there already is left out: the caller sees it by
// the number of members.
func (s *Set) loadFlat(b []byte) error {
	f, err := readFlat(TypeSet, b, errSetRecord)
	if err != nil {
		return err
	}
	lim := s.c.tx.s.Limits()
	switch {
	case s.isTree():
	case !s.c.exists && int64(f.n) > max(lim.SetIntset, lim.SetEntries):
		if err = s.c.makeBulkTrees(len(b)); err != nil {
			return err
		}
	default:
		off := 0
		_, err = s.add(func() (member []byte, ok bool) {
			if off == len(b) {
				return nil, false
			}
			member, _ = f.at(off)
			off = f.next(off)
			return member, true
		})
		return err
	}
	_, err = s.c.addHashed(&f, s.c.tx.s.byHash(&f))
	return firstError(err, s.c.save())
}

// setBlockFits tells whether a set may lie in one block.
func setBlockFits(lim *Limits, b []byte, enc Encoding) bool {
	if len(b) > maxSetBlock {
		return false
	}
	if enc == EncIntset {
		return int64(packed.IntsetLen(b)) <= lim.SetIntset
	}
	if int64(packed.Len(b)) > lim.SetEntries {
		return false
	}
	fits := true
	eachOfSetBlock(b, enc, func(v *packed.Value) bool {
		fits = int64(v.Len()) <= lim.SetValue
		return fits
	})
	return fits
}

// setBlockMembers returns a function that returns the members of a block one by one. Each is
// valid until the next.
func setBlockMembers(b []byte, enc Encoding) func() (member []byte, ok bool) {
	var text []byte
	if enc == EncIntset {
		i := -1
		return func() ([]byte, bool) {
			if i++; i >= packed.IntsetLen(b) {
				return nil, false
			}
			text = strconv.AppendInt(text[:0], packed.IntsetAt(b, i), 10)
			return text, true
		}
	}
	at := packed.First(b)
	return func() ([]byte, bool) {
		if at < 0 {
			return nil, false
		}
		v := packed.Get(b, at)
		text, at = v.Append(text[:0]), packed.Next(b, at)
		return text, true
	}
}
