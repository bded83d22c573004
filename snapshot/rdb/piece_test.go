package rdb

import (
	"bytes"
	"fmt"
	"testing"
)

// piecesOf returns the lengths of the pieces that a set of n elements comes in.
func piecesOf(t *testing.T, n uint64, elem func(i int) []byte, table *LZFTable, swap bool) (sizes []int, elements uint64) {
	t.Helper()
	b := AppendLen([]byte{byte(TypeSet)}, n)
	for i := range n {
		b = AppendString(b, elem(int(i)), table)
	}
	d := NewDumpDecoder(AppendDumpFooter(b, 0, Version), DecoderOptions{})
	var ev Event
	var room []byte
	for more := true; more; more = ev.More {
		if err := d.Next(&ev); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(ev.Value))
		elements = ev.Elements
		if swap {
			mine := ev.Value
			sum := bytes.Clone(mine[:100])
			d.SwapValue(room)
			defer func() {
				if !bytes.Equal(mine[:100], sum) {
					t.Error("a piece that was handed over has changed")
				}
			}()
		}
	}
	return sizes, elements
}

func TestPiecesGrow(t *testing.T) {
	long := make([]byte, 10_000)
	for _, swap := range []bool{false, true} {
		sizes, n := piecesOf(t, 4000, func(i int) []byte { return append(fmt.Append(nil, i, " "), long...) }, nil, swap)
		if len(sizes) != 2 || sizes[0] < pieceMax || sizes[0] > pieceMax+11_000 || n != 4000 {
			t.Errorf("%d elements of 10 KB in pieces of %v bytes", n, sizes)
		}
	}
	// What came for them is a small part of these: they must not add up.
	sizes, n := piecesOf(t, 1000, func(i int) []byte { return append(fmt.Append(nil, i, " "), long...) }, new(LZFTable), false)
	for _, size := range sizes {
		if size > pieceSize+11_000 {
			t.Errorf("a piece of %d bytes of compressed elements", size)
		}
	}
	if len(sizes) < 10 || n != 1000 {
		t.Errorf("%d elements in %d pieces", n, len(sizes))
	}
	sizes, n = piecesOf(t, pieceElements+5, func(i int) []byte { return []byte{byte(i), byte(i >> 8), byte(i >> 16)} }, nil, false)
	if len(sizes) != 2 || n != pieceElements+5 {
		t.Errorf("%d short elements in pieces of %v bytes", n, sizes)
	}
}

// A count that promises more than there is takes no memory for it.
func TestPieceOfHostileCount(t *testing.T) {
	b := AppendString(AppendLen([]byte{byte(TypeSet)}, 1<<60), []byte("one"), nil)
	payload := AppendDumpFooter(b, 0, Version)
	var ev Event
	d := NewDumpDecoder(payload, DecoderOptions{})
	if err := d.Next(&ev); err == nil {
		t.Error("no error")
	}
	if cap(d.piece) > 4096 {
		t.Errorf("%d bytes were taken", cap(d.piece))
	}
}
