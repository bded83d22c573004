package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"kvd/kv"
)

// TestStopInsideOneKey: who cancels a save, or gives it up at its memory limit, does not wait
// for the end of the key that is being written, which may be most of the data.
func TestStopInsideOneKey(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var stop atomic.Bool
	l := &lane{file: &laneFile{f: null, stop: &stop}, part: true}
	s := &fileSink{f: null, stop: &stop}
	piece := make([]byte, 1000)
	if err := errors.Join(l.Write(piece), s.Write(piece)); err != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	if err := l.Write(piece); err != errStopped {
		t.Errorf("a lane in the middle of a record goes on: %v", err)
	}
	if err := s.Write(piece); err != errStopped {
		t.Errorf("a sink goes on: %v", err)
	}
	l.file.mu.Unlock() // Write took it for the record
}

// TestProgressInsideOneKey: share and time left are told while a single collection is
// written, of every type.
func TestProgressInsideOneKey(t *testing.T) {
	const elements, bytes = 30_000, 100
	value := make([]byte, bytes)
	for typ, fill := range map[string]func(tx *kv.Tx, key []byte) error{
		"hash": func(tx *kv.Tx, key []byte) error {
			for i := range elements {
				if _, err := tx.HashSet(0, key, fmt.Appendf(nil, "field%d", i), value); err != nil {
					return err
				}
			}
			return nil
		},
		"list": func(tx *kv.Tx, key []byte) error {
			var l kv.List
			if err := tx.OpenList(&l, 0, key); err != nil {
				return err
			}
			elems := make([][]byte, elements)
			for i := range elems {
				elems[i] = value
			}
			return l.Push(kv.Right, elems)
		},
		"zset": func(tx *kv.Tx, key []byte) error {
			var z kv.Zset
			if err := tx.OpenZset(&z, 0, key); err != nil {
				return err
			}
			for i := range elements {
				if _, _, err := z.Add(fmt.Appendf(nil, "%0*d", bytes, i), float64(i), 0); err != nil {
					return err
				}
			}
			return z.Save(1)
		},
		"stream": func(tx *kv.Tx, key []byte) error {
			var s kv.Stream
			if err := tx.OpenStream(&s, 0, key); err != nil {
				return err
			}
			for i := range elements {
				if err := s.Append(kv.StreamID{Ms: uint64(i + 1)}, [][]byte{[]byte("field"), value}); err != nil {
					return err
				}
			}
			return s.Save(elements)
		},
	} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, kv.Options{})
			err := s.Update([][]byte{[]byte("big")}, func(tx *kv.Tx) error { return fill(tx, []byte("big")) })
			if err != nil {
				t.Fatal(err)
			}
			for _, engine := range background() {
				r := newRig(t, s, engine)
				// Three buffers; the first one is encoded, and then it stands still.
				r.change(func(s *Settings) { s.RateLimit, s.Threads, s.NoCompress = 1000, 1, true })
				if _, err := r.Manager.Start(Request{}); err != nil {
					t.Fatal(err)
				}
				within(t, "part of the key", func() bool {
					in := r.Info()
					return in.CurrentShare > 0.2 && in.CurrentETASeconds >= 0
				})
				if in := r.Info(); in.CurrentShare > 0.6 || in.CurrentSaveKeysDone != 0 || in.CurrentSaveKeysTotal != 1 {
					t.Errorf("%v: %+v", engine, in)
				}
				if err := r.Cancel(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestRepairBehindABigCollection: damage inside a collection that is larger than what is tried at
// a time, with keys of types behind it that no key in front of it has, costs that collection and
// a few keys more, and brings none that was not there.
func TestRepairBehindABigCollection(t *testing.T) {
	s := openStore(t, kv.Options{})
	key := []byte("big")
	err := s.Update([][]byte{key}, func(tx *kv.Tx) error {
		for i := range 12_000 {
			if _, err := tx.HashSet(0, key, fmt.Appendf(nil, "field%d", i), fmt.Appendf(nil, "%0100d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const small = 3000
	for i := range small {
		key := fmt.Appendf(nil, "small%d", i)
		err := s.Update([][]byte{key}, func(tx *kv.Tx) error {
			if i%2 == 0 {
				_, err := tx.HashSet(0, key, []byte("field"), []byte("value"))
				return err
			}
			var z kv.Zset
			if err := tx.OpenZset(&z, 0, key); err != nil {
				return err
			}
			if _, _, err := z.Add([]byte("member"), float64(i), 0); err != nil {
				return err
			}
			return z.Save(1)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := contents(s)
	for _, engine := range background() {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		if _, err := Save(context.Background(), s, in, Options{Engine: engine, NoCompress: true}); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(file, []byte("\x03big")) + 10_000
		clear(file[at : at+600]) // no field may be there twice
		if err := os.WriteFile(in, file, 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := Repair(context.Background(), in, out, RepairOptions{})
		if err != nil {
			t.Fatal(err)
		}
		repaired, _ := load(t, out)
		got := contents(repaired)
		for p, it := range got {
			if want[p] != it {
				t.Errorf("%v: %v was not there", engine, p)
			}
		}
		if len(got) < small/2 || len(got) > small { // one of 64 shards, and what may seem to be a record there
			t.Errorf("%v: %d keys of %d: %+v", engine, len(got), len(want), rep.Lost)
		}
	}
}
