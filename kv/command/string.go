package command

import (
	"bytes"

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
	x.Client.Out = resp.AppendBulk(x.Client.Out, val)
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
		x.Client.Out = x.Client.Out[:at]
		x.storeErr(err)
	}
	return err == nil
}

func cmdMget(x *Ctx) {
	x.Array(len(x.Args) - 1)
	for _, key := range x.Args[1:] {
		if it, ok := x.lookupRead(key); ok && it.Type == kv.TypeString {
			x.Client.Out = resp.AppendBulk(x.Client.Out, it.Value)
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
		x.Int(int64(len(it.Value)))
	}
}
