package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvd/kv/internal/tree"
	"kvd/kv/packed"
)

// listTester compares a list with a plain slice.
type listTester struct {
	t    testing.TB
	s    *Store
	tx   *Tx
	key  []byte
	want []string
	r    *rand.Rand
	n    int
}

// with runs fn on the list, locked.
func (l *listTester) with(fn func(list *List)) {
	l.t.Helper()
	l.tx.LockKey(l.key)
	defer l.tx.Unlock()
	var list List
	if err := l.tx.OpenList(&list, 0, l.key); err != nil {
		l.t.Fatal(err)
	}
	if list.Len() != int64(len(l.want)) || list.Exists() != (len(l.want) > 0) {
		l.t.Fatalf("%d elements, want %d", list.Len(), len(l.want))
	}
	fn(&list)
}

func (l *listTester) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// elem returns an element; some are equal, some integers, few long.
func (l *listTester) elem() string {
	switch l.n++; l.r.IntN(10) {
	case 0:
		return strings.Repeat("x", l.r.IntN(300))
	case 1:
		return strconv.FormatInt(int64(l.r.Uint64())>>l.r.IntN(64), 10)
	case 2:
		return "e" + strconv.Itoa(l.n)
	}
	return strconv.Itoa(l.r.IntN(20))
}

func (l *listTester) elems() (texts []string, elems [][]byte) {
	for range 1 + l.r.IntN(4) {
		e := l.elem()
		texts = append(texts, e)
		elems = append(elems, []byte(e))
	}
	return texts, elems
}

// step makes a random change to both.
func (l *listTester) step(list *List) {
	n := len(l.want)
	at := 0
	if n > 0 {
		at = l.r.IntN(n)
	}
	e := l.elem()
	switch l.r.IntN(12) {
	case 0, 1, 2, 3:
		texts, elems := l.elems()
		l.ok(list.Push(Right, elems))
		l.want = append(l.want, texts...)
	case 4:
		texts, elems := l.elems()
		l.ok(list.Push(Left, elems))
		slices.Reverse(texts)
		l.want = append(texts, l.want...)
	case 5:
		k := min(l.r.IntN(4), n)
		l.ok(list.Pop(Left, int64(k)))
		l.want = slices.Clone(l.want[k:])
	case 6:
		k := min(l.r.IntN(4), n)
		l.ok(list.Pop(Right, int64(k)))
		l.want = l.want[:n-k]
	case 7:
		ok, err := list.Set(int64(at), []byte(e))
		l.ok(err)
		if ok != (n > 0) {
			l.t.Fatal("Set: ", ok)
		}
		if ok {
			l.want[at] = e
		}
	case 8:
		if n > 0 {
			l.ok(list.Insert(int64(at), []byte(e)))
			l.want = slices.Insert(l.want, at, e)
		}
	case 9:
		l.remove(list, e)
	case 10:
		if l.r.IntN(20) == 0 && n > 0 {
			to := at + l.r.IntN(n-at)
			removed, err := list.Trim(int64(at), int64(to))
			l.ok(err)
			if removed != int64(n-(to-at+1)) {
				l.t.Fatal("Trim: ", removed)
			}
			l.want = slices.Clone(l.want[at : to+1])
		}
	case 11:
		v, ok := list.At(int64(at - n))
		if ok != (n > 0) || ok && string(v.Append(nil)) != l.want[at] {
			l.t.Fatalf("At(%d) = %q, %v", at, v.Append(nil), ok)
		}
	}
}

func (l *listTester) remove(list *List, e string) {
	limit := 1 + l.r.IntN(3)
	end := End(l.r.IntN(2))
	var want int64
	if end == Right {
		slices.Reverse(l.want)
	}
	kept := l.want[:0]
	for _, w := range l.want {
		if w == e && want < int64(limit) {
			want++
			continue
		}
		kept = append(kept, w)
	}
	l.want = kept
	if end == Right {
		slices.Reverse(l.want)
	}
	removed, err := list.Remove([]byte(e), end, int64(limit))
	l.ok(err)
	if removed != want {
		l.t.Fatalf("Remove = %d, want %d", removed, want)
	}
}

// compare reads the whole list both ways.
func (l *listTester) compare(list *List) {
	i := 0
	list.Range(0, math.MaxInt64, func(v *packed.Value) bool {
		if got := string(v.Append(nil)); got != l.want[i] {
			l.t.Fatalf("%d: %q, want %q", i, got, l.want[i])
		}
		i++
		return true
	})
	if i != len(l.want) {
		l.t.Fatalf("Range stopped at %d of %d", i, len(l.want))
	}
	list.Back(list.Len()-1, math.MaxInt64, func(v *packed.Value) bool {
		i--
		if got := string(v.Append(nil)); got != l.want[i] {
			l.t.Fatalf("back %d: %q, want %q", i, got, l.want[i])
		}
		return true
	})
	if i != 0 {
		l.t.Fatalf("Back stopped at %d", i)
	}
}

// TestListModel compares random changes with those of a slice, with a cut in between.
func TestListModel(t *testing.T) {
	for _, size := range []int64{-2, 5} {
		s := openStore(t, Options{})
		lim := *s.Limits()
		lim.ListSize = size
		s.SetLimits(lim)
		l := &listTester{t: t, s: s, tx: s.NewTx(), key: []byte("list"), r: rand.New(rand.NewPCG(uint64(size), 1))}
		for i := range 20_000 {
			l.with(l.step)
			if i%500 == 0 {
				l.with(l.compare)
			}
			switch i % 4000 {
			case 1000:
				l.cut(ModeThread)
			case 3000:
				l.cut(ModeFork)
			}
		}
		l.with(l.compare)
	}
}

// cut changes the list while a view is open, which must not see that.
func (l *listTester) cut(mode Mode) {
	before := slices.Clone(l.want)
	v, err := l.s.Freeze(FreezeOptions{Mode: mode})
	l.ok(err)
	for range 300 {
		l.with(l.step)
	}
	l.with(l.compare)
	if mode == ModeThread {
		l.viewed(v, before)
	}
	l.ok(v.Close())
}

// viewed compares the list in a view.
func (l *listTester) viewed(v *View, before []string) {
	var e Entry
	for sh := range v.Shards() {
		for w := v.Walk(sh); w.Next(&e); {
			if e.Len() != int64(len(before)) {
				l.t.Fatalf("the view has %d elements, want %d", e.Len(), len(before))
			}
			it := e.Elements()
			var el Element
			for i := 0; it.Next(&el); i++ {
				if got := string(el.Member.Append(nil)); got != before[i] {
					l.t.Fatalf("the view: %d is %q, was %q", i, got, before[i])
				}
			}
			before = nil
		}
	}
	if len(before) > 0 {
		l.t.Fatal("the view has no list")
	}
}

// TestListNoMemory: a change that fails for want of memory has changed nothing.
func TestListNoMemory(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 4, Databases: 1})
	l := &listTester{t: t, s: s, tx: s.NewTx(), key: []byte("list"), r: rand.New(rand.NewPCG(1, 1))}
	for range 1500 {
		texts, elems := l.elems()
		l.with(func(list *List) { l.ok(list.Push(Right, elems)) })
		l.want = append(l.want, texts...)
	}
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	l.ok(err)
	h := takeAll(s)
	failed := 0
	for i := range 3000 {
		if i%7 == 0 {
			h.spare(i % 2)
		}
		was := slices.Clone(l.want)
		l.with(func(list *List) {
			err := l.try(list)
			if errors.Is(err, ErrNoMemory) {
				failed++
				l.want = was
			} else {
				l.ok(err)
			}
		})
		if i%100 == 0 {
			h.takeRest(h.heaps[0])
			l.with(l.compare)
		}
	}
	if failed == 0 {
		t.Error("nothing has failed")
	}
	h.drop()
	l.with(l.compare)
	l.ok(v.Close())
}

// try makes a change and returns the store's error.
func (l *listTester) try(list *List) error {
	n := len(l.want)
	texts, elems := l.elems()
	texts, elems = texts[:1], elems[:1]
	if l.r.IntN(2) == 0 { // the store may have some chunks in hand
		texts[0] += strings.Repeat("y", 5000)
		elems[0] = []byte(texts[0])
	}
	at := l.r.IntN(n)
	switch l.r.IntN(4) {
	case 0:
		l.want = append(l.want, texts...)
		return list.Push(Right, elems)
	case 1:
		l.want = append(texts, l.want...)
		return list.Push(Left, elems)
	case 2:
		l.want[at] = texts[0]
		_, err := list.Set(int64(at), elems[0])
		return err
	}
	l.want = slices.Insert(l.want, at, texts[0])
	return list.Insert(int64(at), elems[0])
}

func TestListIntegers(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 1 << 40, -1 << 40, math.MaxInt64, math.MinInt64} {
		b := appendListInt(nil, n)
		v := listValue(&tree.Record{Value: b, Flag: true})
		if !v.IsInt || v.Int != n {
			t.Errorf("%d became %d", n, v.Int)
		}
		if len(b) > 1 && len(b) > len(appendListInt(nil, n>>8))+1 {
			t.Errorf("%d takes %d bytes", n, len(b))
		}
	}
}

// TestListLoad loads a list in pieces of each form.
func TestListLoad(t *testing.T) {
	s := openStore(t, Options{Databases: 1})
	tx := s.NewTx()
	load := func(r Record) error {
		r.Key, r.Type = []byte("l"), TypeList
		tx.LockKey(r.Key)
		defer tx.Unlock()
		return tx.Load(&r, false)
	}
	var flat []byte
	want := []string{}
	add := func(e string) {
		flat = append(binary.AppendUvarint(flat, uint64(len(e))), e...)
		want = append(want, e)
	}
	block := packed.NewListpack()
	for i := range 100 {
		e := fmt.Sprint(i * 1000)
		block = packed.Append(block, []byte(e))
		want = append(want, e)
	}
	add("")
	for i := range 3000 {
		add(fmt.Sprint("e", i))
	}
	big := packed.NewListpack()
	for i := range 1000 {
		e := fmt.Sprint("element ", i)
		big = packed.Append(big, []byte(e))
		want = append(want, e)
	}
	for _, r := range []Record{{Enc: EncListpack, Value: block}, {Enc: EncFlat, Value: flat, Append: true}, {Enc: EncListpack, Value: big, Append: true}} {
		if err := load(r); err != nil {
			t.Fatal(err)
		}
	}
	l := &listTester{t: t, s: s, tx: tx, key: []byte("l"), want: want}
	l.with(l.compare)
	if err := load(Record{Enc: EncListpack, Value: block}); err != ErrExists {
		t.Error(err)
	}
	for _, bad := range [][]byte{{5, 'a'}, {0x80}, bytes.Repeat([]byte{0xff}, 11)} {
		s2 := Record{Enc: EncFlat, Value: bad, Append: true}
		if err := load(s2); err != errListRecord {
			t.Errorf("%x: %v", bad, err)
		}
		_ = load(Record{Enc: EncListpack, Value: block})
	}
}

// BenchmarkList adds and removes at both ends, and looks into the middle, by the bytes of
// the list.
func BenchmarkList(b *testing.B) {
	for _, elems := range []int{20, 50, 100, 200, 400, 2000, 100_000} {
		s, err := Open(Options{Databases: 1})
		if err != nil {
			b.Fatal(err)
		}
		tx, key := s.NewTx(), []byte("list")
		elem := [][]byte{[]byte("element:000")}
		with := func(fn func(l *List) error) {
			tx.LockKey(key)
			var l List
			err := tx.OpenList(&l, 0, key)
			if err == nil {
				err = fn(&l)
			}
			if err != nil {
				b.Fatal(err)
			}
			tx.Unlock()
		}
		for range elems {
			with(func(l *List) error { return l.Push(Right, elem) })
		}
		b.Run(fmt.Sprintf("queue/%d", elems), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				with(func(l *List) error { return l.Push(Left, elem) })
				with(func(l *List) error { return l.Pop(Right, 1) })
			}
		})
		b.Run(fmt.Sprintf("index/%d", elems), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				with(func(l *List) error { l.At(int64(elems / 2)); return nil })
			}
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
