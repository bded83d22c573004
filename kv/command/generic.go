package command

import (
	"bytes"
	"math"

	"kvd/kv"
	"kvd/kv/internal/glob"
	"kvd/kv/resp"
)

func cmdDel(x *Ctx) {
	var n int64
	for _, key := range x.Args[1:] {
		if x.Tx.Delete(x.Client.db, key) {
			n++
		}
	}
	x.Int(n)
}

// cmdUnlink is DEL: the store gives memory back in small steps, or in the background, in any case.
func cmdUnlink(x *Ctx) { cmdDel(x) }

// peek looks at a key for reading without touching its access clock, and
// counts a hit or a miss.
func (x *Ctx) peek(key []byte) (kv.Item, bool) {
	it, ok := x.Tx.Peek(x.Client.db, key)
	if ok {
		x.hit()
	} else {
		x.miss()
	}
	return it, ok
}

func cmdExists(x *Ctx) {
	var n int64
	for _, key := range x.Args[1:] {
		if _, ok := x.peek(key); ok {
			n++
		}
	}
	x.Int(n)
}

func cmdTouch(x *Ctx) {
	var n int64
	for _, key := range x.Args[1:] {
		if _, ok := x.lookupRead(key); ok {
			n++
		}
	}
	x.Int(n)
}

func cmdType(x *Ctx) {
	it, _ := x.peek(x.Args[1])
	x.Simple(it.Type.String())
}

func cmdRename(x *Ctx) {
	if done, ok := x.rename(false); done && ok {
		x.OK()
	}
}

func cmdRenamenx(x *Ctx) {
	if done, ok := x.rename(true); ok {
		x.Bool01(done)
	}
}

// rename is RENAME and RENAMENX. ok is false after an error, done tells
// whether the key has its new name now by this call; without nx equal names
// count as done.
func (x *Ctx) rename(nx bool) (done, ok bool) {
	db, from, to := x.Client.db, x.Args[1], x.Args[2]
	if _, found := x.lookupWrite(from); !found {
		x.Err(errNoSuchKey)
		return false, false
	}
	if bytes.Equal(from, to) {
		return !nx, true
	}
	if nx {
		if _, found := x.lookupWrite(to); found {
			return false, true
		}
	}
	if err := x.Tx.Move(db, from, db, to); err != nil {
		x.storeErr(err)
		return false, false
	}
	return true, true
}

// parseDB reads a database index. ok is false after an error.
func (x *Ctx) parseDB(arg []byte) (db int, ok bool) {
	n, ok := x.parseInt(arg)
	if !ok {
		return 0, false
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		x.Errf(errIntRange, math.MinInt32, math.MaxInt32)
		return 0, false
	}
	if n < 0 || int(n) >= x.Store.Databases() {
		x.Err(errDBRange)
		return 0, false
	}
	return int(n), true
}

func cmdMove(x *Ctx) {
	key, from := x.Args[1], x.Client.db
	to, ok := x.parseDB(x.Args[2])
	if !ok {
		return
	}
	if from == to {
		x.Err(errSameObject)
		return
	}
	if _, found := x.lookupWrite(key); !found {
		x.Int(0)
		return
	}
	if _, found := x.Tx.Get(to, key); found {
		x.Int(0)
		return
	}
	if err := x.Tx.Move(from, key, to, key); err != nil {
		x.storeErr(err)
		return
	}
	x.keyReady(to, key)
	x.Int(1)
}

func cmdCopy(x *Ctx) {
	from, to, replace := x.Args[1], x.Args[2], false
	db := x.Client.db
	for i := 3; i < len(x.Args); i++ {
		switch arg := option(x.Args[i]); {
		case is(arg, "replace"):
			replace = true
		case is(arg, "db") && i+1 < len(x.Args):
			i++
			var ok bool
			if db, ok = x.parseDB(x.Args[i]); !ok {
				return
			}
		default:
			x.Err(errSyntax)
			return
		}
	}
	if db == x.Client.db && bytes.Equal(from, to) {
		x.Err(errSameObject)
		return
	}
	if _, found := x.lookupRead(from); !found {
		x.Int(0)
		return
	}
	if _, found := x.Tx.Get(db, to); found && !replace {
		x.Int(0)
		return
	}
	if err := x.Tx.Copy(x.Client.db, from, db, to); err != nil {
		x.storeErr(err)
		return
	}
	x.keyReady(db, to)
	x.Int(1)
}

// keysBatch is how many keys KEYS asks the store for in one step.
const keysBatch = 1 << 16

func cmdKeys(x *Ctx) {
	pattern, all := x.Args[1], string(x.Args[1]) == "*"
	at, n := len(x.Client.Out), 0
	for cursor := uint64(0); ; {
		cursor = x.Tx.Scan(x.Client.db, cursor, keysBatch, func(key []byte, _ kv.Item) {
			if all || glob.Match(pattern, key, false) {
				x.Client.Out = resp.AppendBulk(x.Client.Out, key)
				n++
			}
		})
		if cursor == 0 {
			break
		}
	}
	var head [24]byte
	x.insert(at, resp.AppendArray(head[:0], n))
}

func cmdRandomkey(x *Ctx) {
	key, ok := x.Tx.RandomKey(x.Client.db, x.Scratch[:0])
	if !ok {
		x.Null()
		return
	}
	x.Scratch = key
	x.Bulk(key)
}
