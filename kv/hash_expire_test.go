package kv

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// TestExpireFields: the search finds hashes wherever they have gone, and removes empty ones.
func TestExpireFields(t *testing.T) {
	for _, n := range []int{10, 2000} {
		s, clock := clockedStore(t)
		at := clock.Load() + 1000
		for _, key := range []string{"stays", "moved", "copied", "other", "flushed", "swapped"} {
			setFields(t, s, key, n, 1, at)
		}
		setFields(t, s, "half", n, 2, at)
		tx := s.NewTx()
		tx.LockAll()
		if err := tx.Move(0, []byte("moved"), 0, []byte("moved to")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Move(0, []byte("other"), 2, []byte("other")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Move(0, []byte("flushed"), 5, []byte("flushed")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Copy(0, []byte("copied"), 0, []byte("copy")); err != nil {
			t.Fatal(err)
		}
		if err := tx.Move(0, []byte("swapped"), 3, []byte("swapped")); err != nil {
			t.Fatal(err)
		}
		tx.FlushDB(5)
		tx.SwapDB(3, 4)
		tx.Unlock()
		s.expireFields(s.clock(), time.Second)
		if k := s.ExpiredFields(); k != 0 {
			t.Fatalf("%d fields were removed too early", k)
		}
		clock.Store(at)
		for range 1000 {
			s.expireFields(s.clock(), time.Second)
		}
		if keys := s.Len(0) + s.Len(2) + s.Len(4); keys != 1 {
			t.Errorf("%d keys are left, of %d", keys, n)
		}
		if k := s.ExpiredFields(); k != int64(6*n+n/2) {
			t.Errorf("%d fields were removed, of %d", k, 6*n+n/2)
		}
		tx.LockKey([]byte("half"))
		if k, _ := tx.HashLen(0, []byte("half")); k != int64(n/2) {
			t.Errorf("%d fields are left of half", k)
		}
		tx.Unlock()
		if s.fieldsDue(at) {
			t.Error("the search does not end")
		}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHashesSurviveACut: what a View shows does not change while fields are set, expire and go.
func TestHashesSurviveACut(t *testing.T) {
	s, clock := clockedStore(t)
	at := clock.Load() + 10
	setFields(t, s, "small", 100, 2, at)
	setFields(t, s, "big", 20_000, 2, at)
	v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
	if err != nil {
		t.Fatal(err)
	}
	clock.Store(at)
	for range 500 {
		s.expireFields(s.clock(), time.Second)
	}
	setFields(t, s, "big", 3000, 3, at+10)
	found := map[string]int{}
	for shard := range v.Shards() {
		w := v.Walk(shard)
		for e := (Entry{}); w.Next(&e); {
			it := e.Elements()
			for x := (Element{}); it.Next(&x); {
				i, _ := strconv.Atoi(string(x.Member.Append(nil))[len("field:"):])
				if string(x.Value.Append(nil)) != fmt.Sprintf("value:%d", i) || (x.ExpireAt == at) != (i%2 == 0) {
					t.Fatalf("%s: %q until %d", e.Key, x.Value.Append(nil), x.ExpireAt)
				}
				found[string(e.Key)]++
			}
		}
	}
	if found["small"] != 100 || found["big"] != 20_000 {
		t.Errorf("the view has %v", found)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

// flat writes strings as a Record has them.
func flat(elements ...string) (b []byte) {
	for _, e := range elements {
		b = binary.AppendUvarint(b, uint64(len(e)))
		b = append(b, e...)
	}
	return b
}

func TestLoadHash(t *testing.T) {
	s, clock := clockedStore(t)
	at := clock.Load() + 50
	expiry := func(at int64) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(at))) }
	m := hashModel{}
	var pieces [][]byte
	for p := range 3 {
		var b []byte
		for i := range 1000 {
			f := fmt.Sprintf("%d:%d", p, i)
			v := modelField{strconv.Itoa(i), NoExpiry}
			if i%4 == 0 {
				v.at = at
			}
			m[f] = v
			b = append(append(b, flat(f, v.value)...), expiry(v.at)...)
		}
		pieces = append(pieces, b)
	}
	l := s.NewLoader()
	for i, b := range pieces {
		if _, err := l.Add([]Record{{Key: []byte("ttl"), Type: TypeHash, Enc: EncFlatTTL, Value: b, Append: i > 0}}, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Add([]Record{{Key: []byte("flat"), Type: TypeHash, Enc: EncFlat, Value: flat("a", "1", "b", "2")}}, false); err != nil {
		t.Fatal(err)
	}
	tx := s.NewTx()
	tx.LockAll()
	defer func() {
		if tx.HoldsAll() {
			tx.Unlock()
		}
	}()
	compareHash(t, tx, []byte("ttl"), m)
	compareHash(t, tx, []byte("flat"), hashModel{"a": {"1", 0}, "b": {"2", 0}})
	it, _ := tx.Get(0, []byte("flat"))
	block, ok := it.Packed()
	if !ok {
		t.Fatal("a small hash is not one block")
	}
	block = append([]byte(nil), block...)
	if err := tx.Load(&Record{Key: []byte("block"), Type: TypeHash, Enc: EncListpack, Value: block}, false); err != nil {
		t.Fatal(err)
	}
	compareHash(t, tx, []byte("block"), hashModel{"a": {"1", 0}, "b": {"2", 0}})
	for name, r := range map[string]Record{
		"twice":    {Enc: EncFlat, Value: flat("a", "1", "a", "2")},
		"odd":      {Enc: EncFlat, Value: flat("a", "1", "b")},
		"cut":      {Enc: EncFlat, Value: flat("a", "1")[:3]},
		"no time":  {Enc: EncFlatTTL, Value: flat("a", "1")},
		"triplets": {Enc: EncListpackEx, Value: block},
	} {
		r.Key, r.Type = []byte("bad"), TypeHash
		if err := tx.Load(&r, false); err == nil || tx.Exists(0, r.Key) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tx.Unlock()
	clock.Store(at)
	for range 100 {
		s.expireFields(s.clock(), time.Second)
	}
	if n := s.ExpiredFields(); n != 750 {
		t.Errorf("%d loaded fields have expired, of 750", n)
	}
}
