package command

import (
	"errors"

	"kvd/kv"
	"kvd/kv/resp"
	"kvd/snapshot/rdb"
	"kvd/snapshot/value"
)

// maxRestoreFreq is the largest FREQ that RESTORE takes.
const maxRestoreFreq = 255

// fieldExpiryDirective says in which of two formats hashes whose fields expire are written.
const fieldExpiryDirective = "rdb-field-expiry-format"

func cmdDump(x *Ctx) {
	it, ok := x.lookupRead(x.Args[1])
	if !ok {
		x.Null()
		return
	}
	at := len(x.Client.Out)
	x.Client.Out = value.AppendDump(x.Client.Out, &it, x.Config.Bool("rdbcompression"), x.Config.String(fieldExpiryDirective) == "valkey")
	var buf [24]byte
	x.insert(at, resp.AppendBulkHeader(buf[:0], len(x.Client.Out)-at))
	x.raw("\r\n")
}

// restoreOptions are those of RESTORE; idle is -1 if it was not given.
type restoreOptions struct {
	replace, absolute bool
	idle, freq        int64
}

func (x *Ctx) parseRestore() (o restoreOptions, ok bool) {
	o.idle, o.freq = -1, -1
	for i := 4; i < len(x.Args); i++ {
		word, more := option(x.Args[i]), i+1 < len(x.Args)
		switch {
		case is(word, "replace"):
			o.replace = true
		case is(word, "absttl"):
			o.absolute = true
		case is(word, "idletime") && more && o.freq == -1:
			i++
			if o.idle, ok = x.parseInt(x.Args[i]); !ok {
				return o, false
			}
			if o.idle < 0 {
				x.Err(errRestoreIdle)
				return o, false
			}
		case is(word, "freq") && more && o.idle == -1:
			i++
			if o.freq, ok = x.parseInt(x.Args[i]); !ok {
				return o, false
			}
			if o.freq < 0 || o.freq > maxRestoreFreq {
				x.Err(errRestoreFreq)
				return o, false
			}
		default:
			x.Err(errSyntax)
			return o, false
		}
	}
	return o, true
}

func cmdRestore(x *Ctx) {
	o, ok := x.parseRestore()
	if !ok {
		return
	}
	db, key := x.Client.db, x.Args[1]
	if !o.replace {
		if _, found := x.lookupWrite(key); found {
			x.Err(errBusyKey)
			return
		}
	}
	ttl, ok := x.parseInt(x.Args[2])
	if !ok {
		return
	}
	if ttl < 0 {
		x.Err(errRestoreTTL)
		return
	}
	payload := x.Args[3]
	typ, text, err := rdb.ParseDump(payload, kv.MaxString)
	if err == nil && typ != rdb.TypeString {
		err = value.Check(payload)
	}
	if err != nil {
		x.dumpErr(err)
		return
	}
	if ttl != 0 && !o.absolute {
		ttl += x.Tx.Now() // may wrap around, to a time that has passed
	}
	if ttl != 0 && ttl <= x.Tx.Now() {
		x.Tx.Delete(db, key)
		x.OK()
		return
	}
	if typ == rdb.TypeString {
		if !x.store(len(x.Client.Out), key, text, ttl) {
			return
		}
	} else if !x.restore(key, payload, ttl) {
		return
	}
	if o.idle >= 0 {
		x.Tx.SetIdle(db, key, o.idle)
	}
	x.OK()
}

// restore puts the collection in a payload that was checked at key, or replies why it cannot.
func (x *Ctx) restore(key, payload []byte, expireAt int64) bool {
	if err := value.Load(x.Tx, x.Client.db, key, payload, expireAt); err != nil {
		x.storeErr(err)
		return false
	}
	x.keyReady(x.Client.db, key)
	return true
}

// dumpErr replies what is wrong with a DUMP payload.
func (x *Ctx) dumpErr(err error) {
	var unsupported *rdb.UnsupportedError
	switch {
	case errors.Is(err, rdb.ErrDumpFooter):
		x.Err(errDumpFooter)
	case errors.As(err, &unsupported):
		x.Errf(errDumpType, unsupported.What)
	default:
		x.Err(errDumpFormat)
	}
}
