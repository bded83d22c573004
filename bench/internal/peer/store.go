//go:build linux

package peer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// pebble's settings beyond those of the command line. Tables have the defaults
// and bloom filters, so that a look-up reads one block at most; memtables and
// files of level 0 may pile up as CockroachDB lets them, since a write that
// pebble holds back holds back an event loop.
const (
	bloomBits      = 10
	memtables      = 4    // before writes are held back
	l0Compaction   = 2    // sublevels of level 0 that start a compaction
	l0StopWrites   = 1000 // before writes are held back
	defaultCache   = 256 << 20
	defaultMem     = 64 << 20
	maxMemtableMiB = 4 << 10
)

func pebbleFlags(fs *flag.FlagSet, o *options) {
	o.cache, o.memtable = defaultCache, defaultMem
	fs.Var(yesNo{&o.sync}, "sync", "yes: SET is answered when the write-ahead log is on the disk (as appendfsync always)")
	fs.Var(mebibytes{&o.cache, 1}, "cache-mb", "size of the block cache, `MiB`")
	fs.Var(mebibytes{&o.memtable, 1}, "memtable-mb", "size of a memtable, `MiB`")
	fs.StringVar(&o.load, "load", "", "start on a save: `path` of a checkpoint, which becomes the live data, or of an RDB file;\n"+
		"checkpoint or rdb: the last one in the directory of the saves")
}

// store is a pebble database as the contestant's commands see it.
type store struct {
	db       *pebble.DB
	live     string // its directory
	cache    int64
	memtable int64
	log      *slog.Logger
	saveDir  func() string // as CONFIG GET dir tells
	compress func() bool   // rdbcompression
	checksum func() bool   // rdbchecksum

	synced atomic.Bool    // SET and DEL wait for the disk
	busy   sync.WaitGroup // goroutines that use db
	delMu  sync.Mutex     // a DEL at a time: each key is counted once

	stalls    atomic.Int64
	stallNano atomic.Int64
	stalled   atomic.Int64 // Unix ns since when; 0: not

	failing struct {
		sync.Mutex
		since, last, said time.Time // background errors with no success in between
	}
}

// newPebble opens the database and makes the contestant around it.
func newPebble(o *options, log *slog.Logger) (*contestant, error) {
	if o.dir == "" {
		return nil, errors.New("pebble needs --dir")
	}
	if o.memtable > maxMemtableMiB<<20 {
		return nil, fmt.Errorf("--memtable-mb: %d at most", maxMemtableMiB)
	}
	s, err := openStore(o, log, vfs.Default)
	if err != nil {
		return nil, err
	}
	return s.contestant(), nil
}

// contestant returns what the server needs to know of the store.
func (s *store) contestant() *contestant {
	c := &contestant{rows: s.rows(), sections: s.sections(), close: s.close}
	c.saves = []saveKind{
		{name: "CHECKPOINT", begin: s.beginCheckpoint},
		{name: "RDB", begin: s.beginRDB},
	}
	c.attach = func(p *program) {
		s.saveDir = func() string { return p.cfg.String("dir") }
		s.compress = func() bool { return p.cfg.Bool("rdbcompression") }
		s.checksum = func() bool { return p.cfg.Bool("rdbchecksum") }
		p.cfg.OnChange("appendfsync", func() error { return s.setSync(p.cfg.String("appendfsync")) })
	}
	return c
}

// setSync follows appendfsync, so that a filler can do without waiting.
func (s *store) setSync(value string) error {
	if value == "everysec" {
		return errors.New("pebble syncs its log at each write or leaves that to the system: always or no")
	}
	s.synced.Store(value == "always")
	return nil
}

// openStore opens what o names; fs is where pebble keeps its files.
func openStore(o *options, log *slog.Logger, fs vfs.FS) (*store, error) {
	start := time.Now()
	dir, rdbFile, err := dataDir(o)
	if err != nil {
		return nil, err
	}
	s := &store{live: dir, cache: o.cache, memtable: o.memtable, log: log}
	s.synced.Store(o.sync)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	opts := s.options(fs)
	defer opts.Cache.Unref()
	if s.db, err = pebble.Open(dir, opts); err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	removeTemporary(o.saveDir, log)
	if rdbFile != "" {
		n, err := s.readRDB(rdbFile)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("loading %s: %w", rdbFile, err), s.db.Close())
		}
		log.Info("Loaded", "file", rdbFile, "keys", n)
	}
	log.Info("The database is open", "dir", dir, "sync", yesNo{&o.sync}.String(), "cache_bytes", o.cache,
		"memtable_bytes", o.memtable, "seconds", time.Since(start).Seconds())
	return s, nil
}

// dataDir returns the directory of the live data, and the RDB file that is to be
// read into it, if any.
func dataDir(o *options) (dir, rdbFile string, err error) {
	path := o.load
	switch path {
	case "":
		if isStore(o.dir) { // a checkpoint is a database of its own
			return o.dir, "", nil
		}
		return filepath.Join(o.dir, "db"), "", nil
	case "checkpoint":
		if path = lastCheckpoint(o.saveDir); path == "" {
			return "", "", fmt.Errorf("there is no checkpoint in %s", o.saveDir)
		}
	case "rdb":
		path = filepath.Join(o.saveDir, dumpName)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		if !isStore(path) {
			return "", "", fmt.Errorf("%s is no checkpoint", path)
		}
		return path, "", nil
	}
	// The dump alone counts, not what an earlier process had besides it.
	dir = filepath.Join(o.dir, "loaded")
	return dir, path, os.RemoveAll(dir)
}

// isStore tells whether a directory has a pebble database in it.
func isStore(dir string) bool {
	d, err := pebble.Peek(dir, vfs.Default)
	return err == nil && d.Exists
}

func (s *store) options(fs vfs.FS) *pebble.Options {
	opts := &pebble.Options{
		FS:                          fs,
		Cache:                       pebble.NewCache(s.cache),
		MemTableSize:                uint64(s.memtable),
		MemTableStopWritesThreshold: memtables,
		L0CompactionThreshold:       l0Compaction,
		L0StopWritesThreshold:       l0StopWrites,
		FormatMajorVersion:          pebble.FormatNewest,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.NumCPU()/2) },
		Logger:                      pebbleLog{s.log},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.failed(err, time.Now()) },
			FlushEnd:        func(i pebble.FlushInfo) { s.succeeded(i.Err) },
			CompactionEnd:   func(i pebble.CompactionInfo) { s.succeeded(i.Err) },
			DiskSlow:        func(i pebble.DiskSlowInfo) { s.log.Warn("pebble: " + i.String()) },
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) { s.stallBegins(i.Reason) },
			WriteStallEnd:   s.stallEnds,
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	return opts
}

func (s *store) stallBegins(reason string) {
	s.stalls.Add(1)
	s.stalled.Store(time.Now().UnixNano())
	s.log.Warn("pebble holds writes back", "reason", reason)
}

func (s *store) stallEnds() {
	if from := s.stalled.Swap(0); from != 0 {
		s.stallNano.Add(time.Now().UnixNano() - from)
	}
}

// patience is for how long flushes and compactions may fail. pebble tries again
// and again, and holds writes back for ever: on a full disk the server would hang.
const patience = 5 * time.Second

// failed notes an error of a flush or a compaction.
func (s *store) failed(err error, now time.Time) {
	f := &s.failing
	f.Lock()
	defer f.Unlock()
	if now.Sub(f.last) > patience/2 { // a new series
		f.since = now
	}
	f.last = now
	if now.Sub(f.since) > patience {
		pebbleLog{s.log}.Fatalf("for %v nothing could be written: %v", patience, err)
	}
	if now.Sub(f.said) > time.Second { // there may be hundreds in a second
		f.said = now
		s.log.Error("pebble: background error", "error", err.Error())
	}
}

func (s *store) succeeded(err error) {
	if err == nil {
		s.failing.Lock()
		s.failing.last = time.Time{}
		s.failing.Unlock()
	}
}

// endOnPanic is deferred around writes: pebble panics with the error when its log
// cannot be written to.
func (s *store) endOnPanic() {
	r := recover()
	if r == nil {
		return
	}
	if err, ok := r.(error); ok && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EDQUOT)) {
		pebbleLog{s.log}.Fatalf("%v", err)
	}
	panic(r)
}

// close waits for what still uses the database and closes it.
func (s *store) close() error {
	s.busy.Wait()
	return s.db.Close()
}

// pebbleLog is where pebble's messages go.
type pebbleLog struct{ log *slog.Logger }

// Infof implements pebble.Logger. Its flushes and compactions are in INFO.
func (l pebbleLog) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. It must not return: pebble calls it when it
// cannot go on, as when the disk of the write-ahead log is full.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.log.Error("pebble cannot go on, the server ends: " + fmt.Sprintf(format, args...))
	os.Exit(1)
}

var modulePath = regexp.MustCompile(`/pebble/v2@(v[^/]+)/`)

// pebbleVersion is that of the module in this program. The path of its source
// tells it in test binaries, too, which have no list of modules.
var pebbleVersion = sync.OnceValue(func() string {
	file, _ := runtime.FuncForPC(reflect.ValueOf(pebble.Open).Pointer()).FileLine(0)
	if m := modulePath.FindStringSubmatch(file); m != nil {
		return m[1]
	}
	return "v2"
})

// sections are what the store adds to INFO.
func (s *store) sections() []section {
	return []section{{"pebble", "Pebble", s.info}}
}

func (s *store) info(w *fields) {
	m := s.db.Metrics()
	synced := s.synced.Load()
	w.str("pebble_version", pebbleVersion())
	w.str("pebble_dir", s.live)
	w.str("pebble_wal", "on")
	w.str("pebble_sync", yesNo{&synced}.String())
	w.num("pebble_cache_bytes", s.cache)
	w.num("pebble_cache_used_bytes", m.BlockCache.Size)
	w.num("pebble_cache_hits", m.BlockCache.Hits)
	w.num("pebble_cache_misses", m.BlockCache.Misses)
	w.num("pebble_memtable_bytes", s.memtable)
	w.num("pebble_memtables_used_bytes", int64(m.MemTable.Size))
	w.num("pebble_bloom_bits", bloomBits)
	w.num("pebble_flushes", m.Flush.Count)
	w.num("pebble_compactions", m.Compact.Count)
	w.num("pebble_compactions_running", m.Compact.NumInProgress)
	w.num("pebble_compaction_usec", m.Compact.Duration.Microseconds())
	w.num("pebble_compaction_debt_bytes", int64(m.Compact.EstimatedDebt))
	w.num("pebble_read_amplification", int64(m.ReadAmp()))
	w.num("pebble_disk_bytes", int64(m.DiskSpaceUsage()))
	w.num("pebble_wal_bytes", int64(m.WAL.BytesWritten))
	w.num("pebble_write_stalls", s.stalls.Load())
	w.num("pebble_write_stall_usec", s.stallNano.Load()/1000)
}
