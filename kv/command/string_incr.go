package command

import (
	"math"
	"strconv"

	"kvd/kv"
	"kvd/kv/resp"
)

func cmdIncr(x *Ctx) { x.incrBy(1) }
func cmdDecr(x *Ctx) { x.incrBy(-1) }

func cmdIncrby(x *Ctx) {
	if n, ok := x.parseInt(x.Args[2]); ok {
		x.incrBy(n)
	}
}

func cmdDecrby(x *Ctx) {
	n, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	if n == math.MinInt64 {
		x.Err(errDecrOverflow)
		return
	}
	x.incrBy(-n)
}

// incrBy adds delta to the integer at the command's key; a missing key is 0.
func (x *Ctx) incrBy(delta int64) {
	key := x.Args[1]
	var n int64
	if it, found := x.lookupWrite(key); found {
		if x.wrongType(it) {
			return
		}
		var ok bool
		if n, ok = resp.ParseInt(it.Value); !ok || it.Chunked() {
			x.Err(errNotInteger)
			return
		}
	}
	if delta < 0 && n < math.MinInt64-delta || delta > 0 && n > math.MaxInt64-delta {
		x.Err(errIncrOverflow)
		return
	}
	n += delta
	x.Scratch = strconv.AppendInt(x.Scratch[:0], n, 10)
	if err := x.Tx.SetString(x.Client.db, key, x.Scratch, kv.EncInt, kv.KeepExpiry); err != nil {
		x.storeErr(err)
		return
	}
	x.Int(n)
}

func cmdIncrbyfloat(x *Ctx) {
	key := x.Args[1]
	var old []byte
	if it, found := x.lookupWrite(key); found {
		if x.wrongType(it) {
			return
		}
		if it.Chunked() {
			x.Err(errNotFloat)
			return
		}
		old = it.Value
		if old == nil {
			old = []byte{} // nil would be a missing key, which counts as 0
		}
	}
	sum, err := resp.IncrByFloat(old, x.Args[2])
	if err != nil {
		x.Err(err.Error())
		return
	}
	// The sum is stored as text, even where it has no fraction.
	enc := kv.EncEmbstr
	if len(sum) > kv.MaxEmbstr {
		enc = kv.EncRaw
	}
	if err := x.Tx.SetString(x.Client.db, key, sum, enc, kv.KeepExpiry); err != nil {
		x.storeErr(err)
		return
	}
	x.Bulk(sum)
}
