package command

import (
	"strconv"

	"kvd/kv"
	"kvd/kv/internal/glob"
	"kvd/kv/resp"
)

// scanDefaultCount is SCAN's COUNT where none is given.
const scanDefaultCount = 10

// maxScanCount bounds what one call of SCAN asks the store for; no data set
// has more keys.
const maxScanCount = 1 << 40

type scanOptions struct {
	pattern  []byte // nil: every key
	typeName []byte // nil: every type
	count    int
}

// parseCursor reads a cursor as C's strtoul does, which Redis uses: a sign is
// taken, minus wraps around, and nothing at all is 0.
func parseCursor(arg []byte) (cursor uint64, ok bool) {
	arg = option(arg)
	digits, negative := arg, false
	if len(arg) > 1 && (arg[0] == '-' || arg[0] == '+') {
		digits, negative = arg[1:], arg[0] == '-'
	}
	if len(arg) == 0 {
		return 0, true
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	cursor, err := strconv.ParseUint(string(digits), 10, 64)
	if negative {
		cursor = -cursor
	}
	return cursor, err == nil
}

// parseScan reads the options from argument i on. typed allows TYPE.
func (x *Ctx) parseScan(i int, typed bool) (o scanOptions, ok bool) {
	o.count = scanDefaultCount
	for ; i < len(x.Args); i += 2 {
		word := option(x.Args[i])
		if i+1 == len(x.Args) {
			x.Err(errSyntax)
			return o, false
		}
		value := x.Args[i+1]
		switch {
		case is(word, "count"):
			n, ok := x.parseInt(value)
			if !ok {
				return o, false
			}
			if n < 1 {
				x.Err(errSyntax)
				return o, false
			}
			o.count = int(min(n, maxScanCount))
		case is(word, "match"):
			o.pattern = value
			if string(value) == "*" {
				o.pattern = nil
			}
		case typed && is(word, "type"):
			o.typeName = option(value)
			if o.typeName == nil {
				o.typeName = []byte{}
			}
		default:
			x.Err(errSyntax)
			return o, false
		}
	}
	return o, true
}

// matches tells whether MATCH lets a name through.
func (o *scanOptions) matches(name []byte) bool {
	return o.pattern == nil || glob.Match(o.pattern, name, false)
}

// wants tells whether SCAN returns a key. A look at the type counts as a hit,
// as in Redis.
func (o *scanOptions) wants(x *Ctx, key []byte, it kv.Item) bool {
	if !o.matches(key) {
		return false
	}
	if o.typeName == nil {
		return true
	}
	x.hit()
	return is(o.typeName, it.Type.String())
}

func cmdScan(x *Ctx) {
	cursor, ok := parseCursor(x.Args[1])
	if !ok {
		x.Err(errCursor)
		return
	}
	o, ok := x.parseScan(2, true)
	if !ok {
		return
	}
	at, n := len(x.Client.Out), 0
	next := x.Tx.Scan(x.Client.db, cursor, o.count, func(key []byte, it kv.Item) {
		if o.wants(x, key, it) {
			x.Client.Out = resp.AppendBulk(x.Client.Out, key)
			n++
		}
	})
	x.scanReply(at, next, n)
}

// scanKey begins HSCAN, SSCAN and ZSCAN: the cursor, the key and its type, and only
// then the options, as in Redis. If ok is false the reply has been made.
func (x *Ctx) scanKey(typ kv.Type) (cursor uint64, o scanOptions, ok bool) {
	if cursor, ok = parseCursor(x.Args[2]); !ok {
		x.Err(errCursor)
		return 0, o, false
	}
	it, found := x.lookupRead(x.Args[1])
	switch {
	case !found:
		x.scanReply(len(x.Client.Out), 0, 0)
		return 0, o, false
	case it.Type != typ:
		x.Err(errWrongType)
		return 0, o, false
	}
	o, ok = x.parseScan(3, false)
	return cursor, o, ok
}

// scanReply ends a reply whose n elements have been written from at on: it puts the cursor in
// front of them.
func (x *Ctx) scanReply(at int, next uint64, n int) {
	var buf [64]byte
	head := resp.AppendArray(buf[:0], 2)
	head = resp.AppendBulkString(head, strconv.FormatUint(next, 10))
	x.insert(at, resp.AppendArray(head, n))
}
