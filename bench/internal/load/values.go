//go:build linux

package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	valuePool = 2 << 20 // bytes that values are cut from, beyond their length
	stampLen  = 8
)

// values makes values at the price of one copy: a piece of a big buffer from a
// random place, with a stamp over its first bytes that no other value has.
type values struct {
	pool  []byte
	head  []byte // "$300\r\n"
	n     int
	kind  ValueKind
	stamp uint64
}

func newValues(kind ValueKind, n int, seed uint64) *values {
	v := &values{n: n, kind: kind, head: fmt.Appendf(nil, "$%d\r\n", n), pool: make([]byte, 0, valuePool+n)}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	src := rand.NewChaCha8(key)
	v.stamp = src.Uint64()
	if kind == Random {
		v.pool = v.pool[:cap(v.pool)]
		_, _ = src.Read(v.pool) // never fails
		return v
	}
	for len(v.pool) < valuePool+n {
		id := src.Uint64()
		v.pool = append(v.pool, `{"id":`...)
		v.pool = strconv.AppendUint(v.pool, id%1e7, 10)
		v.pool = append(v.pool, `,"name":"user`...)
		v.pool = strconv.AppendUint(v.pool, id%1e7, 10)
		v.pool = append(v.pool, `","mail":"user`...)
		v.pool = strconv.AppendUint(v.pool, id%1e7, 10)
		v.pool = append(v.pool, `@example.com","visits":`...)
		v.pool = strconv.AppendUint(v.pool, id>>40%1000, 10)
		v.pool = append(v.pool, "}\n"...)
	}
	return v
}

// appendBulk appends a value as a bulk string.
func (v *values) appendBulk(dst []byte, r *rand.Rand) []byte {
	dst = append(dst, v.head...)
	begin := len(dst)
	at := int(r.Uint32N(valuePool))
	dst = append(dst, v.pool[at:at+v.n]...)
	v.stamp++
	var s [stampLen]byte
	x := v.stamp * 0x9e3779b97f4a7c15 // odd: no two stamps are the same
	if v.kind == Random {
		binary.LittleEndian.PutUint64(s[:], x)
	} else {
		for i := range s { // letters: 2^32 values without a repetition
			s[i] = 'a' + byte(v.stamp>>(4*i)&15)
		}
	}
	copy(dst[begin:], s[:])
	return append(dst, '\r', '\n')
}
