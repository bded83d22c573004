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

func (x *Ctx) parseScan() (o scanOptions, ok bool) {
	o.count = scanDefaultCount
	for i := 2; i < len(x.Args); i += 2 {
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
		case is(word, "type"):
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

// wants tells whether SCAN returns a key. A look at the type counts as a hit,
// as in Redis.
func (o *scanOptions) wants(x *Ctx, key []byte, it kv.Item) bool {
	if o.pattern != nil && !glob.Match(o.pattern, key, false) {
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
	o, ok := x.parseScan()
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
	var buf [64]byte
	head := resp.AppendArray(buf[:0], 2)
	head = resp.AppendBulkString(head, strconv.FormatUint(next, 10))
	x.insert(at, resp.AppendArray(head, n))
}
