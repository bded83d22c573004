package snapshot

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// stats are what INFO tells of past saves.
type stats struct {
	lastSave    time.Time // the end of the last successful one of the dump, or the start of the Manager
	lastTry     time.Time // of a background save of the dump
	failed      bool      // the last background save
	seconds     int64     // of the last background save, -1 before the first
	saves       int64
	forks       int64
	clone       time.Duration
	cloneBytes  int64 // resident at that clone
	sinceClone  int   // saves
	pause       time.Duration
	cow         int64
	extra       int64
	last        Engine
	lastError   string
	deniedBy    string // the error of the last background save of the dump
	keysExpired int64  // of the last load
	keysLoaded  int64

	reason, autoReason string
	verified           string
	result             Result  // of the last background save
	savedData          int64   // bytes of keys and values at the last successful one
	savedIn            float64 // seconds that it took
	forkFailed         string  // why the last fork failed, if no save has succeeded since
	overran            Engine  // it came to its memory limit, and none has succeeded since
	limit              bool    // the last one was given up because of that
	hook               string
}

// note keeps the figures of a save that has ended; m.mu is held.
func (m *Manager) note(r *running, res *Result, err error, cancelled bool) {
	st := &m.stat
	now := m.o.now()
	switch {
	case err == nil:
		if r.whole() {
			if !r.reload {
				m.clean.Store(res.Changes)
			}
			st.lastSave, st.deniedBy = now, ""
			m.denied.Store(false)
		}
		// A good save of something else does not make up for the dump's.
		st.failed, st.lastError = st.deniedBy != "", st.deniedBy
		if r.whole() && r.background { // one database, or a moment without writers, shows nothing
			st.overran, st.forkFailed = 0, ""
		}
	case !cancelled:
		st.lastError = err.Error()
		if r.background {
			st.failed = true
			if r.whole() {
				st.deniedBy = st.lastError
				m.denied.Store(true)
			}
		}
	}
	if !r.background {
		return
	}
	var limit *LimitError
	if st.limit = errors.As(err, &limit); st.limit {
		st.overran = limit.Engine
	}
	var failed *forkError
	if errors.As(err, &failed) && !cancelled {
		st.forkFailed = failed.Error()
	}
	st.seconds = int64(now.Sub(r.begun).Seconds())
	st.last, st.reason, st.result = r.engine, r.Reason, *res
	st.verified = verdict(res, err)
	if s := res.Took.Seconds(); err == nil && s > 0 && r.DB == nil {
		st.savedData, st.savedIn = r.data, s
	}
	if r.saving != nil {
		st.cow, st.extra = res.Extra, res.Extra
		if r.engine == Fork {
			st.cow = res.Copied
		}
		if r.engine == Thread {
			m.o.Latency("save-thread", res.EndPause)
		}
		if res.FaultPeak > 0 {
			m.o.Latency("cow-fault", res.FaultPeak)
		}
	}
}

// verdict is the word for what became of the verification.
func verdict(res *Result, err error) string {
	var failed *VerifyError
	if errors.As(err, &failed) {
		return "failed"
	}
	if err != nil {
		return "no"
	}
	return res.Verified.String()
}

// logEnd writes Redis' lines, and one with all figures.
func (m *Manager) logEnd(r *running, res *Result, err error, cancelled bool) {
	log := m.o.Log
	if res.Warning != nil {
		log.Warn("Background saving: " + res.Warning.Error())
	}
	engine := m.engineText(r)
	switch {
	case cancelled:
		log.Warn(fmt.Sprintf("Background saving terminated by a request (engine %s)", engine))
		return
	case err != nil && r.background:
		log.Warn(fmt.Sprintf("Background saving error (engine %s, asked for by %s): %v", engine, r.Reason, err))
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
	extra := fmt.Sprintf("extra memory %d MB at its peak", res.Extra/mb)
	if r.engine == Fork {
		log.Info(fmt.Sprintf("Fork CoW for RDB: current %d MB, peak %d MB, extra memory at its peak %d MB",
			res.Copied/mb, r.saving.copiedPeak.Load()/mb, res.Extra/mb))
		extra = fmt.Sprintf("clone %d us, %s", usec(res.Clone), extra)
	}
	verified := "not verified"
	if res.Verified != VerifyNo {
		verified = fmt.Sprintf("verified (%v) in %.3f seconds of these", res.Verified, res.VerifyTook.Seconds())
	}
	log.Info(fmt.Sprintf("Background saving terminated with success (engine %s, asked for by %s, to %s, cut %d us, %s, %d keys, %d bytes, %.3f seconds, %s)",
		engine, r.Reason, filepath.Base(res.Path), usec(res.Pause), extra, res.Keys, res.Bytes, res.Took.Seconds(), verified))
}

// reportInterval is how often the log hears how far a long save is.
const reportInterval = 10 * time.Second

// report tells the log how far the save in progress is.
func (m *Manager) report() {
	now := m.o.now()
	m.mu.Lock()
	r := m.run
	if r == nil || !r.background || r.saving == nil || now.Sub(r.logged) < reportInterval {
		m.mu.Unlock()
		return
	}
	r.logged = now
	s := r.saving
	m.mu.Unlock()
	done, total := s.progress()
	percent := 100 * s.share()
	left := "time left unknown"
	if eta := s.eta(now.Sub(r.begun)); eta >= 0 {
		left = fmt.Sprintf("about %d seconds left", eta)
	}
	extra, _, _, _ := s.extra()
	m.o.Log.Info(fmt.Sprintf("Background saving: %v, %.1f %%, %d of %d keys, extra memory %d MB, %s", s.stage(), percent, done, total, extra>>20, left))
}

// addHook has the hook run for a save that has ended.
func (m *Manager) addHook(r *running, settings *Settings, res *Result, err error, cancelled bool, kept string) {
	env := hookEnv{Result: "ok", Path: res.Path, Kept: kept, Name: r.Name, Engine: r.engine.String(), Reason: r.Reason,
		Verified: verdict(res, err), Keys: res.Keys, Bytes: res.Bytes, Seconds: res.Took.Seconds()}
	switch {
	case cancelled:
		env.Result, env.Error = "cancelled", err.Error()
	case err != nil:
		env.Result, env.Error = "error", err.Error()
	}
	if env.Path == "" { // it did not come so far
		env.Path = r.path
	}
	if err := m.hooks.add(hookRun{Command: settings.Hook, Timeout: settings.hookTimeout(), Env: env}); err != nil {
		m.hookEnded(hookReport{Env: env, Err: err})
	}
}

// hookEnded notes how a hook went.
func (m *Manager) hookEnded(h hookReport) {
	text := "ok"
	if h.Err != nil {
		text = h.Err.Error()
		m.o.Log.Warn(text)
	} else {
		m.o.Log.Info(fmt.Sprintf("save-hook: done in %.3f seconds. %s", h.Took.Seconds(), h.Output))
	}
	m.mu.Lock()
	m.stat.hook = text
	m.mu.Unlock()
}
