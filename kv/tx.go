package kv

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"kvd/kv/internal/cut"
	"kvd/kv/internal/keyspace"
)

// Tx runs operations on keys whose shards it has locked: first one of the Lock
// methods, then operations, then Unlock. It is not for concurrent use and may
// be used again after Unlock. An operation on a key whose shard is not locked
// is a bug in the caller and corrupts the store.
//
// Slices that a Tx returns are borrowed from the store: they are valid until
// Unlock or until the next change of the same key, whichever is first.
type Tx struct {
	s    *Store
	now  int64 // 0 until asked for
	all  bool
	held []uint16 // shards, ascending

	buf []byte // see scratch

	uncounted bool   // changes are not counted: load does that
	key       []byte // the key that LockKey has hashed, until its first use
	hash      uint64
}

// NewTx returns a Tx of the store, holding nothing.
func (s *Store) NewTx() *Tx { return &Tx{s: s, held: make([]uint16, 0, 8)} }

// hashOf returns the hash of key. The first operation after LockKey, mostly the
// only one, finds the hash that LockKey made; not later ones, since the caller
// may have put another key into the same buffer.
func (tx *Tx) hashOf(key []byte) uint64 {
	if len(key) > 0 && len(key) == len(tx.key) && &key[0] == &tx.key[0] {
		tx.key = nil
		return tx.hash
	}
	return tx.s.hasher.Hash(key)
}

// LockKey locks the shard of one key.
func (tx *Tx) LockKey(key []byte) {
	tx.key, tx.hash = key, tx.s.hasher.Hash(key)
	n := tx.s.hasher.Shard(tx.hash)
	sh := &tx.s.shards[n]
	tx.s.lock(sh)
	tx.s.enter(sh)
	tx.held = append(tx.held, uint16(n))
}

// LockKeys locks the shards of all keys, in ascending order so that two Tx
// never wait for each other. Keys may repeat.
func (tx *Tx) LockKeys(keys [][]byte) {
	if len(keys) == 1 {
		tx.LockKey(keys[0])
		return
	}
	tx.key = nil
	for _, k := range keys {
		tx.held = append(tx.held, uint16(tx.s.hasher.Shard(tx.s.hasher.Hash(k))))
	}
	slices.Sort(tx.held)
	tx.held = slices.Compact(tx.held)
	for _, n := range tx.held {
		tx.s.lock(&tx.s.shards[n])
		tx.s.enter(&tx.s.shards[n])
	}
}

// LockAll locks every shard.
func (tx *Tx) LockAll() {
	tx.key = nil
	tx.s.lockAll()
	tx.all = true
}

// HoldsAll tells whether every shard is locked.
func (tx *Tx) HoldsAll() bool { return tx.all }

// Unlock releases all locks.
func (tx *Tx) Unlock() {
	tx.now = 0
	tx.key = nil
	if tx.all {
		tx.all = false
		tx.s.unlockAll()
		return
	}
	for _, n := range tx.held {
		tx.s.shards[n].mu.Unlock()
	}
	tx.held = tx.held[:0]
}

// Now returns the Unix time in milliseconds, the same until Unlock.
func (tx *Tx) Now() int64 {
	if tx.now == 0 {
		tx.now = tx.s.clock()
	}
	return tx.now
}

// seconds returns the time for access clocks.
func (tx *Tx) seconds() uint32 { return uint32(tx.s.coarse.Load()) }

func (tx *Tx) shard(h uint64) *shard { return &tx.s.shards[tx.s.hasher.Shard(h)] }

// find looks a live key up. An expired one is deleted on the way, unless a cut
// is live (a reader changes nothing that a cut can reach) or expiry is held:
// then p says where it is, though ok is false.
func (tx *Tx) find(db int, key []byte) (t *keyspace.Table, h uint64, p keyspace.Pos, ok bool) {
	h = tx.hashOf(key)
	sh := tx.shard(h)
	t = sh.tables[db]
	if t == nil {
		return nil, h, p, false
	}
	if p, ok = t.Lookup(h, key); !ok {
		return t, h, p, false
	}
	if at := t.ExpireAt(p); at != 0 && at <= tx.Now() {
		if sh.guard.Mode == cut.None && !tx.s.holding.Load() {
			if t.Remove(h, p) == nil {
				p = keyspace.Pos{}
				tx.s.expired.Add(1)
				tx.s.publish(sh, db, t)
				sh.touchWatchers(db, key, false)
			}
		}
		return t, h, p, false
	}
	return t, h, p, true
}

func (tx *Tx) item(t *keyspace.Table, p keyspace.Pos) Item {
	var e keyspace.Entry
	t.Read(p, &e)
	return tx.s.itemOf(&e)
}

func (s *Store) itemOf(e *keyspace.Entry) Item {
	it := Item{Type: Type(e.Type()), Encoding: Encoding(e.Encoding()), Value: e.Value, ExpireAt: e.ExpireAt, a: s.arena}
	if it.Type != TypeString && hasTrees(it.Type, it.Encoding) {
		it.Encoding = EncTree
	}
	return it
}

// Get returns a live key and notes that it was used.
func (tx *Tx) Get(db int, key []byte) (Item, bool) {
	t, _, p, ok := tx.find(db, key)
	if !ok {
		return Item{}, false
	}
	t.Touch(p, tx.seconds())
	return tx.item(t, p), true
}

// GetValue is Get for who needs the value alone: its results travel in
// registers. val is nil if it is a string that lies in chunks: see Item.Chunked.
func (tx *Tx) GetValue(db int, key []byte) (val []byte, typ Type, ok bool) {
	t, _, p, ok := tx.find(db, key)
	if !ok {
		return nil, TypeNone, false
	}
	t.Touch(p, tx.seconds())
	kind, val := t.Value(p)
	if kind == kindChunks {
		val = nil
	}
	return val, Type(keyspace.KindType(kind)), true
}

// Peek returns a live key without noting that it was used.
func (tx *Tx) Peek(db int, key []byte) (Item, bool) {
	t, _, p, ok := tx.find(db, key)
	if !ok {
		return Item{}, false
	}
	return tx.item(t, p), true
}

// Exists tells whether there is a live key, without noting its use.
func (tx *Tx) Exists(db int, key []byte) bool {
	_, _, _, ok := tx.find(db, key)
	return ok
}

// Touch notes that a key was used; false if there is none.
func (tx *Tx) Touch(db int, key []byte) bool {
	t, _, p, ok := tx.find(db, key)
	if ok {
		t.Touch(p, tx.seconds())
	}
	return ok
}

// Idle returns the seconds since a key was last used, within 15 %; mostly exact in
// the first two minutes.
func (tx *Tx) Idle(db int, key []byte) (seconds int64, ok bool) {
	t, _, p, ok := tx.find(db, key)
	if !ok {
		return 0, false
	}
	return int64(t.Idle(p, tx.seconds())), true
}

// SetIdle makes a key look as if it was last used so many seconds ago.
func (tx *Tx) SetIdle(db int, key []byte, seconds int64) {
	if t, _, p, ok := tx.find(db, key); ok {
		t.SetIdle(p, tx.seconds(), uint32(min(max(seconds, 0), 1<<31)))
	}
}

// MemoryUsage returns the bytes that a key and its value take in the store,
// size classes and index included.
func (tx *Tx) MemoryUsage(db int, key []byte) (bytes int64, ok bool) {
	t, _, p, ok := tx.find(db, key)
	if !ok {
		return 0, false
	}
	bytes = t.Size(p)
	var e keyspace.Entry
	t.Read(p, &e)
	if keyspace.HasTrees(e.Kind) {
		for i := range shapes[e.Type()] {
			r := headRoot(e.Value, i)
			bytes += r.Bytes
		}
	}
	return bytes, true
}

// changed closes a modification of one key: accounts, counts, tells watchers.
func (tx *Tx) changed(sh *shard, db int, t *keyspace.Table, key []byte) {
	tx.s.publish(sh, db, t)
	if !tx.uncounted {
		sh.changes.Add(1)
	}
	sh.touchWatchers(db, key, true)
}

// SetString makes key hold a string. val is copied. expireAt is NoExpiry,
// KeepExpiry or a Unix time in milliseconds. It returns ErrTooLong or
// ErrNoMemory, and then has changed nothing.
func (tx *Tx) SetString(db int, key, val []byte, enc Encoding, expireAt int64) error {
	if len(val) > MaxString || len(key) > MaxKey {
		return ErrTooLong
	}
	if len(val) > ChunkedAbove {
		return tx.setLong(db, key, val, expireAt)
	}
	v := keyspace.Value{Kind: keyspace.Kind(uint8(TypeString), uint8(enc)), Data: val, ExpireAt: expireAt}
	t, h, p, ok := tx.find(db, key)
	sh := tx.shard(h)
	if t == nil {
		t = sh.table(tx.s, db)
	}
	if expireAt == KeepExpiry {
		v.ExpireAt = NoExpiry
		if ok {
			v.ExpireAt = t.ExpireAt(p)
		}
	}
	if err := tx.put(t, h, key, p, &v); err != nil {
		tx.s.publish(sh, db, t) // the index may have grown
		return err
	}
	tx.changed(sh, db, t, key)
	return nil
}

// put replaces what find has found, expired or not, or inserts.
func (tx *Tx) put(t *keyspace.Table, h uint64, key []byte, p keyspace.Pos, v *keyspace.Value) error {
	if p.Valid() {
		return storeError(t.Replace(h, p, v, tx.seconds()))
	}
	return storeError(t.Insert(h, key, v, tx.seconds()))
}

func storeError(err error) error {
	if err != nil {
		return ErrNoMemory
	}
	return nil
}

// Delete removes a key; false if there is no live one.
func (tx *Tx) Delete(db int, key []byte) bool {
	t, h, p, ok := tx.find(db, key)
	if !ok {
		return false
	}
	sh := tx.shard(h)
	removeKey(t, h, p)
	tx.changed(sh, db, t, key)
	return true
}

// removeKey removes the key at p, whose hash is h, however little memory there is.
func removeKey(t *keyspace.Table, h uint64, p keyspace.Pos) {
	if t.Remove(h, p) != nil {
		t.Hide(p, false)
	}
}

// must is for changes that need no memory, since what they change was written to before.
func (tx *Tx) must(err error) {
	if err != nil {
		panic("kv: a change that needs no memory has failed: " + err.Error())
	}
}

// SetExpire changes the expiry of a key; NoExpiry removes it. It returns false
// if there is no live key, or no memory.
func (tx *Tx) SetExpire(db int, key []byte, at int64) bool {
	t, h, p, ok := tx.find(db, key)
	if !ok {
		return false
	}
	sh := tx.shard(h)
	if t.SetExpiry(h, p, at, tx.seconds()) != nil {
		tx.s.publish(sh, db, t)
		return false
	}
	tx.changed(sh, db, t, key)
	return true
}

// MarkChanged adds n to the number of changes. A lock must be held.
func (tx *Tx) MarkChanged(n int64) {
	if tx.uncounted {
		return
	}
	i := 0
	if len(tx.held) > 0 {
		i = int(tx.held[0])
	}
	tx.s.shards[i].changes.Add(n)
}

// withShard runs fn with shard n locked, whether the Tx holds all or none.
func (tx *Tx) withShard(n int, fn func(sh *shard)) {
	sh := &tx.s.shards[n]
	if !tx.all {
		tx.s.lock(sh)
		defer sh.mu.Unlock()
		tx.s.enter(sh)
	}
	fn(sh)
}

// cursorBits is the size of a scan cursor: JavaScript clients round larger ones.
const cursorBits = 53

// Scan visits live keys of a database in hash order, at least count of them if
// there are as many, from a cursor on; 0 starts. It returns the cursor to go on
// with, 0 at the end. A key that is there during a whole scan is visited exactly
// once. The Tx must hold no lock or all of them; fn gets borrowed slices
// and must not use the store.
func (tx *Tx) Scan(db int, cursor uint64, count int, fn func(key []byte, it Item)) (next uint64) {
	posBits := cursorBits - bits.Len(uint(len(tx.s.shards)-1))
	n := int(cursor >> posBits)
	pos := cursor << (64 - posBits)
	for ; n < len(tx.s.shards); n, pos = n+1, 0 {
		done := true
		for again := true; again; {
			tx.withShard(n, func(sh *shard) {
				again = false
				t := sh.tables[db]
				if t == nil {
					return
				}
				seen := 0
				pos, done = t.Scan(pos, max(count, 1), func(e *keyspace.Entry) {
					seen++
					if e.ExpireAt == 0 || e.ExpireAt > tx.Now() {
						fn(e.Key, tx.s.itemOf(e))
					}
				})
				count -= seen
				again = !done && count > 0
			})
		}
		if !done {
			break
		}
		if count <= 0 {
			n, pos = n+1, 0
			break
		}
	}
	if !tx.all {
		tx.now = 0
	}
	if n >= len(tx.s.shards) {
		return 0
	}
	return uint64(n)<<posBits | pos>>(64-posBits)
}

// RandomKey appends a random live key of a database to dst; false if there is
// none. The Tx must hold no lock or all of them.
func (tx *Tx) RandomKey(db int, dst []byte) ([]byte, bool) {
	const tries = 100 // as Redis: a database may consist of expired keys
	for range tries {
		total := tx.s.Len(db)
		if total == 0 {
			return dst, false
		}
		r := rand.Int64N(total)
		for n := range tx.s.shards {
			keys := tx.s.shards[n].lens[db].keys.Load()
			if r >= keys {
				r -= keys
				continue
			}
			ok := false
			tx.withShard(n, func(sh *shard) {
				t := sh.tables[db]
				if t == nil || t.Len() == 0 {
					return
				}
				var e keyspace.Entry
				t.Random(rand.Uint64, &e)
				if ok = e.ExpireAt == 0 || e.ExpireAt > tx.Now(); ok {
					dst = append(dst, e.Key...)
				}
			})
			if !tx.all {
				tx.now = 0
			}
			if ok {
				return dst, true
			}
			break
		}
	}
	return dst, false
}

// FlushDB deletes every key of a database, in time that does not depend on how
// many they are, and returns their number. The Tx must hold all locks.
func (tx *Tx) FlushDB(db int) (removed int64) {
	for i := range tx.s.shards {
		sh := &tx.s.shards[i]
		t := sh.tables[db]
		if t == nil {
			continue
		}
		n := t.Len()
		removed += n
		sh.flushWatchers(db, t, nil)
		tx.s.buryTable(sh, t)
		sh.buryBigs(tx.s, db)
		sh.fields[db] = new(fieldTimers)
		tx.s.publish(sh, db, t)
		sh.recount()
		sh.changes.Add(n)
	}
	tx.s.avgTTL[db].Store(0)
	return removed
}

// FlushAll deletes every key of every database and returns their number. The
// Tx must hold all locks.
func (tx *Tx) FlushAll() (removed int64) {
	for db := range tx.s.dbs {
		removed += tx.FlushDB(db)
	}
	return removed
}

// SwapDB exchanges two databases. The Tx must hold all locks.
func (tx *Tx) SwapDB(a, b int) {
	if a == b {
		tx.MarkChanged(1)
		return
	}
	for i := range tx.s.shards {
		sh := &tx.s.shards[i]
		sh.flushWatchers(a, sh.tables[a], sh.tables[b])
		sh.flushWatchers(b, sh.tables[b], sh.tables[a])
		sh.tables[a], sh.tables[b] = sh.tables[b], sh.tables[a]
		sh.shown[a], sh.shown[b] = sh.shown[b], sh.shown[a]
		sh.bigs.of[a], sh.bigs.of[b] = sh.bigs.of[b], sh.bigs.of[a]
		sh.fields[a], sh.fields[b] = sh.fields[b], sh.fields[a]
		sh.own(tx.s, a, sh.tables[a])
		sh.own(tx.s, b, sh.tables[b])
		la, lb := &sh.lens[a], &sh.lens[b]
		lb.keys.Store(la.keys.Swap(lb.keys.Load()))
		lb.expires.Store(la.expires.Swap(lb.expires.Load()))
		if sh.sweeps != nil {
			sh.sweeps[a], sh.sweeps[b] = sh.sweeps[b], sh.sweeps[a]
		}
	}
	x := tx.s.avgTTL[a].Load()
	tx.s.avgTTL[a].Store(tx.s.avgTTL[b].Load())
	tx.s.avgTTL[b].Store(x)
	tx.MarkChanged(1)
}
