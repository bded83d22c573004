//go:build linux

package main

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/kv/config"
	"kvd/snapshot"
)

// saver is a snapshot.Manager as the commands see it. It only converts: neither
// package knows the other.
type saver struct {
	*snapshot.Manager
	loading atomic.Pointer[func(on bool)]
}

var _ command.Saver = (*saver)(nil)

// newSaver returns the background saver of a server. It looks at the save points
// from Run on.
func newSaver(store *kv.Store, cfg *config.Config, log *slog.Logger) *saver {
	s := &saver{}
	s.Manager = snapshot.NewManager(snapshot.ManagerOptions{
		Store: store, Log: log,
		Settings: func() snapshot.Settings { return saveSettings(cfg) },
		Loading: func(on bool) {
			if fn := s.loading.Load(); fn != nil {
				(*fn)(on)
			}
		},
	})
	return s
}

// OnLoading has fn called when a load begins and when it ends: the clients are
// kept out meanwhile, also during DEBUG RELOAD.
func (s *saver) OnLoading(fn func(on bool)) { s.loading.Store(&fn) }

// Stop ends a save in progress and, with save set, saves; see Manager.Shutdown.
func (s *saver) Stop(save bool) error { return s.Shutdown(save) }

// saveSettings reads the directives that concern saving and loading.
func saveSettings(cfg *config.Config) snapshot.Settings {
	s := snapshot.Settings{
		Dir:                cfg.String("dir"),
		Filename:           cfg.String("dbfilename"),
		StopWritesOnError:  cfg.Bool("stop-writes-on-bgsave-error"),
		NoCompress:         !cfg.Bool("rdbcompression"),
		NoChecksum:         !cfg.Bool("rdbchecksum"),
		NoIncrementalFsync: !cfg.Bool("rdb-save-incremental-fsync"),
		ChildTimeout:       time.Duration(cfg.Int("save-child-timeout")) * time.Second,
		ChildNice:          int(cfg.Int("save-child-nice")),
		ChildIO: map[string]snapshot.IOPriority{
			"best-effort": snapshot.IOLowest, "idle": snapshot.IOIdle}[cfg.String("save-child-ioprio")],
	}
	// The configuration has checked the name.
	s.Engine, _ = snapshot.ParseEngine(cfg.String("bgsave-default-method"))
	for _, p := range cfg.SavePoints() {
		s.SavePoints = append(s.SavePoints, snapshot.SavePoint(p))
	}
	if mode := cfg.String("oom-score-adj"); mode != "no" {
		adj := cfg.OOMScoreAdjValues()[2]
		if mode != "absolute" {
			adj += initialOOMScore()
		}
		score := int(min(max(adj, -1000), 1000))
		s.OOMScoreAdj = &score
	}
	return s
}

// Save implements command.Saver.
func (s *saver) Save() error { return saverError(s.Manager.Save()) }

// Start implements command.Saver.
func (s *saver) Start(r command.SaveRequest) (string, error) {
	status, err := s.Manager.Start(r.Kind, r.Schedule)
	return status, saverError(err)
}

// Cancel implements command.Saver.
func (s *saver) Cancel() error { return saverError(s.Manager.Cancel()) }

// Info implements command.Saver. The two structs have the same fields.
func (s *saver) Info() command.SaveInfo { return command.SaveInfo(s.Manager.Info()) }

// saverError turns the errors that commands word themselves into theirs.
func saverError(err error) error {
	switch {
	case errors.Is(err, snapshot.ErrInProgress):
		return command.ErrSaveInProgress
	case errors.Is(err, snapshot.ErrNoSave):
		return command.ErrNoSave
	case errors.Is(err, snapshot.ErrBusy):
		return errSnapshotLive
	}
	return err
}

// redisError is an error in Redis' words, which begin with a capital.
type redisError string

func (e redisError) Error() string { return string(e) }

const errSnapshotLive = redisError("Another snapshot is active: can't BGSAVE right now. " +
	"Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.")
