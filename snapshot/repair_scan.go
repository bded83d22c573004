package snapshot

import (
	"context"
	"errors"
	"io"
	"slices"

	"kvd/snapshot/rdb"
)

// piece is a part of a file that is kept as it is: keys of one database, or, with
// db noDB, metadata and the like.
type piece struct {
	from, to int64
	db       int
}

const noDB = -1

// scan reads a file, damaged or not, and notes what can be kept.
type scan struct {
	src        io.ReaderAt
	size       int64
	now        int64 // Unix milliseconds
	drop       bool  // what Load refuses
	dropped    int64
	dec        *rdb.Decoder
	version    int
	unique     *keySet
	longest    int // key, in bytes
	pieces     []piece
	counts     map[int]*DatabaseCounts
	hints      map[int]uint64 // keys, by RESIZEDB
	selected   map[int]bool
	db         int
	lost       []LostRange
	duplicates int64
	others     int64
	trailing   int64
	homeless   bool // behind damage: until the next SELECTDB no key's database is known
}

func newScan(src io.ReaderAt, size int64, o RepairOptions) *scan {
	return &scan{src: src, size: size, now: o.Now.UnixMilli(), drop: o.DropRefused, unique: newKeySet(src), counts: map[int]*DatabaseCounts{},
		hints: map[int]uint64{}, selected: map[int]bool{}}
}

// isDamage tells an error about the bytes of the file from others.
func (s *scan) isDamage(err error) bool {
	var ue *rdb.UnsupportedError
	return errors.Is(err, rdb.ErrFormat) || errors.As(err, &ue)
}

// scanOptions: every type, and everything checked.
var scanOptions = rdb.DecoderOptions{Values: rdb.CheckValues, AllTypes: true, Unique: true}

// whole reads the file from its start until its end, or the first damage.
func (s *scan) whole(ctx context.Context) error {
	chunks := newChunkReader(s.src, s.size, 1, true)
	defer chunks.close()
	s.dec = rdb.NewChunkDecoder(chunks, scanOptions)
	err := s.read(ctx)
	s.version = s.dec.Version()
	return err
}

// read notes what the decoder finds until the end of the file or an error.
func (s *scan) read(ctx context.Context) error {
	var ev rdb.Event
	for n := 0; ; n++ {
		if n%keysPerLook == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
		if err := s.dec.Next(&ev); err != nil {
			return err
		}
		switch ev.Kind {
		case rdb.KindEOF:
			s.trailing = s.size - s.dec.Offset()
			return nil
		case rdb.KindSelectDB:
			if s.homeless {
				s.lose(s.lost[len(s.lost)-1].To, ev.Start)
				s.homeless = false
			}
			s.db = ev.DB
			s.selected[ev.DB] = true
		case rdb.KindResizeDB:
			s.hints[ev.DB] += ev.Keys
		case rdb.KindKey:
			if s.homeless {
				continue
			}
			if err := s.key(&ev); err != nil {
				return err
			}
		default:
			if ev.Kind == rdb.KindOther {
				if s.drop {
					s.dropped++
					continue
				}
				s.others++
			}
			s.keep(ev.Start, noDB)
		}
	}
}

// keep adds the record that began at from and ends where the decoder is.
func (s *scan) keep(from int64, db int) {
	to := s.dec.Offset()
	if n := len(s.pieces); n > 0 && s.pieces[n-1].to == from && s.pieces[n-1].db == db {
		s.pieces[n-1].to = to
		return
	}
	s.pieces = append(s.pieces, piece{from, to, db})
}

// key keeps a key, unless the file had it before.
func (s *scan) key(ev *rdb.Event) error {
	if s.drop && refused(ev.Type) {
		s.dropped++
		return nil
	}
	if ev.ExpireAtMs == 0 || ev.ExpireAtMs > s.now {
		twice, err := s.unique.add(ev, s.dec.Version())
		if err != nil {
			return err
		}
		if twice {
			s.duplicates++
			return nil
		}
	}
	c := s.counts[ev.DB]
	if c == nil {
		c = &DatabaseCounts{DB: ev.DB}
		s.counts[ev.DB] = c
	}
	c.add(ev, s.now)
	s.longest = max(s.longest, len(ev.Key))
	s.keep(ev.Start, ev.DB)
	return nil
}

// goOn reads on behind damage, where the decoder is, if it can tell where.
func (s *scan) goOn(ctx context.Context, place *rdb.Place) error {
	from := place.Start
	for {
		at, ok, err := s.resync(ctx, from)
		if err != nil {
			return err
		}
		if !ok {
			s.lose(from, s.size)
			return nil
		}
		sure, err := s.sameDB(ctx, from, at)
		if err != nil {
			return err
		}
		s.lose(from, at)
		s.homeless = !sure
		s.dec = rdb.NewDecoder(nil, scanOptions)
		s.dec.Resume(io.NewSectionReader(s.src, at, s.size-at), s.version, s.db, at)
		err = s.read(ctx)
		from = s.dec.Place().Start
		if err == nil && s.trailing == 0 {
			if s.homeless {
				s.lose(at, s.size)
			}
			return nil
		}
		if err != nil && !s.isDamage(err) {
			return err
		}
		if s.homeless {
			s.lose(at, from)
		}
		s.trailing = 0 // an end with something behind it is none
	}
}

// lose notes that a part of the file is not kept.
func (s *scan) lose(from, to int64) {
	if n := len(s.lost); n > 0 && s.lost[n-1].To >= from {
		s.lost[n-1].To = max(s.lost[n-1].To, to)
		return
	}
	s.lost = append(s.lost, LostRange{from, to})
}

// sameDB reports whether the keys behind damage from … to are certainly in the
// database of those before it: a server selects another one when it has written
// all keys of this one (Redis), or many times in a file (kvd). So there must be more
// keys to come than can have been in the damaged part, and no other database
// anywhere.
func (s *scan) sameDB(ctx context.Context, from, to int64) (bool, error) {
	for db := range s.selected {
		if db != s.db {
			return false, nil
		}
	}
	c := s.counts[s.db]
	if c == nil || uint64(c.Keys+s.duplicates)+uint64(to-from)/minRecord >= s.hints[s.db] {
		return false, nil
	}
	dec := rdb.NewDecoder(nil, rdb.DecoderOptions{Values: rdb.PassValues, AllTypes: true})
	dec.Resume(io.NewSectionReader(s.src, to, s.size-to), s.version, s.db, to)
	var ev rdb.Event
	for n := 0; ; n++ {
		if n%keysPerLook == 0 {
			if err := context.Cause(ctx); err != nil {
				return false, err
			}
		}
		err := dec.Next(&ev)
		switch {
		case err != nil && !s.isDamage(err):
			return false, err
		case err != nil || ev.DB != s.db:
			return false, nil
		case ev.Kind == rdb.KindEOF:
			return dec.Offset() == s.size, nil
		}
	}
}

// databases returns the counts in ascending order.
func (s *scan) databases() []DatabaseCounts {
	var list []DatabaseCounts
	for _, c := range s.counts {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b DatabaseCounts) int { return a.DB - b.DB })
	return list
}
