package command

import (
	"math"
	"math/big"

	"kvd/kv"
	"kvd/kv/resp"
)

// Commands that wait for data (BLPOP, XREAD BLOCK …).
//
// A handler that finds nothing calls Ctx.block, which parks its client: the client
// becomes a waiter in the queues of its keys, its loop goes on with others. Whoever
// makes one of the keys ready runs the waiter's handler on its behalf, under the locks
// that it holds anyhow, and hands the reply to the client's loop. So what a handler
// that may block must do is this:
//
//	for _, key := range keys {
//		if !x.awaits(key) {
//			continue // run again for another key
//		}
//		… found something: reply and return
//	}
//	x.block(blocking{typ: kv.TypeList, keys: keys, timeout: timeout})
//
// and whoever writes to keys need do nothing: the dispatcher takes the keys of every
// command that writes for ready. Two kinds call keyReady themselves: commands of the
// stream group (most of them bring nothing for XREAD), for the stream that has got
// entries or lost a group, and those that write to another database than the client's.

// Error texts of blocking commands.
const (
	errTimeoutFloat    = "ERR timeout is not a float or out of range"
	errUnblocked       = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
	errUnblockedStream = "UNBLOCKED the stream key no longer exists"
)

// blockTimeout is how long a client waits, in milliseconds; 0 is for ever.
type blockTimeout int64

// timeoutUnit is that of a timeout as an argument.
type timeoutUnit uint8

const (
	inSeconds timeoutUnit = iota // with fractions
	inMillis                     // an integer
)

// blocking says what a client waits for. Slices are copied.
type blocking struct {
	typ     kv.Type // that a value must have to be of interest
	timeout blockTimeout
	keys    [][]byte // any of them
	also    [][]byte // more keys that the handler uses when there is something
	// args are what the handler is run with later; nil means x.Args. XREAD has its $
	// replaced by what they stand for when it begins to wait.
	args [][]byte
	// gone says that the client waits for a group of a stream: it gets an error when the
	// key is deleted or gets a value of another type.
	gone bool
	// null replies null inside EXEC, not a null array.
	null bool
}

// parseTimeout reads a timeout or replies the error.
func (x *Ctx) parseTimeout(arg []byte, unit timeoutUnit) (blockTimeout, bool) {
	var ms int64
	if unit == inMillis {
		n, ok := resp.ParseInt(arg)
		if !ok {
			x.Err(errTimeoutInteger)
			return 0, false
		}
		ms = n
	} else {
		n, ok := secondsToMillis(arg)
		if !ok {
			x.Err(errTimeoutFloat)
			return 0, false
		}
		ms = n
	}
	if ms < 0 {
		x.Err(errTimeoutNegative)
		return 0, false
	}
	return blockTimeout(ms), true
}

// secondsToMillis rounds up. What an int64 cannot hold is negative, as for C.
func secondsToMillis(arg []byte) (ms int64, ok bool) {
	if n, ok := resp.ParseInt(arg); ok && n > -1e15 && n < 1e15 {
		return n * 1000, true
	}
	seconds, ok := resp.ParseLongDouble(arg)
	if !ok {
		return 0, false
	}
	if seconds.IsInf() {
		return math.MinInt64, true
	}
	f := seconds.Big()
	ms, accuracy := f.Mul(f, big.NewFloat(1000)).Int64()
	switch {
	case ms == math.MaxInt64 && accuracy == big.Below, ms == math.MinInt64:
		return math.MinInt64, true
	case accuracy == big.Below:
		ms++
	}
	return ms, true
}

// awaits tells whether a handler shall look at a key: always, but when it is run again
// for a client that was blocked; then only at the key that has become ready.
func (x *Ctx) awaits(key []byte) bool { return x.serving == nil || string(key) == x.serving.key }

// served tells whether the handler is run again for a client that was blocked.
func (x *Ctx) served() bool { return x.serving != nil }

// block makes the client wait. The handler returns right behind it, without a reply.
// Inside EXEC nobody waits: the reply is that of a timeout. The keys' locks must be held.
func (x *Ctx) block(b blocking) {
	switch {
	case x.serving != nil:
		x.unserved = true
	case x.InExec && b.null:
		x.Null()
	case x.InExec:
		x.NullArray()
	default:
		x.park(&b)
	}
}
