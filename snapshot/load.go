package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kvd/kv"
	"kvd/snapshot/rdb"
	"kvd/snapshot/value"
)

// LoadOptions say how to load. The zero value is good.
type LoadOptions struct {
	NoChecksum bool // do not compare the checksum
	// Replace lets a key of the file take the place of one that exists. Without
	// it that is an error, as is a key that is in the file twice.
	Replace bool
	// Threads is how many goroutines read and sum the file, besides the one that
	// parses it and those that insert; 0 means the number of processors less one,
	// and at least one. What cannot be read at any offset, a pipe, is read by one.
	Threads int
	// Only, unless it is nil, is the one database of the file that is loaded, into
	// database Into of the store. The keys of others are read and passed over.
	Only *int
	Into int // meaningless without Only
	// SkipUnsupported leaves out what a store cannot hold, instead of refusing the file: values
	// of modules, their other data, and function libraries.
	SkipUnsupported bool
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
	Passed  int64 // left out since they are in other databases than LoadOptions.Only
	Removed int64 // keys that Restore replaced, present before in its databases
	Empty   int64 // left out since they are collections without elements, as Redis does
	// Unsupported is how many were left out for LoadOptions.SkipUnsupported.
	Unsupported int64
	LeftOut     []string // the first of the last two, in words
	Bytes       int64    // size of the file
	Version     int      // of the RDB format
	Took        time.Duration
	Aux         map[string]string // metadata; the last of a name counts
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
	l, err := newLoader(f, store, o, 0)
	if err != nil {
		return LoadResult{}, fmt.Errorf("load: %w", err)
	}
	if err = l.run(ctx); err != nil {
		err = fmt.Errorf("load %s: %w", path, err)
	}
	return l.res, err
}

const (
	// Inserters: two keep up with the parser, and more of them if there is a
	// processor for each that reads.
	minInserters = 2
	maxInserters = 8

	// batchesEach is how many batches there are for each inserter: one that it
	// has, one that waits for it, one that is being filled.
	batchesEach = 3

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
	ends []loaded // by record
}

// target is what a loader fills: a store, or a stage of one.
type target interface {
	Databases() int
	Len(db int) int64
	Reserve(db int, keys int64) error
	NewLoader() *kv.Loader
}

// loader is one load: some goroutines read and sum the file, one parses it, others
// insert.
type loader struct {
	into   target
	o      LoadOptions
	dec    *rdb.Decoder
	chunks *chunkReader // nil if the file is read as a stream
	size   int64
	now    int64 // Unix milliseconds when the load began

	inserters   int
	full, empty chan *batch
	failed      atomic.Bool
	mu          sync.Mutex
	err         error // of an inserter

	big   *kv.Loader // for big values; used aside
	jobs  chan func() error
	done  chan error // of each job
	parts parts      // collections in several pieces
	rest  passing    // what becomes of the pieces that are to come
	res   LoadResult
}

// newLoader starts to read f, on threads that are nicer than the process by nice. run must
// be called.
func newLoader(f *os.File, into target, o LoadOptions, nice int) (*loader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if o.Only != nil && (o.Into < 0 || o.Into >= into.Databases()) {
		return nil, fmt.Errorf("there is no database %d to load into, there are %d", o.Into, into.Databases())
	}
	if o.Threads <= 0 {
		o.Threads = max(2, runtime.NumCPU()-1) // one alone waits for the disk half of the time
	}
	l := &loader{into: into, o: o, size: info.Size(), now: time.Now().UnixMilli(),
		inserters: min(max(o.Threads, minInserters), maxInserters),
		res:       LoadResult{Aux: map[string]string{}}}
	opts := rdb.DecoderOptions{SkipChecksum: o.NoChecksum, AllTypes: o.SkipUnsupported}
	if info.Mode().IsRegular() && l.size > 0 {
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // a hint
		l.chunks = startChunkReader(f, l.size, o.Threads, !o.NoChecksum, nice)
		l.dec = rdb.NewChunkDecoder(l.chunks, opts)
	} else {
		l.dec = rdb.NewDecoder(f, opts)
	}
	return l, nil
}

// run loads the file and completes the result.
func (l *loader) run(ctx context.Context) error {
	start := time.Now()
	n := batchesEach * l.inserters
	l.full, l.empty = make(chan *batch, n), make(chan *batch, n)
	var wg sync.WaitGroup
	for range l.inserters {
		wg.Go(l.insertBatches)
	}
	for range n {
		l.empty <- &batch{}
	}
	l.big = l.into.NewLoader()
	l.jobs, l.done = make(chan func() error), make(chan error)
	wg.Go(func() {
		for job := range l.jobs {
			l.done <- job()
		}
	})
	l.parts.start(l, &wg)
	err := l.read(ctx)
	close(l.full)
	close(l.jobs)
	l.parts.close()
	wg.Wait()
	if l.chunks != nil {
		l.chunks.close()
	}
	l.res.Took, l.res.Bytes, l.res.Version = time.Since(start), l.dec.Offset(), l.dec.Version()
	l.dec = nil
	l.parts.release()
	if l.err != nil {
		return l.err
	}
	return err
}

// aside runs what the parser wants done to the store or stage, and waits for it: the parser's
// thread may have a low priority, and must take no lock that others wait for.
func (l *loader) aside(job func() error) error {
	l.jobs <- job
	return <-l.done
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
	b := l.nextBatch()
	report := int64(progressBytes)
	for {
		if err := l.dec.Next(&ev); err != nil {
			l.full <- b // a key in it may be there twice, which comes first
			return err
		}
		switch ev.Kind {
		case rdb.KindKey, rdb.KindMore:
			if !l.wanted(&ev) {
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
		full := len(b.recs) == batchKeys || len(b.data) >= batchBytes
		if full {
			l.full <- b
			b = l.nextBatch()
		}
		if full || ev.Kind == rdb.KindMore {
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

// nextBatch returns an empty batch. Its memory is made when it is first used: a small
// file needs but one.
func (l *loader) nextBatch() *batch {
	b := <-l.empty
	if b.recs == nil {
		*b = batch{data: make([]byte, 0, batchBytes+bigValue), recs: make([]kv.Record, 0, batchKeys), ends: make([]loaded, 0, batchKeys)}
	}
	return b
}

func (l *loader) report() {
	if l.o.Progress != nil {
		l.o.Progress(l.dec.Offset(), l.size)
	}
}

// otherNames say what a KindOther is.
var otherNames = map[rdb.Type]string{rdb.OpFunction2: "function library", rdb.OpModuleAux: "data of a module (MODULE_AUX)"}

// other handles what is not a key.
func (l *loader) other(ev *rdb.Event) error {
	switch ev.Kind {
	case rdb.KindAux:
		name, value := string(ev.Key), string(ev.Value)
		l.res.Aux[name] = value
		if l.o.Aux != nil {
			l.o.Aux(name, value)
		}
	case rdb.KindOther:
		l.leftOut(otherNames[ev.Type])
		l.res.Unsupported++
	case rdb.KindSelectDB:
		if l.o.Only == nil && ev.DB >= l.into.Databases() {
			return &DatabaseError{DB: ev.DB, Databases: l.into.Databases()}
		}
	case rdb.KindResizeDB:
		return l.reserve(ev)
	}
	return nil
}

// reserve makes room for as many keys as a RESIZEDB announces.
func (l *loader) reserve(ev *rdb.Event) error {
	db := ev.DB
	switch {
	case l.o.Only != nil && db != *l.o.Only:
		return nil
	case l.o.Only != nil:
		db = l.o.Into
	case db >= l.into.Databases():
		return &DatabaseError{DB: db, Databases: l.into.Databases()}
	}
	// A hint, not trusted: the file cannot have more keys than it has room for.
	n := min(ev.Keys, uint64(max(l.size-l.dec.Offset(), 0)/minRecord))
	if n > 0 && l.into.Len(db) == 0 {
		return l.aside(func() error { return l.into.Reserve(db, int64(n)) })
	}
	return nil
}

// passing is what becomes of a value that goes on in further events.
type passing uint8

const (
	restNone  passing = iota
	restKept          // it is loaded
	restOther         // it is passed over
)

// wanted tells whether a key, or the next piece of its value, is to be loaded, and counts it
// if not.
func (l *loader) wanted(ev *rdb.Event) bool {
	if ev.Kind == rdb.KindMore {
		ev.DB = l.db(ev.DB)
		return l.rest == restKept
	}
	l.rest = restOther
	switch {
	case l.o.Only != nil && ev.DB != *l.o.Only:
		l.res.Passed++
		return false
	case ev.ExpireAtMs != 0 && ev.ExpireAtMs <= l.now:
		l.res.Expired++
		return false
	case ev.Form == rdb.FormNone:
		l.leftOut(fmt.Sprintf("key %.200q: value of a module", ev.Key))
		l.res.Unsupported++
		return false
	case ev.Empty:
		l.leftOut(fmt.Sprintf("key %.200q: empty %s", ev.Key, ev.Type.Class()))
		l.res.Empty++
		return false
	}
	l.rest = restKept
	ev.DB = l.db(ev.DB)
	return true
}

// db returns the database of the store for one of the file that is wanted.
func (l *loader) db(db int) int {
	if l.o.Only != nil {
		return l.o.Into
	}
	return db
}

// maxLeftOut is how many of what is left out are described.
const maxLeftOut = 10

func (l *loader) leftOut(what string) {
	if len(l.res.LeftOut) < maxLeftOut {
		l.res.LeftOut = append(l.res.LeftOut, what)
	}
}

// add puts a key into the batch, or a big one into the store; pieces of a value go their own
// way.
func (l *loader) add(b *batch, ev *rdb.Event) error {
	var rec kv.Record
	value.Record(&rec, ev)
	rec.DB = ev.DB
	end := loaded{end: l.dec.Offset(), elements: elementsOf(ev)}
	if ev.Kind == rdb.KindKey {
		l.res.Keys++
	}
	if ev.More || rec.Append {
		l.parts.add(l.dec, &rec, end, ev.More)
		return nil
	}
	if len(ev.Key)+len(ev.Value) >= bigValue {
		recs := []kv.Record{rec}
		return l.aside(func() error { return l.insert(l.big, recs, []loaded{end}) })
	}
	at := len(b.data)
	b.data = append(append(b.data, ev.Key...), ev.Value...)
	rec.Key, rec.Value = b.data[at:at+len(ev.Key)], b.data[at+len(ev.Key):]
	b.recs, b.ends = append(b.recs, rec), append(b.ends, end)
	return nil
}

func (l *loader) insertBatches() {
	into := l.into.NewLoader()
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
func (l *loader) insert(into *kv.Loader, recs []kv.Record, ends []loaded) error {
	i, err := into.Add(recs, l.o.Replace)
	switch {
	case err == nil:
		return checkElements(into, recs, ends)
	case errors.Is(err, kv.ErrExists):
		return &DuplicateError{DB: recs[i].DB, Key: append([]byte{}, recs[i].Key...), Offset: ends[i].end}
	}
	return recordError(&recs[i], ends[i].end, err)
}

// recordError words what the store says of a record. But for memory, the file is to blame.
func recordError(r *kv.Record, end int64, err error) error {
	if !errors.Is(err, kv.ErrNoMemory) && !errors.Is(err, rdb.ErrFormat) {
		err = fmt.Errorf("%w: %w", rdb.ErrFormat, err)
	}
	return fmt.Errorf("key %.200q of type %s, before byte %d: %w", r.Key, r.Type, end, err)
}
