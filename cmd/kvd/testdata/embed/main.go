// Command embed is a program outside of kvd's module that uses it as a library:
//
//	go mod init example.com/embed
//	go mod edit -require=kvd@v0.0.0 -replace=kvd=/path/to/kvd
//	go mod tidy
//	go run .
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"kvd/kv"
	"kvd/snapshot"
)

func main() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "embed")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "dump.rdb")

	store, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	key := []byte("greeting")
	set := func(s *kv.Store, value string) {
		if err := s.DB(0).Set(key, []byte(value)); err != nil {
			log.Fatal(err)
		}
	}
	set(store, "hello at the cut")
	for _, engine := range []snapshot.Engine{snapshot.Fork, snapshot.Thread, snapshot.Copy} {
		if _, err := snapshot.Save(ctx, store, path, snapshot.Options{Engine: engine}); err != nil {
			log.Fatal(err)
		}
	}
	set(store, "hello later")

	saved, err := kv.Open(kv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := snapshot.Load(ctx, saved, path, snapshot.LoadOptions{}); err != nil {
		log.Fatal(err)
	}
	then, _ := saved.DB(0).Get(key)
	now, _ := store.DB(0).Get(key)
	fmt.Printf("%s, %s now\n", then, now)
}
