package kv

import (
	"sync/atomic"
	"time"
)

// Fields of hashes may expire, each by itself. One that has is never seen: whoever reads a
// hash passes over it. It is removed when somebody changes it, or its whole block, and ten
// times a second by expireFields, which knows from each table's fieldTimers where to look.

// fieldTimers are the hashes of one table of which fields may expire. That a hash stands here
// does not mean that it is still there: whoever looks finds out. Its map is guarded by the
// shard's lock.
type fieldTimers struct {
	due  map[string]int64 // by key: no field expires before, Unix milliseconds
	next atomic.Int64     // not later than any of due; 0: there is none
}

// fieldSweep is the state of the search for expired fields.
type fieldSweep struct {
	used    atomic.Bool  // there has been a field that expires
	table   int          // the cron's: where the next round goes on
	removed atomic.Int64 // fields
}

// note makes the search look at a hash when the time has come.
func (f *fieldTimers) note(key []byte, at int64) {
	if at == NoExpiry {
		return
	}
	if old, ok := f.due[string(key)]; ok && old <= at {
		return
	}
	if f.due == nil {
		f.due = make(map[string]int64)
	}
	f.due[string(key)] = at
	if next := f.next.Load(); next == 0 || at < next {
		f.next.Store(at)
	}
}

// noteFields makes the search know a hash that has come to a key by other ways than its
// fields: copied, renamed, or loaded.
func (tx *Tx) noteFields(db int, key []byte) {
	var h Hash
	if h.open(tx, db, key, false) == nil && h.c.exists {
		h.noteTimer()
	}
}

// ExpiredFields returns how many fields of hashes were removed because they had expired.
func (s *Store) ExpiredFields() int64 { return s.fields.removed.Load() }

// How much the search does while it holds a shard's lock: hashes that it looks at, and fields
// that it removes.
const (
	sweepHashes = 64
	sweepFields = 256
)

// expireFields removes fields that have expired by now, for about as long as budget.
func (s *Store) expireFields(now int64, budget time.Duration) {
	if !s.fields.used.Load() {
		return
	}
	start := time.Now()
	tx := s.NewTx()
	for range len(s.shards) * s.dbs {
		n, db := s.fields.table%len(s.shards), s.fields.table/len(s.shards)
		for more := true; more; {
			more = s.expireFieldsOf(tx, n, db, now)
			if time.Since(start) > budget {
				return
			}
		}
		s.fields.table = (s.fields.table + 1) % (len(s.shards) * s.dbs)
	}
}

// expireFieldsOf removes some of the expired fields of a table, and tells whether it should
// be called again at once.
func (s *Store) expireFieldsOf(tx *Tx, n, db int, now int64) (more bool) {
	sh := &s.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := sh.fields[db]
	if next := f.next.Load(); next == 0 || next > now {
		return false
	}
	s.enter(sh)
	tx.held = append(tx.held[:0], uint16(n))
	defer func() { tx.held, tx.now, tx.key = tx.held[:0], 0, nil }()
	looked, found, removed := 0, 0, 0
	next := int64(0)
	for key, at := range f.due { // the order is random: all have their turn
		if looked == sweepHashes || removed >= sweepFields {
			return found*10 > looked
		}
		looked++
		if at <= now {
			gone := 0
			at, gone = tx.expireFieldsAt(db, []byte(key), sweepFields-removed)
			removed += gone
			found++
			if at == NoExpiry {
				delete(f.due, key)
				continue
			}
			f.due[key] = at
		}
		if next == 0 || at < next {
			next = at
		}
	}
	f.next.Store(next)
	return next != 0 && next <= now
}

// expireFieldsAt removes up to max expired fields of a hash and returns when the next one
// expires: NoExpiry if none does, or there is no such hash.
func (tx *Tx) expireFieldsAt(db int, key []byte, max int) (next int64, removed int) {
	var h Hash
	if h.open(tx, db, key, false) != nil || !h.c.exists {
		return NoExpiry, 0
	}
	var err error
	if h.c.isTree() {
		err = h.removeExpired(max)
	} else if next = h.nextExpiry(); next != NoExpiry && next <= h.now {
		h.edit()
	}
	removed = int(h.expired)
	if saveErr := h.Save(); err != nil || saveErr != nil {
		return h.now + 1000, removed // there may be memory later
	}
	if !h.c.exists {
		return NoExpiry, removed
	}
	return h.nextExpiry(), removed
}

// newTimers returns the timers of a shard.
func newTimers(dbs int) []*fieldTimers {
	f := make([]*fieldTimers, dbs)
	for db := range f {
		f[db] = new(fieldTimers)
	}
	return f
}
