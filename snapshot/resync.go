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
// each other, they are the right ones. Records are judged strictly: only types that the file had before,
// no empty keys (or zeros would be records), an end only where the file ends.
const (
	resyncRun = 16
	// resyncWindow is how many offsets are tried. The right chain may begin behind
	// them, within a larger value, say; then wrong ones must become it.
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
	end := min(from+resyncWindow, s.size)
	window := make([]byte, min(end+resyncWindow, s.size)-from)
	if _, err := io.ReadFull(io.NewSectionReader(s.src, from, int64(len(window))), window); err != nil {
		return 0, false, err
	}
	c := chains{s: s, ctx: ctx, src: windowReader{s.src, window, from},
		dec: rdb.NewDecoder(nil, rdb.DecoderOptions{Values: rdb.CheckValues, AllTypes: true, BufferSize: 4 << 10,
			MaxString: resyncString})}
	return c.find(from+1, end)
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
}

// dead is where a chain that breaks goes.
const dead = -1

// find tries the offsets from … to.
func (c *chains) find(from, to int64) (at int64, ok bool, err error) {
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
		certain = run >= resyncRun && len(ends) == 0 && to != dead
		if to != dead {
			ends[to] = max(ends[to], run+1)
		}
		return certain
	}
	for i := range next {
		at := from + int64(i)
		if _, reached := ends[at]; (reached || next[i] != dead) && pass(at, next[i]) {
			return at, true, nil
		}
	}
	for range resyncSteps {
		at, ok := least(ends)
		if !ok || at >= c.s.size {
			return 0, false, nil
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
		if len(ev.Key) == 0 || ev.ExpireAtMs >= 1<<53 || !c.seen(ev.Type) {
			return dead
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

// seen reports whether a key of type t stands in front of the damage.
func (c *chains) seen(t rdb.Type) bool {
	for _, counts := range c.s.counts {
		for _, n := range counts.Types {
			if n.Type == t {
				return true
			}
		}
	}
	return t == rdb.TypeString
}
