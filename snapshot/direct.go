package snapshot

import (
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"kvd/snapshot/rdb"
)

// directFile reads a file past the page cache (O_DIRECT): what comes is what the disk
// has, it costs half the processor time, and no page that somebody needs is displaced
// by it. Buffers, lengths and offsets are multiples of a page, but for the end
// of the file.
type directFile struct {
	f       *os.File
	buffers [][]byte
}

// openDirect opens the file behind f once more, in that way; an error means that its
// file system has none.
func openDirect(f *os.File) (*directFile, error) {
	path := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	again, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	d := &directFile{f: again}
	// Some systems open it and then refuse to read.
	if _, err := again.ReadAt(d.buffer()[:os.Getpagesize()], 0); err != nil && !errors.Is(err, io.EOF) {
		d.close()
		return nil, err
	}
	return d, nil
}

// buffer returns one for a chunk, which lives until close.
func (d *directFile) buffer() []byte {
	size := rdb.ChunkRoom + chunkBytes
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size) // reading into it may fail, and says why
	}
	d.buffers = append(d.buffers, b)
	return b
}

// ReadAt implements io.ReaderAt.
func (d *directFile) ReadAt(p []byte, off int64) (int, error) { return d.f.ReadAt(p, off) }

func (d *directFile) close() {
	for _, b := range d.buffers {
		_ = unix.Munmap(b) // our own mapping: cannot fail
	}
	d.buffers = nil
	_ = d.f.Close()
}
