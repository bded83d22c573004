package rdb

import "strconv"

// Type is the byte that starts a key: the type of its value and how that is laid out.
type Type byte

// The value types of Redis up to RDB version 12 and of Valkey. 8 was never used.
const (
	TypeString            Type = 0
	TypeList              Type = 1
	TypeSet               Type = 2
	TypeZset              Type = 3 // scores as text
	TypeHash              Type = 4
	TypeZset2             Type = 5 // scores as binary doubles
	TypeModulePreGA       Type = 6
	TypeModule2           Type = 7
	TypeHashZipmap        Type = 9
	TypeListZiplist       Type = 10
	TypeSetIntset         Type = 11
	TypeZsetZiplist       Type = 12
	TypeHashZiplist       Type = 13
	TypeListQuicklist     Type = 14
	TypeStreamListpacks   Type = 15
	TypeHashListpack      Type = 16
	TypeZsetListpack      Type = 17
	TypeListQuicklist2    Type = 18
	TypeStreamListpacks2  Type = 19
	TypeSetListpack       Type = 20
	TypeStreamListpacks3  Type = 21
	TypeHash2             Type = 22 // in Valkey's files: fields with expiry
	TypeHashMetadataPreGA Type = 22 // in Redis' files: the same of the 7.4 release candidates
	TypeHashListpackExPre Type = 23
	TypeHashMetadata      Type = 24
	TypeHashListpackEx    Type = 25

	maxType = 25
)

var typeNames = [maxType + 1]string{
	TypeString:            "string",
	TypeList:              "list",
	TypeSet:               "set",
	TypeZset:              "zset",
	TypeHash:              "hash",
	TypeZset2:             "zset-2",
	TypeModulePreGA:       "module-pre-ga",
	TypeModule2:           "module-2",
	TypeHashZipmap:        "hash-zipmap",
	TypeListZiplist:       "list-ziplist",
	TypeSetIntset:         "set-intset",
	TypeZsetZiplist:       "zset-ziplist",
	TypeHashZiplist:       "hash-ziplist",
	TypeListQuicklist:     "list-quicklist",
	TypeStreamListpacks:   "stream-listpacks",
	TypeHashListpack:      "hash-listpack",
	TypeZsetListpack:      "zset-listpack",
	TypeListQuicklist2:    "list-quicklist-2",
	TypeStreamListpacks2:  "stream-listpacks-2",
	TypeSetListpack:       "set-listpack",
	TypeStreamListpacks3:  "stream-listpacks-3",
	TypeHashMetadataPreGA: "hash-metadata-pre-ga",
	TypeHashListpackExPre: "hash-listpack-ex-pre-ga",
	TypeHashMetadata:      "hash-metadata",
	TypeHashListpackEx:    "hash-listpack-ex",
}

// Known reports whether t is a value type of any RDB version that this package reads.
func (t Type) Known() bool { return t <= maxType && typeNames[t] != "" }

// String returns the name of t as Redis' sources have it, or "unknown type 99". Type 22 gets its
// Redis name; see [Type.NameIn].
func (t Type) String() string {
	if !t.Known() {
		return "unknown type " + strconv.Itoa(int(t))
	}
	return typeNames[t]
}

// Written tells whether servers that write files of the given RDB version use type t: Redis from 7.0 on,
// and Valkey. It is false for all types in older versions.
func Written(t Type, version int) bool {
	switch t {
	case TypeString, TypeSet, TypeHash, TypeZset2, TypeSetIntset, TypeHashListpack, TypeZsetListpack, TypeListQuicklist2,
		TypeStreamListpacks2:
		return version >= Version
	case TypeSetListpack, TypeStreamListpacks3:
		return version > Version
	case TypeHash2:
		return version >= minValkeyVersion
	case TypeHashMetadata, TypeHashListpackEx:
		return version >= VersionFieldTTL && version < minValkeyVersion
	}
	return false
}

// NameIn is String for a file of the given RDB version: 22 means different types in Redis' and in
// Valkey's files.
func (t Type) NameIn(version int) string {
	if t == TypeHash2 && version >= minValkeyVersion {
		return "hash-2"
	}
	return t.String()
}
