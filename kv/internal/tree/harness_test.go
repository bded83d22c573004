package tree

import (
	"errors"
	"math/rand/v2"
	"sort"
	"testing"

	"kvd/kv/internal/arena"
	"kvd/kv/internal/cut"
)

// The model of a tree is a sorted slice. A harness changes both alike and compares
// what they answer; with cuts it also keeps old roots and what they must show.
type elem struct {
	key, value string
	flag       bool
}

type oldRoot struct {
	root  Root
	model []elem
}

type harness struct {
	t     testing.TB
	rng   *rand.Rand
	shape Shape
	sizes sizes
	heap  *arena.Heap
	guard *cut.Guard
	root  Root
	model []elem
	old   *oldRoot
	fails int
}

// sizes says what keys and values are made of.
type sizes struct {
	prefix   string
	key      int // random bytes, at most
	value    int
	farEvery int // one in so many is long, 0 none
}

func newHarness(t testing.TB, seed uint64, s Shape, z sizes) *harness {
	a, err := arena.New(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return &harness{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), shape: s, sizes: z,
		heap: a.NewHeap(arena.Data), guard: new(cut.Guard),
	}
}

func (h *harness) tree() Tree { return Open(Space{Heap: h.heap, Guard: h.guard}, h.shape, h.root) }

func (h *harness) length(n int) int {
	if h.sizes.farEvery > 0 && h.rng.IntN(h.sizes.farEvery) == 0 {
		return h.rng.IntN(3000)
	}
	return h.rng.IntN(n + 1)
}

func (h *harness) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(h.rng.Uint32())
	}
	return b
}

func (h *harness) key() []byte {
	if len(h.model) > 0 && h.rng.IntN(3) == 0 {
		return []byte(h.model[h.rng.IntN(len(h.model))].key)
	}
	b := h.bytes(h.length(h.sizes.key))
	if h.rng.IntN(4) == 0 {
		for i := range b {
			b[i] &= 1
		}
	}
	return append([]byte(h.sizes.prefix), b...)
}

func (h *harness) value() []byte {
	if h.shape.Keyed && h.shape.Value >= 0 {
		return h.bytes(h.shape.Value)
	}
	return h.bytes(h.length(h.sizes.value))
}

func (h *harness) index(key []byte) (int, bool) {
	i := sort.Search(len(h.model), func(i int) bool { return h.model[i].key >= string(key) })
	return i, i < len(h.model) && h.model[i].key == string(key)
}

// failed handles the error of a change: true if there was no memory, and nothing may
// have changed.
func (h *harness) failed(err error, before, after Root) bool {
	if err == nil {
		h.root = after
		return false
	}
	if !errors.Is(err, arena.ErrNoMemory) {
		h.t.Fatal(err)
	}
	if before != after {
		h.t.Fatalf("no memory, but the root has changed from %+v to %+v", before, after)
	}
	h.fails++
	return true
}

// undeleted is failed for a deletion, which has no need of memory but beside a cut.
func (h *harness) undeleted(err error, after Root) bool {
	if err != nil && !h.guard.Mode.Copies() {
		h.t.Fatalf("a deletion failed: %v", err)
	}
	return h.failed(err, h.root, after)
}

func (h *harness) insert(i int, e elem) {
	h.model = append(h.model, elem{})
	copy(h.model[i+1:], h.model[i:])
	h.model[i] = e
}

func (h *harness) put() {
	key, value, flag := h.key(), h.value(), h.rng.IntN(2) == 0
	i, found := h.index(key)
	t := h.tree()
	added, err := t.Put(key, value, flag)
	if h.failed(err, h.root, t.Root) {
		return
	}
	if added == found {
		h.t.Fatalf("Put(%q): added %v, found %v", key, added, found)
	}
	e := elem{string(key), string(value), flag}
	if found {
		h.model[i] = e
	} else {
		h.insert(i, e)
	}
}

func (h *harness) insertAt() {
	i := h.rng.IntN(len(h.model) + 1)
	switch h.rng.IntN(4) {
	case 0:
		i = 0
	case 1:
		i = len(h.model)
	}
	value, flag := h.value(), h.rng.IntN(2) == 0
	t := h.tree()
	if !h.failed(t.InsertAt(int64(i), value, flag), h.root, t.Root) {
		h.insert(i, elem{"", string(value), flag})
	}
}

func (h *harness) delete() {
	key := h.key()
	i, found := h.index(key)
	t := h.tree()
	deleted, err := t.Delete(key)
	if h.undeleted(err, t.Root) {
		return
	}
	if deleted != found {
		h.t.Fatalf("Delete(%q) = %v", key, deleted)
	}
	if found {
		h.model = append(h.model[:i], h.model[i+1:]...)
	}
}

func (h *harness) deleteRange(most int) {
	if len(h.model) == 0 {
		return
	}
	from := h.rng.IntN(len(h.model))
	n := min(1+h.rng.IntN(most), len(h.model)-from)
	t := h.tree()
	if !h.undeleted(t.DeleteRange(int64(from), int64(n)), t.Root) {
		h.model = append(h.model[:from], h.model[from+n:]...)
	}
}

// deleteMuch deletes up to a third, so rarely that a tree has time to grow.
func (h *harness) deleteMuch() {
	if h.rng.IntN(20) == 0 {
		h.deleteRange(1 + len(h.model)/3)
	}
}

func (h *harness) setAt() {
	if len(h.model) == 0 {
		return
	}
	i := h.rng.IntN(len(h.model))
	value, flag := h.value(), h.rng.IntN(2) == 0
	t := h.tree()
	if !h.failed(t.SetAt(int64(i), value, flag), h.root, t.Root) {
		h.model[i].value, h.model[i].flag = string(value), flag
	}
}

func (h *harness) edit() {
	if len(h.model) == 0 {
		return
	}
	i := h.rng.IntN(len(h.model))
	old := h.model[i].value
	n := len(old)
	if !h.shape.Keyed || h.shape.Value < 0 {
		switch h.rng.IntN(3) {
		case 0:
			n = h.length(h.sizes.value)
		case 1:
			n = max(0, n+h.rng.IntN(9)-4)
		}
	}
	t := h.tree()
	b, err := t.Edit(int64(i), n)
	if h.failed(err, h.root, t.Root) {
		return
	}
	kept := min(n, len(old))
	if len(b) != n || string(b[:kept]) != old[:kept] {
		h.t.Fatalf("Edit(%d, %d) of %q: %q", i, n, old, b)
	}
	if n > 0 {
		b[h.rng.IntN(n)] ^= 1
	}
	for k := kept; k < n; k++ {
		b[k] = byte(k)
	}
	h.model[i].value = string(b)
}

func (h *harness) read() {
	t := Read(h.heap.Arena(), h.shape, h.root)
	if h.shape.Keyed {
		key := h.key()
		i, found := h.index(key)
		if r, ok := t.Rank(key); int(r) != i || ok != found {
			h.t.Fatalf("Rank(%q) = %d, %v, not %d, %v", key, r, ok, i, found)
		}
		rec, ok := t.Get(key)
		if ok != found {
			h.t.Fatalf("Get(%q): %v", key, ok)
		}
		if found {
			h.same(&rec, i)
		}
		h.walk(t.From(key), i)
	}
	i := h.rng.IntN(len(h.model) + 1)
	rec, ok := t.At(int64(i))
	if ok != (i < len(h.model)) {
		h.t.Fatalf("At(%d) of %d: %v", i, len(h.model), ok)
	}
	if ok {
		h.same(&rec, i)
	}
	h.walk(t.FromAt(int64(i)), i)
}

func (h *harness) same(r *Record, i int) {
	h.t.Helper()
	if e := h.model[i]; string(r.Key) != e.key || string(r.Value) != e.value || r.Flag != e.flag {
		h.t.Fatalf("record %d of %d is %q=%q (%v), not %q=%q (%v)", i, len(h.model), r.Key, r.Value, r.Flag, e.key, e.value, e.flag)
	}
}

// walk moves a cursor, which is before record i, to and fro.
func (h *harness) walk(c Cursor, i int) {
	var r Record
	back := h.rng.IntN(2)
	for range h.rng.IntN(60) {
		if h.rng.IntN(5) == 0 {
			back ^= 1
		}
		var ok bool
		if back == 1 {
			ok = c.Prev(&r)
			i--
		} else {
			ok = c.Next(&r)
		}
		if ok != (i >= 0 && i < len(h.model)) {
			h.t.Fatalf("a step to %d of %d: %v", i, len(h.model), ok)
		}
		if ok {
			h.same(&r, i)
		}
		switch {
		case back == 0 && ok:
			i++
		case back == 1 && !ok:
			i++
		}
	}
}

// compare checks the tree at a root against a model, record by record.
func (h *harness) compare(root Root, model []elem) {
	h.t.Helper()
	t := Read(h.heap.Arena(), h.shape, root)
	if _, err := t.Check(); err != nil {
		h.t.Fatal(err)
	}
	if root.Count != int64(len(model)) {
		h.t.Fatalf("%d records, not %d", root.Count, len(model))
	}
	c := t.FromAt(0)
	var r Record
	for i := range model {
		if !c.Next(&r) {
			h.t.Fatalf("the cursor ends at %d of %d", i, len(model))
		}
		if e := model[i]; string(r.Key) != e.key || string(r.Value) != e.value || r.Flag != e.flag {
			h.t.Fatalf("record %d of %d is %q=%q, not %q=%q", i, len(model), r.Key, r.Value, e.key, e.value)
		}
	}
	if c.Next(&r) {
		h.t.Fatal("the cursor goes on")
	}
}

// all compares everything there is, and that the heap has no other blocks.
func (h *harness) all() {
	h.t.Helper()
	h.compare(h.root, h.model)
	t := h.tree()
	blocks, err := t.Check()
	if err != nil {
		h.t.Fatal(err)
	}
	if h.old != nil {
		h.compare(h.old.root, h.old.model)
		return
	}
	if h.heap.Blocks() != blocks || h.heap.Bytes() != h.root.Bytes {
		h.t.Fatalf("the heap has %d blocks of %d bytes, the tree %d of %d",
			h.heap.Blocks(), h.heap.Bytes(), blocks, h.root.Bytes)
	}
}

func (h *harness) beginCut(m cut.Mode) {
	h.old = &oldRoot{h.root, append([]elem(nil), h.model...)}
	h.heap.Arena().BeginCut()
	h.guard.Mode = m
}

func (h *harness) endCut() {
	if h.old != nil {
		h.all()
	}
	h.heap.Arena().EndCut()
	h.guard.Mode = cut.None
	h.old = nil
	for h.guard.Drain(1000) {
	}
	h.all()
}

func (h *harness) step() {
	if !h.shape.Keyed {
		switch n := h.rng.IntN(100); {
		case n < 50:
			h.insertAt()
		case n < 60:
			h.deleteRange(1)
		case n < 61:
			h.deleteMuch()
		case n < 63:
			h.deleteRange(60)
		case n < 70:
			h.setAt()
		case n < 80:
			h.edit()
		default:
			h.read()
		}
		return
	}
	switch n := h.rng.IntN(100); {
	case n < 50:
		h.put()
	case n < 65:
		h.delete()
	case n < 66:
		h.deleteMuch()
	case n < 68:
		h.deleteRange(60)
	case n < 73:
		h.setAt()
	case n < 80:
		h.edit()
	default:
		h.read()
	}
}
