package snapshot_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"kvd/kv"
	"kvd/snapshot"
)

func ExampleSave() {
	store, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := store.DB(0).Set([]byte("greeting"), []byte("hello")); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// The store may be written all the while: the file has it as it was at the cut.
	res, err := snapshot.Save(context.Background(), store, filepath.Join(dir, "dump.rdb"),
		snapshot.Options{Engine: snapshot.Thread})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Keys, "key saved by", res.Engine)
	// Output: 1 key saved by thread
}

func ExampleLoad() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "dump.rdb")
	if err := writeGreeting(ctx, path); err != nil {
		log.Fatal(err)
	}

	store, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	res, err := snapshot.Load(ctx, store, path, snapshot.LoadOptions{})
	if err != nil {
		log.Fatal(err)
	}
	greeting, _ := store.DB(0).Get([]byte("greeting"))
	fmt.Printf("%d key loaded: %s\n", res.Keys, greeting)
	// Output: 1 key loaded: hello
}

// writeGreeting makes a file for the example.
func writeGreeting(ctx context.Context, path string) error {
	store, err := kv.Open(kv.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.DB(0).Set([]byte("greeting"), []byte("hello")); err != nil {
		return err
	}
	_, err = snapshot.Save(ctx, store, path, snapshot.Options{Engine: snapshot.Thread})
	return err
}
