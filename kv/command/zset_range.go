package command

import (
	"kvd/kv"
)

// rangeKind tells what the ends of a range are.
type rangeKind uint8

const (
	anyRange rangeKind = iota // ZRANGE: what its options say
	rankRange
	scoreRange
	lexRange
)

// zrange is a ZRANGE-like command: its arguments, and the range itself.
type zrange struct {
	kind            rangeKind
	reverse, chosen bool // chosen: the command says which direction, not its options
	scores          bool
	offset, limit   int64 // limit: of the elements, negative for all

	start, stop int64 // rankRange
	score       kv.ScoreRange
	lex         kv.LexRange
}

func cmdZrange(x *Ctx)        { x.zrange(1, false, zrange{}) }
func cmdZrangestore(x *Ctx)   { x.zrange(2, true, zrange{}) }
func cmdZrevrange(x *Ctx)     { x.zrange(1, false, zrange{kind: rankRange, reverse: true, chosen: true}) }
func cmdZrangebyscore(x *Ctx) { x.zrange(1, false, zrange{kind: scoreRange, chosen: true}) }
func cmdZrangebylex(x *Ctx)   { x.zrange(1, false, zrange{kind: lexRange, chosen: true}) }
func cmdZrevrangebyscore(x *Ctx) {
	x.zrange(1, false, zrange{kind: scoreRange, reverse: true, chosen: true})
}
func cmdZrevrangebylex(x *Ctx) {
	x.zrange(1, false, zrange{kind: lexRange, reverse: true, chosen: true})
}

// zrange runs a ZRANGE-like command whose source key stands at argument i. With store the
// result goes to the key at argument 1.
func (x *Ctx) zrange(i int, store bool, r zrange) {
	if !x.parseZrangeOptions(i+3, store, &r) {
		return
	}
	minArg, maxArg := x.Args[i+1], x.Args[i+2]
	if r.reverse && r.kind != rankRange {
		minArg, maxArg = maxArg, minArg
	}
	if !x.rangeEnds(&r, minArg, maxArg) {
		return
	}
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[i]) {
		return
	}
	from, n := r.ranks(z)
	if store {
		x.storeRange(z, &r, from, n)
		return
	}
	x.zsetElements(n, r.scores)
	room := x.replyRoom(n)
	x.walk(z, from, n, r.reverse, func(e *kv.ZsetElement) {
		x.zsetElement(e, r.scores)
		room.element(x)
	})
}

func (x *Ctx) parseZrangeOptions(i int, store bool, r *zrange) (ok bool) {
	r.limit = -1
	for ; i < len(x.Args); i++ {
		switch arg := option(x.Args[i]); {
		case !store && is(arg, "withscores"):
			r.scores = true
		case is(arg, "limit") && i+2 < len(x.Args):
			if r.offset, ok = x.parseInt(x.Args[i+1]); !ok {
				return false
			}
			if r.limit, ok = x.parseInt(x.Args[i+2]); !ok {
				return false
			}
			i += 2
		case !r.chosen && !r.reverse && is(arg, "rev"):
			r.reverse = true
		case r.kind == anyRange && is(arg, "bylex"):
			r.kind = lexRange
		case r.kind == anyRange && is(arg, "byscore"):
			r.kind = scoreRange
		default:
			x.Err(errSyntax)
			return false
		}
	}
	if r.kind == anyRange {
		r.kind = rankRange
	}
	switch {
	case r.limit != -1 && r.kind == rankRange:
		x.Err(errRankLimit)
	case r.scores && r.kind == lexRange:
		x.Err(errLexScores)
	default:
		return true
	}
	return false
}

// rangeEnds reads the ends of a range of its kind.
func (x *Ctx) rangeEnds(r *zrange, minArg, maxArg []byte) (ok bool) {
	switch r.kind {
	case scoreRange:
		r.score, ok = x.parseScoreRange(minArg, maxArg)
	case lexRange:
		r.lex, ok = x.parseLexRange(minArg, maxArg)
	default:
		if r.start, ok = x.parseInt(minArg); ok {
			r.stop, ok = x.parseInt(maxArg)
		}
	}
	return ok
}

// parseScoreRange reads a range of scores or replies the error.
func (x *Ctx) parseScoreRange(minArg, maxArg []byte) (r kv.ScoreRange, ok bool) {
	if r.Min, r.MinEx, ok = parseScoreEnd(minArg); ok {
		r.Max, r.MaxEx, ok = parseScoreEnd(maxArg)
	}
	if !ok {
		x.Err(errScoreRange)
	}
	return r, ok
}

func parseScoreEnd(arg []byte) (f float64, exclusive, ok bool) {
	exclusive = len(arg) > 0 && arg[0] == '('
	if exclusive {
		arg = arg[1:]
	}
	f, ok = strtod(arg)
	return f, exclusive, ok
}

// parseLexRange reads a range of members or replies the error.
func (x *Ctx) parseLexRange(minArg, maxArg []byte) (r kv.LexRange, ok bool) {
	if r.Min, ok = parseLexEnd(minArg); ok {
		r.Max, ok = parseLexEnd(maxArg)
	}
	if !ok {
		x.Err(errLexRange)
	}
	return r, ok
}

func parseLexEnd(arg []byte) (b kv.LexBound, ok bool) {
	if len(arg) == 0 {
		return b, false
	}
	switch arg[0] {
	case '-', '+':
		if b.Infinite = -1; arg[0] == '+' {
			b.Infinite = 1
		}
		b.Exclusive = true
		return b, len(option(arg)) == 1 // what is behind a NUL does not count
	case '(', '[':
		return kv.LexBound{Text: arg[1:], Exclusive: arg[0] == '('}, true
	}
	return b, false
}

// ranks returns the rank of the first element to be visited and the number of elements. In reverse
// order that rank is the highest.
func (r *zrange) ranks(z *kv.Zset) (from, n int64) {
	var to int64
	switch length := z.Len(); r.kind {
	case scoreRange:
		from, to = z.ScoreRange(&r.score)
	case lexRange:
		from, to = z.LexRange(&r.lex, r.reverse)
	default:
		from, to = clampRanks(r.start, r.stop, length)
		if r.reverse {
			from, to = length-to, length-from
		}
	}
	n = max(to-from, 0)
	skip := int64(0)
	if r.kind != rankRange {
		if skip = r.offset; skip < 0 || skip > n {
			return 0, 0
		}
		if n -= skip; r.limit >= 0 {
			n = min(n, r.limit)
		}
	}
	if r.reverse {
		return to - 1 - skip, n
	}
	return from + skip, n
}

// clampRanks turns the ends of a range of ranks, negative ones from the end, into the ranks of the
// first element and of the one behind the last.
func clampRanks(start, stop, length int64) (from, to int64) {
	if start < 0 {
		start = max(start+length, 0)
	}
	if stop < 0 {
		stop += length
	}
	stop = min(stop, length-1)
	if start > stop {
		return 0, 0
	}
	return start, stop + 1
}

// walk calls fn for n elements from one with that rank on, upwards or in reverse.
func (x *Ctx) walk(z *kv.Zset, from, n int64, reverse bool, fn func(e *kv.ZsetElement)) {
	if n <= 0 {
		return
	}
	e := &x.zset.element
	if reverse {
		for c := z.At(from + 1); n > 0 && c.Prev(e); n-- {
			fn(e)
		}
		return
	}
	for c := z.At(from); n > 0 && c.Next(e); n-- {
		fn(e)
	}
}

// storeRange is the end of ZRANGESTORE. Redis adds the elements one by one to a listpack, unless it
// knows beforehand that it has no room for all, and in a listpack -0 is 0.
func (x *Ctx) storeRange(z *kv.Zset, r *zrange, from, n int64) {
	limits := x.Store.Limits()
	block := r.kind != rankRange || n <= limits.ZsetEntries
	var list zsetList
	x.walk(z, from, n, r.reverse, func(e *kv.ZsetElement) {
		block = block && int64(len(list.elements)) < limits.ZsetEntries && int64(len(e.Member)) <= limits.ZsetValue
		list.add(e)
		if block && e.Score == 0 {
			list.elements[len(list.elements)-1].Score = 0
		}
	})
	x.storeZset(x.Args[1], list.elements, 1)
}

// storeZset makes key hold a sorted set, which Redis counts as so many changes, and replies its
// length.
func (x *Ctx) storeZset(key []byte, list []kv.ZsetElement, changes int64) {
	if err := x.Tx.StoreZset(x.Client.db, key, list); err != nil {
		x.storeErr(err)
		return
	}
	if len(list) > 0 {
		x.Tx.MarkChanged(changes - 1)
	}
	x.Int(int64(len(list)))
}

// zsetList collects elements in memory of its own.
type zsetList struct {
	elements []kv.ZsetElement
	room     byteRoom
}

func (l *zsetList) add(e *kv.ZsetElement) {
	l.elements = append(l.elements, kv.ZsetElement{Member: l.room.keep(e.Member), Score: e.Score})
}

func cmdZcount(x *Ctx) {
	r := zrange{kind: scoreRange}
	x.countRange(&r)
}

func cmdZlexcount(x *Ctx) {
	r := zrange{kind: lexRange}
	x.countRange(&r)
}

func (x *Ctx) countRange(r *zrange) {
	r.limit = -1
	z := &x.zset.Zset
	if x.rangeEnds(r, x.Args[2], x.Args[3]) && x.readZset(z, x.Args[1]) {
		_, n := r.ranks(z)
		x.Int(n)
	}
}

func cmdZremrangebyrank(x *Ctx)  { x.removeRange(zrange{kind: rankRange}) }
func cmdZremrangebyscore(x *Ctx) { x.removeRange(zrange{kind: scoreRange}) }
func cmdZremrangebylex(x *Ctx)   { x.removeRange(zrange{kind: lexRange}) }

func (x *Ctx) removeRange(r zrange) {
	r.limit = -1
	z := &x.zset.Zset
	if !x.rangeEnds(&r, x.Args[2], x.Args[3]) || !x.openZset(z, x.Args[1]) {
		return
	}
	from, n := r.ranks(z)
	if n == 0 {
		x.Int(0)
		return
	}
	was := z.Len()
	err := z.RemoveRange(from, n)
	if !x.saveZset(z, was-z.Len()) {
		return
	}
	if err != nil {
		x.storeErr(err)
		return
	}
	x.Int(n)
}
