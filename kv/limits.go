package kv

// Limits say how big a collection may be to lie in one block, with the meaning of
// Redis' directives. A zero number of entries means that none does.
type Limits struct {
	HashEntries, HashValue     int64 // hash-max-listpack-…: fields; bytes of the longest field or value
	ListSize                   int64 // list-max-listpack-size: elements, or -1 … -5 for 4 … 64 KiB
	SetIntset                  int64 // set-max-intset-entries
	SetEntries, SetValue       int64 // set-max-listpack-…
	ZsetEntries, ZsetValue     int64 // zset-max-listpack-…
	StreamBytes, StreamEntries int64 // stream-node-max-…: of one block of entries; 0: no limit
}

// DefaultLimits returns Redis' limits.
func DefaultLimits() Limits {
	return Limits{
		HashEntries: 512, HashValue: 64, ListSize: -2, SetIntset: 512, SetEntries: 128, SetValue: 64,
		ZsetEntries: 128, ZsetValue: 64, StreamBytes: 4096, StreamEntries: 100,
	}
}

// Limits returns what is in force. The result is not to be changed.
func (s *Store) Limits() *Limits { return s.limits.Load() }

// SetLimits changes the limits for what is written from now on; collections that
// exist stay as they are until they grow.
func (s *Store) SetLimits(l Limits) { s.limits.Store(&l) }
