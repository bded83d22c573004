package command

import (
	"kvd/kv"
	"kvd/kv/resp"
)

const (
	// sharedIntegers: Redis keeps one object for each of the integers below
	// and shares it between all keys that hold one; sharedRefcount is the
	// count that such an object shows.
	sharedIntegers = 10000
	sharedRefcount = 1<<31 - 1
)

func cmdObjectEncoding(x *Ctx) {
	if it, ok := x.peek(x.Args[2]); ok {
		x.BulkString(it.EncodingName())
	} else {
		x.Null()
	}
}

// cmdObjectRefcount answers what Redis would: kvd shares no values.
func cmdObjectRefcount(x *Ctx) {
	it, ok := x.peek(x.Args[2])
	if !ok {
		x.Null()
		return
	}
	if it.Type == kv.TypeString && it.Encoding == kv.EncInt {
		if n, _ := resp.ParseInt(it.Value); n >= 0 && n < sharedIntegers {
			x.Int(sharedRefcount)
			return
		}
	}
	x.Int(1)
}

func cmdObjectIdletime(x *Ctx) {
	if _, ok := x.peek(x.Args[2]); !ok {
		x.Null()
		return
	}
	seconds, _ := x.Tx.Idle(x.Client.db, x.Args[2])
	x.Int(seconds)
}

// cmdObjectFreq refuses: there is no LFU policy yet, and the configuration
// does not accept one.
func cmdObjectFreq(x *Ctx) {
	if _, ok := x.peek(x.Args[2]); !ok {
		x.Null()
		return
	}
	x.Err(errNoLFU)
}

func cmdObjectHelp(x *Ctx) {
	x.Strings([]string{
		"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"ENCODING <key>",
		"    Return the kind of internal representation used in order to store the value",
		"    associated with a <key>.",
		"FREQ <key>",
		"    Return the access frequency index of the <key>. The returned integer is",
		"    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>",
		"    Return the idle time of the <key>, that is the approximated number of",
		"    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>",
		"    Return the number of references of the value associated with the specified",
		"    <key>.",
		"HELP",
		"    Prints this help.",
	})
}
