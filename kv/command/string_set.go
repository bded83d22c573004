package command

import (
	"bytes"
	"math"

	"kvd/kv"
)

// setOptions are the options that SET and GETEX understand.
type setOptions uint16

const (
	setNX setOptions = 1 << iota
	setXX
	setGet
	setKeepTTL
	setPersist
	setEX
	setPX
	setEXAT
	setPXAT
	setIFEQ

	setSeconds  = setEX | setEXAT
	setRelative = setEX | setPX
	// setAnyExpiry: at most one of these (given twice, the last one counts).
	setAnyExpiry = setKeepTTL | setPersist | setEX | setPX | setEXAT | setPXAT
)

// setKeyword is an option's keyword: which one it is, which others it does
// not stand with, and whether a time, or what to compare with, follows.
type setKeyword struct {
	word    string
	option  setOptions
	exclude setOptions
	value   bool
}

var setKeywords = []setKeyword{
	{"nx", setNX, setXX | setIFEQ, false},
	{"xx", setXX, setNX | setIFEQ, false},
	{"get", setGet, 0, false},
	{"keepttl", setKeepTTL, setAnyExpiry &^ setKeepTTL, false},
	{"ex", setEX, setAnyExpiry &^ setEX, true},
	{"px", setPX, setAnyExpiry &^ setPX, true},
	{"exat", setEXAT, setAnyExpiry &^ setEXAT, true},
	{"pxat", setPXAT, setAnyExpiry &^ setPXAT, true},
	{"ifeq", setIFEQ, setNX | setXX | setIFEQ, true},
}

var getexKeywords = append([]setKeyword{
	{"persist", setPersist, setAnyExpiry &^ setPersist, false},
}, setKeywords[4:8]...)

// parseSetOptions reads the options args[i:]; time is the argument of the
// last option that has one, compare that of IFEQ. ok is false after a syntax error.
func (x *Ctx) parseSetOptions(i int, words []setKeyword) (o setOptions, time, compare []byte, ok bool) {
next:
	for ; i < len(x.Args); i++ {
		arg := option(x.Args[i])
		for k := range words {
			w := &words[k]
			if !is(arg, w.word) || o&w.exclude != 0 || w.value && i+1 == len(x.Args) {
				continue
			}
			o |= w.option
			switch {
			case w.option == setIFEQ:
				i++
				compare = x.Args[i]
			case w.value:
				i++
				time = x.Args[i]
			}
			continue next
		}
		x.Err(errSyntax)
		return 0, nil, nil, false
	}
	return o, time, compare, true
}

// expiryAt returns the Unix time in milliseconds that a time argument of
// option o means. ok is false after an error.
func (x *Ctx) expiryAt(arg []byte, o setOptions) (at int64, ok bool) {
	n, ok := x.parseInt(arg)
	if !ok {
		return 0, false
	}
	valid := n > 0
	if o&setSeconds != 0 {
		valid = valid && n <= math.MaxInt64/1000
		n *= 1000
	}
	if o&setRelative != 0 {
		n += x.Tx.Now()
	}
	if !valid || n <= 0 {
		x.Errf(errInvalidExpire, x.Spec.Name)
		return 0, false
	}
	return n, true
}

func cmdSet(x *Ctx) {
	if len(x.Args) == 3 {
		if err := x.Tx.SetString(x.Client.db, x.Args[1], x.Args[2], stringEncoding(x.Args[2]), kv.NoExpiry); err != nil {
			x.storeErr(err)
			return
		}
		x.OK()
		return
	}
	o, time, compare, ok := x.parseSetOptions(3, setKeywords)
	if !ok {
		return
	}
	at := kv.NoExpiry
	if time != nil {
		if at, ok = x.expiryAt(time, o); !ok {
			return
		}
	} else if o&setKeepTTL != 0 {
		at = kv.KeepExpiry
	}
	start := len(x.Client.Out)
	if o&setGet != 0 && !x.replyString(x.Args[1]) {
		return
	}
	if o&(setNX|setXX|setIFEQ) != 0 {
		it, found := x.lookupWrite(x.Args[1])
		met := found != (o&setNX != 0)
		if met && o&setIFEQ != 0 {
			if x.wrongType(it) {
				return
			}
			met = stringIs(&it, compare)
		}
		if !met {
			if o&setGet == 0 {
				x.Null()
			}
			return
		}
	}
	if x.store(start, x.Args[1], x.Args[2], at) && o&setGet == 0 {
		x.OK()
	}
}

// stringIs tells whether a string is text.
func stringIs(it *kv.Item, text []byte) bool {
	if it.Len() != int64(len(text)) {
		return false
	}
	for p := it.Pieces(0, it.Len()); p.Next(); {
		if !bytes.HasPrefix(text, p.Bytes) {
			return false
		}
		text = text[len(p.Bytes):]
	}
	return true
}

func cmdDelifeq(x *Ctx) {
	it, found := x.lookupWrite(x.Args[1])
	switch {
	case !found:
		x.Int(0)
	case !x.wrongType(it):
		x.Bool01(stringIs(&it, x.Args[2]) && x.Tx.Delete(x.Client.db, x.Args[1]))
	}
}

func cmdSetnx(x *Ctx) {
	if _, found := x.lookupWrite(x.Args[1]); found {
		x.Int(0)
		return
	}
	if x.store(len(x.Client.Out), x.Args[1], x.Args[2], kv.NoExpiry) {
		x.Int(1)
	}
}

func cmdSetex(x *Ctx)  { x.setFor(setEX) }
func cmdPsetex(x *Ctx) { x.setFor(setPX) }

// setFor is SETEX and PSETEX: the time stands in front of the value.
func (x *Ctx) setFor(o setOptions) {
	at, ok := x.expiryAt(x.Args[2], o)
	if ok && x.store(len(x.Client.Out), x.Args[1], x.Args[3], at) {
		x.OK()
	}
}

func cmdGetex(x *Ctx) {
	o, time, _, ok := x.parseSetOptions(2, getexKeywords)
	if !ok {
		return
	}
	key := x.Args[1]
	it, found := x.lookupRead(key)
	if !found {
		x.Null()
		return
	}
	if x.wrongType(it) {
		return
	}
	at := kv.NoExpiry
	if time != nil {
		if at, ok = x.expiryAt(time, o); !ok {
			return
		}
	}
	start, done := len(x.Client.Out), true
	x.bulkRange(key, &it, 0, it.Len())
	switch {
	case time != nil && at <= x.Tx.Now():
		x.Tx.Delete(x.Client.db, key)
	case time != nil || o&setPersist != 0 && it.ExpireAt != kv.NoExpiry:
		done = x.Tx.SetExpire(x.Client.db, key, at)
	}
	if !done {
		x.Client.DropReplies(start)
		x.storeErr(kv.ErrNoMemory)
	}
}
