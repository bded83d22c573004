package kv

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync/atomic"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/packed"
)

// small makes a collection, or a string, that is one block.
func small(t *testing.T, tx *Tx, key []byte, typ Type) {
	t.Helper()
	var err error
	switch typ {
	case TypeString:
		err = tx.SetString(0, key, bytes.Repeat([]byte("v"), 3000), EncRaw, NoExpiry)
	case TypeHash:
		_, err = tx.HashSet(0, key, []byte("a"), []byte("1"), []byte("b"), []byte("2"), []byte("c"), []byte(strings.Repeat("x", 60)))
	case TypeSet:
		var s Set
		_ = tx.OpenSet(&s, 0, key)
		_, err = s.Add([][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d")})
	case TypeZset:
		err = editZset(tx, key, func(z *Zset) error {
			for i := range 5 {
				_, _, _ = z.Add(fmt.Append(nil, i), float64(i), 0)
			}
			return nil
		})
	case TypeList:
		err = editList(tx, key, func(l *List) error {
			return l.Push(Right, [][]byte{[]byte("a"), []byte("b"), []byte("c"), []byte("d")})
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// removals take something away from a key. Those of what is always possible have always set: the key is gone then.
var removals = []struct {
	name   string
	always bool
	remove func(s *Store, tx *Tx, key []byte, typ Type) error
}{
	{"Delete", true, func(s *Store, tx *Tx, key []byte, typ Type) error {
		if !tx.Delete(0, key) {
			return errors.New("there was none")
		}
		return nil
	}},
	{"RemoveAll", false, func(s *Store, tx *Tx, key []byte, typ Type) error { return removeElements(tx, key, typ, 1<<20) }},
	{"RemoveOne", false, func(s *Store, tx *Tx, key []byte, typ Type) error { return removeElements(tx, key, typ, 1) }},
	{"SetString", false, func(s *Store, tx *Tx, key []byte, typ Type) error {
		return tx.SetString(0, key, []byte("short"), EncRaw, NoExpiry)
	}},
	{"Move", false, func(s *Store, tx *Tx, key []byte, typ Type) error {
		return tx.Move(0, key, 1, append([]byte("moved:"), key...))
	}},
	{"MoveOver", false, func(s *Store, tx *Tx, key []byte, typ Type) error {
		return tx.Move(0, key, 0, []byte("target"))
	}},
}

// removeElements removes up to n elements at the beginning.
func removeElements(tx *Tx, key []byte, typ Type, n int64) error {
	switch typ {
	case TypeHash:
		var fields [][]byte
		it, _ := tx.Peek(0, key)
		es := it.Elements()
		for e := (Element{}); int64(len(fields)) < n && es.Next(&e); {
			fields = append(fields, e.Member.Append(nil))
		}
		_, err := tx.HashDelete(0, key, fields...)
		return err
	case TypeSet:
		var s Set
		_ = tx.OpenSet(&s, 0, key)
		changes := tx.s.Changes()
		err := s.Pop(n, func(*packed.Value) {})
		if err != nil {
			tx.MarkChanged(changes - tx.s.Changes()) // which Pop has counted
		}
		return err
	case TypeZset:
		return editZset(tx, key, func(z *Zset) error { return z.RemoveRange(0, n) })
	case TypeList:
		return editList(tx, key, func(l *List) error { return l.Pop(Left, n) })
	case TypeStream:
		return editStream(tx, key, func(s *Stream) error {
			_, _, err := s.Trim(StreamTrim{MaxLen: max(s.Length-n, 0)})
			return err
		})
	}
	return ErrNoMemory // a string has no elements
}

// tell is told for strings and what is not there too.
func tell(tx *Tx, key []byte) uint64 {
	it, ok := tx.Peek(0, key)
	if !ok {
		return 0
	}
	if it.Type == TypeString {
		h := fnv.New64a()
		h.Write(it.AppendRange(nil, 0, it.Len()))
		return h.Sum64()
	}
	return told(tx, key)
}

// useUpTables is useUp for the heaps of the table alone: those of big collections go with them.
func useUpTables(s *Store) (release func()) {
	sh := &s.shards[0]
	refs := map[*arena.Heap][]arena.Ref{}
	for _, h := range sh.tables[0].Heaps() {
		for _, alloc := range []func(int) (arena.Ref, error){h.Alloc, h.AllocApart} {
			for size := arena.MaxSmall; size > 0; size -= 8 {
				for ref, err := alloc(size); err == nil; ref, err = alloc(size) {
					refs[h] = append(refs[h], ref)
				}
			}
		}
	}
	return func() {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		for h, list := range refs {
			for _, ref := range list {
				h.Free(ref)
			}
		}
		sh.recount()
	}
}

// viewSum returns a sum of what a View shows.
func viewSum(v *View) (keys int, sum uint64) {
	var e Entry
	for i := range v.Shards() {
		for w := v.Walk(i); w.Next(&e); keys++ {
			h := fnv.New64a()
			fmt.Fprint(h, string(e.Key), e.Type, e.Len(), e.ExpireAt)
			if e.Type != TypeStream && e.Type != TypeString {
				es := e.Elements()
				for el := (Element{}); es.Next(&el); {
					h.Write(el.Value.Append(el.Member.Append(nil)))
				}
			}
			if e.Type == TypeString {
				h.Write(e.Value)
			}
			sum += h.Sum64()
		}
	}
	return keys, sum
}

// TestRemoveWithoutMemory has all memory taken and then removes everything in every way: keys always go, what else cannot be
// done is refused and has changed nothing; the cut shows what it did; and when there is memory again all is as it should be.
func TestRemoveWithoutMemory(t *testing.T) {
	for _, o := range []FreezeOptions{
		{}, {Mode: ModeThread}, {Mode: ModeFork}, {Mode: ModeFork, WritePolicy: WriteInPlace}, {Mode: ModeFork, WritePolicy: WritePathCopy},
	} {
		for i, end := range []string{"expire", "flush", "swap"} {
			if i > 0 && o.Mode != ModeThread {
				continue
			}
			t.Run(fmt.Sprint(o.Mode, o.WritePolicy, end), func(t *testing.T) { removeAll(t, o, end) })
		}
	}
}

func removeAll(t *testing.T, o FreezeOptions, end string) {
	var now atomic.Int64
	now.Store(1 << 40)
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 1, Databases: 3, Clock: now.Load})
	s.SetActiveExpire(false)
	tx := s.NewTx()
	types := []Type{TypeString, TypeHash, TypeSet, TypeZset, TypeList, TypeStream}
	sizes := []int{0, 600, 3000}
	big := 0 // of the third size there are few: taking the memory of all their heaps takes long
	name := func(r string, typ Type, size int) []byte { return fmt.Appendf(nil, "%s:%v:%d", r, typ, size) }
	func() {
		tx.LockAll()
		defer tx.Unlock()
		_ = tx.SetString(0, []byte("target"), []byte("x"), EncRaw, NoExpiry)
		for i := range 3000 { // several segments
			_ = tx.SetString(0, fmt.Append(nil, "key:", i), []byte("value"), EncRaw, (1<<40+10)*int64(i%2))
		}
		for _, typ := range types {
			for _, size := range sizes {
				for i := -1; i < len(removals); i++ {
					key := name("expired", typ, size)
					if i >= 0 {
						key = name(removals[i].name, typ, size)
					}
					if big++; size == 3000 && big%4 != 0 {
						continue
					}
					if size > 0 {
						fillTrees(t, tx, key, typ, size)
					} else if typ != TypeStream {
						small(t, tx, key, typ)
					}
					if i < 0 && tx.Exists(0, key) && !tx.SetExpire(0, key, 1<<40+10) {
						t.Fatal("no expiry")
					}
				}
			}
		}
	}()
	var v *View
	keys, sum := 0, uint64(0)
	if o.Mode != 0 {
		var err error
		if v, err = s.Freeze(o); err != nil {
			t.Fatal(err)
		}
		keys, sum = viewSum(v)
	}
	h := takeAll(s)
	release := useUpTables(s)
	tx.LockAll()
	fail := func(format string, a ...any) {
		t.Helper()
		tx.Unlock()
		t.Fatalf(format, a...)
	}
	var gone [][]byte
	for _, r := range removals {
		for _, typ := range types {
			for _, size := range sizes {
				key := name(r.name, typ, size)
				if !tx.Exists(0, key) {
					continue
				}
				if o.Mode == 0 {
					h.takeRest(h.heaps[0])
				}
				was, changes := tell(tx, key), s.Changes()
				switch err := r.remove(s, tx, key, typ); {
				case err == nil:
					if r.always && tx.Exists(0, key) || tell(tx, key) == was {
						fail("%s has changed nothing", key)
					}
					if !tx.Exists(0, key) {
						gone = append(gone, key)
					}
				case r.always || !errors.Is(err, ErrNoMemory):
					fail("%s: %v", key, err)
				case o.Mode == 0 && strings.HasPrefix(r.name, "Remove") && typ != TypeString && typ != TypeStream:
					fail("%s: %v, with nothing to copy", key, err)
				case tell(tx, key) != was || s.Changes() != changes && r.name != "RemoveAll":
					fail("%s was refused and has changed", key)
				}
			}
		}
	}
	for i := range 1000 {
		key := fmt.Append(nil, "key:", i)
		if !tx.Delete(0, key) || tx.Exists(0, key) {
			fail("%s was not deleted", key)
		}
		gone = append(gone, key)
	}
	switch end {
	case "flush":
		tx.FlushDB(0)
	case "swap":
		tx.SwapDB(0, 2)
	}
	tx.Unlock()
	if end == "expire" {
		now.Add(1000)
		for range 20 {
			s.sweep(now.Load())
		}
		for _, typ := range types {
			for _, size := range sizes {
				gone = append(gone, name("expired", typ, size))
			}
		}
	}
	if v != nil && (o.Mode == ModeThread || o.WritePolicy == WritePathCopy) {
		if k, n := viewSum(v); k != keys || n != sum {
			t.Errorf("the view has changed, from %d keys to %d", keys, k)
		}
	}
	h.drop()
	if end == "swap" {
		tx.LockAll()
		tx.SwapDB(0, 2)
		tx.Unlock()
	}
	if end != "flush" { // their heaps are gone
		release()
	}
	check := func() {
		t.Helper()
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		tx.LockAll()
		defer tx.Unlock()
		for _, key := range gone {
			if tx.Exists(0, key) {
				t.Errorf("%s is there", key)
			}
		}
	}
	check()
	if v != nil {
		v.Close()
	}
	until(t, "all is freed", func() bool { return s.Memory().Deferred == 0 })
	check()
	tx.LockAll()
	for _, key := range gone { // and they may come back
		if err := tx.SetString(0, key, []byte("again"), EncRaw, NoExpiry); err != nil {
			t.Fatal(err)
		}
	}
	tx.FlushAll()
	tx.Unlock()
	until(t, "nothing is left", func() bool { m := s.Memory(); return m.Entries+m.Index+m.Deferred+m.Freeing == 0 })
}
