package rdb

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrFormat is wrapped by every error about damaged or alien bytes in a file.
var ErrFormat = errors.New("invalid RDB")

// ErrChecksum is the ErrFormat of a file that can be read to its end and whose checksum is not that of
// its bytes.
var ErrChecksum = fmt.Errorf("%w: wrong checksum", ErrFormat)

// maxQuoted is how many bytes of a key an error shows.
const maxQuoted = 64

// FormatError says what is wrong with the input, and where.
type FormatError struct {
	Offset int64  // in bytes from the start of the input
	Msg    string // the whole message, offset included
	Err    error  // ErrFormat, ErrDumpFormat or the reader's error
}

func (e *FormatError) Error() string { return e.Msg }

// Unwrap makes errors.Is find the kind of error.
func (e *FormatError) Unwrap() error { return e.Err }

func formatError(kind error, offset int64, what string) error {
	return &FormatError{Offset: offset, Err: kind,
		Msg: kind.Error() + ": " + what + " at offset " + strconv.FormatInt(offset, 10)}
}

// checksumError returns the error for a checksum, at offset, that is not the one computed.
func checksumError(offset int64, stored, computed uint64) error {
	return &FormatError{Offset: offset, Err: ErrChecksum,
		Msg: fmt.Sprintf("%v: %016x in the file, %016x computed at offset %d", ErrChecksum, stored, computed, offset)}
}

// UnsupportedError names what is valid and cannot be represented: a value type with its key, or
// module data, functions and the like.
type UnsupportedError struct {
	What   string // the type's name, as in Type.NameIn; or the thing's
	Code   byte   // the type or opcode
	IsType bool   // a value type
	Key    []byte // the key, a copy; nil in a DUMP payload, which has none
	Offset int64  // of the type or opcode
}

func (e *UnsupportedError) Error() string {
	switch {
	case !e.IsType:
		return fmt.Sprintf("unsupported %s (%d) at offset %d", e.What, e.Code, e.Offset)
	case e.Key == nil:
		return fmt.Sprintf("unsupported value type %q (%d) at offset %d", e.What, e.Code, e.Offset)
	}
	return fmt.Sprintf("unsupported value type %q (%d) of key %s at offset %d", e.What, e.Code,
		quoteKey(e.Key), e.Offset)
}

// quoteKey returns key in quotes, shortened.
func quoteKey(key []byte) string {
	if len(key) > maxQuoted {
		return strconv.Quote(string(key[:maxQuoted])) + "…"
	}
	return strconv.Quote(string(key))
}
