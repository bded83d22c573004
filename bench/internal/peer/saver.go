//go:build linux

package peer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"kvd/kv/command"
)

// saveKind is one way of saving.
type saveKind struct {
	name string // as an argument of BGSAVE, in capitals
	// begin does what must be done before BGSAVE is answered and returns the
	// rest, which runs in the background. It runs on a goroutine of its own.
	begin func() (saveJob, error)
}

// saveJob is the part of a save that runs in the background.
type saveJob struct {
	// paused is for how long begin has kept clients from being served, view how
	// long it took to get a consistent view of the data.
	paused, view time.Duration
	// run saves. It ends early, with the context's error, where it can.
	run func(ctx context.Context) (saved, error)
}

// saved is what a save has done. Sizes are bytes.
type saved struct {
	keys   int64
	bytes  int64 // written
	shared int64 // in the save without having been written: hard links
}

// saver runs one save at a time. It is the command.Saver of a peer.
type saver struct {
	kinds []saveKind
	log   *slog.Logger

	mu     sync.Mutex
	info   command.SaveInfo
	last   saved
	took   time.Duration // of the last save that ended
	began  time.Time     // of the one that runs
	cancel context.CancelFunc
	done   chan struct{} // closed when the save has ended
}

var _ command.Saver = (*saver)(nil)

func newSaver(kinds []saveKind, log *slog.Logger) *saver {
	return &saver{kinds: kinds, log: log, info: command.SaveInfo{
		LastSaveUnix: time.Now().Unix(), LastBgsaveOK: true, LastBgsaveSeconds: -1, CurrentBgsaveSeconds: -1,
	}}
}

// Texts that clients see, in Redis' words.
const (
	textSyntax     = "ERR syntax error"
	textInProgress = "ERR Background save already in progress"
	textStarted    = "Background saving started"
)

// bgsaveRow is BGSAVE with the kinds of the peer.
func (s *saver) bgsaveRow() *command.Spec {
	row := command.Row("bgsave")
	row.Lock = command.LockSelf
	var kinds []command.Arg
	for _, k := range s.kinds {
		kinds = append(kinds, command.Arg{Name: strings.ToLower(k.name), Type: "pure-token", Token: k.name})
	}
	row.Doc.Summary = "Saves the data set in the background."
	row.Doc.Args = []command.Arg{{Name: "method", Type: "oneof", Optional: true, Args: kinds}}
	row.Handler = s.bgsave
	return row
}

func (s *saver) bgsave(x *command.Ctx) {
	name := ""
	switch {
	case len(x.Args) == 2:
		name = string(x.Args[1])
	case len(x.Args) > 2:
		x.Err(textSyntax)
		return
	}
	if s.find(name) == nil {
		x.Err(textSyntax)
		return
	}
	status, done, err := x.Await(func() (string, error) { return s.Start(command.SaveRequest{Kind: name, DB: -1}) })
	switch {
	case !done:
	case errors.Is(err, command.ErrSaveInProgress):
		x.Err(textInProgress)
	case err != nil:
		x.Err("ERR " + err.Error())
	default:
		x.Simple(status)
	}
}

// find returns the kind of that name in any case, the first one for "".
func (s *saver) find(name string) *saveKind {
	for i := range s.kinds {
		if name == "" || strings.EqualFold(s.kinds[i].name, name) {
			return &s.kinds[i]
		}
	}
	return nil
}

// Check implements command.Saver.
func (s *saver) Check(r command.SaveRequest) error {
	if s.find(r.Kind) == nil {
		return errNoKind
	}
	return nil
}

// errNoKind refuses a save that there is not.
var errNoKind = errors.New("there is no such save")

// Start implements command.Saver. Nothing is ever scheduled for later.
func (s *saver) Start(r command.SaveRequest) (status string, err error) {
	k := s.find(r.Kind)
	if k == nil {
		return "", errNoKind
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	if s.done != nil {
		s.mu.Unlock()
		cancel()
		return "", command.ErrSaveInProgress
	}
	done := make(chan struct{})
	s.began, s.cancel, s.done = time.Now(), cancel, done
	s.info.BgsaveInProgress, s.info.CurrentType = true, strings.ToLower(k.name)
	s.mu.Unlock()

	job, err := k.begin()
	s.mu.Lock()
	s.info.LastPauseUsec, s.info.LatestForkUsec = job.paused.Microseconds(), job.view.Microseconds()
	s.mu.Unlock()
	if err != nil {
		s.end(saved{}, err)
		return "", err
	}
	s.log.Info("Background saving started", "kind", k.name)
	go func() {
		out, err := job.run(ctx)
		s.end(out, err)
	}()
	return textStarted, nil
}

// end notes the outcome of the save that runs.
func (s *saver) end(out saved, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &s.info
	s.took = time.Since(s.began)
	i.LastBgsaveSeconds, i.LastType = int64(s.took.Seconds()), i.CurrentType
	i.BgsaveInProgress, i.CurrentType = false, ""
	i.LastBgsaveOK, i.LastError = err == nil, ""
	if err == nil {
		s.last = out
		i.LastSaveUnix = time.Now().Unix()
		i.Saves++
		s.log.Info("Background saving terminated with success", "keys", out.keys, "bytes", out.bytes, "shared", out.shared, "seconds", s.took.Seconds())
	} else {
		i.LastError = err.Error()
		s.log.Error("Background saving error", "error", err.Error())
	}
	s.cancel()
	close(s.done)
	s.done = nil
}

// figures returns the state and what the last good save has done.
func (s *saver) figures() (info command.SaveInfo, last saved, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info = s.info
	if s.done != nil {
		info.CurrentBgsaveSeconds = int64(time.Since(s.began).Seconds())
	}
	return info, s.last, s.took
}

// Info implements command.Saver.
func (s *saver) Info() command.SaveInfo {
	info, _, _ := s.figures()
	return info
}

// Cancel implements command.Saver.
func (s *saver) Cancel() error {
	s.mu.Lock()
	done := s.done
	if done != nil {
		s.cancel()
	}
	s.mu.Unlock()
	if done == nil {
		return command.ErrNoSave
	}
	<-done
	return nil
}

// WriteDenied implements command.Saver: there are no save points, so that a save
// that failed forbids nothing.
func (s *saver) WriteDenied() string { return "" }

// The commands that lead to the following are not among those of a peer.

var errNotHere = errors.New("not supported by this server")

// Save implements command.Saver.
func (s *saver) Save() error { return errNotHere }

// Reload implements command.Saver.
func (s *saver) Reload(_, _ bool) error { return errNotHere }

// BeforeFlushAll implements command.Saver.
func (s *saver) BeforeFlushAll() {}

// AfterFlushAll implements command.Saver.
func (s *saver) AfterFlushAll() {}
