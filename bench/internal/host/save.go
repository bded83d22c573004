//go:build linux

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kvd/bench/internal/result"
)

const (
	infoEvery  = 10 * time.Millisecond  // of a server whose dump cannot be seen
	checkEvery = 200 * time.Millisecond // whether a save failed: INFO is work for the server under test
)

// Saving is a background save under way.
type Saving struct {
	Reply string // of the server to the command

	server  *Server
	command []string
	begin   time.Time // just before the command was sent
	before  map[string]string
	files   map[string]uint64 // inodes of what a save may replace, nil if they cannot be seen
	logFrom int64
}

// PrepareSave notes the state before a save by command (BGSAVE FORK). It asks the
// server for INFO, which Begin then need not do amid what is measured.
func (s *Server) PrepareSave(ctx context.Context, command []string) (*Saving, error) {
	before, err := s.InfoContext(ctx)
	if err != nil {
		return nil, err
	}
	return &Saving{server: s, command: command, before: before, files: s.saved(), logFrom: s.logSize()}, nil
}

// Begin sends the command and returns when the server has answered, which it does
// after the clone or the cut. It is an error if the server refuses. It may be
// called once.
func (v *Saving) Begin(ctx context.Context) error {
	v.begin = time.Now()
	reply, err := v.server.DoContext(ctx, v.command...)
	if err != nil {
		return fmt.Errorf("%s refuses %s: %w", v.server.Name, strings.Join(v.command, " "), err)
	}
	v.Reply = fmt.Sprint(reply)
	return nil
}

// Begun returns the moment just before the command was sent.
func (v *Saving) Begun() time.Time { return v.begin }

// Bgsave is PrepareSave and Begin.
func (s *Server) Bgsave(ctx context.Context, command []string) (*Saving, error) {
	v, err := s.PrepareSave(ctx, command)
	if err != nil {
		return nil, err
	}
	if err := v.Begin(ctx); err != nil {
		return nil, err
	}
	return v, nil
}

// Wait waits for the end of the save and says what the server tells of it; now
// is the clock of AtSec and EndSec. The end is when the new dump stands in
// place, found every 2 ms by its inode and without asking the server
// (redis-server clears rdb_bgsave_in_progress up to 100 ms later). A remote
// server's files cannot be seen, and a canary writes none: there the end is that
// of rdb_bgsave_in_progress, asked for every 10 ms.
//
// The Save is never nil. One that failed has Error set to the server's reason and
// is no error of Wait. Wait's error is that the end was not seen: ctx, or the
// server has gone; Save.Error has it too.
func (v *Saving) Wait(ctx context.Context, now func() time.Duration) (*result.Save, error) {
	begun := now() - time.Since(v.begin)
	save := &result.Save{Command: strings.Join(v.command, " "), AtSec: begun.Seconds()}
	end, replaced, err := v.ended(ctx)
	if err != nil {
		end = time.Now()
	}
	save.Seconds = end.Sub(v.begin).Seconds()
	save.EndSec = save.AtSec + save.Seconds
	var info map[string]string
	if err == nil {
		info, err = v.settle(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%s of %s: %w", save.Command, v.server.Name, err)
		save.Error = err.Error()
		return save, err
	}
	if status := info["rdb_last_bgsave_status"]; status != "ok" && status != "" {
		save.Error = v.failure(info)
		return save, nil
	}
	if v.files != nil && replaced == "" {
		save.Error = "the server reports success and has written no dump"
		return save, nil
	}
	v.figures(save, info, replaced)
	return save, nil
}

// ended waits for the end and returns its time and, on this machine, what was
// put in place: "" if the save has ended and nothing was.
func (v *Saving) ended(ctx context.Context) (time.Time, string, error) {
	every, check := pollEvery, checkEvery
	if v.files == nil {
		every, check = infoEvery, infoEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for checked := v.begin; ; {
		select {
		case <-ctx.Done():
			return time.Time{}, "", context.Cause(ctx)
		case <-v.server.done: // nil and never ready if remote
			return time.Time{}, "", v.gone()
		case <-t.C:
		}
		if path := v.replaced(); path != "" {
			return time.Now(), path, nil
		}
		if time.Since(checked) < check {
			continue
		}
		checked = time.Now()
		info, err := v.server.InfoContext(ctx)
		if err != nil {
			return time.Time{}, "", err
		}
		if over(info) { // it may have come to its end since the look before INFO
			return time.Now(), v.replaced(), nil
		}
	}
}

// over: a save that had to wait for something else counts as under way.
func over(info map[string]string) bool {
	return info["rdb_bgsave_in_progress"] != "1" && info["rdb_bgsave_scheduled"] != "1"
}

// settle waits until the server has taken note of the end and returns its INFO.
func (v *Saving) settle(ctx context.Context) (map[string]string, error) {
	for {
		info, err := v.server.InfoContext(ctx)
		if err != nil || over(info) {
			return info, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-v.server.done:
			return nil, v.gone()
		case <-time.After(infoEvery):
		}
	}
}

func (v *Saving) gone() error {
	return fmt.Errorf("during the save %w%s", v.server.exit(), v.server.logAppendix())
}

// failure words why the server's save failed: kvd tells in INFO, Redis and
// Valkey in the log.
func (v *Saving) failure(info map[string]string) string {
	why := info["rdb_last_error"]
	if why == "" && !v.server.Remote {
		var warnings []string
		for line := range strings.Lines(v.server.logSince(v.logFrom)) {
			if _, text, ok := strings.Cut(line, " # "); ok {
				warnings = append(warnings, strings.TrimSpace(text))
			}
		}
		why = strings.Join(warnings[max(0, len(warnings)-tailLines):], "; ")
	}
	if why == "" {
		why = "the server does not say why"
	}
	return fmt.Sprintf("the save failed (rdb_last_bgsave_status:%s): %s", info["rdb_last_bgsave_status"], why)
}

// figures takes from INFO what it tells of a save that succeeded. A figure of an
// earlier save must not pass for one of this.
func (v *Saving) figures(save *result.Save, info map[string]string, replaced string) {
	if n, ok := number(info, "rdb_last_save_bytes"); ok {
		save.Bytes = int64(n)
	} else if replaced != "" {
		save.Bytes = size(replaced)
	}
	if n, ok := number(info, "rdb_last_save_shared_bytes"); ok {
		save.SharedBytes = int64(n)
	}
	if n, ok := number(info, "rdb_last_pause_usec"); ok {
		save.HeldUsec = &n
	}
	forked := v.forked(info)
	if n, ok := number(info, "latest_fork_usec"); ok && forked {
		save.CloneUsec = &n
	}
	if save.HeldUsec == nil && save.CloneUsec != nil {
		held := *save.CloneUsec // the thread that serves the writers is the one that forks
		save.HeldUsec = &held
	}
	extra, ok := number(info, "rdb_last_extra_memory_peak")
	if !ok && forked {
		extra, ok = number(info, "rdb_last_cow_size")
	}
	if ok {
		n := int64(extra)
		save.ReportedExtra = &n
	}
	if n, ok := number(info, "mem_arena_deferred"); ok {
		deferred := int64(n)
		save.DeferredBytes = &deferred
	}
}

// forked tells whether the server forked for this save.
func (v *Saving) forked(info map[string]string) bool {
	if after, ok := number(info, "total_forks"); ok {
		before, _ := number(v.before, "total_forks")
		return after > before
	}
	if engine, ok := info["rdb_last_bgsave_type"]; ok {
		return engine == "fork"
	}
	return info["latest_fork_usec"] != v.before["latest_fork_usec"]
}

func number(info map[string]string, field string) (float64, bool) {
	n, err := strconv.ParseFloat(info[field], 64)
	return n, err == nil && n >= 0
}

// checkpoints are directories that a save of the pebble peer leaves; while it is
// written a checkpoint has another name.
var checkpoints = regexp.MustCompile(`^checkpoint(-[0-9]+)?$`)

// saved returns the inodes of the dump and of checkpoints, 0 for a dump that is
// not there yet; nil if there is nothing to be seen.
func (s *Server) saved() map[string]uint64 {
	if s.dump == "" {
		return nil
	}
	found := map[string]uint64{s.dump: inode(s.dump)}
	folder := filepath.Dir(s.dump)
	dir, err := os.Open(folder)
	if err != nil {
		return found
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if checkpoints.MatchString(name) {
			path := filepath.Join(folder, name)
			found[path] = inode(path)
		}
	}
	return found
}

// replaced returns what stands in place since the save began, "" if nothing does.
func (v *Saving) replaced() string {
	now := v.server.saved()
	if maps.Equal(now, v.files) {
		return ""
	}
	for path, n := range now {
		if n != 0 && n != v.files[path] {
			return path
		}
	}
	return ""
}

func inode(path string) uint64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Ino
}

// size returns the bytes of a file, or of the files in a directory. What is
// removed meanwhile does not count.
func size(path string) int64 {
	var n int64
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		st, err := d.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		n += st.Size()
		return nil
	})
	return n
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
