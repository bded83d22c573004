package rdb

import (
	"encoding/binary"
	"errors"
)

// A DUMP payload is a value as in a file, without its key, and a footer of ten bytes:
//
//	type | value | version, 2 bytes LE | CRC64 of all before it, 8 bytes LE
const dumpFooter = 2 + 8

var (
	// ErrDumpFooter means that a payload's version is newer than this package reads, or that its
	// checksum is wrong: Redis' "DUMP payload version or checksum are wrong".
	ErrDumpFooter = errors.New("DUMP payload version or checksum are wrong")
	// ErrDumpFormat means a payload with a right checksum whose value cannot be read: Redis'
	// "Bad data format".
	ErrDumpFormat = errors.New("bad data format")
)

// AppendDumpString appends the DUMP payload of a string value, version 10. A nil table means no
// compression.
func AppendDumpString(dst, value []byte, table *LZFTable) []byte {
	start := len(dst)
	dst = AppendString(append(dst, byte(TypeString)), value, table)
	return appendDumpFooter(dst, start)
}

// appendDumpFooter completes the payload that starts at dst[start].
func appendDumpFooter(dst []byte, start int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, Version)
	return binary.LittleEndian.AppendUint64(dst, UpdateCRC(0, dst[start:]))
}

// ParseDump checks a DUMP payload's version and checksum and reads its value. The value may borrow
// payload. maxString bounds its length in bytes.
//
// The errors: [ErrDumpFooter]; an [*UnsupportedError] for a type other than string, with typ set;
// and ones that wrap [ErrDumpFormat].
func ParseDump(payload []byte, maxString int64) (typ Type, value []byte, err error) {
	if len(payload) < dumpFooter {
		return 0, nil, ErrDumpFooter
	}
	end := len(payload) - dumpFooter
	version := int(binary.LittleEndian.Uint16(payload[end:]))
	sum := binary.LittleEndian.Uint64(payload[end+2:])
	if version > maxRedisVersion || sum != UpdateCRC(0, payload[:end+2]) {
		return 0, nil, ErrDumpFooter
	}
	if end == 0 {
		return 0, nil, formatError(ErrDumpFormat, 0, "no value")
	}
	typ = Type(payload[0])
	switch {
	case !typ.Known():
		return typ, nil, formatError(ErrDumpFormat, 0, typ.String())
	case typ != TypeString:
		return typ, nil, &UnsupportedError{What: typ.NameIn(version), Code: byte(typ), IsType: true}
	}
	value, size, err := ReadString(payload[1:end], maxString)
	if err != nil {
		return typ, nil, formatError(ErrDumpFormat, 1, err.Error())
	}
	if 1+size != end {
		return typ, nil, formatError(ErrDumpFormat, int64(1+size), "bytes after the value")
	}
	return typ, value, nil
}
