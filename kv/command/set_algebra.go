package command

import (
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

// eachCommon calls fn with the members that all sets have, which must exist.
func (x *Ctx) eachCommon(sets []*kv.Set, fn func(member []byte) bool) {
	slices.SortStableFunc(sets, func(a, b *kv.Set) int { return int(a.Len() - b.Len()) })
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
func (x *Ctx) eachInAny(sets []*kv.Set, fn func(member []byte) bool) {
	sets = slices.DeleteFunc(sets, func(s *kv.Set) bool { return !s.Exists() })
	if len(sets) == 1 {
		x.eachText(sets[0], fn)
		return
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
}

// eachFirstOnly calls fn with the members of the first set that no other has. As in Redis it
// looks each of them up in the others, or else collects the members of these, whichever is
// less work.
func (x *Ctx) eachFirstOnly(sets []*kv.Set, fn func(member []byte) bool) {
	first, others := sets[0], slices.DeleteFunc(sets[1:], func(s *kv.Set) bool { return !s.Exists() })
	if !first.Exists() {
		return
	}
	total := int64(0)
	for _, s := range others {
		total += s.Len()
	}
	if first.Len()*int64(len(others))/2 <= first.Len()+total {
		slices.SortStableFunc(others, func(a, b *kv.Set) int { return int(b.Len() - a.Len()) })
		x.eachText(first, func(m []byte) bool {
			for _, s := range others {
				if s.Has(m) {
					return true
				}
			}
			return fn(m)
		})
		return
	}
	var out kv.Members
	for _, s := range others {
		x.eachText(s, func(m []byte) bool {
			out.Add(m)
			return true
		})
	}
	x.eachText(first, func(m []byte) bool { return out.Has(m) || fn(m) })
}

// replyMembers replies what each calls its argument with, as a set.
func (x *Ctx) replyMembers(each func(fn func(member []byte) bool)) {
	at, n := len(x.Client.Out), 0
	each(func(m []byte) bool {
		x.Bulk(m)
		n++
		return true
	})
	end := len(x.Client.Out)
	x.Set(n)
	head := append(make([]byte, 0, 24), x.Client.Out[end:]...)
	x.Client.Out = x.Client.Out[:end]
	x.insert(at, head)
}

// storeMembers makes the command's first key the set of what each calls its argument
// with, and replies its size.
func (x *Ctx) storeMembers(each func(fn func(member []byte) bool)) {
	var result kv.Members
	each(func(m []byte) bool {
		result.Add(m)
		return true
	})
	if err := x.Tx.StoreSet(x.Client.db, x.Args[1], &result); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(int64(result.Len()))
}

// algebra is one of eachCommon, eachInAny and eachFirstOnly.
type algebra func(x *Ctx, sets []*kv.Set, fn func(member []byte) bool)

// combine replies the result of an operation on the sets of keys, or stores it.
func (x *Ctx) combine(op algebra, keys [][]byte, store bool) {
	sets, _, ok := x.readSets(keys)
	if !ok {
		return
	}
	each := func(fn func(member []byte) bool) { op(x, sets, fn) }
	if store {
		x.storeMembers(each)
	} else {
		x.replyMembers(each)
	}
}

// intersection is eachCommon for sets that may not exist.
func intersection(x *Ctx, sets []*kv.Set, fn func(member []byte) bool) {
	for _, s := range sets {
		if !s.Exists() {
			return
		}
	}
	x.eachCommon(sets, fn)
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
