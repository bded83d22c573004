package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kvd/snapshot/rdb"
)

// RepairOptions say how to repair. The zero value is good.
type RepairOptions struct {
	Force bool // replace the output file if it exists
	// DropRefused leaves out what Load refuses: values of modules, their other data and
	// function libraries.
	DropRefused bool
	Now         time.Time // by which keys count as expired; zero means the time of the call
}

// RepairReport is what a repair kept and what it could not.
type RepairReport struct {
	Size    int64 // of the damaged file
	Bytes   int64 // of the new one
	Version int   // of the RDB format; it stays what it was
	// Damage is the first that was wrong; nil for a sound file.
	Damage error
	// Failed says what was being read there.
	Failed *rdb.Place
	Mended *Mended
	Lost   []LostRange // in ascending order
	// Doubtful says that everything could be read, and that the checksum is wrong or
	// cut off: some key or value among those that were kept may not be what was saved,
	// and nothing tells which.
	Doubtful bool
	// Duplicates is how many keys were left out since the file had them before,
	// as Load would refuse them.
	Duplicates int64
	Dropped    int64 // left out because of DropRefused
	Others     int64 // function libraries and module data that were kept
	Trailing   int64 // bytes behind the end of a sound file, which are left out
	Counts           // kept
	Databases  []DatabaseCounts
}

// Whole reports whether everything that was saved is in the new file.
func (r *RepairReport) Whole() bool {
	return len(r.Lost) == 0 && !r.Doubtful && r.Duplicates == 0 && r.Dropped == 0
}

// LostRange is a part of a file that could not be kept. It ends with the file or
// where records are found again.
type LostRange struct{ From, To int64 }

// Mended is a place where the checksum proves what the bytes were. The file is
// whole with them.
type Mended struct {
	Offset  int64
	Was, Is []byte // one or two bytes: in the damaged file, and in the new one
}

// ErrNothing means a file without anything that can be kept.
var ErrNothing = errors.New("nothing in it can be kept")

// Repair writes what can be read of the RDB file in, which may be damaged, as a new
// file out: all whole keys in front of the damage, and those behind it where their
// place in the file is certain. Where a wrong byte or two can be told from the
// checksum, everything is kept. Each record is copied as it is, after it was read to
// its end with all that is in its value. The new file is synced and verified before
// it gets its name; in is never written to. Errors name the file: os.ErrExist if out
// exists (unless Force, which replaces regular files only) or is in, ErrNothing, the cause of ctx.
func Repair(ctx context.Context, in, out string, o RepairOptions) (RepairReport, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	f, err := openRegular(in)
	if err != nil {
		return RepairReport{}, fmt.Errorf("repair: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "read", Path: in, Err: unix.EINVAL}
	}
	if err == nil {
		err = mayWrite(info, out, o.Force)
	}
	if err != nil {
		return RepairReport{}, fmt.Errorf("repair: %w", err)
	}
	r := &repair{src: f, size: info.Size(), o: o}
	if err := r.plan(ctx); err != nil {
		return r.rep, fmt.Errorf("repair %s: %w", in, err)
	}
	if err := r.write(ctx, out); err != nil {
		return r.rep, fmt.Errorf("repair: %s: %w", out, err)
	}
	return r.rep, nil
}

// mayWrite returns an error if out is the file in, or exists and force is not set.
func mayWrite(in os.FileInfo, out string, force bool) error {
	info, err := os.Stat(out)
	if err == nil && os.SameFile(in, info) {
		return &os.PathError{Op: "write", Path: out, Err: errSameFile}
	}
	if err == nil && force && !info.Mode().IsRegular() { // the rename would put a file in the place of /dev/null
		return &os.PathError{Op: "write", Path: out, Err: errNotRegular}
	}
	if _, err = os.Lstat(out); err == nil && !force {
		return &os.PathError{Op: "write", Path: out, Err: unix.EEXIST}
	}
	return nil
}

// errSameFile is an os.ErrExist.
var errSameFile = fmt.Errorf("it is the file to be repaired: %w", os.ErrExist)

// repair is one Repair.
type repair struct {
	src  io.ReaderAt
	size int64
	o    RepairOptions
	rep  RepairReport
	head [headerBytes]byte
	scan *scan
}

const headerBytes = 9

// plan finds what can be kept.
func (r *repair) plan(ctx context.Context) error {
	r.scan = newScan(r.src, r.size, r.o)
	err := r.scan.whole(ctx)
	if err != nil && r.scan.isDamage(err) {
		r.rep.Damage = err
		place := r.scan.dec.Place()
		r.rep.Failed = &place
		err = r.salvage(ctx)
	}
	if err != nil {
		return err
	}
	r.rep.Dropped = r.scan.dropped
	_, err = r.scan.src.ReadAt(r.head[:], 0)
	r.rep.Size, r.rep.Version, r.rep.Lost = r.size, r.scan.version, r.scan.lost
	r.rep.Duplicates, r.rep.Others, r.rep.Trailing = r.scan.duplicates, r.scan.others, r.scan.trailing
	r.rep.Databases = r.scan.databases()
	for i := range r.rep.Databases {
		r.rep.merge(&r.rep.Databases[i].Counts)
	}
	return err
}

// salvage looks for what can be kept of a damaged file, whose scan has ended.
func (r *repair) salvage(ctx context.Context) error {
	patched, err := r.mend(ctx)
	if err != nil {
		return err
	}
	if patched != nil {
		again := newScan(patched, r.size, r.o)
		switch err := again.whole(ctx); {
		case err == nil:
			r.scan, r.rep.Mended = again, patched.mended(r.src)
			return nil
		case !again.isDamage(err):
			return err
		}
	}
	if r.rep.Failed.Doing == "check-sum" && (r.scan.dec.Offset() == r.size || !errors.Is(r.rep.Damage, rdb.ErrChecksum)) {
		r.rep.Doubtful = true // it is wrong, or cut off, and there is nothing behind it
		return nil
	}
	if r.scan.version == 0 {
		return fmt.Errorf("%w: %w", ErrNothing, r.rep.Damage)
	}
	return r.scan.goOn(ctx, r.rep.Failed)
}

// mend returns the file with the bytes changed that the checksum proves to be
// wrong, nil if there are none such.
func (r *repair) mend(ctx context.Context) (*patchedFile, error) {
	body := r.size - checksumBytes
	if body < headerBytes+1 {
		return nil, nil
	}
	var tail [checksumBytes]byte
	if _, err := r.src.ReadAt(tail[:], body); err != nil {
		return nil, err
	}
	stored := binary.LittleEndian.Uint64(tail[:])
	if stored == 0 || r.scan.version != 0 && r.scan.version < checksumVersion {
		return nil, nil
	}
	sum, err := sumFile(ctx, r.src, body)
	if err != nil || sum == stored {
		return nil, err
	}
	for i := range checksumBytes {
		if rest := (sum ^ stored) &^ (0xff << (8 * i)); rest == 0 {
			return &patchedFile{src: r.src, at: body + int64(i), mask: [2]byte{byte((sum ^ stored) >> (8 * i))}}, nil
		}
	}
	at, mask, ok := rdb.LocateError(sum^stored, body)
	if !ok {
		return nil, nil
	}
	return &patchedFile{src: r.src, at: at, mask: mask}, nil
}

const (
	checksumBytes   = 8
	checksumVersion = 5 // from here on files have one
)

// sumFile returns the checksum of the first n bytes.
func sumFile(ctx context.Context, src io.ReaderAt, n int64) (uint64, error) {
	c := newChunkReader(src, n, 2, true)
	defer c.close()
	var sum uint64
	for {
		chunk, err := c.NextChunk()
		if err == io.EOF {
			return sum, nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return 0, err
		}
		sum = rdb.CombineCRC(sum, chunk.CRC, int64(len(chunk.Buf)-rdb.ChunkRoom))
	}
}

// patchedFile is a file with one or two bytes changed.
type patchedFile struct {
	src  io.ReaderAt
	at   int64
	mask [2]byte
}

// ReadAt implements io.ReaderAt.
func (p *patchedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.src.ReadAt(b, off)
	for i, m := range p.mask {
		if at := p.at + int64(i) - off; at >= 0 && at < int64(n) {
			b[at] ^= m
		}
	}
	return n, err
}

// mended tells what was changed.
func (p *patchedFile) mended(src io.ReaderAt) *Mended {
	n := 1
	if p.mask[1] != 0 {
		n = 2
	}
	m := &Mended{Offset: p.at, Was: make([]byte, n), Is: make([]byte, n)}
	_, _ = src.ReadAt(m.Was, p.at) // it has been read before; the repair does not hang on it
	_, _ = p.ReadAt(m.Is, p.at)
	return m
}
