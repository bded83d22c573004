package rdb

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// The encodings of a string that has no plain length.
const (
	encInt8  = 0
	encInt16 = 1
	encInt32 = 2
	encLZF   = 3
)

const (
	// minCompress: strings up to this long are never compressed, as in Redis.
	minCompress = 20
	// maxIntDigits: longer strings are no int32.
	maxIntDigits = 11
	// maxStringHead is what a string takes besides its bytes: encoding byte and two lengths.
	maxStringHead = 1 + 2*MaxLenSize
)

var (
	// ErrEncoding means a string encoding that does not exist.
	ErrEncoding = errors.New("unknown string encoding")
	// ErrTooLong means a string longer than the reader allows.
	ErrTooLong = errors.New("string is longer than the limit")
)

// parseInt32 returns the value of s if s is how an int32 is written: no plus, no leading zero, no -0.
func parseInt32(s []byte) (int32, bool) {
	if len(s) == 0 || len(s) > maxIntDigits {
		return 0, false
	}
	digits, neg := s, s[0] == '-'
	if neg {
		digits = s[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return int32(n), n == int64(int32(n))
}

// appendInt appends an int32 as an encoded string, in the shortest form: 2, 3 or 5 bytes.
func appendInt(dst []byte, n int32) []byte {
	switch {
	case n == int32(int8(n)):
		return append(dst, lenEncoded|encInt8, byte(n))
	case n == int32(int16(n)):
		return binary.LittleEndian.AppendUint16(append(dst, lenEncoded|encInt16), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(dst, lenEncoded|encInt32), uint32(n))
}

// AppendString appends s as Redis writes a string: a decimal int32 in binary, one that LZF makes
// shorter compressed, anything else raw. A nil table means no compression. dst must not overlap s.
func AppendString(dst, s []byte, table *LZFTable) []byte {
	if len(s) <= maxIntDigits {
		if n, ok := parseInt32(s); ok {
			return appendInt(dst, n)
		}
	} else if table != nil && len(s) > minCompress {
		if out, ok := appendLZF(dst, s, table); ok {
			return out
		}
	}
	return append(AppendLen(dst, uint64(len(s))), s...)
}

// appendLZF appends s compressed; ok is false, and dst unchanged, if that saves less than four bytes.
func appendLZF(dst, s []byte, table *LZFTable) (out []byte, ok bool) {
	at := len(dst)
	if cap(dst)-at < len(s)+maxStringHead {
		// Never so in the Encoder, which has made room before.
		dst = append(dst, make([]byte, len(s)+maxStringHead)...)
	}
	// The compressed length stands in front and its own length is not known: compress behind the
	// longest head and move the result down.
	room := dst[at : at+len(s)+maxStringHead]
	n := CompressLZF(room[maxStringHead:maxStringHead+len(s)-4], s, table)
	if n == 0 {
		return dst[:at], false
	}
	dst = append(dst[:at], lenEncoded|encLZF)
	dst = AppendLen(AppendLen(dst, uint64(n)), uint64(len(s)))
	return append(dst, room[maxStringHead:maxStringHead+n]...), true
}

// stringHead is what stands in front of a string's bytes.
type stringHead struct {
	encoding int    // one of enc…, -1 for raw
	size     int    // bytes of the head itself
	stored   uint64 // bytes that follow: raw or compressed
	length   uint64 // length of the string
	n        int32  // the value of an integer, which is all in the head
}

// readStringHead reads the head of a string at the start of p.
func readStringHead(p []byte) (h stringHead, err error) {
	n, size, encoded, err := ReadLen(p)
	if err != nil {
		return h, err
	}
	if !encoded {
		return stringHead{encoding: -1, size: size, stored: n, length: n}, nil
	}
	p = p[size:]
	switch n {
	case encInt8, encInt16, encInt32:
		if len(p) < 1<<n {
			return h, ErrShort
		}
		h = stringHead{encoding: int(n), size: size + 1<<n}
		switch n {
		case encInt8:
			h.n = int32(int8(p[0]))
		case encInt16:
			h.n = int32(int16(binary.LittleEndian.Uint16(p)))
		case encInt32:
			h.n = int32(binary.LittleEndian.Uint32(p))
		}
		return h, nil
	case encLZF:
		h = stringHead{encoding: encLZF}
		stored, a, err := ReadPlainLen(p)
		if err != nil {
			return h, err
		}
		length, b, err := ReadPlainLen(p[a:])
		h.size, h.stored, h.length = size+a+b, stored, length
		return h, err
	}
	return h, ErrEncoding
}

// plausibleLZF reports whether stored compressed bytes can expand to length bytes.
func plausibleLZF(stored, length uint64) bool {
	return stored > 0 && length > 0 && length/lzfMaxRatio <= stored
}

// ReadString reads the string at the start of p, and how many bytes of p it takes. A raw string
// borrows p, others are allocated. maxLen bounds its length in bytes ([ErrTooLong]).
func ReadString(p []byte, maxLen int64) (s []byte, size int, err error) {
	h, err := readStringHead(p)
	if err != nil {
		return nil, 0, err
	}
	p = p[h.size:]
	if h.encoding >= encInt8 && h.encoding <= encInt32 {
		return strconv.AppendInt(nil, int64(h.n), 10), h.size, nil
	}
	if h.length > uint64(maxLen) {
		return nil, 0, ErrTooLong
	}
	if h.stored > uint64(len(p)) {
		return nil, 0, ErrShort
	}
	size = h.size + int(h.stored)
	p = p[:h.stored:h.stored]
	if h.encoding != encLZF {
		return p, size, nil
	}
	if !plausibleLZF(h.stored, h.length) {
		return nil, 0, ErrLZF
	}
	s = make([]byte, h.length)
	if err := DecompressLZF(s, p); err != nil {
		return nil, 0, err
	}
	return s, size, nil
}
