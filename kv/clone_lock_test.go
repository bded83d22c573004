package kv

import (
	"testing"
	"time"
)

// TestLockWhileCloning: who wants a shard while the process is cloned is not let in, and gets it
// afterwards; and nobody is told of a clone that is over.
func TestLockWhileCloning(t *testing.T) {
	s := openStore(t, Options{Shards: 1})
	var got chan struct{}
	v, err := s.Freeze(FreezeOptions{Mode: ModeFork, Around: func(_ *View, hold func() error, release func()) error {
		if err := hold(); err != nil {
			return err
		}
		if !s.cloning.Load() {
			t.Error("nobody is told of the clone")
		}
		got = make(chan struct{})
		go func() {
			defer close(got)
			if err := s.DB(0).Set([]byte("k"), []byte("v")); err != nil {
				t.Error(err)
			}
		}()
		select {
		case <-got:
			t.Error("written while the process is cloned")
		case <-time.After(20 * time.Millisecond):
		}
		release()
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	<-got
	if s.cloning.Load() {
		t.Error("the clone is over, and still told of")
	}
	if val, ok := s.DB(0).Get([]byte("k")); !ok || string(val) != "v" {
		t.Errorf("%q %v", val, ok)
	}
}
