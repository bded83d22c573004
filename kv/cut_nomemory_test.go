package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"kvd/kv/internal/arena"
)

// writers are ways to change a collection of each type that is trees.
var writers = []struct {
	typ   Type
	name  string
	write func(tx *Tx, key []byte, i int) error
}{
	{TypeString, "WriteAt", func(tx *Tx, key []byte, i int) error {
		_, err := tx.WriteAt(0, key, int64(i)*1000, []byte("changed"))
		return err
	}},
	{TypeHash, "Set", func(tx *Tx, key []byte, i int) error {
		return editHash(tx, key, func(h *Hash) error {
			_, err := h.Set(fmt.Append(nil, i), []byte("changed"), KeepExpiry)
			return err
		})
	}},
	{TypeHash, "SetExpiry", func(tx *Tx, key []byte, i int) error {
		return editHash(tx, key, func(h *Hash) error {
			_, err := h.SetExpiry(fmt.Append(nil, i), 1<<42)
			return err
		})
	}},
	{TypeHash, "Delete", func(tx *Tx, key []byte, i int) error {
		return editHash(tx, key, func(h *Hash) error {
			_, err := h.Delete(fmt.Append(nil, i))
			return err
		})
	}},
	{TypeSet, "Add", func(tx *Tx, key []byte, i int) error {
		var s Set
		_ = tx.OpenSet(&s, 0, key)
		_, err := s.Add([][]byte{fmt.Appendf(nil, "new:%d", i)})
		return err
	}},
	{TypeSet, "Remove", func(tx *Tx, key []byte, i int) error {
		var s Set
		_ = tx.OpenSet(&s, 0, key)
		_, err := s.Remove([][]byte{fmt.Append(nil, i)})
		return err
	}},
	{TypeZset, "Add", func(tx *Tx, key []byte, i int) error {
		return editZset(tx, key, func(z *Zset) error {
			_, _, err := z.Add(fmt.Append(nil, i), 0.5, 0)
			return err
		})
	}},
	{TypeZset, "Remove", func(tx *Tx, key []byte, i int) error {
		return editZset(tx, key, func(z *Zset) error {
			_, err := z.Remove(fmt.Append(nil, i))
			return err
		})
	}},
	{TypeZset, "RemoveRange", func(tx *Tx, key []byte, i int) error {
		return editZset(tx, key, func(z *Zset) error { return z.RemoveRange(int64(i), 1) })
	}},
	{TypeList, "Push", func(tx *Tx, key []byte, i int) error {
		return editList(tx, key, func(l *List) error { return l.Push(Right, [][]byte{fmt.Append(nil, i)}) })
	}},
	{TypeList, "Pop", func(tx *Tx, key []byte, i int) error {
		return editList(tx, key, func(l *List) error { return l.Pop(Left, 3) })
	}},
	{TypeList, "Remove", func(tx *Tx, key []byte, i int) error { // by a new tree of the others
		return editList(tx, key, func(l *List) error { _, err := l.Remove([]byte("same"), Left, 0); return err })
	}},
	{TypeStream, "Append", func(tx *Tx, key []byte, i int) error {
		return editStream(tx, key, func(s *Stream) error {
			return s.Append(StreamID{s.Last.Ms + 1, 0}, [][]byte{[]byte("field"), []byte("value")})
		})
	}},
	{TypeStream, "Trim", func(tx *Tx, key []byte, i int) error {
		return editStream(tx, key, func(s *Stream) error {
			_, _, err := s.Trim(StreamTrim{MaxLen: s.Length - 5})
			return err
		})
	}},
	{TypeStream, "SetID", func(tx *Tx, key []byte, i int) error { // the tail alone changes
		return editStream(tx, key, func(s *Stream) error { s.Last.Ms++; return nil })
	}},
}

func editHash(tx *Tx, key []byte, edit func(h *Hash) error) error {
	var h Hash
	if err := tx.OpenHash(&h, 0, key); err != nil {
		return err
	}
	return firstError(edit(&h), h.Save())
}

func editZset(tx *Tx, key []byte, edit func(z *Zset) error) error {
	var z Zset
	if err := tx.OpenZset(&z, 0, key); err != nil {
		return err
	}
	if err := edit(&z); err != nil {
		return firstError(err, z.Save(0))
	}
	return z.Save(1)
}

func editList(tx *Tx, key []byte, edit func(l *List) error) error {
	var l List
	if err := tx.OpenList(&l, 0, key); err != nil {
		return err
	}
	return edit(&l)
}

func editStream(tx *Tx, key []byte, edit func(s *Stream) error) error {
	var s Stream
	if err := tx.OpenStream(&s, 0, key); err != nil {
		return err
	}
	if err := edit(&s); err != nil {
		return err
	}
	return s.Save(1)
}

// fillTrees makes a collection of n elements that is trees. Many take more than promoteAt.
func fillTrees(t *testing.T, tx *Tx, key []byte, typ Type, n int) {
	t.Helper()
	var err error
	pad := strings.Repeat("x", n/30)
	switch typ {
	case TypeString:
		err = tx.SetString(0, key, bytes.Repeat([]byte("0123456789"), n*10), EncRaw, NoExpiry)
	case TypeHash:
		err = editHash(tx, key, func(h *Hash) (err error) {
			for i := 0; i < n && err == nil; i++ {
				_, err = h.Set(fmt.Append(nil, i), []byte(pad), int64(i%2)<<41)
			}
			return err
		})
	case TypeSet:
		var s Set
		_ = tx.OpenSet(&s, 0, key)
		for i := 0; i < n && err == nil; i++ {
			_, err = s.Add([][]byte{fmt.Append(nil, i), fmt.Append(nil, i, pad)})
		}
	case TypeZset:
		err = editZset(tx, key, func(z *Zset) (err error) {
			for i := 0; i < n && err == nil; i++ {
				_, _, _ = z.Add(fmt.Append(nil, i, pad), float64(i), 0)
				_, _, err = z.Add(fmt.Append(nil, i), float64(i), 0)
			}
			return err
		})
	case TypeList:
		err = editList(tx, key, func(l *List) (err error) {
			for i := 0; i < n && err == nil; i++ {
				err = l.Push(Right, [][]byte{fmt.Append(nil, i, pad), []byte("same")})
			}
			return err
		})
	case TypeStream:
		err = editStream(tx, key, func(s *Stream) (err error) {
			for i := 0; i < n && err == nil; i++ {
				err = s.Append(StreamID{uint64(i + 1), 0}, [][]byte{[]byte("field"), []byte(pad)})
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if it, _ := tx.Peek(0, key); !hasTrees(it.Type, it.Encoding) || (n > 1000) != (headID(it.Value) != 0) {
		t.Fatalf("%s is not trees, or not of the right size", key)
	}
}

// told returns a sum of all that the store tells of a key.
func told(tx *Tx, key []byte) uint64 {
	sum := fnv.New64a()
	it, ok := tx.Peek(0, key)
	fmt.Fprint(sum, ok, it.Type, it.Len())
	if it.Type == TypeStream {
		var s Stream
		_ = tx.OpenStream(&s, 0, key)
		fmt.Fprint(sum, s.Last, s.Added, s.Length)
		var e StreamEntry
		var b [16]byte
		for es := s.Entries(StreamID{}, StreamID{1 << 63, 0}, false); es.Next(&e); {
			binary.LittleEndian.PutUint64(b[:], e.ID.Ms)
			sum.Write(b[:])
		}
		return sum.Sum64()
	}
	var e Element
	var b []byte
	for es := it.Elements(); es.Next(&e); {
		b = e.Value.Append(append(e.Member.Append(b[:0]), ' '))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.Score))
		sum.Write(binary.LittleEndian.AppendUint64(b, uint64(e.ExpireAt)))
	}
	return sum.Sum64()
}

// useUp takes the room that the runs of all heaps have left, until release.
func useUp(s *Store) (release func()) {
	heaps := s.shards[0].bigs.appendHeaps(s.shards[0].tables[0].Heaps())
	refs := make([][]arena.Ref, len(heaps))
	for i, h := range heaps {
		for _, alloc := range []func(int) (arena.Ref, error){h.Alloc, h.AllocApart} {
			for size := arena.MaxSmall; size > 0; size -= 8 {
				for ref, err := alloc(size); err == nil; ref, err = alloc(size) {
					refs[i] = append(refs[i], ref)
				}
			}
		}
	}
	return func() {
		for i, h := range heaps {
			for _, ref := range refs[i] {
				h.Free(ref)
			}
		}
		sh := &s.shards[0]
		for _, b := range sh.bigs.of[0] {
			sh.note(s, b)
		}
		sh.recount()
	}
}

// TestWriteUnderCutWithoutMemory: the first change of a collection since a cut that finds no memory, wherever
// it gets to, is refused and has changed nothing.
func TestWriteUnderCutWithoutMemory(t *testing.T) {
	for _, o := range []FreezeOptions{{Mode: ModeThread}, {Mode: ModeFork}, {Mode: ModeFork, WritePolicy: WritePathCopy}} {
		t.Run(fmt.Sprint(o.Mode, o.WritePolicy), func(t *testing.T) { writeUnderCut(t, o) })
	}
}

func writeUnderCut(t *testing.T, o FreezeOptions) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 1, Databases: 1})
	s.SetActiveExpire(false)
	tx := s.NewTx()
	sizes := []int{600, 3000} // in the table's heap, and in one of their own
	func() {
		tx.LockAll()
		defer tx.Unlock()
		for i, w := range writers {
			for _, size := range sizes {
				fillTrees(t, tx, fmt.Appendf(nil, "%d:%d", i, size), w.typ, size)
			}
		}
	}()
	v, err := s.Freeze(o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	tx.LockAll()
	defer tx.Unlock()
	rng := rand.New(rand.NewPCG(6, 7))
	for i, w := range writers {
		refused := 0
		for _, size := range sizes {
			key := fmt.Appendf(nil, "%d:%d", i, size)
			h := takeAll(s)
			release := useUp(s)
			for round := 0; ; round++ {
				was, changes := told(tx, key), s.Changes()
				err := w.write(tx, key, 100+round)
				if err == nil {
					if told(tx, key) == was {
						t.Errorf("%s of %s has changed nothing", w.name, key)
					}
					break
				}
				if refused++; !errors.Is(err, ErrNoMemory) {
					t.Fatalf("%s of %s: %v", w.name, key, err)
				}
				if told(tx, key) != was || s.Changes() != changes {
					t.Fatalf("%s of %s was refused and has changed it", w.name, key)
				}
				for range 1 + 2*round { // more and more: some changes want much at once
					h.spare(rng.IntN(2))
				}
			}
			h.drop()
			release()
		}
		if refused == 0 {
			t.Errorf("%s of a %v found memory at once", w.name, w.typ)
		}
	}
}
