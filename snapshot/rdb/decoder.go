package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"
)

// Kind is what an [Event] is about.
type Kind uint8

// The kinds of events, with the fields of [Event] that each sets besides DB.
const (
	KindAux      Kind = iota + 1 // Key, Value
	KindSelectDB                 // nothing else
	KindResizeDB                 // Keys, Expires: hints; do not reserve memory by them unchecked
	KindKey                      // Type, Form, Key, Value, More, Empty, ExpireAtMs, Idle, Freq
	KindMore                     // Type, Form, Key, Value, More, Empty: the value of the key before goes on
	KindEOF                      // the checksum was right; nothing else
	KindOther                    // Type, which is the opcode: passed over for DecoderOptions.AllTypes
)

// Event is one step of a file. The caller owns it and passes it to each call of Next.
type Event struct {
	Kind Kind
	Type Type
	Form Form // how Value holds the value; FormNone if it was passed over
	// More says that the value goes on in the next event. Empty says that the whole value has no element:
	// Redis passes over such keys.
	More, Empty bool
	// HasIdle and HasFreq say whether Idle and Freq were in the file.
	HasIdle, HasFreq bool
	Freq             uint8  // LFU: logarithmic access counter
	DB               int    // the database selected, 0 at first
	Idle             uint64 // LRU: seconds since the last use
	ExpireAtMs       int64  // Unix time in milliseconds, 0 for none, at least 1 otherwise
	Keys, Expires    uint64
	// Start is the offset of the event's first byte; that of a key's expiry, idle time or frequency, if it has one.
	Start int64
	// Elements is how many elements of a collection the value has had up to here; for streams it means nothing.
	Elements uint64
	// ValueLen is the length of a string in bytes, also where it is passed over. For other types it is what the
	// value, or its first piece, takes in the file.
	ValueLen int64
	// Key and Value are borrowed: valid until the next call of Next, and not to be changed.
	Key, Value []byte
}

// DecoderOptions say how to read; the zero value is good.
type DecoderOptions struct {
	SkipChecksum bool  // do not compare the checksum, nor compute it
	MaxString    int64 // longest key or value in bytes; 0 means 512 MiB
	BufferSize   int   // bytes; 0 means 256 KiB; at least 4 KiB is taken
	// Values says what becomes of the values of keys.
	Values Values
	// AllTypes passes over what is refused otherwise: values of modules, their other data, and function
	// libraries.
	AllTypes bool
	// Unique makes it an error if a collection in several pieces has an element twice, as it is anyway
	// for one in a block. It takes some 50 bytes for each element of the largest such collection.
	Unique bool
}

// Values says what becomes of the values of keys.
type Values uint8

// What becomes of values. Strings passed over are neither copied nor held in memory.
const (
	KeepValues  Values = iota // Event has them, big collections in pieces
	CheckValues               // passed over; all is checked that KeepValues would find wrong
	PassValues                // passed over; their lengths are checked and nothing else
)

const (
	defaultMaxString  = 512 << 20
	defaultReadBuffer = 256 << 10
	minReadBuffer     = 4 << 10
	// growStep is how much memory for a long string is taken before its first bytes have come.
	growStep = 1 << 20
	// keepBuffer is the largest side buffer that is kept from one key to the next, in bytes.
	keepBuffer = 4 << 20
)

// Decoder reads an RDB file as a stream of events. It is for one goroutine. After an error it
// returns the same error for ever.
type Decoder struct {
	r    io.Reader
	buf  []byte
	pos  int // next byte to parse
	end  int // end of what was read
	mark int // what must stay in buf: the start of the current event

	base     int64 // offset in the input of buf[0]
	crc      uint64
	crcPos   int // buf[:crcPos] is in crc
	checksum bool

	err       error // sticky; io.EOF after KindEOF
	readErr   error // of r, once all that came before it is parsed
	maxString int64
	version   int
	db        int

	key, value field
	elem       field // of a collection
	val        value
	piece      []byte
	lent       bool // piece is of SwapValue
	seen       distinct
	unique     bool
	seeds      [2]maphash.Seed

	values   Values
	allTypes bool
	dump     bool // the input is a payload, all of it in buf
	place    place

	chunks   Chunks // instead of r; see NewChunkDecoder
	chunkCRC uint64 // of the chunk in buf, of which crc has nothing yet
	chunkLen int64  // in bytes
	tail     []byte // see fillFromChunks
	stored   uint64 // the checksum in the file
}

// field is a string being read. While the event is being assembled buf may move, so that a string
// inside it is a distance from mark.
type field struct {
	inBuf    bool
	off, len int    // relative to mark, if inBuf
	side     []byte // otherwise
}

// NewDecoder returns a decoder of what r holds. It reads ahead.
func NewDecoder(r io.Reader, opts DecoderOptions) *Decoder {
	if opts.BufferSize == 0 {
		opts.BufferSize = defaultReadBuffer
	}
	d := newDecoder(opts)
	d.r, d.buf = r, make([]byte, max(opts.BufferSize, minReadBuffer))
	return d
}

// newDecoder returns a decoder without an input.
func newDecoder(opts DecoderOptions) *Decoder {
	if opts.MaxString <= 0 {
		opts.MaxString = defaultMaxString
	}
	return &Decoder{
		checksum:  !opts.SkipChecksum,
		maxString: opts.MaxString,
		values:    opts.Values,
		allTypes:  opts.AllTypes,
		unique:    opts.Unique,
		seeds:     [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
}

// Resume makes d read r, which holds what stands at offset of a file of the given version, with database
// db selected, whatever it has read and found before. It does not compare the checksum.
func (d *Decoder) Resume(r io.Reader, version, db int, offset int64) {
	d.r, d.version, d.db, d.base, d.checksum = r, version, db, offset, false
	d.pos, d.end, d.mark, d.crcPos = 0, 0, 0, 0
	d.err, d.readErr = nil, nil
	d.val.open = false
}

// Version returns the RDB version in the header; 0 before the first Next.
func (d *Decoder) Version() int { return d.version }

// StoredChecksum returns the checksum in the file, after KindEOF or an ErrChecksum. ok is false if the
// file has none, by its version or since it was off when it was written.
func (d *Decoder) StoredChecksum() (sum uint64, ok bool) { return d.stored, d.stored != 0 }

// Offset returns how many bytes of the input have been parsed: after KindEOF the size of the file.
func (d *Decoder) Offset() int64 { return d.base + int64(d.pos) }

// Next reads up to the next event. After KindEOF it returns io.EOF. Other errors are a
// [*FormatError], which wraps [ErrFormat] or the error of the reader, or an [*UnsupportedError].
func (d *Decoder) Next(ev *Event) error {
	if d.err == nil {
		d.err = d.next(ev)
	}
	if d.err != nil {
		return d.err
	}
	if ev.Kind == KindEOF {
		d.err = io.EOF
	}
	return nil
}

func (d *Decoder) next(ev *Event) error {
	if d.dump {
		return d.nextOfDump(ev)
	}
	if d.version == 0 {
		if err := d.header(); err != nil {
			return err
		}
	}
	if d.val.open {
		return d.morePieces(ev)
	}
	*ev = Event{DB: d.db, Start: d.Offset()}
	d.place = place{start: ev.Start}
	d.key.clear()
	d.value.clear()
	for {
		d.place.doing = doingType
		d.mark = d.pos // the opcodes in front of a key are in ev already
		if d.pos == d.end {
			if err := d.need(1); err != nil {
				return err
			}
		}
		op := d.buf[d.pos]
		if op < OpSlotImport {
			d.place.typ, d.place.hasType = Type(op), true
			if op == byte(TypeString) {
				d.pos++
				return d.stringKey(ev)
			}
			if err := d.readable(Type(op)); err != nil {
				return err
			}
			d.pos++
			if d.values != KeepValues || Type(op) == TypeModule2 {
				return d.passKey(ev, Type(op))
			}
			return d.collectionKey(ev, Type(op))
		}
		done, err := d.opcode(op, ev)
		if done || err != nil {
			return err
		}
	}
}

func (d *Decoder) header() error {
	if err := d.need(headerSize); err != nil {
		return err
	}
	p := d.buf[d.pos : d.pos+headerSize]
	version, ok := ReadHeader(p)
	if !ok && version == 0 {
		return d.fail(0, fmt.Sprintf("not an RDB file: it starts with %q", p))
	}
	if !ok || !SupportedVersion(version) {
		return d.fail(0, fmt.Sprintf("cannot read RDB version %d", version))
	}
	d.pos += headerSize
	d.version = version
	d.checksum = d.checksum && version >= checksumVersion
	return nil
}

// opcode reads an opcode with its operands. done means that ev is complete.
func (d *Decoder) opcode(op byte, ev *Event) (done bool, err error) {
	start := d.Offset()
	d.pos++
	switch op {
	case OpEOF:
		ev.Kind = KindEOF
		return true, d.footer()
	case OpAux:
		ev.Kind = KindAux
		d.place.doing = doingAux
		return true, d.pair(ev, "metadata")
	case OpModuleAux, OpFunction2, OpFunctionPreGA, OpSlotImport:
		if d.allTypes && (op == OpModuleAux || op == OpFunction2) {
			ev.Kind, ev.Type = KindOther, Type(op)
			return true, d.passOpcode(op)
		}
		return false, d.refuseOpcode(op, start)
	}
	switch op {
	case OpExpireTime, OpExpireTimeMs:
		d.place.doing = doingExpire
	case OpSelectDB, OpResizeDB:
		d.place.doing = doingLen
	}
	size, err := d.operands(op, ev)
	for errors.Is(err, ErrShort) && d.more() {
		size, err = d.operands(op, ev)
	}
	if err != nil {
		return false, d.wrap(d.leafError(err, start), opNames[op-OpSlotImport])
	}
	d.pos += size
	return ev.Kind != 0, nil
}

// operands reads what stands behind an opcode into ev. It can be called again with more input.
func (d *Decoder) operands(op byte, ev *Event) (size int, err error) {
	p := d.buf[d.pos:d.end]
	switch op {
	case OpExpireTimeMs:
		ev.ExpireAtMs, size, err = ReadExpireMs(p)
		ev.ExpireAtMs = validExpiry(ev.ExpireAtMs)
	case OpExpireTime:
		var sec int32
		sec, size, err = ReadExpireSec(p)
		ev.ExpireAtMs = validExpiry(int64(sec))
		if sec > 0 {
			ev.ExpireAtMs *= 1000
		}
	case OpIdle:
		ev.HasIdle = true
		ev.Idle, size, err = ReadIdle(p)
	case OpFreq:
		ev.HasFreq = true
		ev.Freq, size, err = ReadFreq(p)
	case OpResizeDB:
		if ev.Keys, ev.Expires, size, err = ReadResizeDB(p); err == nil {
			ev.Kind = KindResizeDB
		}
	case OpSlotInfo:
		size, err = skipLens(p, 3)
	case OpSelectDB:
		var db uint64
		if db, size, err = ReadSelectDB(p); err != nil {
			return 0, err
		}
		if db > math.MaxInt32 {
			return 0, errDBNumber
		}
		d.db = int(db)
		ev.Kind, ev.DB = KindSelectDB, d.db
	}
	return size, err
}

// errDBNumber means a SELECTDB that no server can have written.
var errDBNumber = errors.New("database number out of range")

// validExpiry turns an expiry from a file into that of an Event, where 0 means none and times
// before 1970 are the first millisecond. -1 in a file means none.
func validExpiry(ms int64) int64 {
	if ms == -1 {
		return 0
	}
	return max(ms, 1)
}

func skipLens(p []byte, count int) (size int, err error) {
	for range count {
		_, n, err := ReadPlainLen(p[size:])
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

// opNames are the names of the opcodes from OpSlotImport on.
var opNames = [...]string{"SLOT_IMPORT", "SLOT_INFO", "FUNCTION2", "FUNCTION_PRE_GA", "MODULE_AUX", "IDLE",
	"FREQ", "AUX", "RESIZEDB", "EXPIRETIME_MS", "EXPIRETIME", "SELECTDB", "EOF"}

// refuseOpcode returns the error for what a file may hold and this package cannot represent.
func (d *Decoder) refuseOpcode(op byte, start int64) error {
	what := ""
	switch op {
	case OpModuleAux:
		what = "module data (MODULE_AUX)"
		id, _, err := ReadPlainLen(d.buf[d.pos:d.end])
		for err == ErrShort && d.more() {
			id, _, err = ReadPlainLen(d.buf[d.pos:d.end])
		}
		if err == nil {
			what = "data of module " + moduleName(id) + " (MODULE_AUX)"
		}
	case OpFunction2:
		what = "function library (FUNCTION2)"
	case OpFunctionPreGA:
		what = "function library of a 7.0 release candidate (FUNCTION_PRE_GA)"
	case OpSlotImport:
		what = "slot migration under way (SLOT_IMPORT)"
	}
	return &UnsupportedError{What: what, Code: op, Offset: start}
}

// readable returns the error for a key with a value of type t, which stands at pos, if that cannot be read.
func (d *Decoder) readable(t Type) error {
	start := d.Offset()
	if t.Known() && t.Class() != ClassModule || t == TypeModule2 && d.allTypes {
		return nil
	}
	if !t.Known() {
		return d.fail(start, fmt.Sprintf("unknown value type or opcode %d", byte(t)))
	}
	d.pos++
	d.place.doing = doingKey
	if err := d.str(&d.key); err != nil {
		return d.wrap(err, "key with a value of type "+strconv.Quote(t.NameIn(d.version)))
	}
	d.place.doing, d.place.hasKey = doingValue, true
	key := append([]byte{}, d.bytes(&d.key)...)
	return &UnsupportedError{What: t.NameIn(d.version), Code: byte(t), IsType: true, Key: key, Offset: start}
}

// stringKey reads the key and the value of a key of type string.
func (d *Decoder) stringKey(ev *Event) error {
	ev.Kind, ev.Type, ev.Form = KindKey, TypeString, FormString
	if d.values != KeepValues {
		return d.passKey(ev, TypeString)
	}
	d.place.doing = doingKey
	return d.pair(ev, "key")
}

// pair reads two strings into ev.
func (d *Decoder) pair(ev *Event, what string) error {
	if err := d.str(&d.key); err != nil {
		return d.wrap(err, what)
	}
	if !d.key.inBuf {
		d.mark = d.pos // its bytes, which may fill the buffer, need not stay there
	}
	if what == "key" {
		d.place.doing, d.place.hasKey = doingValue, true
	}
	if err := d.str(&d.value); err != nil {
		if what == "key" {
			what = `value of type "string" of key`
		}
		return d.wrap(err, what+" "+quoteKey(d.bytes(&d.key)))
	}
	ev.Key, ev.Value = d.bytes(&d.key), d.bytes(&d.value)
	ev.ValueLen = int64(len(ev.Value))
	return nil
}

// footer reads the checksum behind the EOF opcode and compares it.
func (d *Decoder) footer() error {
	if d.version < checksumVersion {
		return nil
	}
	d.place.doing = doingChecksum
	d.sum()
	start, sum := d.Offset(), d.crc
	if err := d.need(8); err != nil {
		return d.wrap(err, "checksum")
	}
	d.stored = binary.LittleEndian.Uint64(d.buf[d.pos:])
	d.pos += 8
	if d.checksum && d.stored != 0 && d.stored != sum {
		return checksumError(start, d.stored, sum)
	}
	return nil
}
