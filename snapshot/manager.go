package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
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
	hooks  *hookQueue
	keeper *retention // for whoever has the slot of the save in progress

	// clean is Store.Changes as of the cut of the last successful save, or of
	// the last load.
	clean  atomic.Int64
	denied atomic.Bool // the last background save of the dump failed

	mu        sync.Mutex // guards what follows; never held during anything slow
	run       *running   // the save in progress
	scheduled []Request  // what to save when nothing is in progress
	stat      stats
	rate      writeRate
	timer     scheduler
	onTime    bool // a time of Settings.Cron has come
	load      loadState
	closed    bool
	ticking   bool

	kick chan struct{} // makes the ticker look at once
	stop chan struct{}
	gone sync.WaitGroup // ticker and background saves
}

// running is a save in progress, or what else must not be done beside one.
type running struct {
	Request
	path       string
	engine     Engine
	auto       bool // Auto has chosen the engine
	background bool
	restoring  bool
	data       int64 // bytes of keys and values
	begun      time.Time
	logged     time.Time // when the log heard of its progress
	ctx        context.Context
	cancel     context.CancelCauseFunc
	saving     *saving       // nil until the cut
	reload     bool          // the load that follows sets Manager.clean
	done       chan struct{} // closed when m.run is free again
}

// refusal is the error for who wants to begin another one meanwhile.
func (r *running) refusal() error {
	if r.restoring {
		return ErrRestoring
	}
	return ErrInProgress
}

// NewManager returns a Manager. It must be closed.
func NewManager(o ManagerOptions) *Manager {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.Latency == nil {
		o.Latency = func(string, time.Duration) {}
	}
	m := &Manager{o: o, forker: fork.New(), keeper: newRetention(), kick: make(chan struct{}, 1), stop: make(chan struct{})}
	m.hooks = newHookQueue(m.hookEnded)
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

// Close cancels a save in progress, waits for it, kills a hook that runs and ends
// the Manager. Later calls do nothing.
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
	m.hooks.close(0)
	m.forker.Close()
}

// claim takes the one slot for a save; m.mu is held and m.run is nil.
func (m *Manager) claim(q Request, background bool) *running {
	now := m.o.now()
	r := &running{Request: q, engine: q.Engine, background: background, begun: now, logged: now, done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	m.run = r
	m.stat.saves++
	if background && q.whole() {
		m.stat.lastTry = r.begun
	}
	return r
}

// Start begins a background save and returns when its cut has been taken. While
// another save runs it returns ErrInProgress, or, with Schedule, has this one begin
// as soon as that has ended. ErrBusy: the store has a View that is none of
// the Manager's. Opening the file is done by the caller's goroutine.
func (m *Manager) Start(q Request) (status string, err error) {
	settings := m.o.Settings()
	if q.Reason == "" {
		q.Reason = "BGSAVE"
	}
	path, err := m.target(&q, &settings)
	if err != nil {
		return "", err
	}
	in, data := storeInputs(m.o.Store), dataBytes(m.o.Store) // reads files: not under the lock
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return "", ErrClosed
	case m.run != nil && q.Schedule:
		defer m.mu.Unlock()
		return m.schedule(q)
	case m.run != nil:
		defer m.mu.Unlock()
		return "", m.run.refusal()
	}
	r := m.claim(q, true)
	r.path, r.data = path, data
	m.choose(r, &settings, in)
	m.gone.Add(1)
	m.mu.Unlock()
	err = m.launch(r, &settings)
	if errors.Is(err, kv.ErrBusy) {
		if !q.Schedule {
			return "", ErrBusy
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.schedule(q)
	}
	if err != nil {
		return "", err
	}
	status = fmt.Sprintf("%s (engine %v)", StatusStarted, r.engine)
	if !q.whole() {
		status += " to " + filepath.Base(path)
	}
	return status, nil
}

// maxScheduled is how many saves may wait for the one in progress.
const maxScheduled = 100

// schedule has a save begin later, instead of one to the same place that waits
// already; m.mu is held.
func (m *Manager) schedule(q Request) (status string, err error) {
	for i := range m.scheduled {
		if s := &m.scheduled[i]; s.Name == q.Name && s.whole() == q.whole() {
			*s = q
			return StatusScheduled, nil
		}
	}
	if len(m.scheduled) == maxScheduled {
		return "", ErrInProgress
	}
	m.scheduled = append(m.scheduled, q)
	return StatusScheduled, nil
}

// target returns where a save goes.
func (m *Manager) target(q *Request, s *Settings) (path string, err error) {
	if q.DB != nil && (*q.DB < 0 || *q.DB >= m.o.Store.Databases()) {
		return "", ErrNoDB
	}
	if q.whole() {
		return s.path(), nil
	}
	if q.Name == "" {
		// Not the dump: a restart would load it, and have lost the other databases.
		q.Name = fmt.Sprintf("%s-db%d", strings.TrimSuffix(s.Filename, rdbSuffix), *q.DB)
	}
	file, err := newSnapshotFile(q.Name, s.Filename)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.Dir, file), nil
}

// Check returns what Start would say against the name and the database of q.
func (m *Manager) Check(q Request) error {
	settings := m.o.Settings()
	_, err := m.target(&q, &settings)
	return err
}

// choose settles the engine of a save; m.mu is held.
func (m *Manager) choose(r *running, s *Settings, in autoInputs) {
	if r.engine == 0 {
		r.engine = s.Engine
		// The save that reached the limit would do so again.
		if m.stat.overran == r.engine && r.whole() && r.Reason != "BGSAVE" {
			r.engine = Auto
		}
	}
	if r.engine != 0 && r.engine != Auto {
		return
	}
	st := &m.stat
	in.LastClone, in.LastCloneResident, in.SavesSinceClone = st.clone, st.cloneBytes, st.sinceClone
	in.WriteRate = m.rate.perSecond()
	in.Seconds = expectedSeconds(r.data, st.savedData, st.savedIn)
	in.LimitEngine, in.ForkFailed = st.overran, st.forkFailed
	r.engine, st.autoReason = chooseAuto(in)
	r.auto = true
}

// launch takes the cut and leaves the rest to a goroutine.
func (m *Manager) launch(r *running, settings *Settings) error {
	o := settings.options(r.engine, r.data)
	o.DB, o.HoldWrites, o.synced = r.DB, m.o.HoldWrites, m.o.synced
	s, err := begin(m.o.Store, r.path, o, m.forker)
	if err != nil {
		m.gone.Done()
		m.end(r, settings, Result{Engine: r.engine}, err)
		return err
	}
	m.began(r, s)
	go func() {
		defer m.gone.Done()
		res, err := s.finish(r.ctx)
		m.removeStale(settings) // a child may outlive its server by so little that Load met it yet
		m.end(r, settings, res, err)
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
	m.stat.sinceClone++
	if s.job != nil {
		m.stat.clone, m.stat.cloneBytes, m.stat.sinceClone = s.job.CloneDuration(), m.o.Store.Memory().Resident, 0
		m.stat.forks++
	}
	m.mu.Unlock()
	if !r.background {
		return
	}
	m.o.Latency("save-cut", s.view.Pause())
	by := "a thread"
	how := fmt.Sprintf("cut %d us, %d keys", usec(s.view.Pause()), s.dump.total())
	if s.job != nil {
		m.o.Latency("fork", s.job.CloneDuration())
		by = fmt.Sprintf("pid %d", s.job.Pid())
		how = fmt.Sprintf("clone %d us, %s", usec(s.job.CloneDuration()), how)
	}
	m.o.Log.Info(fmt.Sprintf("Background saving started by %s (engine %s, asked for by %s, %s)", by, m.engineText(r), r.Reason, how))
}

// engineText names the engine of a save, and why Auto has chosen it.
func (m *Manager) engineText(r *running) string {
	if !r.auto {
		return r.engine.String()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%v, chosen since %s", r.engine, m.stat.autoReason)
}

// end closes a save: figures, log, older dumps, the hook, and the slot is free.
func (m *Manager) end(r *running, settings *Settings, res Result, err error) {
	cancelled := r.ctx.Err() != nil && errors.Is(err, context.Cause(r.ctx))
	if errors.Is(err, kv.ErrBusy) { // it never began
		m.release(r)
		return
	}
	kept := ""
	if err == nil && r.whole() && settings.Keep > 0 {
		kept = m.retain(r.ctx, settings, &res)
	}
	m.logEnd(r, &res, err, cancelled)
	m.mu.Lock()
	m.note(r, &res, err, cancelled)
	m.run = nil
	m.mu.Unlock()
	if settings.Hook != "" {
		m.addHook(r, settings, &res, err, cancelled, kept)
	}
	r.cancel(nil)
	close(r.done)
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// retain keeps the new dump under a name with the time, and removes those that
// are too many. The dump itself stands: what fails here is said in the log.
func (m *Manager) retain(ctx context.Context, settings *Settings, res *Result) (kept string) {
	kept, err := m.keeper.keepCopy(ctx, settings.Dir, settings.Filename, m.o.now())
	var removed []string
	if err == nil {
		removed, err = m.keeper.prune(settings.Dir, settings.Filename, settings.Keep, kept)
	}
	if err != nil {
		res.Warning = errors.Join(res.Warning, err)
	}
	for _, name := range removed {
		m.o.Log.Info("Removed " + name + ": save-keep is " + fmt.Sprint(settings.Keep))
	}
	return kept
}

// release frees the slot of a save that never was.
func (m *Manager) release(r *running) {
	m.mu.Lock()
	if !r.restoring {
		m.stat.saves--
	}
	m.run = nil
	m.mu.Unlock()
	r.cancel(nil)
	close(r.done)
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
		return m.run.refusal()
	}
	r := m.claim(Request{Engine: Foreground, Reason: "SAVE"}, false)
	r.path = settings.path()
	m.mu.Unlock()
	_, err := m.saveNow(r, &settings)
	return err
}

// saveNow saves in the foreground and frees the slot.
func (m *Manager) saveNow(r *running, settings *Settings) (Result, error) {
	res, err := m.saveHeld(r, settings)
	m.end(r, settings, res, err)
	if errors.Is(err, kv.ErrBusy) {
		err = ErrBusy
	}
	return res, err
}

// saveHeld saves in the foreground; the slot stays taken.
func (m *Manager) saveHeld(r *running, settings *Settings) (Result, error) {
	o := settings.options(Foreground, 0)
	o.RateLimit = 0 // every writer waits
	s, err := begin(m.o.Store, settings.path(), o, m.forker)
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
	scheduled := len(m.scheduled) > 0
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
// background save of the dump failed, there are save points, and StopWritesOnError
// is set. While all is well it is one atomic load.
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
	return m.stat.deniedBy
}

// HasSavePoints tells whether save points are configured, which is when SHUTDOWN
// saves unless told otherwise.
func (m *Manager) HasSavePoints() bool { return len(m.o.Settings().SavePoints) > 0 }

// Shutdown prepares the end of the server: it ends a background save in progress
// and, with save set, saves in the foreground. What hooks there are may end, within
// the time that one may take. After an error the Manager works on. Otherwise Close
// should follow.
func (m *Manager) Shutdown(save bool) error {
	settings := m.o.Settings()
	return m.shutdown(save, settings.hookTimeout())
}

// ShutdownNow is Shutdown that waits for no hook: one that runs is killed.
func (m *Manager) ShutdownNow(save bool) error { return m.shutdown(save, 0) }

func (m *Manager) shutdown(save bool, hookGrace time.Duration) error {
	m.mu.Lock()
	m.scheduled = nil
	r := m.run
	m.mu.Unlock()
	for r != nil {
		if r.background || r.restoring {
			m.o.Log.Warn("There is a child saving an .rdb. Killing it!")
			r.cancel(ErrCancelled)
		}
		<-r.done
		m.mu.Lock()
		r = m.run
		m.mu.Unlock()
	}
	if save {
		m.o.Log.Info("Saving the final RDB snapshot before exiting.")
		if err := m.Save(); err != nil {
			m.o.Log.Warn("Error trying to save the DB, can't exit.")
			return err
		}
	}
	m.hooks.close(hookGrace)
	return nil
}
