package snapshot

import (
	"errors"
	"sync/atomic"

	"kvd/kv"
	"kvd/snapshot/rdb"
	"kvd/snapshot/value"
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
	only  int    // the one database to write; -1: all
	sized []bool // by database: RESIZEDB is written
	ttl   int    // the version for hashes whose fields expire
	meter value.Meter
}

var errStopped = errors.New("save stopped")

// keysPerReport is how many keys are written between two reports of progress,
// and looks at stop.
const keysPerReport = 64

// write writes the file and flushes it to the encoder's sink. It reports the
// number of keys written so far in keys. When stop becomes true it returns
// errStopped. Other errors are those of the sink, and value.ErrType.
func (d *dump) write(keys *atomic.Int64, stop *atomic.Bool) error {
	if err := d.head(); err != nil {
		return err
	}
	var (
		e  kv.Entry
		n  int64
		db = -1
	)
	for shard := range d.view.Shards() {
		db = -1 // each shard begins with a SELECTDB: behind damage a repair knows again where keys belong
		w := d.walk(shard)
		for w.Next(&e) {
			if e.DB != db {
				db = e.DB
				if err := d.selectDB(db); err != nil {
					return err
				}
			}
			if err := value.Write(d.enc, &e, &d.meter); err != nil {
				return err
			}
			if n++; n%keysPerReport == 0 {
				keys.Store(n)
				if stop.Load() {
					return errStopped
				}
			}
		}
	}
	keys.Store(n)
	if stop.Load() {
		return errStopped
	}
	return d.enc.Footer()
}

// walk returns a walker over what is to be written of a shard.
func (d *dump) walk(shard int) kv.Walker {
	if d.only >= 0 {
		return d.view.WalkDB(shard, d.only)
	}
	return d.view.Walk(shard)
}

// version returns the lowest version that can hold what was there at the cut.
func (d *dump) version() int {
	for db := range d.view.Databases() {
		if d.has(db) && d.view.FieldExpiries(db) > 0 {
			return d.ttl
		}
	}
	return rdb.Version
}

// head writes what stands in front of the first database.
func (d *dump) head() error {
	d.enc.SetVersion(d.version())
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

// sizes writes the number of keys of every database that has any: what several
// encoders write has no order in which one of them would be a database's first.
func (d *dump) sizes() error {
	for db := range d.view.Databases() {
		if keys, _ := d.view.Counts(db); keys > 0 && d.has(db) {
			if err := d.selectDB(db); err != nil {
				return err
			}
		}
	}
	return nil
}

// has tells whether a database is to be written.
func (d *dump) has(db int) bool { return d.only < 0 || db == d.only }

// total returns the number of keys at the cut.
func (d *dump) total() (n int64) {
	for db := range d.view.Databases() {
		if d.has(db) {
			keys, _ := d.view.Counts(db)
			n += keys
		}
	}
	return n
}
