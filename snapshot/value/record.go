package value

import (
	"errors"
	"io"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

var types = [...]kv.Type{rdb.ClassString: kv.TypeString, rdb.ClassList: kv.TypeList, rdb.ClassSet: kv.TypeSet,
	rdb.ClassZset: kv.TypeZset, rdb.ClassHash: kv.TypeHash, rdb.ClassStream: kv.TypeStream}

var encodings = [...]kv.Encoding{rdb.FormListpack: kv.EncListpack, rdb.FormListpackEx: kv.EncListpackEx,
	rdb.FormIntset: kv.EncIntset, rdb.FormFlat: kv.EncFlat, rdb.FormFlatTTL: kv.EncFlatTTL, rdb.FormStream: kv.EncStream}

// TypeOf returns the type that values of class c have in the store; it must not be a module's.
func TypeOf(c rdb.Class) kv.Type { return types[c] }

// Record makes rec what a KindKey or KindMore says, with a value that was not passed over.
// Its slices are the event's. DB, and the expiry and idle time of a KindMore, are the caller's.
func Record(rec *kv.Record, ev *rdb.Event) {
	rec.Key, rec.Value, rec.ExpireAt = ev.Key, ev.Value, ev.ExpireAtMs
	rec.Type, rec.Enc = types[ev.Type.Class()], encodings[ev.Form]
	rec.Append = ev.Kind == rdb.KindMore
	rec.Idle = 0
	if ev.HasIdle {
		rec.Idle = int64(min(ev.Idle, 1<<31))
	}
}

// ErrEmpty means a payload whose value has no elements.
var ErrEmpty = errors.New("the value has no elements")

// Check reads a payload of which rdb.ParseDump says that it is a collection, to its end, and
// finds all that could be wrong with it. The errors are rdb's and ErrEmpty.
func Check(payload []byte) error {
	d := rdb.NewDumpDecoder(payload, rdb.DecoderOptions{Values: rdb.CheckValues, Unique: true, MaxString: kv.MaxString})
	var ev rdb.Event
	err := d.Next(&ev)
	if err == nil && ev.Empty {
		return ErrEmpty
	}
	if err == nil {
		err = d.Next(&ev)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// Load puts the value of a payload that Check has passed at the key of tx, whose lock is held,
// in place of what is there. expireAt is in Unix milliseconds, 0 for none. The errors are
// those of kv.Tx.Load; after one there is no such key.
func Load(tx *kv.Tx, db int, key, payload []byte, expireAt int64) error {
	d := rdb.NewDumpDecoder(payload, rdb.DecoderOptions{MaxString: kv.MaxString})
	var ev rdb.Event
	for {
		err := d.Next(&ev)
		if err == io.EOF {
			return nil
		}
		rec := kv.Record{}
		if err == nil {
			Record(&rec, &ev)
			rec.DB, rec.Key, rec.ExpireAt = db, key, expireAt
			err = tx.Load(&rec, true)
		}
		if err != nil {
			tx.Delete(db, key)
			return err
		}
	}
}
