//go:build linux

// Package trial runs one contestant in one scenario, once: start, fill, clients
// before, during and after a background save, and the start on what was saved.
//
//	start ─ fill ─ settle ─┬─ warm ─ before ─┬─ during ─┬─ after ─┬─ stop ─ start again
//	                       clients run       BGSAVE     saved     clients end
//
// Every server is fresh: nothing of an earlier trial is in its memory or on its
// disk. What was measured before an error or an interruption is kept.
package trial

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kvd/bench/internal/contest"
	"kvd/bench/internal/host"
	"kvd/bench/internal/load"
	"kvd/bench/internal/result"
	"kvd/bench/internal/scenario"
	"kvd/bench/internal/slowdisk"
)

// Options say what to run.
type Options struct {
	Scenario   scenario.Scenario // scaled, see Scenario.Scaled
	Contestant contest.Contestant
	Round      int
	Seed       uint64
	Warm       time.Duration // clients run, nothing is counted
	Before     time.Duration
	After      time.Duration
	// SampleEvery is the time between two samples of the memory: a walk over the
	// page tables of the server, so not too often.
	SampleEvery time.Duration
	Root        string  // the directory in which the trial makes its own
	CeilingOps  float64 // of the generator in the scenario's shape; 0: unknown
	// Progress is told what is being done, and how much of it, 0 to 1 or below 0
	// where nobody knows.
	Progress func(step string, done float64)
}

const (
	saveLimit   = 15 * time.Minute // for one background save
	settleLimit = 30 * time.Second // for what the fill has left to do
	replyLimit  = time.Minute      // for one reply: BGSAVE COPY answers when all is copied

	pacedShare = 0.5 // of the ceiling: what a paced rate may be
	boundShare = 0.8 // above it a closed loop measures the generator
)

// Run runs a trial. It does not fail: what went wrong stands in the result. When
// ctx ends, the trial does too, with what it has, marked partial.
func Run(ctx context.Context, o Options) result.Trial {
	s := o.Scenario
	r := runner{Options: o, out: result.Trial{
		Scenario: s.Name, Contestant: o.Contestant.Name, Round: o.Round,
		Keys: s.Keys, ValueBytes: s.ValueBytes, DataBytes: s.DataBytes(), CeilingOps: o.CeilingOps,
	}}
	if reason := o.Contestant.Cannot(s); reason != nil {
		r.out.Skipped = reason.Error()
		return r.out
	}
	err := r.run(ctx)
	var skipped skip
	switch {
	case errors.As(err, &skipped):
		r.out.Skipped = err.Error()
	case ctx.Err() != nil:
		r.out.Partial = true
		r.cut(context.Cause(ctx).Error())
	case err != nil:
		r.out.Error = err.Error()
	}
	return r.out
}

// cut words what the interruption met: neither the save nor the load has failed.
func (r *runner) cut(cause string) {
	if s := r.out.Save; s != nil && strings.Contains(s.Error, cause) {
		s.Error = "interrupted"
	}
	if l := r.out.Load; l != nil && strings.Contains(l.Error, cause) {
		l.Error = "interrupted"
	}
}

// skip is the reason why a trial does not apply; it is no failure.
type skip struct{ error }

type runner struct {
	Options
	out    result.Trial
	launch host.Launch
	server *host.Server
}

func (r *runner) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(r.Root, r.Contestant.Name+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := r.room(dir); err != nil {
		return err
	}
	r.launch = host.Launch{
		Name: r.Contestant.Name, Bin: r.Contestant.Bin, Args: slices.Clone(r.Contestant.Args), Peer: r.Contestant.Peer,
		Dir: filepath.Join(dir, "data"), Log: filepath.Join(dir, "log"),
	}
	unmount, err := r.slowDown(dir)
	if err != nil {
		return err
	}
	defer unmount()
	if err := r.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(r.server.Explain(err), r.end()) }()
	if err := r.fill(ctx); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if r.Scenario.Quiet {
		err = r.quiet(ctx)
	} else {
		err = r.clients(ctx)
	}
	if err != nil || !r.Scenario.Reload || r.Contestant.Forgets || r.server.Remote || r.out.Save == nil || r.out.Save.Error != "" {
		return err
	}
	return r.reload(ctx)
}

// room refuses what the memory or the disk would not hold: a machine that swaps or
// kills measures nothing. Redis needs about 90 B a key more than the data, and as
// much again when everything is copied.
func (r *runner) room(dir string) error {
	if r.Contestant.Addr != "" {
		return nil
	}
	const overhead = 90
	need := 2 * (r.out.DataBytes + overhead*r.Scenario.Keys*int64(max(1, r.Scenario.Members)))
	if free := host.Machine(dir).FreeMemoryBytes; free > 0 && need > free {
		return skip{fmt.Errorf("it may need %d MB of memory, %d MB are free", need/1e6, free/1e6)}
	}
	free, err := host.FreeBytes(dir)
	if err != nil {
		return err
	}
	if need > free {
		return skip{fmt.Errorf("it may need %d MB in %s, %d MB are free", need/1e6, dir, free/1e6)}
	}
	return nil
}

// slowDown puts a slow disk under what the server saves, if the scenario wants one.
// Whoever keeps more than that in its directory, a log of writes, keeps the rest on
// the fast one: it is the save that shall be slow.
func (r *runner) slowDown(dir string) (unmount func(), err error) {
	if r.Scenario.SinkBytesPerSecond == 0 {
		return func() {}, nil
	}
	backing, slow := filepath.Join(dir, "backing"), filepath.Join(dir, "slow")
	if err := errors.Join(os.Mkdir(backing, 0o700), os.Mkdir(slow, 0o700)); err != nil {
		return nil, err
	}
	disk, err := slowdisk.Mount(backing, slow, r.Scenario.SinkBytesPerSecond)
	if errors.Is(err, slowdisk.ErrUnavailable) {
		return nil, skip{err}
	}
	if err != nil {
		return nil, err
	}
	if r.launch.Peer {
		r.launch.Args = append(r.launch.Args, "--save-dir", slow)
	} else {
		r.launch.Dir = slow
	}
	return func() { _ = disk.Unmount() }, nil
}

func (r *runner) start(ctx context.Context) (err error) {
	r.progress("start", -1)
	c := r.Contestant
	if c.Addr != "" {
		if r.server, err = host.Attach(ctx, c.Name, c.Addr); err != nil {
			return err
		}
		if err := r.mustBeEmpty(); err != nil {
			r.server.Stop()
			return err
		}
		return nil
	}
	if r.server, err = host.Start(ctx, r.launch); err != nil {
		return err
	}
	if err := r.knows(); err != nil {
		r.server.Stop()
		return err
	}
	return nil
}

// emptyLimit is for a save that was under way when the trial was cut.
const emptyLimit = 30 * time.Second

// end stops the server, or takes the trial's keys out of one that was not started
// here: of its memory, and of the dump that it would start on.
func (r *runner) end() error {
	defer r.server.Stop()
	if !r.server.Remote {
		return nil
	}
	if _, err := r.server.Do("FLUSHDB"); err != nil {
		return fmt.Errorf("the keys of the trial are left in %s: %w", r.Contestant.Addr, err)
	}
	if r.out.Save == nil {
		return nil
	}
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := r.server.Do("SAVE")
		if err == nil {
			return nil
		}
		if !strings.Contains(err.Error(), "in progress") || time.Since(begin) > emptyLimit {
			return fmt.Errorf("the keys of the trial are left in the dump of %s: %w", r.Contestant.Addr, err)
		}
	}
}

// Empty returns an error if the server holds keys, in whichever database: a trial
// would overwrite them, and its save would be of them too.
func Empty(s *host.Server) error {
	info, err := s.Info("keyspace")
	if err != nil {
		return err
	}
	n := int64(0)
	for field, text := range info { // db0:keys=1,expires=0,avg_ttl=0
		keys, _, _ := strings.Cut(strings.TrimPrefix(text, "keys="), ",")
		if k, err := strconv.ParseInt(keys, 10, 64); err == nil && strings.HasPrefix(field, "db") {
			n += k
		}
	}
	if n != 0 {
		return fmt.Errorf("%s holds %d keys; a server given by --server must be empty: its data would be overwritten", s.Addr, n)
	}
	return nil
}

// mustBeEmpty keeps a trial from writing into somebody's data.
func (r *runner) mustBeEmpty() error {
	if err := Empty(r.server); err != nil {
		return err
	}
	return r.knows()
}

// knows asks the server for the commands of the scenario.
func (r *runner) knows() error {
	for _, name := range r.Scenario.Commands() {
		reply, err := r.server.Do("COMMAND", "INFO", name)
		if err != nil {
			return err
		}
		if list, ok := reply.([]any); !ok || len(list) != 1 || list[0] == nil {
			return skip{fmt.Errorf("it does not know %s", name)}
		}
	}
	return nil
}

func (r *runner) dbSize() (int64, error) {
	reply, err := r.server.Do("DBSIZE")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(fmt.Sprint(reply), 10, 64)
}

func (r *runner) fill(ctx context.Context) error {
	begin := time.Now()
	spec := r.Scenario.Load(r.server.Addr, r.Seed)
	err := r.tell(r.Contestant.Relaxed)
	if err == nil {
		err = load.Fill(ctx, spec, func(done, total int64) { r.progress("fill", float64(done)/float64(total)) })
	}
	if err == nil {
		err = r.tell(r.Contestant.Strict)
	}
	if err != nil {
		return fmt.Errorf("filling: %w", err)
	}
	r.out.FillSec = time.Since(begin).Seconds()
	if r.Contestant.Forgets {
		return nil
	}
	n, err := r.dbSize()
	if err == nil && n != r.Scenario.Keys {
		err = fmt.Errorf("filling: %d keys were sent, the server has %d", r.Scenario.Keys, n)
	}
	return err
}

// settle waits for what the fill has left the server to do.
func (r *runner) settle(ctx context.Context) error {
	r.progress("settle", -1)
	waited, err := r.server.Settle(ctx, settleLimit)
	r.out.SettleSec = waited.Seconds()
	return err
}

// tell sends a command, if there is one.
func (r *runner) tell(command []string) error {
	if len(command) == 0 {
		return nil
	}
	_, err := r.server.Do(command...)
	return err
}

// clients runs the clients and has the server save among them.
func (r *runner) clients(ctx context.Context) error {
	spec := r.Scenario.Load(r.server.Addr, r.Seed+uint64(r.Round))
	if spec.Rate > 0 && r.CeilingOps > 0 {
		spec.Rate = min(spec.Rate, r.CeilingOps*pacedShare)
	}
	r.out.TargetRate = spec.Rate
	g, err := load.Start(ctx, spec)
	if err != nil {
		return err
	}
	var sampler *host.Sampler
	if !r.server.Remote {
		sampler = host.NewSampler(r.server, g.Now, r.SampleEvery)
	}
	from, err := r.phases(ctx, g, sampler)
	end := g.Now()
	rec, stopErr := g.Stop()
	if sampler != nil {
		r.out.Memory = sampler.Stop()
		if r.out.Save != nil {
			host.Summarize(r.out.Memory, r.out.Save)
		}
	}
	if err == nil || ctx.Err() == nil && stopErr != nil {
		err = stopErr // what the clients met says more than that they ended
	}
	if rec != nil {
		r.record(rec, from, end)
	}
	return err
}

// phases waits through the phases; from is when the first one began.
func (r *runner) phases(ctx context.Context, g *load.Generator, sampler *host.Sampler) (from time.Duration, err error) {
	if err := r.pause(ctx, g, "warm", r.Warm); err != nil {
		return g.Now(), err
	}
	from = g.Now()
	if err := r.pause(ctx, g, "before", r.Before); err != nil {
		return from, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, replyLimit, fmt.Errorf("the server has not answered for %v", replyLimit))
	defer cancel()
	saving, err := r.server.PrepareSave(limited, r.Contestant.Save)
	if err != nil {
		return from, err
	}
	if sampler != nil {
		sampler.Pause()
	}
	// Windows consist of slots: the save begins with one.
	if err := r.pause(ctx, g, "save", g.NextSlot()-g.Now()); err != nil {
		return from, err
	}
	err = saving.Begin(limited)
	if sampler != nil {
		sampler.Resume()
	}
	if err != nil {
		return from, err
	}
	if err := r.wait(ctx, g, saving); err != nil {
		return from, err
	}
	return from, r.pause(ctx, g, "after", r.After)
}

// wait waits for the save, but not longer than the clients live.
func (r *runner) wait(ctx context.Context, g *load.Generator, saving *host.Saving) error {
	limited, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	go func() {
		select {
		case <-g.Done():
			cancel()
		case <-limited.Done():
		}
	}()
	save, err := saving.Wait(limited, g.Now)
	r.out.Save = save
	if err == nil && save.Error != "" {
		err = errors.New(save.Error)
	}
	return err
}

// pause lets the clients run for d, unless they fail.
func (r *runner) pause(ctx context.Context, g *load.Generator, step string, d time.Duration) error {
	r.progress(step, -1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.Done():
		return g.Err()
	}
}

// record cuts the recording into windows.
func (r *runner) record(rec *load.Recording, from, end time.Duration) {
	r.out.Series = rec.Series()
	if lag, ok := rec.LagP99(); ok {
		r.out.LagP99Usec = &lag
	}
	r.out.Windows = map[string]*result.Window{}
	for name, w := range cut(r.out.Save, from, end, seconds(r.out.Series.StepSec)) {
		tell := rec.Window
		if name == "during" || name == "save" {
			// A server that stands still for longer than the window answers in it
			// only what was asked before: what was due in it counts too. Not so before
			// the save, where that would be the beginning of its pause.
			tell = rec.Due
		}
		r.out.Windows[name] = tell(w.from, w.to)
	}
	if before := r.out.Windows["before"]; before != nil && r.out.TargetRate == 0 && r.CeilingOps > 0 {
		r.out.GeneratorBound = before.OpsPerSecond > boundShare*r.CeilingOps
	}
}

// span is a part of a trial, since the generator's start.
type span struct{ from, to time.Duration }

// cut returns the windows of a trial whose clients ran from from to end. They
// consist of slots. A reply counts in the slot in which it came, so that the slot
// after the one in which the save ended belongs to it too: it has the replies to
// what was sent during the save, and what its end costs.
func cut(save *result.Save, from, end, slot time.Duration) map[string]span {
	if save == nil {
		return map[string]span{"before": {from, end}}
	}
	at, saved := seconds(save.AtSec).Truncate(slot), end
	if save.EndSec > save.AtSec {
		saved = min(end, (seconds(save.EndSec) + 2*slot - 1).Truncate(slot))
	}
	length := min(at-from.Round(slot), saved-at) // from is no boundary
	out := map[string]span{
		"before": {from, at}, "during": {at, saved}, "after": {saved, end},
		"idle": {at - length, at}, "save": {at, at + length},
	}
	maps.DeleteFunc(out, func(_ string, w span) bool { return w.to <= w.from })
	return out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// quiet saves with no clients.
func (r *runner) quiet(ctx context.Context) error {
	r.progress("save", -1)
	begin := time.Now()
	now := func() time.Duration { return time.Since(begin) }
	var sampler *host.Sampler
	if !r.server.Remote {
		sampler = host.NewSampler(r.server, now, r.SampleEvery)
		sampler.Pause()
	}
	limited, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	saving, err := r.server.Bgsave(limited, r.Contestant.Save)
	if sampler != nil {
		sampler.Resume()
	}
	if err == nil {
		r.out.Save, err = saving.Wait(limited, now)
	}
	if sampler != nil {
		r.out.Memory = sampler.Stop()
	}
	if err != nil {
		return err
	}
	if r.out.Save.Error != "" {
		return errors.New(r.out.Save.Error)
	}
	if sampler != nil {
		host.Summarize(r.out.Memory, r.out.Save)
	}
	return nil
}

// reload kills the server, so that it cannot save again, and starts it on what
// the save left; all keys must be there.
func (r *runner) reload(ctx context.Context) error {
	r.progress("load", -1)
	r.server.Kill()
	limited, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	r.launch.Args = append(r.launch.Args, r.Contestant.Reload...)
	again, err := host.Start(limited, r.launch)
	if err != nil {
		r.out.Load = &result.Load{Error: err.Error()}
		return fmt.Errorf("starting on what was saved: %w", err)
	}
	r.server = again
	n, err := r.dbSize()
	if err == nil && n < r.Scenario.Keys {
		err = fmt.Errorf("starting on what was saved: %d of %d keys are there", n, r.Scenario.Keys)
	}
	r.out.Load = &result.Load{Seconds: again.StartSec, Keys: n}
	if err != nil {
		r.out.Load.Error = err.Error()
	}
	return err
}

func (r *runner) progress(step string, done float64) {
	if r.Progress != nil {
		r.Progress(step, done)
	}
}
