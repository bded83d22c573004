package tree

import (
	"encoding/binary"

	"kvd/kv/internal/arena"
)

const (
	maxNode  = 1024 // bytes of content of a node, its head included
	maxList  = 8191 // the same of a leaf of a list, see limit
	fewList  = 128  // records of a leaf of more than maxNode bytes, at the most
	headSize = 4
	slotSize = 2

	inlineMax = 256  // bytes of a key or a value in a leaf; longer ones lie far
	pairMax   = 500  // bytes of both, so that any two records fit into a node
	inList    = 1020 // bytes of a value in a list; a larger block has little waste
	recordMax = inList + 4
	shortMax  = pairMax + 4 // bytes of a record that is no long value of a list
	sepMax    = 120         // bytes of a separator in an inner node; longer ones lie far
	childSize = 12          // of an inner record behind its separator
	stubSize  = 10          // of what stands for a far key or value
	maxHeight = 24          // levels; an inner node has three children at the least, on average

	minFill = 7  // sixteenths of its limit: a node that shrinks below looks for a neighbour
	joinMax = 13 // sixteenths of the limit of two neighbours that become one
)

// The head of a node is one little-endian word: the number of records, the bytes of
// content (head included), the bytes of the block.
const (
	countMask = 1<<10 - 1
	sizeShift = 10
	sizeMask  = 1<<13 - 1
	capShift  = 23
	capFine   = 1024 // blocks of more bytes are multiples of 128
)

func capCode(n int) int {
	if n <= capFine {
		return n / 8
	}
	return capFine/8 + (n-capFine)/128
}

// room returns the bytes of the node's block.
func (nd *node) room() int {
	if nd.cap <= capFine/8 {
		return nd.cap * 8
	}
	return capFine + (nd.cap-capFine/8)*128
}

// limit returns how many bytes a leaf of n records that has size bytes, or is one of
// those that are made of so much, may have. In a list, a leaf of large elements is
// larger: what its block lacks of one more costs less then, and so does the record
// above it. One of small elements is not, for they are counted to find one.
func (s *Shape) limit(n, size int) int {
	switch {
	case s.Keyed || size <= 16*n:
		return maxNode
	case size <= 32*n:
		return 2 * maxNode
	case size <= 160*n:
		return 4 * maxNode
	}
	return maxList
}

// fits tells whether n records of size bytes in all may be one leaf. A leaf is full
// only for what is added: one that shrinks may stay as it is.
func (s *Shape) fits(n, size int) bool {
	return size <= maxNode || n <= fewList && size <= s.limit(n, size)
}

// levelLimit is limit for a node of any level.
func (t *Tree) levelLimit(level, n, size int) int {
	if level > 0 {
		return maxNode
	}
	return t.shape.limit(n, size)
}

// A slot is the offset of a record among the node's records, and three flags.
const (
	offMask  = 1<<13 - 1
	keyFar   = 1 << 13
	valueFar = 1 << 14
	ownFlag  = 1 << 15
)

// The head of a record of a list is a varint: the length of its value, and a flag. A
// length that no value in a leaf has says that there is a stub.
const (
	listFlag  = 1
	listShift = 1
	listFar   = 1<<13 - 1
)

var le = binary.LittleEndian

// node is a look at a node: in its block, or at one that is being made in a page.
type node struct {
	a     *arena.Arena
	slots []byte // nil in leaves of lists
	recs  []byte
	n     int
	value int // bytes of every value, -1 if it varies
	cap   int // code of the bytes of the block
}

// node opens the node at ref; level 0 is a leaf. It runs in the forked child too,
// like all that only reads.
func (t *Tree) node(ref arena.Ref, level int) node {
	h := le.Uint32(t.a.Bytes(ref, headSize))
	n := int(h & countMask)
	b := t.a.Bytes(ref, int(h>>sizeShift&sizeMask))
	nd := node{a: t.a, n: n, value: t.shape.Value, cap: int(h >> capShift)}
	if level == 0 && !t.shape.Keyed {
		nd.recs = b[headSize:]
		return nd
	}
	if level > 0 {
		nd.value = childSize
	}
	nd.slots = b[headSize : headSize+slotSize*n]
	nd.recs = b[headSize+slotSize*n:]
	return nd
}

// nodeSize returns the bytes of content of the node at ref.
func (t *Tree) nodeSize(ref arena.Ref) int {
	return int(le.Uint32(t.a.Bytes(ref, headSize)) >> sizeShift & sizeMask)
}

// nodeCount returns the number of records of the node at ref.
func (t *Tree) nodeCount(ref arena.Ref) int {
	return int(le.Uint32(t.a.Bytes(ref, headSize)) & countMask)
}

func putHead(b []byte, n, size, cap int) {
	le.PutUint32(b, uint32(n)|uint32(size)<<sizeShift|uint32(capCode(cap))<<capShift)
}

func (nd *node) size() int { return headSize + len(nd.slots) + len(nd.recs) }

func (nd *node) slot(i int) int { return int(le.Uint16(nd.slots[slotSize*i:])) }

// off returns where record i begins among the records; i = n is their end.
func (nd *node) off(i int) int {
	switch {
	case i == nd.n:
		return len(nd.recs)
	case nd.slots != nil:
		return nd.slot(i) & offMask
	}
	off := 0
	for ; i > 0; i-- {
		off = nd.skip(off)
	}
	return off
}

// skip returns the end of the record at off in a leaf of a list.
func (nd *node) skip(off int) int {
	h := uint(nd.recs[off])
	if h < 0x80 {
		return off + 1 + int(h>>listShift)
	}
	h = h&0x7f | uint(nd.recs[off+1])<<7
	if h >>= listShift; h == listFar {
		h = stubSize
	}
	return off + 2 + int(h)
}

// after returns the end of record i, which begins at off.
func (nd *node) after(i, off int) int {
	if nd.slots != nil {
		return nd.off(i + 1)
	}
	return nd.skip(off)
}

// varint2 reads a varint of at most two bytes.
func varint2(b []byte) (v, n int) {
	if b[0] < 0x80 {
		return int(b[0]), 1
	}
	return int(b[0]&0x7f) | int(b[1])<<7, 2
}

// appendVarint2 is the writer for varint2: v < 1<<14.
func appendVarint2(b []byte, v int) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return append(b, byte(v)|0x80, byte(v>>7))
}

// readStub reads what stands for a far key or value.
func readStub(b []byte) (ref arena.Ref, n int) {
	return arena.Ref(le.Uint64(b) & (1<<48 - 1)), int(le.Uint32(b[6:]))
}

func appendStub(b []byte, ref arena.Ref, n int) []byte {
	b = le.AppendUint32(b, uint32(ref))
	b = le.AppendUint16(b, uint16(ref>>32))
	return le.AppendUint32(b, uint32(n))
}

func (nd *node) far(b []byte) []byte {
	ref, n := readStub(b)
	return nd.a.Bytes(ref, n)
}

// key returns the key of record i in a node with slots.
func (nd *node) key(i int) []byte {
	s := nd.slot(i)
	from := s & offMask
	if s&keyFar != 0 {
		return nd.far(nd.recs[from:])
	}
	if nd.value < 0 {
		k, w := varint2(nd.recs[from:])
		return nd.recs[from+w : from+w+k : from+w+k]
	}
	end := nd.off(i+1) - nd.value
	if s&valueFar != 0 {
		end += nd.value - stubSize
	}
	return nd.recs[from:end:end]
}

// link returns where in the block of an inner node the child of record i stands.
func (nd *node) link(i int) int {
	return headSize + len(nd.slots) + nd.off(i+1) - childSize
}

// child returns record i of an inner node.
func (nd *node) child(i int) (ref arena.Ref, count int64) {
	end := nd.off(i + 1)
	return getChild(nd.recs[end-childSize : end])
}

func getChild(b []byte) (ref arena.Ref, count int64) {
	return arena.Ref(le.Uint64(b) & (1<<48 - 1)), int64(le.Uint64(b[4:]) >> 16)
}

// setChild changes record i of an inner node, but not its separator.
func (nd *node) setChild(i int, ref arena.Ref, count int64) {
	end := nd.off(i + 1)
	putChild(nd.recs[end-childSize:end], ref, count)
}

func putChild(b []byte, ref arena.Ref, count int64) {
	le.PutUint64(b, uint64(ref)|uint64(count)<<48)
	le.PutUint32(b[8:], uint32(count>>16))
}

// parts is a record of a leaf, taken to pieces.
type parts struct {
	Record
	keyRef, valueRef arena.Ref // of what lies far, or 0
	from, to         int       // the record's bytes among the node's
}

// read takes record i of a leaf, which begins at off, to pieces.
func (nd *node) read(i, off int, p *parts) {
	p.from, p.keyRef, p.valueRef = off, 0, 0
	if nd.slots == nil {
		h, w := varint2(nd.recs[off:])
		p.Key, p.Flag = nil, h&listFlag != 0
		if h>>listShift == listFar {
			p.to = off + w + stubSize
			ref, n := readStub(nd.recs[off+w : p.to])
			p.valueRef, p.Value = ref, nd.a.Bytes(ref, n)
			return
		}
		p.to = off + w + h>>listShift
		p.Value = nd.recs[off+w : p.to : p.to]
		return
	}
	s := nd.slot(i)
	p.Flag = s&ownFlag != 0
	p.to = nd.off(i + 1)
	b := nd.recs[off:p.to:p.to]
	var k int
	switch {
	case s&keyFar != 0:
		ref, n := readStub(b)
		p.keyRef, p.Key = ref, nd.a.Bytes(ref, n)
		k = stubSize
	case nd.value < 0:
		n, w := varint2(b)
		k = w + n
		p.Key = b[w:k:k]
	case s&valueFar != 0:
		k = len(b) - stubSize
		p.Key = b[:k:k]
	default:
		k = len(b) - nd.value
		p.Key = b[:k:k]
	}
	p.Value = b[k:]
	if s&valueFar != 0 {
		ref, n := readStub(p.Value)
		p.valueRef, p.Value = ref, nd.a.Bytes(ref, n)
	}
}

// farRefs returns the blocks that record i, which begins at off, of a node of any
// level refers to besides a child.
func (nd *node) farRefs(i, off int) (key, value arena.Ref) {
	if nd.slots == nil {
		if h, w := varint2(nd.recs[off:]); h>>listShift == listFar {
			value, _ = readStub(nd.recs[off+w:])
		}
		return 0, value
	}
	s := nd.slot(i)
	if s&keyFar != 0 {
		key, _ = readStub(nd.recs[off:])
	}
	if s&valueFar != 0 {
		value, _ = readStub(nd.recs[nd.off(i+1)-stubSize:])
	}
	return key, value
}
