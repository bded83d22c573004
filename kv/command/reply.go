package command

import (
	"fmt"
	"strings"

	"kvd/kv"
	"kvd/kv/resp"
)

// Replies go to the end of x.Client.Out. Those whose form depends on the
// protocol version look at it; the caller counts elements.

func (x *Ctx) raw(s string) { x.Client.Out = append(x.Client.Out, s...) }

func (x *Ctx) resp3() bool { return x.Client.resp == 3 }

// OK replies "OK".
func (x *Ctx) OK() { x.raw(resp.OK) }

// Simple replies a simple string.
func (x *Ctx) Simple(s string) { x.Client.Out = resp.AppendString(x.Client.Out, s) }

// Null replies "no such value".
func (x *Ctx) Null() { x.Client.Out = resp.AppendNull(x.Client.Out, x.resp3()) }

// NullArray replies "no such list".
func (x *Ctx) NullArray() { x.Client.Out = resp.AppendNullArray(x.Client.Out, x.resp3()) }

// Bulk replies a copy of b.
func (x *Ctx) Bulk(b []byte) { x.Client.Out = resp.AppendBulk(x.Client.Out, b) }

// BulkString replies s as a bulk string.
func (x *Ctx) BulkString(s string) { x.Client.Out = resp.AppendBulkString(x.Client.Out, s) }

// BulkInt replies n as a bulk string of its decimal text.
func (x *Ctx) BulkInt(n int64) { x.Client.Out = resp.AppendBulkInt(x.Client.Out, n) }

// Int replies an integer.
func (x *Ctx) Int(n int64) { x.Client.Out = resp.AppendInt(x.Client.Out, n) }

// Bool01 replies the integer 1 or 0.
func (x *Ctx) Bool01(b bool) {
	if b {
		x.raw(resp.One)
	} else {
		x.raw(resp.Zero)
	}
}

// Bool replies a RESP3 boolean, 1 or 0 in RESP2.
func (x *Ctx) Bool(b bool) { x.Client.Out = resp.AppendBool(x.Client.Out, b, x.resp3()) }

// Double replies a RESP3 double; in RESP2 a bulk string.
func (x *Ctx) Double(f float64) { x.Client.Out = resp.AppendDouble(x.Client.Out, f, x.resp3()) }

// Array begins an array of n elements.
func (x *Ctx) Array(n int) { x.Client.Out = resp.AppendArray(x.Client.Out, n) }

// Map begins a map of n pairs: an array of 2n elements in RESP2.
func (x *Ctx) Map(n int) { x.Client.Out = resp.AppendMap(x.Client.Out, n, x.resp3()) }

// Set begins a set of n elements: an array in RESP2.
func (x *Ctx) Set(n int) { x.Client.Out = resp.AppendSet(x.Client.Out, n, x.resp3()) }

// Verbatim replies text with a three-letter format, a bulk string in RESP2.
func (x *Ctx) Verbatim(ext, s string) {
	x.Client.Out = resp.AppendVerbatim(x.Client.Out, ext, s, x.resp3())
}

// Strings replies an array of simple strings, the form of HELP texts.
func (x *Ctx) Strings(lines []string) {
	x.Array(len(lines))
	for _, l := range lines {
		x.Simple(l)
	}
}

// Err replies an error; text begins with its code. Line breaks in it become
// spaces: it may quote what a client has sent.
func (x *Ctx) Err(text string) {
	text = strings.TrimRight(text, "\r\n")
	x.local.countError(text)
	x.Client.Out = resp.AppendError(x.Client.Out, text)
}

// Errf replies a formatted error.
func (x *Ctx) Errf(format string, a ...any) { x.Err(fmt.Sprintf(format, a...)) }

// storeErr replies what a kv error means for a client.
func (x *Ctx) storeErr(err error) {
	switch err {
	case kv.ErrNoMemory:
		x.Err(errNoMemory)
	case kv.ErrTooLong:
		x.Err(errStringTooLong)
	case kv.ErrNoDB:
		x.Err(errDBRange)
	case kv.ErrWrongType:
		x.Err(errWrongType)
	default:
		x.Err("ERR " + err.Error())
	}
}

// parseInt reads a decimal int64 exactly as Redis does (no plus sign, no
// spaces, no leading zeros); if arg is none, the error is replied.
func (x *Ctx) parseInt(arg []byte) (int64, bool) {
	n, ok := resp.ParseInt(arg)
	if !ok {
		x.Err(errNotInteger)
	}
	return n, ok
}

// is tells whether b equals the lower-case word s, ignoring ASCII case.
func is(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// cText returns at most n bytes of b up to its first NUL, as C's "%.*s" does:
// Redis quotes arguments in errors this way.
func cText(b []byte, n int) string {
	for i, c := range b {
		if c == 0 || i == n {
			return string(b[:i])
		}
	}
	return string(b)
}

// lookupRead returns the live string at key for reading and counts a hit or a miss.
func (x *Ctx) lookupRead(key []byte) (kv.Item, bool) {
	it, ok := x.Tx.Get(x.Client.db, key)
	if ok {
		x.local.hits++
	} else {
		x.local.misses++
	}
	return it, ok
}

// lookupWrite returns the live value at key that a command is about to
// change; Redis does not count these as hits or misses.
func (x *Ctx) lookupWrite(key []byte) (kv.Item, bool) {
	return x.Tx.Get(x.Client.db, key)
}

// hit and miss count a look-up that was not made by lookupRead.
func (x *Ctx) hit()  { x.local.hits++ }
func (x *Ctx) miss() { x.local.misses++ }

// opened tells whether a value could be opened; if not, it replies why.
func (x *Ctx) opened(err error) bool {
	if err != nil {
		x.storeErr(err)
	}
	return err == nil
}

// lookedUp is opened for a command that reads: a key that exists is a hit, of whatever type it is.
func (x *Ctx) lookedUp(err error, exists bool) bool {
	if err != nil || exists {
		x.hit()
	} else {
		x.miss()
	}
	return x.opened(err)
}
