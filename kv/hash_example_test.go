package kv_test

import (
	"fmt"
	"log"
	"time"

	"kvd/kv"
)

// A hash is changed field by field, under the lock of its key.
func ExampleTx_HashSet() {
	s, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	key := []byte("user:7")
	err = s.Update([][]byte{key}, func(tx *kv.Tx) error {
		added, err := tx.HashSet(0, key, []byte("name"), []byte("Ada"), []byte("visits"), []byte("41"))
		if err != nil {
			return err
		}
		visits, _, err := tx.HashGet(0, key, []byte("visits"))
		if err != nil {
			return err
		}
		fmt.Println(added, "new fields; visits is an integer:", visits.IsInt, visits.Int)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 2 new fields; visits is an integer: true 41
}

// Several changes of one hash are made while it is open, and saved once.
func ExampleTx_OpenHash() {
	s, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	key := []byte("session:1")
	err = s.Update([][]byte{key}, func(tx *kv.Tx) error {
		var h kv.Hash
		if err := tx.OpenHash(&h, 0, key); err != nil {
			return err
		}
		soon := tx.Now() + time.Minute.Milliseconds()
		if _, err := h.Set([]byte("token"), []byte("secret"), soon); err != nil {
			return err
		}
		if _, err := h.Set([]byte("user"), []byte("Ada"), kv.NoExpiry); err != nil {
			return err
		}
		if err := h.Save(); err != nil {
			return err
		}
		fields := h.Fields()
		for e := (kv.Element{}); fields.Next(&e); {
			fmt.Printf("%s = %s, expires: %v\n", e.Member.Append(nil), e.Value.Append(nil), e.ExpireAt != kv.NoExpiry)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// token = secret, expires: true
	// user = Ada, expires: false
}
