// Package command holds kvd's command table and its handlers.
//
// A command is one row (a Spec) and one handler. Everything that is said of a
// command, COMMAND INFO, COMMAND DOCS, arity, keys, and which locks it needs,
// is read from its row. Handlers never lock: the dispatcher takes the locks of
// all keys of a command (or of all commands of a MULTI block) before the first
// handler runs and releases them after the last, so a cut of a background save
// never falls inside a command.
//
// The package knows kv, kv/config, kv/resp and the RDB leaf package (DUMP and
// RESTORE), and the outside world through the small interfaces Saver and
// Clients.
package command

import (
	"errors"
	"log/slog"

	"kvd/kv"
	"kvd/kv/config"
)

// Engine is what all connections share: the store, the configuration, the
// saver and the counters.
type Engine struct {
	Store   *kv.Store
	Config  *config.Config
	Saver   Saver
	Clients Clients
	Log     *slog.Logger

	Snapshots Snapshots // nil: the SNAPSHOT command is refused

	Version string // kvd's own, for INFO

	// Shutdown ends the server; it does not return when it succeeds. It is
	// set by the program, which alone knows what must be closed.
	Shutdown func(o ShutdownOptions) error

	state engineState // counters, pause state, table: see engine.go
}

// ShutdownOptions are those of the SHUTDOWN command.
type ShutdownOptions struct {
	Save, NoSave, Now, Force, Abort bool
}

// LockMode says which locks a command needs before its handler runs.
type LockMode uint8

const (
	// LockKeys locks the shards of the command's keys; none if it has none.
	LockKeys LockMode = iota
	// LockAll locks every shard (FLUSHALL, SWAPDB, DEBUG DIGEST, KEYS).
	LockAll
	// LockSelf takes none: the handler's store calls lock shard by shard
	// (SCAN, RANDOMKEY). Inside EXEC it counts as LockAll.
	LockSelf
)

// Outcome tells the event loop what became of a command.
type Outcome uint8

const (
	// Done: the command has run, or was refused; its reply is in Client.Out.
	Done Outcome = iota
	// Postponed: the command must wait (CLIENT PAUSE, HoldWrites, or work of its
	// own, see Await) and was not run, or not to its end. The loop keeps its bytes unconsumed, reads no more from the client and
	// calls Do again with the same arguments after Clients.Wake.
	Postponed
	// Close: write what is in Client.Out, then close the connection.
	Close
	// Blocked: the command has run and waits for data. Its bytes are consumed, but no
	// more commands of the client run before Clients.Unblock and Resume.
	Blocked
)

// Ctx is the state of one event loop while it runs commands. It is not for
// concurrent use. Handlers read their arguments from Args (Args[0] is the
// command's name) and append their reply to Client.Out, mostly through the
// reply methods of Ctx.
type Ctx struct {
	*Engine
	Tx      *kv.Tx
	Client  *Client
	Spec    *Spec
	Args    [][]byte // borrowed from the query buffer, valid during the command
	Scratch []byte   // reused between commands

	InExec bool // running inside EXEC: all locks are held already

	series    *Spec // of the quick commands that are not counted yet
	seriesLen int64

	waiting bool // the command has left work to a goroutine, see Await

	parked   bool     // the command waits for data, see block
	serving  *waitKey // the key that a blocked client is served from; nil when none is
	unserved bool     // there was nothing in it for that client
	standIn  Client   // takes the replies to blocked clients that are served
	ready    ready

	clock int64    // engine time, ns: when the last command ended or the round began
	local counters // since the last EndRound
	pub   published
	keys  [][]byte // reused by lockFor
	after []func() // what a transaction does when its locks are released
	zset  zsetRoom
}

// Clients is the server as commands see it.
type Clients interface {
	// Each calls fn for every connected client in order of ID until fn
	// returns false.
	Each(fn func(*Client) bool)
	// Count returns the number of connected clients.
	Count() int
	// Kill closes c's connection soon, from its own loop. A client that
	// kills itself gets its replies first.
	Kill(c *Client)
	// Unblock makes c's loop call Resume and go on with c's commands. Any goroutine may
	// call it, with locks held: it only leaves a message.
	Unblock(c *Client)
	// Wake makes every loop retry its postponed commands (UNPAUSE, HoldWrites). Any
	// goroutine may call it.
	Wake()
}

// Errors of a Saver that clients see in Redis' words.
var (
	ErrSaveInProgress = errors.New("a background save is in progress")
	ErrNoSave         = errors.New("no background save is in progress or scheduled")
)

// Saver is the background-save manager as commands see it.
type Saver interface {
	// Save saves in the foreground (SAVE). ErrSaveInProgress if one runs.
	Save() error
	// Start starts a background save. With Schedule one that cannot start now
	// is started as soon as the running one has ended. status is the text of the reply.
	Start(r SaveRequest) (status string, err error)
	// Check returns what Start would say against the name, the database and the engine of r,
	// whatever else is going on. It waits for nothing.
	Check(r SaveRequest) error
	// Cancel ends the running save, if any, and waits until it is gone.
	// ErrNoSave if none runs or is scheduled.
	Cancel() error
	// Flushed is called by FLUSHALL: Before cancels a running save before the
	// locks are taken; after, with all locks released, it saves the empty
	// data set if save points are configured, as Redis does.
	BeforeFlushAll()
	AfterFlushAll()
	// Reload is DEBUG RELOAD: saves (unless noSave), empties (unless noFlush)
	// and loads the dump. The caller holds no locks.
	Reload(noSave, noFlush bool) error
	// WriteDenied returns the reason why writes must be refused (the last
	// background save failed and stop-writes-on-bgsave-error is on), or "".
	// It is one atomic load when all is well.
	WriteDenied() string
	// Info returns the state for INFO, LASTSAVE and SHUTDOWN.
	Info() SaveInfo
}

// SaveInfo is the state of the saver. Times are Unix seconds, durations are in
// the unit that their name ends with; -1 means "none yet" where Redis says so.
type SaveInfo struct {
	Loading               bool
	LoadingStart          int64
	LoadingTotalBytes     int64
	LoadingRDBUsedMem     int64
	LoadingLoadedBytes    int64
	LoadingETASeconds     int64
	AsyncLoading          bool
	ChangesSinceLastSave  int64
	BgsaveInProgress      bool
	LastSaveUnix          int64
	LastBgsaveOK          bool
	LastBgsaveSeconds     int64 // -1 before the first
	CurrentBgsaveSeconds  int64 // -1 if none runs
	Saves                 int64
	LastCOWBytes          int64
	CurrentCOWBytes       int64
	CurrentCOWPeakBytes   int64
	CurrentCOWAgeSeconds  int64
	CurrentSaveKeysTotal  int64
	CurrentSaveKeysDone   int64
	LastLoadKeysExpired   int64
	LastLoadKeysLoaded    int64
	CurrentType, LastType string // "fork", "thread", "copy", "none"
	LastPauseUsec         int64  // locks taken to locks released
	LatestForkUsec        int64  // the clone alone
	TotalForks            int64
	LastExtraMemoryPeak   int64
	LastError             string
	Scheduled             bool
	ChildPID              int

	// The save in progress.
	CurrentReason     string  // who asked for it; "" if none runs
	CurrentPhase      string  // "cut", "writing", "syncing", "verifying"; "" if none runs
	CurrentName       string  // of the snapshot; "" for the dump, or if none runs
	CurrentShare      float64 // written of what there is to write, by bytes of the store, 0 to 1
	CurrentETASeconds int64   // -1 if unknown, or none runs
	CurrentExtraBytes int64   // memory that it costs now
	CurrentLimitBytes int64   // what that may come to; 0: not limited, or none runs
	CurrentThrottled  float64 // share of the time that writers are made to wait, 0 to 1

	// The last background save, successful or not.
	LastReason        string
	LastAutoReason    string // why AUTO chose its engine, at the last save that it chose for
	LastVerified      string // "yes", "full", "no", or "failed"; "" before the first save
	LastKeys          int64
	LastBytes         int64   // of the file
	LastSeconds       float64 // the verification included
	LastVerifySeconds float64
	LastCOWFaults     int64  // page faults of the process while the child lived; fork
	LastLimitReached  bool   // given up because of save-memory-limit
	LastHook          string // "ok", "none", or what went wrong with the save-hook
}

// SaveRequest says what BGSAVE asks for.
type SaveRequest struct {
	Kind     string // "fork", "thread", "copy", "auto"; "" for the configured default
	Name     string // of a snapshot beside the dump; "" for the dump
	DB       int    // the only database to save; -1 for all
	Schedule bool   // wait for the save in progress instead of failing
	Reason   string // for log and INFO; "" means BGSAVE
}

// Snapshots are the dumps in the server's directory, by name.
type Snapshots interface {
	// List returns all, the newest first.
	List() ([]SnapshotInfo, error)
	// Verify reads a snapshot to its end, values included.
	Verify(name string) (SnapshotReport, error)
	// Load replaces the data by those of a snapshot, all or nothing: every
	// database, or, with db >= 0, database into by database db of the snapshot. It
	// returns the number of keys. ErrSaveInProgress while a save runs.
	Load(name string, db, into int) (keys int64, err error)
}

// SnapshotInfo is a dump in the directory.
type SnapshotInfo struct {
	Name      string // what BGSAVE … TO, VERIFY and LOAD call it
	File      string // within the directory
	Kind      string // "default", "kept" (save-keep) or "named"
	Bytes     int64
	SavedUnix int64  // its time of modification
	Engine    string // "fork", "thread", …; "" if the file does not tell
}

// SnapshotReport is what SNAPSHOT VERIFY found.
type SnapshotReport struct {
	Name      string
	Version   int // of the RDB format
	Bytes     int64
	Keys      int64
	Expires   int64
	Expired   int64
	Databases int  // with keys
	Checksum  bool // there is one, and it is right
	Seconds   float64
}
