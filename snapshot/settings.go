package snapshot

import (
	"errors"
	"log/slog"
	"os"
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
	Engine             Engine // the default one; 0 means Auto
	SavePoints         []SavePoint
	Cron               string // when else to save: five fields or a word like @hourly; "" means never
	StopWritesOnError  bool
	NoCompress         bool
	NoChecksum         bool
	NoIncrementalFsync bool
	ValkeyFieldExpiry  bool // see Options
	SkipUnsupported    bool // see LoadOptions
	ChildTimeout       time.Duration
	OOMScoreAdj        *int
	ChildNice          int
	ChildIO            IOPriority
	WritePolicy        kv.WritePolicy
	Threads            int
	RateLimit          int64
	// MemoryLimit is what the extra memory of a save may come to, in bytes; if
	// negative, in percent of the data. It is raised to MinMemoryLimit. 0 means
	// no limit.
	MemoryLimit int64
	Overrun     Overrun
	Verify      VerifyMode
	// Keep is how many dumps are kept under names with the time, besides the dump
	// itself; 0 means none. Then every dump is verified.
	Keep        int
	Hook        string        // a command for the shell, to run after each save; "" for none
	HookTimeout time.Duration // after which it is killed; 0 means a minute
}

// MinMemoryLimit is the least that Settings.MemoryLimit means, in bytes.
const MinMemoryLimit = 64 << 20

// path returns where the dump is.
func (s *Settings) path() string { return filepath.Join(s.Dir, s.Filename) }

// hookTimeout returns how long a hook may take.
func (s *Settings) hookTimeout() time.Duration {
	if s.HookTimeout <= 0 {
		return time.Minute
	}
	return s.HookTimeout
}

// options returns how to save, of data that take so many bytes.
func (s *Settings) options(engine Engine, data int64) Options {
	o := Options{Engine: engine, NoCompress: s.NoCompress, NoChecksum: s.NoChecksum,
		NoIncrementalFsync: s.NoIncrementalFsync, ValkeyFieldExpiry: s.ValkeyFieldExpiry, ChildTimeout: s.ChildTimeout, OOMScoreAdj: s.OOMScoreAdj,
		ChildNice: s.ChildNice, ChildIO: s.ChildIO, WritePolicy: s.WritePolicy, Threads: s.Threads,
		RateLimit: s.RateLimit, MemoryLimit: s.memoryLimit(data), Overrun: s.Overrun, Verify: s.Verify}
	if s.Keep > 0 && o.Verify == VerifyNo {
		o.Verify = VerifyYes // older dumps are removed for this one
	}
	return o
}

// memoryLimit returns what a save of so many bytes may cost, in bytes; 0 means
// no limit.
func (s *Settings) memoryLimit(data int64) int64 {
	limit := s.MemoryLimit
	if limit == 0 {
		return 0
	}
	if limit < 0 {
		limit = int64(float64(data) / 100 * float64(-limit))
	}
	return max(limit, MinMemoryLimit)
}

// ManagerOptions are what a Manager needs. Store and Settings must be set.
type ManagerOptions struct {
	Store    *kv.Store
	Settings func() Settings // may be called from any goroutine
	Log      *slog.Logger    // nil: no log
	// Loading, if set, is called when a load begins and when it ends: in between
	// clients should be kept from the store.
	Loading func(on bool)
	// HoldWrites, if set, is called to make writers wait, and to let them go on
	// again: many times a second while Settings.Overrun is OverrunThrottle and the
	// limit is near.
	HoldWrites func(on bool)
	// Latency, if set, is told of pauses, from any goroutine: "fork", "save-cut",
	// "save-thread" and "cow-fault".
	Latency func(event string, d time.Duration)

	// For tests.
	now    func() time.Time
	synced func(f *os.File) // as Options.synced
}

// Errors of a Manager.
var (
	ErrInProgress = errors.New("another save is in progress")
	ErrNoSave     = errors.New("no background save is in progress or scheduled")
	ErrBusy       = errors.New("another snapshot of the store is live")
	ErrCancelled  = errors.New("the save was cancelled")
	ErrClosed     = errors.New("the saver is closed")
)

// ErrRestoring is the ErrInProgress (errors.Is) of a snapshot that is being loaded.
var ErrRestoring error = restoringError{}

type restoringError struct{}

func (restoringError) Error() string { return "a snapshot is being loaded" }

// Is makes it an ErrInProgress.
func (restoringError) Is(target error) bool { return target == ErrInProgress }

// What Start answers, in Redis' words; behind the first the engine is named.
const (
	StatusStarted   = "Background saving started"
	StatusScheduled = "Background saving scheduled"
)

// Request says what to save. The zero value saves everything as the default dump
// with the default engine.
type Request struct {
	Engine Engine // 0 means the default one
	// Name is that of a snapshot beside the dump: a file of its own, which no
	// other save replaces. "" means the dump.
	Name     string
	DB       *int   // the only database to save; nil for all
	Schedule bool   // wait for the save in progress instead of failing
	Reason   string // for log and INFO; "" means BGSAVE
}

// whole tells whether the save is one that a restart loads, and that save points
// count from.
func (r *Request) whole() bool { return r.Name == "" && r.DB == nil }
