package kv

import (
	"sync/atomic"

	"kvd/kv/internal/keyspace"
)

// Watcher is told of changes to keys: it is what WATCH is made of. It is used by
// one goroutine; the store marks it dirty from any.
type Watcher struct {
	keys  []*watched
	index map[watchKey]struct{}
	dirty atomic.Bool
}

type watchKey struct {
	db  int
	key string
}

// watched is one key of a Watcher. It stands in the lists of both; those who
// change keys see only it, under the shard's lock, and not the Watcher's lists.
type watched struct {
	watchKey
	w       *Watcher
	shard   int
	expired bool // it had expired, undeleted, when the watch began; guarded by the shard's lock
}

// Watching tells whether any key is watched.
func (w *Watcher) Watching() bool { return len(w.keys) > 0 }

// Dirty tells whether a watched key was changed.
func (w *Watcher) Dirty() bool { return w.dirty.Load() }

// Keys returns the watched keys.
func (w *Watcher) Keys() [][]byte {
	keys := make([][]byte, len(w.keys))
	for i := range w.keys {
		keys[i] = []byte(w.keys[i].key)
	}
	return keys
}

// Watch makes w dirty when the key is changed from now on. The key's shard must
// be locked. Watching a key twice is the same as once.
func (tx *Tx) Watch(db int, key []byte, w *Watcher) {
	k := watchKey{db, string(key)}
	if _, ok := w.index[k]; ok {
		return
	}
	h := tx.hashOf(key)
	sh := tx.shard(h)
	x := &watched{watchKey: k, w: w, shard: tx.s.hasher.Shard(h)}
	if t := sh.tables[db]; t != nil {
		if p, ok := t.Lookup(h, key); ok {
			at := t.ExpireAt(p)
			x.expired = at != 0 && at <= tx.Now()
		}
	}
	if w.index == nil {
		w.index = make(map[watchKey]struct{})
	}
	w.index[k] = struct{}{}
	w.keys = append(w.keys, x)
	if sh.watchers == nil {
		sh.watchers = make(map[watchKey][]*watched)
	}
	sh.watchers[k] = append(sh.watchers[k], x)
}

// WatchBroken tells whether a watched key was changed, or has expired since it
// is watched. The shards of all watched keys must be locked.
func (tx *Tx) WatchBroken(w *Watcher) bool {
	if w.Dirty() {
		return true
	}
	for i := range w.keys {
		x := w.keys[i]
		t := tx.s.shards[x.shard].tables[x.db]
		if x.expired || t == nil {
			continue
		}
		key := []byte(x.key)
		if p, ok := t.Lookup(tx.s.hasher.Hash(key), key); ok {
			if at := t.ExpireAt(p); at != 0 && at <= tx.Now() {
				return true
			}
		}
	}
	return false
}

// Unwatch makes w forget all keys and become clean. It takes the locks itself;
// the caller must hold none.
func (s *Store) Unwatch(w *Watcher) {
	for i := range w.keys {
		x := w.keys[i]
		sh := &s.shards[x.shard]
		s.lock(sh)
		list := sh.watchers[x.watchKey]
		for j, other := range list {
			if other == x {
				list[j] = list[len(list)-1]
				list[len(list)-1] = nil
				list = list[:len(list)-1]
				break
			}
		}
		if len(list) == 0 {
			delete(sh.watchers, x.watchKey)
		} else {
			sh.watchers[x.watchKey] = list
		}
		sh.mu.Unlock()
	}
	w.keys, w.index = nil, nil
	w.dirty.Store(false)
}

// touchWatchers marks those dirty who watch a key that was changed. A key that
// had expired already when the watch began and is now deleted has not changed.
func (sh *shard) touchWatchers(db int, key []byte, written bool) {
	if len(sh.watchers) == 0 {
		return
	}
	k := watchKey{db, string(key)}
	for _, x := range sh.watchers[k] {
		if x.expired && !written {
			x.expired = false
			continue
		}
		x.w.dirty.Store(true)
	}
}

// flushWatchers marks those dirty who watch a key of a database that is about
// to be emptied, or replaced by another, if the key is in either.
func (sh *shard) flushWatchers(db int, old, replaced *keyspace.Table) {
	for k, list := range sh.watchers {
		if k.db != db {
			continue
		}
		key := []byte(k.key)
		in := func(t *keyspace.Table) bool { return t != nil && t.Has(key) }
		if !in(old) && !in(replaced) {
			continue
		}
		for _, x := range list {
			if x.expired && !in(replaced) {
				x.expired = false
				continue
			}
			x.w.dirty.Store(true)
		}
	}
}
