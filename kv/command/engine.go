package command

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kvd/kv"
	"kvd/kv/config"
)

// engineState is what the connections share beyond the exported fields.
type engineState struct {
	table  *table
	base   time.Time // zero of the monotonic clock
	runID  string
	replID string
	nextID atomic.Int64 // client IDs

	// gate is not zero when commands must pass the long list of checks.
	gate     atomic.Uint32
	password atomic.Pointer[string]
	pause    pauseState
	blocked  atomic.Int64 // clients that wait (for data, CLIENT PAUSE, HoldWrites, Await)
	blocking blockState

	stats   engineStats
	latency latencyMonitor

	trackLatency atomic.Bool // latency-tracking

	startupBytes int64 // used_memory when the engine was made

	mu   sync.Mutex // guards ctxs
	ctxs []*Ctx
}

// Bits of engineState.gate.
const (
	gateLoading uint32 = 1 << iota
	gatePause
	gateHold // HoldWrites
)

// NewEngine returns the engine for a store. Saver, Clients and Shutdown are
// set by the program before the first command runs.
func NewEngine(store *kv.Store, cfg *config.Config, log *slog.Logger, options ...Option) *Engine {
	e := &Engine{Store: store, Config: cfg, Log: log}
	e.state.table = sharedTable()
	e.state.base = time.Now()
	e.state.runID = randomHex()
	e.state.replID = randomHex()
	e.state.startupBytes = store.Memory().Used
	e.state.trackLatency.Store(cfg.Bool("latency-tracking"))
	cfg.OnChange("latency-tracking", func() error {
		e.state.trackLatency.Store(cfg.Bool("latency-tracking"))
		return nil
	})
	e.followLimits()
	e.setLatencyThreshold()
	cfg.OnChange("latency-monitor-threshold", func() error { e.setLatencyThreshold(); return nil })
	e.loadPassword()
	cfg.OnChange("requirepass", func() error { e.loadPassword(); return nil })
	for _, option := range options {
		option(e)
	}
	return e
}

// randomHex returns 40 random hex digits, the form of run and replication IDs.
func randomHex() string {
	var b [20]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// NewCtx returns the state of one event loop. It is used by that loop alone.
func (e *Engine) NewCtx() *Ctx {
	x := &Ctx{Engine: e, Tx: e.Store.NewTx()}
	x.local.init(len(e.state.table.all))
	x.pub.init(len(e.state.table.all))
	e.state.mu.Lock()
	e.state.ctxs = append(e.state.ctxs, x)
	e.state.mu.Unlock()
	x.BeginRound()
	return x
}

// now is the engine's monotonic clock in nanoseconds.
func (e *Engine) now() int64 { return int64(time.Since(e.state.base)) }

// unixTime is the wall clock in seconds.
func (e *Engine) unixTime() int64 { return time.Now().Unix() }

// RunID returns the 40 hex digits that name this run of the server.
func (e *Engine) RunID() string { return e.state.runID }

// SetLoading says that the data set is being loaded; until it is called with
// false most commands are refused with -LOADING.
func (e *Engine) SetLoading(on bool) {
	e.setGate(gateLoading, on)
}

// IsLoading tells whether the data set is being loaded.
func (e *Engine) IsLoading() bool { return e.state.gate.Load()&gateLoading != 0 }

func (e *Engine) setGate(bit uint32, on bool) {
	if on {
		e.state.gate.Or(bit)
	} else {
		e.state.gate.And(^bit)
	}
}

func (e *Engine) loadPassword() {
	p := e.Config.String("requirepass")
	e.state.password.Store(&p)
}

func (e *Engine) passwordSet() bool { return *e.state.password.Load() != "" }

// BeginRound reads the clock at the start of a batch of commands. Call it
// after waiting for input: the first command's time counts from here.
func (x *Ctx) BeginRound() { x.clock = x.now() }

// EndRound publishes the counters of the commands run since the last one.
// Call it before their replies are written, so that who has seen a reply
// finds its command counted.
func (x *Ctx) EndRound() {
	x.endSeries()
	x.flushStats()
}
