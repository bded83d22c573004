//go:build linux

package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"

	"kvd/kv/command"
	"kvd/snapshot/rdb"
)

// Names in the directory of the saves. A save in the making has a temporary name
// beside the final one.
const (
	checkpointPrefix = "checkpoint-"
	dumpName         = "dump.rdb"
	tempPrefix       = "temp-peer-"
)

// checkpoints returns the numbers of the checkpoints in a directory.
func checkpoints(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 && e.IsDir() {
			out = append(out, n)
		}
	}
	return out, nil
}

// lastCheckpoint returns the path of the newest checkpoint in a directory, "" if
// there is none.
func lastCheckpoint(dir string) string {
	numbers, err := checkpoints(dir)
	if err != nil || len(numbers) == 0 {
		return ""
	}
	newest := 0
	for _, n := range numbers {
		newest = max(newest, n)
	}
	return checkpointPath(dir, newest)
}

func checkpointPath(dir string, n int) string {
	return filepath.Join(dir, checkpointPrefix+strconv.Itoa(n))
}

// removeTemporary removes what saves of a process that died have left. The live
// database is open, and thereby locked: nobody else saves here.
func removeTemporary(dir string, log *slog.Logger) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it may not be there yet
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				log.Warn("What an interrupted save has left stays", "error", err.Error())
				continue
			}
			log.Info("Removed what an interrupted save had left", "name", e.Name())
		}
	}
}

// beginCheckpoint is BGSAVE CHECKPOINT: a second database whose tables are hard
// links to those of the live one, with the log up to now. No command waits for it
// here; what pebble's own locks cost shows in the latencies.
func (s *store) beginCheckpoint() (saveJob, error) {
	dir := s.saveDir()
	return saveJob{run: func(context.Context) (saved, error) { return s.checkpoint(dir) }}, nil
}

func (s *store) checkpoint(dir string) (saved, error) {
	numbers, err := checkpoints(dir)
	if err != nil {
		return saved{}, err
	}
	next := 1
	for _, n := range numbers {
		next = max(next, n+1)
	}
	final := checkpointPath(dir, next)
	temp := filepath.Join(dir, tempPrefix+filepath.Base(final))
	if err := os.RemoveAll(temp); err != nil {
		return saved{}, err
	}
	if err := s.db.Checkpoint(temp, pebble.WithFlushedWAL()); err != nil {
		return saved{}, errors.Join(err, os.RemoveAll(temp))
	}
	out, err := s.sizes(temp)
	if err != nil {
		return saved{}, errors.Join(err, os.RemoveAll(temp))
	}
	if err := os.Rename(temp, final); err != nil {
		return saved{}, errors.Join(err, os.RemoveAll(temp))
	}
	if err := syncDir(dir); err != nil {
		return saved{}, err
	}
	for _, n := range numbers {
		if old := checkpointPath(dir, n); !sameFile(old, s.live) {
			if err := os.RemoveAll(old); err != nil {
				s.log.Warn("An older checkpoint stays", "error", err.Error())
			}
		}
	}
	return out, nil
}

// sizes adds up a checkpoint's files. Tables are links, unless they are on
// another file system.
func (s *store) sizes(dir string) (out saved, err error) {
	linked := device(dir) == device(s.live)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if ext := filepath.Ext(path); linked && (ext == ".sst" || ext == ".blob") {
			out.shared += info.Size()
		} else {
			out.bytes += info.Size()
		}
		return nil
	})
	return out, err
}

// device returns the number of the file system that a path is on, 0 if unknown.
func device(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Dev
}

func sameFile(a, b string) bool {
	ia, erra := os.Stat(a)
	ib, errb := os.Stat(b)
	return erra == nil && errb == nil && os.SameFile(ia, ib)
}

// syncDir makes a rename in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) { // no such thing on this file system
		err = nil
	}
	return errors.Join(err, d.Close())
}

// beginRDB is BGSAVE RDB: the view of the data is that of the reply.
func (s *store) beginRDB() (saveJob, error) {
	dir, compress, checksum := s.saveDir(), s.compress(), s.checksum()
	start := time.Now()
	snap := s.db.NewSnapshot()
	view := time.Since(start)
	return saveJob{view: view, run: func(ctx context.Context) (saved, error) {
		out, err := writeDump(ctx, snap, dir, rdb.EncoderOptions{Compress: compress, Checksum: checksum})
		return out, errors.Join(err, snap.Close())
	}}, nil
}

// encoderBuffer is as large as that of kvd's own saves.
const encoderBuffer = 1 << 20

// writeDump writes a snapshot as an RDB file: under a temporary name, to the
// disk, then into place.
func writeDump(ctx context.Context, snap *pebble.Snapshot, dir string, o rdb.EncoderOptions) (out saved, err error) {
	temp := filepath.Join(dir, tempPrefix+strconv.Itoa(os.Getpid())+".rdb")
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return saved{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(temp))
		}
	}()
	e := rdb.NewEncoder(make([]byte, encoderBuffer), o)
	e.Reset(&dumpFile{f: f})
	if out.keys, err = encode(ctx, snap, e); err != nil {
		return saved{}, err
	}
	out.bytes = e.Bytes()
	if err := f.Sync(); err != nil {
		return saved{}, err
	}
	if err := os.Rename(temp, filepath.Join(dir, dumpName)); err != nil {
		return saved{}, err
	}
	return out, errors.Join(f.Close(), syncDir(dir))
}

// checkEvery is how many keys pass between two looks at the context.
const checkEvery = 1024

// encode writes everything in the snapshot.
func encode(ctx context.Context, snap *pebble.Snapshot, e *rdb.Encoder) (keys int64, err error) {
	it, err := snap.NewIter(nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	head := []func() error{
		e.Header,
		func() error { return e.Aux("redis-ver", command.RedisVersion) },
		func() error { return e.AuxInt("redis-bits", strconv.IntSize) },
		func() error { return e.AuxInt("ctime", time.Now().Unix()) },
		func() error { return e.SelectDB(0) },
	}
	for _, fn := range head {
		if err := fn(); err != nil {
			return 0, err
		}
	}
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return keys, err
		}
		if err := e.String(it.Key(), value, 0); err != nil {
			return keys, err
		}
		if keys++; keys%checkEvery == 0 && ctx.Err() != nil {
			return keys, ctx.Err()
		}
	}
	if err := it.Error(); err != nil {
		return keys, err
	}
	return keys, e.Footer()
}

// dumpFile is an rdb.Sink. It has the kernel write as it goes, so that the fsync
// at the end, and those of the log meanwhile, find little to wait for.
type dumpFile struct {
	f       *os.File
	written int64
	started int64 // up to where the kernel was told to write
	err     error // the first one stays
}

// flushPiece is after how many bytes the kernel is told to write; as in Redis.
const flushPiece = 4 << 20

// Write implements rdb.Sink.
func (d *dumpFile) Write(p []byte) error {
	if d.err != nil || len(p) == 0 {
		return d.err
	}
	n, err := d.f.Write(p)
	d.written += int64(n)
	d.err = err
	if d.err == nil && d.written-d.started >= flushPiece {
		// A hint: file systems without it are synced at the end.
		_ = unix.SyncFileRange(int(d.f.Fd()), d.started, d.written-d.started, unix.SYNC_FILE_RANGE_WRITE)
		d.started = d.written
	}
	return d.err
}

// loadBatch is how many bytes of an RDB file are given to pebble at once.
const loadBatch = 1 << 20

// readRDB puts the strings of an RDB file into the store, which is empty.
func (s *store) readRDB(path string) (keys int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	dec := rdb.NewDecoder(bufio.NewReaderSize(f, loadBatch), rdb.DecoderOptions{})
	b := s.db.NewBatch()
	commit := func() error {
		return errors.Join(b.Commit(pebble.NoSync), b.Close())
	}
	for {
		var ev rdb.Event
		if err := dec.Next(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return keys, err
		}
		if ev.Kind != rdb.KindKey {
			continue
		}
		if ev.DB != 0 || ev.Type != rdb.TypeString || ev.ExpireAtMs != 0 {
			return keys, fmt.Errorf("key %q: only strings of database 0 without expiry can be loaded", ev.Key)
		}
		if len(ev.Key) == 0 {
			return keys, errors.New(textEmptyKey)
		}
		if err := b.Set(ev.Key, ev.Value, nil); err != nil {
			return keys, err
		}
		if keys++; b.Len() >= loadBatch {
			if err := commit(); err != nil {
				return keys, err
			}
			b = s.db.NewBatch()
		}
	}
	if err := commit(); err != nil {
		return keys, err
	}
	return keys, s.db.LogData(nil, pebble.Sync)
}
