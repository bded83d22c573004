package kv

import (
	"sync"

	"kvd/kv/internal/keyspace"
)

// Record is a key, or a part of one, for Loader.Add. Key and Value are copied by it.
type Record struct {
	DB    int
	Key   []byte
	Type  Type     // 0 is TypeString
	Enc   Encoding // of other types: what Value holds, one block as it lies or EncFlat …
	Value []byte
	// Append adds the elements to those that an earlier Record of the same key has
	// brought. The pieces of a key must come to one Loader, in order.
	Append   bool
	ExpireAt int64 // Unix milliseconds; NoExpiry if none
	Idle     int64 // seconds since its last use; 0 if unknown
}

// Loader adds many keys to a store at a time, several times as fast as a Tx:
// it visits each shard once for all of its keys, and has the memory system
// fetch the places of all of them side by side. It is not for concurrent use;
// several loaders may work on one store.
type Loader struct {
	s      *Store
	tx     *Tx           // its owner has locked what the loader has
	shards []shard       // the store's, or those of a stage
	gate   *sync.RWMutex // of a stage, see stages; nil if it is the store that is filled
	hashes []uint64
	order  []int32 // the records by shard
	starts []int32 // by shard, where its records begin in order
	sink   byte
}

// NewLoader returns a loader for s.
func (s *Store) NewLoader() *Loader {
	return &Loader{s: s, tx: s.NewTx(), shards: s.shards, starts: make([]int32, len(s.shards)+1)}
}

// Add stores records, whose databases must exist. With replace a record takes
// the place of a key that is there; without it the first such key ends Add. It
// returns the index of the record that it failed at, with ErrExists, ErrTooLong
// or ErrNoMemory; others, before and behind it, may have been stored.
func (l *Loader) Add(recs []Record, replace bool) (failed int, err error) {
	l.group(recs)
	for n := range l.shards {
		group := l.order[l.starts[n]:l.starts[n+1]]
		if len(group) == 0 {
			continue
		}
		if failed, err = l.addToShard(&l.shards[n], recs, group, replace); err != nil {
			return failed, err
		}
	}
	return -1, nil
}

// group sorts the records by shard.
func (l *Loader) group(recs []Record) {
	l.hashes = l.hashes[:0]
	clear(l.starts)
	for i := range recs {
		h := l.s.hasher.Hash(recs[i].Key)
		l.hashes = append(l.hashes, h)
		l.starts[l.s.hasher.Shard(h)+1]++
	}
	for n := range l.shards {
		l.starts[n+1] += l.starts[n]
	}
	if cap(l.order) < len(recs) {
		l.order = make([]int32, len(recs))
	}
	l.order = l.order[:len(recs)]
	for i, h := range l.hashes {
		n := l.s.hasher.Shard(h)
		l.order[l.starts[n]] = int32(i)
		l.starts[n]++
	}
	copy(l.starts[1:], l.starts) // back to where they begin
	l.starts[0] = 0
}

func (l *Loader) addToShard(sh *shard, recs []Record, group []int32, replace bool) (failed int, err error) {
	if l.gate != nil {
		l.gate.RLock()
		defer l.gate.RUnlock()
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	l.s.enter(sh)
	for _, i := range group {
		if t := sh.tables[recs[i].DB]; t != nil {
			l.sink ^= t.Prefetch(l.hashes[i])
		}
	}
	defer func() { l.tx.now = 0 }()
	for from := 0; from < len(group); { // runs of one database
		db := recs[group[from]].DB
		t := sh.table(l.s, db)
		n := int64(0)
		for ; from < len(group) && recs[group[from]].DB == db; from++ {
			i := group[from]
			at := place{sh, t, db, l.hashes[i], recs[i].Key}
			if err = l.tx.load(&at, &recs[i], replace); err != nil {
				failed = int(i)
				break
			}
			if isString(&recs[i]) {
				n++
				sh.touchWatchers(db, recs[i].Key, true)
			}
		}
		l.s.publish(sh, db, t)
		sh.changes.Add(n)
		if err != nil {
			return failed, err
		}
	}
	return -1, nil
}

// Load stores a record under the locks that the Tx holds: what Loader.Add does for many.
// It returns ErrExists, ErrTooLong, ErrNoMemory, ErrWrongType (with Append), or what is
// wrong with the elements; then a key that it has begun is gone.
func (tx *Tx) Load(r *Record, replace bool) error {
	h := tx.s.hasher.Hash(r.Key)
	at := place{sh: tx.shard(h), db: r.DB, h: h, key: r.Key}
	at.t = at.sh.table(tx.s, r.DB)
	err := tx.load(&at, r, replace)
	switch {
	case err != nil:
		tx.s.publish(at.sh, at.db, at.t)
	case isString(r):
		tx.changed(at.sh, at.db, at.t, r.Key)
	}
	return err
}

// isString tells whether a record is a string in one piece, which load does not account.
func isString(r *Record) bool {
	return r.Type <= TypeString && len(r.Value) <= ChunkedAbove && !r.Append
}

// load stores a record. The lock of its shard is held.
func (tx *Tx) load(at *place, r *Record, replace bool) (err error) {
	if len(r.Key) > MaxKey || len(r.Value) > MaxString && r.Enc != EncFlat && r.Enc != EncFlatTTL {
		return ErrTooLong
	}
	p, found := at.t.Lookup(at.h, r.Key)
	switch {
	case found && !replace && !r.Append:
		return ErrExists
	case isString(r):
		err = tx.putAt(at, &keyspace.Value{
			Kind: keyspace.Kind(uint8(TypeString), uint8(EncodingOf(r.Value))),
			Data: r.Value, ExpireAt: r.ExpireAt,
		})
	default:
		c := coll{tx: tx, sh: at.sh, t: at.t, db: at.db, key: r.Key, h: at.h, typ: max(r.Type, TypeString), expireAt: r.ExpireAt}
		if r.Append && found {
			if err = c.read(p); err != nil {
				return err
			}
		}
		tx.uncounted = true
		if err = c.load(r); err != nil && c.exists {
			c.remove()
		}
		tx.uncounted = false
		if err == nil && !r.Append {
			at.sh.changes.Add(1)
		}
	}
	if err == nil && r.Idle > 0 {
		if p, found = at.t.Lookup(at.h, r.Key); found {
			at.t.SetIdle(p, tx.seconds(), uint32(min(r.Idle, 1<<31)))
		}
	}
	return err
}

// load makes the collection what the record says, or adds that to it.
func (c *coll) load(r *Record) error {
	switch c.typ {
	case TypeList:
		return c.loadList(r)
	case TypeSet:
		return c.loadSet(r)
	case TypeZset:
		return c.loadZset(r)
	case TypeHash:
		return c.loadHash(r)
	case TypeStream:
		return c.loadStream(r)
	}
	return c.loadString(r)
}

// Reserve prepares an empty database for n keys, so that filling it splits and
// grows nothing. A loader knows n from the file.
func (s *Store) Reserve(db int, n int64) error { return s.reserve(s.shards, db, n) }

func (s *Store) reserve(shards []shard, db int, n int64) error {
	for i := range shards {
		sh := &shards[i]
		sh.mu.Lock()
		t := sh.table(s, db)
		err := t.Reserve(int64(float64(n)*s.hasher.Share(i)), uint32(s.coarse.Load()))
		s.publish(sh, db, t)
		sh.mu.Unlock()
		if err != nil {
			return ErrNoMemory
		}
	}
	return nil
}
