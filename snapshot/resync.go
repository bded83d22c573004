package snapshot

import (
	"context"
	"io"

	"kvd/snapshot/rdb"
)

// Behind damage it is not known where the next record begins. A file has no marks
// for that, but it has chains: where a record begins, the next one begins behind its
// end. So every offset behind the damage is tried as a start. Most chains break soon,
// since what stands where a record should begin is none:
//
//	damage ######
//	       ......x                    breaks
//	       ..........[rec][rec][rec]  the right one
//	       ...........x
//	       .......[rec   ][rec][rec]  wrong, and becomes the right one
//
// A chain that does not break and is not the right one soon becomes it, since from a
// right offset on all is right. The place where to go on is one that a chain has
// reached after resyncRun records, and at which no other chain goes on beside it. The
// records of this run are given up for the sake of certainty: where so many follow
// each other, they are the right ones. A collection of many elements is as good as a run, and where a
// chain comes to the end of the file, a short one will do. What begins inside the records of a chain that
// has its run is no start: among small keys there would always be some that are on their way. Records are judged strictly: only types that
// the file had before or that its version is written with, no empty keys (or zeros would be records)
// nor long ones (what lies in a large value would be taken for many), nothing empty, an end only where the
// file ends.
const (
	resyncRun   = 16
	resyncEnd   = 3
	resyncHeavy = 256 // elements
	resyncKey   = 512 // bytes, unless the file had longer ones before
	// resyncWindow is how many offsets are tried at a time. The right chain may begin behind
	// them, where a larger value is damaged, say; then wrong ones must become it, or the next
	// are tried.
	resyncWindow = 1 << 20
	// resyncSteps bounds how far chains are followed behind the window, in records.
	resyncSteps = 1 << 20
	// resyncString is the longest string in a chain, in bytes: a wrong length should not
	// cost a reading of half the file.
	resyncString = 64 << 20
)

// resync returns where to go on behind damage in the record at from. ok is false if
// nothing is certain.
func (s *scan) resync(ctx context.Context, from int64) (at int64, ok bool, err error) {
	c := chains{s: s, ctx: ctx, dec: rdb.NewDecoder(nil, rdb.DecoderOptions{Values: rdb.CheckValues, AllTypes: true,
		BufferSize: 4 << 10, MaxString: resyncString})}
	for from++; from < s.size && !ok && err == nil; from += resyncWindow {
		at, ok, err = c.within(from, min(from+resyncWindow, s.size))
	}
	return at, ok, err
}

// within tries the offsets from … to.
func (c *chains) within(from, to int64) (at int64, ok bool, err error) {
	window := make([]byte, min(to+resyncWindow, c.s.size)-from)
	if _, err := io.ReadFull(io.NewSectionReader(c.s.src, from, int64(len(window))), window); err != nil {
		return 0, false, err
	}
	c.src = windowReader{c.s.src, window, from}
	return c.find(from, to)
}

// windowReader is a file a part of which is in memory.
type windowReader struct {
	src io.ReaderAt
	buf []byte
	at  int64
}

// ReadAt implements io.ReaderAt.
func (w windowReader) ReadAt(p []byte, off int64) (int, error) {
	if i := off - w.at; i >= 0 && i+int64(len(p)) <= int64(len(w.buf)) {
		return copy(p, w.buf[i:]), nil
	}
	return w.src.ReadAt(p, off)
}

// chains is one search.
type chains struct {
	s   *scan
	ctx context.Context
	src windowReader
	dec *rdb.Decoder
	err error // of reading

	// heavy has the offsets of records that are as good as a run, and late is where the only chain
	// there is has a short run behind it; 0: nowhere.
	heavy map[int64]bool
	late  int64
}

// dead is where a chain that breaks goes.
const dead = -1

// find tries the offsets from … to.
func (c *chains) find(from, to int64) (at int64, ok bool, err error) {
	c.heavy, c.late = map[int64]bool{}, 0
	next := make([]int64, max(to-from, 0)) // by offset: where its record ends, if its chain gets out of the window
	for i := len(next) - 1; i >= 0; i-- {
		next[i] = c.step(from + int64(i))
		if n := next[i] - from; n >= 0 && n < int64(len(next)) && next[n] == dead {
			next[i] = dead
		}
		if i%keysPerLook == 0 && c.err == nil {
			c.err = context.Cause(c.ctx)
		}
		if c.err != nil {
			return 0, false, c.err
		}
	}
	ends := map[int64]int{} // where the chains are now, and how many records they have, at most
	pass := func(at, to int64) (certain bool) {
		run := ends[at]
		delete(ends, at)
		alone := len(ends) == 0 && to != dead
		switch {
		case !alone:
			c.late = 0
		case run >= resyncEnd && c.late == 0:
			c.late = at
		}
		if to != dead {
			ends[to] = max(ends[to], run+1)
		}
		return alone && (run >= resyncRun || c.heavy[at])
	}
	for i := range next {
		at := from + int64(i)
		_, reached := ends[at]
		if !reached && (next[i] == dead || most(ends) >= resyncRun) {
			continue // it begins inside a record of a chain that has proved itself
		}
		if pass(at, next[i]) {
			return at, true, nil
		}
	}
	for range resyncSteps {
		at, ok := least(ends)
		if !ok || at >= c.s.size {
			return c.late, ok && c.late != 0, nil
		}
		certain := pass(at, c.step(at))
		if c.err == nil {
			c.err = context.Cause(c.ctx)
		}
		if c.err != nil || certain {
			return at, c.err == nil, c.err
		}
	}
	return 0, false, nil
}

// most returns the most records that a chain has.
func most(ends map[int64]int) (run int) {
	for _, n := range ends {
		run = max(run, n)
	}
	return run
}

// least returns the smallest of the offsets.
func least(set map[int64]int) (at int64, ok bool) {
	for x := range set {
		if !ok || x < at {
			at, ok = x, true
		}
	}
	return at, ok
}

// step returns where the record at offset at ends, dead if there is none. An end of
// file is one if it is the end of the file.
func (c *chains) step(at int64) int64 {
	if at >= c.s.size {
		return dead
	}
	if i := at - c.src.at; i < int64(len(c.src.buf)) && !c.mayBegin(c.src.buf[i]) {
		return dead
	}
	c.dec.Resume(io.NewSectionReader(c.src, at, c.s.size-at), c.s.version, 0, at)
	var ev rdb.Event
	err := c.dec.Next(&ev)
	if err == nil && ev.Kind == rdb.KindSelectDB && c.s.version >= resizeVersion {
		// RESIZEDB stands behind SELECTDB only.
		end := c.dec.Offset()
		if err = c.dec.Next(&ev); err != nil || ev.Kind != rdb.KindResizeDB {
			c.note(err)
			return end
		}
		return c.dec.Offset()
	}
	if err != nil {
		c.note(err)
		return dead
	}
	switch ev.Kind {
	case rdb.KindKey:
		if len(ev.Key) == 0 || len(ev.Key) > max(resyncKey, c.s.longest) || ev.Empty || ev.ExpireAtMs >= 1<<53 || !c.seen(ev.Type) {
			return dead
		}
		if ev.Elements >= resyncHeavy && ev.Type.Class() != rdb.ClassStream {
			c.heavy[at] = true
		}
	case rdb.KindSelectDB:
		if ev.DB >= 1<<14 {
			return dead
		}
	case rdb.KindEOF:
		if c.dec.Offset() != c.s.size {
			return dead
		}
	default:
		return dead
	}
	return c.dec.Offset()
}

// note keeps an error that is not about the bytes.
func (c *chains) note(err error) {
	if err != nil && !c.s.isDamage(err) && c.err == nil {
		c.err = err
	}
}

// mayBegin reports whether a record can begin with this byte.
func (c *chains) mayBegin(b byte) bool {
	switch b {
	case rdb.OpSlotInfo, rdb.OpIdle, rdb.OpFreq, rdb.OpExpireTime, rdb.OpExpireTimeMs, rdb.OpSelectDB, rdb.OpEOF:
		return true
	}
	return c.seen(rdb.Type(b))
}

// seen reports whether a key of type t stands in front of the damage, or may stand behind it.
func (c *chains) seen(t rdb.Type) bool {
	if rdb.Written(t, c.s.version) {
		return true
	}
	for _, counts := range c.s.counts {
		for _, n := range counts.Types {
			if n.Type == t {
				return true
			}
		}
	}
	return t == rdb.TypeString
}
