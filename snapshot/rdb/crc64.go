package rdb

import "encoding/binary"

// crcPoly is the Jones polynomial ad93d23594c935a9 in reflected order.
const crcPoly = 0x95ac9329ac4bc9b5

// crcTables serves slicing-by-16: crcTables[k][b] is the CRC of byte b followed by k zero bytes.
var crcTables = makeCRCTables()

// crcShift[k] is x^(8·2^k) modulo the polynomial: what appending 2^k zero bytes multiplies a CRC by.
var crcShift = makeCRCShift()

func makeCRCTables() *[16][256]uint64 {
	t := new([16][256]uint64)
	for b := range t[0] {
		c := uint64(b)
		for range 8 {
			c = c>>1 ^ crcPoly&-(c&1)
		}
		t[0][b] = c
	}
	for k := 1; k < len(t); k++ {
		for b := range t[k] {
			c := t[k-1][b]
			t[k][b] = c>>8 ^ t[0][byte(c)]
		}
	}
	return t
}

func makeCRCShift() *[64]uint64 {
	t := new([64]uint64)
	t[0] = 1 << (63 - 8) // x^8: in reflected order bit 63 is x^0
	for k := 1; k < len(t); k++ {
		t[k] = crcMul(t[k-1], t[k-1])
	}
	return t
}

// crcMul multiplies two polynomials modulo the Jones polynomial, all in reflected order.
func crcMul(a, b uint64) uint64 {
	var p uint64
	for ; a != 0; a <<= 1 {
		p ^= b & -(a >> 63)
		b = b>>1 ^ crcPoly&-(b&1)
	}
	return p
}

// crcFold is what foldCRC multiplies by. A block of 16 bytes, A first and then B, is A·x^64 + B; to
// move it on by n bits is to multiply that by x^n, and modulo the polynomial the sum of A·(x^(n+64) mod P)
// and B·(x^n mod P) does as well. It has at most 127 bits: again a block. The product of two numbers in
// reflected order comes out multiplied by x, hence exponents that are one less. For n = 512 and 128:
var crcFold = [4]uint64{crcPower(512 + 63), crcPower(512 - 1), crcPower(128 + 63), crcPower(128 - 1)}

// crcPower returns x^n modulo the polynomial.
func crcPower(n int) uint64 {
	c := uint64(1) << 63
	for range n {
		c = c>>1 ^ crcPoly&-(c&1)
	}
	return c
}

// foldMin is the least number of bytes that foldCRC can begin with.
const foldMin = 64

// UpdateCRC adds the bytes of p to crc, the CRC64 (Jones) of what came before; that of nothing is 0.
func UpdateCRC(crc uint64, p []byte) uint64 {
	if foldable && len(p) >= foldMin {
		a, b := foldCRC(p, crc, &crcFold)
		return crcBytes(crcBlock(a, b), p[len(p)&^15:])
	}
	return updateCRC(crc, p)
}

// updateCRC is UpdateCRC by tables.
func updateCRC(crc uint64, p []byte) uint64 {
	for len(p) >= 16 {
		crc = crcBlock(binary.LittleEndian.Uint64(p)^crc, binary.LittleEndian.Uint64(p[8:]))
		p = p[16:]
	}
	return crcBytes(crc, p)
}

// crcBlock returns the CRC of 16 bytes, a being the first eight.
func crcBlock(a, b uint64) uint64 {
	t := crcTables
	return t[15][byte(a)] ^ t[14][byte(a>>8)] ^ t[13][byte(a>>16)] ^ t[12][byte(a>>24)] ^
		t[11][byte(a>>32)] ^ t[10][byte(a>>40)] ^ t[9][byte(a>>48)] ^ t[8][byte(a>>56)] ^
		t[7][byte(b)] ^ t[6][byte(b>>8)] ^ t[5][byte(b>>16)] ^ t[4][byte(b>>24)] ^
		t[3][byte(b>>32)] ^ t[2][byte(b>>40)] ^ t[1][byte(b>>48)] ^ t[0][byte(b>>56)]
}

// crcBytes adds a few bytes, one by one.
func crcBytes(crc uint64, p []byte) uint64 {
	for _, c := range p {
		crc = crc>>8 ^ crcTables[0][byte(crc)^c]
	}
	return crc
}

// CombineCRC returns the CRC of A followed by B from the CRCs of both and the length of B in bytes,
// so that blocks of one file can be summed in parallel. It takes well under a microsecond.
func CombineCRC(crcA, crcB uint64, lenB int64) uint64 {
	for k := 0; lenB > 0; k++ {
		if lenB&1 != 0 {
			crcA = crcMul(crcA, crcShift[k])
		}
		lenB >>= 1
	}
	return crcA ^ crcB
}
