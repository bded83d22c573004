package rdb

import "io"

// ChunkRoom is how many bytes at the front of each [Chunk] are left free for the decoder, which puts
// there what it has not parsed yet of the chunk before.
const ChunkRoom = 64 << 10

// Chunk is a piece of a file: Buf[ChunkRoom:], not empty.
type Chunk struct {
	Buf []byte
	CRC uint64 // of the piece alone, by UpdateCRC(0, …); not used with SkipChecksum
}

// Chunks supplies a file in pieces that are read, and summed, elsewhere: by other goroutines, say.
type Chunks interface {
	// NextChunk returns the next piece, io.EOF at the end, or another error. The piece belongs to the
	// caller until the next one is returned.
	NextChunk() (Chunk, error)
}

// NewChunkDecoder returns a decoder that parses chunks where they lie. It computes the checksum from
// theirs.
func NewChunkDecoder(c Chunks, opts DecoderOptions) *Decoder {
	opts.BufferSize = minReadBuffer
	d := NewDecoder(nil, opts)
	d.chunks = c
	return d
}

// fillFromChunks is fill: it goes on to the next chunk and keeps what stands from mark on, in front of it.
func (d *Decoder) fillFromChunks(n int) bool {
	for d.end-d.pos < n && d.readErr == nil {
		// What is kept is a part of one event. The strings of it that stay in the buffer are at most
		// inBufMax long each, so it fits the room.
		d.tail = append(d.tail[:0], d.buf[d.mark:d.end]...)
		c, err := d.chunks.NextChunk()
		if err == nil && len(c.Buf) <= ChunkRoom {
			err = io.ErrNoProgress
		}
		if err != nil {
			d.readErr = err
			break
		}
		front := ChunkRoom - copy(c.Buf[ChunkRoom-len(d.tail):], d.tail)
		moved := front - d.mark
		d.mark, d.pos = front, d.pos+moved
		d.base -= int64(moved)
		d.buf, d.end = c.Buf, len(c.Buf)
		if d.checksum {
			d.crc = CombineCRC(d.crc, d.chunkCRC, d.chunkLen)
		}
		d.chunkCRC, d.chunkLen, d.crcPos = c.CRC, int64(len(c.Buf)-ChunkRoom), ChunkRoom
	}
	return d.end-d.pos >= n
}

// longFromChunks is the rest of long: it fills side up to n bytes.
func (d *Decoder) longFromChunks(side []byte, n int) ([]byte, error) {
	d.ownKey()
	for len(side) < n {
		if d.pos == d.end {
			d.mark = d.pos
			if !d.fill(1) {
				return side, d.ended()
			}
		}
		have := min(n-len(side), d.end-d.pos)
		side = append(side, d.buf[d.pos:d.pos+have]...)
		d.pos += have
	}
	return side, nil
}

// ownKey takes the key out of the buffer, so that what follows it can be dropped from there.
func (d *Decoder) ownKey() {
	if d.key.inBuf {
		d.key.side = append(d.key.side[:0], d.bytes(&d.key)...)
		d.key.inBuf = false
	}
}
