package kv

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"kvd/kv/packed"
)

// TestListBecomesTreeWithoutMemory: a block that is to become a tree, for which memory runs out at
// some place or other, is the list that it was, and a list that was not there is not there.
func TestListBecomesTreeWithoutMemory(t *testing.T) {
	big := []byte(strings.Repeat("x", 20_000))
	for _, change := range []struct {
		name string
		make func(l *List) error
		want func(was []string) []string
	}{
		{"Push", func(l *List) error { return l.Push(Right, slices.Repeat([][]byte{big}, 40)) },
			func(was []string) []string { return append(was, slices.Repeat([]string{string(big)}, 40)...) }},
		{"Set", func(l *List) error { _, err := l.Set(1, big); return err },
			func(was []string) []string { was[1] = string(big); return was }},
		{"Insert", func(l *List) error { return l.Insert(2, big) },
			func(was []string) []string { return slices.Insert(was, 2, string(big)) }},
		{"new", func(l *List) error { return l.Push(Left, [][]byte{big}) },
			func([]string) []string { return []string{string(big)} }},
	} {
		for _, mode := range []Mode{0, ModeThread} {
			s := openStore(t, Options{Reserve: 1 << 30, Shards: 1})
			tx, key := s.NewTx(), []byte("list")
			set(t, s, 0, "other", "x", NoExpiry) // the last key takes all that is left with it
			before := s.Memory().Entries
			var was []string
			if change.name != "new" {
				was = []string{"a", "2", "c", strings.Repeat("d", 1500)}
				elems := [][]byte{}
				for _, e := range was {
					elems = append(elems, []byte(e))
				}
				withKey(tx, key, func() { mustDo(t, editList(tx, key, func(l *List) error { return l.Push(Right, elems) })) })
			}
			var v *View
			if mode != 0 {
				var err error
				v, err = s.Freeze(FreezeOptions{Mode: mode})
				mustDo(t, err)
			}
			h := takeAll(s)
			refused := 0
			for err := ErrNoMemory; err != nil; refused++ {
				withKey(tx, key, func() { err = editList(tx, key, change.make) })
				if err == nil {
					break
				}
				if !errors.Is(err, ErrNoMemory) {
					t.Fatal(err)
				}
				if got := listOf(tx, key); !slices.Equal(got, was) {
					t.Fatalf("%s in mode %d: refused %d times, the list is %.80q", change.name, mode, refused+1, got)
				}
				checkShards(t, s)
				h.spare(refused % 2)
			}
			if refused == 0 {
				t.Errorf("%s in mode %d found memory at once", change.name, mode)
			}
			if got, want := listOf(tx, key), change.want(slices.Clone(was)); !slices.Equal(got, want) {
				t.Errorf("%s in mode %d: %.80q", change.name, mode, got)
			}
			h.drop()
			if v != nil {
				mustDo(t, v.Close())
			}
			mustCheck(t, s)
			withKey(tx, key, func() { tx.Delete(0, key) })
			until(t, "no more memory is in use than before", func() bool { return s.Memory().Entries == before })
		}
	}
}

// listOf returns the elements of a list, none if there is no list.
func listOf(tx *Tx, key []byte) (elems []string) {
	withKey(tx, key, func() {
		var l List
		if tx.OpenList(&l, 0, key) != nil {
			return
		}
		l.Range(0, l.Len(), func(v *packed.Value) bool {
			elems = append(elems, string(v.Append(nil)))
			return true
		})
	})
	return elems
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
