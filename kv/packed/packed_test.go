package packed

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// samples are elements on both sides of every border between encodings.
func samples() []string {
	var s []string
	for _, n := range []int64{0, 1, 127, 128, 4095, 4096, 32767, 32768, 1<<23 - 1, 1 << 23, math.MaxInt32,
		math.MaxInt32 + 1, math.MaxInt64 - 1, math.MaxInt64} {
		s = append(s, strconv.FormatInt(n, 10), strconv.FormatInt(-n, 10), strconv.FormatInt(-n-1, 10))
	}
	for _, n := range []int{0, 1, 20, 21, 62, 63, 64, 126, 127, 128, 4094, 4095, 4096, 16377, 16378, 16379, 16380, 70000} {
		s = append(s, strings.Repeat("x", n))
	}
	return append(s, "-", "-0", "+1", "01", " 1", "1 ", "1.0", "9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "99999999999999999999", "--1", "\x00", "0x10")
}

func TestParseInt(t *testing.T) {
	for _, s := range samples() {
		want, err := strconv.ParseInt(s, 10, 64)
		wantOK := err == nil && strconv.FormatInt(want, 10) == s
		if got, ok := ParseInt([]byte(s)); ok != wantOK || ok && got != want {
			t.Errorf("ParseInt(%.30q) = %d, %v", s, got, ok)
		}
	}
}

// check compares a listpack with what should be in it, by every way of getting there.
func check(t *testing.T, b []byte, want []string) {
	t.Helper()
	if n, err := Validate(b); err != nil || n != len(want) {
		t.Fatalf("Validate: %d, %v; want %d", n, err, len(want))
	}
	if Len(b) != len(want) || Bytes(b) != len(b) {
		t.Fatalf("Len %d Bytes %d; want %d %d", Len(b), Bytes(b), len(want), len(b))
	}
	at, back := First(b), Last(b)
	for i, w := range want {
		v := Get(b, at)
		if s := v.Append(nil); string(s) != w || !v.Equal([]byte(w)) || v.Len() != len(w) {
			t.Fatalf("element %d: %.40q; want %.40q", i, s, w)
		}
		if Seek(b, i) != at || Seek(b, i-len(want)) != at {
			t.Fatalf("Seek of %d of %d", i, len(want))
		}
		v = Get(b, back)
		if s := v.Append(nil); string(s) != want[len(want)-1-i] {
			t.Fatalf("element -%d: %.40q", i+1, s)
		}
		at, back = Next(b, at), Prev(b, back)
	}
	if at != -1 || back != -1 || Seek(b, len(want)) != -1 || Seek(b, -len(want)-1) != -1 {
		t.Fatalf("no end: %d %d", at, back)
	}
}

func TestEmpty(t *testing.T) {
	b := NewListpack()
	check(t, b, nil)
	if Find(b, First(b), []byte("a"), 0) != -1 || len(Delete(b, len(b)-1, 3)) != len(b) {
		t.Error("found or deleted something")
	}
}

// TestListpackModel changes a listpack and a slice of strings in the same ways.
func TestListpackModel(t *testing.T) {
	all := samples()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := NewListpack()
		var want []string
		for range 300 {
			s := all[r.IntN(len(all))]
			i := 0
			if len(want) > 0 {
				i = r.IntN(len(want))
			}
			at := Seek(b, i)
			switch op := r.IntN(6); {
			case op == 0 || len(want) == 0:
				b, want = Append(b, []byte(s)), append(want, s)
			case op == 1:
				b, want = Insert(b, at, []byte(s)), append(want[:i:i], append([]string{s}, want[i:]...)...)
			case op == 2:
				b, want[i] = Replace(b, at, []byte(s)), s
			case op == 3:
				n := r.Int64() >> r.IntN(64)
				b, want[i] = ReplaceInt(b, at, n), strconv.FormatInt(n, 10)
			case op == 4:
				n := r.Int64() >> r.IntN(64)
				b, want = AppendInt(b, n), append(want, strconv.FormatInt(n, 10))
			default:
				n := r.IntN(3)
				b, want = Delete(b, at, n), append(want[:i:i], want[min(i+n, len(want)):]...)
			}
			check(t, b, want)
			skip := r.IntN(3)
			found := -1
			for j := i; j < len(want) && found < 0; j += skip + 1 {
				if want[j] == s {
					found = j
				}
			}
			if got := Find(b, Seek(b, i), []byte(s), skip); got != -1 && got != Seek(b, found) || (got == -1) != (found == -1) {
				t.Fatalf("Find(%d, %.40q, %d) = %d; want the %dth", i, s, skip, got, found)
			}
		}
	}
}

// TestUncounted: a header that cannot hold the number of elements says so for good.
func TestUncounted(t *testing.T) {
	b := NewListpack()
	for i := range 65534 {
		b = AppendInt(b, int64(i))
	}
	if b[4] != 0xFE || b[5] != 0xFF || Len(b) != 65534 {
		t.Fatal("65534 are countable")
	}
	for i := range 10 {
		b = AppendInt(b, int64(65534+i))
	}
	if b[4] != 0xFF || b[5] != 0xFF || Len(b) != 65544 {
		t.Fatalf("Len %d", Len(b))
	}
	if v := Get(b, Seek(b, 65540)); v.Int != 65540 {
		t.Errorf("element 65540 is %d", v.Int)
	}
	if v := Get(b, Seek(b, -65544)); v.Int != 0 {
		t.Errorf("element -65544 is %d", v.Int)
	}
	if Seek(b, 65544) != -1 || Seek(b, -65545) != -1 {
		t.Error("found one too many")
	}
	b = Delete(b, First(b), 60000)
	if n, err := Validate(b); err != nil || n != 5544 || Len(b) != 5544 {
		t.Errorf("%d, %v, %d", n, err, Len(b))
	}
}

// TestForeign: encodings that are longer than needed are accepted.
func TestForeign(t *testing.T) {
	elements := [][]byte{
		{enc13Int, 5}, {enc16Int, 5, 0}, {enc24Int, 5, 0, 0}, {enc32Int, 5, 0, 0, 0}, {enc64Int, 5, 0, 0, 0, 0, 0, 0, 0},
		{enc24Int, 0xFB, 0xFF, 0xFF}, {0xDF, 0xFB}, // -5
		{enc12Str, 1, '5'}, {enc32Str, 1, 0, 0, 0, '5'}, {enc6Str | 1, '5'},
	}
	b := NewListpack()
	for _, e := range elements {
		b = append(b[:len(b)-1], e...)
		b = append(b, byte(len(e)), endOfList)
		account(b, 1)
	}
	check(t, b, []string{"5", "5", "5", "5", "5", "-5", "-5", "5", "5", "5"})
	if Find(b, Seek(b, 5), []byte("5"), 0) != Seek(b, 7) {
		t.Error("a number in a string is not found")
	}
}

func TestValidate(t *testing.T) {
	good := Append(Append(NewListpack(), []byte("hello")), []byte("1000"))
	for name, bad := range map[string][]byte{
		"nil":        nil,
		"short":      good[:6],
		"cut":        good[:len(good)-1],
		"longer":     append(bytes.Clone(good), 0),
		"no end":     {7, 0, 0, 0, 0, 0, 0},
		"end inside": {9, 0, 0, 0, 1, 0, endOfList, 1, endOfList},
		"encoding":   {9, 0, 0, 0, 1, 0, 0xF5, 1, endOfList},
		"string":     {9, 0, 0, 0, 1, 0, enc6Str | 5, 6, endOfList},
		"long":       {13, 0, 0, 0, 1, 0, enc32Str, 255, 255, 255, 255, 6, endOfList},
		"back":       {9, 0, 0, 0, 1, 0, 1, 2, endOfList},
		"no back":    {8, 0, 0, 0, 1, 0, 1, endOfList},
		"few":        {9, 0, 0, 0, 0, 0, 1, 1, endOfList},
		"many":       {9, 0, 0, 0, 2, 0, 1, 1, endOfList},
	} {
		if n, err := Validate(bad); err == nil {
			t.Errorf("%s: %d elements", name, n)
		}
	}
}

// FuzzListpack: what passes Validate can be read and changed in every way.
func FuzzListpack(f *testing.F) {
	b := NewListpack()
	f.Add(bytes.Clone(b), []byte("x"))
	for i, s := range samples() {
		if len(s) > 300 {
			continue
		}
		if b = Append(b, []byte(s)); i%8 == 7 {
			f.Add(b, []byte("-4096"))
			b = NewListpack()
		}
	}
	f.Fuzz(func(t *testing.T, b, elem []byte) {
		n, err := Validate(b)
		if err != nil {
			return
		}
		var want []string
		for at := First(b); at >= 0; at = Next(b, at) {
			v := Get(b, at)
			want = append(want, string(v.Append(nil)))
		}
		if len(want) != n {
			t.Fatalf("%d elements, Validate says %d", len(want), n)
		}
		check(t, b, want)
		Find(b, First(b), elem, 1)
		c := Insert(bytes.Clone(b), First(b), elem)
		check(t, c, append([]string{string(elem)}, want...))
		check(t, Delete(c, First(c), 1), want)
	})
}

// mutate changes a few bytes of b.
func mutate(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		switch r.IntN(4) {
		case 0:
			b = b[:r.IntN(len(b)+1)]
		case 1:
			b = append(b, byte(r.IntN(256)))
		}
		if len(b) > 0 {
			b[r.IntN(len(b))] = byte(r.IntN(256))
		}
	}
	if len(b) >= 4 && r.IntN(2) == 0 { // so that the first check does not catch them all
		b[0], b[1], b[2], b[3] = byte(len(b)), byte(len(b)>>8), 0, 0
	}
	return b
}

// TestMutated is the fuzz targets' short form for every run of the tests.
func TestMutated(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	list, set := NewListpack(), IntsetNew()
	for i, s := range samples() {
		if len(s) < 300 {
			list = Append(list, []byte(s))
		}
		set, _ = IntsetAdd(set, int64(i))
	}
	passed := 0
	for range 100_000 {
		b := mutate(r, list)
		if n, err := Validate(b); err == nil {
			passed++
			for at := Last(b); at >= 0; at = Prev(b, at) {
				v := Get(b, at)
				v.Equal([]byte("1"))
				n--
			}
			if n != 0 {
				t.Fatalf("%d elements more from the front than from the end", n)
			}
		}
		b = mutate(r, set)
		if IntsetValidate(b) == nil {
			passed++
			for i := range IntsetLen(b) {
				if j, ok := IntsetFind(b, IntsetAt(b, i)); !ok || i != j {
					t.Fatal("a number is not found")
				}
			}
		}
	}
	if passed == 0 {
		t.Error("every mutation was refused: nothing has been tried")
	}
}

func TestIntsetModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := IntsetNew()
		want := map[int64]bool{}
		for range 300 {
			n := r.Int64() >> (16 + r.IntN(48)) % 64
			if r.IntN(100) == 0 {
				n = r.Int64()
			}
			if r.IntN(2) == 0 {
				n = -n
			}
			var ok bool
			if r.IntN(3) > 0 {
				if b, ok = IntsetAdd(b, n); ok == want[n] {
					t.Fatalf("added %d: %v", n, ok)
				}
				want[n] = true
			} else {
				for m := range want {
					n = m
					break
				}
				if b, ok = IntsetDelete(b, n); ok != want[n] {
					t.Fatalf("deleted %d: %v", n, ok)
				}
				delete(want, n)
			}
			if err := IntsetValidate(b); err != nil || IntsetLen(b) != len(want) {
				t.Fatalf("%v, %d numbers, want %d", err, IntsetLen(b), len(want))
			}
			for m := range want {
				if i, ok := IntsetFind(b, m); !ok || IntsetAt(b, i) != m {
					t.Fatalf("%d is lost", m)
				}
			}
		}
	}
}

func TestIntsetValidate(t *testing.T) {
	for name, bad := range map[string][]byte{
		"nil":       nil,
		"short":     {2, 0, 0, 0, 0, 0, 0},
		"width":     {3, 0, 0, 0, 0, 0, 0, 0},
		"few":       {2, 0, 0, 0, 2, 0, 0, 0, 1, 0},
		"many":      {2, 0, 0, 0, 0, 0, 0, 0, 1, 0},
		"overflow":  {8, 0, 0, 0, 0, 0, 0, 0x20},
		"order":     {2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0},
		"duplicate": {2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 2, 0},
	} {
		if IntsetValidate(bad) == nil {
			t.Error(name)
		}
	}
}

func FuzzIntset(f *testing.F) {
	b := IntsetNew()
	for _, n := range []int64{1, -1, 70000, 1 << 40} {
		b, _ = IntsetAdd(b, n)
		f.Add(bytes.Clone(b), n+1)
	}
	f.Fuzz(func(t *testing.T, b []byte, n int64) {
		if IntsetValidate(b) != nil {
			return
		}
		c, added := IntsetAdd(bytes.Clone(b), n)
		if err := IntsetValidate(c); err != nil {
			t.Fatal(err)
		}
		if added {
			if c, added = IntsetDelete(c, n); !added || IntsetLen(c) != IntsetLen(b) {
				t.Fatal("not deleted")
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	l := NewListpack()
	for i := range 128 {
		l = Append(Append(l, strconv.AppendInt([]byte("field:"), int64(i), 10)), []byte("a value"))
	}
	elem := []byte("field:127")
	for b.Loop() {
		if Find(l, First(l), elem, 1) < 0 {
			b.Fatal("not found")
		}
	}
}
