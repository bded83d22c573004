package kv_test

import (
	"errors"
	"fmt"
	"time"

	"kvd/kv"
)

func Example() {
	store, err := kv.Open(kv.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	db := store.DB(0)
	_ = db.Set([]byte("greeting"), []byte("hello"))
	_ = db.SetFor([]byte("session"), []byte("42"), time.Hour)

	val, ok := db.Get([]byte("greeting"))
	fmt.Printf("%s %v\n", val, ok)
	fmt.Println(db.Delete([]byte("greeting"), []byte("missing")))
	fmt.Println(db.Len())
	// Output:
	// hello true
	// 1
	// 1
}

// Moving money: nobody, and no snapshot, sees a state in between.
func ExampleStore_Update() {
	store, _ := kv.Open(kv.Options{})
	defer store.Close()
	from, to := []byte("alice"), []byte("bob")
	_ = store.DB(0).Set(from, []byte{100})
	_ = store.DB(0).Set(to, []byte{20})

	err := store.Update([][]byte{from, to}, func(tx *kv.Tx) error {
		a, _ := tx.Get(0, from)
		b, _ := tx.Get(0, to)
		if a.Value[0] < 30 {
			return errors.New("not enough")
		}
		newA, newB := []byte{a.Value[0] - 30}, []byte{b.Value[0] + 30}
		if err := tx.SetString(0, from, newA, kv.EncRaw, kv.NoExpiry); err != nil {
			return err
		}
		return tx.SetString(0, to, newB, kv.EncRaw, kv.NoExpiry)
	})
	a, _ := store.DB(0).Get(from)
	b, _ := store.DB(0).Get(to)
	fmt.Println(a, b, err)
	// Output: [70] [50] <nil>
}

// A View shows the store as it was when it was taken.
func ExampleStore_Freeze() {
	store, _ := kv.Open(kv.Options{})
	defer store.Close()
	_ = store.DB(0).Set([]byte("k"), []byte("before"))

	view, err := store.Freeze(kv.FreezeOptions{Mode: kv.ModeThread})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer view.Close()
	_ = store.DB(0).Set([]byte("k"), []byte("after"))

	var e kv.Entry
	for shard := range view.Shards() {
		for w := view.Walk(shard); w.Next(&e); {
			fmt.Printf("%s = %s\n", e.Key, e.Value)
		}
		view.Release(shard)
	}
	now, _ := store.DB(0).Get([]byte("k"))
	fmt.Printf("now %s\n", now)
	// Output:
	// k = before
	// now after
}
