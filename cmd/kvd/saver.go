//go:build linux

package main

import (
	"context"
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

var (
	_ command.Saver     = (*saver)(nil)
	_ command.Snapshots = snapshots{}
)

// newSaver returns the background saver of a server. It looks at the save points
// from Run on.
func newSaver(engine *command.Engine, cfg *config.Config, log *slog.Logger) *saver {
	s := &saver{}
	s.Manager = snapshot.NewManager(snapshot.ManagerOptions{
		Store: engine.Store, Log: log, HoldWrites: engine.HoldWrites, Latency: engine.LatencyEvent,
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

// Stop ends a save in progress and, with save set, saves; see Manager.Shutdown. now waits
// for no hook.
func (s *saver) Stop(save, now bool) error {
	if now {
		return s.ShutdownNow(save)
	}
	return s.Shutdown(save)
}

// saveSettings reads the directives that concern saving and loading.
func saveSettings(cfg *config.Config) snapshot.Settings {
	s := snapshot.Settings{
		Dir:                cfg.String("dir"),
		Filename:           cfg.String("dbfilename"),
		StopWritesOnError:  cfg.Bool("stop-writes-on-bgsave-error"),
		NoCompress:         !cfg.Bool("rdbcompression"),
		NoChecksum:         !cfg.Bool("rdbchecksum"),
		NoIncrementalFsync: !cfg.Bool("rdb-save-incremental-fsync"),
		ValkeyFieldExpiry:  cfg.String("rdb-field-expiry-format") == "valkey",
		SkipUnsupported:    cfg.String("rdb-load-unsupported") == "skip",
		ChildTimeout:       time.Duration(cfg.Int("save-child-timeout")) * time.Second,
		ChildNice:          int(cfg.Int("save-child-nice")),
		ChildIO: map[string]snapshot.IOPriority{
			"best-effort": snapshot.IOLowest, "idle": snapshot.IOIdle}[cfg.String("save-child-ioprio")],
		WritePolicy: map[string]kv.WritePolicy{
			"in-place": kv.WriteInPlace, "path-copy": kv.WritePathCopy}[cfg.String("fork-write-policy")],
		Threads:     int(cfg.Int("save-threads")),
		RateLimit:   cfg.Int("save-rate-limit"),
		MemoryLimit: cfg.Int("save-memory-limit"),
		Overrun:     map[string]snapshot.Overrun{"throttle": snapshot.OverrunThrottle}[cfg.String("save-overrun")],
		Verify: map[string]snapshot.VerifyMode{
			"no": snapshot.VerifyNo, "full": snapshot.VerifyFull}[cfg.String("save-verify")],
		Keep:        int(cfg.Int("save-keep")),
		Cron:        cfg.String("save-cron"),
		Hook:        cfg.String("save-hook"),
		HookTimeout: time.Duration(cfg.Int("save-hook-timeout")) * time.Second,
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
	q, err := saveRequest(r)
	if err != nil {
		return "", err
	}
	status, err := s.Manager.Start(q)
	return status, saverError(err)
}

// Check implements command.Saver.
func (s *saver) Check(r command.SaveRequest) error {
	q, err := saveRequest(r)
	if err == nil {
		err = s.Manager.Check(q)
	}
	return saverError(err)
}

// saveRequest is what a command asks for in the words of package snapshot.
func saveRequest(r command.SaveRequest) (q snapshot.Request, err error) {
	q = snapshot.Request{Name: r.Name, Schedule: r.Schedule, Reason: r.Reason}
	if r.DB >= 0 {
		q.DB = &r.DB
	}
	if r.Kind != "" {
		q.Engine, err = snapshot.ParseEngine(r.Kind)
	}
	return q, err
}

// Cancel implements command.Saver.
func (s *saver) Cancel() error { return saverError(s.Manager.Cancel()) }

// Info implements command.Saver. The two structs have the same fields.
func (s *saver) Info() command.SaveInfo { return command.SaveInfo(s.Manager.Info()) }

// snapshots are the dumps in the directory as the commands see them.
type snapshots struct{ *snapshot.Manager }

// List implements command.Snapshots.
func (s snapshots) List() ([]command.SnapshotInfo, error) {
	list, err := s.Manager.List()
	out := make([]command.SnapshotInfo, len(list))
	for i, l := range list {
		out[i] = command.SnapshotInfo{Name: l.Name, File: l.File, Kind: l.Kind, Bytes: l.Bytes,
			SavedUnix: l.ModTime.Unix(), Engine: l.Engine}
	}
	return out, err
}

// Verify implements command.Snapshots.
func (s snapshots) Verify(name string) (command.SnapshotReport, error) {
	r, err := s.VerifySnapshot(context.Background(), name)
	return command.SnapshotReport{Name: name, Version: r.Version, Bytes: r.Bytes, Keys: r.Keys, Expires: r.Expires,
		Expired: r.Expired, Databases: len(r.Databases), Checksum: r.Checksum, Seconds: r.Took.Seconds()}, err
}

// Load implements command.Snapshots.
func (s snapshots) Load(name string, db, into int) (int64, error) {
	var only *int
	if db >= 0 {
		only = &db
	}
	keys, err := s.Restore(name, only, into)
	return keys, saverError(err)
}

// saverError turns the errors that commands word themselves into theirs.
func saverError(err error) error {
	switch {
	case errors.Is(err, snapshot.ErrRestoring):
		return err
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
