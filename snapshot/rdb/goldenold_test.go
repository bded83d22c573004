package rdb

import (
	"encoding/binary"
	"math"
	"sort"
	"strconv"
	"strings"

	"kvd/kv/packed"
)

// Files of servers that cannot be had here are written by this code, after the format. Redis 7.0 reads
// those up to version 10, and says what their digest is.
//
//	style           version  hash     list        set     zset     as
//	redis-2.2       2        zipmap   ziplist     intset  text     Redis 2.2, 2.4
//	redis-2.6       6        ziplist  ziplist     intset  ziplist  Redis 2.6 – 3.0
//	redis-3.2       7        ziplist  quicklist   intset  ziplist  Redis 3.2
//	redis-4         8        ziplist  quicklist   intset  ziplist  Redis 4.0, binary scores
//	redis-5         9        ziplist  quicklist   intset  ziplist  Redis 5.0 – 6.2; and streams
//	plain           10       plain    plain       plain   plain    nothing packed
type oldStyle struct {
	name    string
	version int
	hash    Type
	list    Type
	zset    Type // of small ones
	zsetBig Type
}

var oldStyles = []oldStyle{
	{"redis-2.2", 2, TypeHashZipmap, TypeListZiplist, TypeZset, TypeZset},
	{"redis-2.6", 6, TypeHashZiplist, TypeListZiplist, TypeZsetZiplist, TypeZset},
	{"redis-3.2", 7, TypeHashZiplist, TypeListQuicklist, TypeZsetZiplist, TypeZset},
	{"redis-4", 8, TypeHashZiplist, TypeListQuicklist, TypeZsetZiplist, TypeZset2},
	{"redis-5", 9, TypeHashZiplist, TypeListQuicklist, TypeZsetZiplist, TypeZset2},
	{"plain", 10, TypeHash, TypeList, TypeZset2, TypeZset2},
}

// file writes the golden data.
func (s *oldStyle) file() []byte {
	p := AppendSelectDB(AppendHeader(nil, s.version), 0)
	table := new(LZFTable)
	for _, x := range goldenData() {
		if x.expireAt != 0 && s.version >= 3 {
			p = AppendExpireMs(p, x.expireAt)
		} else if x.expireAt != 0 {
			p = AppendExpireSec(p, int32(2_000_000_000))
		}
		t := s.typeOf(&x)
		p = AppendString(append(p, byte(t)), []byte(x.key), nil)
		p = appendOld(p, t, x.elements, table)
	}
	if s.version == 9 {
		p = appendOldStream(p)
	}
	p = append(p, OpEOF)
	if s.version >= checksumVersion {
		p = binary.LittleEndian.AppendUint64(p, UpdateCRC(0, p))
	}
	return p
}

// typeOf returns how a server of the style lays the datum out.
func (s *oldStyle) typeOf(x *datum) Type {
	small := len(x.elements) <= 64
	for _, e := range x.elements {
		small = small && len(e) <= 64 || x.class == ClassList && len(x.elements) <= 64
	}
	switch x.class {
	case ClassList:
		if !small && s.list == TypeListZiplist {
			return TypeList
		}
		return s.list
	case ClassSet:
		if x.key == "set:ints" || x.key == "set:ints64" {
			return TypeSetIntset
		}
		return TypeSet
	case ClassZset:
		if small {
			return s.zset
		}
		return s.zsetBig
	case ClassHash:
		if small {
			return s.hash
		}
		return TypeHash
	}
	return TypeString
}

// appendOld appends a value of type t.
func appendOld(p []byte, t Type, elements []string, table *LZFTable) []byte {
	switch t {
	case TypeString:
		return AppendString(p, []byte(elements[0]), table)
	case TypeListZiplist, TypeHashZiplist:
		return AppendString(p, ziplist(elements), table)
	case TypeZsetZiplist:
		return AppendString(p, ziplist(sortedPairs(elements)), table)
	case TypeHashZipmap:
		return AppendString(p, zipmap(elements), table)
	case TypeSetIntset:
		return AppendString(p, intset(elements), table)
	case TypeListQuicklist:
		var nodes [][]string
		for at := 0; at < len(elements); at += 50 {
			nodes = append(nodes, elements[at:min(at+50, len(elements))])
		}
		p = AppendLen(p, uint64(len(nodes)))
		for _, n := range nodes {
			p = AppendString(p, ziplist(n), table)
		}
		return p
	case TypeZset, TypeZset2:
		p = AppendLen(p, uint64(len(elements)/2))
		for i := 0; i < len(elements); i += 2 {
			p = appendOldScore(AppendString(p, []byte(elements[i]), table), t, elements[i+1])
		}
		return p
	}
	n := len(elements)
	if t == TypeHash {
		n /= 2
	}
	p = AppendLen(p, uint64(n))
	for _, e := range elements {
		p = AppendString(p, []byte(e), table)
	}
	return p
}

// appendOldStream appends a stream of type 15: two blocks with an entry deleted, a group with two pending
// entries of two consumers, and one without.
func appendOldStream(p []byte) []byte {
	id := func(ms, seq uint64) string {
		return string(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, ms), seq))
	}
	p = AppendString(append(p, byte(TypeStreamListpacks)), []byte("stream"), nil)
	p = AppendLen(p, 2)
	p = AppendString(p, []byte(id(1000, 1)), nil)
	p = AppendString(p, listpack("2", "1", "2", "place", "temperature", "0",
		"2", "0", "0", "room", "20", "5",
		"3", "0", "1", "hall", "21", "5",
		"0", "5", "0", "1", "other", "value", "6"), nil)
	p = AppendString(p, []byte(id(2000, 0)), nil)
	p = AppendString(p, listpack("1", "0", "1", "f", "0", "2", "7", "0", "text", "4"), nil)
	for _, n := range []uint64{3, 2007, 0, 2} { // length, last id; groups
		p = AppendLen(p, n)
	}
	p = AppendString(p, []byte("readers"), nil)
	for _, n := range []uint64{2007, 0, 2} { // last id; pending
		p = AppendLen(p, n)
	}
	for _, pending := range []string{id(1000, 1), id(2007, 0)} {
		p = binary.LittleEndian.AppendUint64(append(p, pending...), 1_700_000_000_000)
		p = AppendLen(p, 3)
	}
	p = AppendLen(p, 2) // consumers
	for i, name := range []string{"alice", "bob"} {
		p = binary.LittleEndian.AppendUint64(AppendString(p, []byte(name), nil), 1_700_000_000_001)
		p = append(AppendLen(p, 1), []string{id(1000, 1), id(2007, 0)}[i]...)
	}
	p = AppendString(p, []byte("others"), nil)
	return append(p, 0, 0, 0, 0) // last id; pending, consumers
}

func appendOldScore(p []byte, t Type, text string) []byte {
	score, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	switch {
	case t == TypeZset2:
		return binary.LittleEndian.AppendUint64(p, math.Float64bits(score))
	case math.IsInf(score, 1):
		return append(p, 254)
	case math.IsInf(score, -1):
		return append(p, 255)
	}
	return append(append(p, byte(len(text))), text...)
}

// sortedPairs sorts members with scores as a sorted set has them.
func sortedPairs(elements []string) (list []string) {
	type pair struct {
		member, text string
		score        float64
	}
	var pairs []pair
	for i := 0; i < len(elements); i += 2 {
		score, _ := strconv.ParseFloat(elements[i+1], 64)
		pairs = append(pairs, pair{elements[i], elements[i+1], score})
	}
	sort.Slice(pairs, func(i, j int) bool {
		a, b := pairs[i], pairs[j]
		return a.score < b.score || a.score == b.score && a.member < b.member
	})
	for _, x := range pairs {
		list = append(list, x.member, x.text)
	}
	return list
}

// ziplist writes a ziplist; see block.go.
func ziplist(elements []string) []byte {
	b := make([]byte, ziplistHead)
	before, last := 0, ziplistHead
	for _, e := range elements {
		last = len(b)
		if before < blockBig {
			b = append(b, byte(before))
		} else {
			b = binary.LittleEndian.AppendUint32(append(b, blockBig), uint32(before))
		}
		b = ziplistElement(b, e)
		before = len(b) - last
	}
	b = append(b, blockEnd)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], uint32(last))
	binary.LittleEndian.PutUint16(b[8:], uint16(len(elements)))
	return b
}

func ziplistElement(b []byte, e string) []byte {
	n, err := strconv.ParseInt(e, 10, 64)
	if err == nil && strconv.FormatInt(n, 10) == e {
		u := uint64(n)
		switch {
		case n >= 0 && n <= 12:
			return append(b, 0xf1+byte(n))
		case n == int64(int8(n)):
			return append(b, 0xfe, byte(u))
		case n == int64(int16(n)):
			return append(b, 0xc0, byte(u), byte(u>>8))
		case n >= -1<<23 && n < 1<<23:
			return append(b, 0xf0, byte(u), byte(u>>8), byte(u>>16))
		case n == int64(int32(n)):
			return binary.LittleEndian.AppendUint32(append(b, 0xd0), uint32(u))
		}
		return binary.LittleEndian.AppendUint64(append(b, 0xe0), u)
	}
	switch {
	case len(e) < 1<<6:
		b = append(b, byte(len(e)))
	case len(e) < 1<<14:
		b = append(b, 0x40|byte(len(e)>>8), byte(len(e)))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0x80), uint32(len(e)))
	}
	return append(b, e...)
}

// zipmap writes a zipmap, with unused bytes behind some values; see block.go.
func zipmap(elements []string) []byte {
	size := func(b []byte, n int) []byte {
		if n < blockBig {
			return append(b, byte(n))
		}
		return binary.LittleEndian.AppendUint32(append(b, blockBig), uint32(n))
	}
	b := []byte{byte(min(len(elements)/2, zipmapManyIn))}
	for i := 0; i < len(elements); i += 2 {
		field, v := elements[i], elements[i+1]
		b = append(size(b, len(field)), field...)
		free := i % 3
		b = append(append(size(b, len(v)), byte(free)), v...)
		b = append(b, make([]byte, free)...)
	}
	return append(b, blockEnd)
}

func intset(elements []string) []byte {
	b := packed.IntsetNew()
	for _, e := range elements {
		n, err := strconv.ParseInt(e, 10, 64)
		if err != nil {
			panic(err)
		}
		b, _ = packed.IntsetAdd(b, n)
	}
	return b
}

// listpack writes a listpack.
func listpack(elements ...string) []byte {
	b := packed.NewListpack()
	for _, e := range elements {
		b = packed.Append(b, []byte(e))
	}
	return b
}

// fieldExpiry is the hash of the files in which fields expire.
var fieldExpiry = []struct {
	field, value string
	at           int64 // Unix milliseconds, 0 for none
}{{"a", "1", 0}, {"b", "text", goldenExpiry + 5}, {"c", strings.Repeat("long ", 30), goldenExpiry}, {"17", "", 0}, {"d", "-3", goldenExpiry + 5}}

// newStyles are files in which fields of hashes expire: those of Redis 7.4 and its release candidates, and
// of Valkey 9, after the formats. No such server can be had here.
var newStyles = []struct {
	name    string
	version int
	types   []Type
}{
	{"redis-7.4-rc", 12, []Type{TypeHashMetadataPreGA, TypeHashListpackExPre}},
	{"redis-7.4", 12, []Type{TypeHashMetadata, TypeHashListpackEx}},
	{"valkey-9", 80, []Type{TypeHash2}},
}

// newFile writes a key "hash" followed by the number of the type for each type.
func newFile(version int, types []Type) []byte {
	p := AppendSelectDB(AppendHeader(nil, version), 0)
	for _, t := range types {
		p = AppendString(append(p, byte(t)), []byte("hash"+strconv.Itoa(int(t))), nil)
		p = appendExpiring(p, t, version)
	}
	p = append(p, OpEOF)
	return binary.LittleEndian.AppendUint64(p, UpdateCRC(0, p))
}

func appendExpiring(p []byte, t Type, version int) []byte {
	if t == TypeHashMetadata || t == TypeHashListpackEx {
		p = binary.LittleEndian.AppendUint64(p, goldenExpiry) // the earliest
	}
	if t == TypeHashListpackEx || t == TypeHashListpackExPre {
		var triplets []string
		for _, i := range []int{2, 1, 4, 0, 3} { // as they expire
			x := &fieldExpiry[i]
			triplets = append(triplets, x.field, x.value, strconv.FormatInt(x.at, 10))
		}
		return AppendString(p, listpack(triplets...), nil)
	}
	p = AppendLen(p, uint64(len(fieldExpiry)))
	for _, x := range fieldExpiry {
		ttl := uint64(x.at)
		switch {
		case version == maxValkeyVersion:
			p = AppendString(AppendString(p, []byte(x.field), nil), []byte(x.value), nil)
			if x.at == 0 {
				ttl = math.MaxUint64
			}
			p = binary.LittleEndian.AppendUint64(p, ttl)
			continue
		case t == TypeHashMetadata && x.at != 0:
			ttl = uint64(x.at-goldenExpiry) + 1
		}
		p = AppendString(AppendString(AppendLen(p, ttl), []byte(x.field), nil), []byte(x.value), nil)
	}
	return p
}
