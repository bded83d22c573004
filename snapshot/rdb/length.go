package rdb

import (
	"encoding/binary"
	"errors"
)

// The first byte of a length: two bits of kind, or one of the two full values.
const (
	len6Max  = 1<<6 - 1
	len14Max = 1<<14 - 1

	lenKind14  = 0x40
	lenByte32  = 0x80
	lenByte64  = 0x81
	lenEncoded = 0xc0
)

// MaxLenSize is the size in bytes of the longest length.
const MaxLenSize = 9

// Errors of the leaf readers; a [Decoder] wraps them with the offset.
var (
	// ErrShort means that the bytes end inside the thing to be read.
	ErrShort = errors.New("unexpected end of data")
	// ErrBadLength means a first byte that starts no length.
	ErrBadLength = errors.New("invalid length byte")
	// ErrEncodedLength means a string encoding where a plain length must stand.
	ErrEncodedLength = errors.New("string encoding where a length is expected")
)

// AppendLen appends n as a length, in the shortest form: 1, 2, 5 or 9 bytes.
func AppendLen(dst []byte, n uint64) []byte {
	switch {
	case n <= len6Max:
		return append(dst, byte(n))
	case n <= len14Max:
		return append(dst, lenKind14|byte(n>>8), byte(n))
	case n <= 1<<32-1:
		return binary.BigEndian.AppendUint32(append(dst, lenByte32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, lenByte64), n)
}

// ReadLen reads the length at the start of p and its size in bytes. With encoded set n is the
// string encoding that follows and not a length. The errors are [ErrShort] and [ErrBadLength].
func ReadLen(p []byte) (n uint64, size int, encoded bool, err error) {
	if len(p) == 0 {
		return 0, 0, false, ErrShort
	}
	b := p[0]
	switch {
	case b <= len6Max:
		return uint64(b), 1, false, nil
	case b < lenByte32:
		if len(p) < 2 {
			return 0, 0, false, ErrShort
		}
		return uint64(b&len6Max)<<8 | uint64(p[1]), 2, false, nil
	case b >= lenEncoded:
		return uint64(b & len6Max), 1, true, nil
	case b == lenByte32:
		if len(p) < 5 {
			return 0, 0, false, ErrShort
		}
		return uint64(binary.BigEndian.Uint32(p[1:])), 5, false, nil
	case b == lenByte64:
		if len(p) < 9 {
			return 0, 0, false, ErrShort
		}
		return binary.BigEndian.Uint64(p[1:]), 9, false, nil
	}
	return 0, 0, false, ErrBadLength
}

// ReadPlainLen is ReadLen where no string encoding is allowed ([ErrEncodedLength]).
func ReadPlainLen(p []byte) (n uint64, size int, err error) {
	n, size, encoded, err := ReadLen(p)
	if err == nil && encoded {
		err = ErrEncodedLength
	}
	return n, size, err
}
