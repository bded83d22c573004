package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// flatPiece returns n elements from number from on, each with a step between their numbers, as EncFlat has them.
func flatPiece(typ Type, from, n, step int) (b []byte) {
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	for i := range n {
		k := from + i*step
		str(fmt.Sprintf("element:%d", k))
		switch typ {
		case TypeHash:
			str(fmt.Sprint("value:", k))
		case TypeZset:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(k%1000)-500))
		}
	}
	return b
}

var bulkTypes = []Type{TypeSet, TypeHash, TypeZset, TypeList}

// Pieces, small ones and some above promoteAt, fill a tree that is new or has elements.
func TestLoadPieces(t *testing.T) {
	for _, typ := range bulkTypes {
		s := openStore(t, Options{})
		l := s.NewLoader()
		want := 0
		for i, n := range []int{2000, 30_000, 1, 40_000} {
			rec := Record{Key: []byte("k"), Type: typ, Enc: EncFlat, Value: flatPiece(typ, i, n, 4), Append: i > 0}
			if _, err := l.Add([]Record{rec}, false); err != nil {
				t.Fatal(typ, err)
			}
			if want += n; l.Len(0, rec.Key) != int64(want) {
				t.Errorf("%s: %d elements of %d", typ, l.Len(0, rec.Key), want)
			}
			if err := s.Check(); err != nil {
				t.Fatal(typ, err)
			}
		}
		big := Record{Key: []byte("big"), Type: typ, Enc: EncFlat, Value: flatPiece(typ, 0, 50_000, 1)}
		if _, err := l.Add([]Record{big}, false); err != nil {
			t.Fatal(typ, err)
		}
		if err := s.Check(); err != nil {
			t.Fatal(typ, err)
		}
	}
}

// An element that comes twice, in one piece or in two, is an error; of a set it is missing in the number
// of members, by which a loader sees it. Nothing of the key remains after an error.
func TestLoadTwice(t *testing.T) {
	for _, typ := range []Type{TypeSet, TypeHash, TypeZset} {
		const n = 20_000
		whole := flatPiece(typ, 0, n, 1)
		once := flatPiece(typ, 777, 1, 1)
		for name, pieces := range map[string][][]byte{
			"one piece":  {append(slices.Clone(whole), once...)},
			"two pieces": {whole, once},
			"two large":  {whole, append(flatPiece(typ, n, n, 1), once...)},
		} {
			s := openStore(t, Options{})
			l := s.NewLoader()
			var err error
			for i, b := range pieces {
				if _, err = l.Add([]Record{{Key: []byte("k"), Type: typ, Enc: EncFlat, Value: b, Append: i > 0}}, false); err != nil {
					break
				}
			}
			left := l.Len(0, []byte("k"))
			if typ == TypeSet && (err != nil || left%n != 0) || typ != TypeSet && (err == nil || left != 0) {
				t.Errorf("%s in %s: %v, %d elements", typ, name, err, left)
			}
			if err := s.Check(); err != nil {
				t.Error(typ, name, err)
			}
		}
	}
}

// Records that are cut short anywhere are errors.
func TestLoadFlatDamaged(t *testing.T) {
	s := openStore(t, Options{})
	l := s.NewLoader()
	for _, typ := range bulkTypes {
		b := flatPiece(typ, 0, 1000, 1)
		for cut := 1; cut < 10; cut++ {
			rec := Record{Key: []byte("k"), Type: typ, Enc: EncFlat, Value: b[:len(b)-cut]}
			if _, err := l.Add([]Record{rec}, true); err == nil {
				t.Errorf("%s without its last %d bytes is taken", typ, cut)
			}
		}
	}
	b := slices.Concat(flatPiece(TypeZset, 0, 1000, 1), []byte{1, 'x'}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())))
	if _, err := l.Add([]Record{{Key: []byte("k"), Type: TypeZset, Enc: EncFlat, Value: b}}, true); !errors.Is(err, errZsetRecord) {
		t.Error(err)
	}
}

// Scores come ascending, descending or in no order, with both zeroes and infinities among them.
func TestLoadScores(t *testing.T) {
	scores := []float64{math.Inf(-1), -7, math.Copysign(0, -1), 0, 1, math.Inf(1)}
	var list []ZsetElement
	for i := range 3000 {
		list = append(list, ZsetElement{fmt.Append(nil, "m", i), scores[i%len(scores)]})
	}
	SortZset(list)
	for name, arrange := range map[string]func([]ZsetElement){
		"ascending": func([]ZsetElement) {}, "descending": slices.Reverse[[]ZsetElement],
		"mixed": func(l []ZsetElement) { rand.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] }) },
	} {
		s := openStore(t, Options{})
		l := s.NewLoader()
		given := slices.Clone(list)
		arrange(given)
		for i, part := range [][]ZsetElement{given[:1700], given[1700:]} {
			var b []byte
			for _, e := range part {
				b = append(binary.AppendUvarint(b, uint64(len(e.Member))), e.Member...)
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.Score))
			}
			if _, err := l.Add([]Record{{Key: []byte("z"), Type: TypeZset, Enc: EncFlat, Value: b, Append: i > 0}}, false); err != nil {
				t.Fatal(err)
			}
		}
		tx := s.NewTx()
		tx.LockKey([]byte("z"))
		it, _ := tx.Peek(0, []byte("z"))
		els := it.Elements()
		i := 0
		for e := (Element{}); els.Next(&e); i++ {
			if w := list[i]; !bytes.Equal(e.Member.Text, w.Member) || math.Float64bits(e.Score) != math.Float64bits(w.Score) {
				t.Fatalf("%s: element %d is %q with %v, not %q with %v", name, i, e.Member.Text, e.Score, w.Member, w.Score)
			}
		}
		tx.Unlock()
		if err := s.Check(); err != nil || i != len(list) {
			t.Errorf("%s: %d elements, %v", name, i, err)
		}
	}
}

// Items are sorted by hash, and by the bytes of their elements where hashes are equal.
func TestSortItems(t *testing.T) {
	for _, n := range []int{0, 1, 2, radixFrom - 1, radixFrom, 5000} {
		elems := make([][]byte, n)
		items := make([]uint64, n)
		for i := range items {
			elems[i] = fmt.Append(nil, rand.Uint32())
			items[i] = uint64(rand.Uint32()>>20<<20)<<32 | uint64(i) // many are equal
		}
		compare := func(a, b uint64) int {
			if a>>32 != b>>32 {
				return int(int64(a>>32) - int64(b>>32))
			}
			return bytes.Compare(elems[uint32(a)], elems[uint32(b)])
		}
		want := slices.Clone(items)
		slices.SortStableFunc(want, compare)
		if got := sortItems(items, func(i int) []byte { return elems[i] }); !slices.Equal(got, want) {
			t.Errorf("%d items are not in order", n)
		}
	}
}
