package rdb

import (
	"encoding/binary"
	"errors"
	"strconv"

	"kvd/kv/packed"
)

// Blocks are collections that stand in a file as one string. The newer ones, listpack and intset, are
// of package packed; the older ones are only read:
//
//	zipmap   count (1 byte, 254: unknown) | len field len free value (free bytes) | … | ff
//	         len: 1 byte, or fe and 4 bytes little endian; free: 1 byte, unused bytes behind the value
//	ziplist  bytes (4) | offset of the last entry (4) | count (2, 65535: unknown) | entry … | ff
//	entry    length of the entry before (1 byte, or fe and 4 bytes) | encoding | bytes
//	         encoding: 00nnnnnn, 01nnnnnn n (big endian), 10… and 4 bytes (big endian): a string;
//	         c0, d0, e0: int16, int32, int64; f0: 24 bits; fe: int8; f1 … fd: 0 … 12
type blockKind uint8

const (
	noBlock blockKind = iota
	zipmapBlock
	ziplistBlock
	listpackBlock
	intsetBlock
	plainBlock // one element, all of it: of a quicklist
)

var (
	errZiplist  = errors.New("ziplist is damaged")
	errZipmap   = errors.New("zipmap is damaged")
	errListpack = errors.New("listpack is damaged")
	errIntset   = errors.New("intset is damaged")
)

// block takes a block apart, one element after the other. It is not trusted.
type block struct {
	kind   blockKind
	value  bool // zipmap: a value is next
	b      []byte
	at     int // where the next element begins; -1 or len(b) at the end
	before int // ziplist: bytes of the entry before
	count  int // elements so far
	text   []byte
}

// open prepares for the elements of b, which is borrowed until the end.
func (k *block) open(kind blockKind, b []byte) (err error) {
	*k = block{kind: kind, b: b, text: k.text}
	switch kind {
	case listpackBlock:
		if _, err := packed.Validate(b); err != nil {
			return errListpack
		}
		k.at = packed.First(b)
	case intsetBlock:
		if packed.IntsetValidate(b) != nil {
			return errIntset
		}
	case ziplistBlock:
		err = k.openZiplist()
	case zipmapBlock:
		if len(b) < 2 || b[len(b)-1] != blockEnd {
			return errZipmap
		}
		k.at = 1
	}
	return err
}

const (
	ziplistHead   = 10
	blockEnd      = 0xff
	blockBig      = 254 // a length of 4 bytes follows
	ziplistManyIn = 65535
	zipmapManyIn  = 254
)

func (k *block) openZiplist() error {
	b := k.b
	if len(b) <= ziplistHead || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)) || b[len(b)-1] != blockEnd {
		return errZiplist
	}
	k.at = ziplistHead
	return nil
}

// next returns the next element; ok is false at the end, where the block has proved sound. The
// element is valid until the next call.
func (k *block) next() (elem []byte, ok bool, err error) {
	switch k.kind {
	case listpackBlock:
		if k.at < 0 {
			return nil, false, nil
		}
		v := packed.Get(k.b, k.at)
		k.at = packed.Next(k.b, k.at)
		if !v.IsInt {
			return v.Text, true, nil
		}
		return k.number(v.Int), true, nil
	case intsetBlock:
		if k.at == packed.IntsetLen(k.b) {
			return nil, false, nil
		}
		k.at++
		return k.number(packed.IntsetAt(k.b, k.at-1)), true, nil
	case ziplistBlock:
		return k.nextZiplist()
	case zipmapBlock:
		return k.nextZipmap()
	case plainBlock:
		if k.at > 0 {
			return nil, false, nil
		}
		k.at = 1
		return k.b, true, nil
	}
	return nil, false, nil
}

func (k *block) number(n int64) []byte {
	k.text = strconv.AppendInt(k.text[:0], n, 10)
	return k.text
}

func (k *block) nextZiplist() (elem []byte, ok bool, err error) {
	p := k.b[k.at:]
	if p[0] == blockEnd {
		// The header is judged last: offset and number of the entries.
		n := int(binary.LittleEndian.Uint16(k.b[8:]))
		tail := uint64(binary.LittleEndian.Uint32(k.b[4:]))
		if len(p) != 1 || n != ziplistManyIn && n != k.count || tail != uint64(k.at-k.before) {
			return nil, false, errZiplist
		}
		return nil, false, nil
	}
	size, before := 1, int64(p[0])
	if before == blockBig {
		if len(p) < 5 {
			return nil, false, errZiplist
		}
		size, before = 5, int64(binary.LittleEndian.Uint32(p[1:]))
	}
	if before != int64(k.before) || len(p) <= size {
		return nil, false, errZiplist
	}
	elem, n := k.ziplistEntry(p[size:])
	if n == 0 || size+n >= len(p) {
		return nil, false, errZiplist
	}
	k.before = size + n
	k.at += k.before
	k.count++
	return elem, true, nil
}

// ziplistEntry returns what stands behind the length of the entry before, and its size, 0 if it is
// damaged.
func (k *block) ziplistEntry(p []byte) (elem []byte, size int) {
	length := uint64(0)
	switch c := p[0]; {
	case c>>6 == 0:
		size, length = 1, uint64(c&0x3f)
	case c>>6 == 1:
		if len(p) < 2 {
			return nil, 0
		}
		size, length = 2, uint64(c&0x3f)<<8|uint64(p[1])
	case c>>6 == 2:
		if len(p) < 5 {
			return nil, 0
		}
		size, length = 5, uint64(binary.BigEndian.Uint32(p[1:]))
	default:
		n, size := ziplistInt(p)
		if size == 0 {
			return nil, 0
		}
		return k.number(n), size
	}
	if length > uint64(len(p)-size) {
		return nil, 0
	}
	return p[size : size+int(length)], size + int(length)
}

// ziplistInt reads an integer with its encoding; size is 0 if there is none.
func ziplistInt(p []byte) (n int64, size int) {
	c := p[0]
	if c >= 0xf1 && c <= 0xfd {
		return int64(c&0x0f) - 1, 1
	}
	switch c {
	case 0xc0:
		size = 3
	case 0xd0:
		size = 5
	case 0xe0:
		size = 9
	case 0xf0:
		size = 4
	case 0xfe:
		size = 2
	}
	if size == 0 || len(p) < size {
		return 0, 0
	}
	var u uint64
	for i := size - 1; i > 0; i-- {
		u = u<<8 | uint64(p[i])
	}
	shift := 64 - 8*(size-1)
	return int64(u) << shift >> shift, size
}

func (k *block) nextZipmap() (elem []byte, ok bool, err error) {
	p := k.b[k.at:]
	if p[0] == blockEnd {
		n := int(k.b[0])
		if len(p) != 1 || k.value || n < zipmapManyIn && n != k.count/2 {
			return nil, false, errZipmap
		}
		return nil, false, nil
	}
	size, n := 1, uint64(p[0])
	if n == blockBig {
		if len(p) < 5 {
			return nil, false, errZipmap
		}
		size, n = 5, uint64(binary.LittleEndian.Uint32(p[1:]))
	}
	free := 0
	if k.value {
		if len(p) <= size {
			return nil, false, errZipmap
		}
		free = int(p[size])
		size++
	}
	if n+uint64(free) >= uint64(len(p)-size) {
		return nil, false, errZipmap
	}
	elem = p[size : size+int(n)]
	k.at += size + int(n) + free
	k.value = !k.value
	k.count++
	return elem, true, nil
}
