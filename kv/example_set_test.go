package kv_test

import (
	"fmt"
	"log"

	"kvd/kv"
	"kvd/kv/packed"
)

func ExampleSet() {
	s, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	key := []byte("primes")
	err = s.Update([][]byte{key}, func(tx *kv.Tx) error {
		var set kv.Set
		if err := tx.OpenSet(&set, 0, key); err != nil {
			return err // the key holds something else
		}
		added, err := set.Add([][]byte{[]byte("2"), []byte("3"), []byte("5"), []byte("3")})
		fmt.Println(added, set.Len(), set.Has([]byte("4")))
		set.Each(func(v *packed.Value) bool {
			fmt.Printf("%s ", v.Append(nil))
			return true
		})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 3 3 false
	// 2 3 5
}
