package command

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kvd/kv"
)

var debugHelp = helpText("DEBUG",
	"DIGEST", "Return a hex digest of the data set.",
	"DIGEST-VALUE <key> [<key> ...]", "Return the hex digests of the keys' values.",
	"ERROR <text>", "Reply an error with that text.",
	"LOG <text>", "Write a line to the log.",
	"POPULATE <count> [<prefix>] [<size>]", "Create keys prefix:0, prefix:1 … that do not exist yet.",
	"RELOAD [NOSAVE] [NOFLUSH] [MERGE]", "Save, empty and load the data set.",
	"SET-ACTIVE-EXPIRE (0|1)", "Stop or start the removal of expired keys in the background.",
	"SLEEP <seconds>", "Make all clients wait.",
)

// cmdDebug takes the locks of the subcommand itself, unless it runs in a
// transaction, which holds them all.
func cmdDebug(x *Ctx) {
	n := len(x.Args)
	switch sub := x.Args[1]; {
	case is(sub, "help") && n == 2:
		x.Strings(debugHelp)
	case is(sub, "sleep") && n == 3:
		x.withAll(debugSleep)
	case is(sub, "populate") && n >= 3 && n <= 5:
		x.withAll(debugPopulate)
	case is(sub, "reload"):
		debugReload(x)
	case is(sub, "digest") && n == 2:
		x.withAll(func(x *Ctx) {
			d := x.digestAll()
			x.Simple(hex.EncodeToString(d[:]))
		})
	case is(sub, "digest-value"):
		x.withAll(debugDigestValue)
	case is(sub, "set-active-expire") && n == 3:
		x.Store.SetActiveExpire(cInt(x.Args[2]) != 0)
		x.OK()
	case is(sub, "error") && n == 3:
		x.Err(string(x.Args[2]))
	case is(sub, "log") && n == 3:
		x.Log.Warn("DEBUG LOG: " + string(x.Args[2]))
		x.OK()
	default:
		x.Errf(errSubArgs, cText(sub, len(sub)), "DEBUG")
	}
}

func (x *Ctx) withAll(fn func(*Ctx)) {
	if x.InExec {
		fn(x)
		return
	}
	x.Tx.LockAll()
	defer x.Tx.Unlock()
	fn(x)
}

// cInt reads what C's atoi would.
func cInt(b []byte) int {
	n := 0
	fmt.Sscanf(string(b), "%d", &n)
	return n
}

func debugSleep(x *Ctx) {
	var seconds float64
	fmt.Sscanf(string(x.Args[2]), "%g", &seconds)
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	x.OK()
}

// maxPopulateName is the longest name that DEBUG POPULATE gives to a key.
const maxPopulateName = 127

func debugPopulate(x *Ctx) {
	count, ok := x.positive(x.Args[2])
	if !ok {
		return
	}
	prefix := "key"
	if len(x.Args) > 3 {
		prefix = cText(x.Args[3], maxPopulateName)
	}
	size := int64(0)
	if len(x.Args) > 4 {
		if size, ok = x.positive(x.Args[4]); !ok {
			return
		}
	}
	if size > kv.MaxString {
		x.Err(errStringTooLong)
		return
	}
	key := append([]byte(prefix), ':')
	fixed := len(key)
	padded := make([]byte, size)
	var digits []byte
	for i := range count {
		key = strconv.AppendInt(key[:fixed], i, 10)
		name := key[:min(len(key), maxPopulateName)]
		if x.Tx.Exists(x.Client.db, name) {
			continue
		}
		digits = strconv.AppendInt(append(digits[:0], "value:"...), i, 10)
		value := digits
		if size > 0 {
			copy(padded, digits) // the digits never get fewer
			value = padded
		}
		enc := kv.EncRaw
		if len(value) <= kv.MaxEmbstr {
			enc = kv.EncEmbstr
		}
		if err := x.Tx.SetString(x.Client.db, name, value, enc, kv.NoExpiry); err != nil {
			x.storeErr(err)
			return
		}
	}
	x.OK()
}

// positive reads a number that must not be negative, or replies the error.
func (x *Ctx) positive(arg []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(arg), 10, 64)
	if err != nil || n < 0 {
		x.Err(errMustBePositive)
		return 0, false
	}
	return n, true
}

func debugReload(x *Ctx) {
	noSave, noFlush := false, false
	for _, a := range x.Args[2:] {
		switch strings.ToLower(string(a)) {
		case "nosave":
			noSave = true
		case "noflush":
			noFlush = true
		case "merge": // keys of the dump replace existing ones in any case
		default:
			x.Err(errReloadOption)
			return
		}
	}
	if x.InExec {
		x.Errf(errNotInTransactions, "DEBUG RELOAD")
		return
	}
	if err := x.Saver.Reload(noSave, noFlush); err != nil {
		x.Log.Warn("DEBUG RELOAD failed: " + err.Error())
		x.Err(errReload)
		return
	}
	x.OK()
}

func debugDigestValue(x *Ctx) {
	x.Array(len(x.Args) - 2)
	for _, key := range x.Args[2:] {
		d := x.digestKey(key)
		x.Simple(hex.EncodeToString(d[:]))
	}
}
