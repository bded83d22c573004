package snapshot

import (
	"errors"
	"sync/atomic"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// This file runs in the forked child too: no allocation, no lock, no pointer
// written to the heap. See the rules in package fork.

// dump writes a View as an RDB file. Everything is set before the cut, but the
// view, which is set at it.
type dump struct {
	view  *kv.View
	enc   *rdb.Encoder
	ctime int64 // Unix seconds
	used  int64 // used memory, bytes
	aux   []AuxField
	sized []bool // by database: RESIZEDB is written
}

var (
	errStopped = errors.New("save stopped")
	errType    = errors.New("a key has a data type that the RDB format of this version cannot represent")
)

// keysPerReport is how many keys are written between two reports of progress,
// and looks at stop.
const keysPerReport = 64

// write writes the file and flushes it to the encoder's sink. It reports the
// number of keys written so far in keys. When stop becomes true it returns
// errStopped. With release set each shard is released when it is written. Other
// errors are those of the sink, and errType.
func (d *dump) write(keys *atomic.Int64, stop *atomic.Bool, release bool) error {
	if err := d.head(); err != nil {
		return err
	}
	var (
		e  kv.Entry
		n  int64
		db = -1
	)
	for shard := range d.view.Shards() {
		w := d.view.Walk(shard)
		for w.Next(&e) {
			if e.DB != db {
				db = e.DB
				if err := d.selectDB(db); err != nil {
					return err
				}
			}
			if e.Type != kv.TypeString {
				return errType
			}
			if err := d.enc.String(e.Key, e.Value, e.ExpireAt); err != nil {
				return err
			}
			if n++; n%keysPerReport == 0 {
				keys.Store(n)
				if stop.Load() {
					return errStopped
				}
			}
		}
		if release {
			d.view.Release(shard)
		}
	}
	keys.Store(n)
	if stop.Load() {
		return errStopped
	}
	return d.enc.Footer()
}

// head writes what stands in front of the first database.
func (d *dump) head() error {
	if err := d.enc.Header(); err != nil {
		return err
	}
	// The errors stick to the encoder: the last one tells of all.
	_ = d.enc.Aux("redis-ver", redisVersion)
	_ = d.enc.AuxInt("redis-bits", 64)
	_ = d.enc.AuxInt("ctime", d.ctime)
	_ = d.enc.AuxInt("used-mem", d.used)
	_ = d.enc.AuxInt("aof-base", 0)
	for i := range d.aux {
		_ = d.enc.Aux(d.aux[i].Key, d.aux[i].Value)
	}
	return d.enc.Err()
}

// selectDB goes on with another database, and at its first time tells how many
// keys it had at the cut.
func (d *dump) selectDB(db int) error {
	if err := d.enc.SelectDB(db); err != nil || d.sized[db] {
		return err
	}
	d.sized[db] = true
	keys, expires := d.view.Counts(db)
	return d.enc.ResizeDB(keys, expires)
}

// total returns the number of keys at the cut.
func (d *dump) total() (n int64) {
	for db := range d.view.Databases() {
		keys, _ := d.view.Counts(db)
		n += keys
	}
	return n
}
