package keyspace

import (
	"errors"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

var errTooDeep = errors.New("keyspace: too many keys share a hash prefix")

func (t *Table) newSegment(size int, depth uint8) (seg, error) {
	ref, err := t.allocIndex(size)
	if err != nil {
		return seg{}, err
	}
	s := segmentAt(t.a, ref)
	n := (size - headerSize) / 8
	*s.segment = segment{slots: uint16(n), homes: uint16(n - overflow(n)), depth: depth}
	clear(s.table())
	return s, nil
}

// allocIndex returns a block for a segment or a directory. If writers copy the
// index beside a forked child, it lies apart as new entries do.
func (t *Table) allocIndex(size int) (arena.Ref, error) {
	if t.guard.Mode == cut.ForkedPathCopy && size <= arena.MaxSmall {
		if ref, err := t.index.AllocApart(size); err == nil {
			return ref, nil
		}
	}
	return t.index.Alloc(size)
}

// dupIndex copies the block at ref, access clocks included.
func (t *Table) dupIndex(ref arena.Ref, size int) (arena.Ref, error) {
	to, err := t.allocIndex(size)
	if err == nil {
		copy(t.a.Bytes(to, size), t.a.Bytes(ref, size))
		copy(t.a.Side(to, size), t.a.Side(ref, size))
	}
	return to, err
}

// create makes the directory with one small segment.
func (t *Table) create(now uint32) error {
	return t.createFor(0, now)
}

// Reserve prepares an empty table for n keys, so that filling it splits
// nothing. It does nothing if the table has keys.
func (t *Table) Reserve(n int64, now uint32) error {
	if t.dir != 0 {
		return nil
	}
	return t.createFor(n, now)
}

// reserveFill is how many keys per segment Reserve plans with: a little under
// the limit of the largest segment, since hashes do not spread evenly.
const reserveFill = 820

func (t *Table) createFor(n int64, now uint32) error {
	depth := uint8(0)
	for n>>depth > reserveFill && depth < maxDepth/2 {
		depth++
	}
	dir, err := t.allocIndex(8 << depth)
	if err != nil {
		return err
	}
	words := t.a.Words(dir, 1<<depth)
	for i := range words {
		s, err := t.newSegment(sizeFor(int(n>>depth)), depth)
		if err != nil {
			for _, ref := range words[:i] {
				t.index.Free(arena.Ref(ref))
			}
			t.index.Free(dir)
			return err
		}
		t.initClock(s, now)
		words[i] = uint64(s.ref)
	}
	t.dir, t.depth, t.deep = dir, depth, len(words)
	return nil
}

// writable returns the segment s of pos, or a copy of it if the live cut can
// reach s and the kernel does not do the copying.
func (t *Table) writable(pos uint64, s seg) (seg, error) {
	if !t.guard.Fixed(t.a, s.ref) {
		return s, nil
	}
	ref, err := t.dupIndex(s.ref, s.bytes())
	if err != nil {
		return s, err
	}
	if err := t.link(pos, s.depth, ref); err != nil {
		t.index.Free(ref)
		return s, err
	}
	t.guard.Retire(t.index, s.ref)
	return segmentAt(t.a, ref), nil
}

// writableDir returns the directory for writing.
func (t *Table) writableDir() ([]uint64, error) {
	if !t.guard.Fixed(t.a, t.dir) {
		return t.dirWords(), nil
	}
	ref, err := t.dupIndex(t.dir, 8<<t.depth)
	if err != nil {
		return nil, err
	}
	t.guard.Retire(t.index, t.dir)
	t.dir = ref
	return t.dirWords(), nil
}

// link makes every directory entry of the segment of pos with that depth refer
// to ref.
func (t *Table) link(pos uint64, depth uint8, ref arena.Ref) error {
	dir, err := t.writableDir()
	if err != nil {
		return err
	}
	n := uint64(1) << (t.depth - depth)
	from := dirIndex(pos, t.depth) &^ (n - 1)
	for i := range dir[from : from+n] {
		dir[from+uint64(i)] = uint64(ref)
	}
	return nil
}

// grow makes room in the full segment s of pos: a larger one or two of them.
func (t *Table) grow(pos uint64, s seg) error {
	for size := s.bytes() + stepSize; size <= maxSegment; size += stepSize {
		if ok, err := t.resize(pos, s, size); ok || err != nil {
			return err
		}
	}
	return t.split(pos, s)
}

// resize replaces s by a segment of another size. It returns false if the keys
// do not fit. No key is read: the tags tell the order.
func (t *Table) resize(pos uint64, s seg, size int) (bool, error) {
	n, err := t.newSegment(size, s.depth)
	if err != nil {
		return false, err
	}
	copy(t.clockBase(n), t.clockBase(s))
	if !n.fill(t, s, 0, 0) {
		t.index.Free(n.ref)
		return false, nil
	}
	if err := t.link(pos, s.depth, n.ref); err != nil {
		t.index.Free(n.ref)
		return false, err
	}
	t.guard.Retire(t.index, s.ref)
	return true, nil
}

// fill appends the slots of from to n, whose slots so far all have smaller
// tags. Each tag is shifted right and high is set in it, as a merge needs it.
func (n seg) fill(t *Table, from seg, shift uint, high uint64) bool {
	dst, clk := n.table(), n.clocks(t.a)
	srcClk := from.clocks(t.a)
	next := 0
	for i := len(dst); i > 0 && n.count > 0; i-- {
		if dst[i-1] != 0 {
			next = i
			break
		}
	}
	for i, slot := range from.table() {
		if slot == 0 {
			continue
		}
		tag := slotTag(slot)>>shift | high
		at := max(home(tag, n.homes), next)
		if at >= len(dst) {
			return false
		}
		dst[at] = slot&^tagMask | tag<<1
		clk[at] = srcClk[i]
		next = at + 1
	}
	n.count += from.count
	n.expires += from.expires
	n.noteExpiry(from.expireAt)
	return true
}

// split replaces s by two segments of one more bit of depth.
func (t *Table) split(pos uint64, s seg) error {
	if s.depth == maxDepth {
		return errTooDeep
	}
	if s.depth == t.depth {
		if err := t.double(); err != nil {
			return err
		}
	}
	tab := s.table()
	var count [2]int
	for _, slot := range tab {
		if slot != 0 {
			count[slotTag(slot)>>(tagBits-1)]++
		}
	}
	half, err := t.halves(s, count)
	if err != nil {
		return err
	}
	// Both links or none: the directory is writable after the first.
	from := pos &^ (uint64(1)<<(64-s.depth) - 1)
	if err := t.link(from, s.depth+1, half[0].ref); err != nil {
		t.index.Free(half[0].ref)
		t.index.Free(half[1].ref)
		return err
	}
	if err := t.link(from|1<<(63-s.depth), s.depth+1, half[1].ref); err != nil {
		panic("keyspace: directory is not writable")
	}
	if s.depth+1 == t.depth {
		t.deep += 2
	}
	t.guard.Retire(t.index, s.ref)
	return nil
}

// halves makes the two segments that s splits into, with so many keys each.
func (t *Table) halves(s seg, count [2]int) (half [2]seg, err error) {
	size := [2]int{sizeFor(count[0]), sizeFor(count[1])}
	for {
		for b := range half {
			if half[b], err = t.newSegment(size[b], s.depth+1); err != nil {
				if b == 1 {
					t.index.Free(half[0].ref)
				}
				return half, err
			}
			copy(t.clockBase(half[b]), t.clockBase(s))
		}
		if t.distribute(s, &half) {
			return half, nil
		}
		// An uneven spread overflowed the end of a segment.
		for b := range half {
			t.index.Free(half[b].ref)
			size[b] += stepSize
		}
		if max(size[0], size[1]) > 2*maxSegment {
			return half, errTooDeep
		}
	}
}

// distribute puts the slots of s into its two halves with new tags; false if
// they do not fit. The new low bit of a tag is not in the old one, so every
// key is read and hashed.
func (t *Table) distribute(s seg, half *[2]seg) bool {
	clk := s.clocks(t.a)
	tab := s.table()
	// Let the memory system fetch the entries side by side before they are
	// needed one after the other. The sum keeps the compiler from dropping
	// the reads.
	for _, slot := range tab {
		if slot != 0 {
			t.fetched ^= t.a.Byte(slotRef(slot), 0)
		}
	}
	for i, slot := range tab {
		if slot == 0 {
			continue
		}
		b := slotTag(slot) >> (tagBits - 1)
		var e Entry
		readEntry(t.a, slotRef(slot), &e)
		tag := tagOf(t.hasher.Hash(e.Key), s.depth+1)
		h := half[b]
		if !h.insert(h.table(), h.clocks(t.a), makeSlot(slotRef(slot), tag, slot&ttlBit != 0), clk[i]) {
			return false
		}
		if slot&ttlBit != 0 {
			h.expires++
			h.noteExpiry(e.ExpireAt)
		}
	}
	return true
}

// double makes the directory one bit deeper.
func (t *Table) double() error {
	ref, err := t.allocIndex(16 << t.depth)
	if err != nil {
		return err
	}
	old := t.dirWords()
	words := t.a.Words(ref, 2<<t.depth)
	for i, s := range old {
		words[2*i], words[2*i+1] = s, s
	}
	t.guard.Retire(t.index, t.dir)
	t.dir = ref
	t.depth++
	t.deep = 0
	return nil
}

// shrink gives memory back after a deletion in s, the segment of pos. While a
// cut is live nothing is rearranged.
func (t *Table) shrink(pos uint64, s seg) {
	if t.guard.Mode != cut.None {
		return
	}
	if t.count == 0 && !t.guard.Pending() {
		t.Clear()
		return
	}
	if int(s.count)*2 > limit(int(s.homes)) || s.bytes() == stepSize && s.depth == 0 {
		return
	}
	if s.depth > 0 && t.merge(pos, s) {
		return
	}
	if size := sizeFor(int(s.count) * 5 / 4); size < s.bytes() {
		// Failing leaves a segment that is larger than it need be.
		_, _ = t.resize(pos, s, size)
	}
}

// merge joins s with the other half of the segment that it once was part of, if
// both are small.
func (t *Table) merge(pos uint64, s seg) bool {
	bit := uint64(1) << (64 - s.depth)
	other := t.segmentFor(pos ^ bit)
	total := int(s.count) + int(other.count)
	if other.depth != s.depth || sizeFor(total*5/4) > maxSegment/2 {
		return false
	}
	low, high := s, other
	if pos&bit != 0 {
		low, high = other, s
	}
	n, err := t.newSegment(sizeFor(total*5/4), s.depth-1)
	if err != nil {
		return false
	}
	now := max(t.newestUse(low), t.newestUse(high))
	t.rebase(low, now)
	t.rebase(high, now)
	t.initClock(n, now)
	if !n.fill(t, low, 1, 0) || !n.fill(t, high, 1, 1<<(tagBits-1)) {
		t.index.Free(n.ref)
		return false
	}
	if err := t.link(pos&^bit, s.depth-1, n.ref); err != nil {
		t.index.Free(n.ref)
		return false
	}
	if s.depth == t.depth {
		t.deep -= 2
	}
	t.guard.Retire(t.index, low.ref)
	t.guard.Retire(t.index, high.ref)
	for t.deep == 0 && t.depth > 0 {
		if !t.halve() {
			break
		}
	}
	return true
}

// halve makes the directory one bit less deep, no segment needing the bit.
func (t *Table) halve() bool {
	ref, err := t.allocIndex(8 << (t.depth - 1))
	if err != nil {
		return false
	}
	old := t.dirWords()
	words := t.a.Words(ref, 1<<(t.depth-1))
	for i := range words {
		words[i] = old[2*i]
	}
	t.guard.Retire(t.index, t.dir)
	t.dir = ref
	t.depth--
	var last uint64
	for _, w := range words {
		if w != last && segmentAt(t.a, arena.Ref(w)).depth == t.depth {
			t.deep++
		}
		last = w
	}
	return true
}
