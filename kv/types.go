package kv

import "errors"

// Type is the data type of a value. The numbers are kvd's own (entry
// headers), not those of the RDB format.
type Type uint8

// The data types.
const (
	TypeNone Type = iota
	TypeString
)

// String returns the name that the TYPE command answers with.
func (t Type) String() string {
	switch t {
	case TypeString:
		return "string"
	default:
		return "none"
	}
}

// Encoding tells how Redis would hold a value; it is kept with the entry so
// that OBJECT ENCODING answers as Redis does. The bytes are stored alike.
type Encoding uint8

// The encodings of strings.
const (
	EncRaw    Encoding = iota // changed in place, or longer than 44 bytes
	EncEmbstr                 // at most 44 bytes, never changed in place
	EncInt                    // the decimal text of an int64
)

// MaxEmbstr is the longest string, in bytes, that Redis keeps as "embstr".
const MaxEmbstr = 44

// String returns the name that OBJECT ENCODING answers with.
func (e Encoding) String() string {
	switch e {
	case EncInt:
		return "int"
	case EncEmbstr:
		return "embstr"
	default:
		return "raw"
	}
}

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
}

// Errors that the store returns.
var (
	ErrBusy     = errors.New("kv: another snapshot is live")
	ErrClosed   = errors.New("kv: the store is closed")
	ErrNoMemory = errors.New("kv: the reserved address range or the memory is used up")
	ErrTooLong  = errors.New("kv: key or value longer than 512 MiB")
	ErrNoDB     = errors.New("kv: database index is out of range")
	ErrExists   = errors.New("kv: the key exists")
)
