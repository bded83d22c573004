package command

import (
	"math"
	"strconv"

	"kvd/kv"
	"kvd/kv/resp"
)

// Error texts of the sorted-set group.
const (
	errZaddNXAndXX = "ERR XX and NX options at the same time are not compatible"
	errZaddGTLTNX  = "ERR GT, LT, and/or NX options at the same time are not compatible"
	errZaddIncr    = "ERR INCR option supports a single increment-element pair"
	errScoreNaN    = "ERR resulting score is not a number (NaN)"
	errScoreRange  = "ERR min or max is not a float"
	errLexRange    = "ERR min or max not valid string range item"
	errRankLimit   = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
	errLexScores   = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"
	errNoInputKey  = "ERR at least 1 input key is needed for '%s' command"
	errWeight      = "ERR weight value is not a float"
	errCount       = "ERR count should be greater than 0"
)

// zsetRoom is what a command of the sorted-set or geo group works with, reused so that it is no garbage.
type zsetRoom struct {
	kv.Zset
	element kv.ZsetElement
}

// openZset opens the sorted set at key and replies the error if key holds something else.
func (x *Ctx) openZset(z *kv.Zset, key []byte) (ok bool) {
	return x.opened(x.Tx.OpenZset(z, x.Client.db, key))
}

// readZset is openZset for a command that reads: it counts a hit or a miss.
func (x *Ctx) readZset(z *kv.Zset, key []byte) (ok bool) {
	err := x.Tx.OpenZset(z, x.Client.db, key)
	return x.lookedUp(err, z.Exists())
}

// saveZset ends the changes of a sorted set and replies the error, if any.
func (x *Ctx) saveZset(z *kv.Zset, changes int64) (ok bool) {
	if err := z.Save(changes); err != nil {
		x.storeErr(err)
		return false
	}
	return true
}

// parseFloat reads a double; if arg is none, text is replied.
func (x *Ctx) parseFloat(arg []byte, text string) (float64, bool) {
	f, ok := resp.ParseFloat(arg)
	if !ok {
		x.Err(text)
	}
	return f, ok
}

// parseCount reads an integer from 1 on; the error is always the same.
func (x *Ctx) parseCount(arg []byte, text string) (int64, bool) {
	n, ok := resp.ParseInt(arg)
	if !ok || n < 1 {
		x.Err(text)
		return 0, false
	}
	return n, true
}

// zsetElements replies an array header for n elements of a sorted set. With scores RESP3 has an array for
// each element, RESP2 a flat one.
func (x *Ctx) zsetElements(n int64, scores bool) {
	if scores && !x.resp3() {
		n *= 2
	}
	x.Array(int(n))
}

// zsetElement replies an element behind the header of zsetElements.
func (x *Ctx) zsetElement(e *kv.ZsetElement, scores bool) {
	if scores && x.resp3() {
		x.Array(2)
	}
	x.Bulk(e.Member)
	if scores {
		x.Double(e.Score)
	}
}

// zaddOptions are those of ZADD.
type zaddOptions struct {
	how kv.ZaddFlags
	ch  bool
}

// parseZadd reads the options from argument 2 on and returns where they end.
func (x *Ctx) parseZadd(o *zaddOptions) (at int) {
	for at = 2; at < len(x.Args); at++ {
		switch arg := option(x.Args[at]); {
		case is(arg, "nx"):
			o.how |= kv.ZaddNX
		case is(arg, "xx"):
			o.how |= kv.ZaddXX
		case is(arg, "gt"):
			o.how |= kv.ZaddGT
		case is(arg, "lt"):
			o.how |= kv.ZaddLT
		case is(arg, "incr"):
			o.how |= kv.ZaddIncr
		case is(arg, "ch"):
			o.ch = true
		default:
			return at
		}
	}
	return at
}

func cmdZadd(x *Ctx)    { x.zadd(zaddOptions{}) }
func cmdZincrby(x *Ctx) { x.zadd(zaddOptions{how: kv.ZaddIncr}) }

// zadd is ZADD and ZINCRBY, which takes its options too.
func (x *Ctx) zadd(o zaddOptions) {
	pairs := x.Args[x.parseZadd(&o):]
	has := func(f kv.ZaddFlags) bool { return o.how&f == f }
	switch {
	case len(pairs) == 0 || len(pairs)%2 != 0:
		x.Err(errSyntax)
		return
	case has(kv.ZaddNX | kv.ZaddXX):
		x.Err(errZaddNXAndXX)
		return
	case has(kv.ZaddGT | kv.ZaddNX), has(kv.ZaddLT | kv.ZaddNX), has(kv.ZaddGT | kv.ZaddLT):
		x.Err(errZaddGTLTNX)
		return
	case has(kv.ZaddIncr) && len(pairs) > 2:
		x.Err(errZaddIncr)
		return
	}
	var buf [8]float64
	scores := buf[:0]
	for i := 0; i < len(pairs); i += 2 {
		f, ok := x.parseFloat(pairs[i], errNotFloat)
		if !ok {
			return
		}
		scores = append(scores, f)
	}
	x.zaddPairs(o, scores, func(i int) []byte { return pairs[i*2+1] })
}

// zaddPairs adds members with their scores to the sorted set at argument 1 and replies.
func (x *Ctx) zaddPairs(o zaddOptions, scores []float64, member func(i int) []byte) {
	z := &x.zset.Zset
	if !x.openZset(z, x.Args[1]) {
		return
	}
	var added, updated int64
	score, last := 0.0, kv.ZaddNone
	for i := range scores {
		var err error
		score, last, err = z.Add(member(i), scores[i], o.how)
		if err != nil {
			if !x.saveZset(z, added+updated) {
				return
			}
			if err == kv.ErrNotANumber {
				x.Err(errScoreNaN)
			} else {
				x.storeErr(err)
			}
			return
		}
		switch last {
		case kv.ZaddAdded:
			added++
		case kv.ZaddUpdated:
			updated++
		}
	}
	if !x.saveZset(z, added+updated) {
		return
	}
	switch {
	case o.how&kv.ZaddIncr != 0 && last == kv.ZaddNone:
		x.Null()
	case o.how&kv.ZaddIncr != 0:
		x.Double(score)
	case o.ch:
		x.Int(added + updated)
	default:
		x.Int(added)
	}
}

func cmdZrem(x *Ctx) {
	z := &x.zset.Zset
	if !x.openZset(z, x.Args[1]) {
		return
	}
	removed := int64(0)
	for _, m := range x.Args[2:] {
		ok, err := z.Remove(m)
		if err != nil {
			if x.saveZset(z, removed) {
				x.storeErr(err)
			}
			return
		}
		if ok {
			removed++
		}
	}
	if x.saveZset(z, removed) {
		x.Int(removed)
	}
}

func cmdZcard(x *Ctx) {
	z := &x.zset.Zset
	if x.readZset(z, x.Args[1]) {
		x.Int(z.Len())
	}
}

func cmdZscore(x *Ctx) {
	z := &x.zset.Zset
	if x.readZset(z, x.Args[1]) {
		x.score(z, x.Args[2])
	}
}

// score replies the score of a member, or null.
func (x *Ctx) score(z *kv.Zset, member []byte) {
	if f, ok := z.Score(member); ok {
		x.Double(f)
	} else {
		x.Null()
	}
}

func cmdZmscore(x *Ctx) {
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[1]) {
		return
	}
	x.Array(len(x.Args) - 2)
	for _, m := range x.Args[2:] {
		x.score(z, m)
	}
}

func cmdZrank(x *Ctx)    { x.rank(false) }
func cmdZrevrank(x *Ctx) { x.rank(true) }

// rank is ZRANK and ZREVRANK, with the option WITHSCORE of Redis 7.2.
func (x *Ctx) rank(reverse bool) {
	withScore := len(x.Args) == 4
	if withScore && !is(option(x.Args[3]), "withscore") {
		x.Err(errSyntax)
		return
	}
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[1]) {
		return
	}
	rank, score, ok := z.Rank(x.Args[2])
	if reverse {
		rank = z.Len() - 1 - rank
	}
	switch {
	case !ok && withScore:
		x.NullArray()
	case !ok:
		x.Null()
	case withScore:
		x.Array(2)
		x.Int(rank)
		x.Double(score)
	default:
		x.Int(rank)
	}
}

func cmdZscan(x *Ctx) {
	cursor, o, ok := x.scanKey(kv.TypeZset)
	if !ok {
		return
	}
	z := &x.zset.Zset
	if !x.openZset(z, x.Args[1]) {
		return
	}
	at, n := len(x.Client.Out), 0
	next := z.Scan(cursor, o.count, func(e *kv.ZsetElement) {
		if !o.matches(e.Member) {
			return
		}
		n += 2
		x.Bulk(e.Member)
		var digits [32]byte
		x.Bulk(z.AppendScanned(digits[:0], e.Score)) // a string in RESP3 too
	})
	x.scanReply(at, next, n)
}

// numberedKeys returns the keys behind the number of them, which stands at argument i.
func numberedKeys(args [][]byte, i int) [][]byte {
	if i >= len(args) {
		return nil
	}
	n, err := strconv.ParseInt(string(args[i]), 10, 64)
	if err != nil || n < 1 || n > int64(len(args)-i-1) {
		return nil
	}
	return args[i+1 : i+1+int(n)]
}

// storeKeys returns the keys of a command whose argument 1 is where the result goes.
func storeKeys(args [][]byte) [][]byte {
	keys := numberedKeys(args, 2)
	if keys == nil {
		return nil
	}
	return append([][]byte{args[1]}, keys...)
}

// numKeysAt returns the spec of keys whose number stands at argument i.
func numKeysAt(i int, f KeyFlags) KeySpec {
	return KeySpec{Flags: f, Index: i, KeyNum: true, FirstKey: 1, Step: 1}
}

// withToken returns an argument that stands behind a keyword.
func withToken(a Arg, token string) Arg {
	a.Token = token
	return a
}

// strtod reads a number as C does over the whole of a string that ends at its first NUL: unlike
// ParseFloat it takes white space in front, nothing at all (0), and what is too large or too small.
func strtod(b []byte) (f float64, ok bool) {
	b = option(b)
	if len(b) == 0 {
		return 0, true
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r') {
		b = b[1:]
	}
	if f, ok = resp.ParseFloat(b); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		if e, isNum := err.(*strconv.NumError); !isNum || e.Err != strconv.ErrRange {
			return 0, false
		}
	}
	for _, c := range b {
		if c == '_' {
			return 0, false
		}
	}
	return f, !math.IsNaN(f)
}
