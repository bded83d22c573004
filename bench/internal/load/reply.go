//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/tidwall/redcon"
)

const (
	maxLine     = 64 << 10 // of a simple string or an error
	maxNumber   = 32       // of a line with a number
	maxElements = 1 << 20  // of an array
	maxBulk     = 512 << 20
)

var errNonsense = errors.New("the server's answer is no RESP")

// nextReply returns the first reply in b and its length, 0 while it is not
// complete. redcon trusts what it reads and tells what is wrong from what is
// not complete in no way, so that both are looked after here.
func nextReply(b []byte) (n int, resp redcon.RESP, err error) {
	defer func() {
		if recover() != nil { // a length that overflows
			n, err = 0, fmt.Errorf("%w: %.80q", errNonsense, b)
		}
	}()
	if n, resp = redcon.ReadNextRESP(b); n == 0 && !canGrow(b) {
		err = fmt.Errorf("%w: %.80q", errNonsense, b)
	}
	return n, resp, err
}

// canGrow tells whether b, which is no reply, can be the beginning of one.
func canGrow(b []byte) bool {
	for need := 1; need > 0; need-- {
		if len(b) == 0 {
			return true
		}
		limit := maxNumber
		switch b[0] {
		case redcon.String, redcon.Error:
			limit = maxLine
		case redcon.Integer, redcon.Bulk, redcon.Array:
		default:
			return false
		}
		end := bytes.IndexByte(b[:min(len(b), limit)], '\n')
		if end < 0 {
			return len(b) < limit
		}
		if b[end-1] != '\r' {
			return false
		}
		line, kind := b[1:end-1], b[0]
		b = b[end+1:]
		if kind == redcon.String || kind == redcon.Error {
			continue
		}
		n, err := strconv.Atoi(string(line))
		switch {
		case err != nil:
			return false
		case kind == redcon.Array && n > maxElements, kind == redcon.Bulk && n > maxBulk:
			return false
		case kind == redcon.Array && n > 0:
			need += n
		case kind == redcon.Bulk && n >= 0:
			if len(b) < n+2 {
				return true
			}
			if b[n] != '\r' || b[n+1] != '\n' {
				return false
			}
			b = b[n+2:]
		}
	}
	return false // complete, and yet redcon would not have it
}
