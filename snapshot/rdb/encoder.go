package rdb

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Sink takes the encoded bytes. p is the sink's only until Write returns. After an error the encoder
// writes no more, but Err asks for the reason again by Write(nil): a sink keeps its first error.
// A sink for the forked child obeys the rule in the package comment; its errors are preallocated.
type Sink interface {
	Write(p []byte) error
}

// ErrSink is what [Encoder.Err] returns after a failed write if the sink no longer knows why.
var ErrSink = errors.New("rdb: an earlier write failed")

// MinEncoderBuffer is the least size of an Encoder's buffer in bytes.
const MinEncoderBuffer = 4 << 10

// entryHead bounds what a key takes besides the bytes of key and value: expiry, type, two heads.
const entryHead = 1 + 8 + 1 + 2*maxStringHead

// EncoderOptions say how to write.
type EncoderOptions struct {
	Compress bool // LZF for strings over 20 bytes (rdbcompression)
	Checksum bool // CRC64 at the end; eight zero bytes without (rdbchecksum)
	Version  int  // 7 … 12, or 80 for Valkey's; 0 means 10
}

// Encoder writes an RDB file to a sink, in the order Header, Aux, then for each database SelectDB,
// ResizeDB and its keys, then Footer. It is for one goroutine, or for a forked child: see the package
// comment. Each method returns the error of the sink, at once and ever after; nothing else can fail.
type Encoder struct {
	buf  []byte // set at construction, like table; the sink by Reset
	sink Sink

	table    *LZFTable // nil: no compression
	checksum bool
	failed   bool
	version  int

	n       int   // bytes of buf in use
	flushed int64 // bytes given to the sink
	crc     uint64

	partAt, partN int // of a string in parts that is put together in buf: where, and its bytes so far

	node     []byte // of a list
	nodeN    int    // bytes of node in use
	nodeUsed int    // the same, as bounded before; 0: no node is open
	nodes    uint64
}

// NewEncoder returns an encoder that collects its output in buf, which is the encoder's from now on
// (1 MiB serves well; at least MinEncoderBuffer, or it panics, as it does for a version that it
// cannot write). Strings longer than buf less some 60 bytes are not compressed. Call Reset before
// the first write.
func NewEncoder(buf []byte, opts EncoderOptions) *Encoder {
	if len(buf) < MinEncoderBuffer {
		panic("rdb: encoder buffer of " + strconv.Itoa(len(buf)) + " bytes is too small")
	}
	if opts.Version == 0 {
		opts.Version = Version
	}
	if !writableVersion(opts.Version) {
		panic("rdb: cannot write version " + strconv.Itoa(opts.Version))
	}
	e := &Encoder{buf: buf[:len(buf):len(buf)], checksum: opts.Checksum, version: opts.Version,
		node: make([]byte, nodeSize+64)}
	if opts.Compress {
		e.table = new(LZFTable)
	}
	return e
}

func writableVersion(version int) bool {
	return version >= minWriteVersion && version <= maxRedisVersion || version == maxValkeyVersion
}

// SetVersion sets the version that Header writes, which must be one that NewEncoder takes.
func (e *Encoder) SetVersion(version int) { e.version = version }

// Version returns the version that Header writes.
func (e *Encoder) Version() int { return e.version }

// Table returns the table for compression, nil if there is none.
func (e *Encoder) Table() *LZFTable { return e.table }

// Reset starts a new file, written to sink. Call it before the fork: it stores a pointer.
func (e *Encoder) Reset(sink Sink) {
	e.sink = sink
	e.failed, e.n, e.flushed, e.crc, e.partAt = false, 0, 0, 0, 0
}

// Header writes the magic and the version.
func (e *Encoder) Header() error {
	if err := e.reserve(headerSize); err != nil {
		return err
	}
	e.n = len(AppendHeader(e.buf[:e.n], e.version))
	return nil
}

// Aux writes a piece of metadata.
func (e *Encoder) Aux(key, value string) error {
	if err := e.auxKey(key); err != nil {
		return err
	}
	return e.auxString(value)
}

// AuxInt writes a piece of metadata that is a number.
func (e *Encoder) AuxInt(key string, value int64) error {
	if err := e.auxKey(key); err != nil {
		return err
	}
	if err := e.reserve(1 + 20); err != nil {
		return err
	}
	if value == int64(int32(value)) {
		e.n = len(appendInt(e.buf[:e.n], int32(value)))
		return nil
	}
	b := strconv.AppendInt(append(e.buf[:e.n], 0), value, 10)
	b[e.n] = byte(len(b) - e.n - 1) // at most 20 digits: a length of one byte
	e.n = len(b)
	return nil
}

func (e *Encoder) auxKey(key string) error {
	if err := e.reserve(1); err != nil {
		return err
	}
	e.n = len(append(e.buf[:e.n], OpAux))
	return e.auxString(key)
}

// auxString writes s raw, in pieces: conversion to bytes would allocate, and it may exceed the buffer.
func (e *Encoder) auxString(s string) error {
	if err := e.reserve(MaxLenSize); err != nil {
		return err
	}
	e.n = len(AppendLen(e.buf[:e.n], uint64(len(s))))
	for len(s) > 0 {
		if err := e.reserve(1); err != nil {
			return err
		}
		n := copy(e.buf[e.n:], s)
		e.n += n
		s = s[n:]
	}
	return nil
}

// SelectDB makes db the database of the keys that follow.
func (e *Encoder) SelectDB(db int) error {
	if err := e.reserve(1 + MaxLenSize); err != nil {
		return err
	}
	e.n = len(AppendSelectDB(e.buf[:e.n], uint64(db)))
	return nil
}

// ResizeDB writes how many keys the database has, and how many of them expire.
func (e *Encoder) ResizeDB(keys, expires int64) error {
	if err := e.reserve(1 + 2*MaxLenSize); err != nil {
		return err
	}
	e.n = len(AppendResizeDB(e.buf[:e.n], uint64(keys), uint64(expires)))
	return nil
}

// String writes a key with a string value. expireAtMs is a Unix time in milliseconds, 0 for none.
// key and value are read during the call only; a value that does not fit the buffer goes to the sink
// as it lies, without a copy.
func (e *Encoder) String(key, value []byte, expireAtMs int64) error {
	if e.failed || len(e.buf)-e.n < entryHead+len(key)+len(value) {
		return e.bigString(key, value, expireAtMs)
	}
	b := e.buf[:e.n]
	if expireAtMs != 0 {
		b = AppendExpireMs(b, expireAtMs)
	}
	b = AppendString(append(b, byte(TypeString)), key, e.table)
	e.n = len(AppendString(b, value, e.table))
	return nil
}

// bigString is String for what does not fit the rest of the buffer.
func (e *Encoder) bigString(key, value []byte, expireAtMs int64) error {
	if err := e.reserve(1 + 8 + 1); err != nil {
		return err
	}
	b := e.buf[:e.n]
	if expireAtMs != 0 {
		b = AppendExpireMs(b, expireAtMs)
	}
	e.n = len(append(b, byte(TypeString)))
	if err := e.bytes(key); err != nil {
		return err
	}
	return e.bytes(value)
}

// bytes writes one string: by way of the buffer if it fits an empty one.
func (e *Encoder) bytes(s []byte) error {
	if maxStringHead+len(s) <= len(e.buf) {
		if err := e.reserve(maxStringHead + len(s)); err != nil {
			return err
		}
		e.n = len(AppendString(e.buf[:e.n], s, e.table))
		return nil
	}
	if err := e.reserve(MaxLenSize); err != nil {
		return err
	}
	e.n = len(AppendLen(e.buf[:e.n], uint64(len(s))))
	if err := e.Flush(); err != nil {
		return err
	}
	return e.write(s)
}

// Footer writes the EOF opcode and the checksum, and flushes.
func (e *Encoder) Footer() error {
	if err := e.reserve(1 + 8); err != nil {
		return err
	}
	e.buf[e.n] = OpEOF
	e.n++
	var sum uint64
	if e.checksum {
		sum = UpdateCRC(e.crc, e.buf[:e.n])
	}
	e.n = len(binary.LittleEndian.AppendUint64(e.buf[:e.n], sum))
	return e.Flush()
}

// Flush gives what is buffered to the sink.
func (e *Encoder) Flush() error {
	if e.failed || e.n == 0 {
		return e.Err()
	}
	n := e.n
	e.n = 0
	return e.write(e.buf[:n])
}

// Room returns how many bytes of the buffer are free.
func (e *Encoder) Room() int { return len(e.buf) - e.n }

// Fits tells whether a key whose name and value have n bytes in all, with a SelectDB before it, goes
// into the buffer without a flush.
func (e *Encoder) Fits(n int) bool { return len(e.buf)-e.n >= 1+MaxLenSize+entryHead+n }

// Buffered returns how many bytes have not been given to the sink.
func (e *Encoder) Buffered() int { return e.n }

// Bytes returns how many bytes were encoded so far, buffered ones included.
func (e *Encoder) Bytes() int64 { return e.flushed + int64(e.n) }

// Err returns the sink's error if a write has failed.
func (e *Encoder) Err() error {
	if !e.failed {
		return nil
	}
	// The error itself is not kept: to store it would be a pointer written into the heap.
	if err := e.sink.Write(nil); err != nil {
		return err
	}
	return ErrSink
}

// reserve makes room for n bytes in the buffer; n is at most its length.
func (e *Encoder) reserve(n int) error {
	if !e.failed && len(e.buf)-e.n >= n {
		return nil
	}
	return e.Flush()
}

// write gives p to the sink, past the buffer, which is empty.
func (e *Encoder) write(p []byte) error {
	if e.checksum {
		e.crc = UpdateCRC(e.crc, p)
	}
	err := e.sink.Write(p)
	if err != nil {
		e.failed = true
		return err
	}
	e.flushed += int64(len(p))
	return nil
}
