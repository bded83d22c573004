package command

import (
	"errors"
	"sync"

	"kvd/kv"
	"kvd/kv/resp"
	"kvd/snapshot/rdb"
)

// maxRestoreFreq is the largest FREQ that RESTORE takes.
const maxRestoreFreq = 255

// lzfTables holds the compressor's tables for DUMP (64 KiB and more each).
var lzfTables = sync.Pool{New: func() any { return new(rdb.LZFTable) }}

func cmdDump(x *Ctx) {
	it, ok := x.lookupRead(x.Args[1])
	if !ok {
		x.Null()
		return
	}
	if x.wrongType(it) {
		return
	}
	var table *rdb.LZFTable
	if x.Config.Bool("rdbcompression") {
		table = lzfTables.Get().(*rdb.LZFTable)
		defer lzfTables.Put(table)
	}
	at := len(x.Client.Out)
	x.Client.Out = rdb.AppendDumpString(x.Client.Out, it.Value, table)
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
	_, value, err := rdb.ParseDump(x.Args[3], kv.MaxString)
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
	if !x.store(len(x.Client.Out), key, value, ttl) {
		return
	}
	if o.idle >= 0 {
		x.Tx.SetIdle(db, key, o.idle)
	}
	x.OK()
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
