package command

import (
	"math"
	"slices"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// The commands that compute a set from others: SINTER, SUNION, SDIFF and what counts or
// stores their results.

// readSets opens all sets of keys for reading. missing is the number of those that do not
// exist. ok is false after an error.
func (x *Ctx) readSets(keys [][]byte) (sets []*kv.Set, missing int, ok bool) {
	opened := make([]kv.Set, len(keys))
	sets = make([]*kv.Set, len(keys))
	for i, key := range keys {
		sets[i] = &opened[i]
		if !x.readSet(sets[i], key) {
			return nil, 0, false
		}
		if !sets[i].Exists() {
			missing++
		}
	}
	return sets, missing, true
}

// eachText calls fn with the members of a set as text, borrowed until fn returns, as long
// as it returns true.
func (x *Ctx) eachText(s *kv.Set, fn func(member []byte) bool) {
	s.Each(func(v *packed.Value) bool {
		if !v.IsInt {
			return fn(v.Text)
		}
		x.Scratch = v.Append(x.Scratch[:0])
		return fn(x.Scratch)
	})
}

// Going through all members of sets side by side takes about as long as a quarter as many look-ups.
const (
	lookUpCost = 4
	mergeFrom  = 1000 // members in all, of the sets
	mergeSets  = 16
)

// mergePays tells whether it is less work to merge sets than to look so many members up.
func mergePays(sets []*kv.Set, lookUps int64) bool {
	total := int64(0)
	for _, s := range sets {
		total += s.Len()
	}
	return total >= mergeFrom && len(sets) <= mergeSets && lookUps > total/lookUpCost
}

// merge calls fn with the members of any of the sets, which are read side by side, until it returns false.
func merge(sets []*kv.Set, fn func(m *kv.Merger) bool) {
	var m kv.Merger
	for _, s := range sets {
		m.AddSet(s)
	}
	for m.Next() && fn(&m) {
	}
}

// eachCommon calls fn with the members that all sets have, which must exist.
func (x *Ctx) eachCommon(sets []*kv.Set, fn func(member []byte) bool) {
	slices.SortStableFunc(sets, func(a, b *kv.Set) int { return int(a.Len() - b.Len()) })
	if mergePays(sets, sets[0].Len()*int64(len(sets)-1)) {
		merge(sets, func(m *kv.Merger) bool {
			for i := range sets {
				if _, ok := m.Score(i); !ok {
					return true
				}
			}
			return fn(m.Member())
		})
		return
	}
	x.eachText(sets[0], func(m []byte) bool {
		for _, s := range sets[1:] {
			if !s.Has(m) {
				return true
			}
		}
		return fn(m)
	})
}

// eachInAny calls fn with the members that any of the sets has.
func (x *Ctx) eachInAny(sets []*kv.Set, fn func(member []byte) bool) (plain bool) {
	sets = slices.DeleteFunc(sets, func(s *kv.Set) bool { return !s.Exists() })
	if len(sets) == 1 {
		x.eachText(sets[0], fn)
		return false
	}
	if mergePays(sets, math.MaxInt64) {
		merge(sets, func(m *kv.Merger) bool { return fn(m.Member()) })
		return false
	}
	var seen kv.Members
	for _, s := range sets {
		x.eachText(s, func(m []byte) bool {
			if seen.Add(m) {
				fn(m)
			}
			return true
		})
	}
	return false
}

// eachFirstOnly calls fn with the members of the first set that no other has. Redis looks each of
// them up in the others, or else takes the members of these away, whichever is less work by its formula. plain tells that Redis has taken the members away from
// a copy of the first set that is no intset: the result is none either.
func (x *Ctx) eachFirstOnly(sets []*kv.Set, fn func(member []byte) bool) (plain bool) {
	first, others := sets[0], slices.DeleteFunc(sets[1:], func(s *kv.Set) bool { return !s.Exists() })
	if !first.Exists() {
		return false
	}
	total := first.Len()
	for _, s := range others {
		total += s.Len()
	}
	lookUps := first.Len()*int64(len(others)+1)/2 <= total
	if all := append([]*kv.Set{first}, others...); mergePays(all, first.Len()*int64(len(others))) {
		plain = !lookUps && first.Len() > x.Store.Limits().SetIntset
		merge(all, func(m *kv.Merger) bool { return x.onlyFirst(m, len(all), !lookUps, &plain, fn) })
		return plain
	}
	if lookUps {
		slices.SortStableFunc(others, func(a, b *kv.Set) int { return int(b.Len() - a.Len()) })
		x.eachText(first, func(m []byte) bool {
			for _, s := range others {
				if s.Has(m) {
					return true
				}
			}
			return fn(m)
		})
		return false
	}
	var out kv.Members
	for _, s := range others {
		x.eachText(s, func(m []byte) bool {
			out.Add(m)
			return true
		})
	}
	plain = first.Len() > x.Store.Limits().SetIntset
	x.eachText(first, func(m []byte) bool {
		_, isInt := resp.ParseInt(m)
		plain = plain || !isInt
		return out.Has(m) || fn(m)
	})
	return plain
}

// onlyFirst is eachFirstOnly for a member of any of n sets. With mark, one of the first set that is no
// integer makes plain true.
func (x *Ctx) onlyFirst(m *kv.Merger, n int, mark bool, plain *bool, fn func(member []byte) bool) (more bool) {
	if _, ok := m.Score(0); !ok {
		return true
	}
	member := m.Member()
	if mark && !*plain {
		_, isInt := resp.ParseInt(member)
		*plain = !isInt
	}
	for i := 1; i < n; i++ {
		if _, ok := m.Score(i); ok {
			return true
		}
	}
	return fn(member)
}

// replyMembers replies what op calls its argument with, as a set.
func (x *Ctx) replyMembers(op algebra, sets []*kv.Set) {
	at, n := len(x.Client.Out), 0
	op(x, sets, func(m []byte) bool {
		x.Bulk(m)
		n++
		return true
	})
	var head [24]byte
	x.insert(at, resp.AppendSet(head[:0], n, x.resp3()))
}

// storeMembers makes the command's first key the set of what op calls its argument
// with, and replies its size.
func (x *Ctx) storeMembers(op algebra, sets []*kv.Set) {
	var result kv.Members
	result.Plain = op(x, sets, func(m []byte) bool {
		result.Append(m)
		return true
	})
	if err := x.Tx.StoreSet(x.Client.db, x.Args[1], &result); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(int64(result.Len()))
}

// algebra is one of intersection, eachInAny and eachFirstOnly. plain tells that the set of
// the members is not to be an intset.
type algebra func(x *Ctx, sets []*kv.Set, fn func(member []byte) bool) (plain bool)

// combine replies the result of an operation on the sets of keys, or stores it.
func (x *Ctx) combine(op algebra, keys [][]byte, store bool) {
	sets, _, ok := x.readSets(keys)
	switch {
	case !ok:
	case store:
		x.storeMembers(op, sets)
	default:
		x.replyMembers(op, sets)
	}
}

// intersection is eachCommon for sets that may not exist.
func intersection(x *Ctx, sets []*kv.Set, fn func(member []byte) bool) (plain bool) {
	for _, s := range sets {
		if !s.Exists() {
			return false
		}
	}
	x.eachCommon(sets, fn)
	return false
}

func cmdSinter(x *Ctx)      { x.combine(intersection, x.Args[1:], false) }
func cmdSinterstore(x *Ctx) { x.combine(intersection, x.Args[2:], true) }
func cmdSunion(x *Ctx)      { x.combine((*Ctx).eachInAny, x.Args[1:], false) }
func cmdSunionstore(x *Ctx) { x.combine((*Ctx).eachInAny, x.Args[2:], true) }
func cmdSdiff(x *Ctx)       { x.combine((*Ctx).eachFirstOnly, x.Args[1:], false) }
func cmdSdiffstore(x *Ctx)  { x.combine((*Ctx).eachFirstOnly, x.Args[2:], true) }

// interCardKeys returns the keys among the arguments of SINTERCARD.
func interCardKeys(args [][]byte) [][]byte {
	n, ok := resp.ParseInt(args[1])
	if !ok || n < 1 || n > int64(len(args)-2) {
		return nil
	}
	return args[2 : 2+n]
}

func cmdSintercard(x *Ctx) {
	n, ok := x.parseAtLeast(x.Args[1], 1, errNumKeys)
	if !ok {
		return
	}
	if n > int64(len(x.Args)-2) {
		x.Err(errTooManyKeys)
		return
	}
	limit := int64(0) // none
	for i := int(n) + 2; i < len(x.Args); i += 2 {
		if !is(option(x.Args[i]), "limit") || i+1 == len(x.Args) {
			x.Err(errSyntax)
			return
		}
		l, ok := x.parseAtLeast(x.Args[i+1], 0, errLimit)
		if !ok {
			return
		}
		limit = l
	}
	sets, missing, ok := x.readSets(x.Args[2 : 2+n])
	if !ok {
		return
	}
	count := int64(0)
	if missing == 0 {
		x.eachCommon(sets, func([]byte) bool {
			count++
			return count != limit
		})
	}
	x.Int(count)
}
