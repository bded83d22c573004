package kv

import (
	"bytes"
	"encoding/binary"
	"math"

	"kvd/kv/internal/cut"
	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// ZaddFlags are conditions for Zset.Add.
type ZaddFlags uint8

// The conditions.
const (
	ZaddNX   ZaddFlags = 1 << iota // only new members
	ZaddXX                         // only members that are there
	ZaddGT                         // only to greater scores; new members are added
	ZaddLT                         // only to smaller scores; new members are added
	ZaddIncr                       // the score is added to the present one
)

// ZaddResult is what Zset.Add has done.
type ZaddResult uint8

// The results.
const (
	ZaddNone    ZaddResult = iota // the condition did not hold
	ZaddSame                      // the member has that score
	ZaddAdded                     // it is new
	ZaddUpdated                   // its score has changed
)

// Add gives a member a score, if the conditions hold, and returns its score then. It returns
// ErrNotANumber or ErrNoMemory, and then has changed nothing. member is copied.
func (z *Zset) Add(member []byte, score float64, how ZaddFlags) (newScore float64, res ZaddResult, err error) {
	if score != score {
		return 0, ZaddNone, ErrNotANumber
	}
	cur, found, at := 0.0, false, -1
	if z.c.isTree() {
		cur, found = z.Score(member)
	} else if b := z.block(); b != nil {
		if at = packed.Find(b, packed.First(b), member, 1); at >= 0 {
			cur, found = scoreAt(b, packed.Next(b, at)), true
		}
	}
	if found && how&ZaddNX != 0 || !found && how&ZaddXX != 0 {
		return cur, ZaddNone, nil
	}
	if found {
		if how&ZaddIncr != 0 {
			if score += cur; score != score {
				return 0, ZaddNone, ErrNotANumber
			}
		}
		switch {
		case how&ZaddLT != 0 && score >= cur || how&ZaddGT != 0 && score <= cur:
			return cur, ZaddNone, nil
		case score == cur:
			return score, ZaddSame, nil
		}
	}
	if res = ZaddAdded; found {
		res = ZaddUpdated
	}
	if !z.c.isTree() {
		if found || z.fits(member) {
			z.edit()
			if found {
				z.work = packed.Delete(z.work, at, 2)
			}
			z.text = appendScore(z.text[:0], score)
			z.work = insertPacked(z.work, member, z.text, score)
			return score, res, nil
		}
		if err = z.grow(); err != nil {
			return 0, ZaddNone, err
		}
	}
	return score, res, z.putTrees(member, score, cur, found)
}

// maxListpack is the size, in bytes, to which Redis lets a listpack grow.
const maxListpack = 1 << 30

// fits tells whether a new member may be added to the block.
func (z *Zset) fits(member []byte) bool {
	l := z.c.tx.s.Limits()
	return z.Len()+1 <= l.ZsetEntries && int64(len(member)) <= l.ZsetValue && len(z.block())+len(member) <= maxListpack
}

// edit prepares z.work for changes.
func (z *Zset) edit() {
	if z.work != nil {
		return
	}
	z.changed = true
	if b := z.block(); b != nil {
		z.work = append(z.c.tx.scratch(), b...)
	} else {
		z.work = packed.AppendNew(z.c.tx.scratch())
	}
}

// insertPacked inserts an element where it belongs; text is that of the score.
func insertPacked(b, member, text []byte, score float64) []byte {
	at := packed.First(b)
	var digits [20]byte
	for at >= 0 {
		next := packed.Next(b, at)
		f := scoreAt(b, next)
		if f > score {
			break
		}
		if f == score {
			v := packed.Get(b, at)
			other := v.Text
			if v.IsInt {
				other = v.Append(digits[:0])
			}
			if bytes.Compare(other, member) > 0 {
				break
			}
		}
		at = packed.Next(b, next)
	}
	if at < 0 {
		return packed.Append(packed.Append(b, member), text)
	}
	b = packed.Insert(b, at, text)
	return packed.Insert(b, at, member)
}

// grow turns the block, or nothing, into trees, which are not saved yet. After an error the
// set is what it was when it was opened.
func (z *Zset) grow() error {
	block := bytes.Clone(z.block()) // it goes, wherever it lies
	z.endWork()
	z.changed = false
	z.c.startTrees()
	err := z.fill(listOfBlock(block), false)
	if err != nil {
		z.c.freeTrees()
		return err
	}
	if err = z.c.becomeTrees(EncTree); err == nil {
		z.changed = true
	}
	return err
}

// putTrees gives a member a score; found: it has the score cur.
func (z *Zset) putTrees(member []byte, score, cur float64, found bool) error {
	s := z.c.tx.s
	names, scores := z.c.tree(byMember), z.c.tree(byScore)
	key := append(appendScoreKey(z.c.tx.scratch(), score), member...)
	n := len(key)
	if found {
		key = append(appendScoreKey(key, cur), member...)
	}
	old := len(key)
	key = s.appendHashKey(key, member)
	z.changed = true // even if it fails: its nodes may lie elsewhere then
	if _, err := scores.Put(key[:n], nil, minusZero(score)); err != nil {
		z.c.tx.keep(key)
		return storeError(err)
	}
	var value [8]byte
	binary.LittleEndian.PutUint64(value[:], math.Float64bits(score))
	_, err := names.Put(key[old:], value[:], false)
	undo := key[:n]
	if err == nil && found {
		if _, err = scores.Delete(key[n:old]); err != nil {
			binary.LittleEndian.PutUint64(value[:], math.Float64bits(cur))
			_, e := names.Put(key[old:], value[:], false)
			z.c.tx.must(e) // the path has just been written to
		}
	}
	if err != nil {
		_, e := scores.Delete(undo)
		z.c.tx.must(e)
	}
	z.c.tx.keep(key)
	return storeError(err)
}

// Remove removes a member; false if there is none. The error is ErrNoMemory.
func (z *Zset) Remove(member []byte) (bool, error) {
	if !z.c.isTree() {
		b := z.block()
		if b == nil {
			return false, nil
		}
		at := packed.Find(b, packed.First(b), member, 1)
		if at < 0 {
			return false, nil
		}
		z.edit()
		z.work = packed.Delete(z.work, at, 2)
		return true, nil
	}
	score, ok := z.Score(member)
	if !ok {
		return false, nil
	}
	err := z.removeRecords(member, score)
	return err == nil, err
}

// removeRecords removes a member with that score from both trees, or from none.
func (z *Zset) removeRecords(member []byte, score float64) error {
	z.changed = true // even if it fails: the nodes may lie elsewhere then
	key := append(appendScoreKey(z.c.tx.scratch(), score), member...)
	n := len(key)
	key = z.c.tx.s.appendHashKey(key, key[scoreKeySize:n])
	var err error
	if z.c.copies() {
		var value [8]byte
		binary.LittleEndian.PutUint64(value[:], math.Float64bits(score))
		_, err = z.c.tree(byMember).Put(key[n:], value[:], false)
	}
	if err == nil {
		_, err = z.c.tree(byScore).Delete(key[:n])
	}
	if err == nil {
		_, e := z.c.tree(byMember).Delete(key[n:])
		z.c.tx.must(e)
	}
	z.c.tx.keep(key)
	return storeError(err)
}

// removeFromTrees removes n elements from a rank on, but not all. They go one by one, so that
// little must be undone where there is no memory; many go at once, unless a cut is
// live, during which every change takes memory.
func (z *Zset) removeFromTrees(from, n int64) (err error) {
	const few = 1000
	z.changed = true
	scores := z.c.tree(byScore)
	if n > few && z.c.sh.guard.Mode == cut.None && (z.c.big == nil || z.c.big.guard.Mode == cut.None) {
		return z.removeAtOnce(from, n)
	}
	var e ZsetElement
	for ; n > 0 && err == nil; n-- {
		rec, ok := scores.At(from)
		if !ok {
			break
		}
		elementOf(&e, &rec)
		err = z.removeRecords(e.Member, e.Score)
	}
	return err
}

// removeAtOnce removes n elements from a rank on, and whole nodes of byScore at a time.
func (z *Zset) removeAtOnce(from, n int64) (err error) {
	scores, names := z.c.tree(byScore), z.c.tree(byMember)
	var rec tree.Record
	gone := int64(0)
	key := z.c.tx.scratch()
	for c := scores.FromAt(from); gone < n && c.Next(&rec); gone++ {
		key = z.c.tx.s.appendHashKey(key[:0], rec.Key[scoreKeySize:])
		if _, err = names.Delete(key); err != nil {
			break
		}
	}
	if e := scores.DeleteRange(from, gone); e != nil { // it builds new nodes, one deletion does not
		for ; gone > 0; gone-- {
			rec, _ = scores.At(from)
			key = append(key[:0], rec.Key...)
			_, e = scores.Delete(key)
			z.c.tx.must(e)
		}
	}
	z.c.tx.keep(key)
	return storeError(err)
}

// endWork gives up z.work.
func (z *Zset) endWork() {
	if z.work != nil {
		z.c.tx.keep(z.work)
		z.work = nil
	}
}

// Save ends changes: what was changed since OpenZset counts as that many changes, and the key is
// deleted if no member is left. Without changes it does nothing. The error is
// ErrNoMemory: a set in one block then is as it was.
func (z *Zset) Save(changes int64) (err error) {
	if !z.changed {
		return nil
	}
	z.changed = false
	switch empty := z.Len() == 0; {
	case z.gone || z.work != nil && empty:
		z.gone = false
		z.c.remove()
	case z.work != nil:
		err = z.c.setPacked(EncListpack, z.work)
	default:
		if err = z.c.save(); empty && err == nil {
			z.c.remove()
			changes--
		}
	}
	z.endWork()
	if err == nil {
		z.c.tx.MarkChanged(changes - 1)
	}
	return err
}
