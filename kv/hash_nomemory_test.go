package kv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestHashNoMemory: a change that finds no memory has changed nothing, in either tree, whether a
// cut makes it copy nodes or not.
func TestHashNoMemory(t *testing.T) {
	for _, freeze := range []bool{false, true} {
		var now atomic.Int64 // the cron reads it too
		now.Store(1000)
		s := openStore(t, Options{Reserve: 1 << 30, Shards: 4, Databases: 1, Clock: now.Load})
		s.SetActiveExpire(false)
		r := rand.New(rand.NewPCG(5, 5))
		tx, key := s.NewTx(), []byte("h")
		m := hashModel{}
		for range 600 {
			withKey(tx, key, func() { stepHash(t, tx, key, m, r) })
		}
		setFields(t, s, "h", 4000, 2, 1<<40)
		for i := range 4000 {
			m[fmt.Sprintf("field:%d", i)] = modelField{fmt.Sprintf("value:%d", i), int64(1-i%2) << 40}
		}
		var v *View
		if freeze {
			var err error
			if v, err = s.Freeze(FreezeOptions{Mode: ModeThread}); err != nil {
				t.Fatal(err)
			}
			withKey(tx, key, func() { stepHash(t, tx, key, m, r) })
		}
		h := takeAll(s)
		failed := 0
		for i := range 12_000 {
			if i%100 == 0 {
				h.spare(i / 100 % 2)
			}
			f, val := fmt.Sprintf("field:%d", r.IntN(8000)), strings.Repeat("v", r.IntN(3000))
			at := []int64{NoExpiry, KeepExpiry, 1<<40 + int64(i)}[r.IntN(3)]
			withKey(tx, key, func() {
				if !tryHash(t, tx, key, m, r.IntN(3), f, val, at) {
					failed++
				}
			})
			if i%1500 == 0 {
				compareHash(t, tx, key, m)
			}
		}
		if failed < 100 {
			t.Errorf("freeze %v: only %d changes found no memory", freeze, failed)
		}
		h.drop()
		compareHash(t, tx, key, m)
		if v != nil {
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
		now.Store(1<<40 + 6000) // about half have expired, and every stray has had its time
		for range 100 {
			s.expireFields(s.clock(), time.Second)
		}
		compareHash(t, tx, key, m)
		now.Store(1 << 41)
		for range 100 {
			s.expireFields(s.clock(), time.Second)
		}
		compareHash(t, tx, key, m)
	}
}

// tryHash makes one change, to the model only if there was memory for it.
func tryHash(t *testing.T, tx *Tx, key []byte, m hashModel, op int, f, val string, at int64) (done bool) {
	var h Hash
	if err := tx.OpenHash(&h, 0, key); err != nil {
		t.Fatal(err)
	}
	old, had := m[f]
	next := modelField{val, at}
	if at == KeepExpiry {
		next.at = old.at
	}
	var err error
	switch op {
	case 0:
		_, err = h.Set([]byte(f), []byte(val), at)
	case 1:
		next.value = old.value
		_, err = h.SetExpiry([]byte(f), next.at)
	default:
		_, err = h.Delete([]byte(f))
	}
	if saveErr := h.Save(); saveErr != nil {
		t.Fatal(saveErr)
	}
	switch {
	case err != nil:
		return false
	case op == 2:
		delete(m, f)
	case op == 0 || had:
		m[f] = next
	}
	return true
}

// TestHashConversionNoMemory: a hash that cannot become trees stays one block.
func TestHashConversionNoMemory(t *testing.T) {
	s := openStore(t, Options{Reserve: 1 << 30, Shards: 1, Databases: 1})
	limits := DefaultLimits()
	limits.HashEntries, limits.HashValue = 2000, 2000
	s.SetLimits(limits)
	tx, key := s.NewTx(), []byte("h")
	withKey(tx, key, func() {
		var c Hash
		if err := tx.OpenHash(&c, 0, key); err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			if _, err := c.Set(fmt.Appendf(nil, "%d", i), make([]byte, 2000), NoExpiry); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
	})
	h := takeAll(s)
	failed, done := 0, false
	for i := 0; i < 3000 && !done; i++ {
		withKey(tx, key, func() {
			before, _ := tx.HashLen(0, key)
			_, err := tx.HashSet(0, key, []byte("one more"), []byte("x"))
			after, _ := tx.HashLen(0, key)
			it, _ := tx.Peek(0, key)
			_, packed := it.Packed()
			if done = err == nil; done {
				return
			}
			if failed++; err != ErrNoMemory || before != after || !packed {
				t.Errorf("%v: %d fields, then %d", err, before, after)
			}
		})
		for range 40 {
			h.spare(i % 2)
		}
	}
	if failed == 0 || !done {
		t.Errorf("failed %d times, done: %v", failed, done)
	}
	h.drop()
	withKey(tx, key, func() {
		if n, _ := tx.HashLen(0, key); n != 2001 {
			t.Errorf("%d fields", n)
		}
	})
}
