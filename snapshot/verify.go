package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// VerifyOptions say how to verify. The zero value checks the framing and the checksum.
type VerifyOptions struct {
	// Full checks what is in the values too: that compressed ones can be expanded
	// to the length they should have, and that collections are sound, element by element.
	Full       bool
	NoChecksum bool // do not compare the checksum, nor compute it
	// Unique also checks that no key is there twice in a database, as Load does:
	// keys that have expired aside. It takes some 25 bytes of memory for each key. With Full
	// it does so for the elements of collections, and takes some 50 bytes for each of the largest.
	Unique bool
	// AllTypes accepts what Load refuses since a kv.Store cannot hold it, and
	// counts it: values of modules, their other data, function libraries.
	AllTypes  bool
	Databases int // how many databases there may be; 0 for any number
	// Threads is how many goroutines read and sum the file, besides the one that
	// calls; 0 means the number of processors less one, and at least one.
	Threads int
	// FromDisk reads what the disk has, if it is an *os.File: past the page cache, or,
	// where the file system cannot, after taking it out of there. It must have been synced.
	FromDisk bool
	// Expect is what must be in the file, unless it is nil.
	Expect *Expectation
	Now    time.Time // by which keys count as expired; zero means the time of the call
	// Aux and SelectDB, if set, are called with each field of metadata and each
	// change of database, by the caller's goroutine. end is the offset behind it.
	Aux      func(end int64, name, value string)
	SelectDB func(end int64, db int)
	// Progress, if set, is called every few megabytes with the bytes read so far
	// and the size of the file, by the caller's goroutine.
	Progress func(read, total int64)

	nice int // by how much the goroutines that read are nicer than the process
}

// Expectation is what a save knows of the file it has written.
type Expectation struct {
	Keys  int64 // at the cut
	Bytes int64 // of the whole file; 0 if that is not known
}

// MismatchError means that a file is sound and not the one that was expected.
type MismatchError struct {
	What       string // "keys" or "bytes"
	Want, Have int64
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the cut had %d %s, the file has %d", e.Want, e.What, e.Have)
}

// VerifyReport is what is in a file; after an error, what was until there.
type VerifyReport struct {
	Version int   // of the RDB format; 0 if the header could not be read
	Size    int64 // of the file
	Bytes   int64 // read without error; less than Size if something stands behind the end
	// Checksum says that the checksum was compared and right. HasChecksum is false if
	// the file has none.
	Checksum, HasChecksum bool
	Counts
	Databases []DatabaseCounts // in ascending order; those without keys are left out
	Others    int64            // function libraries and module data; with AllTypes
	Aux       []AuxField       // the first hundred
	Took      time.Duration
	// Failed says what was being read when the file turned out to be damaged; nil otherwise.
	Failed *rdb.Place
	// FirstRefused is the first that Load refuses; with AllTypes.
	FirstRefused *rdb.UnsupportedError
}

// Counts are sums over keys.
type Counts struct {
	Keys       int64
	Expires    int64 // with an expiry
	Expired    int64 // of these, those whose time has come
	KeyBytes   int64
	ValueBytes int64 // expanded; for types other than string, in the file
	Empty      int64 // collections without elements that have not expired; Load passes over them, Full finds them
	Refused    int64 // of a type that Load refuses
	Types      []TypeCount
}

// DatabaseCounts are the sums over a database.
type DatabaseCounts struct {
	DB int
	Counts
}

// TypeCount is the number of keys of one value type; in ascending order of types.
type TypeCount struct {
	Type rdb.Type
	Keys int64
}

// refused tells whether Load refuses values of that type.
func refused(t rdb.Type) bool { return t.Class() == rdb.ClassModule }

func (c *Counts) add(ev *rdb.Event, now int64) {
	c.Keys++
	c.KeyBytes += int64(len(ev.Key))
	c.ValueBytes += ev.ValueLen
	if ev.ExpireAtMs != 0 {
		c.Expires++
		if ev.ExpireAtMs <= now {
			c.Expired++
		}
	}
	if refused(ev.Type) {
		c.Refused++
	}
	if ev.Empty && (ev.ExpireAtMs == 0 || ev.ExpireAtMs > now) {
		c.Empty++
	}
	if n := len(c.Types); n > 0 && c.Types[n-1].Type == ev.Type {
		c.Types[n-1].Keys++
		return
	}
	i, ok := slices.BinarySearchFunc(c.Types, ev.Type, func(c TypeCount, t rdb.Type) int { return int(c.Type) - int(t) })
	if !ok {
		c.Types = slices.Insert(c.Types, i, TypeCount{Type: ev.Type})
	}
	c.Types[i].Keys++
}

// VerifyFile is Verify of the file at path. Errors name it.
func VerifyFile(ctx context.Context, path string, o VerifyOptions) (VerifyReport, error) {
	f, err := openRegular(path)
	if err != nil {
		return VerifyReport{}, fmt.Errorf("verify: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return VerifyReport{}, fmt.Errorf("verify: %w", err)
	}
	if info.IsDir() {
		return VerifyReport{}, fmt.Errorf("verify: %w", &os.PathError{Op: "read", Path: path, Err: unix.EISDIR})
	}
	rep, err := Verify(ctx, f, info.Size(), o)
	if err != nil {
		err = fmt.Errorf("verify %s: %w", path, err)
	}
	return rep, err
}

// openRegular opens a file for reading, or a directory, which cannot be read. It waits
// for nobody: a pipe, say, is an error.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = &os.PathError{Op: "read", Path: path, Err: errNotRegular}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Verify reads the RDB file that is the first size bytes of src, from its start to
// its end, and returns what is in it. With Full, Unique and the number of the
// store's databases it returns an error just if Load would, whatever its memory
// allows, and the same one but for an element that is in a collection twice (rdb.FormatError, which wraps rdb.ErrChecksum for a wrong
// checksum; rdb.UnsupportedError, DatabaseError, DuplicateError); other errors are
// MismatchError, those of reading, and the cause of ctx. Unique aside, its memory is
// bounded, with Full by the largest block of a collection. It neither moves the file's offset nor writes.
func Verify(ctx context.Context, src io.ReaderAt, size int64, o VerifyOptions) (VerifyReport, error) {
	start := time.Now()
	if o.Now.IsZero() {
		o.Now = start
	}
	if o.Threads <= 0 {
		o.Threads = max(1, runtime.NumCPU()-1)
	}
	pieces := src
	if f, ok := src.(*os.File); ok {
		if o.FromDisk {
			dropCached(f, size, o.nice > 0)
			if d, err := openDirect(f); err == nil {
				defer d.close()
				pieces = d
			}
		}
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // a hint
	}
	v := newVerifier(src, pieces, size, o)
	defer v.chunks.close()
	err := v.run(ctx)
	v.rep.Took = time.Since(start)
	return v.rep, err
}

// dropCached has the kernel forget its copy of a file's pages: it may be all that we would get
// to read. Polite means in pieces, between which others may have the processor: the kernel
// takes it for 7 ms otherwise, at whatever priority.
func dropCached(f *os.File, size int64, polite bool) {
	piece := size
	if polite {
		piece = chunkBytes
	}
	for at := int64(0); at < size; at += piece {
		if unix.Fadvise(int(f.Fd()), at, min(piece, size-at), unix.FADV_DONTNEED) != nil {
			return
		}
		if polite {
			fork.GiveWay()
		}
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // pages on the borders of pieces
}

// verifier is one Verify.
type verifier struct {
	o      VerifyOptions
	now    int64 // Unix milliseconds
	chunks *chunkReader
	dec    *rdb.Decoder
	rep    VerifyReport
	dbs    map[int]*DatabaseCounts
	cur    *DatabaseCounts // of the last key
	unique *keySet
}

// newVerifier returns one that reads the file from pieces, and looks up what it has read
// in src.
func newVerifier(src, pieces io.ReaderAt, size int64, o VerifyOptions) *verifier {
	values := rdb.PassValues
	if o.Full {
		values = rdb.CheckValues
	}
	chunks := startChunkReader(pieces, size, o.Threads, !o.NoChecksum, o.nice)
	v := &verifier{o: o, now: o.Now.UnixMilli(), chunks: chunks,
		dec: rdb.NewChunkDecoder(chunks, rdb.DecoderOptions{SkipChecksum: o.NoChecksum, Values: values, AllTypes: o.AllTypes,
			Unique: o.Unique && o.Full}),
		rep: VerifyReport{Size: size}, dbs: map[int]*DatabaseCounts{}}
	if o.Unique {
		v.unique = newKeySet(src)
	}
	return v
}

// run reads the file and completes the report.
func (v *verifier) run(ctx context.Context) error {
	err := v.read(ctx)
	v.rep.Version = v.dec.Version()
	_, v.rep.HasChecksum = v.dec.StoredChecksum()
	var fe *rdb.FormatError
	var ue *rdb.UnsupportedError
	if errors.As(err, &fe) || errors.As(err, &ue) {
		place := v.dec.Place()
		v.rep.Failed = &place
		if fe != nil {
			v.rep.Bytes = fe.Offset
		}
	}
	v.rep.Checksum = err == nil && v.rep.HasChecksum && !v.o.NoChecksum
	for _, c := range v.dbs {
		v.rep.Databases = append(v.rep.Databases, *c)
		v.rep.merge(&c.Counts)
	}
	slices.SortFunc(v.rep.Databases, func(a, b DatabaseCounts) int { return a.DB - b.DB })
	if e := v.o.Expect; err == nil && e != nil {
		if e.Keys != v.rep.Keys {
			return &MismatchError{What: "keys", Want: e.Keys, Have: v.rep.Keys}
		}
		if e.Bytes != 0 && e.Bytes != v.rep.Size {
			return &MismatchError{What: "bytes", Want: e.Bytes, Have: v.rep.Size}
		}
	}
	return err
}

// merge adds the sums of a database.
func (c *Counts) merge(d *Counts) {
	c.Keys += d.Keys
	c.Expires += d.Expires
	c.Expired += d.Expired
	c.KeyBytes += d.KeyBytes
	c.ValueBytes += d.ValueBytes
	c.Empty += d.Empty
	c.Refused += d.Refused
	for _, t := range d.Types {
		i, ok := slices.BinarySearchFunc(c.Types, t.Type, func(c TypeCount, t rdb.Type) int { return int(c.Type) - int(t) })
		if !ok {
			c.Types = slices.Insert(c.Types, i, TypeCount{Type: t.Type})
		}
		c.Types[i].Keys += t.Keys
	}
}

// keysPerLook is how many keys are read between two looks at the context.
const keysPerLook = 1024

func (v *verifier) read(ctx context.Context) error {
	var ev rdb.Event
	report := int64(progressBytes)
	for n := 0; ; n++ {
		if n%keysPerLook == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
		if err := v.dec.Next(&ev); err != nil {
			return err
		}
		v.rep.Bytes = v.dec.Offset()
		if v.rep.Bytes >= report {
			report = v.rep.Bytes + progressBytes
			v.progress()
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
		if ev.Kind == rdb.KindKey {
			if err := v.key(&ev); err != nil {
				return err
			}
			continue
		}
		if err := v.other(&ev); err != nil {
			return err
		}
		if ev.Kind == rdb.KindEOF {
			v.progress()
			return nil
		}
	}
}

func (v *verifier) progress() {
	if v.o.Progress != nil {
		v.o.Progress(v.rep.Bytes, v.rep.Size)
	}
}

// key counts a key.
func (v *verifier) key(ev *rdb.Event) error {
	if v.cur == nil || v.cur.DB != ev.DB {
		if v.cur = v.dbs[ev.DB]; v.cur == nil {
			v.cur = &DatabaseCounts{DB: ev.DB}
			v.dbs[ev.DB] = v.cur
		}
	}
	if v.unique != nil && !ev.Empty && (ev.ExpireAtMs == 0 || ev.ExpireAtMs > v.now) {
		if twice, err := v.unique.add(ev, v.dec.Version()); err != nil {
			return err
		} else if twice {
			place := v.dec.Place()
			v.rep.Failed, v.rep.Bytes = &place, ev.Start
			return &DuplicateError{DB: ev.DB, Key: slices.Clone(ev.Key), Offset: v.dec.Offset()}
		}
	}
	v.cur.add(ev, v.now)
	if refused(ev.Type) && v.rep.FirstRefused == nil {
		v.rep.FirstRefused = &rdb.UnsupportedError{What: ev.Type.NameIn(v.dec.Version()), Code: byte(ev.Type), IsType: true,
			Key: append([]byte{}, ev.Key...), Offset: ev.Start}
	}
	return nil
}

// maxAux is how many fields of metadata are kept.
const maxAux = 100

// other notes what is not a key.
func (v *verifier) other(ev *rdb.Event) error {
	switch ev.Kind {
	case rdb.KindAux:
		if v.o.Aux != nil {
			v.o.Aux(v.dec.Offset(), string(ev.Key), string(ev.Value))
		}
		if len(v.rep.Aux) < maxAux {
			v.rep.Aux = append(v.rep.Aux, AuxField{string(ev.Key), string(ev.Value)})
		}
	case rdb.KindOther:
		v.rep.Others++
		if v.rep.FirstRefused == nil {
			v.rep.FirstRefused = &rdb.UnsupportedError{What: "function library or module data", Code: byte(ev.Type), Offset: ev.Start}
		}
	case rdb.KindSelectDB, rdb.KindResizeDB:
		if v.o.Databases > 0 && ev.DB >= v.o.Databases {
			return &DatabaseError{DB: ev.DB, Databases: v.o.Databases}
		}
	}
	if ev.Kind == rdb.KindSelectDB && v.o.SelectDB != nil {
		v.o.SelectDB(v.dec.Offset(), ev.DB)
	}
	return nil
}
