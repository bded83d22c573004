package kv

import (
	"encoding/binary"
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
		members, err := flatMembers(r.Value)
		if err != nil {
			return err
		}
		if len(members) >= setBulk {
			order := s.c.tx.s.hashOrder(len(members), func(i int) []byte { return members[i] })
			sorted := make([][]byte, len(members))
			for i, from := range order {
				sorted[i] = members[from]
			}
			members = sorted
		}
		_, err = s.add(eachOf(members))
		return err
	}
	if !s.c.exists && setBlockFits(s.c.tx.s.Limits(), r.Value, r.Enc) {
		return s.c.setPacked(r.Enc, r.Value)
	}
	_, err := s.add(setBlockMembers(r.Value, r.Enc))
	return err
}

// flatMembers returns the members of a record, which are parts of b.
func flatMembers(b []byte) (members [][]byte, err error) {
	for len(b) > 0 {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, errSetRecord
		}
		b = b[used:]
		members, b = append(members, b[:n]), b[n:]
	}
	return members, nil
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
