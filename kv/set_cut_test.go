package kv

import (
	"fmt"
	"testing"
)

// TestAddingMembersThatAreThereUnderACut: SADD that adds nothing must leave the tree of a set
// as it is, also while a cut holds its nodes. It once copied them, and the set went on with
// those that it had given up.
func TestAddingMembersThatAreThereUnderACut(t *testing.T) {
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, n := range []int{2000, 40000} { // in its table's heap, and in one of its own
		key := []byte(fmt.Sprint("set", n))
		members := make([][]byte, n)
		for i := range members {
			members[i] = fmt.Appendf(nil, "member%d", i)
		}
		add := func(members [][]byte) (added int64) {
			tx := s.NewTx()
			tx.LockKey(key)
			defer tx.Unlock()
			var set Set
			if err := tx.OpenSet(&set, 0, key); err != nil {
				t.Fatal(err)
			}
			added, err := set.Add(members)
			if err != nil {
				t.Fatal(err)
			}
			return added
		}
		add(members)
		for range 3 {
			v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
			if err != nil {
				t.Fatal(err)
			}
			changes := s.Changes()
			for i := 0; i < n-60; i += n / 10 {
				if added := add(members[i : i+60]); added != 0 {
					t.Errorf("%d members were added that were there", added)
				}
			}
			if got := s.Changes(); got != changes {
				t.Errorf("%d changes were counted", got-changes)
			}
			if now, _ := v.ExtraBytes(); now != 0 {
				t.Errorf("%d bytes are kept for the cut though nothing has changed", now)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
