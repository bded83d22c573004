package command

import (
	"bytes"
	"math"
	"strconv"
	"testing"
)

func TestHyperLogLogs(t *testing.T) {
	script(t, `
		PFADD
		PFADD a
		PFADD a
		GET a
		OBJECT ENCODING a
		PFADD a x y z
		PFADD a x
		PFCOUNT a
		PFCOUNT a
		GET a
		PFCOUNT nokey
		PFCOUNT nokey a nokey
		PFMERGE b
		PFMERGE b a
		PFMERGE b a nokey
		GET b
		EXPIRE b 100000
		PFMERGE b a
		~ TTL b
		PFDEBUG ENCODING b
		PFDEBUG DECODE b
		PFDEBUG TODENSE b
		PFDEBUG TODENSE b
		PFDEBUG DECODE b
		PFDEBUG ENCODING b
		PFDEBUG GETREG b
		PFDEBUG GETREG a
		PFDEBUG ENCODING a
		PFDEBUG FOO a
		PFDEBUG GETREG nokey
		PFDEBUG GETREG
		PFCOUNT b a
		PFADD b 1 2 3 4 5
		PFADD b 1 2 3 4 5
		PFCOUNT b
		SET s hello
		PFADD s x
		PFCOUNT s
		PFMERGE a s
		PFMERGE s a
		PFDEBUG ENCODING s
		SET s 12345
		PFADD s x
		RPUSH list x
		PFADD list x
		PFCOUNT list
		PFCOUNT a list
		PFMERGE list a
		PFSELFTEST
		SET h "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
		OBJECT ENCODING h
		PFCOUNT h
		OBJECT ENCODING h
		PFADD h x
		SET h "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe"
		PFCOUNT h
		PFCOUNT h a
		PFMERGE a h
		PFDEBUG TODENSE h
		SET h "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe"
		PFCOUNT h
		SET h "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
		PFCOUNT h
		SET h "HYLL"
		PFCOUNT h
		CONFIG SET hll-sparse-max-bytes 20
		PFADD c a
		PFDEBUG ENCODING c
		PFADD c b
		PFDEBUG ENCODING c
		CONFIG SET hll-sparse-max-bytes 3000
	`)
}

// Estimates are Redis' at every size, and its bytes too.
func TestHyperLogLogGrows(t *testing.T) {
	p := newPair(t)
	n := 0
	for size := 1; size < 200_000; size += 1 + size/3 {
		for n < size {
			args := []string{"PFADD", "k"}
			for ; n < size && len(args) < 1000; n++ {
				args = append(args, "element:"+strconv.Itoa(n))
			}
			p.same(args...)
		}
		p.same("PFCOUNT", "k")
		p.same("GET", "k")
		p.same("PFCOUNT", "k", "nokey")
	}
}

// FuzzHLL reads whatever a client may have stored as a HyperLogLog.
func FuzzHLL(f *testing.F) {
	empty := newHLL(nil)
	f.Add([]byte(empty), []byte("x"))
	some := empty
	for i := range 200 {
		at, rank := hllPlace([]byte(strconv.Itoa(i)))
		some, _, _ = append(hll{}, some...).raise(at, rank, 3000)
	}
	f.Add([]byte(some), []byte("y"))
	f.Add([]byte(some[:len(some)-1]), []byte("z"))
	dense, _ := some.toDense()
	f.Add([]byte(dense), []byte("a"))
	f.Fuzz(func(t *testing.T, b, elem []byte) {
		if !isHLL(b) {
			return
		}
		h := hll(bytes.Clone(b))
		_, valid := h.count()
		var regs hllRegs
		if h.unpack(&regs) != valid {
			t.Fatalf("%q is valid to one and not to the other", b)
		}
		h.decode()
		at, rank := hllPlace(elem)
		for _, limit := range []int64{0, 3000, math.MaxInt64} {
			h, _, ok := hll(bytes.Clone(b)).raise(at, rank, limit)
			if !ok {
				if valid {
					t.Fatalf("%q is refused", b)
				}
				continue
			}
			if !isHLL(h) {
				t.Fatalf("%q became %q", b, h)
			}
			if !valid {
				continue
			}
			var after hllRegs
			if !h.unpack(&after) {
				t.Fatalf("%q became %q", b, h)
			}
			want := regs
			want[at] = max(want[at], rank)
			if after != want {
				t.Fatalf("register %d raised to %d changes others too", at, rank)
			}
		}
	})
}

func BenchmarkHyperLogLog(b *testing.B) {
	w := newWorld(b)
	x, c := w.e.NewCtx(), w.connect()
	for i := range 100_000 {
		doString(x, c, "PFADD", "dense", strconv.Itoa(i))
		if i < 500 {
			doString(x, c, "PFADD", "sparse", strconv.Itoa(i))
		}
	}
	for _, key := range []string{"dense", "sparse"} {
		b.Run("PFADD/"+key, func(b *testing.B) {
			var elem []byte
			for i := 0; b.Loop(); i++ {
				elem = strconv.AppendInt(elem[:0], int64(i%500), 10)
				c.Out = c.Out[:0]
				x.Do(c, [][]byte{[]byte("PFADD"), []byte(key), elem})
			}
		})
		b.Run("PFCOUNT2/"+key, func(b *testing.B) {
			for b.Loop() {
				c.Out = c.Out[:0]
				x.Do(c, [][]byte{[]byte("PFCOUNT"), []byte(key), []byte("nokey")})
			}
		})
	}
}
