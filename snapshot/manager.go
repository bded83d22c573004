package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
)

// Manager is the background saver of a server: one save at a time, save points,
// the figures of INFO, and what FLUSHALL, DEBUG RELOAD and SHUTDOWN need. Its
// methods may be called from any goroutine, which must hold no lock of the store.
type Manager struct {
	o      ManagerOptions
	forker *fork.Forker

	// clean is Store.Changes as of the cut of the last successful save, or of
	// the last load.
	clean  atomic.Int64
	denied atomic.Bool // the last background save failed

	mu        sync.Mutex // guards what follows; never held during anything slow
	run       *running   // the save in progress
	scheduled *Engine    // what to save with when nothing is in progress
	stat      stats
	load      loadState
	closed    bool
	ticking   bool

	kick chan struct{} // makes the ticker look at once
	stop chan struct{}
	gone sync.WaitGroup // ticker and background saves
}

// running is a save in progress.
type running struct {
	engine     Engine
	background bool
	begun      time.Time
	ctx        context.Context
	cancel     context.CancelCauseFunc
	saving     *saving       // nil until the cut
	reload     bool          // the load that follows sets Manager.clean
	done       chan struct{} // closed when m.run is free again
}

// stats are what INFO tells of past saves.
type stats struct {
	lastSave    time.Time // the end of the last successful one, or the start of the Manager
	lastTry     time.Time // of a background save
	failed      bool      // the last background save
	seconds     int64     // of the last background save, -1 before the first
	saves       int64
	forks       int64
	clone       time.Duration
	pause       time.Duration
	cow         int64
	extra       int64
	last        Engine
	lastError   string
	keysExpired int64 // of the last load
	keysLoaded  int64
}

// NewManager returns a Manager. It must be closed.
func NewManager(o ManagerOptions) *Manager {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	m := &Manager{o: o, forker: fork.New(), kick: make(chan struct{}, 1), stop: make(chan struct{})}
	m.stat.seconds = -1
	m.stat.lastSave = o.now()
	m.clean.Store(o.Store.Changes())
	return m
}

// Run starts the ticker, which looks at the save points and for a scheduled save
// ten times a second. Later calls do nothing.
func (m *Manager) Run() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed && !m.ticking {
		m.ticking = true
		m.gone.Go(m.tick)
	}
}

// Close cancels a save in progress, waits for it and ends the Manager. Later
// calls do nothing.
func (m *Manager) Close() {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.closed = true
	r := m.run
	m.mu.Unlock()
	close(m.stop)
	if r != nil {
		r.cancel(ErrCancelled)
		<-r.done
	}
	m.gone.Wait()
	m.forker.Close()
}

// claim takes the one slot for a save; m.mu is held and m.run is nil.
func (m *Manager) claim(engine Engine, background bool) *running {
	r := &running{engine: engine, background: background, begun: m.o.now(), done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	m.run = r
	m.stat.saves++
	if background {
		m.stat.lastTry = r.begun
	}
	return r
}

// Start begins a background save and returns when its cut has been taken. kind
// is a name that ParseEngine knows, or "" for the default engine. While another
// save runs it returns ErrInProgress, or, with schedule, has this one begin as
// soon as that has ended. ErrBusy: the store has a View that is none of
// the Manager's. Opening the file is done by the caller's goroutine.
func (m *Manager) Start(kind string, schedule bool) (status string, err error) {
	settings := m.o.Settings()
	engine := settings.Engine
	if kind != "" {
		if engine, err = ParseEngine(kind); err != nil {
			return "", err
		}
	} else if engine == 0 {
		engine = Fork
	}
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return "", ErrClosed
	case m.run != nil && schedule:
		m.scheduled = &engine
		m.mu.Unlock()
		return StatusScheduled, nil
	case m.run != nil:
		m.mu.Unlock()
		return "", ErrInProgress
	}
	r := m.claim(engine, true)
	m.gone.Add(1)
	m.mu.Unlock()
	err = m.launch(r, &settings)
	if errors.Is(err, kv.ErrBusy) {
		if !schedule {
			return "", ErrBusy
		}
		m.mu.Lock()
		m.scheduled = &engine
		m.mu.Unlock()
		return StatusScheduled, nil
	}
	if err != nil {
		return "", err
	}
	return StatusStarted, nil
}

// launch takes the cut and leaves the rest to a goroutine.
func (m *Manager) launch(r *running, settings *Settings) error {
	s, err := begin(m.o.Store, settings.path(), settings.options(r.engine), m.forker)
	if err != nil {
		m.gone.Done()
		m.end(r, Result{Engine: r.engine}, err)
		return err
	}
	m.began(r, s)
	go func() {
		defer m.gone.Done()
		res, err := s.finish(r.ctx)
		m.end(r, res, err)
	}()
	return nil
}

// began notes what is known from the cut on.
func (m *Manager) began(r *running, s *saving) {
	m.mu.Lock()
	r.saving = s
	if r.background {
		m.stat.pause = s.view.Pause()
	}
	pid := 0
	if s.job != nil {
		m.stat.clone = s.job.CloneDuration()
		m.stat.forks++
		pid = s.job.Pid()
	}
	m.mu.Unlock()
	if !r.background {
		return
	}
	how := fmt.Sprintf("cut %d us, %d keys", s.view.Pause().Microseconds(), s.dump.total())
	if pid != 0 {
		m.o.Log.Info(fmt.Sprintf("Background saving started by pid %d (engine fork, clone %d us, %s)",
			pid, s.job.CloneDuration().Microseconds(), how))
	} else {
		m.o.Log.Info(fmt.Sprintf("Background saving started by a thread (engine %v, %s)", r.engine, how))
	}
}

// end closes a save: figures, log, and the slot is free.
func (m *Manager) end(r *running, res Result, err error) {
	cancelled := r.ctx.Err() != nil && errors.Is(err, context.Cause(r.ctx))
	if errors.Is(err, kv.ErrBusy) { // it never began
		m.release(r)
		return
	}
	m.logEnd(r, &res, err, cancelled)
	m.mu.Lock()
	m.note(r, &res, err, cancelled)
	m.run = nil
	m.mu.Unlock()
	r.cancel(nil)
	close(r.done)
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// note keeps the figures of a save that has ended; m.mu is held.
func (m *Manager) note(r *running, res *Result, err error, cancelled bool) {
	st := &m.stat
	now := m.o.now()
	if err == nil {
		if !r.reload {
			m.clean.Store(res.Changes)
		}
		m.denied.Store(false)
		st.lastSave, st.failed, st.lastError = now, false, ""
	} else if !cancelled {
		st.lastError = err.Error()
		if r.background {
			st.failed = true
			m.denied.Store(true)
		}
	}
	if !r.background {
		return
	}
	st.seconds = int64(now.Sub(r.begun).Seconds())
	st.last = r.engine
	if r.saving != nil {
		st.cow, st.extra = res.Extra, res.Extra
		if r.engine == Fork {
			st.cow = res.Copied
		}
	}
}

// release frees the slot of a save that never was.
func (m *Manager) release(r *running) {
	m.mu.Lock()
	m.stat.saves--
	m.run = nil
	m.mu.Unlock()
	r.cancel(nil)
	close(r.done)
}

// logEnd writes Redis' lines.
func (m *Manager) logEnd(r *running, res *Result, err error, cancelled bool) {
	log := m.o.Log
	if res.Warning != nil {
		log.Warn("Background saving: " + res.Warning.Error())
	}
	switch {
	case cancelled:
		log.Warn(fmt.Sprintf("Background saving terminated by a request (engine %v)", r.engine))
		return
	case err != nil && r.background:
		log.Warn(fmt.Sprintf("Background saving error (engine %v): %v", r.engine, err))
		return
	case err != nil:
		log.Warn("Error saving DB on disk: " + err.Error())
		return
	}
	log.Info("DB saved on disk")
	if !r.background {
		return
	}
	const mb = 1 << 20
	if r.engine == Fork {
		log.Info(fmt.Sprintf("Fork CoW for RDB: current %d MB, peak %d MB, extra memory at its peak %d MB",
			res.Copied/mb, r.saving.copiedPeak.Load()/mb, res.Extra/mb))
	} else {
		log.Info(fmt.Sprintf("Extra memory for RDB: peak %d MB (engine %v)", res.Extra/mb, r.engine))
	}
	log.Info(fmt.Sprintf("Background saving terminated with success (engine %v, %d keys, %d bytes, %.3f seconds)",
		r.engine, res.Keys, res.Bytes, res.Took.Seconds()))
}

// Save saves in the foreground: every writer waits. It returns ErrInProgress
// while another save runs, ErrBusy if the store has another View.
func (m *Manager) Save() error {
	settings := m.o.Settings()
	m.mu.Lock()
	if m.closed || m.run != nil {
		defer m.mu.Unlock()
		if m.closed {
			return ErrClosed
		}
		return ErrInProgress
	}
	r := m.claim(Foreground, false)
	m.mu.Unlock()
	_, err := m.saveNow(r, &settings)
	return err
}

// saveNow saves in the foreground and frees the slot.
func (m *Manager) saveNow(r *running, settings *Settings) (Result, error) {
	res, err := m.saveHeld(r, settings)
	m.end(r, res, err)
	if errors.Is(err, kv.ErrBusy) {
		err = ErrBusy
	}
	return res, err
}

// saveHeld saves in the foreground; the slot stays taken.
func (m *Manager) saveHeld(r *running, settings *Settings) (Result, error) {
	s, err := begin(m.o.Store, settings.path(), settings.options(Foreground), m.forker)
	if err != nil {
		return Result{Engine: Foreground}, err
	}
	m.began(r, s)
	return s.finish(r.ctx)
}

// Cancel ends the background save in progress and the scheduled one, and returns
// when the child or the thread has gone. ErrNoSave if there is neither.
func (m *Manager) Cancel() error {
	m.mu.Lock()
	r := m.run
	scheduled := m.scheduled != nil
	m.scheduled = nil
	m.mu.Unlock()
	if r == nil || !r.background {
		if scheduled {
			return nil
		}
		return ErrNoSave
	}
	r.cancel(ErrCancelled)
	<-r.done
	return nil
}

// BeforeFlushAll cancels a background save in progress.
func (m *Manager) BeforeFlushAll() {
	m.mu.Lock()
	r := m.run
	m.mu.Unlock()
	if r != nil && r.background {
		m.o.Log.Warn("There is a save in progress. Ending it: the data set is about to be emptied.")
		r.cancel(ErrCancelled)
		<-r.done
	}
}

// AfterFlushAll saves the empty data set if there are save points, as Redis
// does. A save that began between BeforeFlushAll and the flush is cancelled.
func (m *Manager) AfterFlushAll() {
	m.BeforeFlushAll()
	if len(m.o.Settings().SavePoints) > 0 {
		_ = m.Save() // it is logged, and the next save point tries again
	}
}

// WriteDenied returns why writes must be refused, "" if they need not be: the last
// background save failed, there are save points, and StopWritesOnError is set.
// While all is well it is one atomic load.
func (m *Manager) WriteDenied() string {
	if !m.denied.Load() {
		return ""
	}
	s := m.o.Settings()
	if !s.StopWritesOnError || len(s.SavePoints) == 0 {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stat.failed {
		return ""
	}
	return m.stat.lastError
}

// HasSavePoints tells whether save points are configured, which is when SHUTDOWN
// saves unless told otherwise.
func (m *Manager) HasSavePoints() bool { return len(m.o.Settings().SavePoints) > 0 }

// Shutdown prepares the end of the server: it ends a background save in progress
// and, with save set, saves in the foreground. After an error the Manager works
// on. Otherwise Close should follow.
func (m *Manager) Shutdown(save bool) error {
	m.mu.Lock()
	m.scheduled = nil
	r := m.run
	m.mu.Unlock()
	for r != nil {
		if r.background {
			m.o.Log.Warn("There is a child saving an .rdb. Killing it!")
			r.cancel(ErrCancelled)
		}
		<-r.done
		m.mu.Lock()
		r = m.run
		m.mu.Unlock()
	}
	if !save {
		return nil
	}
	m.o.Log.Info("Saving the final RDB snapshot before exiting.")
	if err := m.Save(); err != nil {
		m.o.Log.Warn("Error trying to save the DB, can't exit.")
		return err
	}
	return nil
}
