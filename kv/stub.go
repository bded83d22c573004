package kv

// Signatures only: replaced by the real files.

import "time"

type Options struct {
	Databases, Shards int
	Clock             func() int64
}
type Store struct{}
type Tx struct{}
type Watcher struct{}
type Memory struct {
	Used, Entries, Index, Deferred, Copy, Reserve, Overhead, GoHeap, Peak, Mapped int64
}
type Stats struct{}

func Open(o Options) (*Store, error)                                           { panic("stub") }
func (s *Store) Close() error                                                  { panic("stub") }
func (s *Store) Databases() int                                                { panic("stub") }
func (s *Store) NewTx() *Tx                                                    { panic("stub") }
func (s *Store) Len(db int) int64                                              { panic("stub") }
func (s *Store) Expires(db int) int64                                          { panic("stub") }
func (s *Store) AvgTTL(db int) int64                                           { panic("stub") }
func (s *Store) Changes() int64                                                { panic("stub") }
func (s *Store) Memory() Memory                                                { panic("stub") }
func (s *Store) ResetPeak()                                                    { panic("stub") }
func (s *Store) ExpiredKeys() int64                                            { panic("stub") }
func (s *Store) ExpiredStalePercent() float64                                  { panic("stub") }
func (s *Store) ResetStats()                                                   { panic("stub") }
func (s *Store) SetActiveExpire(on bool)                                       { panic("stub") }
func (s *Store) ActiveExpire() bool                                            { panic("stub") }
func (s *Store) Check() error                                                  { panic("stub") }
func (s *Store) Unwatch(w *Watcher)                                            { panic("stub") }
func (w *Watcher) Dirty() bool                                                 { panic("stub") }
func (w *Watcher) Keys() [][]byte                                              { panic("stub") }
func (w *Watcher) Watching() bool                                              { panic("stub") }
func (tx *Tx) LockKey(key []byte)                                              { panic("stub") }
func (tx *Tx) LockKeys(keys [][]byte)                                          { panic("stub") }
func (tx *Tx) LockAll()                                                        { panic("stub") }
func (tx *Tx) HoldsAll() bool                                                  { panic("stub") }
func (tx *Tx) Unlock()                                                         { panic("stub") }
func (tx *Tx) Now() int64                                                      { panic("stub") }
func (tx *Tx) Get(db int, key []byte) (Item, bool)                             { panic("stub") }
func (tx *Tx) Peek(db int, key []byte) (Item, bool)                            { panic("stub") }
func (tx *Tx) Exists(db int, key []byte) bool                                  { panic("stub") }
func (tx *Tx) Touch(db int, key []byte) bool                                   { panic("stub") }
func (tx *Tx) Idle(db int, key []byte) (seconds int64, ok bool)                { panic("stub") }
func (tx *Tx) SetIdle(db int, key []byte, seconds int64)                       { panic("stub") }
func (tx *Tx) MemoryUsage(db int, key []byte) (int64, bool)                    { panic("stub") }
func (tx *Tx) EditString(db int, key []byte, size int) ([]byte, error)         { panic("stub") }
func (tx *Tx) Delete(db int, key []byte) bool                                  { panic("stub") }
func (tx *Tx) SetExpire(db int, key []byte, at int64) bool                     { panic("stub") }
func (tx *Tx) Move(srcDB int, src []byte, dstDB int, dst []byte) error         { panic("stub") }
func (tx *Tx) Copy(srcDB int, src []byte, dstDB int, dst []byte) error         { panic("stub") }
func (tx *Tx) RandomKey(db int, dst []byte) ([]byte, bool)                     { panic("stub") }
func (tx *Tx) FlushDB(db int) int64                                            { panic("stub") }
func (tx *Tx) FlushAll() int64                                                 { panic("stub") }
func (tx *Tx) SwapDB(a, b int)                                                 { panic("stub") }
func (tx *Tx) MarkChanged(n int64)                                             { panic("stub") }
func (tx *Tx) Watch(db int, key []byte, w *Watcher)                            { panic("stub") }
func (tx *Tx) WatchBroken(w *Watcher) bool                                     { panic("stub") }
func (tx *Tx) SetString(db int, key, val []byte, enc Encoding, at int64) error { panic("stub") }
func (tx *Tx) Scan(db int, cursor uint64, count int, fn func(key []byte, it Item)) uint64 {
	panic("stub")
}

// snapshots

type Mode uint8

const (
	ModeThread Mode = iota + 1 // writers copy what the view can reach
	ModeFork                   // the kernel copies; UnderLocks clones
	ModeCopy                   // everything is copied under the locks
	ModeLocked                 // the locks are held until Close (SAVE)
)

type FreezeOptions struct {
	Mode       Mode
	UnderLocks func() error
}
type View struct{}
type Walker struct{}
type Entry struct {
	DB          int
	Type        Type
	Key, Value  []byte
	ExpireAt    int64
	IdleSeconds int64
}

func (s *Store) Freeze(o FreezeOptions) (*View, error) { panic("stub") }
func (v *View) Pause() time.Duration                   { panic("stub") }
func (v *View) Changes() int64                         { panic("stub") }
func (v *View) Counts(db int) (keys, expires int64)    { panic("stub") }
func (v *View) Shards() int                            { panic("stub") }
func (v *View) Walk(shard int) Walker                  { panic("stub") }
func (w *Walker) Next(e *Entry) bool                   { panic("stub") }
func (v *View) Release(shard int)                      { panic("stub") }
func (v *View) ExtraBytes() (now, peak int64)          { panic("stub") }
func (v *View) Close() error                           { panic("stub") }
