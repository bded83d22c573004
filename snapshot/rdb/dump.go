package rdb

import (
	"encoding/binary"
	"errors"
	"io"
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
	return AppendDumpFooter(dst, start, Version)
}

// AppendDumpFooter completes the payload that starts at dst[start] with its type and value.
func AppendDumpFooter(dst []byte, start, version int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(version))
	return binary.LittleEndian.AppendUint64(dst, UpdateCRC(0, dst[start:]))
}

// ParseDump checks a DUMP payload's version and checksum and reads its value if that is a string; others are
// read by [NewDumpDecoder]. The value may borrow payload. maxString bounds its length in bytes.
//
// The errors: [ErrDumpFooter]; an [*UnsupportedError] for a module's type, with typ set; and ones that wrap
// [ErrDumpFormat].
func ParseDump(payload []byte, maxString int64) (typ Type, value []byte, err error) {
	if len(payload) < dumpFooter {
		return 0, nil, ErrDumpFooter
	}
	end := len(payload) - dumpFooter
	version := dumpVersion(payload)
	sum := binary.LittleEndian.Uint64(payload[end+2:])
	if version > maxRedisVersion && version != maxValkeyVersion || sum != UpdateCRC(0, payload[:end+2]) {
		return 0, nil, ErrDumpFooter
	}
	if end == 0 {
		return 0, nil, formatError(ErrDumpFormat, 0, "no value")
	}
	typ = Type(payload[0])
	switch {
	case !typ.Known():
		return typ, nil, formatError(ErrDumpFormat, 0, typ.String())
	case typ.Class() == ClassModule:
		return typ, nil, &UnsupportedError{What: typ.NameIn(version), Code: byte(typ), IsType: true}
	case typ != TypeString:
		return typ, nil, nil
	}
	value, size, err := ReadString(payload[1:end], maxString)
	if err != nil {
		return typ, nil, formatError(ErrDumpFormat, 1, err.Error())
	}
	if 1+size != end {
		return typ, nil, formatError(ErrDumpFormat, int64(1+size), errBehind)
	}
	return typ, value, nil
}

const errBehind = "bytes after the value"

func dumpVersion(payload []byte) int {
	return int(binary.LittleEndian.Uint16(payload[len(payload)-dumpFooter:]))
}

// NewDumpDecoder returns a decoder of the value in a payload that ParseDump has found to be a
// collection. Its events are a KindKey without a key and what KindMore belong to it; then Next returns
// io.EOF. Payload stays as it is and must not change meanwhile.
func NewDumpDecoder(payload []byte, opts DecoderOptions) *Decoder {
	d := newDecoder(opts)
	end := len(payload) - dumpFooter
	d.buf, d.end = payload[:end:end], end
	d.readErr, d.version, d.checksum, d.dump = io.EOF, dumpVersion(payload), false, true
	return d
}

// nextOfDump is next of a decoder of a payload.
func (d *Decoder) nextOfDump(ev *Event) error {
	if d.val.open {
		return d.morePieces(ev)
	}
	if d.pos > 0 {
		if d.pos < d.end {
			return d.fail(d.Offset(), errBehind)
		}
		return io.EOF
	}
	t := Type(d.buf[0])
	*ev = Event{Kind: KindKey, Type: t}
	d.pos++
	d.key.inBuf, d.key.side = false, nil
	if d.values == CheckValues {
		err := d.checkValue(t)
		ev.Empty = err == nil && d.val.count == 0
		return err
	}
	if err := d.openValue(t); err != nil {
		return err
	}
	d.val.grows = d.val.form != FormStream
	return d.nextPiece(ev)
}
