package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
	"kvd/snapshot/value"
)

// redisVersion is what the file says it was written by: the server whose format
// it has.
const redisVersion = "7.0.15"

// ErrForkUnavailable is returned for the engine Fork in a program built with the
// race detector.
var ErrForkUnavailable = fork.ErrRace

// AuxField is a piece of metadata in the head of a file.
type AuxField struct{ Key, Value string }

// Options say how to save. The zero value saves as redis-server does by default.
type Options struct {
	Engine             Engine        // 0 means Auto
	NoCompress         bool          // strings as they are, no LZF
	NoChecksum         bool          // no CRC64 at the end
	NoIncrementalFsync bool          // leave all writing to the disk to the fsync at the end
	Aux                []AuxField    // more metadata, behind the usual
	ChildTimeout       time.Duration // Fork: how long the child may stand still before it is killed; 0 means 60 s
	OOMScoreAdj        *int          // Fork: the child's /proc/PID/oom_score_adj; nil leaves it
	ChildNice          int           // Fork: the child's niceness, 1 to 19, unless the program's is higher; 0 leaves it
	ChildIO            IOPriority    // Fork: the child's I/O priority; 0 leaves it
	// Threads is how many goroutines encode (Thread and Copy), at most one per
	// shard; 0 means one less than the machine has cores, and at least one.
	Threads   int
	RateLimit int64 // bytes per second to the file; 0 means no limit
	DB        *int  // save this database alone, with its number; nil saves all

	WritePolicy kv.WritePolicy // Fork: what writers do to memory that the child shares
	Verify      VerifyMode     // how the file is read back before it gets its name
	// ValkeyFieldExpiry writes the data as Valkey's version 80, and not as Redis' 12, if
	// fields of hashes expire. Without such fields the version is 10.
	ValkeyFieldExpiry bool
	// MemoryLimit is what Extra of the Result may come to while the save runs, in
	// bytes, looked at a hundred times a second; 0 means no limit. Copy, which needs
	// as much again as the data, and Foreground have none. Overrun says what happens
	// there, and HoldWrites makes writers wait, for OverrunThrottle.
	MemoryLimit int64
	Overrun     Overrun
	HoldWrites  func(on bool)

	// For tests.
	synced func(f *os.File) // called when the disk has everything
	root   string           // where /proc and /sys are; "" means /
}

// ErrNoDB is returned for an Options.DB that the store does not have.
var ErrNoDB = errors.New("DB index is out of range")

// VerifyMode is how a new file is read back, from the disk, before it gets its
// name.
type VerifyMode uint8

// The ways to verify: framing, checksum and the number of keys at the cut; every
// value as well; not at all.
const (
	VerifyYes VerifyMode = iota
	VerifyFull
	VerifyNo
)

// String returns the word that save-verify and INFO use.
func (m VerifyMode) String() string { return [...]string{"yes", "full", "no"}[m] }

// VerifyError means that a file was written without an error and read back with
// one. It never got its name.
type VerifyError struct{ Err error }

func (e *VerifyError) Error() string { return "verification: " + e.Err.Error() }

// Unwrap returns what was wrong.
func (e *VerifyError) Unwrap() error { return e.Err }

// Result is what a save did.
type Result struct {
	Engine  Engine
	Path    string // absolute
	Keys    int64
	Bytes   int64         // size of the file
	Changes int64         // Store.Changes as of the cut
	Pause   time.Duration // how long the locks were held for the cut; Foreground: for the whole walk
	Clone   time.Duration // Fork: clone(2) alone
	PID     int           // Fork: the child's process id
	Took    time.Duration // from before the cut until the file had its name

	// Copied is what the kernel copied because parent or child wrote, in bytes
	// at the end (Fork). Extra is the peak of all memory that the save cost: what
	// was copied, and what was replaced or deleted and had to be kept.
	Copied, Extra int64

	// Faults counts the page faults of the process from the cut to the end of the
	// View (Fork): nearly all are pages that the kernel copied. FaultPeak is the
	// longest that a probe of such a fault took.
	Faults    int64
	FaultPeak time.Duration
	EndPause  time.Duration // how long the end of the View took, for which all locks are taken

	Verified   VerifyMode    // how the file was verified
	VerifyTook time.Duration // what that took, of Took

	// Warning is what failed without harm: the child's priorities and OOM score.
	Warning error
}

// Save writes the store to path, replacing the file there in one step; until
// then it is untouched. It returns when the file is on the disk. It returns
// kv.ErrBusy if another View is live, the cause of ctx (errors.Is) when that is
// done before the file has its name, and else what went wrong, path included.
// The caller must hold no lock of the store.
func Save(ctx context.Context, store *kv.Store, path string, o Options) (Result, error) {
	forker := fork.New()
	defer forker.Close()
	if err := context.Cause(ctx); err != nil {
		return Result{}, saveError(path, err)
	}
	s, err := begin(store, path, o, forker)
	if err != nil {
		return Result{}, err
	}
	return s.finish(ctx)
}

func saveError(path string, err error) error { return fmt.Errorf("save %s: %w", path, err) }

// bufferSize is the encoder's buffer, the largest piece of an ordinary write.
const bufferSize = 1 << 20

// saving is one save: begin takes its cut, finish ends it.
type saving struct {
	store   *kv.Store
	o       Options
	out     *outFile
	buf     []byte // of all encoders; mmap'ed and shared with a child, so that the kernel need not copy it
	dump    dump
	view    *kv.View
	started time.Time

	sink fileSink     // Foreground
	crew *crew        // Thread, Copy
	keys atomic.Int64 // not Fork: written so far
	done atomic.Int64 // the same, in bytes of the store
	data int64        // bytes of all keys and values when the cut was taken, what is not saved included
	stop atomic.Bool

	copyBytes int64 // Copy: the size of the copy

	job   *fork.Job // Fork
	probe faultProbe
	child *childBody

	// Samples of a save in progress, bytes; sampledAt is in Unix nanoseconds.
	copied, copiedPeak, extraPeak, sampledAt atomic.Int64

	faults, faultPeak atomic.Int64 // Fork: page faults since the cut, and nanoseconds
	throttled         atomic.Int64 // share of the time that writers wait, in 1/1000
	phase             atomic.Int32
	checked           atomic.Int64          // bytes read back
	failure           atomic.Pointer[error] // why the save gives itself up
}

// The phases of a save.
const (
	phaseCut int32 = iota
	phaseWriting
	phaseSyncing
	phaseVerifying
)

// stage names the phase.
func (s *saving) stage() string {
	return [...]string{"cut", "writing", "syncing", "verifying"}[s.phase.Load()]
}

// begin opens the file and takes the cut. When it returns nil the caller must
// call finish.
func begin(store *kv.Store, path string, o Options, forker *fork.Forker) (*saving, error) {
	if o.Engine == 0 || o.Engine == Auto {
		in := storeInputs(store)
		in.Seconds = expectedSeconds(dataBytes(store), 0, 0)
		o.Engine, _ = chooseAuto(in)
	}
	if o.ChildTimeout <= 0 {
		o.ChildTimeout = time.Minute
	}
	if o.DB != nil && (*o.DB < 0 || *o.DB >= store.Databases()) {
		return nil, saveError(path, ErrNoDB)
	}
	s := &saving{store: store, o: o, started: time.Now()}
	if o.Engine == Fork && fork.RaceEnabled {
		return nil, saveError(path, ErrForkUnavailable)
	}
	err := roomForThreads(o.root, s.threads())
	if err == nil {
		s.out, err = createFile(path)
	}
	if err != nil {
		return nil, saveError(path, err)
	}
	if err = s.prepare(); err == nil {
		err = s.cut(forker)
	}
	if err != nil {
		s.discard()
		return nil, saveError(s.out.path, err)
	}
	return s, nil
}

// lanes returns how many encoders may be at work at a time.
func (s *saving) lanes() int {
	if s.o.Engine != Thread && s.o.Engine != Copy {
		return 1
	}
	n := s.o.Threads
	if n <= 0 {
		n = runtime.NumCPU() - 1
	}
	return max(1, min(n, maxLanes)) + 1 // the last one is for hurry
}

// prepare makes all that the cut should not wait for.
func (s *saving) prepare() (err error) {
	lanes := s.lanes()
	s.buf, err = unix.Mmap(-1, 0, lanes*bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	s.data = s.store.Memory().Entries
	s.dump = dump{
		ctime: time.Now().Unix(),
		used:  s.store.Memory().Used,
		aux:   append(slices.Clip(s.o.Aux), AuxField{engineAux, s.o.Engine.String()}),
		only:  -1,
		sized: make([]bool, s.store.Databases()),
		ttl:   rdb.VersionFieldTTL,
		meter: value.Meter{Done: &s.done},
	}
	if s.o.ValkeyFieldExpiry {
		s.dump.ttl = rdb.VersionValkey
	}
	if s.o.DB != nil {
		s.dump.only = *s.o.DB
	}
	window := syncWindow{off: s.o.NoIncrementalFsync, pace: pace{rate: s.o.RateLimit}}
	eo := rdb.EncoderOptions{Compress: !s.o.NoCompress, Checksum: !s.o.NoChecksum}
	if lanes > 1 {
		file := &laneFile{f: s.out.f, window: window, checksum: eo.Checksum, stop: &s.stop}
		s.crew = newCrew(&s.dump, file, s.buf, lanes, eo, &s.keys, &s.stop)
		return nil
	}
	s.dump.enc = rdb.NewEncoder(s.buf, eo)
	s.sink = fileSink{f: s.out.f, window: window, stop: &s.stop}
	return nil
}

// discard gives back what begin or finish is left with.
func (s *saving) discard() {
	s.out.abort()
	if s.job != nil {
		s.job.Close()
	}
	s.probe.close()
	if s.buf != nil {
		_ = unix.Munmap(s.buf) // our own mapping: cannot fail
		s.buf = nil
	}
}

// cut takes the View; with it a forked child begins to write.
func (s *saving) cut(forker *fork.Forker) error {
	if s.o.Engine == Fork {
		return s.cutFork(forker, s.sink.window)
	}
	if s.crew == nil {
		s.dump.enc.Reset(&s.sink)
	}
	mode := kv.ModeThread
	switch s.o.Engine {
	case Copy:
		mode = kv.ModeCopy
	case Foreground:
		mode = kv.ModeLocked
	}
	var err error
	if s.view, err = s.store.Freeze(kv.FreezeOptions{Mode: mode}); err != nil {
		return err
	}
	s.dump.view = s.view
	if s.o.Engine == Copy {
		s.copyBytes, _ = s.view.ExtraBytes()
	}
	return nil
}

// finish writes what the cut holds, unless a child does, waits for the end and
// gives the file its name.
func (s *saving) finish(ctx context.Context) (Result, error) {
	stopped := context.AfterFunc(ctx, s.cancel)
	defer stopped()
	defer s.discard()
	if s.job != nil {
		defer s.store.HoldRecollapse()() // syncing and verifying take enough of the processors
	}
	res := Result{Engine: s.o.Engine, Path: s.out.path, Changes: s.view.Changes(), Pause: s.view.Pause()}
	err := s.run(&res)
	if why := s.failure.Load(); err != nil && why != nil { // else it came too late to matter
		err = *why
	}
	if err == nil {
		s.phase.Store(phaseSyncing)
		err = s.out.sync()
		if s.o.synced != nil {
			s.o.synced(s.out.f)
		}
	}
	if err == nil {
		err = s.verify(ctx, &res)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err == nil {
		err = s.out.commit()
	}
	res.Took = time.Since(s.started)
	if err != nil {
		return res, saveError(s.out.path, err)
	}
	return res, nil
}

// fail gives the save up because of err. It is for the watcher, before the View
// is closed.
func (s *saving) fail(err error) {
	if !s.failure.CompareAndSwap(nil, &err) {
		return
	}
	s.cancel()
	if s.crew != nil {
		s.crew.abandon()
	}
}

// cancel makes the walker stop soon.
func (s *saving) cancel() {
	s.stop.Store(true)
	if s.job != nil {
		s.job.Kill()
	}
}

// hurry gives the save more of the processors, since the memory that it costs comes
// near its limit: one more goroutine that writes, at the priority of the process,
// or that priority for the child, where the system lets it. Later calls do nothing. It may be called from any goroutine, until the end.
func (s *saving) hurry() {
	if s.crew != nil {
		s.crew.hurry()
	}
	if s.job != nil {
		s.job.Hurry()
	}
}

// run returns when the last byte is encoded and the View closed.
func (s *saving) run(res *Result) error {
	var err error
	begun := time.Now()
	s.phase.Store(phaseWriting)
	unwatch := s.watch()
	switch s.o.Engine {
	case Fork:
		s.job.Wait()
	case Foreground:
		err = s.dump.write(&s.keys, &s.stop)
		res.Bytes = s.dump.enc.Bytes()
	default:
		err = s.crew.write()
		res.Bytes = s.crew.file.size()
	}
	unwatch()
	if s.o.Engine == Fork {
		err = s.childEnded(res)
	}
	total := s.dump.total()
	if s.o.Engine != Fork {
		res.Keys = s.keys.Load()
		_, res.Extra = s.view.ExtraBytes()
	}
	if s.o.Engine == Foreground {
		res.Pause += time.Since(begun)
	}
	begun = time.Now()
	_ = s.view.Close() // always nil
	res.EndPause = time.Since(begun)
	if err == nil && res.Keys != total {
		err = fmt.Errorf("%d keys were written, there were %d at the cut", res.Keys, total)
	}
	return err
}

// verifyThreads is how many goroutines read the file back: they wait for the disk.
const verifyThreads = 2

// verify reads the file back from the disk, at the priority of a saver.
func (s *saving) verify(ctx context.Context, res *Result) error {
	if res.Verified = s.o.Verify; s.o.Verify == VerifyNo {
		return nil
	}
	s.phase.Store(phaseVerifying)
	start := time.Now()
	o := VerifyOptions{Full: s.o.Verify == VerifyFull, NoChecksum: s.o.NoChecksum, FromDisk: true,
		Databases: s.store.Databases(), Expect: &Expectation{Keys: res.Keys, Bytes: res.Bytes}, Threads: verifyThreads,
		Progress: func(read, _ int64) { s.checked.Store(read) }, nice: threadNice}
	done := make(chan error, 1)
	go atNice(threadNice, func() {
		_, err := Verify(ctx, s.out.f, res.Bytes, o)
		done <- err
	})
	err := <-done
	res.VerifyTook = time.Since(start)
	if err != nil && context.Cause(ctx) == nil {
		err = &VerifyError{err}
	}
	return err
}

// eta returns how many seconds the save will take yet if it goes on as in the
// time spent; -1 if that cannot be told.
func (s *saving) eta(spent time.Duration) int64 {
	done := s.share()
	if done <= 0 {
		return -1
	}
	return int64(spent.Seconds() * (1 - done) / done)
}

// share returns how much is written of what there is to write, from 0 to 1: by bytes of the store, since
// a single key may be most of them.
func (s *saving) share() float64 {
	keys, total := s.progress()
	if s.phase.Load() >= phaseSyncing {
		return 1
	}
	if total == 0 {
		return 0
	}
	done, data := s.done.Load(), s.data
	if s.job != nil {
		done = s.job.Work()
	}
	if s.o.DB != nil { // how many bytes are in one database nobody has counted
		all := int64(0)
		for db := range s.view.Databases() {
			n, _ := s.view.Counts(db)
			all += n
		}
		data = int64(float64(data) * float64(total) / float64(all))
	}
	if data <= 0 {
		return float64(keys) / float64(total)
	}
	return min(float64(done)/float64(data), 1)
}

// progress returns how many keys are written, and how many there were.
func (s *saving) progress() (keys, total int64) {
	keys = s.keys.Load()
	if s.job != nil {
		keys, _, _ = s.job.Progress()
	}
	return keys, s.dump.total()
}

// extra returns the memory that the save costs now, and what of it the kernel
// has copied, at the last sample; both with their peaks, in bytes.
func (s *saving) extra() (now, peak, copied, copiedPeak int64) {
	if s.o.Engine == Copy {
		return s.copyBytes, s.copyBytes, s.copyBytes, s.copyBytes
	}
	now, peak = s.view.ExtraBytes()
	if s.job == nil {
		return now, peak, now, peak
	}
	copied, copiedPeak = s.copied.Load(), s.copiedPeak.Load()
	return now + copied, max(s.extraPeak.Load(), now+copied), copied, copiedPeak
}
