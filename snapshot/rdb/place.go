package rdb

// doing is what a Decoder is doing.
type doing uint8

const (
	doingStart doing = iota
	doingType
	doingExpire
	doingKey
	doingValue
	doingChecksum
	doingLen
	doingAux
	doingModule
	doingFunction
)

// doingNames are redis-check-rdb's words.
var doingNames = [...]string{"start", "read-type", "read-expire", "read-key", "read-object-value", "check-sum",
	"read-len", "read-aux", "read-module-aux", "read-function"}

// place is where a Decoder is; the key is in its field.
type place struct {
	start   int64
	doing   doing
	typ     Type
	hasType bool
	hasKey  bool
}

// Place says what a Decoder was reading when Next returned an error.
type Place struct {
	Start   int64  // offset of the first byte of what could not be read to its end
	Doing   string // as redis-check-rdb words it: "read-key", "read-object-value", …
	DB      int    // the database selected
	HasType bool   // the type of a value was read, which may be one that does not exist
	Type    Type
	HasKey  bool   // the key was read
	Key     []byte // a copy
}

// Place returns what was being read when Next returned an error; call it then only.
func (d *Decoder) Place() Place {
	p := Place{Start: d.place.start, Doing: doingNames[d.place.doing], DB: d.db, Type: d.place.typ, HasType: d.place.hasType,
		HasKey: d.place.hasKey}
	if p.HasKey {
		p.Key = append([]byte{}, d.bytes(&d.key)...)
	}
	return p
}
