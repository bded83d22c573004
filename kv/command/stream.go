package command

import (
	"bytes"
	"math"

	"kvd/kv"
	"kvd/kv/resp"
)

// Error texts of the stream group.
const (
	errStreamID        = "ERR Invalid stream ID specified as stream command argument"
	errStreamStart     = "ERR invalid start ID for the interval"
	errStreamEnd       = "ERR invalid end ID for the interval"
	errXaddZero        = "ERR The ID specified in XADD must be greater than 0-0"
	errXaddExhausted   = "ERR The stream has exhausted the last possible ID, unable to add more items"
	errXaddTop         = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	errXaddTooLarge    = "ERR Elements are too large to be stored"
	errTrimBoth        = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible"
	errTrimMaxlen      = "ERR The MAXLEN argument must be >= 0."
	errTrimLimit       = "ERR The LIMIT argument must be >= 0."
	errTrimLimitAlone  = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
	errTrimLimitExact  = "ERR syntax error, LIMIT cannot be used without the special ~ option"
	errTrimNothing     = "ERR syntax error, XTRIM must be called with a trimming strategy"
	errXsetidAdded     = "ERR entries_added must be positive"
	errXsetidDeleted   = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
	errXsetidTop       = "ERR The ID specified in XSETID is smaller than the target stream top item"
	errXsetidLength    = "ERR The entries_added specified in XSETID is smaller than the target stream length"
	errXreadUnbalanced = "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
	errXreadOption     = "ERR The %s option is only supported by XREADGROUP. You called XREAD instead."
	errXreadGroup      = "ERR Missing GROUP option for XREADGROUP"
	errXreadNew        = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
	errXreadLast       = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer " +
		"by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."
	errXreadNoGroup  = "NOGROUP No such key '%s' or consumer group '%s' in XREADGROUP with GROUP option"
	errXreadGone     = "NOGROUP the consumer group this client was blocked on no longer exists"
	errNoGroup       = "NOGROUP No such key '%s' or consumer group '%s'"
	errNoGroupForKey = "NOGROUP No such consumer group '%s' for key name '%s'"
	errBusyGroup     = "BUSYGROUP Consumer Group name already exists"
	errXgroupNoKey   = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM " +
		"option to create an empty stream automatically."
	errXgroupRead    = "ERR value for ENTRIESREAD must be positive or -1"
	errXclaimMinIdle = "ERR Invalid min-idle-time argument for %s"
	errXclaimValue   = "ERR Invalid %s option argument for XCLAIM"
	errXclaimOption  = "ERR Unrecognized XCLAIM option '%s'"
	errXclaimCount   = "ERR COUNT must be > 0"
)

// openStream opens the stream at key for a command that changes it. ok is false after an error.
func (x *Ctx) openStream(s *kv.Stream, key []byte) (ok bool) {
	return x.opened(x.Tx.OpenStream(s, x.Client.db, key))
}

// readStream is openStream for a command that reads, which counts a hit or a miss.
func (x *Ctx) readStream(s *kv.Stream, key []byte) (ok bool) {
	err := x.lookupStream(s, key)
	if err != nil {
		x.storeErr(err)
	}
	return err == nil
}

// lookupStream is readStream without a reply.
func (x *Ctx) lookupStream(s *kv.Stream, key []byte) error {
	err := x.Tx.OpenStream(s, x.Client.db, key)
	if err != nil || s.Exists() {
		x.hit()
	} else {
		x.miss()
	}
	return err
}

// saveStream ends the changes of a command that has written its reply from mark on, whose
// last change may have failed: then the reply is the error. It returns whether it did not.
func (x *Ctx) saveStream(s *kv.Stream, changes int64, mark int, err error) bool {
	if failed := s.Save(changes); err == nil {
		err = failed
	}
	if err != nil {
		x.Client.Out = x.Client.Out[:mark]
		x.streamErr(err)
	}
	return err == nil
}

func (x *Ctx) streamErr(err error) {
	if err == kv.ErrStreamEntry {
		x.Err(errXaddTooLarge)
		return
	}
	x.storeErr(err)
}

// streamID replies an ID.
func (x *Ctx) streamID(id kv.StreamID) {
	var buf [48]byte
	x.Bulk(id.Append(buf[:0]))
}

// streamIDForm says which forms of an ID an argument may have.
type streamIDForm uint8

const (
	plainID streamIDForm = iota // ms-seq, or ms
	anyID                       // - and + as well
	newID                       // ms-* as well
)

// parseStreamID reads an ID whose sequence number, if it has none, is missing. auto tells
// that it was *.
func parseStreamID(arg []byte, form streamIDForm, missing uint64) (id kv.StreamID, auto, ok bool) {
	const longest = 127
	if len(arg) > longest {
		return id, false, false
	}
	arg = option(arg)
	switch {
	case string(arg) == "-":
		return id, false, form == anyID
	case string(arg) == "+":
		return kv.MaxStreamID, false, form == anyID
	}
	ms, seq, both := bytes.Cut(arg, []byte{'-'})
	if id.Ms, ok = parseUnsigned(ms); !ok {
		return id, false, false
	}
	switch {
	case !both:
		id.Seq = missing
	case form == newID && string(seq) == "*":
		auto = true
	default:
		id.Seq, ok = parseUnsigned(seq)
	}
	return id, auto, ok
}

// parseUnsigned reads a number as Redis' string2ull does: what is no canonical integer is left
// to C's strtoull, which takes spaces, a sign and zeros in front of it.
func parseUnsigned(b []byte) (uint64, bool) {
	if n, ok := resp.ParseInt(b); ok {
		return uint64(n), n >= 0
	}
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	n := uint64(0)
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			return 0, false
		}
		n = n*10 + d
	}
	if negative {
		n = -n
	}
	return n, len(b) > 0
}

// strictID reads an ID or replies the error.
func (x *Ctx) strictID(arg []byte) (kv.StreamID, bool) {
	id, _, ok := parseStreamID(arg, plainID, 0)
	if !ok {
		x.Err(errStreamID)
	}
	return id, ok
}

// strictIDs reads IDs or replies the error.
func (x *Ctx) strictIDs(args [][]byte) ([]kv.StreamID, bool) {
	ids := make([]kv.StreamID, len(args))
	for i, a := range args {
		var ok bool
		if ids[i], ok = x.strictID(a); !ok {
			return nil, false
		}
	}
	return ids, true
}

// rangeStart reads the first ID of a range; with ( in front of it the range begins behind it.
func (x *Ctx) rangeStart(arg []byte) (id kv.StreamID, ok bool) {
	if len(arg) < 2 || arg[0] != '(' {
		return x.rangeID(arg, anyID, 0)
	}
	if id, ok = x.rangeID(arg[1:], plainID, 0); !ok {
		return id, false
	}
	if id, ok = id.Next(); !ok {
		x.Err(errStreamStart)
	}
	return id, ok
}

// rangeEnd reads the last ID of a range.
func (x *Ctx) rangeEnd(arg []byte) (id kv.StreamID, ok bool) {
	if len(arg) < 2 || arg[0] != '(' {
		return x.rangeID(arg, anyID, math.MaxUint64)
	}
	if id, ok = x.rangeID(arg[1:], plainID, math.MaxUint64); !ok {
		return id, false
	}
	if id, ok = id.Prev(); !ok {
		x.Err(errStreamEnd)
	}
	return id, ok
}

func (x *Ctx) rangeID(arg []byte, form streamIDForm, missing uint64) (kv.StreamID, bool) {
	id, _, ok := parseStreamID(arg, form, missing)
	if !ok {
		x.Err(errStreamID)
	}
	return id, ok
}

func cmdXlen(x *Ctx) {
	var s kv.Stream
	if x.readStream(&s, x.Args[1]) {
		x.Int(s.Length)
	}
}

func cmdXdel(x *Ctx) {
	var s kv.Stream
	if !x.openStream(&s, x.Args[1]) {
		return
	}
	if !s.Exists() {
		x.Int(0)
		return
	}
	ids, ok := x.strictIDs(x.Args[2:])
	if !ok {
		return
	}
	n, err := s.Remove(ids)
	mark := len(x.Client.Out)
	x.Int(n)
	if n > 0 || err != nil {
		x.saveStream(&s, n, mark, err)
	}
}

// xsetidOptions are those of XSETID.
type xsetidOptions struct {
	added      int64 // -1: not given
	maxDeleted kv.StreamID
}

func (x *Ctx) parseXsetid(id kv.StreamID) (o xsetidOptions, ok bool) {
	o.added = -1
	for i := 3; i < len(x.Args); i += 2 {
		arg := option(x.Args[i])
		switch more := i+1 < len(x.Args); {
		case more && is(arg, "entriesadded"):
			if o.added, ok = x.parseInt(x.Args[i+1]); !ok {
				return o, false
			}
			if o.added < 0 {
				x.Err(errXsetidAdded)
				return o, false
			}
		case more && is(arg, "maxdeletedid"):
			if o.maxDeleted, ok = x.strictID(x.Args[i+1]); !ok {
				return o, false
			}
			if id.Compare(o.maxDeleted) < 0 {
				x.Err(errXsetidDeleted)
				return o, false
			}
		default:
			x.Err(errSyntax)
			return o, false
		}
	}
	return o, true
}

func cmdXsetid(x *Ctx) {
	id, ok := x.strictID(x.Args[2])
	if !ok {
		return
	}
	o, ok := x.parseXsetid(id)
	if !ok {
		return
	}
	var s kv.Stream
	if !x.openStream(&s, x.Args[1]) {
		return
	}
	if !s.Exists() {
		x.Err(errNoSuchKey)
		return
	}
	if top, ok := s.Top(); ok {
		if id.Compare(top) < 0 {
			x.Err(errXsetidTop)
			return
		}
		if o.added != -1 && s.Length > o.added {
			x.Err(errXsetidLength)
			return
		}
	}
	s.Last = id
	if o.added != -1 {
		s.Added = uint64(o.added)
	}
	if o.maxDeleted != (kv.StreamID{}) {
		s.MaxDeleted = o.maxDeleted
	}
	mark := len(x.Client.Out)
	x.OK()
	x.saveStream(&s, 1, mark, nil)
}
