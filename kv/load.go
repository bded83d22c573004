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
	shards []shard       // the store's, or those of a stage
	gate   *sync.RWMutex // of a stage, see stages; nil if it is the store that is filled
	hashes []uint64
	order  []int32 // the records by shard
	starts []int32 // by shard, where its records begin in order
	sink   byte
}

// NewLoader returns a loader for s.
func (s *Store) NewLoader() *Loader {
	return &Loader{s: s, shards: s.shards, starts: make([]int32, len(s.shards)+1)}
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
	now := uint32(l.s.coarse.Load())
	for from := 0; from < len(group); { // runs of one database
		db := recs[group[from]].DB
		t := sh.table(l.s, db)
		f := sh.before(t)
		n := int64(0)
		for ; from < len(group) && recs[group[from]].DB == db; from++ {
			i := group[from]
			if err = addRecord(t, l.hashes[i], &recs[i], replace, now); err != nil {
				failed = int(i)
				break
			}
			n++
			sh.touchWatchers(db, recs[i].Key, true)
		}
		l.s.after(sh, db, t, f)
		sh.changes.Add(n)
		if err != nil {
			return failed, err
		}
	}
	return -1, nil
}

func addRecord(t *keyspace.Table, h uint64, r *Record, replace bool, now uint32) error {
	if len(r.Key) > MaxKey || len(r.Value) > MaxString {
		return ErrTooLong
	}
	v := keyspace.Value{
		Kind: keyspace.Kind(uint8(TypeString), uint8(EncodingOf(r.Value))),
		Data: r.Value, ExpireAt: r.ExpireAt,
	}
	p, found := t.Lookup(h, r.Key)
	var err error
	switch {
	case !found:
		err = t.Insert(h, r.Key, &v, now)
	case !replace:
		return ErrExists
	default:
		err = t.Replace(h, p, &v, now)
	}
	if err == nil && r.Idle > 0 {
		if p, found = t.Lookup(h, r.Key); found {
			t.SetIdle(p, now, uint32(min(r.Idle, 1<<31)))
		}
	}
	return storeError(err)
}

// Reserve prepares an empty database for n keys, so that filling it splits and
// grows nothing. A loader knows n from the file.
func (s *Store) Reserve(db int, n int64) error { return s.reserve(s.shards, db, n) }

func (s *Store) reserve(shards []shard, db int, n int64) error {
	for i := range shards {
		sh := &shards[i]
		sh.mu.Lock()
		t := sh.table(s, db)
		f := sh.before(t)
		err := t.Reserve(int64(float64(n)*s.hasher.Share(i)), uint32(s.coarse.Load()))
		s.after(sh, db, t, f)
		sh.mu.Unlock()
		if err != nil {
			return ErrNoMemory
		}
	}
	return nil
}
