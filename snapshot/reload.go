package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"kvd/snapshot/rdb"
)

// loadState is a load in progress; guarded by Manager.mu.
type loadState struct {
	active        bool
	began         time.Time
	loaded, total int64
	usedMem       int64 // what the server that wrote the file used, in bytes
	logged        time.Time
}

// info fills in what INFO tells while a load is in progress.
func (l *loadState) info(in *Info, now time.Time) {
	if !l.active {
		return
	}
	in.Loading = true
	in.LoadingStart = l.began.Unix()
	in.LoadingTotalBytes = l.total
	in.LoadingRDBUsedMem = l.usedMem
	in.LoadingLoadedBytes = l.loaded
	in.LoadingETASeconds = l.eta(now)
}

// eta returns how many seconds the rest takes if it goes on as before.
func (l *loadState) eta(now time.Time) int64 {
	if l.loaded <= 0 {
		return 1 // as Redis
	}
	spent := now.Sub(l.began).Seconds()
	return int64(spent * float64(l.total-l.loaded) / float64(l.loaded))
}

// Load fills the store from the dump, if there is one; for the start of a
// server. Before, it removes what dead servers left half written in the directory.
// A dump that cannot be read in full is an error.
func (m *Manager) Load(ctx context.Context) error {
	settings := m.o.Settings()
	m.removeStale(&settings)
	m.loading(true)
	defer m.loading(false)
	err := m.loadFile(ctx, settings.path(), LoadOptions{NoChecksum: settings.NoChecksum, SkipUnsupported: settings.SkipUnsupported})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// removeStale removes what dead servers left half written.
func (m *Manager) removeStale(s *Settings) {
	removed, err := RemoveStale(s.Dir, s.Filename)
	for _, name := range removed {
		m.o.Log.Info("Removed " + name + ", left by a save that was cut off")
	}
	if err != nil {
		m.o.Log.Warn("Looking for left-overs of earlier saves: " + err.Error())
	}
}

// loading tells the server whether the store is fit for clients.
func (m *Manager) loading(on bool) {
	if m.o.Loading != nil {
		m.o.Loading(on)
	}
}

// loadLogInterval is how often a long load tells the log how far it is.
const loadLogInterval = 3 * time.Second

// loadFile loads a file and keeps the figures of INFO and LASTSAVE.
func (m *Manager) loadFile(ctx context.Context, path string, o LoadOptions) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	now := m.o.now()
	m.mu.Lock()
	m.load = loadState{active: true, began: now, logged: now, total: info.Size()}
	m.mu.Unlock()
	o.Progress, o.Aux = m.loadProgress, m.loadAux
	res, err := Load(ctx, m.o.Store, path, o)
	m.mu.Lock()
	m.load.active = false
	m.stat.keysExpired, m.stat.keysLoaded = res.Expired, res.Keys
	if err == nil {
		m.clean.Store(m.o.Store.Changes())
	}
	m.mu.Unlock()
	if err != nil {
		m.o.Log.Warn("Error trying to load the RDB dump: " + err.Error())
		m.adviseRepair(ctx, path, o.NoChecksum, err)
		return err
	}
	m.logLoad(&res)
	return nil
}

// adviseRepair tells the log how much of a damaged dump could be read.
func (m *Manager) adviseRepair(ctx context.Context, path string, noChecksum bool, err error) {
	var twice *DuplicateError
	if !errors.Is(err, rdb.ErrFormat) && !errors.As(err, &twice) {
		return
	}
	// Again, by one that counts exactly: the loader's goroutines run ahead of each other.
	rep, _ := VerifyFile(ctx, path, VerifyOptions{Full: true, Unique: true, NoChecksum: noChecksum, Databases: m.o.Store.Databases()})
	m.o.Log.Warn(fmt.Sprintf("%d keys could be read before that. To write all that can be kept as a new dump: kvd --repair-rdb %q NEWFILE",
		rep.Keys, path))
}

// loadAux notes what the file tells of the server that wrote it.
func (m *Manager) loadAux(name, value string) {
	switch name {
	case "redis-ver":
		m.o.Log.Info("Loading RDB produced by version " + value)
	case "used-mem":
		used, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return // it is for people to read, and no reason to refuse a file
		}
		m.o.Log.Info(fmt.Sprintf("RDB memory usage when created %.2f Mb", float64(used)/(1<<20)))
		m.mu.Lock()
		m.load.usedMem = used
		m.mu.Unlock()
	}
}

// loadProgress notes how far the load is.
func (m *Manager) loadProgress(loaded, total int64) {
	now := m.o.now()
	m.mu.Lock()
	m.load.loaded, m.load.total = loaded, total
	eta := m.load.eta(now)
	tell := now.Sub(m.load.logged) >= loadLogInterval && loaded < total
	if tell {
		m.load.logged = now
	}
	m.mu.Unlock()
	if tell {
		m.o.Log.Info(fmt.Sprintf("Loading: %d of %d MB, %.1f %%, about %d seconds left",
			loaded>>20, total>>20, 100*float64(loaded)/float64(total), eta))
	}
}

func (m *Manager) logLoad(res *LoadResult) {
	log := m.o.Log
	m.logLeftOut(res)
	log.Info(fmt.Sprintf("Done loading RDB, keys loaded: %d, keys expired: %d.", res.Keys, res.Expired))
	log.Info(fmt.Sprintf("DB loaded from disk: %.3f seconds", res.Took.Seconds()))
}

// Reload is DEBUG RELOAD: it saves (unless noSave), empties the store (unless
// noFlush) and loads the dump, whose keys replace those that are left. A background
// save in progress is cancelled. No write falls between the save and the emptying.
func (m *Manager) Reload(noSave, noFlush bool) error {
	settings := m.o.Settings()
	r, err := m.claimCancelling()
	if err != nil {
		return err
	}
	m.loading(true)
	defer m.loading(false)
	res, saveErr := m.saveAndEmpty(r, &settings, noSave, noFlush)
	if err = saveErr; err == nil {
		r.reload = true
		// Replace also for the sake of a write that was on its way when clients
		// were shut out: it must not make the load fail.
		err = m.loadFile(context.Background(), settings.path(), LoadOptions{NoChecksum: settings.NoChecksum, Replace: true,
			SkipUnsupported: settings.SkipUnsupported})
	}
	if noSave {
		m.release(r)
	} else {
		m.end(r, &settings, res, saveErr)
	}
	return err
}

// claimCancelling takes the slot for a foreground save, from a background save
// too.
func (m *Manager) claimCancelling() (*running, error) {
	for {
		m.mu.Lock()
		switch r := m.run; {
		case m.closed:
			m.mu.Unlock()
			return nil, ErrClosed
		case r == nil:
			r = m.claim(Request{Engine: Foreground, Reason: "DEBUG RELOAD"}, false)
			m.mu.Unlock()
			return r, nil
		default:
			m.mu.Unlock()
			if r.background {
				r.cancel(ErrCancelled)
			}
			<-r.done
		}
	}
}

// saveAndEmpty saves and empties the store in such a way that no write comes
// between.
func (m *Manager) saveAndEmpty(r *running, settings *Settings, noSave, noFlush bool) (res Result, err error) {
	tx := m.o.Store.NewTx()
	for {
		if !noSave {
			if res, err = m.saveHeld(r, settings); err != nil {
				return res, err
			}
		}
		if noFlush {
			return res, nil
		}
		tx.LockAll()
		if noSave || m.o.Store.Changes() == res.Changes {
			break
		}
		tx.Unlock()
	}
	tx.FlushAll()
	tx.Unlock()
	return res, nil
}

// logLeftOut tells the log what of a dump was not loaded.
func (m *Manager) logLeftOut(res *LoadResult) {
	log := m.o.Log
	for _, what := range res.LeftOut {
		log.Warn("Left out when loading the RDB: " + what)
	}
	if n := res.Empty + res.Unsupported; n > int64(len(res.LeftOut)) {
		log.Warn(fmt.Sprintf("Left out when loading the RDB, in all: %d empty keys, %d values of modules, function libraries and the like",
			res.Empty, res.Unsupported))
	}
}
