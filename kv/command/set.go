package command

import (
	"math"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// Error texts of the set group.
const (
	errNumKeys     = "ERR numkeys should be greater than 0"
	errTooManyKeys = "ERR Number of keys can't be greater than number of args"
	errLimit       = "ERR LIMIT can't be negative"
)

// openSet opens the set at key for a command that changes it. ok is false after an error.
func (x *Ctx) openSet(s *kv.Set, key []byte) (ok bool) {
	return x.opened(x.Tx.OpenSet(s, x.Client.db, key))
}

// readSet is openSet for a command that reads, which counts a hit or a miss.
func (x *Ctx) readSet(s *kv.Set, key []byte) (ok bool) {
	err := x.Tx.OpenSet(s, x.Client.db, key)
	return x.lookedUp(err, s.Exists())
}

func cmdSadd(x *Ctx) {
	var s kv.Set
	if !x.openSet(&s, x.Args[1]) {
		return
	}
	n, err := s.Add(x.Args[2:])
	if err != nil {
		x.storeErr(err)
		return
	}
	x.Int(n)
}

func cmdSrem(x *Ctx) {
	var s kv.Set
	if !x.openSet(&s, x.Args[1]) {
		return
	}
	n, err := s.Remove(x.Args[2:])
	if err != nil {
		x.storeErr(err)
		return
	}
	x.Int(n)
}

func cmdSmove(x *Ctx) {
	var from, to kv.Set
	if err := x.Tx.OpenSet(&from, x.Client.db, x.Args[1]); err == nil && !from.Exists() {
		x.Int(0) // whatever the other key is
		return
	} else if err != nil {
		x.storeErr(err)
		return
	}
	if !x.openSet(&to, x.Args[2]) {
		return
	}
	member := x.Args[3:4]
	if string(x.Args[1]) == string(x.Args[2]) || !from.Has(member[0]) {
		x.Bool01(from.Has(member[0]))
		return
	}
	// It is added first: if there is no memory for that it has not moved.
	if _, err := to.Add(member); err != nil {
		x.storeErr(err)
		return
	}
	if _, err := from.Remove(member); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(1)
}

func cmdSismember(x *Ctx) {
	var s kv.Set
	if x.readSet(&s, x.Args[1]) {
		x.Bool01(s.Has(x.Args[2]))
	}
}

func cmdSmismember(x *Ctx) {
	var s kv.Set
	if !x.readSet(&s, x.Args[1]) {
		return
	}
	x.Array(len(x.Args) - 2)
	for _, m := range x.Args[2:] {
		x.Bool01(s.Has(m))
	}
}

func cmdScard(x *Ctx) {
	var s kv.Set
	if x.readSet(&s, x.Args[1]) {
		x.Int(s.Len())
	}
}

func cmdSmembers(x *Ctx) {
	var s kv.Set
	if !x.readSet(&s, x.Args[1]) {
		return
	}
	x.Set(int(s.Len()))
	room := x.replyRoom(s.Len())
	s.Each(func(v *packed.Value) bool {
		x.element(v)
		room.element(x)
		return true
	})
}

func cmdSscan(x *Ctx) {
	cursor, o, ok := x.scanKey(kv.TypeSet)
	if !ok {
		return
	}
	var s kv.Set
	if !x.openSet(&s, x.Args[1]) {
		return
	}
	at, n := len(x.Client.Out), 0
	next := s.Scan(cursor, o.count, func(v *packed.Value) {
		x.Scratch = v.Append(x.Scratch[:0])
		if o.matches(x.Scratch) {
			x.Bulk(x.Scratch)
			n++
		}
	})
	x.scanReply(at, next, n)
}

// parseAtLeast reads an integer that must not be less than low, or replies the error.
func (x *Ctx) parseAtLeast(arg []byte, low int64, problem string) (n int64, ok bool) {
	if n, ok = resp.ParseInt(arg); !ok || n < low {
		x.Err(problem)
		return 0, false
	}
	return n, true
}

func cmdSpop(x *Ctx) {
	var s kv.Set
	switch {
	case len(x.Args) > 3:
		x.Err(errSyntax)
	case len(x.Args) == 3:
		if count, ok := x.parseAtLeast(x.Args[2], 0, errMustBePositive); ok {
			x.popSome(count)
		}
	case !x.openSet(&s, x.Args[1]):
	case !s.Exists():
		x.Null()
	default:
		x.popSet(&s, 1)
	}
}

// popSome is SPOP with a count.
func (x *Ctx) popSome(count int64) {
	var s kv.Set
	if !x.openSet(&s, x.Args[1]) {
		return
	}
	if !s.Exists() || count == 0 {
		x.Set(0)
		return
	}
	if count >= s.Len() {
		x.hit() // Redis reads it with SUNION
	}
	x.popSet(&s, count)
}

// popSet removes members and replies them: as a set, if the command had a count.
func (x *Ctx) popSet(s *kv.Set, count int64) {
	at := len(x.Client.Out)
	count = min(count, s.Len())
	if len(x.Args) == 3 {
		x.Set(int(count))
	}
	if err := s.Pop(count, x.element); err != nil {
		x.Client.Out = x.Client.Out[:at]
		x.storeErr(err)
	}
}

func cmdSrandmember(x *Ctx) {
	var s kv.Set
	switch {
	case len(x.Args) > 3:
		x.Err(errSyntax)
	case len(x.Args) == 3:
		x.someRandom()
	case !x.readSet(&s, x.Args[1]):
	case !s.Exists():
		x.Null()
	default:
		v := s.Random()
		x.element(&v)
	}
}

// someRandom is SRANDMEMBER with a count: with a negative one members may be repeated.
func (x *Ctx) someRandom() {
	count, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	if count == math.MinInt64 {
		x.Errf(errIntRange, -math.MaxInt64, math.MaxInt64)
		return
	}
	var s kv.Set
	if !x.readSet(&s, x.Args[1]) {
		return
	}
	switch {
	case !s.Exists() || count == 0:
		x.Array(0)
	case count < 0:
		x.Array(int(-count))
		hard := x.Config.OutputLimit("normal").Hard
		for range -count {
			v := s.Random()
			x.element(&v)
			if hard > 0 && int64(len(x.Client.Out)) > hard {
				return // the client is about to be closed for it
			}
		}
	default:
		x.Array(int(min(count, s.Len())))
		s.Sample(count, x.element)
	}
}
