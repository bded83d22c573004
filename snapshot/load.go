package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// LoadOptions say how to load. The zero value is good.
type LoadOptions struct {
	NoChecksum bool // do not compare the checksum
	// Replace lets a key of the file take the place of one that exists. Without
	// it that is an error, as is a key that is in the file twice.
	Replace bool
	// Progress, if set, is called every few megabytes with the bytes read so far
	// and the size of the file, by the goroutine that called Load.
	Progress func(loaded, total int64)
	// Aux, if set, is called with each field of metadata as it is read, by the
	// same goroutine.
	Aux func(name, value string)
}

// LoadResult is what a load did.
type LoadResult struct {
	Keys    int64 // loaded
	Expired int64 // left out since they had expired when the load began
	Bytes   int64 // size of the file
	Version int   // of the RDB format
	Took    time.Duration
	Aux     map[string]string // metadata; the last of a name counts
}

// DatabaseError means that a file has more databases than the store.
type DatabaseError struct {
	DB        int // the database in the file
	Databases int // what the store has
}

// Error uses Redis' words.
func (e *DatabaseError) Error() string {
	return fmt.Sprintf("Data file was created with a Redis server configured to handle more than %d databases", e.Databases)
}

// DuplicateError means that a key of the file is there already.
type DuplicateError struct {
	DB     int
	Key    []byte
	Offset int64 // where the key's record ends, in bytes from the start of the file
}

// Error names the key as Redis does.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("RDB has duplicated key %.200q in DB %d (before byte %d)", e.Key, e.DB, e.Offset)
}

// Load adds the keys of an RDB file to the store, which is usually empty. After
// an error the store has part of them. Errors name the path and what was wrong
// (rdb.FormatError, rdb.UnsupportedError, DatabaseError, DuplicateError,
// kv.ErrNoMemory, os.ErrNotExist, the cause of ctx).
func Load(ctx context.Context, store *kv.Store, path string, o LoadOptions) (LoadResult, error) {
	f, err := os.Open(path)
	if err != nil {
		return LoadResult{}, fmt.Errorf("load: %w", err)
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // a hint
	info, err := f.Stat()
	if err != nil {
		return LoadResult{}, fmt.Errorf("load: %w", err)
	}
	l := &loader{store: store, o: o, size: info.Size(), now: time.Now().UnixMilli(),
		dec:  rdb.NewDecoder(f, rdb.DecoderOptions{SkipChecksum: o.NoChecksum}),
		full: make(chan *batch, batches), empty: make(chan *batch, batches),
		res: LoadResult{Aux: map[string]string{}}}
	start := time.Now()
	err = l.run(ctx)
	l.res.Took, l.res.Bytes, l.res.Version = time.Since(start), l.dec.Offset(), l.dec.Version()
	if err != nil {
		return l.res, fmt.Errorf("load %s: %w", path, err)
	}
	return l.res, nil
}

const (
	inserters  = 2
	batches    = 3 * inserters
	batchKeys  = 4096
	batchBytes = 1 << 20
	// bigValue is the length in bytes from which a value is inserted without
	// being copied into a batch.
	bigValue = 64 << 10
	// minRecord is the least number of bytes that a key takes in a file.
	minRecord = 3
	// progressBytes is how much is read between two reports.
	progressBytes = 2 << 20
)

// batch is a number of keys on their way from the reader to an inserter.
type batch struct {
	data []byte // keys and values; its capacity is never exceeded
	recs []kv.Record
	ends []int64 // by record: offset in the file behind it
}

// loader: one goroutine reads and checks the file, others insert.
type loader struct {
	store *kv.Store
	o     LoadOptions
	dec   *rdb.Decoder
	size  int64
	now   int64 // Unix milliseconds when the load began

	full, empty chan *batch
	failed      atomic.Bool
	mu          sync.Mutex
	err         error // of an inserter

	big *kv.Loader // the reader's own, for big values
	res LoadResult
}

func (l *loader) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range inserters {
		wg.Go(l.insertBatches)
	}
	for range batches {
		l.empty <- &batch{data: make([]byte, 0, batchBytes+bigValue), recs: make([]kv.Record, 0, batchKeys), ends: make([]int64, 0, batchKeys)}
	}
	l.big = l.store.NewLoader()
	err := l.read(ctx)
	close(l.full)
	wg.Wait()
	if l.err != nil {
		return l.err
	}
	return err
}

// fail keeps the first error of an inserter.
func (l *loader) fail(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	l.mu.Unlock()
	l.failed.Store(true)
}

// read reads the file to its end, or until an inserter fails or ctx is done.
func (l *loader) read(ctx context.Context) error {
	var ev rdb.Event
	b := <-l.empty
	report := int64(progressBytes)
	for {
		if err := l.dec.Next(&ev); err != nil {
			return err
		}
		switch ev.Kind {
		case rdb.KindKey:
			if ev.ExpireAtMs != 0 && ev.ExpireAtMs <= l.now {
				l.res.Expired++
				break
			}
			if err := l.add(b, &ev); err != nil {
				return err
			}
		case rdb.KindEOF:
			l.full <- b
			l.report()
			return nil
		default:
			if err := l.other(&ev); err != nil {
				return err
			}
		}
		if len(b.recs) == batchKeys || len(b.data) >= batchBytes {
			l.full <- b
			b = <-l.empty
			if l.failed.Load() {
				return nil // run knows why
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
		if at := l.dec.Offset(); at >= report {
			report = at + progressBytes
			l.report()
		}
	}
}

func (l *loader) report() {
	if l.o.Progress != nil {
		l.o.Progress(l.dec.Offset(), l.size)
	}
}

// other handles what is not a key.
func (l *loader) other(ev *rdb.Event) error {
	switch ev.Kind {
	case rdb.KindAux:
		name, value := string(ev.Key), string(ev.Value)
		l.res.Aux[name] = value
		if l.o.Aux != nil {
			l.o.Aux(name, value)
		}
	case rdb.KindSelectDB:
		if ev.DB >= l.store.Databases() {
			return &DatabaseError{DB: ev.DB, Databases: l.store.Databases()}
		}
	case rdb.KindResizeDB:
		if ev.DB >= l.store.Databases() {
			return &DatabaseError{DB: ev.DB, Databases: l.store.Databases()}
		}
		// A hint, not trusted: the file cannot have more keys than it has room for.
		n := min(ev.Keys, uint64(max(l.size-l.dec.Offset(), 0)/minRecord))
		if n > 0 && l.store.Len(ev.DB) == 0 {
			return l.store.Reserve(ev.DB, int64(n))
		}
	}
	return nil
}

// add puts a key into the batch, or a big one into the store.
func (l *loader) add(b *batch, ev *rdb.Event) error {
	l.res.Keys++
	rec := kv.Record{DB: ev.DB, Key: ev.Key, Value: ev.Value, ExpireAt: ev.ExpireAtMs}
	if ev.HasIdle {
		rec.Idle = int64(min(ev.Idle, 1<<31))
	}
	end := l.dec.Offset()
	if len(ev.Key)+len(ev.Value) >= bigValue {
		return l.insert(l.big, []kv.Record{rec}, []int64{end})
	}
	at := len(b.data)
	b.data = append(append(b.data, ev.Key...), ev.Value...)
	rec.Key, rec.Value = b.data[at:at+len(ev.Key)], b.data[at+len(ev.Key):]
	b.recs, b.ends = append(b.recs, rec), append(b.ends, end)
	return nil
}

func (l *loader) insertBatches() {
	into := l.store.NewLoader()
	for b := range l.full {
		if !l.failed.Load() {
			if err := l.insert(into, b.recs, b.ends); err != nil {
				l.fail(err)
			}
		}
		b.recs, b.ends, b.data = b.recs[:0], b.ends[:0], b.data[:0]
		l.empty <- b
	}
}

// insert puts records into the store.
func (l *loader) insert(into *kv.Loader, recs []kv.Record, ends []int64) error {
	i, err := into.Add(recs, l.o.Replace)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kv.ErrExists):
		return &DuplicateError{DB: recs[i].DB, Key: append([]byte{}, recs[i].Key...), Offset: ends[i]}
	}
	return fmt.Errorf("key %.200q of type string, before byte %d: %w", recs[i].Key, ends[i], err)
}
