package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kvd/kv"
	"kvd/snapshot/rdb"
)

// bytesSink collects what an encoder writes.
type bytesSink struct{ b []byte }

func (s *bytesSink) Write(p []byte) error { s.b = append(s.b, p...); return nil }

// makeDump writes a file with the encoder alone.
func makeDump(t testing.TB, fill func(e *rdb.Encoder)) string {
	t.Helper()
	sink := &bytesSink{}
	e := rdb.NewEncoder(make([]byte, rdb.MinEncoderBuffer), rdb.EncoderOptions{Checksum: true})
	e.Reset(sink)
	e.Header()
	fill(e)
	e.Footer()
	path := filepath.Join(t.TempDir(), "dump.rdb")
	if err := os.WriteFile(path, sink.b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadErrors(t *testing.T) {
	loadInto := func(path string, o LoadOptions) error {
		s := openStore(t, kv.Options{Databases: 4})
		set(t, s, 1, "there", "before", 0)
		_, err := Load(context.Background(), s, path, o)
		return err
	}
	twice := makeDump(t, func(e *rdb.Encoder) {
		e.SelectDB(2)
		e.String([]byte("same"), []byte("1"), 0)
		e.String([]byte("other"), []byte("1"), 0)
		e.String([]byte("same"), []byte("2"), 0)
	})
	var dup *DuplicateError
	err := loadInto(twice, LoadOptions{})
	if !errors.As(err, &dup) || string(dup.Key) != "same" || dup.DB != 2 || !strings.Contains(err.Error(), twice) {
		t.Errorf("twice: %v", err)
	}
	exists := makeDump(t, func(e *rdb.Encoder) { e.SelectDB(1); e.String([]byte("there"), []byte("1"), 0) })
	if err := loadInto(exists, LoadOptions{}); !errors.As(err, &dup) {
		t.Errorf("exists: %v", err)
	}
	if err := loadInto(exists, LoadOptions{Replace: true}); err != nil {
		t.Errorf("replace: %v", err)
	}
	large := makeDump(t, func(e *rdb.Encoder) {
		for range 2 {
			e.SelectDB(1)
			e.String([]byte("large"), make([]byte, 2*bigValue), 0)
		}
	})
	if err := loadInto(large, LoadOptions{}); !errors.As(err, &dup) {
		t.Errorf("a large one twice: %v", err)
	}
	var db *DatabaseError
	err = loadInto(makeDump(t, func(e *rdb.Encoder) { e.SelectDB(4); e.String([]byte("k"), nil, 0) }), LoadOptions{})
	if !errors.As(err, &db) || db.DB != 4 || !strings.Contains(err.Error(),
		"Data file was created with a Redis server configured to handle more than 4 databases") {
		t.Errorf("database 4: %v", err)
	}
	if err := loadInto(filepath.Join(t.TempDir(), "none"), LoadOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	hint := makeDump(t, func(e *rdb.Encoder) { e.SelectDB(0); e.ResizeDB(1<<60, 1<<60); e.String([]byte("k"), nil, 0) })
	if err := loadInto(hint, LoadOptions{}); err != nil {
		t.Errorf("a lying RESIZEDB: %v", err)
	}
}

// A damaged file is an error wherever it is cut or changed, and a checksum is
// compared only if asked for.
func TestLoadDamage(t *testing.T) {
	path := makeDump(t, func(e *rdb.Encoder) {
		e.SelectDB(0)
		for i := range 100 {
			e.String([]byte(fmt.Sprint("k", i)), []byte("value"), 0)
		}
	})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte, o LoadOptions) error {
		s, err := kv.Open(kv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = Load(context.Background(), s, path, o)
		return err
	}
	for n := 0; n < len(good); n += 37 {
		if err := try(good[:n], LoadOptions{}); !errors.Is(err, rdb.ErrFormat) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	bad := append([]byte{}, good...)
	bad[len(bad)-12] ^= 1 // in the last value
	if err := try(bad, LoadOptions{}); !errors.Is(err, rdb.ErrFormat) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("one bit: %v", err)
	}
	if err := try(bad, LoadOptions{NoChecksum: true}); err != nil {
		t.Errorf("one bit, no checksum: %v", err)
	}
}

func TestLoadProgressAndCancel(t *testing.T) {
	s := bulkStore(t, 8)
	path := filepath.Join(t.TempDir(), "dump.rdb")
	if _, err := Save(context.Background(), s, path, Options{Engine: Thread}); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path)
	var seen []int64
	got := openStore(t, kv.Options{})
	res, err := Load(context.Background(), got, path, LoadOptions{Progress: func(n, total int64) {
		if total != info.Size() {
			t.Errorf("total %d", total)
		}
		seen = append(seen, n)
	}})
	if err != nil || !maps.Equal(contents(got), contents(s)) || res.Took <= 0 {
		t.Errorf("%+v %v", res, err)
	}
	if len(seen) < 3 || seen[len(seen)-1] != info.Size() {
		t.Errorf("progress %v of %d", seen, info.Size())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Load(ctx, openStore(t, kv.Options{}), path, LoadOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The idle time of a key survives, as Redis writes it under an LRU policy.
func TestLoadIdle(t *testing.T) {
	path := makeDump(t, func(e *rdb.Encoder) {})
	b := rdb.AppendSelectDB(rdb.AppendHeader(nil, 10), 0)
	b = append(rdb.AppendIdle(b, 1000), byte(rdb.TypeString))
	b = rdb.AppendString(rdb.AppendString(b, []byte("k"), nil), []byte("v"), nil)
	b = append(b, rdb.OpEOF, 0, 0, 0, 0, 0, 0, 0, 0)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := load(t, path)
	s.Update([][]byte{[]byte("k")}, func(tx *kv.Tx) error {
		if idle, ok := tx.Idle(0, []byte("k")); !ok || idle < 850 || idle > 1150 {
			t.Errorf("idle %d", idle)
		}
		return nil
	})
}
