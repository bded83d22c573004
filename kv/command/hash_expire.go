package command

import (
	"math"

	"kvd/kv"
	"kvd/kv/resp"
)

// maxFieldExpiry is the last instant at which a field can expire, Unix milliseconds: Redis
// keeps 46 bits.
const maxFieldExpiry = 1<<46 - 1

// What the commands on fields' expiries reply for each field.
const (
	fieldNone      = -2 // there is no such field
	fieldNoExpiry  = -1 // it does not expire
	fieldUnchanged = 0  // NX, XX, GT or LT was not met
	fieldChanged   = 1
	fieldDeleted   = 2 // the time has passed
)

// fieldList returns the fields of a command that has FIELDS numfields field … from argument i on.
// ok is false after an error; problem is that of a number that is not one.
func (x *Ctx) fieldList(i int, problem string) (fields [][]byte, ok bool) {
	if !is(option(x.Args[i]), "fields") {
		x.Err(errFieldsMissing)
		return nil, false
	}
	if i+1 == len(x.Args) {
		x.Errf(errArity, x.Spec.Name)
		return nil, false
	}
	n, ok := x.parseAtLeast(x.Args[i+1], 1, problem)
	if !ok {
		return nil, false
	}
	fields = x.Args[i+2:]
	if n != int64(len(fields)) {
		x.Err(errFieldsMatch)
		return nil, false
	}
	return fields, true
}

// fieldExpiry returns the instant, in Unix milliseconds, that a time argument of a field means. It
// is at least 1. ok is false after an error.
func (x *Ctx) fieldExpiry(arg []byte, seconds, relative bool) (at int64, ok bool) {
	at, ok = x.parseInt(arg)
	if !ok {
		return 0, false
	}
	base := int64(0)
	if relative {
		base = x.Tx.Now()
	}
	switch {
	case at < 0:
		x.Err(errFieldsTime)
		return 0, false
	case seconds && at > maxFieldExpiry/1000:
		at = math.MaxInt64
	case seconds:
		at *= 1000
	}
	if at > maxFieldExpiry-base {
		x.Errf(errInvalidExpire, x.Spec.Name)
		return 0, false
	}
	return max(at+base, 1), true
}

func cmdHexpire(x *Ctx)    { x.expireFields(true, true) }
func cmdHpexpire(x *Ctx)   { x.expireFields(false, true) }
func cmdHexpireat(x *Ctx)  { x.expireFields(true, false) }
func cmdHpexpireat(x *Ctx) { x.expireFields(false, false) }

// fieldConditions are the words that may stand before FIELDS.
var fieldConditions = [...]string{"nx", "xx", "gt", "lt"}

func (x *Ctx) expireFields(seconds, relative bool) {
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	at, ok := x.fieldExpiry(x.Args[2], seconds, relative)
	if !ok {
		return
	}
	first, condition := 3, ""
	for _, word := range fieldConditions {
		if is(option(x.Args[3]), word) {
			first, condition = 4, word
		}
	}
	fields, ok := x.fieldList(first, errFieldsParameter)
	if !ok {
		return
	}
	start := len(x.Client.Out)
	x.Array(len(fields))
	var err error
	for _, f := range fields {
		var result int64
		if result, err = expireField(&h, f, at, condition); err != nil {
			break
		}
		if result == fieldChanged && at <= x.Tx.Now() {
			result = fieldDeleted
		}
		x.Int(result)
	}
	x.saveHash(&h, start, err)
}

// expireField sets the expiry of one field if the condition is met, and returns the reply.
func expireField(h *kv.Hash, field []byte, at int64, condition string) (result int64, err error) {
	old, ok := h.Expiry(field)
	if !ok {
		return fieldNone, nil
	}
	has := old != kv.NoExpiry
	met := true
	switch condition {
	case "nx":
		met = !has
	case "xx":
		met = has
	case "gt":
		met = has && at > old
	case "lt":
		met = !has || at < old
	}
	if !met {
		return fieldUnchanged, nil
	}
	_, err = h.SetExpiry(field, at)
	return fieldChanged, err
}

func cmdHttl(x *Ctx)         { x.fieldTimes(true, true) }
func cmdHpttl(x *Ctx)        { x.fieldTimes(false, true) }
func cmdHexpiretime(x *Ctx)  { x.fieldTimes(true, false) }
func cmdHpexpiretime(x *Ctx) { x.fieldTimes(false, false) }

func (x *Ctx) fieldTimes(seconds, relative bool) {
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	fields, ok := x.fieldList(2, errFieldsPositive)
	if !ok {
		return
	}
	x.Array(len(fields))
	for _, f := range fields {
		at, ok := h.Expiry(f)
		switch {
		case !ok:
			x.Int(fieldNone)
			continue
		case at == kv.NoExpiry:
			x.Int(fieldNoExpiry)
			continue
		case relative:
			at -= x.Tx.Now()
		}
		if seconds {
			at = (at + 999) / 1000
		}
		x.Int(at)
	}
}

func cmdHpersist(x *Ctx) {
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	fields, ok := x.fieldList(2, errFieldsPositive)
	if !ok {
		return
	}
	start := len(x.Client.Out)
	x.Array(len(fields))
	var err error
	for _, f := range fields {
		at, ok := h.Expiry(f)
		switch {
		case !ok:
			x.Int(fieldNone)
		case at == kv.NoExpiry:
			x.Int(fieldNoExpiry)
		default:
			if _, err = h.SetExpiry(f, kv.NoExpiry); err == nil {
				x.Int(fieldChanged)
			}
		}
		if err != nil {
			break
		}
	}
	x.saveHash(&h, start, err)
}

func cmdHgetdel(x *Ctx) {
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	fields, ok := x.fieldList(2, errFieldsPositive)
	if !ok {
		return
	}
	start := len(x.Client.Out)
	x.Array(len(fields))
	var err error
	for i := 0; i < len(fields) && err == nil; i++ {
		if x.hashValue(&h, fields[i]) {
			_, err = h.Delete(fields[i])
		}
	}
	x.saveHash(&h, start, err)
}

func cmdHgetex(x *Ctx) {
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	first, change, at := 2, false, kv.NoExpiry
	word := option(x.Args[2])
	ex, exat, px, pxat := is(word, "ex"), is(word, "exat"), is(word, "px"), is(word, "pxat")
	switch {
	case ex || exat || px || pxat:
		var ok bool
		if at, ok = x.fieldExpiry(x.Args[3], ex || exat, ex || px); !ok {
			return
		}
		first, change = 4, true
	case is(word, "persist"):
		first, change = 3, true
	}
	fields, ok := x.fieldList(first, errFieldsPositive)
	if !ok {
		return
	}
	start := len(x.Client.Out)
	x.Array(len(fields))
	var err error
	for i := 0; i < len(fields) && err == nil; i++ {
		if !x.hashValue(&h, fields[i]) || !change {
			continue
		}
		if old, _ := h.Expiry(fields[i]); old != at {
			_, err = h.SetExpiry(fields[i], at)
		}
	}
	x.saveHash(&h, start, err)
}

// hsetexOptions are those of HSETEX.
type hsetexOptions struct {
	fnx, fxx bool     // only if none, only if all of the fields exist
	nx, xx   bool     // the same of the key, as in Valkey
	at       int64    // kv.NoExpiry, kv.KeepExpiry or a time
	pairs    [][]byte // fields and values
}

// parseHsetex reads the arguments behind the key. ok is false after an error.
func (x *Ctx) parseHsetex() (o hsetexOptions, ok bool) {
	timed := false
	for i := 2; i < len(x.Args); i++ {
		word := option(x.Args[i])
		ex, exat, px, pxat := is(word, "ex"), is(word, "exat"), is(word, "px"), is(word, "pxat")
		switch {
		case is(word, "fields"):
			ok = x.hsetexFields(&o, i+1)
			return o, ok
		case ex || exat || px || pxat || is(word, "keepttl"):
			if timed {
				x.Err(errFieldsTimes)
				return o, false
			}
			timed = true
			if is(word, "keepttl") {
				o.at = kv.KeepExpiry
				continue
			}
			if i++; i == len(x.Args) {
				x.Err(errFieldsNoTime)
				return o, false
			}
			if o.at, ok = x.fieldExpiry(x.Args[i], ex || exat, ex || px); !ok {
				return o, false
			}
		case is(word, "fnx") || is(word, "fxx"):
			if o.fnx || o.fxx {
				x.Err(errFieldsConditions)
				return o, false
			}
			o.fnx, o.fxx = is(word, "fnx"), is(word, "fxx")
		case is(word, "nx") && !o.xx:
			o.nx = true
		case is(word, "xx") && !o.nx:
			o.xx = true
		case is(word, "nx") || is(word, "xx"):
			x.Err(errSyntax)
			return o, false
		default:
			x.Errf(errFieldsUnknown, cText(x.Args[i], len(x.Args[i])))
			return o, false
		}
	}
	x.Errf(errArity, x.Spec.Name)
	return o, false
}

// hsetexFields reads the number at argument i and the fields and values behind it.
func (x *Ctx) hsetexFields(o *hsetexOptions, i int) (ok bool) {
	if i+2 >= len(x.Args) {
		x.Errf(errArity, x.Spec.Name)
		return false
	}
	n, ok := resp.ParseInt(x.Args[i])
	if !ok || n < 1 || n > math.MaxInt32 {
		x.Err(errFieldsInvalid)
		return false
	}
	o.pairs = x.Args[i+1:]
	if int64(len(o.pairs)) != 2*n {
		x.Errf(errArity, x.Spec.Name)
		return false
	}
	return true
}

func cmdHsetex(x *Ctx) {
	o, ok := x.parseHsetex()
	if !ok {
		return
	}
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	met := !(o.nx && h.Exists() || o.xx && !h.Exists())
	for i := 0; i < len(o.pairs) && met && (o.fnx || o.fxx); i += 2 {
		_, exists := h.Get(o.pairs[i])
		met = exists == o.fxx
	}
	if !met {
		x.Int(0)
		return
	}
	var err error
	for i := 0; i < len(o.pairs) && err == nil; i += 2 {
		_, err = h.Set(o.pairs[i], o.pairs[i+1], o.at)
	}
	if x.saveHash(&h, len(x.Client.Out), err) {
		x.Int(1)
	}
}
