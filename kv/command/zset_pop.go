package command

import (
	"kvd/kv"
	"kvd/kv/resp"
)

// zpop is what commands that pop elements of sorted sets want.
type zpop struct {
	highest bool
	count   int64
	nested  bool // an array for each element
	withKey bool // the key's name in front
}

func cmdZpopmin(x *Ctx) { x.zpopOne(zpop{}) }
func cmdZpopmax(x *Ctx) { x.zpopOne(zpop{highest: true}) }

// zpopOne is ZPOPMIN and ZPOPMAX.
func (x *Ctx) zpopOne(p zpop) {
	if p.count = 1; len(x.Args) > 3 {
		x.Err(errSyntax)
		return
	}
	if len(x.Args) == 3 {
		var ok bool
		if p.count, ok = resp.ParseInt(x.Args[2]); !ok || p.count < 0 {
			x.Err(errMustBePositive)
			return
		}
		p.nested = x.resp3()
	}
	z := &x.zset.Zset
	if x.openZset(z, x.Args[1]) {
		x.zpop(z, x.Args[1], p)
	}
}

// zpop pops elements of a sorted set and replies them.
func (x *Ctx) zpop(z *kv.Zset, key []byte, p zpop) {
	n := min(p.count, z.Len())
	if n == 0 {
		x.Array(0)
		return
	}
	start := len(x.Client.Out)
	switch {
	case p.withKey && p.nested:
		x.Array(2)
		x.Bulk(key)
		x.Array(int(n))
	case p.withKey:
		x.Array(int(n)*2 + 1)
		x.Bulk(key)
	case p.nested:
		x.Array(int(n))
	default:
		x.Array(int(n) * 2)
	}
	from, first := int64(0), int64(0)
	if p.highest {
		first, from = z.Len()-1, z.Len()-n
	}
	x.walk(z, first, n, p.highest, func(e *kv.ZsetElement) {
		if p.nested {
			x.Array(2)
		}
		x.Bulk(e.Member)
		x.Double(e.Score)
	})
	was := z.Len()
	err := z.RemoveRange(from, n)
	if e := z.Save(was - z.Len()); e != nil {
		err = e
	}
	if err != nil {
		x.Client.Out = x.Client.Out[:start]
		x.storeErr(err)
	}
}

// zpopFirst pops from the first of the keys that has a sorted set. done is false if none has and
// no reply was made.
func (x *Ctx) zpopFirst(keys [][]byte, p zpop) (done bool) {
	z := &x.zset.Zset
	for _, key := range keys {
		if !x.awaits(key) {
			continue // run again for another key
		}
		if !x.openZset(z, key) {
			return true
		}
		if z.Exists() {
			x.zpop(z, key, p)
			return true
		}
	}
	return false
}

func cmdBzpopmin(x *Ctx) { x.bzpop(zpop{}) }
func cmdBzpopmax(x *Ctx) { x.bzpop(zpop{highest: true}) }

// bzpop is BZPOPMIN and BZPOPMAX.
func (x *Ctx) bzpop(p zpop) {
	last := len(x.Args) - 1
	timeout, ok := x.parseTimeout(x.Args[last], inSeconds)
	if !ok {
		return
	}
	p.count, p.withKey = 1, true
	x.zpopOrWait(x.Args[1:last], p, timeout)
}

func (x *Ctx) zpopOrWait(keys [][]byte, p zpop, timeout blockTimeout) {
	if !x.zpopFirst(keys, p) {
		x.block(blocking{typ: kv.TypeZset, keys: keys, timeout: timeout})
	}
}

func cmdZmpop(x *Ctx) {
	if keys, p, ok := x.parseZmpop(1); ok && !x.zpopFirst(keys, p) {
		x.NullArray()
	}
}

func cmdBzmpop(x *Ctx) {
	keys, p, ok := x.parseZmpop(2)
	if !ok {
		return
	}
	if timeout, ok := x.parseTimeout(x.Args[1], inSeconds); ok {
		x.zpopOrWait(keys, p, timeout)
	}
}

// parseZmpop reads the arguments of ZMPOP and BZMPOP, the number of keys at argument i.
func (x *Ctx) parseZmpop(i int) (keys [][]byte, p zpop, ok bool) {
	n, ok := x.parseCount(x.Args[i], errNumKeys)
	if !ok {
		return nil, p, false
	}
	rest := x.Args[i+1:]
	if n >= int64(len(rest)) {
		x.Err(errSyntax)
		return nil, p, false
	}
	keys, rest = rest[:n], rest[n:]
	switch where := option(rest[0]); {
	case is(where, "max"):
		p.highest = true
	case !is(where, "min"):
		x.Err(errSyntax)
		return nil, p, false
	}
	for rest = rest[1:]; len(rest) > 0; rest = rest[2:] {
		if p.count != 0 || len(rest) < 2 || !is(option(rest[0]), "count") {
			x.Err(errSyntax)
			return nil, p, false
		}
		if p.count, ok = x.parseCount(rest[1], errCount); !ok {
			return nil, p, false
		}
	}
	p.count = max(p.count, 1)
	p.withKey, p.nested = true, true
	return keys, p, true
}
