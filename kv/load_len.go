package kv

import "kvd/kv/internal/keyspace"

// Len returns the number of elements of the value at key, as Item.Len does; 0 if there is
// no such key. A loader of dumps finds by it that some element was there twice.
func (l *Loader) Len(db int, key []byte) int64 {
	h := l.s.hasher.Hash(key)
	sh := &l.shards[l.s.hasher.Shard(h)]
	if l.gate != nil {
		l.gate.RLock()
		defer l.gate.RUnlock()
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.tables[db]
	if t == nil {
		return 0
	}
	p, ok := t.Lookup(h, key)
	if !ok {
		return 0
	}
	var e keyspace.Entry
	t.Read(p, &e)
	return lenOf(l.s.arena, Type(e.Type()), Encoding(e.Encoding()), e.Value)
}
