package snapshot

import (
	"bytes"
	"hash/maphash"
	"io"
	"math"

	"kvd/snapshot/rdb"
)

// keySet knows which keys of a file have been seen: by a hash, and by the offset
// of the record, from which a key with the same hash is read again and compared.
type keySet struct {
	src  io.ReaderAt
	seed maphash.Seed
	seen map[int]map[uint64]int64   // by database: offset of the first record of a hash
	more map[int]map[uint64][]int64 // the others
}

func newKeySet(src io.ReaderAt) *keySet {
	return &keySet{src: src, seed: maphash.MakeSeed(), seen: map[int]map[uint64]int64{}, more: map[int]map[uint64][]int64{}}
}

// add adds the key of ev, which is in a file of that version, and reports whether
// it was there.
func (s *keySet) add(ev *rdb.Event, version int) (twice bool, err error) {
	return s.addHash(maphash.Bytes(s.seed, ev.Key), ev, version)
}

func (s *keySet) addHash(h uint64, ev *rdb.Event, version int) (twice bool, err error) {
	seen := s.seen[ev.DB]
	if seen == nil {
		seen = map[uint64]int64{}
		s.seen[ev.DB] = seen
	}
	first, ok := seen[h]
	if !ok {
		seen[h] = ev.Start
		return false, nil
	}
	for _, at := range append([]int64{first}, s.more[ev.DB][h]...) {
		if same, err := s.keyAt(at, ev.Key, version); same || err != nil {
			return same, err
		}
	}
	if s.more[ev.DB] == nil {
		s.more[ev.DB] = map[uint64][]int64{}
	}
	s.more[ev.DB][h] = append(s.more[ev.DB][h], ev.Start)
	return false, nil
}

// keyAt reports whether the record at offset at has this key.
func (s *keySet) keyAt(at int64, key []byte, version int) (bool, error) {
	d := rdb.NewDecoder(nil, rdb.DecoderOptions{Values: rdb.PassValues, AllTypes: true, BufferSize: 4 << 10})
	d.Resume(io.NewSectionReader(s.src, at, math.MaxInt64-at), version, 0, at)
	var ev rdb.Event
	err := d.Next(&ev)
	return err == nil && bytes.Equal(ev.Key, key), err
}
