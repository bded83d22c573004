package snapshot

import (
	"errors"
	"io"
	"sync"

	"kvd/snapshot/internal/fork"
	"kvd/snapshot/rdb"
)

// chunkBytes is how much of a file is read, and summed, at once.
const chunkBytes = 1 << 20

// chunkReader reads a file ahead of the one who parses it, and sums it: worker w of n has the chunks
// w, w+n, … and two buffers. It implements rdb.Chunks.
type chunkReader struct {
	src     io.ReaderAt
	size    int64
	sum     bool
	workers []chunkWorker
	next    int64 // number of the chunk to come
	polite  bool  // others may have the processor between two chunks
	last    []byte
	failed  error
	stop    chan struct{}
	wg      sync.WaitGroup
}

type chunkWorker struct {
	ready chan readChunk
	free  chan []byte
}

type readChunk struct {
	rdb.Chunk
	err error
}

// newChunkReader starts to read the size bytes of src by n goroutines. The caller must call close.
func newChunkReader(src io.ReaderAt, size int64, n int, sum bool) *chunkReader {
	return startChunkReader(src, size, n, sum, 0)
}

// startChunkReader is newChunkReader whose goroutines run on threads that are nicer than the process by nice.
func startChunkReader(src io.ReaderAt, size int64, n int, sum bool, nice int) *chunkReader {
	r := &chunkReader{src: src, size: size, sum: sum, polite: nice > 0, stop: make(chan struct{})}
	n = int(max(1, min(int64(n), (size+chunkBytes-1)/chunkBytes)))
	buffer := func() []byte { return make([]byte, rdb.ChunkRoom+int(min(chunkBytes, size))) }
	if d, ok := src.(*directFile); ok {
		buffer = d.buffer
	}
	for range n {
		w := chunkWorker{ready: make(chan readChunk, 1), free: make(chan []byte, 2)}
		w.free <- buffer()
		w.free <- buffer()
		r.workers = append(r.workers, w)
	}
	for i := range r.workers {
		r.wg.Go(func() {
			atNice(nice, func() { r.work(i) })
		})
	}
	return r
}

// work reads and sums the chunks of one worker, in their order.
func (r *chunkReader) work(i int) {
	w := &r.workers[i]
	for at := int64(i) * chunkBytes; at < r.size; at += int64(len(r.workers)) * chunkBytes {
		var buf []byte
		select {
		case buf = <-w.free:
		case <-r.stop:
			return
		}
		var c readChunk
		c.Buf, c.err = r.read(buf, at)
		if r.sum && c.err == nil {
			c.CRC = rdb.UpdateCRC(0, c.Buf[rdb.ChunkRoom:])
		}
		select {
		case w.ready <- c:
		case <-r.stop:
			return
		}
		if c.err != nil {
			return
		}
		r.rest()
	}
}

func (r *chunkReader) rest() {
	if r.polite {
		fork.GiveWay()
	}
}

// read reads the chunk at offset at into buf. A file that has become shorter ends there.
func (r *chunkReader) read(buf []byte, at int64) ([]byte, error) {
	n, err := r.src.ReadAt(buf[rdb.ChunkRoom:], at)
	want := int(min(chunkBytes, r.size-at)) // only the last one is shorter
	if n >= want || errors.Is(err, io.EOF) && n > 0 {
		n, err = min(n, want), nil
	}
	return buf[:rdb.ChunkRoom+n], err
}

// NextChunk implements rdb.Chunks.
func (r *chunkReader) NextChunk() (rdb.Chunk, error) {
	if r.failed != nil {
		return rdb.Chunk{}, r.failed
	}
	if r.next*chunkBytes >= r.size || r.next > 0 && len(r.last) < rdb.ChunkRoom+chunkBytes {
		return rdb.Chunk{}, io.EOF
	}
	r.rest()
	n := int64(len(r.workers))
	c := <-r.workers[r.next%n].ready
	if c.err != nil {
		r.failed = c.err
		return rdb.Chunk{}, c.err
	}
	if r.next > 0 {
		r.workers[(r.next-1)%n].free <- r.last
	}
	r.last = c.Buf
	r.next++
	return c.Chunk, nil
}

// close stops the workers and waits for them.
func (r *chunkReader) close() {
	close(r.stop)
	r.wg.Wait()
}
