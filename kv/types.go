package kv

import (
	"errors"

	"kvd/kv/internal/arena"
)

// Type is the data type of a value. The numbers are kvd's own (entry
// headers), not those of the RDB format.
type Type uint8

// The data types.
const (
	TypeNone Type = iota
	TypeString
	TypeList
	TypeSet
	TypeZset
	TypeHash
	TypeStream
)

var typeNames = [...]string{"none", "string", "list", "set", "zset", "hash", "stream"}

// String returns the name that the TYPE command answers with.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "none"
}

// Encoding tells how a value is held. The numbers mean different things for
// different types. Where Redis has more than one name for what is held alike, the
// encoding is kept so that OBJECT ENCODING answers as Redis does.
type Encoding uint8

// The encodings of strings. The bytes of the first three are stored alike.
const (
	EncRaw    Encoding = iota // changed in place, or longer than 44 bytes
	EncEmbstr                 // at most 44 bytes, never changed in place
	EncInt                    // the decimal text of an int64
	EncChunks                 // longer than ChunkedAbove: a tree of chunks
)

// The encodings of the other types: one block, or trees.
const (
	EncListpack   Encoding = 0 // a listpack of the elements
	EncTree       Encoding = 1 // Redis' quicklist, hashtable, skiplist, stream
	EncIntset     Encoding = 2 // set: an intset
	EncListpackEx Encoding = 2 // hash: a listpack of field, value and expiry
)

// Forms in which Record.Value holds the elements of a collection, besides the
// encodings that are one block.
const (
	EncFlat    Encoding = 16 + iota // strings, each with its length as a varint before it
	EncFlatTTL                      // hash: with 8 bytes of expiry behind each value
	EncStream                       // see loadStream
)

// ChunkedAbove is the longest string, in bytes, that lies in one piece, and ChunkSize
// the length of the chunks of a longer one but its last.
const (
	ChunkedAbove = 32 << 10
	ChunkSize    = 16 << 10
)

// MaxEmbstr is the longest string, in bytes, that Redis keeps as "embstr".
const MaxEmbstr = 44

// Times to live, as SetString takes them. Any other value is an absolute
// Unix time in milliseconds, greater than zero.
const (
	NoExpiry   int64 = 0  // the key does not expire
	KeepExpiry int64 = -1 // an existing key's expiry stays
)

// MaxString is the longest string, in bytes, and MaxKey the longest key.
const (
	MaxString = 512 << 20
	MaxKey    = 512 << 20
)

// Item is a look at one live key. Value is borrowed: it points into the
// store and is valid until the transaction unlocks or writes to the key.
type Item struct {
	Type     Type
	Encoding Encoding
	Value    []byte
	ExpireAt int64 // Unix milliseconds; NoExpiry if none

	a *arena.Arena
}

// EncodingName returns the name that OBJECT ENCODING answers with.
func (it *Item) EncodingName() string { return encodingNames[it.Type][it.Encoding&3] }

// encodingNames has Redis 7.0's names: lists have one, and sets two of the three
// that they have here.
var encodingNames = [...][4]string{
	TypeString: {"raw", "embstr", "int", "raw"},
	TypeList:   {"quicklist", "quicklist"},
	TypeSet:    {"hashtable", "hashtable", "intset"},
	TypeZset:   {"listpack", "skiplist"},
	TypeHash:   {"listpack", "hashtable", "listpackex"},
	TypeStream: {"stream", "stream"},
}

// Errors that the store returns.
var (
	ErrBusy     = errors.New("kv: another snapshot is live")
	ErrClosed   = errors.New("kv: the store is closed")
	ErrNoMemory = errors.New("kv: the reserved address range or the memory is used up")
	ErrTooLong  = errors.New("kv: key or value longer than 512 MiB")
	ErrNoDB     = errors.New("kv: database index is out of range")
	ErrExists   = errors.New("kv: the key exists")

	ErrWrongType = errors.New("kv: the key holds a value of another type")
)
