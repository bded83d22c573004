package kv

import "testing"

// Beside a forked child, what cannot lie apart any more goes to the room that there is among the rest.
func TestNoRoomApart(t *testing.T) {
	for _, policy := range []WritePolicy{WriteValues, WritePathCopy} {
		s := openStore(t, Options{Reserve: 1 << 30, Shards: 1})
		bigSets(t, s, 1)
		v, err := s.Freeze(FreezeOptions{Mode: ModeFork, WritePolicy: policy})
		if err != nil {
			t.Fatal(err)
		}
		h := takeAll(s)
		for range 20 {
			h.spare(0)
			h.spare(1)
		}
		tx := s.NewTx()
		key := []byte("big:0")
		tx.LockKey(key)
		var set Set
		if err := tx.OpenSet(&set, 0, key); err != nil {
			t.Fatal(err)
		}
		if n, err := set.Add([][]byte{[]byte("another")}); n != 1 || err != nil {
			t.Errorf("policy %d: %d members were added: %v", policy, n, err)
		}
		tx.Unlock()
		h.drop()
		v.Close()
	}
}
