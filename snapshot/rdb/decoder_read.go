package rdb

import (
	"errors"
	"io"
	"strconv"
)

// errReader means a reader that breaks its contract.
var errReader = errors.New("reader returned an impossible count")

// fail returns the error for bad bytes at offset.
func (d *Decoder) fail(offset int64, what string) error { return formatError(ErrFormat, offset, what) }

// wrap puts what was being read in front of an error of this file.
func (d *Decoder) wrap(err error, what string) error {
	var fe *FormatError
	if !errors.As(err, &fe) {
		return err
	}
	inner := fe.Msg
	if prefix := ErrFormat.Error() + ": "; len(inner) > len(prefix) && inner[:len(prefix)] == prefix {
		inner = inner[len(prefix):]
	}
	return &FormatError{Offset: fe.Offset, Err: fe.Err, Msg: ErrFormat.Error() + ": " + what + ": " + inner}
}

// leafError returns the error for what a leaf found at offset. What is short there is short for want
// of input.
func (d *Decoder) leafError(err error, offset int64) error {
	if errors.Is(err, ErrShort) {
		return d.ended()
	}
	return d.fail(offset, err.Error())
}

// need makes sure that n bytes stand at pos; n is no more than a quarter of the buffer.
func (d *Decoder) need(n int) error {
	if d.end-d.pos >= n || d.fill(n) {
		return nil
	}
	return d.ended()
}

// more reads at least one byte more. Nothing here waits for bytes that are not part of the file:
// the input may be a socket.
func (d *Decoder) more() bool { return d.fill(d.end - d.pos + 1) }

// ended returns the error for an input that has stopped.
func (d *Decoder) ended() error {
	offset := d.base + int64(d.end)
	if d.readErr != io.EOF {
		return &FormatError{Offset: offset, Err: d.readErr,
			Msg: "reading the RDB at offset " + strconv.FormatInt(offset, 10) + ": " + d.readErr.Error()}
	}
	return d.fail(offset, "unexpected end of input")
}

// fill reads until n bytes stand at pos and reports whether they do; it moves what must stay in the
// buffer to its front if it has to.
func (d *Decoder) fill(n int) bool {
	if d.chunks != nil {
		return d.fillFromChunks(n)
	}
	if d.readErr == nil && len(d.buf)-d.pos < n {
		d.compact()
	}
	for d.end-d.pos < n && d.readErr == nil {
		d.end += d.read(d.buf[d.end:])
	}
	return d.end-d.pos >= n
}

// read reads at least one byte into p, or sets readErr.
func (d *Decoder) read(p []byte) int {
	for range 100 {
		n, err := d.r.Read(p)
		if n < 0 || n > len(p) {
			n, err = 0, errReader
		}
		d.readErr = err
		if n > 0 || err != nil {
			return n
		}
	}
	d.readErr = io.ErrNoProgress
	return 0
}

// compact moves what stands from mark on to the front of the buffer.
func (d *Decoder) compact() {
	d.sum()
	copy(d.buf, d.buf[d.mark:d.end])
	d.base += int64(d.mark)
	d.pos -= d.mark
	d.end -= d.mark
	d.crcPos -= d.mark
	d.mark = 0
}

// sum brings the checksum up to pos.
func (d *Decoder) sum() {
	if d.checksum {
		d.crc = UpdateCRC(d.crc, d.buf[d.crcPos:d.pos])
	}
	d.crcPos = d.pos
}

// inBufMax is the longest string that stays in the buffer. A key and a value, with their heads, fit
// behind mark in any case.
func (d *Decoder) inBufMax() int {
	if d.chunks != nil {
		return ChunkRoom / 4
	}
	if d.dump {
		return len(d.buf)
	}
	return len(d.buf) / 4
}

// bytes returns a string that was read; valid until more is read into the buffer.
func (d *Decoder) bytes(f *field) []byte {
	if f.inBuf {
		at := d.mark + f.off
		return d.buf[at : at+f.len : at+f.len]
	}
	return f.side[:len(f.side):len(f.side)]
}

// clear empties f and lets go of memory that only a very long string needs.
func (f *field) clear() {
	f.inBuf = false
	if cap(f.side) > keepBuffer {
		f.side = nil
	}
}

// str reads a string into f.
func (d *Decoder) str(f *field) error {
	h, err := readStringHead(d.buf[d.pos:d.end])
	for err == ErrShort && d.more() {
		h, err = readStringHead(d.buf[d.pos:d.end])
	}
	start := d.Offset()
	if err != nil {
		return d.leafError(err, start)
	}
	d.pos += h.size
	if h.encoding >= encInt8 && h.encoding <= encInt32 {
		f.inBuf = false
		f.side = strconv.AppendInt(f.side[:0], int64(h.n), 10)
		return nil
	}
	if err := d.plausible(&h, start); err != nil {
		return err
	}
	if h.encoding == encLZF {
		return d.lzf(f, h, start)
	}
	if n := int(h.length); n <= d.inBufMax() {
		if err := d.need(n); err != nil {
			return err
		}
		f.inBuf, f.off, f.len = true, d.pos-d.mark, n
		d.pos += n
		return nil
	}
	f.inBuf = false
	f.side, err = d.long(f.side, int(h.length))
	return err
}

// plausible returns an error for a string that is too long, or cannot be as long as it says. start is
// the offset of its head.
func (d *Decoder) plausible(h *stringHead, start int64) error {
	if h.length > uint64(d.maxString) {
		return d.fail(start, "string of "+strconv.FormatUint(h.length, 10)+" bytes, the limit is "+
			strconv.FormatInt(d.maxString, 10))
	}
	if h.encoding == encLZF && (!plausibleLZF(h.stored, h.length) || h.stored > uint64(d.maxString)) {
		return d.fail(start, "LZF string: "+strconv.FormatUint(h.stored, 10)+" bytes cannot hold "+
			strconv.FormatUint(h.length, 10))
	}
	return nil
}

// lzf reads the compressed bytes of a string and expands them into f.side.
func (d *Decoder) lzf(f *field, h stringHead, start int64) (err error) {
	n := int(h.stored)
	var packed []byte
	if n <= d.inBufMax() {
		if err := d.need(n); err != nil {
			return err
		}
		packed = d.buf[d.pos : d.pos+n]
		d.pos += n
	} else if packed, err = d.long(nil, n); err != nil {
		return err
	}
	f.inBuf = false
	f.side = sized(f.side, int(h.length))
	if err := DecompressLZF(f.side, packed); err != nil {
		return d.fail(start, err.Error())
	}
	return nil
}

// sized returns a slice of n bytes, in side's memory if that suffices.
func sized(side []byte, n int) []byte {
	if cap(side) < n {
		return make([]byte, n)
	}
	return side[:n]
}

// long reads n bytes past the buffer into memory that it takes in steps, as the bytes come: no more
// than growStep and about three times as much as came. It reuses side.
func (d *Decoder) long(side []byte, n int) ([]byte, error) {
	have := min(n, d.end-d.pos)
	side = append(side[:0], d.buf[d.pos:d.pos+have]...)
	d.pos += have
	if have == n {
		return side, nil
	}
	if d.chunks != nil {
		return d.longFromChunks(side, n)
	}
	// The buffer is used up: pos is end. The bytes that come now never enter it, so base counts them.
	d.sum()
	for len(side) < n {
		if d.readErr != nil {
			return side, d.ended()
		}
		at := len(side)
		if at == cap(side) {
			grown := make([]byte, at, min(n, max(2*at, growStep)))
			copy(grown, side)
			side = grown
		}
		m := d.read(side[at:min(n, cap(side))])
		side = side[:at+m]
		d.base += int64(m)
		if d.checksum {
			d.crc = UpdateCRC(d.crc, side[at:])
		}
	}
	return side, nil
}
