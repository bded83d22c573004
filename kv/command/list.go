package command

import (
	"math"

	"kvd/kv"
	"kvd/kv/packed"
)

// Error texts of the list group.
const (
	errListIndex  = "ERR index out of range"
	errLposRank   = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"
	errLposCount  = "ERR COUNT can't be negative"
	errLposMaxlen = "ERR MAXLEN can't be negative"
	errPopCount   = "ERR count should be greater than 0"
)

// element replies an element of a list.
func (x *Ctx) element(v *packed.Value) {
	if v.IsInt {
		x.BulkInt(v.Int)
	} else {
		x.Bulk(v.Text)
	}
}

// openList opens the list at key for a command that changes it. ok is false after an error.
func (x *Ctx) openList(l *kv.List, key []byte) (ok bool) {
	return x.opened(x.Tx.OpenList(l, x.Client.db, key))
}

// readList is openList for a command that reads, which counts a hit or a miss.
func (x *Ctx) readList(l *kv.List, key []byte) (ok bool) {
	err := x.Tx.OpenList(l, x.Client.db, key)
	return x.lookedUp(err, l.Exists())
}

// parseEnd reads LEFT or RIGHT or replies the error.
func (x *Ctx) parseEnd(arg []byte) (end kv.End, ok bool) {
	switch arg = option(arg); {
	case is(arg, "left"):
		return kv.Left, true
	case is(arg, "right"):
		return kv.Right, true
	}
	x.Err(errSyntax)
	return 0, false
}

func cmdLpush(x *Ctx)  { x.push(kv.Left, false) }
func cmdRpush(x *Ctx)  { x.push(kv.Right, false) }
func cmdLpushx(x *Ctx) { x.push(kv.Left, true) }
func cmdRpushx(x *Ctx) { x.push(kv.Right, true) }

// push is LPUSH and its like; with present the list must exist.
func (x *Ctx) push(end kv.End, present bool) {
	var l kv.List
	if !x.openList(&l, x.Args[1]) {
		return
	}
	if present && !l.Exists() {
		x.Int(0)
		return
	}
	if err := l.Push(end, x.Args[2:]); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(l.Len())
}

func cmdLpop(x *Ctx) { x.pop(kv.Left) }
func cmdRpop(x *Ctx) { x.pop(kv.Right) }

// pop is LPOP and RPOP.
func (x *Ctx) pop(end kv.End) {
	count := int64(1)
	counted := len(x.Args) == 3
	switch {
	case len(x.Args) > 3:
		x.Errf(errArity, x.Spec.Name)
		return
	case counted:
		var ok bool
		if count, ok = x.parseAtLeast(x.Args[2], 0, errMustBePositive); !ok {
			return
		}
	}
	var l kv.List
	if !x.openList(&l, x.Args[1]) {
		return
	}
	switch {
	case !l.Exists() && counted:
		x.NullArray()
	case !l.Exists():
		x.Null()
	case count == 0:
		x.Array(0)
	default:
		x.popElements(&l, end, count, len(x.Client.Out), counted)
	}
}

// popElements replies and removes elements, at most count of them. If the store refuses,
// the error takes the place of the reply from at on.
func (x *Ctx) popElements(l *kv.List, end kv.End, count int64, at int, array bool) {
	count = min(count, l.Len())
	if array {
		x.Array(int(count))
	}
	l.Ends(end, count, x.element)
	if err := l.Pop(end, count); err != nil {
		x.Client.Out = x.Client.Out[:at]
		x.storeErr(err)
	}
}

func cmdLlen(x *Ctx) {
	var l kv.List
	if x.readList(&l, x.Args[1]) {
		x.Int(l.Len())
	}
}

func cmdLindex(x *Ctx) {
	var l kv.List
	if !x.readList(&l, x.Args[1]) {
		return
	}
	if !l.Exists() {
		x.Null()
		return
	}
	i, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	if v, ok := l.At(i); ok {
		x.element(&v)
	} else {
		x.Null()
	}
}

func cmdLset(x *Ctx) {
	var l kv.List
	if !x.openList(&l, x.Args[1]) {
		return
	}
	if !l.Exists() {
		x.Err(errNoSuchKey)
		return
	}
	i, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	switch ok, err := l.Set(i, x.Args[3]); {
	case err != nil:
		x.storeErr(err)
	case !ok:
		x.Err(errListIndex)
	default:
		x.OK()
	}
}

func cmdLrange(x *Ctx) {
	from, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	to, ok := x.parseInt(x.Args[3])
	if !ok {
		return
	}
	var l kv.List
	if !x.readList(&l, x.Args[1]) {
		return
	}
	n := l.Len()
	if from < 0 {
		from = max(from+n, 0)
	}
	if to < 0 {
		to += n
	}
	to = min(to, n-1)
	if from > to {
		x.Array(0)
		return
	}
	x.Array(int(to - from + 1))
	room := x.replyRoom(to - from + 1)
	l.Range(from, to-from+1, func(v *packed.Value) bool {
		x.element(v)
		room.element(x)
		return true
	})
}

func cmdLinsert(x *Ctx) {
	behind := int64(0)
	switch where := option(x.Args[2]); {
	case is(where, "after"):
		behind = 1
	case !is(where, "before"):
		x.Err(errSyntax)
		return
	}
	var l kv.List
	if !x.openList(&l, x.Args[1]) {
		return
	}
	if !l.Exists() {
		x.Int(0)
		return
	}
	at := int64(-1)
	l.Find(x.Args[3], false, l.Len(), func(i int64) bool {
		at = i
		return false
	})
	if at < 0 {
		x.Int(-1)
		return
	}
	if err := l.Insert(at+behind, x.Args[4]); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(l.Len())
}

func cmdLrem(x *Ctx) {
	count, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	var l kv.List
	if !x.openList(&l, x.Args[1]) {
		return
	}
	end, limit := kv.Left, count
	if count < 0 {
		end, limit = kv.Right, -count
	}
	if limit <= 0 { // the least integer has no opposite
		limit = math.MaxInt64
	}
	n, err := l.Remove(x.Args[3], end, limit)
	if err != nil {
		x.storeErr(err)
		return
	}
	x.Int(n)
}

func cmdLtrim(x *Ctx) {
	from, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	to, ok := x.parseInt(x.Args[3])
	if !ok {
		return
	}
	var l kv.List
	if !x.openList(&l, x.Args[1]) {
		return
	}
	if _, err := l.Trim(from, to); err != nil {
		x.storeErr(err)
		return
	}
	x.OK()
}

// lposOptions are those of LPOS.
type lposOptions struct {
	rank, count, maxlen int64
	counted             bool
}

func (x *Ctx) parseLpos() (o lposOptions, ok bool) {
	o.rank, o.count = 1, 1
	for i := 3; i < len(x.Args); i += 2 {
		name := option(x.Args[i])
		if i+1 == len(x.Args) {
			x.Err(errSyntax)
			return o, false
		}
		arg := x.Args[i+1]
		switch {
		case is(name, "rank"):
			if o.rank, ok = x.parseInt(arg); ok && o.rank == 0 {
				x.Err(errLposRank)
				ok = false
			}
		case is(name, "count"):
			o.counted = true
			o.count, ok = x.parseAtLeast(arg, 0, errLposCount)
		case is(name, "maxlen"):
			o.maxlen, ok = x.parseAtLeast(arg, 0, errLposMaxlen)
		default:
			x.Err(errSyntax)
			return o, false
		}
		if !ok {
			return o, false
		}
	}
	return o, true
}

func cmdLpos(x *Ctx) {
	o, ok := x.parseLpos()
	if !ok {
		return
	}
	var l kv.List
	if !x.readList(&l, x.Args[1]) {
		return
	}
	limit, skip := l.Len(), o.rank-1
	if o.maxlen > 0 {
		limit = min(limit, o.maxlen)
	}
	if o.rank < 0 {
		skip = max(-o.rank, 1) - 1 // the least integer, which has no opposite, counts as -1
	}
	var found []int64
	l.Find(x.Args[2], o.rank < 0, limit, func(i int64) bool {
		if skip > 0 {
			skip--
			return true
		}
		found = append(found, i)
		return o.count == 0 || int64(len(found)) < o.count
	})
	switch {
	case o.counted:
		x.Array(len(found))
		for _, i := range found {
			x.Int(i)
		}
	case len(found) > 0:
		x.Int(found[0])
	default:
		x.Null()
	}
}
