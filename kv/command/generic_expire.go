package command

import (
	"math"

	"kvd/kv"
)

// expireOptions are the conditions of the EXPIRE commands.
type expireOptions uint8

const (
	expireNX expireOptions = 1 << iota // only if the key has no expiry
	expireXX                           // only if it has one
	expireGT                           // only if the new one is later; none counts as never
	expireLT                           // only if the new one is earlier
)

func cmdExpire(x *Ctx)    { x.expire(1000, true) }
func cmdPexpire(x *Ctx)   { x.expire(1, true) }
func cmdExpireat(x *Ctx)  { x.expire(1000, false) }
func cmdPexpireat(x *Ctx) { x.expire(1, false) }

func (x *Ctx) parseExpireOptions() (o expireOptions, ok bool) {
	for _, arg := range x.Args[3:] {
		switch word := option(arg); {
		case is(word, "nx"):
			o |= expireNX
		case is(word, "xx"):
			o |= expireXX
		case is(word, "gt"):
			o |= expireGT
		case is(word, "lt"):
			o |= expireLT
		default:
			x.Errf(errExpireOption, word)
			return 0, false
		}
	}
	if o&expireNX != 0 && o != expireNX {
		x.Err(errExpireNX)
		return 0, false
	}
	if o&expireGT != 0 && o&expireLT != 0 {
		x.Err(errExpireGTLT)
		return 0, false
	}
	return o, true
}

// allows tells whether an expiry may be replaced by at; old is NoExpiry if
// there is none.
func (o expireOptions) allows(old, at int64) bool {
	switch has := old != kv.NoExpiry; {
	case o&expireNX != 0 && has,
		o&expireXX != 0 && !has,
		o&expireGT != 0 && (!has || at <= old),
		o&expireLT != 0 && has && at >= old:
		return false
	}
	return true
}

// expire is the EXPIRE commands; unit is how many milliseconds the time
// argument counts, from now if relative.
func (x *Ctx) expire(unit int64, relative bool) {
	o, ok := x.parseExpireOptions()
	if !ok {
		return
	}
	at, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	var base int64
	if relative {
		base = x.Tx.Now()
	}
	if at > math.MaxInt64/unit || at < math.MinInt64/unit || at*unit > math.MaxInt64-base {
		x.Errf(errInvalidExpire, x.Spec.Name)
		return
	}
	at = at*unit + base
	key := x.Args[1]
	it, found := x.lookupWrite(key)
	if !found || !o.allows(it.ExpireAt, at) {
		x.Int(0)
		return
	}
	// A time that has passed deletes the key at once.
	if at <= x.Tx.Now() {
		x.Tx.Delete(x.Client.db, key)
		x.Int(1)
		return
	}
	x.replyExpire(key, at)
}

func cmdPersist(x *Ctx) {
	it, found := x.lookupWrite(x.Args[1])
	if !found || it.ExpireAt == kv.NoExpiry {
		x.Int(0)
		return
	}
	x.replyExpire(x.Args[1], kv.NoExpiry)
}

// replyExpire changes the expiry of a key that exists and replies 1.
func (x *Ctx) replyExpire(key []byte, at int64) {
	if x.Tx.SetExpire(x.Client.db, key, at) {
		x.Int(1)
	} else {
		x.storeErr(kv.ErrNoMemory)
	}
}

func cmdTtl(x *Ctx)         { x.replyTTL(1000, true) }
func cmdPttl(x *Ctx)        { x.replyTTL(1, true) }
func cmdExpiretime(x *Ctx)  { x.replyTTL(1000, false) }
func cmdPexpiretime(x *Ctx) { x.replyTTL(1, false) }

// replyTTL replies a key's expiry in units of that many milliseconds, from now
// if relative: -2 if there is no key, -1 if it does not expire. Redis rounds
// to the nearest second.
func (x *Ctx) replyTTL(unit int64, relative bool) {
	it, ok := x.peek(x.Args[1])
	if !ok {
		x.Int(-2)
		return
	}
	if it.ExpireAt == kv.NoExpiry {
		x.Int(-1)
		return
	}
	n := it.ExpireAt
	if relative {
		n = max(n-x.Tx.Now(), 0)
	}
	x.Int(int64((uint64(n) + uint64(unit)/2) / uint64(unit)))
}
