package rdb

// Class is the data type of a value, however it is laid out.
type Class uint8

// The classes, as the TYPE command names them.
const (
	ClassNone Class = iota
	ClassString
	ClassList
	ClassSet
	ClassZset
	ClassHash
	ClassStream
	ClassModule
)

var classNames = [...]string{"none", "string", "list", "set", "zset", "hash", "stream", "module"}

// String returns the name that the TYPE command answers with.
func (c Class) String() string { return classNames[c] }

var classes = [maxType + 1]Class{
	TypeString: ClassString, TypeList: ClassList, TypeSet: ClassSet, TypeZset: ClassZset, TypeHash: ClassHash,
	TypeZset2: ClassZset, TypeModulePreGA: ClassModule, TypeModule2: ClassModule, TypeHashZipmap: ClassHash,
	TypeListZiplist: ClassList, TypeSetIntset: ClassSet, TypeZsetZiplist: ClassZset, TypeHashZiplist: ClassHash,
	TypeListQuicklist: ClassList, TypeStreamListpacks: ClassStream, TypeHashListpack: ClassHash,
	TypeZsetListpack: ClassZset, TypeListQuicklist2: ClassList, TypeStreamListpacks2: ClassStream,
	TypeSetListpack: ClassSet, TypeStreamListpacks3: ClassStream, TypeHash2: ClassHash,
	TypeHashListpackExPre: ClassHash, TypeHashMetadata: ClassHash, TypeHashListpackEx: ClassHash,
}

// Class returns the data type of values of type t; ClassNone if t is not Known.
func (t Type) Class() Class {
	if int(t) >= len(classes) {
		return ClassNone
	}
	return classes[t]
}

// Form is how [Event.Value] holds a value, or a piece of one.
type Form uint8

// The forms. Blocks are valid through and through when an Event has them: every element can be
// read, none is there twice, scores are numbers and in order.
const (
	FormNone       Form = iota // it does not: the value was passed over
	FormString                 // a string as it is
	FormListpack               // list, set: elements; hash: field, value, …; zset: member, score, … ascending
	FormListpackEx             // hash: field, value, expiry (Unix ms, 0 for none), … in any order
	FormIntset                 // set
	// FormFlat has elements as strings, each with its length as a varint (encoding/binary) before
	// it. List, set: element; hash: field, value; zset: member, and 8 bytes, the little-endian bits
	// of the score.
	FormFlat
	// FormFlatTTL is a hash as in FormFlat, each value followed by 8 bytes: the field's expiry,
	// little-endian Unix milliseconds, 0 for none.
	FormFlatTTL
	// FormStream has the parts of a stream, each a byte and what follows from it; numbers are 8 bytes,
	// little-endian, names and blocks have their length as a varint before them, ids are 16 bytes,
	// big-endian:
	//
	//	'N' id, listpack                                a block of entries
	//	'H' length, last ms, last seq, first ms, first seq, deleted ms, deleted seq, added
	//	'h' length, last ms, last seq                   of type 15, instead of 'H'
	//	'G' name, last ms, last seq, entries read       a group; what follows is its
	//	'g' name, last ms, last seq                     of type 15
	//	'P' id, delivery time (Unix ms), deliveries     a pending entry
	//	'C' name, seen time (Unix ms)                   a consumer; what follows is its
	//	'O' id                                          a pending entry that it owns
	//	'E'                                             the end
	FormStream
)

// Pieces of a value in several have at least pieceSize bytes, but the last. Those of elements are larger, up
// to pieceMax, the better to be sorted, as long as they take no more than pieceGrowth times what came for them
// and have at most pieceElements. All exceed it by one element at most.
const (
	pieceSize     = 512 << 10
	pieceMax      = 32 << 20
	pieceGrowth   = 4
	pieceElements = 2 << 20

	pieceRoom = 64 << 10 // bytes that are there for the next element, if it is not larger
)
