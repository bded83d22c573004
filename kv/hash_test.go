package kv

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kvd/kv/internal/tree"
)

// clockedStore is a store whose clock the test moves, and whose cron leaves fields alone.
func clockedStore(t *testing.T) (s *Store, clock *atomic.Int64) {
	clock = new(atomic.Int64)
	clock.Store(1_000_000)
	s = openStore(t, Options{Clock: clock.Load})
	s.SetActiveExpire(false)
	return s, clock
}

type modelField struct {
	value string
	at    int64
}

// hashModel is a hash as a plain map.
type hashModel map[string]modelField

// expire removes what has expired.
func (m hashModel) expire(now int64) {
	for f, v := range m {
		if v.at != NoExpiry && v.at <= now {
			delete(m, f)
		}
	}
}

// withKey runs fn with a key locked.
func withKey(tx *Tx, key []byte, fn func()) {
	tx.LockKey(key)
	defer tx.Unlock()
	fn()
}

// compareHash asks a hash by every way for what the model has.
func compareHash(t *testing.T, tx *Tx, key []byte, m hashModel) {
	t.Helper()
	if !tx.HoldsAll() {
		tx.LockKey(key)
		defer tx.Unlock()
	}
	m.expire(tx.Now())
	var h Hash
	if err := tx.OpenHash(&h, 0, key); err != nil {
		t.Fatal(err)
	}
	if n := h.Len(); n != int64(len(m)) {
		t.Fatalf("Len %d, want %d", n, len(m))
	}
	n := 0
	it := h.Fields()
	for e := (Element{}); it.Next(&e); n++ {
		f := string(e.Member.Append(nil))
		if want := m[f]; string(e.Value.Append(nil)) != want.value || e.ExpireAt != want.at {
			t.Fatalf("%q is %q until %d, want %v", f, e.Value.Append(nil), e.ExpireAt, want)
		}
	}
	if n != len(m) {
		t.Fatalf("went through %d fields of %d", n, len(m))
	}
	for f, want := range m {
		v, ok := h.Get([]byte(f))
		at, ok2 := h.Expiry([]byte(f))
		if !ok || !ok2 || string(v.Append(nil)) != want.value || at != want.at {
			t.Fatalf("Get %q: %q %v, Expiry %d %v, want %v", f, v.Append(nil), ok, at, ok2, want)
		}
	}
	if _, ok := h.Get([]byte("none such")); ok {
		t.Fatal("found what is not there")
	}
	checkHash(t, &h)
}

// checkHash compares the two trees of a big hash.
func checkHash(t *testing.T, h *Hash) {
	t.Helper()
	if !h.c.isTree() {
		return
	}
	n := int64(0)
	c := h.c.tree(0).FromAt(0)
	for r := (tree.Record{}); c.Next(&r); {
		if at, _ := fieldRecord(&r); r.Flag {
			n++
			key := append(binary.BigEndian.AppendUint64(nil, uint64(at)), r.Key...)
			if _, ok := h.c.tree(1).Get(key); !ok {
				t.Fatalf("the expiry of %q is not in the second tree", r.Key)
			}
		}
	}
	if strays := h.c.tree(1).Count - n; strays < 0 || strays > 0 && !h.strays {
		t.Fatalf("%d fields expire, the second tree has %d", n, h.c.tree(1).Count)
	}
	if min := int64(binary.LittleEndian.Uint64(h.c.tail()) &^ straysBit); min != h.nextExpiry() {
		t.Fatalf("the head says that a field expires at %d, it is %d", min, h.nextExpiry())
	}
}

// TestHashModel changes a hash and a plain map in the same ways, on both sides of the limits,
// while time goes by.
func TestHashModel(t *testing.T) {
	key := []byte("h")
	for seed := range uint64(12) {
		s, clock := clockedStore(t)
		limits := DefaultLimits()
		limits.HashEntries, limits.HashValue = []int64{4, 16, 512}[seed%3], 20
		s.SetLimits(limits)
		r := rand.New(rand.NewPCG(seed, 9))
		tx := s.NewTx()
		m := hashModel{}
		for range 4000 {
			if r.IntN(20) == 0 {
				clock.Add(r.Int64N(300))
			}
			withKey(tx, key, func() {
				m.expire(tx.Now())
				stepHash(t, tx, key, m, r)
			})
			if r.IntN(10) == 0 {
				compareHash(t, tx, key, m)
			}
			if r.IntN(50) == 0 {
				s.expireFields(s.clock(), time.Second)
			}
		}
		clock.Add(1e6)
		m.expire(clock.Load())
		for s.expireFields(s.clock(), time.Second); s.fieldsDue(clock.Load()); {
			s.expireFields(s.clock(), time.Second)
		}
		compareHash(t, tx, key, m)
		if len(m) == 0 && s.Len(0) > 0 {
			t.Error("a hash without fields is there")
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// fieldsDue tells whether the search has something to do.
func (s *Store) fieldsDue(now int64) bool {
	for i := range s.shards {
		for _, f := range s.shards[i].fields {
			if next := f.next.Load(); next != 0 && next <= now {
				return true
			}
		}
	}
	return false
}

// stepHash does a few changes in one opening of the hash.
func stepHash(t *testing.T, tx *Tx, key []byte, m hashModel, r *rand.Rand) {
	t.Helper()
	var h Hash
	if err := tx.OpenHash(&h, 0, key); err != nil {
		t.Fatal(err)
	}
	for range 1 + r.IntN(3) {
		f := strconv.Itoa(r.IntN(40))
		if r.IntN(200) == 0 {
			f += strings.Repeat("f", 30)
		}
		at := tx.Now() + 1 + r.Int64N(500)
		old, had := m[f]
		switch r.IntN(7) {
		case 0, 1, 2:
			v := strconv.Itoa(r.IntN(1 << 20))
			if r.IntN(300) == 0 {
				v = strings.Repeat("v", 21+r.IntN(3000))
			}
			expire := []int64{NoExpiry, KeepExpiry, at}[r.IntN(3)]
			added, err := h.Set([]byte(f), []byte(v), expire)
			if err != nil || added == had {
				t.Fatalf("Set %q: %v, %v", f, added, err)
			}
			if expire == KeepExpiry {
				expire = old.at
			}
			m[f] = modelField{v, expire}
		case 3, 4:
			if ok, err := h.Delete([]byte(f)); err != nil || ok != had {
				t.Fatalf("Delete %q: %v, %v", f, ok, err)
			}
			delete(m, f)
		default:
			if r.IntN(3) == 0 {
				at = NoExpiry
			} else if r.IntN(10) == 0 {
				at = tx.Now()
			}
			if ok, err := h.SetExpiry([]byte(f), at); err != nil || ok != had {
				t.Fatalf("SetExpiry %q: %v, %v", f, ok, err)
			}
			if had {
				m[f] = modelField{old.value, at}
			}
			m.expire(tx.Now())
		}
		if v, ok := h.Get([]byte(f)); ok != (m[f] != modelField{}) || string(v.Append(nil)) != m[f].value {
			t.Fatalf("%q is %q, %v before Save", f, v.Append(nil), ok)
		}
	}
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
}

// setFields sets n fields, those whose number is divisible by every to expire at at.
func setFields(t *testing.T, s *Store, key string, n, every int, at int64) {
	t.Helper()
	tx := s.NewTx()
	tx.LockKey([]byte(key))
	defer tx.Unlock()
	var h Hash
	if err := tx.OpenHash(&h, 0, []byte(key)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		expire := NoExpiry
		if i%every == 0 {
			expire = at
		}
		if _, err := h.Set(fmt.Appendf(nil, "field:%d", i), fmt.Appendf(nil, "value:%d", i), expire); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
}

// TestHashLimits: a hash becomes trees when it passes a limit, and not before.
func TestHashLimits(t *testing.T) {
	s, _ := clockedStore(t)
	tx := s.NewTx()
	encoding := func(key string) string {
		tx.LockKey([]byte(key))
		defer tx.Unlock()
		it, _ := tx.Peek(0, []byte(key))
		return it.EncodingName()
	}
	set := func(key, field, value string, at int64) {
		tx.LockKey([]byte(key))
		defer tx.Unlock()
		var h Hash
		if err := tx.OpenHash(&h, 0, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Set([]byte(field), []byte(value), at); err != nil || h.Save() != nil {
			t.Fatal(err)
		}
	}
	setFields(t, s, "entries", 512, 513, NoExpiry)
	if e := encoding("entries"); e != "listpack" {
		t.Error("512 fields:", e)
	}
	set("entries", "field:0", "again", NoExpiry)
	if e := encoding("entries"); e != "listpack" {
		t.Error("512 fields, one changed:", e)
	}
	set("entries", "one more", "x", NoExpiry)
	if e := encoding("entries"); e != "hashtable" {
		t.Error("513 fields:", e)
	}
	long := strings.Repeat("x", 64)
	set("long", long, long, NoExpiry)
	if e := encoding("long"); e != "listpack" {
		t.Error("64 bytes:", e)
	}
	set("long", "expires", "x", 1e9)
	if e := encoding("long"); e != "listpackex" {
		t.Error("with an expiry:", e)
	}
	set("long", "f", long+"x", NoExpiry)
	if e := encoding("long"); e != "hashtable" {
		t.Error("a value of 65 bytes:", e)
	}
	set("name", long+"x", "v", NoExpiry)
	if e := encoding("name"); e != "hashtable" {
		t.Error("a field of 65 bytes:", e)
	}
	compareHash(t, tx, []byte("long"), hashModel{long: {long, NoExpiry}, "expires": {"x", 1e9}, "f": {long + "x", NoExpiry}})
}

// scanHash goes through a hash with a cursor and counts how often each field comes.
func scanHash(t *testing.T, s *Store, key string, count int, between func()) map[string]int {
	t.Helper()
	seen := map[string]int{}
	tx := s.NewTx()
	for cursor := uint64(0); ; {
		tx.LockKey([]byte(key))
		var err error
		cursor, err = tx.HashScan(0, []byte(key), cursor, count, func(e *Element) { seen[string(e.Member.Append(nil))]++ })
		tx.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if cursor == 0 {
			return seen
		}
		if cursor >= 1<<33 {
			t.Fatalf("cursor %d", cursor)
		}
		between()
	}
}

// TestHashScan: what is there during a whole scan comes exactly once, whatever else comes and goes.
func TestHashScan(t *testing.T) {
	s, clock := clockedStore(t)
	setFields(t, s, "h", 5000, 5001, NoExpiry)
	r := rand.New(rand.NewPCG(1, 1))
	tx := s.NewTx()
	steps := 0
	seen := scanHash(t, s, "h", 10, func() {
		steps++
		tx.LockKey([]byte("h"))
		for range 20 {
			extra := fmt.Appendf(nil, "extra:%d", r.IntN(20000))
			var err error
			if r.IntN(4) == 0 {
				_, err = tx.HashDelete(0, []byte("h"), extra)
			} else {
				_, err = tx.HashSet(0, []byte("h"), extra, []byte("x"))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		tx.Unlock()
	})
	for i := range 5000 {
		if n := seen[fmt.Sprintf("field:%d", i)]; n != 1 {
			t.Fatalf("field:%d was visited %d times", i, n)
		}
	}
	if steps < 400 {
		t.Errorf("%d steps of 10 for 5000 fields", steps)
	}
	setFields(t, s, "e", 3000, 2, clock.Load()+100)
	clock.Add(100)
	if n := len(scanHash(t, s, "e", 100, func() {})); n != 1500 {
		t.Errorf("%d fields come, 1500 have not expired", n)
	}
}

// TestHashRandom: every field is chosen about as often as any other, and none that has expired.
func TestHashRandom(t *testing.T) {
	for _, n := range []int{10, 1000} {
		for _, every := range []int{n + 1, 2} {
			s, clock := clockedStore(t)
			setFields(t, s, "h", n, every, clock.Load()+1)
			live := n - 1 // field:0 expires in any case
			if every == 2 {
				live = n / 2
			}
			clock.Add(1)
			tx := s.NewTx()
			tx.LockKey([]byte("h"))
			var h Hash
			if err := tx.OpenHash(&h, 0, []byte("h")); err != nil {
				t.Fatal(err)
			}
			chosen := map[string]int{}
			for range live * 100 {
				var e Element
				if !h.Random(&e) {
					t.Fatal("none")
				}
				chosen[string(e.Member.Append(nil))]++
			}
			if len(chosen) != live {
				t.Errorf("%d of %d fields were chosen", len(chosen), live)
			}
			for f, k := range chosen {
				if i, _ := strconv.Atoi(f[len("field:"):]); i%every == 0 || k < 40 || k > 180 {
					t.Errorf("%s was chosen %d times, of 100", f, k)
				}
			}
			for _, want := range []int{1, live / 40, live / 2, live, live + 5} {
				got := map[string]bool{}
				h.Sample(int64(want), func(e *Element) { got[string(e.Member.Append(nil))] = true })
				if len(got) != min(want, live) {
					t.Errorf("a sample of %d has %d", want, len(got))
				}
			}
			tx.Unlock()
		}
	}
}

func TestHashWrongType(t *testing.T) {
	s, _ := clockedStore(t)
	if err := s.DB(0).Set([]byte("s"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	tx := s.NewTx()
	tx.LockKey([]byte("s"))
	defer tx.Unlock()
	if _, _, err := tx.HashGet(0, []byte("s"), []byte("f")); err != ErrWrongType {
		t.Error(err)
	}
	if _, err := tx.HashSet(0, []byte("s"), []byte("f"), []byte("v")); err != ErrWrongType {
		t.Error(err)
	}
	if n, err := tx.HashLen(0, []byte("none")); n != 0 || err != nil {
		t.Error(n, err)
	}
}
