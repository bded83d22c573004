package command

import (
	"math"

	"kvd/kv"
)

func cmdHrandfield(x *Ctx) {
	if len(x.Args) > 2 {
		x.hrandfields()
		return
	}
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	var e kv.Element
	if h.Random(&e) {
		x.hashPart(&e.Member)
	} else {
		x.Null()
	}
}

// hrandfields is HRANDFIELD with a count.
func (x *Ctx) hrandfields() {
	count, ok := x.parseInt(x.Args[2])
	switch {
	case !ok:
		return
	case count == math.MinInt64:
		x.Errf(errIntRange, -math.MaxInt64, math.MaxInt64)
		return
	}
	values := len(x.Args) > 3
	if len(x.Args) > 4 || values && !is(option(x.Args[3]), "withvalues") {
		x.Err(errSyntax)
		return
	}
	if values && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
		x.Err(errOutOfRange)
		return
	}
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	live := h.Len()
	n := min(count, live)
	if count < 0 && live > 0 {
		n = -count // the same field may come again
	}
	size := max(n, 0)
	if values && !x.resp3() {
		size *= 2
	}
	x.Array(int(size))
	if count < 0 {
		x.repeatRandom(&h, n, values)
		return
	}
	h.Sample(n, func(e *kv.Element) { x.randomField(e, values) })
}

// repeatRandom replies n fields, any of them more than once. It ends early if the client has to be
// closed for what it asks for.
func (x *Ctx) repeatRandom(h *kv.Hash, n int64, values bool) {
	hard := x.Config.OutputLimit("normal").Hard
	for e := (kv.Element{}); n > 0 && h.Random(&e); n-- {
		x.randomField(&e, values)
		if hard > 0 && int64(len(x.Client.Out)) > hard {
			return
		}
	}
}

func (x *Ctx) randomField(e *kv.Element, values bool) {
	if values && x.resp3() {
		x.Array(2)
	}
	x.hashPart(&e.Member)
	if values {
		x.hashPart(&e.Value)
	}
}

func cmdHscan(x *Ctx) {
	values := x.takeNovalues()
	cursor, o, ok := x.scanKey(kv.TypeHash)
	if !ok {
		return
	}
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	at, n := len(x.Client.Out), 0
	next := h.Scan(cursor, o.count, func(e *kv.Element) {
		x.Scratch = e.Member.Append(x.Scratch[:0])
		if !o.matches(x.Scratch) {
			return
		}
		x.Bulk(x.Scratch)
		n++
		if values {
			x.hashPart(&e.Value)
			n++
		}
	})
	x.scanReply(at, next, n)
}

// takeNovalues takes HSCAN's option NOVALUES out of the arguments, and tells whether there was
// none.
func (x *Ctx) takeNovalues() (values bool) {
	for i := 3; i < len(x.Args); i += 2 {
		if is(option(x.Args[i]), "novalues") {
			rest := make([][]byte, 0, len(x.Args))
			x.Args = append(append(rest, x.Args[:i]...), x.Args[i+1:]...)
			x.takeNovalues() // twice is like once
			return false
		}
	}
	return true
}
