package command

import (
	"fmt"
	"math/bits"
	"strconv"
	"testing"
)

func TestBitmaps(t *testing.T) {
	script(t, `
		SETBIT a 7 1
		SETBIT a 7 0
		SETBIT a 7 0
		SETBIT a 800 0
		STRLEN a
		SETBIT a x 1
		SETBIT a -1 1
		SETBIT a 4294967296 1
		SETBIT a 1 2
		SETBIT a 1 -1
		SETBIT a 1
		GETBIT a 7
		GETBIT a 100000
		GETBIT a 4294967295
		GETBIT a 4294967296
		GETBIT a x
		GETBIT nokey 3
		SET b foobar
		BITCOUNT b
		BITCOUNT b 0 0
		BITCOUNT b 1 1
		BITCOUNT b 5 30 BIT
		BITCOUNT b 5 -30 bit
		BITCOUNT b -1 -5 foo
		BITCOUNT b 0 -1 foo
		BITCOUNT b 0
		BITCOUNT b 0 1 BIT x
		BITCOUNT b x y
		BITCOUNT nokey x
		BITCOUNT b 9223372036854775807 9223372036854775807
		BITCOUNT b -9223372036854775808 9223372036854775807
		SET ones \xff\xff\xff
		SET empty ""
		BITPOS ones 0
		BITPOS ones 0 0
		BITPOS ones 0 1
		BITPOS ones 0 5
		BITPOS ones 0 0 -1
		BITPOS ones 0 0 -1 BIT
		BITPOS ones 1 9 9 BIT
		BITPOS ones 1 9 8 BIT
		BITPOS ones 1 -1 -5 foo
		BITPOS ones 2
		BITPOS ones x
		BITPOS ones 1 0 0 BIT x
		BITPOS nokey 0 x
		BITPOS nokey 1 x
		BITPOS empty 0
		BITPOS empty 1
		BITPOS b 1 2
		BITPOS b 0 2 3
		BITOP AND d a b
		GET d
		BITOP OR d a b
		GET d
		BITOP XOR d a b
		GET d
		BITOP NOT d b
		GET d
		OBJECT ENCODING d
		BITOP NOT d a b
		BITOP FOO d a
		BITOP NOT d nokey
		EXISTS d
		EXPIRE b 1000
		BITOP OR b a
		TTL b
		RPUSH list x
		SETBIT list 0 1
		SETBIT list x 1
		GETBIT list 0
		BITCOUNT list
		BITPOS list 1
		BITOP AND d a list
		BITFIELD list
		BITFIELD list GET u8 0
		BITFIELD list SET u8 0 1
		BITFIELD nokey GET u8 0 GET i8 5
		EXISTS nokey
		BITFIELD f SET u8 #1 255 GET u8 8 GET i8 #1
		BITFIELD f INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
		BITFIELD f INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 102 1
		BITFIELD f OVERFLOW FAIL INCRBY u2 102 9 OVERFLOW WRAP INCRBY u2 102 9
		BITFIELD f SET i64 3 -9223372036854775808 OVERFLOW SAT INCRBY i64 3 -1
		BITFIELD f SET u63 7 9223372036854775807 INCRBY u63 7 1
		BITFIELD f GET u64 0
		BITFIELD f GET u0 0
		BITFIELD f GET i65 0
		BITFIELD f GET U8 0
		BITFIELD f GET u8 -1
		BITFIELD f GET u8 #9223372036854775807
		BITFIELD f SET u8 0 x
		BITFIELD f OVERFLOW FOO
		BITFIELD f OVERFLOW
		BITFIELD f GET u8
		BITFIELD f FOO
		BITFIELD f
		BITFIELD_RO f GET u8 0
		BITFIELD_RO f SET u8 0 1
		BITFIELD_RO f OVERFLOW SAT
		COMMAND GETKEYSANDFLAGS bitfield k get u8 0
		COMMAND GETKEYSANDFLAGS bitfield k set u8 0 1
		COMMAND GETKEYSANDFLAGS bitfield k get u8 0 overflow sat
		COMMAND GETKEYSANDFLAGS bitfield k get u8 0 get
		COMMAND GETKEYS bitop and d a b
		COMMAND GETKEYS bitop and d
	`)
}

// BITCOUNT and BITPOS of every range of a string are what a look at each bit says.
func TestBitRanges(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	r := newRand(9)
	for _, size := range []int{1, 3, 9, 40, 16_384 * 3} {
		b := make([]byte, size)
		for range size / 2 {
			b[r.IntN(size)] = byte(r.Uint32())
		}
		doString(x, c, "SET", "k", string(b))
		set := func(i int) int { return int(b[i/8] >> (7 - i%8) & 1) }
		for range 300 {
			from := r.IntN(8 * size)
			to := min(from+r.IntN(8*size-from), from+5000)
			count, pos := 0, [2]int{-1, -1}
			for i := from; i <= to; i++ {
				count += set(i)
				if pos[set(i)] < 0 {
					pos[set(i)] = i
				}
			}
			rng := []string{strconv.Itoa(from), strconv.Itoa(to), "BIT"}
			if got := doString(x, c, append([]string{"BITCOUNT", "k"}, rng...)...); got != fmt.Sprintf(":%d\r\n", count) {
				t.Fatalf("%d bytes, bits %d to %d: %d are set, not %q", size, from, to, count, got)
			}
			for bit, want := range pos {
				if got := doString(x, c, append([]string{"BITPOS", "k", strconv.Itoa(bit)}, rng...)...); got != fmt.Sprintf(":%d\r\n", want) {
					t.Fatalf("%d bytes, bits %d to %d: the first %d is %d, not %q", size, from, to, bit, want, got)
				}
			}
		}
	}
}

func BenchmarkOnesCount(b *testing.B) {
	buf := make([]byte, 16<<10)
	for i := range buf {
		buf[i] = byte(i * 7)
	}
	b.SetBytes(int64(len(buf)))
	n := 0
	for b.Loop() {
		n += onesCount(buf)
	}
	if n == 0 {
		b.Fatal(bits.UintSize)
	}
}

// BenchmarkLongString is what the frequent commands on long strings cost, in process.
func BenchmarkLongString(b *testing.B) {
	w := newWorld(b)
	x, c := w.e.NewCtx(), w.connect()
	for _, size := range []int{1 << 20, 512 << 20} {
		doString(x, c, "SETRANGE", "k", strconv.Itoa(size-1), "x")
		for i := 0; i < size; i += 64 << 10 {
			doString(x, c, "SETRANGE", "k", strconv.Itoa(i), "x")
		}
		for _, name := range []string{"SETBIT", "GETBIT", "SETRANGE", "GETRANGE", "BITFIELD", "BITCOUNT"} {
			b.Run(fmt.Sprintf("%s/%dMB", name, size>>20), func(b *testing.B) {
				if name == "BITCOUNT" {
					b.SetBytes(int64(size))
				}
				i := 0
				var num []byte
				for b.Loop() {
					i = (i + 7_654_321) % (size - 100)
					num = strconv.AppendInt(num[:0], int64(i), 10)
					args := [][]byte{[]byte(name), []byte("k"), num, []byte("1")}
					switch name {
					case "GETBIT":
						args = args[:3]
					case "GETRANGE":
						args[3] = num
					case "BITCOUNT":
						args = args[:2]
					case "BITFIELD":
						args = [][]byte{args[0], args[1], []byte("INCRBY"), []byte("u8"), num, []byte("1")}
					}
					c.Out = c.Out[:0]
					x.Do(c, args)
				}
			})
		}
	}
}
