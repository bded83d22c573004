package kv

import "testing"

// TestDumpsOfHashesWhoseFieldsExpireNoMore: what makes a dump one that older servers do not read
// is gone with the last field that expires, in a hash of either form.
func TestDumpsOfHashesWhoseFieldsExpireNoMore(t *testing.T) {
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	extended := func() int64 {
		v, err := s.Freeze(FreezeOptions{Mode: ModeThread})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		return v.FieldExpiries(0)
	}
	const far = 1 << 50
	tx := s.NewTx()
	for _, fields := range []int{3, 1000} {
		key := []byte{byte(fields)}
		setFields(t, s, string(key), fields, fields, NoExpiry)
		change := func(fn func(h *Hash) error) {
			tx.LockKey(key)
			defer tx.Unlock()
			var h Hash
			if err := tx.OpenHash(&h, 0, key); err != nil {
				t.Fatal(err)
			}
			if err := fn(&h); err != nil {
				t.Fatal(err)
			}
			if err := h.Save(); err != nil {
				t.Fatal(err)
			}
		}
		expire := func(at int64) func(h *Hash) error {
			return func(h *Hash) error { _, err := h.SetExpiry([]byte("field:1"), at); return err }
		}
		for what, fn := range map[string]func(h *Hash) error{
			"HPERSIST": expire(NoExpiry),
			"HSET":     func(h *Hash) error { _, err := h.Set([]byte("field:1"), []byte("value"), NoExpiry); return err },
			"HDEL":     func(h *Hash) error { _, err := h.Delete([]byte("field:1")); return err },
		} {
			change(func(h *Hash) error { _, err := h.Set([]byte("field:1"), []byte("7"), KeepExpiry); return err })
			change(expire(far))
			if n := extended(); n != 1 {
				t.Errorf("%d fields, one expires: %d hashes do", fields, n)
			}
			change(fn)
			if n := extended(); n != 0 {
				t.Errorf("%d fields, after %s: still %d", fields, what, n)
			}
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
	}
}
