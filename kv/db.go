package kv

import "time"

// DB is one database of a store, for programs that embed it. Its methods lock
// what they need and copy what they return.
type DB struct {
	s *Store
	n int
}

// DB returns database n. It panics if n is not in [0, Databases()).
func (s *Store) DB(n int) *DB {
	if n < 0 || n >= s.dbs {
		panic(ErrNoDB)
	}
	return &DB{s, n}
}

// locked runs fn with the shard of key locked.
func (d *DB) locked(key []byte, fn func(tx *Tx)) {
	tx := d.s.txs.Get().(*Tx)
	tx.LockKey(key)
	defer func() {
		tx.Unlock()
		d.s.txs.Put(tx)
	}()
	fn(tx)
}

// Get returns a copy of the string at key, which the caller owns; false if there is none.
func (d *DB) Get(key []byte) (val []byte, ok bool) {
	d.locked(key, func(tx *Tx) {
		var it Item
		if it, ok = tx.Get(d.n, key); ok && it.Type == TypeString {
			val = it.AppendRange(make([]byte, 0, it.Len()), 0, it.Len())
		}
	})
	return val, val != nil
}

// Set makes key hold val, without an expiry. val is copied. It returns
// ErrTooLong or ErrNoMemory, and then has changed nothing.
func (d *DB) Set(key, val []byte) error { return d.SetUntil(key, val, time.Time{}) }

// SetFor is Set with a time to live, to the millisecond.
func (d *DB) SetFor(key, val []byte, ttl time.Duration) error {
	return d.SetUntil(key, val, time.UnixMilli(d.s.clock()).Add(ttl))
}

// SetUntil is Set with an instant of expiry, to the millisecond; the zero time is
// none.
func (d *DB) SetUntil(key, val []byte, at time.Time) (err error) {
	expire := NoExpiry
	if !at.IsZero() {
		expire = max(at.UnixMilli(), 1)
	}
	d.locked(key, func(tx *Tx) { err = tx.SetString(d.n, key, val, EncodingOf(val), expire) })
	return err
}

// Delete removes keys, one at a time, and returns how many there were.
func (d *DB) Delete(keys ...[]byte) (n int) {
	for _, key := range keys {
		d.locked(key, func(tx *Tx) {
			if tx.Delete(d.n, key) {
				n++
			}
		})
	}
	return n
}

// ExpireAt sets the instant of expiry of key; the zero time removes it. It returns
// false if there is no such key.
func (d *DB) ExpireAt(key []byte, at time.Time) (ok bool) {
	expire := NoExpiry
	if !at.IsZero() {
		expire = max(at.UnixMilli(), 1)
	}
	d.locked(key, func(tx *Tx) { ok = tx.SetExpire(d.n, key, expire) })
	return ok
}

// Expiry returns the instant of expiry of key, the zero time if it has none; false
// if there is no such key.
func (d *DB) Expiry(key []byte) (at time.Time, ok bool) {
	d.locked(key, func(tx *Tx) {
		var it Item
		if it, ok = tx.Peek(d.n, key); ok && it.ExpireAt != NoExpiry {
			at = time.UnixMilli(it.ExpireAt)
		}
	})
	return at, ok
}

// Len returns the number of keys, expired ones that are not yet deleted
// included.
func (d *DB) Len() int64 { return d.s.Len(d.n) }

// Scan visits at least count keys (fewer only at the end) from cursor on, 0 to
// begin, and returns the cursor to go on with, 0 at the end. A key that is there
// during a whole scan is visited exactly once. key and it.Value are
// borrowed during fn, which must not use the store.
func (d *DB) Scan(cursor uint64, count int, fn func(key []byte, it Item)) (next uint64) {
	tx := d.s.txs.Get().(*Tx)
	defer d.s.txs.Put(tx)
	return tx.Scan(d.n, cursor, count, fn)
}

// Flush removes every key of the database and returns how many there were.
func (d *DB) Flush() (n int64) {
	tx := d.s.txs.Get().(*Tx)
	tx.LockAll()
	n = tx.FlushDB(d.n)
	tx.Unlock()
	d.s.txs.Put(tx)
	return n
}

// Update runs fn while the given keys, of whatever database, are locked: nobody
// sees or saves a state in between. fn may use only these keys. What fn has
// changed when it returns an error stays changed: check first, then write.
func (s *Store) Update(keys [][]byte, fn func(tx *Tx) error) error {
	tx := s.txs.Get().(*Tx)
	tx.LockKeys(keys)
	defer func() {
		tx.Unlock()
		s.txs.Put(tx)
	}()
	return fn(tx)
}

// EncodingOf returns the encoding that Redis chooses for a new string.
func EncodingOf(val []byte) Encoding {
	switch {
	case isInt(val):
		return EncInt
	case len(val) <= MaxEmbstr:
		return EncEmbstr
	}
	return EncRaw
}

// isInt tells whether val is the canonical decimal text of an int64.
func isInt(val []byte) bool {
	digits := val
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(val) > 1 {
		return false
	}
	n := uint64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + uint64(c-'0')
	}
	if len(digits) < len(val) {
		return n <= 1<<63
	}
	return n < 1<<63
}
