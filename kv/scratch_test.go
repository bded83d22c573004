package kv

import (
	"fmt"
	"testing"
)

// Several collections of a Tx are open and changed at a time, small ones and big ones, and do not
// disturb each other.
func TestSeveralOpen(t *testing.T) {
	s := openStore(t, Options{})
	tx := s.NewTx()
	tx.LockAll()
	defer tx.Unlock()
	tx.keep(make([]byte, 0, 4096)) // as after other changes
	var hashes [3]Hash
	var zsets [3]Zset
	key := func(i int) []byte { return fmt.Append(nil, "hash:", i) }
	zkey := func(i int) []byte { return fmt.Append(nil, "zset:", i) }
	for i := range hashes {
		if err := tx.OpenHash(&hashes[i], 0, key(i)); err != nil {
			t.Fatal(err)
		}
		if err := tx.OpenZset(&zsets[i], 0, zkey(i)); err != nil {
			t.Fatal(err)
		}
	}
	const last = 300 // the last ones become trees
	for n := range last {
		for i := range hashes {
			if i < 2 && n >= 20 {
				continue
			}
			text := fmt.Append(nil, i, " ", n)
			if _, err := hashes[i].Set(text, text, NoExpiry); err != nil {
				t.Fatal(err)
			}
			if _, _, err := zsets[i].Add(text, float64(n), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range hashes {
		if err := hashes[i].Save(); err != nil {
			t.Fatal(err)
		}
		if err := zsets[i].Save(1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range hashes {
		for n := range map[bool]int{true: last, false: 20}[i == 2] {
			text := string(fmt.Append(nil, i, " ", n))
			v, ok, err := tx.HashGet(0, key(i), []byte(text))
			if got := string(v.Append(nil)); err != nil || !ok || got != text {
				t.Errorf("hash %d has %q at %q: %v", i, got, text, err)
			}
			var z Zset
			if err := tx.OpenZset(&z, 0, zkey(i)); err != nil {
				t.Fatal(err)
			}
			if score, ok := z.Score([]byte(text)); !ok || score != float64(n) {
				t.Errorf("zset %d has %q with score %v", i, text, score)
			}
		}
	}
}
