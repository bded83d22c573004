package snapshot

import (
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"kvd/kv"
)

// SavePoint makes the Manager save when at least Changes writes came within
// Seconds since the last save.
type SavePoint struct{ Seconds, Changes int64 }

// Settings are what a user can change while the server runs. They are asked for
// at the beginning of each save: one that runs keeps those it began with.
type Settings struct {
	Dir, Filename      string // Dir is absolute
	Engine             Engine // the default one; 0 means Fork
	SavePoints         []SavePoint
	StopWritesOnError  bool
	NoCompress         bool
	NoChecksum         bool
	NoIncrementalFsync bool
	ChildTimeout       time.Duration
	OOMScoreAdj        *int
	ChildNice          int
	ChildIO            IOPriority
}

// path returns where the dump is.
func (s *Settings) path() string { return filepath.Join(s.Dir, s.Filename) }

// options returns how to save.
func (s *Settings) options(engine Engine) Options {
	return Options{Engine: engine, NoCompress: s.NoCompress, NoChecksum: s.NoChecksum,
		NoIncrementalFsync: s.NoIncrementalFsync, ChildTimeout: s.ChildTimeout, OOMScoreAdj: s.OOMScoreAdj,
		ChildNice: s.ChildNice, ChildIO: s.ChildIO}
}

// ManagerOptions are what a Manager needs. Store and Settings must be set.
type ManagerOptions struct {
	Store    *kv.Store
	Settings func() Settings // may be called from any goroutine
	Log      *slog.Logger    // nil: no log
	// Loading, if set, is called when a load begins and when it ends: in between
	// clients should be kept from the store.
	Loading func(on bool)

	now func() time.Time // for tests
}

// Errors of a Manager.
var (
	ErrInProgress = errors.New("another save is in progress")
	ErrNoSave     = errors.New("no background save is in progress or scheduled")
	ErrBusy       = errors.New("another snapshot of the store is live")
	ErrCancelled  = errors.New("the save was cancelled")
	ErrClosed     = errors.New("the saver is closed")
)

// What Start answers, in Redis' words.
const (
	StatusStarted   = "Background saving started"
	StatusScheduled = "Background saving scheduled"
)
