package command

import (
	"bytes"
	"slices"

	"kvd/kv"
	"kvd/kv/resp"
)

// stringEncoding returns the encoding that Redis chooses for a value that
// arrives as an argument. Most values are told from integers by their first byte.
func stringEncoding(v []byte) kv.Encoding {
	if len(v) > kv.MaxEmbstr {
		return kv.EncRaw
	}
	if len(v) > 0 && (v[0]-'0' <= 9 || v[0] == '-') {
		if _, ok := resp.ParseInt(v); ok {
			return kv.EncInt
		}
	}
	return kv.EncEmbstr
}

// wrongType replies the error if it holds no string.
func (x *Ctx) wrongType(it kv.Item) bool {
	if it.Type == kv.TypeString {
		return false
	}
	x.Err(errWrongType)
	return true
}

// option returns a keyword argument up to its first NUL: Redis compares
// keywords as C strings.
func option(arg []byte) []byte {
	if i := bytes.IndexByte(arg, 0); i >= 0 {
		return arg[:i]
	}
	return arg
}

// replyString replies the string at key, or null. It returns false after an
// error.
func (x *Ctx) replyString(key []byte) bool {
	val, typ, ok := x.Tx.GetValue(x.Client.db, key)
	if !ok {
		x.miss()
		x.Null()
		return true
	}
	x.hit()
	if typ != kv.TypeString {
		x.Err(errWrongType)
		return false
	}
	if val == nil {
		it, _ := x.Tx.Peek(x.Client.db, key)
		x.bulkRange(key, &it, 0, it.Len())
		return true
	}
	x.Client.Out = resp.AppendBulk(x.Client.Out, val)
	return true
}

// streamFrom is the least number of bytes of a string that are streamed out. Fewer are
// copied faster than pinned.
const streamFrom = 256 << 10

// bulkRange replies bytes [from, to) of the string at key. Many of them are streamed from
// the store's memory if the client can; others of what lies in chunks go to the reply chunk by chunk.
func (x *Ctx) bulkRange(key []byte, it *kv.Item, from, to int64) {
	if !it.Chunked() {
		x.Bulk(it.Value[from:to])
		return
	}
	c := x.Client
	if c.Streaming && to-from >= streamFrom {
		if p, ok := x.Tx.Pin(c.db, key, from, to); ok {
			c.Out = resp.AppendBulkHeader(c.Out, int(to-from))
			c.Streams = append(c.Streams, Stream{At: len(c.Out), Pin: p})
			c.Out = append(c.Out, "\r\n"...)
			return
		}
	}
	const overhead = 64 // of the reply's length and line ends
	out := resp.AppendBulkHeader(slices.Grow(c.Out, int(to-from)+overhead), int(to-from))
	out = it.AppendRange(out, from, to)
	c.Out = append(out, "\r\n"...)
}

// contents returns the bytes of a string, borrowed from the store or, if it lies in
// chunks, copied.
func (x *Ctx) contents(it *kv.Item) []byte {
	if !it.Chunked() {
		return it.Value
	}
	return it.AppendRange(make([]byte, 0, it.Len()), 0, it.Len())
}

// makeRaw gives the string at key the encoding that Redis gives to all that it is about to
// change, whether it does or not. It returns false after an error.
func (x *Ctx) makeRaw(key []byte, it *kv.Item) bool {
	if it.Encoding == kv.EncRaw || it.Chunked() {
		return true
	}
	if err := x.Tx.MakeRaw(x.Client.db, key); err != nil {
		x.storeErr(err)
		return false
	}
	return true
}

func cmdGet(x *Ctx) { x.replyString(x.Args[1]) }

func cmdGetdel(x *Ctx) {
	if x.replyString(x.Args[1]) {
		x.Tx.Delete(x.Client.db, x.Args[1])
	}
}

func cmdGetset(x *Ctx) {
	at := len(x.Client.Out)
	if x.replyString(x.Args[1]) {
		x.store(at, x.Args[1], x.Args[2], kv.NoExpiry)
	}
}

// store sets key to an argument. If the store refuses, the reply begun at
// Out[at:] becomes its error and store returns false.
func (x *Ctx) store(at int, key, val []byte, expireAt int64) bool {
	err := x.Tx.SetString(x.Client.db, key, val, stringEncoding(val), expireAt)
	if err != nil {
		x.Client.DropReplies(at)
		x.storeErr(err)
	}
	return err == nil
}

func cmdMget(x *Ctx) {
	x.Array(len(x.Args) - 1)
	for _, key := range x.Args[1:] {
		if it, ok := x.lookupRead(key); ok && it.Type == kv.TypeString {
			x.bulkRange(key, &it, 0, it.Len())
		} else {
			x.Null()
		}
	}
}

func cmdMset(x *Ctx) {
	if x.setPairs() {
		x.OK()
	}
}

func cmdMsetnx(x *Ctx) {
	if len(x.Args)%2 == 1 {
		for i := 1; i < len(x.Args); i += 2 {
			if _, found := x.lookupWrite(x.Args[i]); found {
				x.Int(0)
				return
			}
		}
	}
	if x.setPairs() {
		x.Int(1)
	}
}

// setPairs sets the keys and values behind the command's name. It returns
// false after an error.
func (x *Ctx) setPairs() bool {
	if len(x.Args)%2 == 0 {
		x.Errf(errArity, x.Spec.Name)
		return false
	}
	at := len(x.Client.Out)
	for i := 1; i < len(x.Args); i += 2 {
		if !x.store(at, x.Args[i], x.Args[i+1], kv.NoExpiry) {
			return false
		}
	}
	return true
}

func cmdStrlen(x *Ctx) {
	it, ok := x.lookupRead(x.Args[1])
	switch {
	case !ok:
		x.Int(0)
	case !x.wrongType(it):
		x.Int(it.Len())
	}
}
