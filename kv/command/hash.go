package command

import (
	"math"
	"strconv"

	"kvd/kv"
	"kvd/kv/packed"
	"kvd/kv/resp"
)

// Error texts of the hash group.
const (
	errHashInteger  = "ERR hash value is not an integer"
	errHashFloat    = "ERR hash value is not a float"
	errHashInfinity = "ERR value is NaN or Infinity"

	errFieldsMissing    = "ERR Mandatory argument FIELDS is missing or not at the right position"
	errFieldsPositive   = "ERR Number of fields must be a positive integer"
	errFieldsParameter  = "ERR Parameter `numFields` should be greater than 0"
	errFieldsInvalid    = "ERR invalid number of fields"
	errFieldsMatch      = "ERR The `numfields` parameter must match the number of arguments"
	errFieldsUnknown    = "ERR unknown argument: %s"
	errFieldsTime       = "ERR invalid expire time, must be >= 0"
	errFieldsNoTime     = "ERR missing expire time"
	errFieldsTimes      = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
	errFieldsConditions = "ERR Only one of FXX or FNX arguments can be specified"
)

// openHash opens the hash at the command's key, which it changes. ok is false after an error.
func (x *Ctx) openHash(h *kv.Hash) (ok bool) {
	return x.opened(x.Tx.OpenHash(h, x.Client.db, x.Args[1]))
}

// readHash is openHash for a command that reads, which counts a hit or a miss.
func (x *Ctx) readHash(h *kv.Hash) (ok bool) {
	err := x.Tx.OpenHash(h, x.Client.db, x.Args[1])
	return x.lookedUp(err, h.Exists())
}

// saveHash keeps the changes of h. If there was an error, or is one, that takes the place of the
// reply begun at Out[at:], and ok is false.
func (x *Ctx) saveHash(h *kv.Hash, at int, err error) (ok bool) {
	if saveErr := h.Save(); err == nil {
		err = saveErr
	}
	if err != nil {
		x.Client.Out = x.Client.Out[:at]
		x.storeErr(err)
	}
	return err == nil
}

// hashPart replies a field or value.
func (x *Ctx) hashPart(v *packed.Value) {
	if v.IsInt {
		x.BulkInt(v.Int)
	} else {
		x.Bulk(v.Text)
	}
}

// hashValue replies the value of a field, null if there is none.
func (x *Ctx) hashValue(h *kv.Hash, field []byte) (ok bool) {
	v, ok := h.Get(field)
	if ok {
		x.hashPart(&v)
	} else {
		x.Null()
	}
	return ok
}

func cmdHset(x *Ctx) {
	if added, ok := x.hsetPairs(); ok {
		x.Int(added)
	}
}

func cmdHmset(x *Ctx) {
	if _, ok := x.hsetPairs(); ok {
		x.OK()
	}
}

// hsetPairs sets the fields behind the key and returns how many are new.
func (x *Ctx) hsetPairs() (added int64, ok bool) {
	if len(x.Args)%2 == 1 {
		x.Errf(errArity, x.Spec.Name)
		return 0, false
	}
	var h kv.Hash
	if !x.openHash(&h) {
		return 0, false
	}
	var err error
	for i := 2; i < len(x.Args) && err == nil; i += 2 {
		var fresh bool
		if fresh, err = h.Set(x.Args[i], x.Args[i+1], kv.NoExpiry); fresh {
			added++
		}
	}
	return added, x.saveHash(&h, len(x.Client.Out), err)
}

func cmdHsetnx(x *Ctx) {
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	if _, ok := h.Get(x.Args[2]); ok {
		x.Int(0)
		return
	}
	_, err := h.Set(x.Args[2], x.Args[3], kv.NoExpiry)
	if x.saveHash(&h, len(x.Client.Out), err) {
		x.Int(1)
	}
}

func cmdHget(x *Ctx) {
	var h kv.Hash
	if x.readHash(&h) {
		x.hashValue(&h, x.Args[2])
	}
}

func cmdHmget(x *Ctx) {
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	x.Array(len(x.Args) - 2)
	for _, field := range x.Args[2:] {
		x.hashValue(&h, field)
	}
}

func cmdHgetall(x *Ctx) {
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	x.Map(int(h.Len()))
	it, room := h.Fields(), x.replyRoom(h.Len())
	for e := (kv.Element{}); it.Next(&e); room.element(x) {
		x.hashPart(&e.Member)
		x.hashPart(&e.Value)
	}
}

func cmdHkeys(x *Ctx) {
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	x.Array(int(h.Len()))
	it, room := h.Fields(), x.replyRoom(h.Len())
	for e := (kv.Element{}); it.Next(&e); room.element(x) {
		x.hashPart(&e.Member)
	}
}

func cmdHvals(x *Ctx) {
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	x.Array(int(h.Len()))
	it, room := h.Fields(), x.replyRoom(h.Len())
	for e := (kv.Element{}); it.Next(&e); room.element(x) {
		x.hashPart(&e.Value)
	}
}

func cmdHlen(x *Ctx) {
	var h kv.Hash
	if x.readHash(&h) {
		x.Int(h.Len())
	}
}

func cmdHstrlen(x *Ctx) {
	var h kv.Hash
	if !x.readHash(&h) {
		return
	}
	n := 0
	if v, ok := h.Get(x.Args[2]); ok {
		n = v.Len()
	}
	x.Int(int64(n))
}

func cmdHexists(x *Ctx) {
	var h kv.Hash
	if x.readHash(&h) {
		_, ok := h.Get(x.Args[2])
		x.Bool01(ok)
	}
}

func cmdHdel(x *Ctx) {
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	n, err := int64(0), error(nil)
	for i := 2; i < len(x.Args) && err == nil; i++ {
		var deleted bool
		if deleted, err = h.Delete(x.Args[i]); deleted {
			n++
		}
	}
	if x.saveHash(&h, len(x.Client.Out), err) {
		x.Int(n)
	}
}

func cmdHincrby(x *Ctx) {
	delta, ok := x.parseInt(x.Args[3])
	if !ok {
		return
	}
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	var n int64
	if v, found := h.Get(x.Args[2]); found {
		if n, ok = v.Int, v.IsInt; !ok {
			n, ok = resp.ParseInt(v.Text)
		}
		if !ok {
			x.Err(errHashInteger)
			return
		}
	}
	if delta < 0 && n < math.MinInt64-delta || delta > 0 && n > math.MaxInt64-delta {
		x.Err(errIncrOverflow)
		return
	}
	n += delta
	x.Scratch = strconv.AppendInt(x.Scratch[:0], n, 10)
	_, err := h.Set(x.Args[2], x.Scratch, kv.KeepExpiry)
	if x.saveHash(&h, len(x.Client.Out), err) {
		x.Int(n)
	}
}

func cmdHincrbyfloat(x *Ctx) {
	delta, ok := resp.ParseLongDouble(x.Args[3])
	switch {
	case !ok:
		x.Err(errNotFloat)
		return
	case delta.IsInf():
		x.Err(errHashInfinity)
		return
	}
	var h kv.Hash
	if !x.openHash(&h) {
		return
	}
	var sum resp.LongDouble
	if v, found := h.Get(x.Args[2]); found {
		x.Scratch = v.Append(x.Scratch[:0])
		if sum, ok = resp.ParseLongDouble(x.Scratch); !ok {
			x.Err(errHashFloat)
			return
		}
	}
	if sum, ok = sum.Add(delta); !ok {
		x.Err(resp.ErrNaNOrInf.Error())
		return
	}
	x.Scratch = resp.AppendLongDouble(x.Scratch[:0], sum)
	_, err := h.Set(x.Args[2], x.Scratch, kv.KeepExpiry)
	if x.saveHash(&h, len(x.Client.Out), err) {
		x.Bulk(x.Scratch)
	}
}
