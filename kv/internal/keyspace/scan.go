package keyspace

// Scan visits the entries of the table in hash order from position from on (a
// hash without the shard's bits, left-aligned) until at least budget slots have
// been looked at, always to the end of the keys that share a tag. It returns
// the position to go on from; done says that nothing is left. A key that is in
// the table during a whole sequence of calls is visited exactly once.
// fn may not change the table.
func (t *Table) Scan(from uint64, budget int, fn func(e *Entry)) (next uint64, done bool) {
	if t.dir == 0 {
		return 0, true
	}
	var e Entry
	for pos := from; ; {
		s := t.segmentFor(pos)
		tab := s.table()
		prefix := pos &^ (uint64(1)<<(64-s.depth) - 1)
		begin, last := tagOf(pos, s.depth), ^uint64(0)
		for i := s.first(tab, begin); i < len(tab); i++ {
			slot := tab[i]
			if slot == 0 {
				continue
			}
			if tag := slotTag(slot); tag != last {
				if budget <= 0 {
					return prefix | tag<<(64-tagBits-s.depth), false
				}
				last = tag
			}
			budget--
			if t.isHidden(slotRef(slot)) {
				continue
			}
			readEntry(t.a, slotRef(slot), &e)
			if last == begin && t.hasher.Hash(e.Key) < pos {
				continue // visited when a segment that has since been merged told it from pos
			}
			fn(&e)
		}
		pos = prefix + uint64(1)<<(64-s.depth)
		if pos <= prefix { // past the end, or depth 0
			return 0, true
		}
		if budget--; budget <= 0 { // an empty segment is work too
			return pos, false
		}
	}
}

// randomTries is how often Random guesses before it searches.
const randomTries = 256

// Random returns a random entry of a table that is not empty; rnd returns
// random numbers. Every segment holds an equal share of the hashes and is
// picked by it, so keys are about equally likely, but in a table that is
// nearly empty and has not shrunk: there it is the first one from a random
// place on.
func (t *Table) Random(rnd func() uint64, e *Entry) {
	for range randomTries {
		s := t.segmentFor(rnd())
		tab := s.table()
		if slot := tab[rnd()%uint64(len(tab))]; slot != 0 && !t.isHidden(slotRef(slot)) {
			readEntry(t.a, slotRef(slot), e)
			return
		}
	}
	for pos := rnd(); ; {
		s := t.segmentFor(pos)
		if s.count > 0 {
			for i, tab := s.first(s.table(), tagOf(pos, s.depth)), s.table(); i < len(tab); i++ {
				if tab[i] != 0 && !t.isHidden(slotRef(tab[i])) {
					readEntry(t.a, slotRef(tab[i]), e)
					return
				}
			}
		}
		width := uint64(1) << (64 - s.depth) // 0 at depth 0: round to its beginning
		pos = pos&^(width-1) + width
	}
}

// Sweep is the state of the search for expired keys in one table.
type Sweep struct {
	pos    uint64
	TTLs   int64 // remaining time of the live keys seen, summed, milliseconds
	Seen   int64 // live keys with an expiry that were looked at
	Looked int64 // keys with an expiry that were looked at
	// Enough is for the function that Expire calls: if that sets it, the key that it was told
	// is the last one that this call deletes, and the next call goes on in the same segment.
	Enough bool
}

// Expire looks at the next segment of the table and deletes the keys in it that
// expired at or before now (Unix milliseconds); fn is told each before. It
// skips a segment in which nothing can have expired. wrapped says that the
// sweep has come round. An error, for want of memory while a cut is live, says only that the segment
// will be looked at again in vain.
func (t *Table) Expire(sw *Sweep, now int64, fn func(e *Entry)) (expired int, wrapped bool, err error) {
	if t.expires == 0 || t.dir == 0 {
		sw.pos = 0
		return 0, true, nil
	}
	sw.Enough = false
	s := t.segmentFor(sw.pos)
	prefix := sw.pos &^ (uint64(1)<<(64-s.depth) - 1)
	next := prefix + uint64(1)<<(64-s.depth)
	if s.expires > 0 && s.expireAt != 0 && s.expireAt <= now {
		expired, err = t.expireSegment(sw, prefix, s, now, fn)
		if sw.Enough {
			return expired, false, nil
		}
	}
	sw.pos = next
	return expired, next <= prefix, err
}

func (t *Table) expireSegment(sw *Sweep, pos uint64, s seg, now int64, fn func(e *Entry)) (expired int, err error) {
	var e Entry
	first := int64(0)
	// Backwards: a removal moves only slots that were looked at already.
	for i := int(s.slots) - 1; i >= 0; i-- {
		slot := s.table()[i]
		if slot&ttlBit == 0 || t.isHidden(slotRef(slot)) {
			continue
		}
		readEntry(t.a, slotRef(slot), &e)
		sw.Looked++
		if e.ExpireAt > now {
			sw.Seen++
			sw.TTLs += e.ExpireAt - now
			if first == 0 || e.ExpireAt < first {
				first = e.ExpireAt
			}
			continue
		}
		fn(&e)
		if s, err = t.removeAt(pos, s, i, false); err != nil {
			t.Hide(Pos{s, i, slotRef(slot)}, false)
		}
		expired++
		if sw.Enough { // the segment's bound stays as it is, which is too early at worst
			t.shrink(pos, s)
			return expired, nil
		}
	}
	if s, err = t.writable(pos, s); err != nil {
		return expired, err
	}
	s.expireAt = first
	t.shrink(pos, s)
	return expired, nil
}
