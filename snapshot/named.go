package snapshot

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
)

// List returns the snapshots in the directory, the newest first.
func (m *Manager) List() ([]SnapshotInfo, error) {
	s := m.o.Settings()
	return listSnapshots(s.Dir, s.Filename)
}

// VerifySnapshot reads a snapshot to its end, values included, and returns what is
// in it. Errors name the file.
func (m *Manager) VerifySnapshot(ctx context.Context, name string) (VerifyReport, error) {
	s := m.o.Settings()
	file, err := snapshotFile(name, s.Filename)
	if err != nil {
		return VerifyReport{}, err
	}
	path := filepath.Join(s.Dir, file)
	if err := roomForThreads("", runtime.GOMAXPROCS(0)+spareThreads); err != nil {
		return VerifyReport{}, fmt.Errorf("verify %s: %w", path, err)
	}
	return VerifyFile(ctx, path, VerifyOptions{Full: true, Unique: true, NoChecksum: s.NoChecksum,
		Databases: m.o.Store.Databases(), nice: threadNice})
}

// Restore replaces the data by those of a snapshot while the store is in use: it
// is read into memory beside them, and takes their place at one instant, or, after
// an error, not at all. With db not nil that concerns database into alone, which
// becomes database db of the snapshot. It returns the number of keys, and
// ErrInProgress while a save runs; no save runs meanwhile.
func (m *Manager) Restore(name string, db *int, into int) (keys int64, err error) {
	s := m.o.Settings()
	if db != nil && (*db < 0 || into < 0 || into >= m.o.Store.Databases()) {
		return 0, ErrNoDB
	}
	file, err := snapshotFile(name, s.Filename)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	if m.closed || m.run != nil || m.load.active {
		defer m.mu.Unlock()
		switch {
		case m.closed:
			return 0, ErrClosed
		case m.run != nil:
			return 0, m.run.refusal()
		}
		return 0, ErrInProgress
	}
	r := m.claim(Request{Engine: Foreground, Reason: "SNAPSHOT LOAD"}, false)
	r.restoring = true
	m.stat.saves-- // it is none
	m.mu.Unlock()
	defer m.release(r)
	m.o.Log.Info("Loading snapshot " + file)
	res, err := Restore(r.ctx, m.o.Store, filepath.Join(s.Dir, file), RestoreOptions{NoChecksum: s.NoChecksum, SkipUnsupported: s.SkipUnsupported, Only: db, Into: into})
	if err != nil {
		m.o.Log.Warn("The data stay as they are: " + err.Error())
		return 0, err
	}
	m.logLeftOut(&res)
	m.o.Log.Info(fmt.Sprintf("Snapshot %s loaded, keys loaded: %d, keys expired: %d, %.3f seconds",
		file, res.Keys, res.Expired, res.Took.Seconds()))
	return res.Keys, nil
}
