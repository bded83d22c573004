package resp

import (
	"strconv"

	"github.com/tidwall/redcon"
)

// Replies that are always the same, to be appended as they are.
const (
	OK     = "+OK\r\n"
	Pong   = "+PONG\r\n"
	Queued = "+QUEUED\r\n"
	Zero   = ":0\r\n"
	One    = ":1\r\n"

	EmptyBulk  = "$0\r\n\r\n"
	EmptyArray = "*0\r\n"

	// NullBulk and NullArray are the two nulls of RESP2, Null is the one of RESP3.
	NullBulk  = "$-1\r\n"
	NullArray = "*-1\r\n"
	Null      = "_\r\n"
)

// All functions below append to dst and return it, as append does; they allocate only if dst has to grow. Those with a
// parameter resp3 write what Redis sends in its place to a client that speaks RESP2.

// AppendOK appends the status OK.
func AppendOK(dst []byte) []byte { return append(dst, OK...) }

// AppendString appends a simple string, a status. Line ends in s become spaces.
func AppendString(dst []byte, s string) []byte { return redcon.AppendString(dst, s) }

// AppendError appends an error. s begins with its code, ERR mostly. Line ends in s become spaces.
func AppendError(dst []byte, s string) []byte { return redcon.AppendError(dst, s) }

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte { return appendHeader(dst, ':', n) }

// AppendBulk appends a string of any bytes.
func AppendBulk(dst, b []byte) []byte {
	dst = appendHeader(dst, '$', int64(len(b)))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

// AppendBulkString is AppendBulk for a string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = appendHeader(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendBulkHeader appends what stands before the n bytes of a string that the caller appends in pieces, followed by a
// CR LF of its own.
func AppendBulkHeader(dst []byte, n int) []byte { return appendHeader(dst, '$', int64(n)) }

// AppendBulkInt appends an integer as a string of its digits.
func AppendBulkInt(dst []byte, n int64) []byte {
	var digits [20]byte
	return AppendBulk(dst, strconv.AppendInt(digits[:0], n, 10))
}

// AppendArray appends the header of an array of n replies.
func AppendArray(dst []byte, n int) []byte { return appendHeader(dst, '*', int64(n)) }

// AppendMap appends the header of a map of n pairs; 2n replies follow. RESP2: an array of 2n.
func AppendMap(dst []byte, n int, resp3 bool) []byte {
	if resp3 {
		return appendHeader(dst, '%', int64(n))
	}
	return appendHeader(dst, '*', int64(n)*2)
}

// AppendSet appends the header of a set of n replies. RESP2: an array.
func AppendSet(dst []byte, n int, resp3 bool) []byte {
	if resp3 {
		return appendHeader(dst, '~', int64(n))
	}
	return appendHeader(dst, '*', int64(n))
}

// AppendPush appends the header of an out-of-band message of n replies. RESP2: an array.
func AppendPush(dst []byte, n int, resp3 bool) []byte {
	if resp3 {
		return appendHeader(dst, '>', int64(n))
	}
	return appendHeader(dst, '*', int64(n))
}

// AppendAttribute appends the header of n pairs that describe the reply after them. RESP2 has nothing like it: a caller
// leaves header and pairs out.
func AppendAttribute(dst []byte, n int) []byte { return appendHeader(dst, '|', int64(n)) }

// AppendNull appends a missing value. RESP2: the null bulk.
func AppendNull(dst []byte, resp3 bool) []byte {
	if resp3 {
		return append(dst, Null...)
	}
	return redcon.AppendNull(dst)
}

// AppendNullArray appends a missing array. RESP2: the null array.
func AppendNullArray(dst []byte, resp3 bool) []byte {
	if resp3 {
		return append(dst, Null...)
	}
	return append(dst, NullArray...)
}

// AppendBool appends a truth value. RESP2: 1 or 0.
func AppendBool(dst []byte, b, resp3 bool) []byte {
	switch {
	case b && resp3:
		return append(dst, "#t\r\n"...)
	case resp3:
		return append(dst, "#f\r\n"...)
	case b:
		return append(dst, One...)
	}
	return append(dst, Zero...)
}

// AppendDouble appends a double as AppendFloat writes it. RESP2: a bulk.
func AppendDouble(dst []byte, f float64, resp3 bool) []byte {
	if resp3 {
		dst = AppendFloat(append(dst, ','), f)
		return append(dst, '\r', '\n')
	}
	var digits [32]byte // %.17g needs 24 at most
	return AppendBulk(dst, AppendFloat(digits[:0], f))
}

// AppendBigNumber appends an integer of any size, given by its digits. RESP2: a bulk.
func AppendBigNumber(dst []byte, digits string, resp3 bool) []byte {
	if !resp3 {
		return AppendBulkString(dst, digits)
	}
	dst = append(append(dst, '('), digits...)
	return append(dst, '\r', '\n')
}

// AppendVerbatim appends text for human eyes. format has three bytes, "txt" or "mkd". RESP2: a bulk without the format.
func AppendVerbatim(dst []byte, format, s string, resp3 bool) []byte {
	if !resp3 {
		return AppendBulkString(dst, s)
	}
	dst = appendHeader(dst, '=', int64(len(s))+4)
	dst = append(append(append(dst, format...), ':'), s...)
	return append(dst, '\r', '\n')
}

// appendHeader appends a type byte and a number. Numbers below 10,000, nearly all of them, are written in one append,
// which takes half the time of redcon's AppendInt (go test -bench Reply).
func appendHeader(dst []byte, kind byte, n int64) []byte {
	switch u := uint64(n); {
	case u < 10:
		return append(dst, kind, byte('0'+u), '\r', '\n')
	case u < 100:
		return append(dst, kind, byte('0'+u/10), byte('0'+u%10), '\r', '\n')
	case u < 1000:
		return append(dst, kind, byte('0'+u/100), byte('0'+u/10%10), byte('0'+u%10), '\r', '\n')
	case u < 10000:
		return append(dst, kind, byte('0'+u/1000), byte('0'+u/100%10), byte('0'+u/10%10), byte('0'+u%10), '\r', '\n')
	}
	start := len(dst)
	dst = redcon.AppendInt(dst, n)
	dst[start] = kind
	return dst
}
