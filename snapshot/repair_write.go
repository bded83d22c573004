package snapshot

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"kvd/snapshot/rdb"
)

// resizeVersion is the first version with RESIZEDB.
const resizeVersion = 7

// write writes the pieces that are kept as a new file.
func (r *repair) write(ctx context.Context, path string) error {
	out, err := createFile(path)
	if err != nil {
		return err
	}
	defer out.abort()
	w := &pieceWriter{sink: fileSink{f: out.f}, buf: make([]byte, 0, bufferSize)}
	if err := r.writePieces(ctx, w); err != nil {
		return err
	}
	if err := out.sync(); err != nil {
		return err
	}
	r.rep.Bytes = w.written
	if err := r.verify(ctx, out.f.Name()); err != nil {
		return fmt.Errorf("the new file is not right: %w", err)
	}
	return out.commit()
}

// writePieces writes header, pieces and end. Databases are selected anew, with
// their counts as they are now.
func (r *repair) writePieces(ctx context.Context, w *pieceWriter) error {
	w.add(r.head[:])
	db, sized := 0, map[int]bool{}
	for i, p := range r.scan.pieces {
		if p.db != noDB && (p.db != db || !sized[p.db]) {
			db = p.db
			w.add(rdb.AppendSelectDB(nil, uint64(db)))
			if c := r.scan.counts[db]; !sized[db] && r.scan.version >= resizeVersion {
				w.add(rdb.AppendResizeDB(nil, uint64(c.Keys), uint64(c.Expires)))
			}
			sized[db] = true
		}
		w.copy(ctx, r.scan.src, p.from, p.to)
		if i%keysPerLook == 0 && w.err == nil {
			w.err = context.Cause(ctx)
		}
		if w.err != nil {
			return w.err
		}
	}
	w.add([]byte{rdb.OpEOF})
	w.flush()
	if r.scan.version >= checksumVersion {
		w.add(binary.LittleEndian.AppendUint64(nil, w.crc))
		w.flush()
	}
	return w.err
}

// verify reads the new file back.
func (r *repair) verify(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = Verify(ctx, f, r.rep.Bytes, VerifyOptions{Full: true, AllTypes: true, FromDisk: true, Now: r.o.Now,
		Expect: &Expectation{Keys: r.rep.Keys, Bytes: r.rep.Bytes}})
	return err
}

// pieceWriter writes to a file by way of a buffer, and sums. The first error stays.
type pieceWriter struct {
	sink    fileSink
	buf     []byte
	crc     uint64
	written int64
	err     error
}

func (w *pieceWriter) add(p []byte) {
	if len(w.buf)+len(p) > cap(w.buf) {
		w.flush()
	}
	w.buf = append(w.buf, p...)
}

// copy copies a part of a file.
func (w *pieceWriter) copy(ctx context.Context, src io.ReaderAt, from, to int64) {
	for from < to && w.err == nil {
		if len(w.buf) == cap(w.buf) {
			w.flush()
			if w.err == nil {
				w.err = context.Cause(ctx)
			}
		}
		room := w.buf[len(w.buf):min(cap(w.buf), len(w.buf)+int(min(to-from, bufferSize)))]
		n, err := src.ReadAt(room, from)
		if n < len(room) && w.err == nil {
			w.err = fmt.Errorf("reading the damaged file again at offset %d: %w", from+int64(n), err)
		}
		w.buf = w.buf[:len(w.buf)+n]
		from += int64(n)
	}
}

func (w *pieceWriter) flush() {
	if w.err != nil || len(w.buf) == 0 {
		return
	}
	w.crc = rdb.UpdateCRC(w.crc, w.buf)
	w.written += int64(len(w.buf))
	w.err = w.sink.Write(w.buf)
	w.buf = w.buf[:0]
}
